//! Cancel: over only when nothing is alive.

use std::time::Duration;

use rand::RngExt as _;
use wfe_proto::v1::{self, EventType, State, WhenLocked};
use wfe_server::tekton::simulator::SimulatorConfig;

use crate::support::*;

#[tokio::test]
async fn a_running_execution_is_cancelled_and_its_target_is_free() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let id = start(&mut client, mk_start_of("never-ends", "r", "pod/x")).await.id;
    until_state(&mut client, &id, State::Running).await;
    let answered = cancel(&mut client, &id).await;
    assert_eq!(answered.state(), State::Cancelling);
    let done = until_terminal(&mut client, &id).await;
    assert_eq!(done.state(), State::Cancelled);
    let cancellation = done.cancellation.unwrap();
    assert_eq!(cancellation.reason, "a test");
    assert_eq!(cancellation.actor.unwrap().user, "anonymous");
    assert_eq!(target(&mut client, "pod/x").await.lock, None);
    assert_nothing_alive(&stack);
}

#[tokio::test]
async fn a_waiting_execution_is_cancelled_at_once_and_never_runs() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    start(&mut client, mk_start_of("never-ends", "holder", "pod/x")).await;
    let waiting =
        v1::StartRequest { when_locked: WhenLocked::Wait.into(), ..mk_start("r", "pod/x") };
    let id = start(&mut client, waiting).await.id;
    let cancelled = cancel(&mut client, &id).await;
    assert_eq!((cancelled.state(), cancelled.run), (State::Cancelled, None));
    assert_eq!(target(&mut client, "pod/x").await.queue, []);
}

#[tokio::test]
async fn cancelling_twice_or_too_late_changes_nothing_and_is_no_error() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let id = start(&mut client, mk_start_of("never-ends", "r", "pod/x")).await.id;
    cancel(&mut client, &id).await;
    cancel(&mut client, &id).await;
    let done = until_terminal(&mut client, &id).await;
    assert_eq!(cancel(&mut client, &id).await, done);
    let requests = events(&mut client, &id).await;
    let requests = requests.iter().filter(|e| e.r#type() == EventType::CancelRequested).count();
    assert_eq!(requests, 1);

    let id = start(&mut client, mk_start("other", "pod/x")).await.id;
    let done = until_terminal(&mut client, &id).await;
    assert_eq!(done.state(), State::Succeeded);
    assert_eq!(cancel(&mut client, &id).await, done);
}

#[tokio::test]
async fn a_cancel_within_the_first_moments_leaves_nothing_alive() {
    // Tekton leaves TaskRuns behind when it is told so early; the simulator does the same here.
    let stack = Stack::with(SimulatorConfig {
        task_time: Duration::from_millis(200),
        orphan_window: Duration::from_millis(150),
        ..SimulatorConfig::default()
    })
    .await;
    let mut client = stack.client().await;
    let mut ids = Vec::new();
    for n in 0..100 {
        let request = mk_start_of("never-ends", &format!("r-{n}"), &format!("default/pod/p-{n}"));
        let id = start(&mut client, request).await.id;
        let pause = rand::rng().random_range(0..20);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        cancel(&mut client, &id).await;
        ids.push(id);
    }
    for id in &ids {
        assert_eq!(until_terminal(&mut client, id).await.state(), State::Cancelled);
    }
    assert_nothing_alive(&stack);
}

#[tokio::test]
async fn a_run_cancelled_behind_our_back_ends_as_cancelled_from_outside() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let id = start(&mut client, mk_start_of("never-ends", "r", "pod/x")).await.id;
    let run = until_state(&mut client, &id, State::Running).await.run.unwrap().name;
    assert!(stack.cluster.cancel_from_outside(&run));
    let done = until_terminal(&mut client, &id).await;
    assert_eq!(done.state(), State::Cancelled);
    let cancellation = done.cancellation.unwrap();
    assert!(cancellation.reason.contains("from outside"));
    assert_eq!(cancellation.actor.unwrap().user, "wfe-server");
}

#[tokio::test]
async fn a_run_deleted_behind_our_back_ends_as_failed_and_frees_the_target() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let id = start(&mut client, mk_start_of("never-ends", "r", "pod/x")).await.id;
    let run = until_state(&mut client, &id, State::Running).await.run.unwrap().name;
    assert!(stack.cluster.delete_from_outside(&run));
    let done = until_terminal(&mut client, &id).await;
    assert_eq!(done.state(), State::Failed);
    let failure = done.failure.unwrap();
    assert!(failure.summary.contains("deleted from outside"));
    assert_eq!(failure.message, "deleted from outside (lock stolen)");
    assert_eq!(target(&mut client, "pod/x").await.lock, None);
}

#[tokio::test]
async fn a_task_run_deleted_behind_our_back_is_made_again_and_the_run_goes_on() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let id = start(&mut client, mk_start_of("three-tasks-in-order", "r", "pod/x")).await.id;
    let run = until_state(&mut client, &id, State::Running).await.run.unwrap().name;
    eventually("a TaskRun to delete", async || {
        stack.cluster.delete_task_run_from_outside(&run).then_some(())
    })
    .await;
    let done = until_terminal(&mut client, &id).await;
    assert_eq!(done.state(), State::Succeeded, "{done:?}");
    assert_eq!(done.progress.unwrap().succeeded, 3);
}
