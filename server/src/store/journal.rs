//! The log, and who looks after it.

use async_trait::async_trait;
use jiff::Timestamp;
use wfe_core::{
    audit::{Entry, Hash, Head, Position, Record},
    ids::CorrelationId,
    target::TargetKey,
};

use super::StoreError;

/// Keeps the log. What happens to executions and targets is put there by the calls of
/// [`Store`](super::Store) themselves, in the transaction of the change.
#[async_trait]
pub trait Journal: Send + Sync + 'static {
    /// Puts on record what changes neither an execution nor a target: all of it, in this order, or
    /// nothing. Answers the newest entry after it.
    async fn record(&self, records: &[Record]) -> Result<Head, StoreError>;

    /// What there is of the log.
    async fn log(&self) -> Result<Log, StoreError>;

    /// Entries after a place, in order, at most `limit`.
    async fn entries(
        &self,
        scope: &LogScope,
        after: Position,
        limit: u32,
    ) -> Result<Vec<Entry>, StoreError>;

    /// Takes a lease until a time, when it is free, over, or the holder's already. `None` when another
    /// process has it.
    async fn lease(&self, wish: &LeaseWish<'_>) -> Result<Option<Lease>, StoreError>;
}

/// What there is of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    /// Identifies it: the hash before its first entry.
    pub id: Hash,
    /// Where what is kept of it begins: the last entry that was deleted for its age.
    pub base: Head,
    /// Its newest entry; the base when none is kept.
    pub head: Head,
}

/// Which entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogScope {
    /// All of them.
    Everything,
    /// Those that concern a target.
    Target(TargetKey),
    /// Those that concern a correlation id.
    Correlation(CorrelationId),
}

/// A process wants to be the one that does something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseWish<'a> {
    /// What it is about.
    pub name: &'static str,
    /// The process.
    pub holder: &'a str,
    /// Now, by the clock of the process.
    pub now: Timestamp,
    /// Until when it wants the lease.
    pub until: Timestamp,
}

/// A lease that a process has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// Rises when it passes to another process.
    pub epoch: u64,
    /// Until when.
    pub until: Timestamp,
}
