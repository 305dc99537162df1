//! What can be asked.

use std::collections::BTreeSet;

use wfe_core::{
    execution::StateCode,
    ids::{ExecutionId, Revision},
    lock::TargetState,
    progress::Progress,
    request::WhenLocked,
    transition::Input,
};

use super::{Backend, accepted, all, assert_sound};
use crate::{
    store::{Filter, Page, Store, TargetView, Unfinished},
    testing::{advance, cancel, mk_id, mk_key, mk_new, run_exists, run_succeeded, start},
};

const A: &str = "default/deployment/a";
const B: &str = "default/deployment/b";

pub(crate) async fn what_is_not_there_is_not_found<T: Backend>() {
    let backend = T::create().await;
    let store = backend.open().await;
    assert_eq!(store.execution(mk_id(1)).await.unwrap(), None);
    let request = mk_new(1, A, WhenLocked::Wait).request.request_id;
    assert_eq!(store.execution_of_request(&request).await.unwrap(), None);
    assert_eq!(store.events(mk_id(1), Revision(0), 10).await.unwrap(), []);
    assert_eq!(all(&*store).await, []);
    let unused = TargetState::unused(mk_key(A));
    let expected = TargetView { state: unused, holder: None, queue: Vec::new() };
    assert_eq!(store.target(&mk_key(A)).await.unwrap(), expected);
    assert_eq!(store.unfinished().await.unwrap(), []);
    assert_eq!(store.head_of(&mk_key(A).hash()).await.unwrap(), None);
    assert_eq!(store.count_by_state().await.unwrap(), []);
    store.check().await.unwrap();
}

pub(crate) async fn events_come_in_order_after_a_revision<T: Backend>() {
    let backend = T::create().await;
    let store = backend.open().await;
    let id = accepted(start(&*store, &mk_new(1, A, WhenLocked::Wait)).await.unwrap()).id;
    advance(&*store, id, run_exists()).await.unwrap();
    for total in 1..=9 {
        let progress = Progress { total, ..Progress::default() };
        advance(&*store, id, Input::Progress(progress)).await.unwrap();
    }
    let numbers = async |after, limit| -> Vec<u64> {
        let events = store.events(id, Revision(after), limit).await.unwrap();
        events.iter().map(|event| event.revision.0).collect()
    };
    assert_eq!(numbers(0, 100).await, (1..=12).collect::<Vec<_>>());
    assert_eq!(numbers(0, 3).await, [1, 2, 3]);
    assert_eq!(numbers(3, 4).await, [4, 5, 6, 7]);
    assert_eq!(numbers(11, 4).await, [12]);
    assert!(numbers(12, 4).await.is_empty());
    assert!(numbers(u64::MAX, 4).await.is_empty());
    assert!(numbers(0, 0).await.is_empty());
}

pub(crate) async fn pages_neither_skip_nor_repeat_while_others_are_accepted<T: Backend>() {
    let backend = T::create().await;
    let store = backend.open().await;
    for n in 1..=20 {
        accepted(start(&*store, &mk_new(n, A, WhenLocked::Wait)).await.unwrap());
    }
    let (mut before, mut seen, mut newcomer) = (None, Vec::new(), 100);
    loop {
        let page = store.list(&Filter::default(), Page { before, limit: 3 }).await.unwrap();
        let Some(last) = page.last() else { break };
        before = Some(last.sequence);
        seen.extend(page.iter().map(|listed| listed.execution.id));
        newcomer += 1;
        accepted(start(&*store, &mk_new(newcomer, A, WhenLocked::Wait)).await.unwrap());
    }
    assert_eq!(seen, (1..=20).rev().map(mk_id).collect::<Vec<_>>());
}

async fn ids(store: &dyn Store, filter: Filter) -> BTreeSet<ExecutionId> {
    let page = Page { before: None, limit: 100 };
    let listed = store.list(&filter, page).await.unwrap();
    assert!(listed.is_sorted_by(|a, b| a.sequence > b.sequence));
    listed.into_iter().map(|listed| listed.execution.id).collect()
}

pub(crate) async fn conditions_of_a_list_are_combined<T: Backend>() {
    let backend = T::create().await;
    let store = backend.open().await;
    // 1 to 4 on one target, 5 to 8 on another; the even ones belong to an incident.
    for n in 1..=8 {
        let mut new = mk_new(n, if n <= 4 { A } else { B }, WhenLocked::Wait);
        new.request.correlation_id = (n % 2 == 0).then(|| "incident-1".parse().unwrap());
        accepted(start(&*store, &new).await.unwrap());
    }
    // 1 succeeded, 2 runs, 3 waits, 4 was cancelled; 5 starts, 6 to 8 wait.
    for (n, input) in [(1, run_exists()), (1, run_succeeded()), (2, run_exists()), (4, cancel())] {
        advance(&*store, mk_id(n), input).await.unwrap();
    }
    let any = Filter::default;
    let of = |numbers: &[u32]| numbers.iter().copied().map(mk_id).collect::<BTreeSet<_>>();
    let target = |target| Some(mk_key(target));
    let incident = || Some("incident-1".parse().unwrap());
    let live = vec![StateCode::Starting, StateCode::Running];
    let ended = vec![StateCode::Succeeded, StateCode::Failed, StateCode::Cancelled];
    let waiting = vec![StateCode::Waiting];

    let cases = [
        (any(), of(&[1, 2, 3, 4, 5, 6, 7, 8])),
        (Filter { target: target(A), ..any() }, of(&[1, 2, 3, 4])),
        (Filter { target: target("pod/x"), ..any() }, of(&[])),
        (Filter { correlation_id: incident(), ..any() }, of(&[2, 4, 6, 8])),
        (Filter { correlation_id: Some("incident".parse().unwrap()), ..any() }, of(&[])),
        (Filter { states: live.clone(), ..any() }, of(&[2, 5])),
        (Filter { states: ended.clone(), ..any() }, of(&[1, 4])),
        (Filter { states: waiting.clone(), ..any() }, of(&[3, 6, 7, 8])),
        (Filter { states: vec![StateCode::Failed], ..any() }, of(&[])),
        (Filter { states: StateCode::ALL.to_vec(), ..any() }, of(&[1, 2, 3, 4, 5, 6, 7, 8])),
        (Filter { target: target(B), states: waiting.clone(), ..any() }, of(&[6, 7, 8])),
        (Filter { correlation_id: incident(), states: ended, ..any() }, of(&[4])),
        (Filter { target: target(B), correlation_id: incident(), ..any() }, of(&[6, 8])),
        (Filter { target: target(A), correlation_id: incident(), states: live }, of(&[2])),
        (Filter { target: target(A), correlation_id: incident(), states: waiting }, of(&[])),
    ];
    for (filter, expected) in cases {
        assert_eq!(ids(&*store, filter.clone()).await, expected, "{filter:?}");
    }
}

pub(crate) async fn a_target_shows_its_holder_and_its_queue<T: Backend>() {
    let backend = T::create().await;
    let store = backend.open().await;
    for n in 1..=4 {
        accepted(start(&*store, &mk_new(n, A, WhenLocked::Wait)).await.unwrap());
    }
    accepted(start(&*store, &mk_new(5, B, WhenLocked::Wait)).await.unwrap());
    advance(&*store, mk_id(2), cancel()).await.unwrap();
    let view = store.target(&mk_key(A)).await.unwrap();
    assert_eq!(view.state.holder.unwrap().execution, mk_id(1));
    assert_eq!(view.holder, store.execution(mk_id(1)).await.unwrap());
    assert_eq!(view.queue.iter().map(|e| e.id).collect::<Vec<_>>(), [mk_id(3), mk_id(4)]);
    assert_eq!(store.holder_of(&mk_key(A)).await.unwrap(), Some(mk_id(1)));
    assert_eq!(store.holder_of(&mk_key("pod/nobody")).await.unwrap(), None);
    assert_eq!(store.head_of(&mk_key(A).hash()).await.unwrap(), Some(mk_id(3)));
    assert_eq!(store.head_of(&mk_key(B).hash()).await.unwrap(), None);
    assert_sound(&*store).await;
}

pub(crate) async fn the_unfinished_come_in_order_of_acceptance<T: Backend>() {
    let backend = T::create().await;
    let store = backend.open().await;
    for (n, target) in [(4, A), (3, A), (2, B), (1, B), (9, "pod/x")] {
        accepted(start(&*store, &mk_new(n, target, WhenLocked::Wait)).await.unwrap());
    }
    advance(&*store, mk_id(1), cancel()).await.unwrap();
    advance(&*store, mk_id(2), run_exists()).await.unwrap();
    advance(&*store, mk_id(9), cancel()).await.unwrap();
    let unfinished = |n, state| Unfinished { id: mk_id(n), state };
    let expected = [
        unfinished(4, StateCode::Starting),
        unfinished(3, StateCode::Waiting),
        unfinished(2, StateCode::Running),
        unfinished(9, StateCode::Cancelling),
    ];
    assert_eq!(store.unfinished().await.unwrap(), expected);
}

pub(crate) async fn states_are_counted<T: Backend>() {
    let backend = T::create().await;
    let store = backend.open().await;
    for n in 1..=5 {
        accepted(start(&*store, &mk_new(n, A, WhenLocked::Wait)).await.unwrap());
    }
    advance(&*store, mk_id(5), cancel()).await.unwrap();
    let mut counts = store.count_by_state().await.unwrap();
    counts.retain(|(_, count)| *count > 0);
    counts.sort_unstable();
    let expected = [(StateCode::Waiting, 3), (StateCode::Starting, 1), (StateCode::Cancelled, 1)];
    assert_eq!(counts, expected);
}
