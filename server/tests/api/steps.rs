//! Workflows of steps that are given in the request.

use std::collections::BTreeMap;

use tonic::Code;
use tonic_types::StatusExt as _;
use wfe_proto::v1::{self, FailureReason, StartOutcome, State, execution, start_request::Workflow};

use crate::support::*;

fn mk_step(name: &str, depends_on: &[&str]) -> v1::InlineStep {
    v1::InlineStep {
        name: name.to_owned(),
        image: "registry.example/tools/kubectl:1.34".to_owned(),
        script: "true".to_owned(),
        depends_on: depends_on.iter().map(|name| (*name).to_owned()).collect(),
        ..v1::InlineStep::default()
    }
}

fn mk_inline(request_id: &str, steps: Vec<v1::InlineStep>) -> v1::StartRequest {
    v1::StartRequest {
        workflow: Some(Workflow::Inline(v1::InlineWorkflow { steps, max_parallel: 0 })),
        ..mk_start(request_id, &format!("pod/{request_id}"))
    }
}

/// Steps with everything that a step can have.
fn mk_full() -> Vec<v1::InlineStep> {
    let last = v1::InlineStep {
        command: vec!["kubectl".to_owned(), "version".to_owned()],
        script: String::new(),
        env: [("REGION".to_owned(), "north".to_owned())].into(),
        timeout: Some(prost_types::Duration { seconds: 90, nanos: 500_000_000 }),
        retries: 2,
        ..mk_step("last", &["left", "right"])
    };
    vec![mk_step("first", &[]), mk_step("left", &["first"]), mk_step("right", &["first"]), last]
}

fn steps_of(execution: &v1::Execution) -> &v1::InlineWorkflow {
    match &execution.workflow {
        Some(execution::Workflow::Inline(inline)) => inline,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn steps_run_in_their_order_and_are_shown_as_they_were_given() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let accepted = start(&mut client, mk_inline("r", mk_full())).await;
    let done = until_terminal(&mut client, &accepted.id).await;
    assert_eq!(done.state(), State::Succeeded, "{:?}", done.failure);
    assert_eq!(steps_of(&done).steps, mk_full());
    assert_eq!(steps_of(&done).max_parallel, 5);

    let progress = done.progress.unwrap();
    assert_eq!((progress.total, progress.succeeded), (4, 4));
    let times: BTreeMap<&str, _> = progress
        .tasks
        .iter()
        .map(|task| {
            let key = |time: prost_types::Timestamp| (time.seconds, time.nanos);
            (task.name.as_str(), (key(task.start_time.unwrap()), key(task.end_time.unwrap())))
        })
        .collect();
    for step in &mk_full() {
        for before in &step.depends_on {
            let (begun, ended) = (times[step.name.as_str()].0, times[before.as_str()].1);
            assert!(ended <= begun, "{} before the end of {before}", step.name);
        }
    }
}

#[tokio::test]
async fn a_list_has_the_names_of_steps_and_not_what_they_do() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    start(&mut client, mk_inline("r", mk_full())).await;
    let listed = client.list(v1::ListRequest::default()).await.unwrap().into_inner().executions;
    let steps = &steps_of(&listed[0]).steps;
    let names: Vec<&str> = steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, ["first", "left", "right", "last"]);
    assert!(
        steps.iter().all(|step| {
            step.script.is_empty() && step.command.is_empty() && step.env.is_empty()
        })
    );
}

#[tokio::test]
async fn a_step_that_fails_is_named_and_those_after_it_do_not_run() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let fails = v1::InlineStep {
        image: "registry.example/fates/step-exits-1:v1".to_owned(),
        retries: 1,
        ..mk_step("repair", &["look"])
    };
    let steps = vec![mk_step("look", &[]), fails, mk_step("check", &["repair"])];
    let accepted = start(&mut client, mk_inline("r", steps)).await;
    let failure = until_terminal(&mut client, &accepted.id).await.failure.unwrap();
    assert_eq!(failure.reason(), FailureReason::TaskFailed);
    assert_eq!((failure.task.as_str(), failure.exit_code), ("repair", Some(1)));
    assert_eq!(failure.attempt, 2);
}

#[tokio::test]
async fn a_step_that_is_tried_again_may_succeed() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let step = v1::InlineStep {
        image: "registry.example/fates/retry-succeeds:v1".to_owned(),
        retries: 1,
        ..mk_step("only", &[])
    };
    let accepted = start(&mut client, mk_inline("r", vec![step])).await;
    let done = until_terminal(&mut client, &accepted.id).await;
    assert_eq!(done.state(), State::Succeeded);
}

#[tokio::test]
async fn everything_that_is_wrong_with_steps_is_named_and_nothing_is_stored() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let many: Vec<_> = (0..101).map(|n| mk_step(&format!("s{n}"), &[])).collect();
    let faulty = vec![
        mk_step("a", &["b"]),
        mk_step("b", &["a"]),
        mk_step("b", &[]),
        mk_step("c", &["nowhere"]),
        mk_step("Not_A_Name", &[]),
    ];
    let refers = |text: &str| vec![v1::InlineStep { script: text.to_owned(), ..mk_step("a", &[]) }];
    let times = |seconds, nanos| {
        let timeout = Some(prost_types::Duration { seconds, nanos });
        vec![v1::InlineStep { timeout, ..mk_step("a", &[]) }]
    };
    let cases: Vec<(Vec<v1::InlineStep>, &[&str])> = vec![
        (vec![], &["inline.steps"]),
        (many, &["inline.steps"]),
        (
            faulty,
            &[
                "inline.steps[0].depends_on[0]",
                "inline.steps[2].name",
                "inline.steps[3].depends_on[0]",
                "inline.steps[4].name",
            ],
        ),
        (refers("echo $(params.MISSING)"), &["inline.steps[0].script"]),
        (refers("cat $(workspaces.secret-a.path)/x"), &["inline.steps[0].script"]),
        (times(-1, 0), &["inline.steps[0].timeout"]),
        (times(i64::MAX, i32::MAX), &["inline.steps[0].timeout"]),
        (times(i64::MIN, i32::MIN), &["inline.steps[0].timeout"]),
    ];
    for (steps, fields) in cases {
        for validate_only in [false, true] {
            let request = v1::StartRequest { validate_only, ..mk_inline("r", steps.clone()) };
            let status = client.start(request).await.unwrap_err();
            refused(&status, Code::InvalidArgument, "INVALID_REQUEST");
            assert_eq!(violated(&status), fields, "{status:?}");
        }
    }
    let workflow = Some(Workflow::Inline(v1::InlineWorkflow {
        steps: vec![mk_step("a", &[])],
        max_parallel: 101,
    }));
    let request = v1::StartRequest { workflow, ..mk_inline("r", vec![]) };
    let status = client.start(request).await.unwrap_err();
    assert_eq!(violated(&status), ["inline.max_parallel"]);
    assert_eq!(stored(&stack).await, (0, 0));
}

#[tokio::test]
async fn parameters_that_do_not_reach_the_run_cannot_be_referred_to() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let script = "echo $(params.A) $(params.TARGET_RESOURCE)".to_owned();
    let steps = vec![v1::InlineStep { script, ..mk_step("a", &[]) }];
    let request = |names: &[&str]| v1::StartRequest {
        parameters: [("A".to_owned(), "1".to_owned())].into(),
        declared_parameters: Some(v1::DeclaredParameters {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
        }),
        ..mk_inline("r", steps.clone())
    };
    let status = client.start(request(&["B"])).await.unwrap_err();
    assert_eq!(violated(&status), ["inline.steps[0].script"]);
    start(&mut client, request(&["A"])).await;
}

#[tokio::test]
async fn steps_are_validated_without_being_stored() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let request = v1::StartRequest { validate_only: true, ..mk_inline("r", mk_full()) };
    let answer = client.start(request).await.unwrap().into_inner();
    assert_eq!(answer.outcome(), StartOutcome::Validated);
    assert_eq!(stored(&stack).await, (0, 0));
}

#[tokio::test]
async fn the_same_steps_are_the_same_request_after_a_restart_and_others_are_not() {
    let mut stack = Stack::start().await;
    let mut client = stack.client().await;
    let first = start(&mut client, mk_inline("r", mk_full())).await;
    until_terminal(&mut client, &first.id).await;
    stack.crash_and_restart().await;
    let mut client = stack.client().await;
    assert_eq!(start(&mut client, mk_inline("r", mk_full())).await.id, first.id);
    let mut other = mk_full();
    other[3].retries = 3;
    let status = client.start(mk_inline("r", other)).await.unwrap_err();
    refused(&status, Code::AlreadyExists, "REQUEST_ID_REUSED");
    assert_eq!(status.get_details_error_info().unwrap().metadata["field"], "inline");
}

#[tokio::test]
async fn the_first_entry_of_the_log_has_the_whole_definition() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let sensitive = v1::StartRequest {
        parameters: [("TOKEN".to_owned(), "hunter2 is the word".to_owned())].into(),
        ..mk_inline("r", mk_full())
    };
    let accepted = start(&mut client, sensitive).await;
    until_terminal(&mut client, &accepted.id).await;
    let entries = stack.logged(&["transition"]).await;
    let text = serde_json::to_string(&entries[0].what).unwrap();
    assert!(text.contains(r#""name":"right""#) && text.contains(r#""REGION":"north""#), "{text}");
    let digest = entries[0].about.workflow.as_ref().unwrap().digest.clone().unwrap();
    assert!(digest.starts_with("sha256:"));
    for entry in &entries {
        assert_eq!(entry.about.workflow.as_ref().unwrap().digest.as_ref(), Some(&digest));
        assert!(!format!("{entry:?}").contains("hunter2"));
    }
}
