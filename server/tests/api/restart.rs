//! A crash at any moment: everything is found again, runs once, and ends.

use std::{collections::BTreeMap, time::Duration};

use rand::RngExt as _;
use wfe_proto::v1::State;
use wfe_server::tekton::simulator::CreateFault;

use crate::support::*;

#[tokio::test]
async fn a_crash_at_random_moments_while_50_executions_run_loses_nothing_and_repeats_nothing() {
    let mut stack = Stack::start().await;
    let mut ids = Vec::new();
    for n in 0..50 {
        let mut client = stack.client().await;
        let target = format!("default/pod/p-{}", n % 25);
        let mut request = mk_start_of("three-tasks-in-order", &format!("r-{n}"), &target);
        request.when_locked = wfe_proto::v1::WhenLocked::Wait.into();
        let id = eventually("the start is accepted", async || {
            client.start(request.clone()).await.ok()?.into_inner().execution
        })
        .await
        .id;
        ids.push(id);
        if n % 10 == 9 {
            let pause = rand::rng().random_range(0..60);
            tokio::time::sleep(Duration::from_millis(pause)).await;
            stack.crash_and_restart().await;
        }
    }
    let mut client = stack.client().await;
    for id in &ids {
        assert_eq!(until_terminal(&mut client, id).await.state(), State::Succeeded);
    }
    let mut runs: BTreeMap<String, usize> = BTreeMap::new();
    for snapshot in stack.cluster.runs() {
        *runs.entry(snapshot.run.execution.unwrap().to_string()).or_default() += 1;
    }
    assert_eq!(runs.len(), 50);
    assert!(runs.values().all(|count| *count == 1), "{runs:?}");
}

#[tokio::test]
async fn a_create_whose_answer_was_lost_is_adopted_and_not_repeated() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let lost = CreateFault::AnswerLost { arrives_after: Duration::from_millis(30) };
    stack.cluster.fail_next_creates(1, &lost);
    let id = start(&mut client, mk_start("r", "pod/x")).await.id;
    assert_eq!(until_terminal(&mut client, &id).await.state(), State::Succeeded);
    assert_eq!(stack.cluster.runs().len(), 1);
}

#[tokio::test]
async fn a_create_that_arrives_after_the_cancel_brings_nothing_to_life() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    for n in 0..10 {
        let lost = CreateFault::AnswerLost { arrives_after: Duration::from_millis(20 * n) };
        stack.cluster.fail_next_creates(1, &lost);
        let request = mk_start_of("never-ends", &format!("r-{n}"), &format!("default/pod/p-{n}"));
        let id = start(&mut client, request).await.id;
        cancel(&mut client, &id).await;
        assert_eq!(until_terminal(&mut client, &id).await.state(), State::Cancelled);
    }
    eventually("every create has arrived", async || {
        (stack.cluster.creates_under_way() == 0).then_some(())
    })
    .await;
    eventually("nothing is alive", async || {
        stack.cluster.runs().iter().all(|seen| !seen.run.is_live()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_run_deleted_while_the_service_was_down_is_noticed_after_the_restart() {
    let mut stack = Stack::start().await;
    let mut client = stack.client().await;
    let id = start(&mut client, mk_start_of("never-ends", "r", "pod/x")).await.id;
    let run = until_state(&mut client, &id, State::Running).await.run.unwrap().name;
    let cluster = stack.cluster.clone();
    assert!(cluster.delete_from_outside(&run));
    stack.crash_and_restart().await;
    let mut client = stack.client().await;
    assert_eq!(until_terminal(&mut client, &id).await.state(), State::Failed);
}
