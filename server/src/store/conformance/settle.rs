//! Changes after a Start: moves, releases, and what is refused.

use std::sync::Arc;

use wfe_core::{
    actor::Actor,
    event::EventKind,
    execution::StateCode,
    ids::Epoch,
    lock::{ForeignRuns, Holder, TargetState},
    progress::Progress,
    request::WhenLocked,
    settle::{Settlement, View, rename, settle},
    start::StartDecision,
    transition::Input,
};

use super::{Backend, accepted, assert_sound, history, stored};
use crate::{
    store::{SettleError, StoreError},
    testing::{
        advance, around, at, cancel, mk_id, mk_key, mk_new, quiet, run_exists, run_succeeded,
        start, vault,
    },
};

const TARGET: &str = "default/deployment/api";

pub(crate) async fn a_life_is_kept_with_its_history<B: Backend>() {
    let backend = B::create().await;
    let store = backend.open().await;
    let id = accepted(start(&*store, &mk_new(1, TARGET, WhenLocked::Reject)).await.unwrap()).id;
    let progress = Progress { total: 2, succeeded: 1, ..Progress::default() };
    let inputs = [
        Input::Obstruct("the quota is used up".to_owned()),
        run_exists(),
        Input::Progress(progress),
        run_succeeded(),
    ];
    for input in inputs {
        let settlement = advance(&*store, id, input).await.unwrap();
        assert_eq!(stored(&*store, id).await, settlement.changes[0].execution);
    }
    let execution = stored(&*store, id).await;
    let events = history(&*store, &execution).await;
    let kinds: Vec<_> = events.iter().map(|event| event.kind.as_str()).collect();
    let expected = ["accepted", "admitted", "delayed", "run_created", "progressed", "succeeded"];
    assert_eq!(kinds, expected);
    let target = store.target(&mk_key(TARGET)).await.unwrap();
    assert_eq!((target.state.epoch, target.state.holder), (Epoch(1), None));
    assert_sound(&*store).await;
}

pub(crate) async fn the_end_of_one_lets_the_next_in_at_once<B: Backend>() {
    let backend = B::create().await;
    let store = backend.open().await;
    for n in 1..=3 {
        accepted(start(&*store, &mk_new(n, TARGET, WhenLocked::Wait)).await.unwrap());
    }
    advance(&*store, mk_id(1), run_exists()).await.unwrap();
    let settlement = advance(&*store, mk_id(1), run_succeeded()).await.unwrap();
    let moved: Vec<_> = settlement
        .changes
        .iter()
        .map(|change| (change.execution.id, change.execution.state.code()))
        .collect();
    assert_eq!(moved, [(mk_id(1), StateCode::Succeeded), (mk_id(2), StateCode::Starting)]);
    let target = store.target(&mk_key(TARGET)).await.unwrap();
    assert_eq!((target.state.epoch, target.holder.unwrap().id), (Epoch(2), mk_id(2)));
    assert_eq!(target.queue.iter().map(|e| e.id).collect::<Vec<_>>(), [mk_id(3)]);
    // A newcomer finds it held.
    let newcomer = start(&*store, &mk_new(4, TARGET, WhenLocked::Reject)).await.unwrap();
    assert!(matches!(newcomer, StartDecision::Refuse(hold) if hold.holder() == Some(mk_id(2))));
    assert_sound(&*store).await;
}

pub(crate) async fn a_queue_is_served_in_order<B: Backend>() {
    let backend = B::create().await;
    let store = backend.open().await;
    for n in 1..=12 {
        accepted(start(&*store, &mk_new(n, TARGET, WhenLocked::Wait)).await.unwrap());
    }
    // One in the middle goes away while it waits.
    advance(&*store, mk_id(5), cancel()).await.unwrap();
    for n in (1..=12).filter(|n| *n != 5) {
        let holder = store.target(&mk_key(TARGET)).await.unwrap().holder.unwrap();
        assert_eq!(holder.id, mk_id(n));
        // Some never get a run.
        let inputs = if n % 2 == 0 { [cancel(), quiet()] } else { [run_exists(), run_succeeded()] };
        for input in inputs {
            advance(&*store, holder.id, input).await.unwrap();
        }
    }
    let target = store.target(&mk_key(TARGET)).await.unwrap();
    assert_eq!((target.state.epoch, target.state.holder), (Epoch(11), None));
    assert_sound(&*store).await;
}

pub(crate) async fn an_illegal_move_writes_nothing<B: Backend>() {
    let backend = B::create().await;
    let store = backend.open().await;
    let id = accepted(start(&*store, &mk_new(1, TARGET, WhenLocked::Reject)).await.unwrap()).id;
    let before = backend.dump().await;
    let error = advance(&*store, id, run_succeeded()).await.unwrap_err();
    assert!(matches!(error, SettleError::Illegal { id: of, .. } if of == id), "{error:?}");
    assert_eq!(backend.dump().await, before);
}

pub(crate) async fn a_move_that_changes_nothing_writes_nothing<B: Backend>() {
    let backend = B::create().await;
    let store = backend.open().await;
    let id = accepted(start(&*store, &mk_new(1, TARGET, WhenLocked::Reject)).await.unwrap()).id;
    advance(&*store, id, cancel()).await.unwrap();
    let before = backend.dump().await;
    assert_eq!(advance(&*store, id, cancel()).await.unwrap(), Settlement::default());
    assert_eq!(backend.dump().await, before);
}

pub(crate) async fn an_unknown_execution_is_not_found<B: Backend>() {
    let backend = B::create().await;
    let store = backend.open().await;
    let error = advance(&*store, mk_id(1), cancel()).await.unwrap_err();
    assert!(matches!(error, SettleError::NotFound(id) if id == mk_id(1)), "{error:?}");
}

pub(crate) async fn a_change_of_an_older_revision_is_refused_whole<B: Backend>() {
    let backend = B::create().await;
    let store = backend.open().await;
    for n in 1..=2 {
        accepted(start(&*store, &mk_new(n, TARGET, WhenLocked::Wait)).await.unwrap());
    }
    advance(&*store, mk_id(1), run_exists()).await.unwrap();
    // What somebody decided who did not see the end.
    let execution = stored(&*store, mk_id(1)).await;
    let target = store.target(&mk_key(TARGET)).await.unwrap();
    let view = View { execution: &execution, target: &target.state, head: target.queue.first() };
    let foreign = ForeignRuns::default();
    let stale = settle(view, run_succeeded(), &Actor::service(), around(&foreign, at(99))).unwrap();
    assert_eq!(stale.changes.len(), 2);
    advance(&*store, mk_id(1), run_succeeded()).await.unwrap();

    let before = backend.dump().await;
    let error = store.settle("stale", mk_id(1), &|_| Ok(stale.clone())).await.unwrap_err();
    assert!(
        matches!(
            error,
            SettleError::Store(
                StoreError::RowCount { expected: 1, actual: 0, .. } | StoreError::Refused { .. }
            )
        ),
        "{error:?}"
    );
    assert_eq!(backend.dump().await, before);
}

pub(crate) async fn a_lock_is_not_released_under_an_old_epoch<B: Backend>() {
    let backend = B::create().await;
    let store = backend.open().await;
    for n in 1..=2 {
        accepted(start(&*store, &mk_new(n, TARGET, WhenLocked::Wait)).await.unwrap());
    }
    advance(&*store, mk_id(1), run_exists()).await.unwrap();
    advance(&*store, mk_id(1), run_succeeded()).await.unwrap();
    let before = backend.dump().await;

    // The one that held it first cannot end again.
    let error = advance(&*store, mk_id(1), run_succeeded()).await.unwrap_err();
    assert!(matches!(error, SettleError::Illegal { .. }), "{error:?}");
    // Nor does the store take a target that falls back, or that is free while somebody holds it.
    for epoch in [Epoch(1), Epoch(2)] {
        let free = TargetState { epoch, ..TargetState::unused(mk_key(TARGET)) };
        let stale = Settlement { changes: Vec::new(), target: Some(free) };
        let error = store.settle("stale", mk_id(1), &|_| Ok(stale.clone())).await.unwrap_err();
        assert!(matches!(error, SettleError::Store(StoreError::Refused { .. })), "{error:?}");
    }
    assert_eq!(backend.dump().await, before);
    assert_sound(&*store).await;
}

pub(crate) async fn a_second_holder_is_refused<B: Backend>() {
    let backend = B::create().await;
    let store = backend.open().await;
    accepted(start(&*store, &mk_new(1, TARGET, WhenLocked::Reject)).await.unwrap());
    let before = backend.dump().await;
    // A decision that does not look at the target.
    let new = mk_new(2, TARGET, WhenLocked::Reject);
    let blind = |view: wfe_core::start::StartView<'_>| {
        let free = TargetState { holder: None, ..view.target.clone() };
        let view = wfe_core::start::StartView { target: &free, ..view };
        wfe_core::start::decide(view, &new, around(&ForeignRuns::default(), new.now), vault())
    };
    let error = store.start(&new, &blind).await.unwrap_err();
    assert!(matches!(error, StoreError::Refused { .. }), "{error:?}");
    // Nor does the store take a holder that holds nothing.
    let stranger = Some(Holder { execution: mk_id(2), since: at(0) });
    let held =
        TargetState { epoch: Epoch(2), holder: stranger, ..TargetState::unused(mk_key(TARGET)) };
    let wrong = Settlement { changes: Vec::new(), target: Some(held) };
    let error = store.settle("wrong", mk_id(1), &|_| Ok(wrong.clone())).await.unwrap_err();
    assert!(matches!(error, SettleError::Store(StoreError::Refused { .. })), "{error:?}");
    assert_eq!(backend.dump().await, before);
}

pub(crate) async fn changes_at_once_follow_each_other<B: Backend>() {
    let backend = B::create().await;
    let store = backend.open().await;
    let id = accepted(start(&*store, &mk_new(1, TARGET, WhenLocked::Reject)).await.unwrap()).id;
    advance(&*store, id, run_exists()).await.unwrap();
    let changes = (1..=40).map(|total| {
        let store = Arc::clone(&store);
        let progress = Progress { total, ..Progress::default() };
        tokio::spawn(async move {
            advance(&*store, id, Input::Progress(progress)).await.unwrap();
        })
    });
    for change in futures::future::join_all(changes).await {
        change.unwrap();
    }
    let execution = stored(&*store, id).await;
    assert_eq!(execution.revision.0, 3 + 40);
    let mut seen = Vec::new();
    for event in history(&*store, &execution).await {
        if let EventKind::Progressed { progress } = event.kind {
            seen.push(progress.total);
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, (1..=40).collect::<Vec<_>>());
}

pub(crate) async fn another_run_moves_the_epoch_of_the_hold<B: Backend>() {
    let backend = B::create().await;
    let store = backend.open().await;
    let id = accepted(start(&*store, &mk_new(1, TARGET, WhenLocked::Reject)).await.unwrap()).id;
    let taken = ForeignRuns { live: None, last_epoch: Epoch(4) };
    store.settle("rename", id, &|view| rename(view, &taken, around(&taken, at(5)))).await.unwrap();
    let target = store.target(&mk_key(TARGET)).await.unwrap();
    assert_eq!((target.state.epoch, target.holder.unwrap().id), (Epoch(5), id));
    assert_sound(&*store).await;
    advance(&*store, id, run_exists()).await.unwrap();
    advance(&*store, id, run_succeeded()).await.unwrap();
    assert_eq!(store.target(&mk_key(TARGET)).await.unwrap().state.holder, None);
    assert_sound(&*store).await;
}
