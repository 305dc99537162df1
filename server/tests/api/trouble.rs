//! When the cluster is not as it should be.

use tonic::Code;
use tonic_types::StatusExt as _;
use wfe_core::failure::FailureReason as Reason;
use wfe_proto::v1::{EventType, FailureReason, State};
use wfe_server::tekton::simulator::CreateFault;

use crate::support::*;

#[tokio::test]
async fn an_execution_is_tried_again_while_the_api_server_is_away_and_says_so() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    stack.cluster.take_api_server_away();
    let id = start(&mut client, mk_start("r", "pod/x")).await.id;
    eventually("the obstacle is shown", async || {
        Some(get(&mut client, &id).await).filter(|execution| !execution.obstacle.is_empty())
    })
    .await;
    stack.cluster.bring_api_server_back();
    assert_eq!(until_terminal(&mut client, &id).await.state(), State::Succeeded);
    let delays = events(&mut client, &id).await;
    let delays = delays.iter().filter(|e| e.r#type() == EventType::Delayed).count();
    assert_eq!(delays, 1, "the same obstacle is noted once");
}

#[tokio::test]
async fn runs_that_end_while_the_api_server_is_away_are_found_when_it_is_back() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let mut ids = Vec::new();
    for n in 0..10 {
        let request = mk_start(&format!("r-{n}"), &format!("default/pod/p-{n}"));
        ids.push(start(&mut client, request).await.id);
    }
    stack.cluster.take_api_server_away();
    eventually("every run that exists has ended", async || {
        stack.cluster.runs().iter().all(|seen| !seen.run.is_live()).then_some(())
    })
    .await;
    stack.cluster.expire_watches();
    stack.cluster.bring_api_server_back();
    for id in &ids {
        assert_eq!(until_terminal(&mut client, id).await.state(), State::Succeeded);
    }
}

#[tokio::test]
async fn a_refusal_of_the_api_server_ends_the_execution_and_frees_the_target() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let refusal = CreateFault::Refused {
        reason: Reason::Forbidden,
        raw_reason: "Forbidden".to_owned(),
        message: "pipelineruns is forbidden".to_owned(),
    };
    stack.cluster.fail_next_creates(1, &refusal);
    let id = start(&mut client, mk_start("r", "pod/x")).await.id;
    let done = until_terminal(&mut client, &id).await;
    let failure = done.failure.unwrap();
    assert_eq!(failure.reason(), FailureReason::Forbidden);
    assert!(!failure.was_execution_failure);
    assert!(failure.summary.contains("pipelineruns is forbidden"));
    let next = start(&mut client, mk_start("next", "pod/x")).await.id;
    assert_eq!(until_terminal(&mut client, &next).await.state(), State::Succeeded);
}

#[tokio::test]
async fn nothing_is_accepted_before_it_is_known_what_runs() {
    let mut stack = Stack::start().await;
    stack.cluster.take_api_server_away();
    stack.crash_and_restart().await;
    let mut client = stack.client().await;
    let status = client.start(mk_start("r", "pod/x")).await.unwrap_err();
    refused(&status, Code::Unavailable, "CLUSTER_UNAVAILABLE");
    assert!(status.get_error_details().retry_info().unwrap().retry_delay.is_some());
    assert_eq!(stored(&stack).await, (0, 0));
    stack.cluster.bring_api_server_back();
    let id = eventually("the start is accepted", async || {
        client.start(mk_start("r", "pod/x")).await.ok()?.into_inner().execution
    })
    .await
    .id;
    assert_eq!(until_terminal(&mut client, &id).await.state(), State::Succeeded);
}
