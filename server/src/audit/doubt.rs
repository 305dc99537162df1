//! Whether a log is the one that was signed.

use wfe_audit::{
    checkpoint::Checkpoint,
    key::{PublicKey, Signature},
};
use wfe_core::audit::{Hash, Position};

use super::file::FileState;
use crate::store::{Log, Sealed};

/// What keeps the log from being signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// Another file stands at the path of the database.
    #[error("the database was replaced while the service ran")]
    Replaced,
    /// No file stands there.
    #[error("the database was removed while the service ran")]
    Removed,
    /// It is another log.
    #[error("the log is {found}, and {signed} was signed")]
    OtherLog {
        /// The log that was signed.
        signed: Hash,
        /// The log that is there.
        found: Hash,
    },
    /// Its end is missing.
    #[error("the log ends at entry {head}, and entry {signed} was signed")]
    Shorter {
        /// The entry that was signed.
        signed: Position,
        /// The newest entry that is there.
        head: Position,
    },
    /// Something up to there was changed.
    #[error("entry {0} is not the one that was signed")]
    Changed(Position),
    /// Somebody else wrote a checkpoint.
    #[error("the checkpoint of entry {0} does not bear the signature of its key")]
    Forged(Position),
    /// An entry does not follow from the one before.
    #[error("entry {0} does not follow from the one before")]
    Broken(Position),
    /// An entry is missing.
    #[error("entry {0} is missing")]
    Missing(Position),
}

/// Whether a log has what a checkpoint signs. `hash` is what the log has at its place. What was pruned
/// since cannot be looked at any more.
pub(super) fn of_checkpoint(signed: &Checkpoint, log: &Log, hash: Option<Hash>) -> Option<Doubt> {
    if signed.log != log.id {
        return Some(Doubt::OtherLog { signed: signed.log, found: log.id });
    }
    if signed.sequence < log.base.sequence {
        return None;
    }
    if signed.sequence > log.head.sequence {
        return Some(Doubt::Shorter { signed: signed.sequence, head: log.head.sequence });
    }
    match hash {
        Some(hash) if hash == signed.hash => None,
        Some(_) => Some(Doubt::Changed(signed.sequence)),
        None => Some(Doubt::Missing(signed.sequence)),
    }
}

/// Whether this process may go on to sign. `last` is what it signed last or found when it began, and
/// `view` the log with the hash at that place.
pub(super) fn of_log(
    last: &Checkpoint,
    view: &Sealed,
    file: FileState,
    key: &PublicKey,
) -> Option<Doubt> {
    match file {
        FileState::Same => {}
        FileState::Replaced => return Some(Doubt::Replaced),
        FileState::Missing => return Some(Doubt::Removed),
    }
    of_checkpoint(last, &view.log, view.hash).or_else(|| {
        let newest = view.newest.as_ref()?;
        let newer = newest.sequence > last.sequence && newest.verify(key) == Signature::Wrong;
        newer.then_some(Doubt::Forged(newest.sequence))
    })
}
