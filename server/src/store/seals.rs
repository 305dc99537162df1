//! What was signed of the log, and what of it is deleted for its age.

use async_trait::async_trait;
use jiff::Timestamp;
use wfe_audit::checkpoint::Checkpoint;
use wfe_core::{
    actor::Actor,
    audit::{About, Hash, Head, Numbering, Position, Record, Stream, What},
};

use super::{Log, StoreError};

/// Keeps signed heads of the log, and lets go of what stands before one of them.
#[async_trait]
pub trait Seals: Send + Sync + 'static {
    /// What was signed of the log, and which hash stands at some place of it, at one moment.
    async fn sealed(&self, place: Position) -> Result<Sealed, StoreError>;

    /// Keeps a checkpoint of an entry that the log has, not older than the newest that is kept. Answers
    /// the one that is kept of this entry: another process may have signed it before.
    async fn seal(&self, checkpoint: &Checkpoint) -> Result<Checkpoint, StoreError>;

    /// Checkpoints from a place on, in order, at most `limit`.
    async fn checkpoints(&self, from: Position, limit: u32) -> Result<Vec<Checkpoint>, StoreError>;

    /// The newest checkpoint that was signed no later than `at`, of an entry no later than `place`.
    async fn checkpoint_before(
        &self,
        at: Timestamp,
        place: Position,
    ) -> Result<Option<Checkpoint>, StoreError>;

    /// Has the log begin after an entry that a checkpoint signs, and puts that on record, in one
    /// transaction. What stands before is gone for readers; [`Seals::sweep`] deletes it. Answers the
    /// log after it.
    async fn prune(&self, through: Position, at: Timestamp) -> Result<Log, StoreError>;

    /// Deletes what the log no longer begins with: at most `limit` entries, and at most as many
    /// checkpoints. Streams go on with their next numbers. Answers how many rows are gone.
    async fn sweep(&self, limit: u32) -> Result<u64, StoreError>;
}

/// What was signed of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The log.
    pub log: Log,
    /// The newest checkpoint.
    pub newest: Option<Checkpoint>,
    /// The checkpoint with which the log begins, when something was pruned.
    pub base: Option<Checkpoint>,
    /// The hash at the place that was asked for; `None` when nothing stands there.
    pub hash: Option<Hash>,
}

/// The record of a pruning that moves the base of a log.
pub(super) fn pruned(base: Position, to: Head, at: Timestamp) -> Record {
    Record {
        stream: Stream::log(),
        numbering: Numbering::Next,
        at,
        actor: Actor::service(),
        what: What::Pruned {
            through: to.sequence.0,
            entries: to.sequence.0.saturating_sub(base.0),
            hash: to.hash.to_string(),
        },
        about: About::default(),
    }
}
