//! Starts: acceptance, queues, and requests that are made again.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use wfe_core::{
    execution::StateCode,
    ids::Epoch,
    lock::ForeignRuns,
    parameter::Parameter,
    request::{Source, WhenLocked, WorkflowIdentity},
    settle::admit_head,
    start::{NewExecution, StartDecision, decide},
    workflow::BundleWorkflow,
};

use super::{Backend, accepted, all, assert_sound, history, stored};
use crate::{
    testing::{
        advance, around, at, mk_id, mk_key, mk_new, mk_sealed, run_exists, run_succeeded, start,
        vault,
    },
    vault::Fingerprint,
};

const TARGET: &str = "default/deployment/api";

pub(crate) async fn a_free_target_is_held_by_the_first<B: Backend>() {
    let backend = B::create().await;
    let store = backend.open().await;
    let new = mk_new(1, TARGET, WhenLocked::Reject);
    let execution = accepted(start(&*store, &new).await.unwrap());
    assert_eq!(execution.state.code(), StateCode::Starting);
    assert_eq!(stored(&*store, new.id).await, execution);
    let target = store.target(&mk_key(TARGET)).await.unwrap();
    let holder = target.state.holder.unwrap();
    assert_eq!((holder.execution, holder.since), (new.id, new.now));
    assert_eq!(target.state.epoch, Epoch(1));
    assert_sound(&*store).await;
}

pub(crate) async fn who_waits_queues_in_order_of_acceptance<B: Backend>() {
    let backend = B::create().await;
    let store = backend.open().await;
    // Ids that fall show that the order of acceptance is not the order of ids.
    for n in [9, 5, 7, 3] {
        accepted(start(&*store, &mk_new(n, TARGET, WhenLocked::Wait)).await.unwrap());
    }
    let target = store.target(&mk_key(TARGET)).await.unwrap();
    assert_eq!(target.holder.unwrap().id, mk_id(9));
    let queue: Vec<_> = target.queue.iter().map(|execution| execution.id).collect();
    assert_eq!(queue, [mk_id(5), mk_id(7), mk_id(3)]);
    assert_sound(&*store).await;
}

pub(crate) async fn a_hundred_starts_at_once_give_one_holder_and_a_queue<B: Backend>() {
    let backend = B::create().await;
    let store = backend.open().await;
    let starts = (1..=100).map(|n| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            accepted(start(&*store, &mk_new(n, TARGET, WhenLocked::Wait)).await.unwrap())
        })
    });
    let mut holders = 0;
    for accepted in futures::future::join_all(starts).await {
        holders += u32::from(accepted.unwrap().state.code().holds_target());
    }
    assert_eq!(holders, 1);
    let all = all(&*store).await;
    assert_eq!(all.len(), 100);
    // Nobody could hold it before the first in the order of acceptance.
    assert_eq!(all[0].execution.state.code(), StateCode::Starting);
    assert_sound(&*store).await;
}

pub(crate) async fn one_request_made_many_times_at_once_is_accepted_once<B: Backend>() {
    let backend = B::create().await;
    let store = backend.open().await;
    let request = mk_new(1, TARGET, WhenLocked::Wait).request;
    let starts = (1..=50).map(|n| {
        let new = NewExecution { request: request.clone(), ..mk_new(n, TARGET, WhenLocked::Wait) };
        let store = Arc::clone(&store);
        tokio::spawn(async move { start(&*store, &new).await.unwrap() })
    });
    let (mut ids, mut accepted) = (BTreeSet::new(), 0);
    for decision in futures::future::join_all(starts).await {
        let decision = decision.unwrap();
        let StartDecision::Repeat(id) = decision else {
            ids.insert(super::accepted(decision).id);
            accepted += 1;
            continue;
        };
        ids.insert(id);
    }
    assert_eq!((ids.len(), accepted), (1, 1));
}

pub(crate) async fn a_request_id_gets_the_same_answer_for_ever<B: Backend>() {
    let backend = B::create().await;
    let store = backend.open().await;
    let first = mk_new(1, TARGET, WhenLocked::Reject);
    accepted(start(&*store, &first).await.unwrap());
    let again = NewExecution { id: mk_id(2), now: at(500), ..first.clone() };
    let mut other = again.clone();
    other.request.parameters.insert("MORE".to_owned(), "1".into());

    let repeat = StartDecision::Repeat(first.id);
    let reused = StartDecision::Reused { field: "parameters" };
    assert_eq!(start(&*store, &again).await.unwrap(), repeat, "while it starts");
    assert_eq!(start(&*store, &other).await.unwrap(), reused);

    advance(&*store, first.id, run_exists()).await.unwrap();
    advance(&*store, first.id, run_succeeded()).await.unwrap();
    assert_eq!(start(&*store, &again).await.unwrap(), repeat, "after the end");

    drop(store);
    let store = backend.open().await;
    assert_eq!(start(&*store, &again).await.unwrap(), repeat, "after a restart");
    assert_eq!(start(&*store, &other).await.unwrap(), reused);
}

pub(crate) async fn an_attached_request_is_repeated_too<B: Backend>() {
    let backend = B::create().await;
    let store = backend.open().await;
    let first = mk_new(1, TARGET, WhenLocked::Reject);
    accepted(start(&*store, &first).await.unwrap());
    let follower = mk_new(2, TARGET, WhenLocked::Attach);
    assert_eq!(start(&*store, &follower).await.unwrap(), StartDecision::Attach(first.id));
    assert_eq!(all(&*store).await.len(), 1);

    advance(&*store, first.id, run_exists()).await.unwrap();
    advance(&*store, first.id, run_succeeded()).await.unwrap();
    drop(store);
    let store = backend.open().await;
    // The target is free by now; the answer stays what it was.
    assert_eq!(start(&*store, &follower).await.unwrap(), StartDecision::Repeat(first.id));
    let id = &follower.request.request_id;
    assert_eq!(store.execution_of_request(id).await.unwrap().unwrap().id, first.id);
    let other =
        NewExecution { request: mk_new(2, "pod/x", WhenLocked::Attach).request, ..follower };
    let reused = StartDecision::Reused { field: "target" };
    assert_eq!(start(&*store, &other).await.unwrap(), reused);
}

pub(crate) async fn refusals_and_repetitions_write_nothing<B: Backend>() {
    let backend = B::create().await;
    let store = backend.open().await;
    let first = mk_new(1, TARGET, WhenLocked::Reject);
    accepted(start(&*store, &first).await.unwrap());
    let mut late = mk_new(3, "pod/x", WhenLocked::Wait);
    late.request.deadline = Some(late.now);
    let other =
        NewExecution { request: mk_new(1, "pod/x", WhenLocked::Wait).request, ..late.clone() };

    let before = backend.dump().await;
    let held = start(&*store, &mk_new(2, TARGET, WhenLocked::Reject)).await.unwrap();
    assert!(
        matches!(&held, StartDecision::Refuse(why) if why.holder() == Some(first.id)),
        "{held:?}"
    );
    assert_eq!(start(&*store, &first).await.unwrap(), StartDecision::Repeat(first.id));
    assert_eq!(start(&*store, &late).await.unwrap(), StartDecision::DeadlinePassed);
    let reused = start(&*store, &other).await.unwrap();
    assert_eq!(reused, StartDecision::Reused { field: "target" });
    assert_eq!(backend.dump().await, before);
}

pub(crate) async fn a_validation_says_what_a_start_would_do_and_writes_nothing<B: Backend>() {
    let backend = B::create().await;
    let store = backend.open().await;
    let foreign = ForeignRuns::default();
    for new in [
        mk_new(1, TARGET, WhenLocked::Reject),
        mk_new(2, TARGET, WhenLocked::Reject),
        mk_new(3, TARGET, WhenLocked::Wait),
        mk_new(4, TARGET, WhenLocked::Attach),
        mk_new(1, TARGET, WhenLocked::Reject),
        mk_new(1, "pod/x", WhenLocked::Reject),
    ] {
        let before = backend.dump().await;
        let said = store
            .validate_start(&new.request, &|view| {
                decide(view, &new, around(&foreign, new.now), vault())
            })
            .await;
        assert_eq!(backend.dump().await, before);
        assert_eq!(said.unwrap(), start(&*store, &new).await.unwrap());
    }
}

pub(crate) async fn every_field_of_a_request_comes_back<B: Backend>() {
    let backend = B::create().await;
    let store = backend.open().await;
    let mut new = mk_new(1, "clusterrole/system:node", WhenLocked::Wait);
    let digest = format!("sha256:{}", "0".repeat(64));
    let request = &mut new.request;
    request.workflow =
        BundleWorkflow::new("registry.example/a/b:v1", &digest, "main").unwrap().into();
    request.target.cluster = "east.example".parse().unwrap();
    request.target_as_given = "ClusterRole/system:node".to_owned();
    request.parameters = BTreeMap::from([
        ("EMPTY".to_owned(), "".into()),
        ("WILD".to_owned(), "'; DROP TABLE executions; -- \u{1f980}\u{1}\n\"\\".into()),
        ("LONG".to_owned(), "x".repeat(32 * 1024).into()),
        ("TOKEN".to_owned(), mk_sealed(&request.request_id, "TOKEN", "hunter2")),
    ]);
    request.declared = Some(BTreeSet::from(["WILD".to_owned()]));
    request.service_account = Some("runner".to_owned());
    request.secrets = vec!["b".to_owned(), "a".to_owned()];
    request.config_maps = vec!["c".to_owned()];
    request.correlation_id = Some("incident-1".parse().unwrap());
    request.deadline = Some(at(3600));
    request.identity = WorkflowIdentity {
        id: "wf-1".to_owned(),
        name: "restart".to_owned(),
        version: "1.2".to_owned(),
    };
    request.source = Some(Source {
        namespace: "remediation".to_owned(),
        name: "wfe-1".to_owned(),
        uid: "uid".to_owned(),
    });
    new.actor.uid = Some("u-1".to_owned());
    new.actor.groups = vec!["system:authenticated".to_owned()];

    let execution = accepted(start(&*store, &new).await.unwrap());
    assert_eq!((&execution.request, &execution.actor), (&new.request, &new.actor));
    drop(store);
    let store = backend.open().await;
    assert_eq!(stored(&*store, new.id).await, execution);
    assert_eq!(history(&*store, &execution).await[0].actor, new.actor);
    assert_eq!(start(&*store, &new).await.unwrap(), StartDecision::Repeat(new.id));
}

pub(crate) async fn who_waits_for_a_foreign_run_waits_for_an_unused_target<B: Backend>() {
    let backend = B::create().await;
    let store = backend.open().await;
    let new = mk_new(1, TARGET, WhenLocked::Wait);
    let foreign = ForeignRuns { live: Some("wfe-other-7".to_owned()), last_epoch: Epoch(7) };
    let decision = store
        .start(&new, &|view| decide(view, &new, around(&foreign, new.now), vault()))
        .await
        .unwrap();
    assert_eq!(accepted(decision).state.code(), StateCode::Waiting);
    let target = store.target(&mk_key(TARGET)).await.unwrap();
    assert_eq!((target.state.epoch, target.state.holder), (Epoch(0), None));
    assert_sound(&*store).await;

    let gone = ForeignRuns { live: None, last_epoch: Epoch(7) };
    let admit = |view: wfe_core::settle::View<'_>| {
        admit_head(view.head.unwrap(), view.target, around(&gone, at(60)))
    };
    store.settle("admit", new.id, &admit).await.unwrap();
    let target = store.target(&mk_key(TARGET)).await.unwrap();
    assert_eq!(target.state.epoch, Epoch(8));
    assert_eq!(target.holder.unwrap().id, new.id);
    assert_sound(&*store).await;
}

pub(crate) async fn targets_of_different_clusters_do_not_meet<B: Backend>() {
    let backend = B::create().await;
    let store = backend.open().await;
    for (n, cluster) in [(1, ""), (2, "east"), (3, "west")] {
        let mut new = mk_new(n, TARGET, WhenLocked::Reject);
        new.request.target.cluster = cluster.parse().unwrap();
        accepted(start(&*store, &new).await.unwrap());
    }
    assert_sound(&*store).await;
}

pub(crate) async fn a_repetition_with_a_sensitive_value_is_told_by_its_digest<B: Backend>() {
    let backend = B::create().await;
    let store = backend.open().await;
    let with = |new: &NewExecution, value: Parameter| {
        let mut new = new.clone();
        new.request.parameters.insert("TOKEN".to_owned(), value);
        new
    };
    let plain = mk_new(1, TARGET, WhenLocked::Wait);
    let id = plain.request.request_id.clone();
    let seal = |value: &str| Parameter::Sensitive(vault().seal(&id, "TOKEN", value).unwrap());
    let first = with(&plain, seal("hunter2"));
    let execution = accepted(start(&*store, &first).await.unwrap());
    assert_eq!(stored(&*store, execution.id).await.request, first.request);
    let repeat = StartDecision::Repeat(first.id);
    let reused = StartDecision::Reused { field: "parameters" };
    for (value, expected) in [
        (seal("hunter2"), &repeat),
        ("hunter2".into(), &repeat),
        (seal("hunter3"), &reused),
        ("hunter3".into(), &reused),
    ] {
        assert_eq!(start(&*store, &with(&plain, value)).await.unwrap(), *expected);
    }
    assert!(!backend.dump().await.concat().contains("hunter"));
}

pub(crate) async fn the_first_key_of_sensitive_parameters_is_kept_for_ever<B: Backend>() {
    let backend = B::create().await;
    let stores = [backend.open().await, backend.open().await];
    let [one, two] = ["1".repeat(32), "2".repeat(32)].map(Fingerprint::kept);
    assert_eq!(stores[0].parameter_key(None).await.unwrap(), None);
    assert_eq!(stores[0].parameter_key(Some(&one)).await.unwrap(), Some(one.clone()));
    assert_eq!(stores[1].parameter_key(Some(&two)).await.unwrap(), Some(one.clone()));
    assert_eq!(stores[1].parameter_key(None).await.unwrap(), Some(one));
}
