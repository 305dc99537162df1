//! The log: everything that happens is on record once, in one order, and who looks after it is one.

use std::time::Duration;

use wfe_core::{
    actor::Actor,
    audit::{About, AboutTarget, Numbering, Position, Record, Stream, Times, What},
    request::WhenLocked,
};

use super::{Backend, assert_sound, sound_log};
use crate::{
    store::{LeaseWish, LogScope, Store},
    testing::{
        advance, at, mk_id, mk_key, mk_new, mk_withdrawal, run_exists, run_succeeded, start,
        withdraw,
    },
};

fn mk_refusal(second: i64, target: &str) -> Record {
    let key = mk_key(target);
    Record {
        stream: Stream::target(&key),
        numbering: Numbering::Next,
        at: at(second),
        actor: Actor::anonymous(Some("192.0.2.1".to_owned())),
        what: What::Refused {
            code: "TARGET_LOCKED".into(),
            hold: None,
            times: Times::once(at(second)),
        },
        about: About { target: Some(AboutTarget::of(&key)), ..About::default() },
    }
}

async fn types(store: &dyn Store) -> Vec<&'static str> {
    sound_log(store).await.iter().map(|entry| entry.what.as_str()).collect()
}

pub(crate) async fn every_change_is_on_record_once_and_in_order<B: Backend>() {
    let backend = B::create().await;
    let store = backend.open().await;
    start(&*store, &mk_new(1, "pod/a", WhenLocked::Wait)).await.unwrap();
    start(&*store, &mk_new(2, "pod/a", WhenLocked::Wait)).await.unwrap();
    start(&*store, &mk_new(3, "pod/a", WhenLocked::Attach)).await.unwrap();
    start(&*store, &mk_new(4, "pod/a", WhenLocked::Reject)).await.unwrap();
    start(&*store, &mk_new(1, "pod/a", WhenLocked::Wait)).await.unwrap();
    withdraw(&*store, &mk_withdrawal(5, 5)).await.unwrap();
    withdraw(&*store, &mk_withdrawal(5, 6)).await.unwrap();
    advance(&*store, mk_id(1), run_exists()).await.unwrap();
    advance(&*store, mk_id(1), run_succeeded()).await.unwrap();
    assert_sound(&*store).await;

    let streams: Vec<String> = sound_log(&*store)
        .await
        .iter()
        .map(|entry| format!("{} {}", entry.stream.as_str(), entry.revision))
        .collect();
    let of = |n, revision| format!("executions/{} {revision}", mk_id(n));
    let expected = [
        of(1, 1),
        of(1, 2),
        of(2, 1),
        of(2, 2),
        "requests/request-3 1".to_owned(),
        "requests/request-5 1".to_owned(),
        of(1, 3),
        of(1, 4),
        of(2, 3),
    ];
    assert_eq!(streams, expected);
}

pub(crate) async fn what_changes_nothing_is_on_record_when_it_is_told<B: Backend>() {
    let backend = B::create().await;
    let store = backend.open().await;
    let empty = store.log().await.unwrap();
    assert_eq!((empty.head, empty.base.hash), (empty.base, empty.id));
    start(&*store, &mk_new(1, "pod/a", WhenLocked::Wait)).await.unwrap();
    let head = store.record(&[mk_refusal(2, "pod/a"), mk_refusal(3, "pod/b")]).await.unwrap();
    assert_eq!(head.sequence, Position(4));
    store.record(&[mk_refusal(4, "pod/a")]).await.unwrap();
    assert_sound(&*store).await;
    assert_eq!(types(&*store).await, ["transition", "transition", "refused", "refused", "refused"]);
    let last = sound_log(&*store).await.pop().unwrap();
    assert_eq!((last.stream.as_str(), last.revision), ("targets/pod/a", 2));
}

pub(crate) async fn records_that_break_a_rule_are_refused_whole<B: Backend>() {
    let backend = B::create().await;
    let store = backend.open().await;
    store.record(&[mk_refusal(1, "pod/a")]).await.unwrap();
    let before = backend.dump().await;
    let again = Record { numbering: Numbering::At(1), ..mk_refusal(2, "pod/a") };
    store.record(&[again]).await.unwrap_err();
    assert_eq!(backend.dump().await, before);
    assert_sound(&*store).await;
}

pub(crate) async fn who_writes_at_once_gets_one_order<B: Backend>() {
    let backend = B::create().await;
    let (one, other) = (backend.open().await, backend.open().await);
    let starts = (1..=20).map(|n| {
        let store = if n % 2 == 0 { &one } else { &other };
        async move {
            let target = format!("pod/n{n}");
            start(&**store, &mk_new(n, &target, WhenLocked::Wait)).await.unwrap();
            store.record(&[mk_refusal(i64::from(n), &target)]).await.unwrap();
        }
    });
    futures::future::join_all(starts).await;
    assert_sound(&*one).await;
    assert_eq!(sound_log(&*other).await.len(), 60);
    assert_eq!(one.log().await.unwrap(), other.log().await.unwrap());
}

pub(crate) async fn entries_are_found_by_target_and_correlation_id<B: Backend>() {
    let backend = B::create().await;
    let store = backend.open().await;
    for (n, target) in [(1, "pod/a"), (2, "pod/b"), (3, "pod/c")] {
        let mut new = mk_new(n, target, WhenLocked::Wait);
        let id = if n == 3 { "other" } else { "incident" };
        new.request.correlation_id = Some(id.parse().unwrap());
        start(&*store, &new).await.unwrap();
    }
    store.record(&[mk_refusal(4, "pod/a")]).await.unwrap();
    let found = async |scope: LogScope, after, limit| {
        let entries = store.entries(&scope, Position(after), limit).await.unwrap();
        entries.iter().map(|entry| entry.sequence.0).collect::<Vec<_>>()
    };
    let all = LogScope::Everything;
    assert_eq!(found(all.clone(), 0, 100).await, [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(found(all.clone(), 2, 3).await, [3, 4, 5]);
    assert_eq!(found(all, u64::MAX, 3).await, [0; 0]);
    assert_eq!(found(LogScope::Target(mk_key("pod/a")), 0, 100).await, [1, 2, 7]);
    assert_eq!(found(LogScope::Target(mk_key("pod/a")), 1, 1).await, [2]);
    let incident = LogScope::Correlation("incident".parse().unwrap());
    assert_eq!(found(incident, 1, 100).await, [2, 3, 4]);
}

pub(crate) async fn a_lease_is_one_processs_at_a_time<B: Backend>() {
    let backend = B::create().await;
    let (one, other) = (backend.open().await, backend.open().await);
    let lease = async |store: &dyn Store, name, holder: &str, now| {
        let now = at(now);
        let wish = LeaseWish { name, holder, now, until: now + Duration::from_secs(10) };
        store.lease(&wish).await.unwrap().map(|lease| (lease.epoch, lease.until))
    };
    assert_eq!(lease(&*one, "work", "one", 0).await, Some((1, at(10))));
    assert_eq!(lease(&*other, "work", "other", 9).await, None);
    assert_eq!(lease(&*other, "else", "other", 9).await, Some((1, at(19))));
    assert_eq!(lease(&*one, "work", "one", 9).await, Some((1, at(19))));
    assert_eq!(lease(&*other, "work", "other", 18).await, None);
    assert_eq!(lease(&*other, "work", "other", 19).await, Some((2, at(29))));
    assert_eq!(lease(&*one, "work", "one", 20).await, None);
}
