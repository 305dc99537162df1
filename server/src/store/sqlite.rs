//! The store in one SQLite file.
//!
//! One connection writes, a few read: SQLite lets one transaction write at a time, and in WAL mode
//! readers neither wait for it nor hold it up. A write is durable when its call answers
//! (`synchronous = FULL`). All SQL stands in [`read`] and [`write`], the invariants in the schema.

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::SqlitePool;
use wfe_audit::checkpoint::Checkpoint;
use wfe_core::{
    audit::{Entry, Head, Position, Record},
    clear::{Attempt, ClearDecision},
    event::Event,
    execution::{Execution, StateCode},
    ids::{ExecutionId, RequestId, Revision},
    request::StartRequest,
    settle::Settlement,
    start::{NewExecution, StartDecision},
    target::TargetKey,
    withdraw::WithdrawDecision,
};

use self::{
    log::{Append, Seal, TakeLease},
    open::{Tuning, open_file, open_memory},
    transaction::{Writer, observed},
    work::{Check, Clear, KeepKey, Settle, Start, Withdraw},
};
use super::{
    ClearDecider, Filter, Journal, Lease, LeaseWish, Listed, Log, LogScope, Page, Sealed, Seals,
    SettleDecider, SettleError, StartDecider, Store, StoreError, TargetView, Unfinished,
    WithdrawDecider,
    observer::{StoreObserver, Unobserved},
};

use crate::vault::Fingerprint;

mod log;
mod migrate;
mod open;
mod outbox;
mod read;
mod rows;
mod seals;
mod transaction;
mod work;
mod write;

pub use self::open::OpenError;

/// A store in one SQLite file.
pub struct SqliteStore {
    writer: Writer,
    readers: SqlitePool,
    observer: Arc<dyn StoreObserver>,
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore").finish_non_exhaustive()
    }
}

impl SqliteStore {
    /// Opens the database at `path`, makes it when there is none, and brings its schema up to date.
    /// The file is readable by its owner alone when it is made here.
    ///
    /// Damage is found here when it is in the header or the schema, elsewhere when it is read: to look
    /// at the whole file would take longer than a start may.
    pub async fn open(path: &Path, observer: Arc<dyn StoreObserver>) -> Result<Self, OpenError> {
        Self::open_tuned(path, observer, &Tuning::default()).await
    }

    /// A store that is forgotten when it is dropped, for tests.
    pub async fn in_memory() -> Result<Self, OpenError> {
        let pool = open_memory(&Tuning::default()).await?;
        Ok(Self::new(pool.clone(), pool, Arc::new(Unobserved), &Tuning::default()))
    }

    async fn open_tuned(
        path: &Path,
        observer: Arc<dyn StoreObserver>,
        tuning: &Tuning,
    ) -> Result<Self, OpenError> {
        let (writer, readers) = open_file(path, tuning).await?;
        Ok(Self::new(writer, readers, observer, tuning))
    }

    fn new(
        writer: SqlitePool,
        readers: SqlitePool,
        observer: Arc<dyn StoreObserver>,
        tuning: &Tuning,
    ) -> Self {
        let writer = Writer::new(writer, Arc::clone(&observer), tuning.retries);
        Self { writer, readers, observer }
    }

    fn seal(&self) -> Seal<'_> {
        Seal(&*self.observer)
    }

    /// Runs a query under its name.
    async fn observed<T>(
        &self,
        name: &'static str,
        query: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        observed(&*self.observer, name, query).await
    }
}

#[async_trait]
impl Store for SqliteStore {
    #[tracing::instrument(name = "store.start", level = "debug", skip_all, fields(request.id = %new.request.request_id, target = %new.request.target))]
    async fn start(
        &self,
        new: &NewExecution,
        decide: &StartDecider<'_>,
    ) -> Result<StartDecision, StoreError> {
        // Refusals and repetitions write nothing, so they must not queue for the one connection that
        // writes: a caller who hammers a locked target would slow all others. Only a decision that
        // has something to write is taken again, in the transaction, where nothing can change
        // between what it read and what it writes; that second one counts.
        match self.validate_start(&new.request, decide).await? {
            StartDecision::Accept { .. } | StartDecision::Attach(_) => {
                self.writer.run(&Start { new, decide, seal: self.seal() }).await
            }
            seen @ (StartDecision::Repeat(_)
            | StartDecision::Refuse(_)
            | StartDecision::Withdrawn(_)
            | StartDecision::Reused { .. }
            | StartDecision::DeadlinePassed
            | StartDecision::ClusterUnknown) => Ok(seen),
        }
    }

    #[tracing::instrument(name = "store.validate_start", level = "debug", skip_all, fields(request.id = %request.request_id, target = %request.target))]
    async fn validate_start(
        &self,
        request: &StartRequest,
        decide: &StartDecider<'_>,
    ) -> Result<StartDecision, StoreError> {
        let view = self.observed("start_view", read::start_view(&self.readers, request)).await?;
        Ok(decide(view.view()))
    }

    #[tracing::instrument(name = "store.withdraw", level = "debug", skip_all, fields(request.id = %id))]
    async fn withdraw(
        &self,
        id: &RequestId,
        decide: &WithdrawDecider<'_>,
    ) -> Result<WithdrawDecision, StoreError> {
        // As for a Start: what writes nothing does not queue for the one connection that writes. What
        // was accepted stays accepted and what was withdrawn stays withdrawn, so that both may be said
        // from what a reader sees.
        let view = self.observed("withdraw_view", read::withdraw_view(&self.readers, id)).await?;
        match decide(view.view()) {
            WithdrawDecision::Withdraw(_) => {
                self.writer.run(&Withdraw { id, decide, seal: self.seal() }).await
            }
            seen @ (WithdrawDecision::Stop(_) | WithdrawDecision::Withdrawn(_)) => Ok(seen),
        }
    }

    #[tracing::instrument(name = "store.settle", level = "debug", skip_all, fields(transaction = name, execution.id = %id))]
    async fn settle(
        &self,
        name: &'static str,
        id: ExecutionId,
        decide: &SettleDecider<'_>,
    ) -> Result<Settlement, SettleError> {
        self.writer.run(&Settle { name, id, decide, seal: self.seal() }).await?
    }

    #[tracing::instrument(name = "store.clear", level = "debug", skip_all, fields(target = %key))]
    async fn clear(
        &self,
        key: &TargetKey,
        decide: &ClearDecider<'_>,
    ) -> Result<ClearDecision, SettleError> {
        self.writer.run(&Clear { key, decide, seal: self.seal() }).await?
    }

    async fn execution(&self, id: ExecutionId) -> Result<Option<Execution>, StoreError> {
        self.observed("execution", read::execution(&self.readers, id)).await
    }

    async fn execution_of_request(&self, id: &RequestId) -> Result<Option<Execution>, StoreError> {
        let query = read::execution_of_request(&self.readers, id);
        self.observed("execution_of_request", query).await
    }

    async fn list(&self, filter: &Filter, page: Page) -> Result<Vec<Listed>, StoreError> {
        self.observed("list", read::list(&self.readers, filter, page)).await
    }

    async fn events(
        &self,
        id: ExecutionId,
        after: Revision,
        limit: u32,
    ) -> Result<Vec<Event>, StoreError> {
        self.observed("events", read::events(&self.readers, id, after, limit)).await
    }

    async fn target(&self, key: &TargetKey) -> Result<TargetView, StoreError> {
        self.observed("target", read::target_view(&self.readers, key)).await
    }

    async fn attempts(&self, key: &TargetKey, limit: u32) -> Result<Vec<Attempt>, StoreError> {
        self.observed("attempts", read::attempts(&self.readers, key, limit)).await
    }

    async fn unfinished(&self) -> Result<Vec<Unfinished>, StoreError> {
        self.observed("unfinished", read::unfinished(&self.readers)).await
    }

    async fn holder_of(&self, key: &TargetKey) -> Result<Option<ExecutionId>, StoreError> {
        self.observed("holder_of", read::holder_of(&self.readers, key)).await
    }

    async fn head_of(&self, target_hash: &str) -> Result<Option<ExecutionId>, StoreError> {
        self.observed("head_of", read::head_of(&self.readers, target_hash)).await
    }

    async fn count_by_state(&self) -> Result<Vec<(StateCode, u64)>, StoreError> {
        self.observed("count_by_state", read::count_by_state(&self.readers)).await
    }

    async fn parameter_key(
        &self,
        ours: Option<&Fingerprint>,
    ) -> Result<Option<Fingerprint>, StoreError> {
        self.writer.run(&KeepKey { ours }).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.observed("check_read", read::check(&self.readers)).await?;
        self.writer.run(&Check).await
    }

    async fn close(&self) {
        // The last connection to close moves the log into the file, and one that only reads cannot.
        self.readers.close().await;
        self.writer.close().await;
    }
}

#[async_trait]
impl Journal for SqliteStore {
    async fn record(&self, records: &[Record]) -> Result<Head, StoreError> {
        self.writer.run(&Append { records, seal: self.seal() }).await
    }

    async fn log(&self) -> Result<Log, StoreError> {
        self.observed("log", log::read(&self.readers)).await
    }

    async fn entries(
        &self,
        scope: &LogScope,
        after: Position,
        limit: u32,
    ) -> Result<Vec<Entry>, StoreError> {
        self.observed("entries", log::entries(&self.readers, scope, after, limit)).await
    }

    async fn lease(&self, wish: &LeaseWish<'_>) -> Result<Option<Lease>, StoreError> {
        self.writer.run(&TakeLease(wish)).await
    }
}

#[async_trait]
impl Seals for SqliteStore {
    async fn sealed(&self, place: Position) -> Result<Sealed, StoreError> {
        self.observed("sealed", seals::sealed(&self.readers, place)).await
    }

    async fn seal(&self, checkpoint: &Checkpoint) -> Result<Checkpoint, StoreError> {
        self.writer.run(&seals::Seal(checkpoint)).await
    }

    async fn checkpoints(&self, from: Position, limit: u32) -> Result<Vec<Checkpoint>, StoreError> {
        self.observed("checkpoints", seals::checkpoints(&self.readers, from, limit)).await
    }

    async fn checkpoint_before(
        &self,
        at: Timestamp,
        place: Position,
    ) -> Result<Option<Checkpoint>, StoreError> {
        self.observed("checkpoint_before", seals::before(&self.readers, at, place)).await
    }

    async fn prune(&self, through: Position, at: Timestamp) -> Result<Log, StoreError> {
        self.writer.run(&seals::Prune { seal: self.seal(), through, at }).await
    }

    async fn sweep(&self, limit: u32) -> Result<u64, StoreError> {
        self.writer.run(&seals::Sweep(limit)).await
    }
}

#[cfg(test)]
mod tests;
