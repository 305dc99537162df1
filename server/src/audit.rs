//! Proof of the log: its head is signed, and what was signed is kept outside of the database.
//!
//! [`Opening`] decides at the start of the server whether the database, the key and the checkpoints
//! outside fit each other. The [`Sealer`] signs, the [`Auditor`] has that done in time, brings
//! checkpoints outside and lets go of what is old enough. What to do next is decided in `plan` and
//! `doubt`, which know no clock and no store.

mod auditor;
mod chain;
mod doubt;
mod error;
mod export;
mod file;
mod keys;
mod opening;
mod outside;
mod plan;
mod sealer;
mod status;
#[cfg(test)]
mod tests;

pub use self::{
    auditor::{Auditor, Needs, NothingNeeded, Timing},
    doubt::Doubt,
    error::AuditError,
    export::ExportError,
    file::DatabaseFile,
    opening::{KeySettings, Opening},
    outside::{CheckpointFile, CheckpointMap, Outside, OutsideError},
    sealer::{SealError, Sealer},
    status::{AuditStatus, Report},
};
