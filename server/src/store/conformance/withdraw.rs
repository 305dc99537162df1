//! Requests that are cancelled by their id: what was accepted is stopped, what was not is withdrawn.

use std::sync::Arc;

use wfe_core::{
    ids::ExecutionId,
    lock::ForeignRuns,
    request::WhenLocked,
    start::{NewExecution, StartDecision, decide},
    withdraw::{WithdrawDecision, Withdrawal},
};

use super::{Backend, all, assert_sound};
use crate::{
    store::Store,
    testing::{
        advance, around, at, cancel, mk_id, mk_new, mk_withdrawal, quiet, run_exists,
        run_succeeded, start, vault, withdraw,
    },
};

const TARGET: &str = "default/deployment/api";

pub(crate) async fn a_withdrawn_request_is_refused_for_ever_whatever_it_asks_for<B: Backend>() {
    let backend = B::create().await;
    let store = backend.open().await;
    let withdrawal = mk_withdrawal(1, 5);
    let decision = withdraw(&*store, &withdrawal).await.unwrap();
    assert_eq!(decision, WithdrawDecision::Withdraw(withdrawal.clone()));
    accepted(start(&*store, &mk_new(2, TARGET, WhenLocked::Wait)).await.unwrap());

    let refused = StartDecision::Withdrawn(withdrawal);
    let mut late = mk_new(1, TARGET, WhenLocked::Wait);
    late.request.deadline = Some(late.now);
    let starts = [
        mk_new(1, TARGET, WhenLocked::Reject),
        mk_new(1, TARGET, WhenLocked::Wait),
        mk_new(1, TARGET, WhenLocked::Attach),
        mk_new(1, "pod/free", WhenLocked::Reject),
        late,
    ];
    let before = backend.dump().await;
    drop(store);
    let store = backend.open().await;
    for new in starts {
        assert_eq!(start(&*store, &new).await.unwrap(), refused, "{new:?}");
        let foreign = ForeignRuns::default();
        let said = store
            .validate_start(&new.request, &|view| {
                decide(view, &new, around(&foreign, new.now), vault())
            })
            .await;
        assert_eq!(said.unwrap(), refused, "{new:?}");
    }
    assert_eq!(backend.dump().await, before);
    assert_eq!(store.execution_of_request(&"request-1".parse().unwrap()).await.unwrap(), None);
    assert_sound(&*store).await;
}

pub(crate) async fn the_first_withdrawal_stands_and_a_second_writes_nothing<B: Backend>() {
    let backend = B::create().await;
    let store = backend.open().await;
    let first = mk_withdrawal(1, 5);
    withdraw(&*store, &first).await.unwrap();
    let before = backend.dump().await;
    let again = mk_withdrawal(1, 6);
    let stands = WithdrawDecision::Withdrawn(first);
    assert_eq!(withdraw(&*store, &again).await.unwrap(), stands);
    drop(store);
    let store = backend.open().await;
    assert_eq!(withdraw(&*store, &again).await.unwrap(), stands, "after a restart");
    assert_eq!(backend.dump().await, before);
}

pub(crate) async fn what_was_accepted_is_to_be_stopped_and_never_withdrawn<B: Backend>() {
    let backend = B::create().await;
    let store = backend.open().await;
    for n in [1, 2] {
        accepted(start(&*store, &mk_new(n, TARGET, WhenLocked::Wait)).await.unwrap());
    }
    // Starting and waiting, then cancelled, and running to its end.
    let stop = |n| WithdrawDecision::Stop(mk_id(n));
    for n in [1, 2] {
        assert_eq!(withdraw(&*store, &mk_withdrawal(n, 5)).await.unwrap(), stop(n));
    }
    advance(&*store, mk_id(1), cancel()).await.unwrap();
    advance(&*store, mk_id(1), quiet()).await.unwrap();
    advance(&*store, mk_id(2), run_exists()).await.unwrap();
    advance(&*store, mk_id(2), run_succeeded()).await.unwrap();
    let before = backend.dump().await;
    for n in [1, 2] {
        assert_eq!(withdraw(&*store, &mk_withdrawal(n, 5)).await.unwrap(), stop(n));
        let again = start(&*store, &mk_new(n, TARGET, WhenLocked::Wait)).await.unwrap();
        assert_eq!(again, StartDecision::Repeat(mk_id(n)));
    }
    assert_eq!(backend.dump().await, before);
}

pub(crate) async fn who_attached_is_withdrawn_and_what_it_followed_stays<B: Backend>() {
    let backend = B::create().await;
    let store = backend.open().await;
    let holder = accepted(start(&*store, &mk_new(1, TARGET, WhenLocked::Wait)).await.unwrap());
    let follower = mk_new(2, TARGET, WhenLocked::Attach);
    assert_eq!(start(&*store, &follower).await.unwrap(), StartDecision::Attach(holder));

    let withdrawal = mk_withdrawal(2, 5);
    let decision = withdraw(&*store, &withdrawal).await.unwrap();
    assert_eq!(decision, WithdrawDecision::Withdraw(withdrawal.clone()));
    let refused = StartDecision::Withdrawn(withdrawal.clone());
    assert_eq!(start(&*store, &follower).await.unwrap(), refused);
    let again = withdraw(&*store, &mk_withdrawal(2, 6)).await.unwrap();
    assert_eq!(again, WithdrawDecision::Withdrawn(withdrawal));
    // That it had attached stays on record, and its holder is as it was.
    let of_request = store.execution_of_request(&follower.request.request_id).await.unwrap();
    assert_eq!(of_request.map(|execution| execution.id), Some(holder));
    let first = mk_new(1, TARGET, WhenLocked::Wait);
    assert_eq!(start(&*store, &first).await.unwrap(), StartDecision::Repeat(holder));
    assert_sound(&*store).await;
}

/// Starts and withdrawals of one request, so many of each, all at once, on several stores.
async fn race(
    stores: &[Arc<dyn Store>],
    request: u32,
    each: u32,
) -> (Vec<StartDecision>, Vec<WithdrawDecision>) {
    let (starts, withdrawals): (Vec<_>, Vec<_>) = (0..each)
        .map(|n| {
            let [one, other] = [n, n + 1].map(|n| Arc::clone(&stores[n as usize % stores.len()]));
            let new = mk_new(request, &format!("pod/p-{request}"), WhenLocked::Wait);
            let new = NewExecution { id: mk_id(1000 * request + n), ..new };
            let withdrawal = mk_withdrawal(request, i64::from(n));
            let start = async move { start(&*one, &new).await.unwrap() };
            let withdraw = async move { withdraw(&*other, &withdrawal).await.unwrap() };
            // Now this, now that is sent first.
            if (request + n).is_multiple_of(2) {
                let start = tokio::spawn(start);
                (start, tokio::spawn(withdraw))
            } else {
                let withdraw = tokio::spawn(withdraw);
                (tokio::spawn(start), withdraw)
            }
        })
        .unzip();
    let starts = futures::future::join_all(starts).await;
    let withdrawals = futures::future::join_all(withdrawals).await;
    (
        starts.into_iter().map(Result::unwrap).collect(),
        withdrawals.into_iter().map(Result::unwrap).collect(),
    )
}

/// Which of a race came first.
#[derive(Debug, Clone, PartialEq, Eq)]
enum First {
    Start(ExecutionId),
    Withdrawal(Box<Withdrawal>),
}

/// The one order that explains every answer.
fn first_of(starts: &[StartDecision], withdrawals: &[WithdrawDecision]) -> First {
    let explains = |first: &First| match first {
        First::Start(id) => {
            let accepts = |d: &&StartDecision| matches!(d, StartDecision::Accept { .. });
            let repeat = StartDecision::Repeat(*id);
            starts.iter().filter(accepts).count() == 1
                && starts.iter().filter(|d| !accepts(d)).all(|d| *d == repeat)
                && withdrawals.iter().all(|d| *d == WithdrawDecision::Stop(*id))
        }
        First::Withdrawal(first) => {
            let writes = |d: &&WithdrawDecision| matches!(d, WithdrawDecision::Withdraw(_));
            let stands = WithdrawDecision::Withdrawn(Withdrawal::clone(first));
            withdrawals.iter().filter(writes).count() == 1
                && withdrawals.iter().filter(|d| !writes(d)).all(|d| *d == stands)
                && starts.iter().all(|d| *d == StartDecision::Withdrawn(Withdrawal::clone(first)))
        }
    };
    let accepted = starts.iter().find_map(|decision| match decision {
        StartDecision::Accept { change, .. } => Some(First::Start(change.execution.id)),
        StartDecision::Repeat(_)
        | StartDecision::Attach(_)
        | StartDecision::Refuse(_)
        | StartDecision::Withdrawn(_)
        | StartDecision::Reused { .. }
        | StartDecision::ClusterUnknown
        | StartDecision::DeadlinePassed => None,
    });
    let withdrawn = withdrawals.iter().find_map(|decision| match decision {
        WithdrawDecision::Withdraw(withdrawal) => {
            Some(First::Withdrawal(Box::new(withdrawal.clone())))
        }
        WithdrawDecision::Stop(_) | WithdrawDecision::Withdrawn(_) => None,
    });
    match (accepted, withdrawn) {
        (Some(first), None) | (None, Some(first)) if explains(&first) => first,
        _ => panic!("no order explains {starts:?} and {withdrawals:?}"),
    }
}

/// What is kept says the same as the answers did, also to another process.
async fn assert_kept(store: &dyn Store, request: u32, first: &First) {
    let new = mk_new(request, &format!("pod/p-{request}"), WhenLocked::Wait);
    let said = (
        start(store, &new).await.unwrap(),
        withdraw(store, &mk_withdrawal(request, 999)).await.unwrap(),
        store.execution_of_request(&new.request.request_id).await.unwrap().map(|e| e.id),
    );
    let expected = match first {
        First::Start(id) => (StartDecision::Repeat(*id), WithdrawDecision::Stop(*id), Some(*id)),
        First::Withdrawal(first) => (
            StartDecision::Withdrawn(Withdrawal::clone(first)),
            WithdrawDecision::Withdrawn(Withdrawal::clone(first)),
            None,
        ),
    };
    assert_eq!(said, expected);
}

pub(crate) async fn of_50_starts_and_50_withdrawals_of_a_request_one_comes_first<B: Backend>() {
    let backend = B::create().await;
    let stores = [backend.open().await, backend.open().await];
    let mut firsts = Vec::new();
    for request in 1..=4 {
        let (starts, withdrawals) = race(&stores, request, 50).await;
        firsts.push((request, first_of(&starts, &withdrawals)));
    }
    drop(stores);
    let store = backend.open().await;
    for (request, first) in &firsts {
        assert_kept(&*store, *request, first).await;
    }
    assert_sound(&*store).await;
}

pub(crate) async fn each_of_50_requests_is_either_started_or_withdrawn<B: Backend>() {
    let backend = B::create().await;
    let stores = [backend.open().await, backend.open().await];
    let races = (1..=50).map(|request| {
        let stores = stores.clone();
        async move { (request, race(&stores, request, 1).await) }
    });
    let mut started = 0;
    let mut firsts = Vec::new();
    for (request, (starts, withdrawals)) in futures::future::join_all(races).await {
        let first = first_of(&starts, &withdrawals);
        started += usize::from(matches!(first, First::Start(_)));
        firsts.push((request, first));
    }
    drop(stores);
    let store = backend.open().await;
    for (request, first) in &firsts {
        assert_kept(&*store, *request, first).await;
    }
    assert_eq!(all(&*store).await.len(), started);
    assert_sound(&*store).await;
}

pub(crate) async fn every_field_of_a_withdrawal_comes_back<B: Backend>() {
    let backend = B::create().await;
    let store = backend.open().await;
    let mut withdrawal = mk_withdrawal(1, 5);
    withdrawal.request_id = "A-z/0.9:_".parse().unwrap();
    withdrawal.reason = "'; DROP TABLE withdrawals; -- \u{1f980}\u{1}\n\"\\".to_owned();
    withdrawal.actor.uid = Some("u-1".to_owned());
    withdrawal.actor.groups = vec!["system:authenticated".to_owned()];
    withdrawal.at = at(0) + jiff::SignedDuration::from_micros(1);
    withdraw(&*store, &withdrawal).await.unwrap();
    drop(store);
    let store = backend.open().await;
    let other = Withdrawal { request_id: withdrawal.request_id.clone(), ..mk_withdrawal(1, 6) };
    let stands = withdraw(&*store, &other).await.unwrap();
    assert_eq!(stands, WithdrawDecision::Withdrawn(withdrawal));
}

fn accepted(decision: StartDecision) -> ExecutionId {
    super::accepted(decision).id
}
