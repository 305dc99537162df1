//! Checkpoints: what is signed is an entry of the log, and what stands before one can go.

use ring::rand::SystemRandom;
use wfe_audit::{
    checkpoint::Checkpoint,
    key::{Signature, SigningKey},
};
use wfe_core::{
    audit::{Head, Position, What},
    request::WhenLocked,
};

use super::{Backend, assert_sound, sound_log};
use crate::{
    store::{LogScope, Store},
    testing::{at, mk_id, mk_key, mk_new, mk_withdrawal, run_exists, start, withdraw},
};

fn mk_signer() -> SigningKey {
    SigningKey::generate(&SystemRandom::new()).unwrap().0
}

/// Starts execution `n`, which puts two entries on record.
async fn started(store: &dyn Store, n: u32) {
    start(store, &mk_new(n, &format!("pod/n{n}"), WhenLocked::Wait)).await.unwrap();
}

async fn signed(store: &dyn Store, second: i64, key: &SigningKey) -> Checkpoint {
    let log = store.log().await.unwrap();
    let checkpoint = Checkpoint::sign(log.id, log.head, at(second), key);
    assert_eq!(store.seal(&checkpoint).await.unwrap(), checkpoint);
    checkpoint
}

async fn sequences(store: &dyn Store, after: u64) -> Vec<u64> {
    let entries = store.entries(&LogScope::Everything, Position(after), u32::MAX).await.unwrap();
    entries.iter().map(|entry| entry.sequence.0).collect()
}

pub(crate) async fn a_checkpoint_comes_back_as_it_was_signed<B: Backend>() {
    let backend = B::create().await;
    let (store, key) = (backend.open().await, mk_signer());
    let empty = store.sealed(Position(0)).await.unwrap();
    assert_eq!((empty.newest, empty.base), (None, None));
    assert_eq!(empty.hash, Some(empty.log.id));
    let first = signed(&*store, 1, &key).await;
    started(&*store, 1).await;
    let second = signed(&*store, 2, &key).await;

    let other = backend.open().await;
    let sealed = other.sealed(Position(1)).await.unwrap();
    assert_eq!(sealed.newest, Some(second.clone()));
    assert_eq!(sealed.base, Some(first.clone()));
    assert_eq!(second.verify(&key.public()), Signature::Right);
    let entries = other.entries(&LogScope::Everything, Position(0), 1).await.unwrap();
    assert_eq!(sealed.hash, Some(entries[0].hash));
    assert_eq!(other.sealed(Position(3)).await.unwrap().hash, None);

    let kept = other.checkpoints(Position(0), 10).await.unwrap();
    assert_eq!(kept, [first.clone(), second.clone()]);
    assert_eq!(other.checkpoints(Position(1), 10).await.unwrap(), [second]);
    assert_eq!(other.checkpoints(Position(0), 1).await.unwrap(), [first]);
    let before = async |second, place| {
        let found = other.checkpoint_before(at(second), Position(place)).await.unwrap();
        found.map(|checkpoint| checkpoint.sequence.0)
    };
    assert_eq!(before(2, 9).await, Some(2));
    assert_eq!(before(1, 9).await, None, "the log begins there already");
    assert_eq!(before(2, 1).await, None);
}

pub(crate) async fn the_first_checkpoint_of_an_entry_stands<B: Backend>() {
    let backend = B::create().await;
    let (store, key) = (backend.open().await, mk_signer());
    started(&*store, 1).await;
    let first = signed(&*store, 1, &key).await;
    let again = Checkpoint::sign(first.log, first.head(), at(2), &mk_signer());
    assert_eq!(store.seal(&again).await.unwrap(), first);
    assert_eq!(store.checkpoints(Position(0), 10).await.unwrap(), [first]);
}

pub(crate) async fn what_is_no_entry_of_the_log_is_not_signed<B: Backend>() {
    let backend = B::create().await;
    let (store, key) = (backend.open().await, mk_signer());
    let empty = store.log().await.unwrap();
    started(&*store, 1).await;
    started(&*store, 2).await;
    let newest = signed(&*store, 1, &key).await;
    let before = backend.dump().await;
    let other = wfe_core::audit::Hash([9; 32]);
    for wrong in [
        Head { sequence: Position(3), hash: other },
        Head { sequence: Position(9), hash: newest.hash },
        // Older than what was signed.
        empty.head,
    ] {
        let wrong = Checkpoint::sign(empty.id, wrong, at(2), &key);
        store.seal(&wrong).await.unwrap_err();
    }
    assert_eq!(backend.dump().await, before);
}

pub(crate) async fn a_log_is_pruned_at_a_checkpoint_and_goes_on<B: Backend>() {
    let backend = B::create().await;
    let (store, key) = (backend.open().await, mk_signer());
    started(&*store, 1).await;
    withdraw(&*store, &mk_withdrawal(5, 5)).await.unwrap();
    let checkpoint = signed(&*store, 1, &key).await;
    started(&*store, 2).await;
    assert_sound(&*store).await;

    store.prune(Position(2), at(9)).await.unwrap_err();
    store.prune(Position(9), at(9)).await.unwrap_err();
    assert_eq!(sequences(&*store, 0).await, [1, 2, 3, 4, 5]);

    let log = store.prune(checkpoint.sequence, at(9)).await.unwrap();
    assert_eq!(log.base, checkpoint.head());
    assert_eq!(log, store.log().await.unwrap());
    assert_eq!(sequences(&*store, 0).await, [4, 5, 6]);
    let sealed = store.sealed(Position(3)).await.unwrap();
    assert_eq!(sealed.hash, Some(checkpoint.hash));
    assert_eq!(sealed.base, Some(checkpoint.clone()));
    assert_eq!(store.sealed(Position(2)).await.unwrap().hash, None);
    let last = sound_log(&*store).await.pop().unwrap();
    let What::Pruned { through, entries, hash } = &last.what else { panic!("{last:?}") };
    assert_eq!((*through, *entries, hash), (3, 3, &checkpoint.hash.to_string()));
    assert_eq!((last.stream.as_str(), last.at), ("log", at(9)));

    assert_eq!(store.prune(checkpoint.sequence, at(10)).await.unwrap(), log, "once");
    // What happens to an execution of which the beginning is gone is on record as before.
    crate::testing::advance(&*store, mk_id(1), run_exists()).await.unwrap();
    let last = sound_log(&*store).await.pop().unwrap();
    assert_eq!((last.sequence, last.revision), (Position(7), 3));
    assert!(store.execution(mk_id(1)).await.unwrap().is_some());
}

pub(crate) async fn what_was_pruned_is_deleted_piece_by_piece<B: Backend>() {
    let backend = B::create().await;
    let (store, key) = (backend.open().await, mk_signer());
    started(&*store, 1).await;
    withdraw(&*store, &mk_withdrawal(5, 5)).await.unwrap();
    signed(&*store, 1, &key).await;
    started(&*store, 2).await;
    let checkpoint = signed(&*store, 2, &key).await;
    assert_eq!(store.sweep(2).await.unwrap(), 0, "nothing is too old");

    store.prune(checkpoint.sequence, at(9)).await.unwrap();
    let before = sequences(&*store, 0).await;
    assert_eq!(store.sweep(2).await.unwrap(), 3, "two entries and the older checkpoint");
    assert_eq!(store.sweep(2).await.unwrap(), 2);
    assert_eq!(store.sweep(2).await.unwrap(), 1);
    assert_eq!(store.sweep(2).await.unwrap(), 0);
    assert_eq!(sequences(&*store, 0).await, before);
    assert_eq!(store.checkpoints(Position(0), 9).await.unwrap(), [checkpoint]);

    let target = mk_key("pod/n2");
    let gone = store.entries(&LogScope::Target(target), Position(0), 9).await.unwrap();
    assert_eq!(gone, []);
    // A second pruning is the second record of the log itself.
    started(&*store, 3).await;
    let next = signed(&*store, 3, &key).await;
    store.prune(next.sequence, at(10)).await.unwrap();
    while store.sweep(100).await.unwrap() > 0 {}
    let last = sound_log(&*store).await.pop().unwrap();
    assert_eq!((last.stream.as_str(), last.revision), ("log", 2));
}
