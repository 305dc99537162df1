//! The auditors of a simulation, and the place outside where they keep checkpoints.
//!
//! Nobody tampers with a simulated log, so whatever goes wrong, nobody may doubt it; what is kept outside
//! fits it; and in the end all of it is signed there.

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tempfile::NamedTempFile;
use tokio_util::sync::CancellationToken;
use wfe_audit::{
    checkpoint::Checkpoint,
    key::{PublicKey, Signature, SigningKey},
};
use wfe_core::audit::Position;

use super::{executor::Owner, world::World};
use crate::{
    audit::{
        AuditStatus, Auditor, DatabaseFile, NothingNeeded, Outside, OutsideError, Sealer, Timing,
    },
    clock::Clock,
    metrics::Metrics,
    notify::Notifier,
    store::Store,
};

/// A process that could not begin to sign tries again after this time.
const AGAIN: Duration = Duration::from_secs(1);

/// What one process needs to have the log signed.
pub(super) struct Desk {
    pub(super) owner: Owner,
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) notifier: Arc<Notifier>,
    pub(super) metrics: Metrics,
}

/// The checkpoints that are kept outside, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Shelf(Mutex<Vec<Checkpoint>>);

/// The shelf as one process reaches it.
struct WayToShelf {
    world: Arc<World>,
    owner: Owner,
}

impl Shelf {
    fn lock(&self) -> MutexGuard<'_, Vec<Checkpoint>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn newest(&self) -> Option<Checkpoint> {
        self.lock().last().cloned()
    }

    /// The entry that the newest checkpoint signs.
    pub(super) fn signed(&self) -> Option<Position> {
        self.newest().map(|newest| newest.sequence)
    }
}

#[async_trait]
impl Outside for WayToShelf {
    fn kind(&self) -> &'static str {
        "config_map"
    }

    fn name(&self) -> String {
        "the shelf".to_owned()
    }

    fn remedy(&self) -> &'static str {
        "look at the simulation"
    }

    fn pause(&self) -> Duration {
        Duration::from_secs(10)
    }

    async fn newest(&self) -> Result<Option<Checkpoint>, OutsideError> {
        self.reach("read").await?;
        Ok(self.world.shelf.newest())
    }

    async fn keep(&self, checkpoint: &Checkpoint, key: &PublicKey) -> Result<(), OutsideError> {
        self.reach("write").await?;
        let (log, entries) = self.world.log();
        let entry = entries.iter().find(|entry| entry.sequence == checkpoint.sequence);
        let hash = match checkpoint.sequence {
            Position(0) => Some(log),
            _ => entry.map(|entry| entry.hash),
        };
        if hash != Some(checkpoint.hash) || checkpoint.verify(key) != Signature::Right {
            let broken =
                format!("I4: the checkpoint of {:?} is of another log", checkpoint.sequence);
            self.world.history().violation(broken);
        }
        self.world.note(|| format!("  {:?} signs {:?}", self.owner, checkpoint.sequence));
        self.world.shelf.lock().push(checkpoint.clone());
        self.world.pause().await;
        if self.world.hits(|weather| weather.api_loses_answer) {
            return Err(trouble());
        }
        Ok(())
    }
}

impl WayToShelf {
    async fn reach(&self, operation: &str) -> Result<(), OutsideError> {
        self.world.pause().await;
        if self.world.is_away() || self.world.hits(|weather| weather.api_refuses) {
            self.world.note(|| format!("  {operation} of the shelf by {:?} fails", self.owner));
            return Err(trouble());
        }
        Ok(())
    }
}

fn trouble() -> OutsideError {
    let source = std::io::Error::other("the simulated network is in trouble");
    OutsideError::File { path: "shelf".into(), source }
}

/// A file that stands for the database, which is in memory: it is never replaced.
fn database_file() -> DatabaseFile {
    static FILE: OnceLock<NamedTempFile> = OnceLock::new();
    let path: &Path = FILE.get_or_init(|| NamedTempFile::new().unwrap()).path();
    DatabaseFile::opened(path).unwrap()
}

/// Has the log signed until `stopping`.
pub(super) async fn look_after(
    world: Arc<World>,
    desk: Desk,
    status: AuditStatus,
    stopping: CancellationToken,
) {
    let Desk { owner, store, clock, notifier, metrics } = desk;
    let sealer = loop {
        let place: Arc<dyn Outside> = Arc::new(WayToShelf { world: Arc::clone(&world), owner });
        // As at the start of a server: what was signed before is read from the database.
        let last = store.sealed(Position(0)).await.map(|sealed| sealed.newest);
        let begun = match last {
            Err(error) => Err(error),
            Ok(last) => {
                let (store, clock) = (Arc::clone(&store), Arc::clone(&clock));
                let key = SigningKey::of_seed([9; 32]).unwrap();
                let (file, status) = (database_file(), status.clone());
                Sealer::begin(store, file, clock, key, vec![place], status, last).await
            }
        };
        match begun {
            Ok(sealer) => break Arc::new(sealer),
            Err(_) if stopping.is_cancelled() => return,
            Err(_) => tokio::time::sleep(AGAIN).await,
        }
    };
    let timing = world.rules.signing;
    let holder = format!("{owner:?}");
    Auditor::new(sealer, notifier, Arc::new(NothingNeeded), metrics, timing, holder)
        .run(stopping)
        .await;
}

/// How often the log of a simulation is signed.
pub(super) fn draw_timing(dice: &super::dice::Dice) -> Timing {
    Timing {
        interval: dice.time(1_000, 120_000),
        entries: dice.one_of(&[3, 1000]),
        retention: None,
    }
}
