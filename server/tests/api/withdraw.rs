//! Cancel by request id: nothing of the request runs afterwards, whether or not its Start arrived.

use futures::future::{join, join_all};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use wfe_proto::v1::{self, EventType, StartOutcome, State, WhenLocked, get_request::Key};

use crate::support::*;

/// Cancels a request. Answers its execution, or `None` when it is withdrawn.
async fn cancel_request(client: &mut Client, id: &str, reason: &str) -> Option<v1::Execution> {
    let request = v1::CancelRequest {
        request_id: id.to_owned(),
        reason: reason.to_owned(),
        ..v1::CancelRequest::default()
    };
    client.cancel(request).await.unwrap().into_inner().execution
}

/// Asserts that a Start was refused because its request is withdrawn. Answers who did it and why.
fn withdrawn(status: &Status, id: &str) -> String {
    refused(status, Code::FailedPrecondition, "REQUEST_WITHDRAWN");
    let details = status.get_error_details();
    let metadata = &details.error_info().unwrap().metadata;
    assert_eq!(metadata["request_id"], id);
    assert!(metadata["withdraw_time"].parse::<jiff::Timestamp>().is_ok(), "{metadata:?}");
    let violations = &details.precondition_failure().unwrap().violations;
    let [violation] = violations.as_slice() else { panic!("{violations:?}") };
    assert_eq!((violation.r#type.as_str(), violation.subject.as_str()), ("REQUEST", id));
    violation.description.clone()
}

#[tokio::test]
async fn the_execution_of_a_request_is_stopped_by_the_id_of_the_request() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let request = || mk_start_of("never-ends", "r", "pod/x");
    let id = start(&mut client, request()).await.id;
    until_state(&mut client, &id, State::Running).await;
    let answered = cancel_request(&mut client, "r", "not needed").await.unwrap();
    assert_eq!((answered.id.as_str(), answered.state()), (id.as_str(), State::Cancelling));
    assert_eq!(answered.cancellation.unwrap().reason, "not needed");

    let done = until_terminal(&mut client, &id).await;
    assert_eq!(done.state(), State::Cancelled);
    // As by the id of the execution: again and too late is no error, and changes nothing.
    assert_eq!(cancel_request(&mut client, "r", "again").await.as_ref(), Some(&done));
    let asked = events(&mut client, &id).await;
    let asked = asked.iter().filter(|e| e.r#type() == EventType::CancelRequested).count();
    assert_eq!(asked, 1);
    // And the request stays the one that was accepted.
    let again = client.start(request()).await.unwrap().into_inner();
    assert_eq!(again.outcome(), StartOutcome::Repeated);
    assert_eq!(again.execution, Some(done));
}

#[tokio::test]
async fn a_request_that_waits_is_cancelled_by_its_id_at_once() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    start(&mut client, mk_start_of("never-ends", "holder", "pod/x")).await;
    let waits = v1::StartRequest { when_locked: WhenLocked::Wait.into(), ..mk_start("r", "pod/x") };
    let id = start(&mut client, waits).await.id;
    let cancelled = cancel_request(&mut client, "r", "not needed").await.unwrap();
    assert_eq!((cancelled.id.as_str(), cancelled.state()), (id.as_str(), State::Cancelled));
    assert_eq!(target(&mut client, "pod/x").await.queue, []);
}

#[tokio::test]
async fn a_request_that_was_cancelled_before_its_start_never_runs() {
    let mut stack = Stack::start().await;
    let mut client = stack.client().await;
    assert_eq!(cancel_request(&mut client, "r", "its object was deleted").await, None);

    let starts = [
        mk_start("r", "pod/x"),
        mk_start("r", "pod/other"),
        v1::StartRequest { when_locked: WhenLocked::Wait.into(), ..mk_start("r", "pod/x") },
        v1::StartRequest { validate_only: true, ..mk_start("r", "pod/x") },
    ];
    for request in &starts {
        let status = client.start(request.clone()).await.unwrap_err();
        let why = withdrawn(&status, "r");
        assert_eq!(why, "anonymous withdrew it: its object was deleted");
    }
    stack.crash_and_restart().await;
    let mut client = stack.client().await;
    for request in &starts {
        let status = eventually("the cluster is known again", async || {
            let status = client.start(request.clone()).await.unwrap_err();
            (status.code() != Code::Unavailable).then_some(status)
        })
        .await;
        withdrawn(&status, "r");
    }
    assert_eq!(stored(&stack).await, (0, 0));
    assert_eq!(stack.cluster.runs().len(), 0);
    let key = Some(Key::RequestId("r".to_owned()));
    let status = client.get(v1::GetRequest { key }).await.unwrap_err();
    refused(&status, Code::NotFound, "NOT_FOUND");
    // Another request is another request.
    let id = start(&mut client, mk_start("r2", "pod/x")).await.id;
    assert_eq!(until_terminal(&mut client, &id).await.state(), State::Succeeded);
}

#[tokio::test]
async fn cancelling_again_is_no_error_and_the_first_withdrawal_stands() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    assert_eq!(cancel_request(&mut client, "r", "the first").await, None);
    let first = client.start(mk_start("r", "pod/x")).await.unwrap_err();
    assert_eq!(cancel_request(&mut client, "r", "the second").await, None);
    let second = client.start(mk_start("r", "pod/x")).await.unwrap_err();
    assert_eq!(withdrawn(&second, "r"), "anonymous withdrew it: the first");
    let when = |status: &Status| {
        status.get_error_details().error_info().unwrap().metadata["withdraw_time"].clone()
    };
    assert_eq!(when(&first), when(&second));
}

#[tokio::test]
async fn who_attached_is_withdrawn_and_what_it_followed_goes_on() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let holder = start(&mut client, mk_start_of("never-ends", "holder", "pod/x")).await.id;
    let follow =
        v1::StartRequest { when_locked: WhenLocked::Attach.into(), ..mk_start("r", "pod/x") };
    let attached = client.start(follow.clone()).await.unwrap().into_inner();
    assert_eq!(attached.outcome(), StartOutcome::Attached);

    assert_eq!(cancel_request(&mut client, "r", "not needed").await, None);
    until_state(&mut client, &holder, State::Running).await;
    assert_eq!(get(&mut client, &holder).await.cancellation, None);
    withdrawn(&client.start(follow).await.unwrap_err(), "r");
}

#[tokio::test]
async fn a_request_is_withdrawn_also_while_the_cluster_is_away() {
    let mut stack = Stack::start().await;
    stack.cluster.take_api_server_away();
    stack.crash_and_restart().await;
    let mut client = stack.client().await;
    let status = client.start(mk_start("r", "pod/x")).await.unwrap_err();
    refused(&status, Code::Unavailable, "CLUSTER_UNAVAILABLE");
    assert_eq!(cancel_request(&mut client, "r", "not needed").await, None);
    stack.cluster.bring_api_server_back();
    let status = eventually("the cluster is known again", async || {
        let status = client.start(mk_start("r", "pod/x")).await.unwrap_err();
        (status.code() != Code::Unavailable).then_some(status)
    })
    .await;
    withdrawn(&status, "r");
}

#[tokio::test]
async fn the_longest_reason_is_kept_and_its_beginning_fits_into_the_error() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    assert_eq!(cancel_request(&mut client, "r", &"\u{1f980}".repeat(2000)).await, None);
    let status = client.start(mk_start("r", "pod/x")).await.unwrap_err();
    let expected = format!("anonymous withdrew it: {}…", "\u{1f980}".repeat(199));
    assert_eq!(withdrawn(&status, "r"), expected);
}

#[tokio::test]
async fn of_a_start_and_a_cancel_at_the_same_moment_one_comes_first() {
    let stack = Stack::start().await;
    let clients = join_all((0..4).map(|_| stack.client())).await;
    let answers = join_all((0..50).map(|n| {
        let mut one = clients[n % clients.len()].clone();
        let mut other = clients[(n + 1) % clients.len()].clone();
        async move {
            let request_id = format!("r-{n}");
            let request = mk_start_of("never-ends", &request_id, &format!("default/pod/p-{n}"));
            let start = async { one.start(request).await };
            let cancel = cancel_request(&mut other, &request_id, "not needed");
            // Now this, now that is sent first.
            let (started, cancelled) = if n.is_multiple_of(2) {
                join(start, cancel).await
            } else {
                let (cancelled, started) = join(cancel, start).await;
                (started, cancelled)
            };
            (request_id, started, cancelled)
        }
    }))
    .await;
    let mut client = stack.client().await;
    let mut accepted = 0;
    for (request_id, started, cancelled) in answers {
        match (started, cancelled) {
            (Ok(started), Some(cancelled)) => {
                accepted += 1;
                let started = started.into_inner().execution.unwrap();
                assert_eq!(started.id, cancelled.id);
                let done = until_terminal(&mut client, &started.id).await;
                assert_eq!(done.state(), State::Cancelled);
            }
            (Err(status), None) => {
                withdrawn(&status, &request_id);
            }
            both => panic!("{request_id}: {both:?}"),
        }
    }
    assert_eq!(stored(&stack).await, (0, accepted));
    assert_nothing_alive(&stack);
}
