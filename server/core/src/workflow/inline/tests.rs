use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::invalid::Violations;

mod order;

pub(super) fn mk_draft(name: &str, depends_on: &[&str]) -> StepDraft {
    StepDraft {
        name: name.to_owned(),
        image: "registry.example/tools/kubectl:1.34".to_owned(),
        script: "kubectl version".to_owned(),
        depends_on: depends_on.iter().map(|name| (*name).to_owned()).collect(),
        ..StepDraft::default()
    }
}

fn faults(drafts: Vec<StepDraft>) -> Vec<String> {
    let Violations(faults) = InlineWorkflow::new(drafts, 0).unwrap_err();
    faults.iter().map(ToString::to_string).collect()
}

fn fields(drafts: Vec<StepDraft>, max_parallel: i32) -> Vec<String> {
    match InlineWorkflow::new(drafts, max_parallel) {
        Ok(_) => Vec::new(),
        Err(Violations(faults)) => faults.into_iter().map(|fault| fault.field).collect(),
    }
}

#[test]
fn every_fault_of_every_step_is_named_at_once_with_its_place() {
    let drafts = vec![
        mk_draft("first", &["third"]),
        mk_draft("second", &["first", "nowhere", "first"]),
        mk_draft("third", &["second", "third"]),
        mk_draft("second", &[]),
        mk_draft("Bad_Name", &[]),
        StepDraft {
            name: "wrong".to_owned(),
            image: "UPPER CASE".to_owned(),
            command: vec![String::new(), "a\0b".to_owned()],
            env: [("1ST", "a"), ("TEKTON_HOME", "b"), ("OK", "c\0"), ("TARGET_RESOURCE", "d")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            timeout: Some(SignedDuration::ZERO),
            retries: -1,
            ..StepDraft::default()
        },
    ];
    assert_eq!(
        faults(drafts),
        [
            "steps[0].depends_on[0]: the steps wait for each other: first -> third -> second -> first",
            "steps[1].depends_on[1]: there is no step \"nowhere\"",
            "steps[1].depends_on[2]: first is there twice",
            "steps[2].depends_on[1]: a step cannot wait for itself",
            "steps[3].name: second is also the name of steps[1]",
            "steps[4].name: must be a DNS label: 1 to 63 characters of a-z 0-9 and -, with no - at an end",
            "steps[5].image: must be an OCI reference, for example registry.example/tools/kubectl:1.34: \
             invalid reference format",
            "steps[5].command[0]: must name a program",
            "steps[5].command[1]: must not hold a NUL character",
            "steps[5].env[\"1ST\"]: a name has 1 to 253 characters of A-Z a-z 0-9 and _, and starts with \
             no digit",
            "steps[5].env[\"OK\"]: must not hold a NUL character",
            "steps[5].env[\"TARGET_RESOURCE\"]: is set by the service from `target`: leave it out",
            "steps[5].env[\"TEKTON_HOME\"]: a name must not start with TEKTON_ or WFE_",
            "steps[5].timeout: must be 1 second to 7 days",
            "steps[5].retries: must be 0 to 10; it is -1",
        ]
    );
}

#[test]
fn circles_that_share_no_step_are_named_each() {
    let drafts = [("a", "b"), ("b", "a"), ("c", "d"), ("d", "c"), ("e", "a")];
    let drafts = drafts.map(|(name, after)| mk_draft(name, &[after])).to_vec();
    assert_eq!(
        faults(drafts),
        [
            "steps[0].depends_on[0]: the steps wait for each other: a -> b -> a",
            "steps[2].depends_on[0]: the steps wait for each other: c -> d -> c",
        ]
    );
}

#[test]
fn there_are_one_to_a_hundred_steps() {
    let many = |count| (0..count).map(|n| mk_draft(&format!("s{n}"), &[])).collect::<Vec<_>>();
    assert_eq!(fields(many(0), 0), ["steps"]);
    assert_eq!(fields(many(101), 0), ["steps"]);
    assert!(fields(many(1), 0).is_empty());
    assert!(fields(many(100), 0).is_empty());
}

#[test]
fn at_most_a_hundred_run_at_once_and_five_when_it_is_not_said() {
    let parallel = |wished| {
        InlineWorkflow::new(vec![mk_draft("a", &[])], wished).map(|steps| steps.max_parallel())
    };
    assert_eq!(parallel(0), Ok(5));
    assert_eq!(parallel(1), Ok(1));
    assert_eq!(parallel(100), Ok(100));
    for wrong in [-1, 101, i32::MAX, i32::MIN] {
        assert_eq!(fields(vec![mk_draft("a", &[])], wrong), ["max_parallel"], "{wrong}");
    }
}

#[test]
fn a_step_has_a_command_or_a_script() {
    let cases: [(&[&str], &str, &[&str]); 7] = [
        (&["sh", "-c", ""], "", &[]),
        (&[], "#!/bin/sh\ntrue", &[]),
        (&[], "", &["steps[0].script"]),
        (&["sh"], "true", &["steps[0].script"]),
        (&[], " \n", &["steps[0].script"]),
        (&[], "\n#!win\ndir", &["steps[0].script"]),
        (&[""], "", &["steps[0].command[0]"]),
    ];
    for (command, script, wrong) in cases {
        let mut draft = mk_draft("a", &[]);
        draft.command = command.iter().map(|text| (*text).to_owned()).collect();
        draft.script = script.to_owned();
        assert_eq!(fields(vec![draft], 0), wrong, "{command:?} {script:?}");
    }
}

#[test]
fn limits_are_met_to_the_last_byte_and_time() {
    let of = |change: &dyn Fn(&mut StepDraft)| {
        let mut draft = mk_draft("a", &[]);
        change(&mut draft);
        fields(vec![draft], 0)
    };
    let week = SignedDuration::from_hours(7 * 24);
    let milli = SignedDuration::from_millis(1);
    for (timeout, right) in [
        (SignedDuration::from_secs(1), true),
        (SignedDuration::from_secs(1) - milli, false),
        (week, true),
        (week + milli, false),
        (SignedDuration::MIN, false),
        (SignedDuration::MAX, false),
    ] {
        assert_eq!(of(&|draft| draft.timeout = Some(timeout)).is_empty(), right, "{timeout}");
    }
    for (retries, right) in [(0, true), (10, true), (11, false)] {
        assert_eq!(of(&|draft| draft.retries = retries).is_empty(), right, "{retries}");
    }
    for (bytes, right) in [(MAX_SCRIPT_BYTES, true), (MAX_SCRIPT_BYTES + 1, false)] {
        assert_eq!(of(&|draft| draft.script = "x".repeat(bytes)).is_empty(), right, "{bytes}");
    }
    for (length, right) in [(63, true), (64, false)] {
        assert_eq!(of(&|draft| draft.name = "a".repeat(length)).is_empty(), right, "{length}");
    }
}

#[test]
fn a_definition_has_at_most_256_kib_as_it_is_kept() {
    let drafts = |bytes: usize| {
        let steps = (0..4).map(|n| {
            let mut draft = mk_draft(&format!("s{n}"), &[]);
            draft.script = "x".repeat(bytes);
            draft
        });
        steps.collect::<Vec<_>>()
    };
    assert!(fields(drafts(60 * 1024), 0).is_empty());
    assert_eq!(fields(drafts(64 * 1024), 0), ["steps"]);
}

#[test]
fn a_time_out_is_kept_as_it_is_compared() {
    let of = |timeout| {
        let mut draft = mk_draft("a", &[]);
        draft.timeout = Some(timeout);
        InlineWorkflow::new(vec![draft], 0).unwrap()
    };
    let given = of(SignedDuration::new(90, 250_400_000));
    assert_eq!(given.steps()[0].timeout(), Some(Duration::from_millis(90_250)));
    let text = serde_json::to_string(&given).unwrap();
    assert_eq!(serde_json::from_str::<InlineWorkflow>(&text).unwrap(), given);
}

fn use_of(script: &str, parameters: &[(&str, &str)], workspaces: &[&str]) -> Vec<String> {
    let mut draft = mk_draft("a", &[]);
    draft.script = script.to_owned();
    let steps = InlineWorkflow::new(vec![draft], 0).unwrap();
    let parameters: BTreeMap<&str, &str> = parameters.iter().copied().collect();
    let workspaces: BTreeSet<String> = workspaces.iter().map(|name| (*name).to_owned()).collect();
    let given = Given { parameters: &parameters, workspaces: &workspaces };
    steps.check_use(given).0.iter().map(ToString::to_string).collect()
}

#[test]
fn references_to_what_is_there_are_taken_and_shell_is_left_alone() {
    let script = r#"
        echo $(params.REPLICAS) "$(params["a.b"])" $(params['REPLICAS']) $(params.TARGET_RESOURCE)
        cat $(workspaces.secret-token.path)/x $(workspaces.configmap-a.b.path)/y
        echo "$(date)" $$ ${REPLICAS} $(context.taskRun.name) $(parameters.x) $(
    "#;
    let parameters = [("REPLICAS", "3"), ("a.b", "c")];
    let workspaces = ["secret-token", "configmap-a.b"];
    assert!(use_of(script, &parameters, &workspaces).is_empty());
}

#[test]
fn references_to_what_is_not_there_are_refused() {
    for reference in [
        "$(params.MISSING)",
        "$(params.a.b)",
        "$(params[\"MISSING\"])",
        "$(params.REPLICAS[*])",
        "$(params.REPLICAS[0])",
        "$(params.)",
        "$(workspaces.secret-other.path)",
        "$(workspaces.secret-token)",
        "$(workspaces.secret-token.size)",
        "$(tasks.a.results.b)",
        "$(results.b.path)",
        "$(steps.a.results.b)",
    ] {
        let found = use_of(
            &format!("echo {reference} {reference}"),
            &[("REPLICAS", "3"), ("a.b", "c")],
            &["secret-token"],
        );
        assert_eq!(found.len(), 1, "{reference}: {found:?}");
        assert!(found[0].starts_with("steps[0].script: refers to "), "{found:?}");
    }
}

#[test]
fn references_in_commands_and_variables_are_named_with_their_place() {
    let mut draft = mk_draft("a", &[]);
    draft.script = String::new();
    draft.command = vec!["echo".to_owned(), "$(params.A)".to_owned()];
    draft.env = [("B".to_owned(), "$(params.B)".to_owned())].into();
    let steps = InlineWorkflow::new(vec![draft], 0).unwrap();
    let given = Given { parameters: &BTreeMap::new(), workspaces: &BTreeSet::new() };
    let wrong = steps.check_use(given);
    let named: Vec<&str> = wrong.0.iter().map(|fault| fault.field.as_str()).collect();
    assert_eq!(named, ["steps[0].command[1]", "steps[0].env[\"B\"]"]);
}

#[test]
fn parameters_that_are_too_much_for_so_many_steps_are_refused() {
    let value = "x".repeat(8 * 1024);
    let parameters = BTreeMap::from([("A", value.as_str())]);
    let given = Given { parameters: &parameters, workspaces: &BTreeSet::new() };
    for (count, right) in [(31, true), (32, false)] {
        let drafts = (0..count).map(|n| mk_draft(&format!("s{n}"), &[])).collect();
        let wrong = InlineWorkflow::new(drafts, 0).unwrap().check_use(given);
        assert_eq!(wrong.0.is_empty(), right, "{count}: {wrong}");
    }
    // What is no variable is not copied into the steps.
    let parameters = BTreeMap::from([("a-b", value.as_str())]);
    let given = Given { parameters: &parameters, workspaces: &BTreeSet::new() };
    let drafts = (0..100).map(|n| mk_draft(&format!("s{n}"), &[])).collect();
    assert!(InlineWorkflow::new(drafts, 0).unwrap().check_use(given).0.is_empty());
}
