//! What stays when processes and callers go away.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use wfe_core::{
    execution::StateCode, ids::Revision, request::WhenLocked, start::StartDecision,
    withdraw::WithdrawDecision,
};

use super::{Backend, accepted, all, assert_sound, history, stored};
use crate::{
    store::StoreError,
    testing::{
        advance, cancel, mk_id, mk_key, mk_new, mk_withdrawal, quiet, run_exists, run_succeeded,
        start, withdraw,
    },
};

const TARGET: &str = "default/deployment/api";

pub(crate) async fn what_was_committed_is_there_after_a_kill<B: Backend>() {
    let backend = B::create().await;
    let store = backend.open().await;
    for n in 1..=3 {
        accepted(start(&*store, &mk_new(n, TARGET, WhenLocked::Wait)).await.unwrap());
    }
    advance(&*store, mk_id(1), run_exists()).await.unwrap();
    let (before, executions) = (backend.dump().await, all(&*store).await);
    // Not closed: what a kill leaves.
    drop(store);
    let store = backend.open().await;
    assert_eq!(backend.dump().await, before);
    assert_eq!(all(&*store).await, executions);
    assert_sound(&*store).await;
    advance(&*store, mk_id(1), run_succeeded()).await.unwrap();
    assert_sound(&*store).await;
}

pub(crate) async fn two_stores_on_one_database_agree<B: Backend>() {
    let backend = B::create().await;
    let stores = [backend.open().await, backend.open().await];
    let starts = (0..40_u32).map(|n| {
        let store = Arc::clone(&stores[usize::from(n % 2 == 0)]);
        tokio::spawn(async move {
            accepted(start(&*store, &mk_new(n, TARGET, WhenLocked::Wait)).await.unwrap())
        })
    });
    let accepted = futures::future::join_all(starts).await;
    let holders = accepted.iter().filter(|e| e.as_ref().unwrap().state.code().holds_target());
    assert_eq!(holders.count(), 1);
    assert_eq!(all(&*stores[0]).await, all(&*stores[1]).await);
    assert_sound(&*stores[0]).await;
}

pub(crate) async fn a_closed_store_refuses_and_its_data_stay<B: Backend>() {
    let backend = B::create().await;
    let store = backend.open().await;
    let first = mk_new(1, TARGET, WhenLocked::Reject);
    accepted(start(&*store, &first).await.unwrap());
    let before = backend.dump().await;
    store.close().await;
    for result in [
        store.check().await,
        start(&*store, &first).await.map(drop),
        store.execution(first.id).await.map(drop),
    ] {
        assert!(matches!(result, Err(StoreError::Unavailable { .. })), "{result:?}");
    }
    assert_eq!(backend.dump().await, before);
    assert_sound(&*backend.open().await).await;
}

/// Where a caller goes away.
#[derive(Debug, Clone, Copy)]
enum Leave {
    /// As soon as the future waits.
    Waiting,
    /// When what it waits for has come, and it was not told yet.
    Woken,
}

/// Polls a future so many times and then drops it; `None` when it had not ended.
struct Bounded<F> {
    future: Pin<Box<F>>,
    polls: u32,
    leave: Leave,
}

impl<F: Future> Future for Bounded<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.polls == 0 {
            return Poll::Ready(None);
        }
        self.polls -= 1;
        match self.future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => match self.leave {
                Leave::Waiting if self.polls == 0 => Poll::Ready(None),
                Leave::Waiting | Leave::Woken => Poll::Pending,
            },
        }
    }
}

fn bounded<F: Future>(future: F, polls: u32, leave: Leave) -> Bounded<F> {
    Bounded { future: Box::pin(future), polls, leave }
}

/// The store must answer soon: a transaction that was left open would keep it from writing.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(5), future).await.unwrap()
}

pub(crate) async fn a_start_that_is_dropped_anywhere_is_all_or_nothing<B: Backend>() {
    let backend = B::create().await;
    let (store, mut n) = (backend.open().await, 0);
    for leave in [Leave::Waiting, Leave::Woken] {
        for polls in 0.. {
            n += 1;
            let new = mk_new(n, TARGET, WhenLocked::Wait);
            let ended = bounded(start(&*store, &new), polls, leave).await.is_some();
            // Nobody else's start is held up, whatever was left.
            let next = mk_new(10_000 + n, "pod/x", WhenLocked::Wait);
            accepted(soon(start(&*store, &next)).await.unwrap());
            // All of it is there, or nothing.
            let kept = store.execution_of_request(&new.request.request_id).await.unwrap();
            if let Some(execution) = kept {
                assert_eq!(history(&*store, &execution).await.len(), 2);
                let target = store.target(&mk_key(TARGET)).await.unwrap();
                let known = target.holder.iter().chain(&target.queue);
                assert_eq!(known.filter(|e| e.id == new.id).count(), 1);
            } else {
                assert!(!ended, "accepted and not kept");
                assert_eq!(store.execution(new.id).await.unwrap(), None);
                assert_eq!(store.events(new.id, Revision(0), 9).await.unwrap(), []);
            }
            if ended {
                break;
            }
            // The caller who comes again gets it, once.
            soon(start(&*store, &new)).await.unwrap();
            assert_eq!(stored(&*store, new.id).await.request, new.request);
        }
    }
    assert_sound(&*store).await;
}

pub(crate) async fn a_withdrawal_that_is_dropped_anywhere_is_all_or_nothing<B: Backend>() {
    let backend = B::create().await;
    let (store, mut n) = (backend.open().await, 0);
    for leave in [Leave::Waiting, Leave::Woken] {
        for polls in 0.. {
            n += 1;
            let new = mk_withdrawal(n, 5);
            let ended = bounded(withdraw(&*store, &new), polls, leave).await.is_some();
            // Nobody is held up, whatever was left, and what was under way is over then.
            soon(store.check()).await.unwrap();
            let started = start(&*store, &mk_new(n, TARGET, WhenLocked::Wait)).await.unwrap();
            let again = withdraw(&*store, &mk_withdrawal(n, 6)).await.unwrap();
            if started == StartDecision::Withdrawn(new.clone()) {
                assert_eq!(again, WithdrawDecision::Withdrawn(new));
            } else {
                assert!(!ended, "withdrawn and not kept");
                assert_eq!(again, WithdrawDecision::Stop(accepted(started).id));
            }
            if ended {
                break;
            }
        }
    }
    assert_sound(&*store).await;
}

pub(crate) async fn a_change_that_is_dropped_anywhere_is_all_or_nothing<B: Backend>() {
    let backend = B::create().await;
    let store = backend.open().await;
    let mut holder = 1;
    accepted(start(&*store, &mk_new(holder, TARGET, WhenLocked::Wait)).await.unwrap());
    for leave in [Leave::Waiting, Leave::Woken] {
        for polls in 0.. {
            let (one, next) = (mk_id(holder), mk_id(holder + 1));
            accepted(start(&*store, &mk_new(holder + 1, TARGET, WhenLocked::Wait)).await.unwrap());
            advance(&*store, one, cancel()).await.unwrap();
            let ended = bounded(advance(&*store, one, quiet()), polls, leave).await.is_some();
            soon(store.check()).await.unwrap();
            let codes =
                (stored(&*store, one).await.state.code(), stored(&*store, next).await.state.code());
            let target = store.target(&mk_key(TARGET)).await.unwrap();
            let held_by = target.state.holder.unwrap().execution;
            match codes {
                (StateCode::Cancelled, StateCode::Starting) => assert_eq!(held_by, next),
                (StateCode::Cancelling, StateCode::Waiting) => {
                    assert!(!ended, "changed and not kept");
                    assert_eq!(held_by, one);
                    soon(advance(&*store, one, quiet())).await.unwrap();
                }
                half => panic!("{half:?}"),
            }
            holder += 1;
            if ended {
                break;
            }
        }
    }
    assert_sound(&*store).await;
}

pub(crate) async fn callers_who_go_away_leave_a_sound_store<B: Backend>() {
    const PATIENCE: [u64; 8] = [0, 50, 100, 200, 400, 800, 1600, 10_000];
    let backend = B::create().await;
    let store = backend.open().await;
    let callers = (0..8_u32).map(|caller| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for round in 0..40_u32 {
                let n = 1000 * caller + round;
                let target = ["pod/a", "pod/b", "pod/c"][(n % 3) as usize];
                let new = mk_new(n, target, WhenLocked::Wait);
                let patience = |step: u32| {
                    let at = (caller + round + step) as usize % PATIENCE.len();
                    Duration::from_micros(PATIENCE[at])
                };
                let call = tokio::time::timeout(patience(0), start(&*store, &new)).await;
                if let Ok(result) = call {
                    accepted(result.unwrap());
                }
                for (step, input) in (1..).zip([run_exists(), run_succeeded()]) {
                    let holder = store.target(&mk_key(target)).await.unwrap().state.holder;
                    let Some(holder) = holder else { continue };
                    // It may be illegal by now: others move the same one.
                    let call = advance(&*store, holder.execution, input);
                    let _: Result<_, _> = tokio::time::timeout(patience(step), call).await;
                }
            }
        })
    });
    for caller in futures::future::join_all(callers).await {
        caller.unwrap();
    }
    soon(store.check()).await.unwrap();
    accepted(soon(start(&*store, &mk_new(99_999, "pod/z", WhenLocked::Wait))).await.unwrap());
    assert_sound(&*store).await;
}
