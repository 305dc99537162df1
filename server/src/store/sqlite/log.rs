//! The log: how entries are appended in a transaction, and read.

use jiff::Timestamp;
use sqlx::{
    Row, SqliteConnection, SqliteExecutor, SqlitePool, query, query_scalar, sqlite::SqliteRow,
};
use wfe_core::{
    audit::{Entry, Hash, Head, Numbering, Position, Record},
    ids::CorrelationId,
};

use super::{
    rows::{column, stored_count},
    transaction::{Done, Work, fault, observed},
};
use crate::store::{Lease, LeaseWish, Log, LogScope, StoreError, observer::StoreObserver};

/// Seals records: appends them to the log in the transaction of their change, and tells how long that
/// took.
#[derive(Clone, Copy)]
pub(super) struct Seal<'a>(pub(super) &'a dyn StoreObserver);

impl Seal<'_> {
    /// Appends records, in order. Answers the head of the log after them.
    pub(super) async fn append(
        self,
        connection: &mut SqliteConnection,
        records: &[Record],
    ) -> Result<Head, StoreError> {
        observed(self.0, "seal", append(connection, records)).await
    }
}

async fn append(connection: &mut SqliteConnection, records: &[Record]) -> Result<Head, StoreError> {
    let mut head = read(&mut *connection).await?.head;
    for record in records {
        let stream = record.stream.as_str();
        let revision = match record.numbering {
            Numbering::At(revision) => revision,
            Numbering::Next => next_revision(&mut *connection, stream).await?,
        };
        let entry =
            head.append(record, revision).map_err(|error| wrong("entry", stream, &error))?;
        insert(connection, record, revision, &entry).await?;
        head = entry.head();
    }
    Ok(head)
}

async fn next_revision(connection: &mut SqliteConnection, stream: &str) -> Result<u64, StoreError> {
    const SQL: &str = "-- next_revision
        SELECT 1 + max(coalesce((SELECT max(revision) FROM log WHERE stream = ?1), 0),
            coalesce((SELECT revision FROM log_streams WHERE stream = ?1), 0))";
    let next: i64 = query_scalar(SQL)
        .bind(stream)
        .fetch_one(connection)
        .await
        .map_err(fault("next_revision"))?;
    u64::try_from(next).map_err(|error| wrong("revision", stream, &error))
}

async fn insert(
    connection: &mut SqliteConnection,
    record: &Record,
    revision: u64,
    entry: &Entry,
) -> Result<(), StoreError> {
    const OPERATION: &str = "insert_entry";
    const SQL: &str = "-- insert_entry
        INSERT INTO log (sequence, stream, revision, at, target_hash, correlation_id, entry, hash)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let stream = record.stream.as_str();
    let about = &record.about;
    let result = query(SQL)
        .bind(stored_count("log", stream, "sequence", entry.sequence.0)?)
        .bind(stream)
        .bind(stored_count("log", stream, "revision", revision)?)
        .bind(record.at.as_microsecond())
        .bind(about.target_key().map(|key| key.hash()))
        .bind(about.correlation_id.as_ref().map(CorrelationId::as_str))
        .bind(&entry.text)
        .bind(&entry.hash.0[..])
        .execute(connection)
        .await
        .map_err(fault(OPERATION))?;
    match result.rows_affected() {
        1 => Ok(()),
        actual => Err(StoreError::RowCount { operation: OPERATION, expected: 1, actual }),
    }
}

/// What there is of the log.
pub(super) async fn read(executor: impl SqliteExecutor<'_>) -> Result<Log, StoreError> {
    const SQL: &str = "-- log
        SELECT b.log, b.sequence AS base_sequence, b.hash AS base_hash, l.sequence, l.hash
        FROM log_base b LEFT JOIN log l ON l.sequence = (SELECT max(sequence) FROM log)";
    let row = query(SQL).fetch_one(executor).await.map_err(fault("log"))?;
    let base = Head { sequence: position(&row, "base_sequence")?, hash: hash(&row, "base_hash")? };
    let newest: Option<i64> = column(&row, "log", "sequence")?;
    let head = match newest {
        Some(_) => Head { sequence: position(&row, "sequence")?, hash: hash(&row, "hash")? },
        None => base,
    };
    Ok(Log { id: hash(&row, "log")?, base, head })
}

/// Entries after a place, in order.
pub(super) async fn entries(
    readers: &SqlitePool,
    scope: &LogScope,
    after: Position,
    limit: u32,
) -> Result<Vec<Entry>, StoreError> {
    const EVERYTHING: &str = "-- entries
        SELECT sequence, hash, entry FROM log WHERE sequence > max(?1, (SELECT sequence FROM log_base)) ORDER BY sequence LIMIT ?2";
    const TARGET: &str = "-- entries_of_target
        SELECT sequence, hash, entry FROM log
        WHERE target_hash = ?3 AND sequence > max(?1, (SELECT sequence FROM log_base)) ORDER BY sequence LIMIT ?2";
    const CORRELATION: &str = "-- entries_of_correlation
        SELECT sequence, hash, entry FROM log
        WHERE correlation_id = ?3 AND sequence > max(?1, (SELECT sequence FROM log_base)) ORDER BY sequence LIMIT ?2";
    let (sql, value) = match scope {
        LogScope::Everything => (EVERYTHING, None),
        LogScope::Target(key) => (TARGET, Some(key.hash())),
        LogScope::Correlation(id) => (CORRELATION, Some(id.as_str().to_owned())),
    };
    // A cursor that no sequence can reach finds nothing, as it should.
    let after = i64::try_from(after.0).unwrap_or(i64::MAX);
    let query = query(sql).bind(after).bind(limit);
    let query = match value {
        Some(value) => query.bind(value),
        None => query,
    };
    let rows = query.fetch_all(readers).await.map_err(fault("entries"))?;
    rows.iter().map(entry).collect()
}

fn entry(row: &SqliteRow) -> Result<Entry, StoreError> {
    Ok(Entry {
        sequence: position(row, "sequence")?,
        hash: hash(row, "hash")?,
        text: column(row, "log", "entry")?,
    })
}

fn position(row: &SqliteRow, name: &'static str) -> Result<Position, StoreError> {
    let sequence: i64 = column(row, "log", name)?;
    u64::try_from(sequence).map(Position).map_err(|error| wrong(name, "?", &error))
}

fn hash(row: &SqliteRow, name: &'static str) -> Result<Hash, StoreError> {
    let bytes: &[u8] = row.try_get(name).map_err(|error| wrong(name, "?", &error))?;
    bytes.try_into().map(Hash).map_err(|error| wrong(name, "?", &error))
}

fn wrong(column: &'static str, row: &str, problem: &dyn std::fmt::Display) -> StoreError {
    let (row, problem) = (row.to_owned(), problem.to_string());
    StoreError::Inconsistent { table: "log", row, column, problem }
}

/// Appends records that belong to no change.
pub(super) struct Append<'a> {
    pub(super) records: &'a [Record],
    pub(super) seal: Seal<'a>,
}

impl Work for Append<'_> {
    type Answer = Head;

    fn name(&self) -> &'static str {
        "record"
    }

    async fn run(&self, connection: &mut SqliteConnection) -> Result<Done<Head>, StoreError> {
        self.seal.append(connection, self.records).await.map(Done::Write)
    }
}

/// Takes or renews a lease.
pub(super) struct TakeLease<'a>(pub(super) &'a LeaseWish<'a>);

impl Work for TakeLease<'_> {
    type Answer = Option<Lease>;

    fn name(&self) -> &'static str {
        "lease"
    }

    async fn run(
        &self,
        connection: &mut SqliteConnection,
    ) -> Result<Done<Option<Lease>>, StoreError> {
        const SQL: &str = "-- lease
            INSERT INTO leases (name, holder, epoch, until) VALUES (?1, ?2, 1, ?4)
            ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until,
                epoch = epoch + (holder <> excluded.holder)
            WHERE holder = excluded.holder OR until <= ?3
            RETURNING epoch, until";
        let LeaseWish { name, holder, now, until } = self.0;
        let row = query(SQL)
            .bind(name)
            .bind(holder)
            .bind(now.as_microsecond())
            .bind(until.as_microsecond())
            .fetch_optional(connection)
            .await
            .map_err(fault("lease"))?;
        let Some(row) = row else { return Ok(Done::Nothing(None)) };
        let epoch: i64 = column(&row, "leases", "epoch")?;
        let epoch = u64::try_from(epoch).map_err(|error| wrong("epoch", name, &error))?;
        let until: i64 = column(&row, "leases", "until")?;
        let until = Timestamp::from_microsecond(until).map_err(|e| wrong("until", name, &e))?;
        Ok(Done::Write(Some(Lease { epoch, until })))
    }
}
