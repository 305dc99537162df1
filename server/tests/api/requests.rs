//! Start: accepted once, for ever.

use std::collections::BTreeSet;

use futures::future::join_all;
use tonic::Code;
use tonic_types::StatusExt as _;
use wfe_proto::v1::{self, EventType, FailureReason, StartOutcome, State, TaskState};
use wfe_server::tekton::simulator::CreateFault;

use crate::support::*;

#[tokio::test]
async fn a_start_becomes_a_run_and_ends_with_its_steps_and_times() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let accepted =
        start(&mut client, mk_start_of("three-tasks-in-order", "r-1", "default/Deployment/api"))
            .await;
    assert_eq!(accepted.state(), State::Starting);
    assert_eq!(accepted.target, "default/deployment/api");
    assert_eq!(accepted.target_as_given, "default/Deployment/api");

    let done = until_terminal(&mut client, &accepted.id).await;
    assert_eq!(done.state(), State::Succeeded);
    let progress = done.progress.unwrap();
    assert_eq!((progress.total, progress.succeeded, progress.failed), (3, 3, 0));
    let names: Vec<&str> = progress.tasks.iter().map(|task| task.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    for pair in progress.tasks.windows(2) {
        let (before, after) = (pair[0].end_time.unwrap(), pair[1].start_time.unwrap());
        assert!((before.seconds, before.nanos) <= (after.seconds, after.nanos), "{pair:?}");
    }
    for step in progress.tasks.iter().flat_map(|task| &task.steps) {
        assert_eq!((step.state(), step.exit_code), (TaskState::Succeeded, Some(0)));
        assert!(step.start_time.is_some() && step.end_time.is_some());
    }
    let run = done.run.unwrap();
    assert!(run.name.starts_with("wfe-") && run.name.ends_with("-1") && !run.uid.is_empty());
    assert_eq!((run.namespace.as_str(), run.epoch), ("kubernaut-workflows", 1));

    let types: Vec<EventType> =
        events(&mut client, &accepted.id).await.iter().map(v1::ExecutionEvent::r#type).collect();
    assert_eq!(types[..3], [EventType::Accepted, EventType::Admitted, EventType::RunCreated]);
    assert_eq!(types.last(), Some(&EventType::Succeeded));
    // How often a run is looked at is a matter of time; that it is told in between is not.
    let between = &types[3..types.len() - 1];
    assert!(between.iter().all(|kind| *kind == EventType::Progressed), "{types:?}");
}

#[tokio::test]
async fn each_outcome_is_told_as_what_it_is() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let cases = [
        ("step-exits-1", FailureReason::TaskFailed, true, Some(1)),
        ("oom-killed", FailureReason::OomKilled, true, Some(137)),
        ("image-cannot-be-pulled", FailureReason::ImagePullBackOff, false, None),
        ("missing", FailureReason::ConfigurationError, false, None),
    ];
    for (bundle, reason, ran, exit_code) in cases {
        let target = format!("default/deployment/{bundle}");
        let accepted = start(&mut client, mk_start_of(bundle, bundle, &target)).await;
        let done = until_terminal(&mut client, &accepted.id).await;
        assert_eq!(done.state(), State::Failed, "{bundle}");
        let failure = done.failure.unwrap();
        assert_eq!(
            (failure.reason(), failure.was_execution_failure, failure.exit_code),
            (reason, ran, exit_code),
            "{bundle}: {failure:?}"
        );
        assert!(!failure.summary.is_empty() && !failure.raw_reason.is_empty(), "{failure:?}");
    }
}

#[tokio::test]
async fn the_same_request_gets_the_same_execution_during_after_and_after_a_restart() {
    let mut stack = Stack::start().await;
    let mut client = stack.client().await;
    let request = || mk_start("same", "pod/x");
    let first = client.start(request()).await.unwrap().into_inner();
    assert_eq!(first.outcome(), StartOutcome::Accepted);
    let id = first.execution.unwrap().id;

    let again = client.start(request()).await.unwrap().into_inner();
    assert_eq!(
        (again.outcome(), again.execution.unwrap().id),
        (StartOutcome::Repeated, id.clone())
    );

    until_terminal(&mut client, &id).await;
    let after = client.start(request()).await.unwrap().into_inner();
    assert_eq!(after.outcome(), StartOutcome::Repeated);
    assert_eq!(after.execution.unwrap().state(), State::Succeeded);

    stack.crash_and_restart().await;
    let mut client = stack.client().await;
    let restarted = eventually("the service answers", async || {
        client.start(request()).await.ok().map(tonic::Response::into_inner)
    })
    .await;
    assert_eq!(restarted.execution.unwrap().id, id);
    assert_eq!(stack.cluster.runs().len(), 1);
}

#[tokio::test]
async fn many_connections_repeating_one_request_get_one_execution() {
    let stack = Stack::start().await;
    let answers = join_all((0..20).map(|_| async {
        let mut client = stack.client().await;
        start(&mut client, mk_start("same", "pod/x")).await.id
    }))
    .await;
    assert_eq!(BTreeSet::from_iter(&answers).len(), 1);
    assert_eq!(stored(&stack).await.1, 1);
}

#[tokio::test]
async fn another_body_under_the_same_request_id_is_refused_with_the_field_that_differs() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    start(&mut client, mk_start("same", "pod/x")).await;
    let mut other = mk_start("same", "pod/x");
    other.parameters.insert("A".to_owned(), "1".to_owned());
    let status = client.start(other).await.unwrap_err();
    refused(&status, Code::AlreadyExists, "REQUEST_ID_REUSED");
    let details = status.get_error_details();
    assert_eq!(details.error_info().unwrap().metadata["field"], "parameters");

    let status = client.start(mk_start("same", "pod/y")).await.unwrap_err();
    assert_eq!(status.get_error_details().error_info().unwrap().metadata["field"], "target");
}

#[tokio::test]
async fn validate_only_answers_what_would_be_and_stores_nothing() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let validate = |target: &str| v1::StartRequest { validate_only: true, ..mk_start("v", target) };
    let answer = client.start(validate("pod/x")).await.unwrap().into_inner();
    assert_eq!(answer.outcome(), StartOutcome::Validated);
    let execution = answer.execution.unwrap();
    assert_eq!((execution.id.as_str(), execution.state()), ("", State::Starting));
    assert_eq!(stored(&stack).await, (0, 0));

    start(&mut client, mk_start_of("never-ends", "holder", "pod/x")).await;
    let status = client.start(validate("pod/x")).await.unwrap_err();
    refused(&status, Code::Aborted, "TARGET_LOCKED");
    assert_eq!(stored(&stack).await, (1, 1));
}

#[tokio::test]
async fn exactly_the_declared_parameters_reach_the_run() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let mut request = mk_start("r", "pod/x");
    for name in ["A", "B"] {
        request.parameters.insert(name.to_owned(), "1".to_owned());
    }
    request.declared_parameters = Some(v1::DeclaredParameters { names: vec!["B".to_owned()] });
    let execution = start(&mut client, request).await;
    assert_eq!(execution.parameters.keys().collect::<Vec<_>>(), ["B"]);
}

/// So many seconds from now.
fn in_seconds(seconds: i64) -> prost_types::Timestamp {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let seconds = i64::try_from(now).unwrap() + seconds;
    prost_types::Timestamp { seconds, nanos: 0 }
}

#[tokio::test]
async fn a_repeated_start_whose_deadline_has_passed_by_now_is_repeated() {
    let mut stack = Stack::start().await;
    let mut client = stack.client().await;
    let request = v1::StartRequest {
        deadline: Some(in_seconds(2)),
        ..mk_start_of("never-ends", "r", "pod/x")
    };
    let id = start(&mut client, request.clone()).await.id;
    let done = until_terminal(&mut client, &id).await;
    // By this it is known that the deadline has passed.
    assert_eq!(done.failure.as_ref().unwrap().reason(), FailureReason::DeadlineExceeded);
    let again = client.start(request.clone()).await.unwrap().into_inner();
    assert_eq!(again.outcome(), StartOutcome::Repeated);
    assert_eq!(again.execution.as_ref(), Some(&done));
    let validated = v1::StartRequest { validate_only: true, ..request.clone() };
    let validated = client.start(validated).await.unwrap().into_inner();
    assert_eq!(validated.outcome(), StartOutcome::Repeated);

    stack.crash_and_restart().await;
    let mut client = stack.client().await;
    let restarted =
        eventually("the service answers", async || match client.start(request.clone()).await {
            Ok(answer) => Some(answer.into_inner()),
            Err(status) => {
                refused(&status, Code::Unavailable, "CLUSTER_UNAVAILABLE");
                None
            }
        })
        .await;
    assert_eq!(restarted.outcome(), StartOutcome::Repeated);
    assert_eq!(restarted.execution, Some(done));
}

#[tokio::test]
async fn a_new_start_whose_deadline_has_passed_is_refused_and_names_the_deadline() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    start(&mut client, mk_start_of("never-ends", "holder", "pod/held")).await;
    // Also when the target could not be had anyway.
    for target in ["pod/free", "pod/held"] {
        let request = v1::StartRequest { deadline: Some(in_seconds(-1)), ..mk_start("r", target) };
        let status = client.start(request).await.unwrap_err();
        assert_eq!(violated(&status), ["deadline"], "{target}");
        assert!(status.message().contains("must be in the future"), "{status:?}");
    }
    assert_eq!(stored(&stack).await, (1, 1));
}

#[tokio::test]
async fn a_deadline_ends_a_run_that_does_not_end_itself() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let mut request = mk_start_of("never-ends", "r", "pod/x");
    request.deadline = Some(in_seconds(2));
    let id = start(&mut client, request).await.id;
    let done = until_terminal(&mut client, &id).await;
    assert_eq!(done.failure.unwrap().reason(), FailureReason::DeadlineExceeded);
    assert_eq!(target(&mut client, "pod/x").await.lock, None);
}

fn mk_sensitive(value: &str) -> v1::StartRequest {
    let mut request = mk_start("same", "pod/x");
    request.parameters.insert("CODE".to_owned(), value.to_owned());
    request.parameters.insert("TOKEN".to_owned(), "swordfish".to_owned());
    v1::StartRequest { sensitive_parameters: vec!["CODE".to_owned()], ..request }
}

#[tokio::test]
async fn a_repetition_with_a_sensitive_value_gets_its_execution_and_another_value_is_named_as_parameters()
 {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let first = start(&mut client, mk_sensitive("hunter2")).await;
    for name in ["CODE", "TOKEN"] {
        assert!(first.parameters[name].starts_with("sensitive:hmac-sha256:"), "{first:?}");
    }
    // How a value is kept makes no other request of it.
    for marked in [vec!["CODE"], vec![], vec!["CODE", "TOKEN"]] {
        let sensitive_parameters = marked.into_iter().map(ToOwned::to_owned).collect();
        let again = v1::StartRequest { sensitive_parameters, ..mk_sensitive("hunter2") };
        let answer = client.start(again).await.unwrap().into_inner();
        assert_eq!(answer.outcome(), StartOutcome::Repeated);
        assert_eq!(answer.execution.unwrap().id, first.id);
    }
    let status = client.start(mk_sensitive("hunter3")).await.unwrap_err();
    refused(&status, Code::AlreadyExists, "REQUEST_ID_REUSED");
    let details = status.get_error_details();
    assert_eq!(details.error_info().unwrap().metadata["field"], "parameters");
    assert!(!format!("{status:?}").contains("hunter"), "{status:?}");
}

#[tokio::test]
async fn a_name_marked_as_sensitive_that_is_no_parameter_is_refused_with_its_place() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let mut request = mk_sensitive("hunter2");
    request.sensitive_parameters = ["CODE", "CODES", "TARGET_RESOURCE"].map(Into::into).to_vec();
    let status = client.start(request).await.unwrap_err();
    assert_eq!(violated(&status), ["sensitive_parameters[1]", "sensitive_parameters[2]"]);
    assert_eq!(stored(&stack).await, (0, 0));
}

#[tokio::test]
async fn what_the_cluster_repeats_of_a_sensitive_value_is_hidden_while_a_run_cannot_be_created() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let message = "quota: cannot admit CODE=hunter2, TOKEN=\"swordfish\"".to_owned();
    stack.cluster.fail_next_creates(2, &CreateFault::Later { message, retry_after: None });
    let execution = start(&mut client, mk_sensitive("hunter2")).await;
    until_terminal(&mut client, &execution.id).await;
    let told = format!("{:?}", events(&mut client, &execution.id).await);
    let expected = "quota: cannot admit CODE=[sensitive], TOKEN=\\\"[sensitive]\\\"";
    assert!(told.contains(expected), "{told}");
    assert!(!told.contains("hunter2") && !told.contains("swordfish"), "{told}");
}
