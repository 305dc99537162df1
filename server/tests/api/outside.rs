//! What somebody deletes in the cluster while an execution needs it.

use wfe_proto::v1::{self, State};

use crate::support::*;

/// A step of the run is seen to run.
async fn until_it_runs(client: &mut Client, id: &str) -> v1::Execution {
    eventually("a step that runs", async || {
        let execution = get(client, id).await;
        let tasks = execution.progress.iter().flat_map(|progress| &progress.tasks);
        let runs = tasks.flat_map(|task| &task.steps).any(|step| step.start_time.is_some());
        runs.then_some(execution)
    })
    .await
}

fn assert_deleted(done: &v1::Execution, ran: bool) {
    assert_eq!(done.state(), State::Failed, "{done:?}");
    let failure = done.failure.clone().unwrap();
    assert_eq!(failure.message, "deleted from outside (lock stolen)");
    assert_eq!(failure.was_execution_failure, ran, "{failure:?}");
}

fn assert_nothing_left(stack: &Stack) {
    assert_nothing_alive(stack);
    for left in stack.cluster.left_alone() {
        assert!(left.task_runs.iter().all(|task| !task.is_live()), "{left:?}");
    }
}

#[tokio::test]
async fn of_a_run_that_is_deleted_alone_nothing_lives_on() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let id = start(&mut client, mk_start_of("never-ends", "r", "pod/x")).await.id;
    let run = until_it_runs(&mut client, &id).await.run.unwrap().name;
    assert!(stack.cluster.delete_only_the_run_from_outside(&run));
    assert_deleted(&until_terminal(&mut client, &id).await, true);
    assert_eq!(stack.cluster.left_alone().len(), 1);
    assert_nothing_left(&stack);
    assert_eq!(target(&mut client, "pod/x").await.lock, None);
}

#[tokio::test]
async fn a_cancelled_run_that_is_deleted_alone_is_cancelled_when_nothing_lives_on() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let id = start(&mut client, mk_start_of("never-ends", "r", "pod/x")).await.id;
    let run = until_it_runs(&mut client, &id).await.run.unwrap().name;
    cancel(&mut client, &id).await;
    assert!(stack.cluster.delete_only_the_run_from_outside(&run));
    assert_eq!(until_terminal(&mut client, &id).await.state(), State::Cancelled);
    assert_nothing_left(&stack);
}

#[tokio::test]
async fn what_is_deleted_while_the_service_is_down_is_found_and_may_have_run() {
    for alone in [false, true] {
        let mut stack = Stack::start().await;
        let mut client = stack.client().await;
        let id = start(&mut client, mk_start_of("image-never-comes", "r", "pod/x")).await.id;
        let run = until_state(&mut client, &id, State::Running).await.run.unwrap().name;
        stack.crash().await;
        let deleted = if alone {
            stack.cluster.delete_only_the_run_from_outside(&run)
        } else {
            stack.cluster.delete_from_outside(&run)
        };
        assert!(deleted);
        stack.restart().await;
        let mut client = stack.client().await;
        // Nobody saw what it did last.
        assert_deleted(&until_terminal(&mut client, &id).await, true);
        assert_nothing_left(&stack);
    }
}

#[tokio::test]
async fn a_run_that_is_deleted_before_anything_ran_failed_before_execution() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let id = start(&mut client, mk_start_of("image-never-comes", "r", "pod/x")).await.id;
    let run = until_state(&mut client, &id, State::Running).await.run.unwrap().name;
    assert!(stack.cluster.delete_from_outside(&run));
    assert_deleted(&until_terminal(&mut client, &id).await, false);
}

#[tokio::test]
async fn a_pod_that_is_deleted_is_made_again_and_the_run_goes_on() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let id = start(&mut client, mk_start_of("three-tasks-in-order", "r", "pod/x")).await.id;
    let run = until_it_runs(&mut client, &id).await.run.unwrap().name;
    assert!(stack.cluster.delete_pod_from_outside(&format!("{run}-a")));
    let done = until_terminal(&mut client, &id).await;
    assert_eq!(done.state(), State::Succeeded, "{done:?}");
    assert_eq!(done.progress.unwrap().succeeded, 3);
}
