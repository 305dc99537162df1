//! One execution per target; the others are refused, wait in order, or follow.

use std::collections::BTreeSet;

use futures::future::join_all;
use tonic::Code;
use tonic_types::StatusExt as _;
use wfe_proto::v1::{self, Gate, StartOutcome, State, WhenLocked};

use crate::support::*;

fn mk(n: usize, when_locked: WhenLocked) -> v1::StartRequest {
    v1::StartRequest { when_locked: when_locked.into(), ..mk_start(&format!("r-{n}"), "pod/x") }
}

#[tokio::test]
async fn of_100_starts_racing_for_a_target_one_runs_and_99_are_told_who_holds_it() {
    let stack = Stack::start().await;
    let clients = join_all((0..5).map(|_| stack.client())).await;
    let answers = join_all((0..100).map(|n| {
        let mut client = clients[n % clients.len()].clone();
        async move {
            let request = v1::StartRequest {
                when_locked: WhenLocked::Reject.into(),
                ..mk_start_of("never-ends", &format!("r-{n}"), "pod/x")
            };
            client.start(request).await
        }
    }))
    .await;
    let (accepted, refusals): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    assert_eq!((accepted.len(), refusals.len()), (1, 99));
    let holder = accepted.into_iter().next().unwrap().unwrap().into_inner().execution.unwrap().id;
    for status in refusals.into_iter().filter_map(Result::err) {
        refused(&status, Code::Aborted, "TARGET_LOCKED");
        let details = status.get_error_details();
        let resource = details.resource_info().unwrap();
        assert_eq!(
            (resource.resource_type.as_str(), resource.resource_name.as_str()),
            ("execution", holder.as_str())
        );
    }
    let mut client = stack.client().await;
    until_state(&mut client, &holder, State::Running).await;
    assert_eq!(stack.cluster.runs().len(), 1);
}

#[tokio::test]
async fn waiting_executions_run_one_after_the_other_in_order_of_acceptance() {
    let stack = Stack::start().await;
    let clients = join_all((0..4).map(|_| stack.client())).await;
    let mut accepted = join_all((0..100).map(|n| {
        let mut client = clients[n % clients.len()].clone();
        async move { start(&mut client, mk(n, WhenLocked::Wait)).await.id }
    }))
    .await;
    let mut client = stack.client().await;
    let mut runs = Vec::new();
    for id in &accepted {
        let done = until_terminal(&mut client, id).await;
        assert_eq!(done.state(), State::Succeeded);
        runs.push((
            done.run.unwrap().epoch,
            done.id,
            done.start_time.unwrap(),
            done.end_time.unwrap(),
        ));
    }
    runs.sort_by_key(|(epoch, ..)| *epoch);
    // Lists are in the order of acceptance, the newest first.
    let request = v1::ListRequest { page_size: 500, ..v1::ListRequest::default() };
    let listed = client.list(request).await.unwrap().into_inner().executions;
    accepted = listed.into_iter().rev().map(|execution| execution.id).collect();
    let in_order: Vec<String> = runs.iter().map(|(_, id, ..)| id.clone()).collect();
    assert_eq!(in_order, accepted);
    for pair in runs.windows(2) {
        let (end, next) = (pair[0].3, pair[1].2);
        assert!((end.seconds, end.nanos) <= (next.seconds, next.nanos), "two at once: {pair:?}");
    }
    assert_eq!(stack.cluster.runs().len(), 100);
}

#[tokio::test]
async fn those_who_attach_follow_the_one_and_get_it_again_when_they_repeat() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let holder = start(&mut client, mk_start_of("never-ends", "holder", "pod/x")).await.id;
    let answers = join_all((0..20).map(|n| {
        let mut client = client.clone();
        async move { client.start(mk(n, WhenLocked::Attach)).await.unwrap().into_inner() }
    }))
    .await;
    for answer in answers {
        assert_eq!(answer.outcome(), StartOutcome::Attached);
        assert_eq!(answer.execution.unwrap().id, holder);
    }
    assert_eq!(stored(&stack).await.1, 1);

    cancel(&mut client, &holder).await;
    until_terminal(&mut client, &holder).await;
    let repeated = client.start(mk(3, WhenLocked::Attach)).await.unwrap().into_inner();
    assert_eq!(repeated.outcome(), StartOutcome::Repeated);
    assert_eq!(repeated.execution.unwrap().id, holder, "the same answer also after the end");
}

#[tokio::test]
async fn who_waits_is_told_for_whom_also_after_the_holder_changed() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let first = start(&mut client, mk_start_of("never-ends", "first", "pod/x")).await.id;
    let wait = |bundle: &str, id: &str| v1::StartRequest {
        when_locked: WhenLocked::Wait.into(),
        ..mk_start_of(bundle, id, "pod/x")
    };
    let second = start(&mut client, wait("never-ends", "second")).await;
    let third = start(&mut client, wait("succeeds", "third")).await;
    assert_eq!(second.waiting.as_ref().unwrap().holder_execution_id, first);
    assert_eq!(third.waiting.as_ref().unwrap().gate(), Gate::Lock);

    let shown = target(&mut client, "pod/x").await;
    assert_eq!(shown.lock.unwrap().execution_id, first);
    let queue: Vec<(i32, String)> =
        shown.queue.into_iter().map(|entry| (entry.position, entry.execution_id)).collect();
    assert_eq!(queue, [(1, second.id.clone()), (2, third.id.clone())]);

    cancel(&mut client, &first).await;
    until_state(&mut client, &second.id, State::Running).await;
    let shown = get(&mut client, &third.id).await;
    let waiting = shown.waiting.unwrap();
    assert_eq!(waiting.holder_execution_id, second.id);
    let said = format!("execution {} holds ", second.id);
    assert!(waiting.message.starts_with(&said), "{waiting:?}");
    assert!(waiting.message.contains(" since "), "{waiting:?}");
    cancel(&mut client, &second.id).await;
    assert_eq!(until_terminal(&mut client, &third.id).await.state(), State::Succeeded);
}

#[tokio::test]
async fn other_targets_and_other_clusters_run_at_the_same_time() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let mut ids = BTreeSet::new();
    for n in 0..20 {
        let request = mk_start_of("never-ends", &format!("r-{n}"), &format!("default/pod/p-{n}"));
        ids.insert(start(&mut client, request).await.id);
    }
    let elsewhere = v1::StartRequest {
        cluster_id: "east".to_owned(),
        ..mk_start_of("never-ends", "east", "default/pod/p-0")
    };
    ids.insert(start(&mut client, elsewhere).await.id);
    for id in &ids {
        until_state(&mut client, id, State::Running).await;
    }
    assert_eq!(ids.len(), 21);
}

#[tokio::test]
async fn odd_targets_give_the_right_lock() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let long = format!("default/configmap/{}", "a".repeat(253));
    for (n, (first, same)) in [
        ("clusterrole/system:node", "ClusterRoles/system:node"),
        (long.as_str(), long.as_str()),
        ("default/DEPLOYMENT/api", "default/deploy/api"),
        ("default/statefulsets.apps/db", "default/sts/db"),
    ]
    .into_iter()
    .enumerate()
    {
        start(&mut client, mk_start_of("never-ends", &format!("a-{n}"), first)).await;
        let status = client.start(mk_start(&format!("b-{n}"), same)).await.unwrap_err();
        refused(&status, Code::Aborted, "TARGET_LOCKED");
    }
}
