//! Clearances: a block is opened once, whoever waits is let in by the same change, and every attempt
//! stays.

use wfe_core::{
    clear::{self, ClearDecision, ClearView, Outcome},
    execution::StateCode,
    gates::ExecutionFailure,
    ids::ExecutionId,
    lock::{ForeignRuns, TargetState},
    request::WhenLocked,
    settle::{Settlement, View, settle},
    start::StartDecision,
};

use super::{Backend, accepted, assert_sound, stored};
use crate::{
    store::{SettleError, Store, StoreError},
    testing::{at, at_gates, mk_clearance, mk_id, mk_key, mk_new, run_exists, run_failed, vault},
};

const TARGET: &str = "default/deployment/api";

async fn clear(
    store: &dyn Store,
    second: i64,
    expected: Option<ExecutionId>,
) -> Result<ClearDecision, SettleError> {
    let (clearance, foreign) = (mk_clearance(second), ForeignRuns::default());
    let decide = |view: ClearView<'_>| {
        clear::decide(view, &clearance, expected, at_gates(&foreign, at(second)))
    };
    store.clear(&mk_key(TARGET), &decide).await
}

/// The first execution failed after it had begun to act; the second waits.
async fn blocked(store: &dyn Store) {
    let foreign = ForeignRuns::default();
    for n in 1..=2 {
        let new = mk_new(n, TARGET, WhenLocked::Wait);
        let decide = |view: wfe_core::start::StartView<'_>| {
            wfe_core::start::decide(view, &new, at_gates(&foreign, new.now), vault())
        };
        accepted(store.start(&new, &decide).await.unwrap());
    }
    for (second, input) in [(3, run_exists()), (4, run_failed())] {
        let decide = |view: View<'_>| {
            let actor = wfe_core::actor::Actor::service();
            settle(view, input.clone(), &actor, at_gates(&foreign, at(second)))
        };
        store.settle("test", mk_id(1), &decide).await.unwrap();
    }
}

pub(crate) async fn a_clearance_lets_in_who_waits_and_is_kept_with_the_failure<B: Backend>() {
    let backend = B::create().await;
    let store = backend.open().await;
    blocked(&*store).await;
    let target = store.target(&mk_key(TARGET)).await.unwrap();
    assert_eq!(target.state.history.blocked.map(|failure| failure.execution), Some(mk_id(1)));
    let before = stored(&*store, mk_id(1)).await;

    let decision = clear(&*store, 9, Some(mk_id(1))).await.unwrap();
    assert_eq!(decision.attempt.outcome, Outcome::Cleared(mk_id(1)));
    drop(store);
    let store = backend.open().await;
    let target = store.target(&mk_key(TARGET)).await.unwrap();
    assert_eq!(target.holder.map(|holder| holder.id), Some(mk_id(2)));
    assert_eq!(target.state.history.blocked, None);
    let after = stored(&*store, mk_id(1)).await;
    assert_eq!(after.clearance, Some(mk_clearance(9)));
    assert_eq!(wfe_core::execution::Execution { clearance: None, ..after }, before);
    assert_sound(&*store).await;
}

pub(crate) async fn of_clearances_at_once_one_wins_and_all_are_kept<B: Backend>() {
    let backend = B::create().await;
    let store = backend.open().await;
    blocked(&*store).await;
    let mut tasks = tokio::task::JoinSet::new();
    for second in 10..20 {
        let store = std::sync::Arc::clone(&store);
        tasks.spawn(async move { clear(&*store, second, None).await.unwrap().attempt.outcome });
    }
    let outcomes = tasks.join_all().await;
    let won = |outcome: &&Outcome| **outcome == Outcome::Cleared(mk_id(1));
    assert_eq!(outcomes.iter().filter(won).count(), 1, "{outcomes:?}");
    let attempts = store.attempts(&mk_key(TARGET), 100).await.unwrap();
    assert_eq!(attempts.len(), 10);
    let winner = attempts.iter().find(|attempt| won(&&attempt.outcome)).unwrap();
    let kept = stored(&*store, mk_id(1)).await.clearance;
    assert_eq!(kept.as_ref(), Some(&winner.clearance));
    assert_eq!(store.attempts(&mk_key(TARGET), 3).await.unwrap(), attempts[..3]);
    assert_sound(&*store).await;
}

pub(crate) async fn an_attempt_that_clears_nothing_changes_nothing_else<B: Backend>() {
    let backend = B::create().await;
    let store = backend.open().await;
    let decision = clear(&*store, 1, None).await.unwrap();
    assert_eq!(decision.attempt.outcome, Outcome::NotBlocked);
    blocked(&*store).await;
    let target = store.target(&mk_key(TARGET)).await.unwrap();
    let decision = clear(&*store, 2, Some(mk_id(2))).await.unwrap();
    assert_eq!(decision.attempt.outcome, Outcome::Stale(mk_id(1)));
    assert_eq!(store.target(&mk_key(TARGET)).await.unwrap(), target);
    assert_eq!(stored(&*store, mk_id(2)).await.state.code(), StateCode::Waiting);
    let attempts = store.attempts(&mk_key(TARGET), 10).await.unwrap();
    let outcomes: Vec<_> = attempts.iter().map(|attempt| attempt.outcome).collect();
    assert_eq!(outcomes, [Outcome::Stale(mk_id(1)), Outcome::NotBlocked], "the newest first");
}

pub(crate) async fn a_block_is_neither_forgotten_nor_made_up<B: Backend>() {
    let backend = B::create().await;
    let store = backend.open().await;
    blocked(&*store).await;
    let before = backend.dump().await;
    let target = store.target(&mk_key(TARGET)).await.unwrap().state;
    // It cannot be dropped without a clearance, nor be put on what did not fail.
    let forgotten = TargetState { history: target.history.cleared(), ..target.clone() };
    let mut made_up = target;
    made_up.history.blocked = Some(ExecutionFailure { execution: mk_id(2), at: at(5) });
    for wrong in [forgotten, made_up] {
        let wrong = Settlement { changes: Vec::new(), target: Some(wrong) };
        let error = store.settle("wrong", mk_id(1), &|_| Ok(wrong.clone())).await.unwrap_err();
        assert!(matches!(error, SettleError::Store(StoreError::Refused { .. })), "{error:?}");
    }
    // A second clearance of the same block is a contradiction.
    clear(&*store, 9, None).await.unwrap();
    let cleared = backend.dump().await;
    let blind = |_: ClearView<'_>| {
        let outcome = Outcome::Cleared(mk_id(1));
        let attempt = clear::Attempt { clearance: mk_clearance(10), outcome };
        Ok(ClearDecision { attempt, settlement: Settlement::default() })
    };
    let error = store.clear(&mk_key(TARGET), &blind).await.unwrap_err();
    assert!(matches!(error, SettleError::Store(StoreError::Refused { .. })), "{error:?}");
    assert_eq!(backend.dump().await, cleared);
    assert_ne!(before, cleared);
}

pub(crate) async fn a_refusal_at_a_gate_names_what_closed_it<B: Backend>() {
    let backend = B::create().await;
    let store = backend.open().await;
    blocked(&*store).await;
    let mut new = mk_new(3, TARGET, WhenLocked::Wait);
    new.request.when_blocked = wfe_core::request::WhenBlocked::Reject;
    let foreign = ForeignRuns::default();
    let decide = |view: wfe_core::start::StartView<'_>| {
        wfe_core::start::decide(view, &new, at_gates(&foreign, new.now), vault())
    };
    let decision = store.start(&new, &decide).await.unwrap();
    let StartDecision::Refuse(hold) = decision else { panic!("{decision:?}") };
    assert_eq!(hold.cause(), Some(mk_id(1)));
}
