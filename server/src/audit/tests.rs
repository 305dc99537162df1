//! The auditor step by step: with a clock that stands, a store in memory, and places that fail.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tempfile::NamedTempFile;
use wfe_audit::{
    checkpoint::Checkpoint,
    key::{PublicKey, Signature, SigningKey},
};
use wfe_core::{audit::Position, request::WhenLocked};
use wfe_runtime::clock::ManualClock;

use super::{auditor::Memory, *};
use crate::{
    metrics::Metrics,
    notify::Notifier,
    store::{
        LogScope, StoreError,
        memory::{Database, MemoryStore},
    },
    testing::{at, mk_new, start},
};

const TIMING: Timing = Timing { interval: Duration::from_mins(1), entries: 1000, retention: None };

/// A place that does as it is told.
#[derive(Default)]
struct Shelf {
    kept: Mutex<Vec<Checkpoint>>,
    away: Mutex<bool>,
}

#[async_trait::async_trait]
impl Outside for Shelf {
    fn kind(&self) -> &'static str {
        "file"
    }

    fn name(&self) -> String {
        "the shelf".to_owned()
    }

    fn remedy(&self) -> &'static str {
        "keep it"
    }

    fn pause(&self) -> Duration {
        Duration::ZERO
    }

    async fn newest(&self) -> Result<Option<Checkpoint>, OutsideError> {
        Ok(self.kept.lock().unwrap().last().cloned())
    }

    async fn keep(&self, checkpoint: &Checkpoint, key: &PublicKey) -> Result<(), OutsideError> {
        assert_eq!(checkpoint.verify(key), Signature::Right);
        if *self.away.lock().unwrap() {
            let source = std::io::Error::other("it is away");
            return Err(OutsideError::File { path: "shelf".into(), source });
        }
        self.kept.lock().unwrap().push(checkpoint.clone());
        Ok(())
    }
}

impl Shelf {
    fn sequences(&self) -> Vec<u64> {
        self.kept.lock().unwrap().iter().map(|kept| kept.sequence.0).collect()
    }
}

/// Somebody needs what comes after a place.
#[derive(Default)]
struct Reader(Mutex<Option<Position>>);

#[async_trait::async_trait]
impl Needs for Reader {
    async fn needed_after(&self) -> Result<Option<Position>, StoreError> {
        Ok(*self.0.lock().unwrap())
    }
}

struct World {
    database: Database,
    clock: ManualClock,
    file: NamedTempFile,
    keys: tempfile::TempDir,
    shelf: Arc<Shelf>,
    reader: Arc<Reader>,
}

/// An auditor, with what it remembers.
struct Process {
    store: MemoryStore,
    auditor: Auditor,
    memory: Memory,
    status: AuditStatus,
}

impl World {
    fn new() -> Self {
        Self {
            database: Database::default(),
            clock: ManualClock::new(at(0)),
            file: NamedTempFile::new().unwrap(),
            keys: tempfile::tempdir().unwrap(),
            shelf: Arc::default(),
            reader: Arc::default(),
        }
    }

    async fn begin(&self, holder: &str, timing: Timing) -> Process {
        let status = AuditStatus::default();
        let key = self.keys.path().join("key.pem");
        let opening = Opening {
            store: Arc::new(self.database.open()),
            file: DatabaseFile::opened(self.file.path()).unwrap(),
            clock: Arc::new(self.clock.clone()),
            keys: KeySettings { key, previous: None, lost: None },
            places: vec![Arc::clone(&self.shelf) as Arc<dyn Outside>],
            status: status.clone(),
        };
        let sealer = Arc::new(opening.begin().await.unwrap());
        let auditor = Auditor::new(
            sealer,
            Arc::new(Notifier::default()),
            Arc::clone(&self.reader) as Arc<dyn Needs>,
            Metrics::new().unwrap(),
            timing,
            holder.to_owned(),
        );
        let store = self.database.open();
        let memory = auditor.memory();
        Process { store, auditor, memory, status }
    }
}

impl Process {
    /// Puts two entries on record.
    async fn work(&self, n: u32) {
        start(&self.store, &mk_new(n, &format!("pod/n{n}"), WhenLocked::Wait)).await.unwrap();
    }

    /// Has the auditor do all that there is to do now.
    async fn look(&mut self) -> Duration {
        for _ in 0..100 {
            match self.auditor.step(&mut self.memory).await {
                Ok(Some(rest)) => return rest,
                Ok(None) => {}
                Err(failed) => panic!("{failed:?}"),
            }
        }
        panic!("it does not come to rest")
    }

    async fn signed(&self) -> Vec<u64> {
        let kept = crate::store::Seals::checkpoints(&self.store, Position(0), 100).await.unwrap();
        kept.iter().map(|checkpoint| checkpoint.sequence.0).collect()
    }
}

#[tokio::test]
async fn new_entries_are_signed_in_time_and_brought_outside() {
    let world = World::new();
    let mut process = world.begin("one", TIMING).await;
    process.look().await;
    assert_eq!(world.shelf.sequences(), [0], "the empty log is signed");
    process.work(1).await;
    assert!(process.look().await <= Duration::from_secs(5));
    assert_eq!(world.shelf.sequences(), [0], "its time has not come");
    world.clock.advance(TIMING.interval);
    process.look().await;
    assert_eq!((process.signed().await, world.shelf.sequences()), (vec![0, 2], vec![0, 2]));
    world.clock.advance(TIMING.interval * 5);
    process.look().await;
    assert_eq!(process.signed().await, [0, 2], "nothing is new");
    let report = process.status.report();
    assert_eq!((report.doubt, report.failure, report.head), (None, None, Position(2)));
}

#[tokio::test]
async fn a_place_that_was_away_gets_the_newest_checkpoint_when_it_is_back() {
    let world = World::new();
    let mut process = world.begin("one", TIMING).await;
    process.look().await;
    *world.shelf.away.lock().unwrap() = true;
    for n in 1..=3 {
        process.work(n).await;
        world.clock.advance(TIMING.interval);
        process.look().await;
    }
    assert_eq!(world.shelf.sequences(), [0]);
    assert_eq!(process.signed().await, [0, 2, 4, 6], "signed all the same");
    let failure = process.status.report().failure.unwrap();
    assert!(failure.contains("the shelf"), "{failure}");
    let behind = &process.status.report().places[1];
    assert_eq!(behind.behind_since, Some(at(60)), "since the first look that found it so");

    *world.shelf.away.lock().unwrap() = false;
    world.clock.advance(TIMING.interval);
    process.look().await;
    assert_eq!(world.shelf.sequences(), [0, 6]);
    process.look().await;
    assert_eq!(process.status.report().failure, None);
    assert_eq!(process.status.report().places[1].behind_since, None);
}

#[tokio::test]
async fn one_process_signs_and_another_goes_on_when_its_lease_is_over() {
    let world = World::new();
    let mut one = world.begin("one", TIMING).await;
    let mut other = world.begin("other", TIMING).await;
    one.look().await;
    one.work(1).await;
    world.clock.advance(Duration::from_secs(29));
    other.look().await;
    assert_eq!(world.shelf.sequences(), [0]);
    world.clock.advance(Duration::from_secs(31));
    other.look().await;
    assert_eq!(world.shelf.sequences(), [0, 2]);
    other.work(2).await;
    world.clock.advance(TIMING.interval);
    other.look().await;
    one.look().await;
    assert_eq!(world.shelf.sequences(), [0, 2, 4], "the first one leaves it alone");
}

#[tokio::test]
async fn a_checkpoint_outside_that_the_log_does_not_have_stops_everything() {
    let world = World::new();
    let mut process = world.begin("one", TIMING).await;
    process.look().await;
    process.work(1).await;
    world.clock.advance(TIMING.interval);
    // Another server wrote to the same place before this one looked at it again.
    let key = SigningKey::generate(&ring::rand::SystemRandom::new()).unwrap().0;
    let head = wfe_core::audit::Head::empty(wfe_core::audit::Hash([9; 32]));
    let strange = Checkpoint::sign(head.hash, head, at(1), &key);
    world.shelf.kept.lock().unwrap().push(strange.clone());
    process.memory = process.auditor.memory();
    process.look().await;
    assert_eq!(world.shelf.kept.lock().unwrap().last(), Some(&strange), "it is left alone");
    let doubt = process.status.report().doubt;
    assert!(matches!(doubt, Some(Doubt::OtherLog { .. })), "{doubt:?}");
    let signed = process.signed().await;
    process.work(2).await;
    world.clock.advance(TIMING.interval * 2);
    process.look().await;
    assert_eq!(process.signed().await, signed, "nothing is signed any more");
    assert_eq!(process.status.report().doubt, doubt);
}

#[tokio::test]
async fn what_is_old_goes_once_it_is_outside_and_nobody_needs_it() {
    let world = World::new();
    let timing = Timing { retention: Some(Duration::from_hours(1)), ..TIMING };
    let mut process = world.begin("one", timing).await;
    let first = async |process: &Process| {
        let all = LogScope::Everything;
        let entries = crate::store::Journal::entries(&process.store, &all, Position(0), 1).await;
        entries.unwrap()[0].sequence.0
    };
    for n in 1..=2 {
        process.work(n).await;
        world.clock.advance(TIMING.interval);
        process.look().await;
    }
    assert_eq!(first(&process).await, 1);
    *world.reader.0.lock().unwrap() = Some(Position(2));
    world.clock.advance(Duration::from_hours(2));
    process.look().await;
    assert_eq!(first(&process).await, 3, "the reader still needs the third");
    *world.reader.0.lock().unwrap() = None;
    world.clock.advance(Duration::from_hours(2));
    process.look().await;
    assert_eq!(first(&process).await, 6, "the record of the first pruning was old too");
    assert_eq!(process.signed().await.first(), Some(&5), "it begins with its checkpoint");

    // Left alone it comes to rest: what pruning puts on record is not pruned for its own sake.
    let before = process.store.log_head().await;
    for _ in 0..10 {
        world.clock.advance(Duration::from_hours(1));
        process.look().await;
    }
    let grown = process.store.log_head().await - before;
    assert!(grown <= 10, "{grown} records of nothing but pruning");
}

impl MemoryStore {
    async fn log_head(&self) -> u64 {
        crate::store::Journal::log(self).await.unwrap().head.sequence.0
    }
}

#[tokio::test]
async fn a_database_that_was_replaced_is_not_signed_and_said_to_be() {
    let world = World::new();
    let mut process = world.begin("one", TIMING).await;
    process.look().await;
    process.work(1).await;
    let other = NamedTempFile::new_in(world.file.path().parent().unwrap()).unwrap();
    other.persist(world.file.path()).unwrap();
    world.clock.advance(TIMING.interval);
    process.look().await;
    assert_eq!(process.status.report().doubt, Some(Doubt::Replaced));
    assert_eq!(process.signed().await, [0]);
    std::fs::remove_file(world.file.path()).unwrap();
    process.look().await;
    assert_eq!(process.status.report().doubt, Some(Doubt::Removed));
}
