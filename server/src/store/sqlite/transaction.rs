//! Transactions that write: named, timed, repeated while the database is locked.
//!
//! A caller may go away at any point. A transaction that is dropped is rolled back before its
//! connection is given to anybody else, and a COMMIT that was begun is finished by the thread of the
//! connection, so there is nothing between all and nothing.

use std::{sync::Arc, time::Instant};

use backon::{BackoffBuilder, ExponentialBuilder};
use sqlx::{SqliteConnection, SqlitePool};

use crate::store::{
    StoreError,
    observer::{Outcome, StoreObserver},
};

/// SQLite's primary result codes, the low byte of a code (<https://www.sqlite.org/rescode.html>).
pub(super) mod code {
    pub(in super::super) const PERM: i32 = 3;
    pub(in super::super) const BUSY: i32 = 5;
    pub(in super::super) const READONLY: i32 = 8;
    pub(in super::super) const CORRUPT: i32 = 11;
    pub(in super::super) const CANTOPEN: i32 = 14;
    pub(in super::super) const CONSTRAINT: i32 = 19;
    pub(in super::super) const NOTADB: i32 = 26;
}

/// The primary result code of an error, when SQLite raised it.
pub(super) fn code_of(error: &sqlx::Error) -> Option<i32> {
    let code: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}

/// What a failed statement or transaction means.
pub(super) fn fault(operation: &'static str) -> impl Fn(sqlx::Error) -> StoreError + Copy {
    move |source| match code_of(&source) {
        Some(code::CONSTRAINT) => StoreError::Refused { operation, source },
        _ => StoreError::Unavailable { operation, source },
    }
}

fn is_busy(error: &StoreError) -> bool {
    match error {
        StoreError::Unavailable { source, .. } => code_of(source) == Some(code::BUSY),
        StoreError::Refused { .. }
        | StoreError::Inconsistent { .. }
        | StoreError::RowCount { .. } => false,
    }
}

/// What a transaction did.
pub(super) enum Done<T> {
    /// It wrote; commit.
    Write(T),
    /// It wrote nothing; there is nothing to commit.
    Nothing(T),
}

/// The inside of a transaction that may write. It may be run again, so it depends on what it reads
/// and on itself alone.
pub(super) trait Work: Sync {
    /// What the caller gets.
    type Answer: Send;

    /// Names the transaction.
    fn name(&self) -> &'static str;

    /// Reads, decides and writes.
    fn run(
        &self,
        connection: &mut SqliteConnection,
    ) -> impl Future<Output = Result<Done<Self::Answer>, StoreError>> + Send;
}

/// Runs the transactions that may write, one after the other.
pub(super) struct Writer {
    pub(super) pool: SqlitePool,
    observer: Arc<dyn StoreObserver>,
    retries: ExponentialBuilder,
}

impl Writer {
    /// `pool` must hold one connection.
    pub(super) fn new(
        pool: SqlitePool,
        observer: Arc<dyn StoreObserver>,
        retries: ExponentialBuilder,
    ) -> Self {
        Self { pool, observer, retries }
    }

    /// Runs `work` in a transaction of its own.
    pub(super) async fn run<W: Work>(&self, work: &W) -> Result<W::Answer, StoreError> {
        let mut delays = self.retries.build();
        loop {
            let mut watch = Stopwatch::start(&*self.observer, work.name());
            let error = match self.attempt(work).await {
                Ok(Done::Write(answer)) => {
                    watch.outcome = Outcome::Committed;
                    return Ok(answer);
                }
                Ok(Done::Nothing(answer)) => {
                    watch.outcome = Outcome::Read;
                    return Ok(answer);
                }
                Err(error) => error,
            };
            let delay = is_busy(&error).then(|| delays.next()).flatten();
            let Some(delay) = delay else {
                watch.outcome = Outcome::Failed;
                return Err(error);
            };
            watch.outcome = Outcome::Retried;
            drop(watch);
            tokio::time::sleep(delay).await;
        }
    }

    async fn attempt<W: Work>(&self, work: &W) -> Result<Done<W::Answer>, StoreError> {
        let fault = fault(work.name());
        // IMMEDIATE, because a transaction that read first could find at its first write that
        // another process wrote in between, and would have to start again.
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await.map_err(fault)?;
        let done = work.run(&mut transaction).await?;
        match &done {
            Done::Write(_) => transaction.commit().await.map_err(fault)?,
            Done::Nothing(_) => transaction.rollback().await.map_err(fault)?,
        }
        Ok(done)
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }
}

/// Runs a query under its name.
pub(super) async fn observed<T>(
    observer: &dyn StoreObserver,
    name: &'static str,
    query: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let mut watch = Stopwatch::start(observer, name);
    let result = query.await;
    watch.outcome = if result.is_ok() { Outcome::Read } else { Outcome::Failed };
    result
}

/// Tells the observer when it is dropped, so that no path is left out.
struct Stopwatch<'a> {
    observer: &'a dyn StoreObserver,
    name: &'static str,
    started: Instant,
    outcome: Outcome,
}

impl<'a> Stopwatch<'a> {
    fn start(observer: &'a dyn StoreObserver, name: &'static str) -> Self {
        Self { observer, name, started: Instant::now(), outcome: Outcome::Abandoned }
    }
}

impl Drop for Stopwatch<'_> {
    fn drop(&mut self) {
        self.observer.transaction(self.name, self.started.elapsed(), self.outcome);
    }
}
