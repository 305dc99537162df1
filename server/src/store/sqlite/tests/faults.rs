//! Locks of other processes, full disks, and what the observer is told.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use backon::ExponentialBuilder;
use sqlx::Connection;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use wfe_core::{request::WhenLocked, start::StartDecision};

use super::File;
use crate::{
    store::{
        Store, StoreError,
        conformance::{Backend, assert_sound},
        observer::{Outcome, StoreObserver, Unobserved},
        sqlite::{SqliteStore, open::Tuning},
    },
    testing::{advance, cancel, mk_id, mk_new, run_succeeded, start},
};

/// Passes on what it is told.
struct Told(Mutex<UnboundedSender<(&'static str, Outcome)>>);

impl StoreObserver for Told {
    fn transaction(&self, name: &'static str, _: Duration, outcome: Outcome) {
        let _: Result<(), _> = self.0.lock().unwrap().send((name, outcome));
    }
}

/// A store that gives up after `retries` attempts more, and what its observer is told.
async fn impatient(
    file: &File,
    retries: usize,
) -> (SqliteStore, UnboundedReceiver<(&'static str, Outcome)>) {
    let tuning = Tuning {
        busy_timeout: Duration::from_millis(1),
        retries: ExponentialBuilder::new()
            .with_min_delay(Duration::from_millis(1))
            .with_max_delay(Duration::from_millis(2))
            .with_max_times(retries),
        ..Tuning::default()
    };
    let (sender, told) = unbounded_channel();
    let observer = Arc::new(Told(Mutex::new(sender)));
    let store = SqliteStore::open_tuned(&file.path(), observer, &tuning).await.unwrap();
    (store, told)
}

fn drain(told: &mut UnboundedReceiver<(&'static str, Outcome)>) -> Vec<(&'static str, Outcome)> {
    std::iter::from_fn(|| told.try_recv().ok()).collect()
}

#[tokio::test]
async fn every_end_of_a_transaction_is_told() {
    let file = File::create().await;
    let (store, mut told) = impatient(&file, 0).await;
    let new = mk_new(1, "pod/a", WhenLocked::Reject);
    start(&store, &new).await.unwrap();
    let accepted =
        [("start_view", Outcome::Read), ("seal", Outcome::Read), ("start", Outcome::Committed)];
    assert_eq!(drain(&mut told), accepted);
    start(&store, &new).await.unwrap();
    assert_eq!(drain(&mut told), [("start_view", Outcome::Read)]);
    advance(&store, mk_id(1), run_succeeded()).await.unwrap_err();
    assert_eq!(drain(&mut told), [("test", Outcome::Read)]);
    {
        // It waits for the one connection that writes.
        let _taken = store.writer.pool.acquire().await.unwrap();
        let call = advance(&store, mk_id(1), cancel());
        futures::pin_mut!(call);
        assert!(futures::poll!(call).is_pending());
    }
    assert_eq!(drain(&mut told), [("test", Outcome::Abandoned)]);
    store.close().await;
    store.execution(mk_id(1)).await.unwrap_err();
    assert_eq!(drain(&mut told), [("execution", Outcome::Failed)]);
}

#[tokio::test]
async fn a_start_waits_until_another_process_gives_its_lock_up() {
    let file = File::create().await;
    let (store, mut told) = impatient(&file, 100_000).await;
    let mut other = file.connect().await;
    let lock = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let new = mk_new(1, "pod/a", WhenLocked::Reject);
    let started = start(&store, &new);
    let unlocked = async {
        while told.recv().await.unwrap() != ("start", Outcome::Retried) {}
        lock.rollback().await.unwrap();
    };
    let (started, ()) = tokio::join!(started, unlocked);
    assert!(matches!(started.unwrap(), StartDecision::Accept { .. }));
    assert_sound(&store).await;
}

#[tokio::test]
async fn a_lock_that_stays_makes_the_store_unavailable_for_writes_alone() {
    let file = File::create().await;
    let (store, mut told) = impatient(&file, 2).await;
    start(&store, &mk_new(1, "pod/a", WhenLocked::Reject)).await.unwrap();
    let mut other = file.connect().await;
    let lock = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    drain(&mut told);
    let error = start(&store, &mk_new(2, "pod/b", WhenLocked::Reject)).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { operation: "start", .. }), "{error:?}");
    let attempts = [
        ("start_view", Outcome::Read),
        ("start", Outcome::Retried),
        ("start", Outcome::Retried),
        ("start", Outcome::Failed),
    ];
    assert_eq!(drain(&mut told), attempts);
    store.check().await.unwrap_err();
    // Who only asks, and who is refused, is answered.
    assert!(store.execution(mk_id(1)).await.unwrap().is_some());
    let refused = start(&store, &mk_new(3, "pod/a", WhenLocked::Reject)).await.unwrap();
    assert!(matches!(refused, StartDecision::Refuse(_)), "{refused:?}");
    lock.rollback().await.unwrap();
    store.check().await.unwrap();
}

#[tokio::test]
async fn a_full_disk_is_unavailable_and_the_store_goes_on_when_there_is_room() {
    let file = File::create().await;
    let store = SqliteStore::open(&file.path(), Arc::new(Unobserved)).await.unwrap();
    start(&store, &mk_new(1, "pod/a", WhenLocked::Wait)).await.unwrap();
    let before = file.dump().await;
    // No page more than there are: what SQLite does then is what it does on a full disk.
    sqlx::raw_sql("PRAGMA max_page_count = 1").execute(&store.writer.pool).await.unwrap();
    let mut big = mk_new(2, "pod/a", WhenLocked::Wait);
    big.request.parameters.insert("LOG".to_owned(), "x".repeat(200_000).into());
    let error = start(&store, &big).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    assert_eq!(file.dump().await, before);

    sqlx::raw_sql("PRAGMA max_page_count = 1000000").execute(&store.writer.pool).await.unwrap();
    start(&store, &big).await.unwrap();
    assert_sound(&store).await;
}

/// A transaction that SQLite gave up by itself, as it does on some errors of the disk.
#[tokio::test]
async fn a_connection_that_lost_its_transaction_is_replaced() {
    let file = File::create().await;
    let store = SqliteStore::open(&file.path(), Arc::new(Unobserved)).await.unwrap();
    let mut transaction = store.writer.pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    sqlx::raw_sql("ROLLBACK").execute(&mut *transaction).await.unwrap();
    assert!(transaction.is_in_transaction());
    drop(transaction);
    start(&store, &mk_new(1, "pod/a", WhenLocked::Wait)).await.unwrap();
    assert_sound(&store).await;
}
