use super::*;

fn mk_inline() -> InlineWorkflow {
    let step = StepDraft {
        name: "restart".to_owned(),
        image: "registry.example/tools/kubectl:1.34".to_owned(),
        command: vec!["kubectl".to_owned(), "version".to_owned()],
        ..StepDraft::default()
    };
    InlineWorkflow::new(vec![step], 0).unwrap()
}

#[test]
fn what_was_stored_when_there_were_only_bundles_is_read() {
    let stored =
        r#"{"reference":"registry.example/wfe/restart:v1","digest":null,"pipeline":"workflow"}"#;
    let read: Workflow = serde_json::from_str(stored).unwrap();
    assert_eq!(
        read,
        BundleWorkflow::new("registry.example/wfe/restart:v1", "", "").unwrap().into()
    );
    assert_eq!(serde_json::to_string(&read).unwrap(), stored);
}

#[test]
fn both_kinds_are_read_as_they_were_written() {
    let bundle = BundleWorkflow::new("registry.example/wfe/restart:v1", "", "main").unwrap();
    for workflow in [Workflow::from(bundle), mk_inline().into()] {
        let text = serde_json::to_string(&workflow).unwrap();
        assert_eq!(serde_json::from_str::<Workflow>(&text).unwrap(), workflow, "{text}");
    }
}

#[test]
fn steps_are_named_by_their_digest_on_record() {
    let workflow = Workflow::from(mk_inline());
    let digest = workflow.digest().unwrap().into_owned();
    let hex = digest.strip_prefix("sha256:").unwrap();
    assert_eq!(workflow.reference(), format!("inline#{}", &hex[..16]));
    assert_eq!(workflow.key().as_str(), workflow.reference());
    assert_eq!((workflow.pipeline(), workflow.field()), ("", "inline"));
}

#[test]
fn the_digest_of_a_definition_is_the_same_for_ever() {
    let inline = mk_inline();
    assert_eq!(
        inline.definition(),
        r#"{"steps":[{"name":"restart","image":"registry.example/tools/kubectl:1.34","command":["kubectl","version"]}],"max_parallel":5}"#
    );
    assert_eq!(
        inline.digest(),
        "sha256:17c3adc0ba3d98bf699bc06a45db5272031014d95151aa3dd8fe3b4853a11bb2"
    );
}
