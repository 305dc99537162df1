//! Checkpoints: how they are kept, and how the log lets go of what stands before one.

use jiff::Timestamp;
use sqlx::{
    Acquire as _, Row as _, SqliteConnection, SqliteExecutor, SqlitePool, query, query_scalar,
    sqlite::SqliteRow,
};
use wfe_audit::{checkpoint::Checkpoint, key::KeyId};
use wfe_core::audit::{Hash, Head, Position};

use super::{
    log,
    rows::{column, stored_count},
    transaction::{Done, Work, fault},
};
use crate::store::{Log, Sealed, StoreError, seals::pruned};

/// What was signed of the log, and the hash at a place, at one moment.
pub(super) async fn sealed(readers: &SqlitePool, place: Position) -> Result<Sealed, StoreError> {
    let fault = fault("sealed");
    let mut connection = readers.acquire().await.map_err(fault)?;
    let mut moment = connection.begin().await.map_err(fault)?;
    let log = log::read(&mut *moment).await?;
    let newest = newest(&mut moment, &log).await?;
    let base = of_place(&mut moment, &log, log.base.sequence).await?;
    let hash = hash_at(&mut moment, &log, place).await?;
    moment.rollback().await.map_err(fault)?;
    Ok(Sealed { log, newest, base, hash })
}

async fn hash_at(
    connection: &mut SqliteConnection,
    log: &Log,
    place: Position,
) -> Result<Option<Hash>, StoreError> {
    const SQL: &str = "-- hash_at
        SELECT hash FROM log WHERE sequence = ?1";
    if place == log.base.sequence {
        return Ok(Some(log.base.hash));
    }
    if place < log.base.sequence {
        return Ok(None);
    }
    let sequence = i64::try_from(place.0).unwrap_or(i64::MAX);
    let row =
        query(SQL).bind(sequence).fetch_optional(connection).await.map_err(fault("hash_at"))?;
    row.map(|row| hash(&row)).transpose()
}

async fn newest(
    connection: &mut SqliteConnection,
    log: &Log,
) -> Result<Option<Checkpoint>, StoreError> {
    const SQL: &str = "-- newest_checkpoint
        SELECT sequence, hash, at, key, signature FROM checkpoints ORDER BY sequence DESC LIMIT 1";
    let row = query(SQL).fetch_optional(connection).await.map_err(fault("newest_checkpoint"))?;
    row.map(|row| checkpoint(&row, log.id)).transpose()
}

async fn of_place(
    connection: &mut SqliteConnection,
    log: &Log,
    place: Position,
) -> Result<Option<Checkpoint>, StoreError> {
    const SQL: &str = "-- checkpoint_of_place
        SELECT sequence, hash, at, key, signature FROM checkpoints WHERE sequence = ?1";
    let row = query(SQL)
        .bind(stored(place)?)
        .fetch_optional(connection)
        .await
        .map_err(fault("checkpoint_of_place"))?;
    row.map(|row| checkpoint(&row, log.id)).transpose()
}

/// Checkpoints from a place on, in order.
pub(super) async fn checkpoints(
    readers: &SqlitePool,
    from: Position,
    limit: u32,
) -> Result<Vec<Checkpoint>, StoreError> {
    const SQL: &str = "-- checkpoints
        SELECT b.log, c.sequence, c.hash, c.at, c.key, c.signature FROM checkpoints c, log_base b
        WHERE c.sequence >= ?1 AND c.sequence >= b.sequence ORDER BY c.sequence LIMIT ?2";
    let from = i64::try_from(from.0).unwrap_or(i64::MAX);
    let rows =
        query(SQL).bind(from).bind(limit).fetch_all(readers).await.map_err(fault("checkpoints"))?;
    rows.iter().map(|row| checkpoint(row, log_id(row)?)).collect()
}

/// The newest checkpoint of a time and a place.
pub(super) async fn before(
    executor: impl SqliteExecutor<'_>,
    at: Timestamp,
    place: Position,
) -> Result<Option<Checkpoint>, StoreError> {
    const SQL: &str = "-- checkpoint_before
        SELECT b.log, c.sequence, c.hash, c.at, c.key, c.signature FROM checkpoints c, log_base b
        WHERE c.sequence <= ?1 AND c.at <= ?2 AND c.sequence > b.sequence
        ORDER BY c.sequence DESC LIMIT 1";
    let row = query(SQL)
        .bind(i64::try_from(place.0).unwrap_or(i64::MAX))
        .bind(at.as_microsecond())
        .fetch_optional(executor)
        .await
        .map_err(fault("checkpoint_before"))?;
    row.map(|row| checkpoint(&row, log_id(&row)?)).transpose()
}

fn log_id(row: &SqliteRow) -> Result<Hash, StoreError> {
    let bytes: &[u8] = row.try_get("log").map_err(|error| wrong("log", &error))?;
    bytes.try_into().map(Hash).map_err(|error| wrong("log", &error))
}

fn hash(row: &SqliteRow) -> Result<Hash, StoreError> {
    let bytes: &[u8] = row.try_get("hash").map_err(|error| wrong("hash", &error))?;
    bytes.try_into().map(Hash).map_err(|error| wrong("hash", &error))
}

fn checkpoint(row: &SqliteRow, log: Hash) -> Result<Checkpoint, StoreError> {
    let sequence: i64 = column(row, "checkpoints", "sequence")?;
    let at: i64 = column(row, "checkpoints", "at")?;
    let key: String = column(row, "checkpoints", "key")?;
    Ok(Checkpoint {
        log,
        sequence: u64::try_from(sequence)
            .map(Position)
            .map_err(|error| wrong("sequence", &error))?,
        hash: hash(row)?,
        at: Timestamp::from_microsecond(at).map_err(|error| wrong("at", &error))?,
        key: KeyId::from(key),
        signature: column(row, "checkpoints", "signature")?,
    })
}

fn stored(place: Position) -> Result<i64, StoreError> {
    stored_count("checkpoints", "?", "sequence", place.0)
}

fn wrong(column: &'static str, problem: &dyn std::fmt::Display) -> StoreError {
    let (row, problem) = ("?".to_owned(), problem.to_string());
    StoreError::Inconsistent { table: "checkpoints", row, column, problem }
}

/// Keeps a checkpoint.
pub(super) struct Seal<'a>(pub(super) &'a Checkpoint);

impl Work for Seal<'_> {
    type Answer = Checkpoint;

    fn name(&self) -> &'static str {
        "seal"
    }

    async fn run(&self, connection: &mut SqliteConnection) -> Result<Done<Checkpoint>, StoreError> {
        const SQL: &str = "-- insert_checkpoint
            INSERT INTO checkpoints (sequence, hash, at, key, signature) VALUES (?1, ?2, ?3, ?4, ?5)";
        let log = log::read(&mut *connection).await?;
        if let Some(kept) = of_place(connection, &log, self.0.sequence).await?
            && kept.hash == self.0.hash
        {
            return Ok(Done::Nothing(kept));
        }
        query(SQL)
            .bind(stored(self.0.sequence)?)
            .bind(&self.0.hash.0[..])
            .bind(self.0.at.as_microsecond())
            .bind(self.0.key.as_str())
            .bind(&self.0.signature)
            .execute(connection)
            .await
            .map_err(fault("insert_checkpoint"))?;
        Ok(Done::Write(self.0.clone()))
    }
}

/// Moves the base of the log, on record.
pub(super) struct Prune<'a> {
    pub(super) seal: log::Seal<'a>,
    pub(super) through: Position,
    pub(super) at: Timestamp,
}

impl Work for Prune<'_> {
    type Answer = Log;

    fn name(&self) -> &'static str {
        "prune"
    }

    async fn run(&self, connection: &mut SqliteConnection) -> Result<Done<Log>, StoreError> {
        const SQL: &str = "-- move_base
            UPDATE log_base SET sequence = ?1, hash = ?2";
        let before = log::read(&mut *connection).await?;
        if self.through <= before.base.sequence {
            return Ok(Done::Nothing(before));
        }
        let hash = hash_at(connection, &before, self.through).await?;
        let place = stored(self.through)?;
        query(SQL)
            .bind(place)
            // The schema refuses what the log does not have.
            .bind(hash.map_or_else(Vec::new, |hash| hash.0.to_vec()))
            .execute(&mut *connection)
            .await
            .map_err(fault("move_base"))?;
        let to = Head { sequence: self.through, hash: hash.unwrap_or(before.base.hash) };
        let record = pruned(before.base.sequence, to, self.at);
        self.seal.append(connection, &[record]).await?;
        log::read(connection).await.map(Done::Write)
    }
}

/// Deletes what stands before the base of the log.
pub(super) struct Sweep(pub(super) u32);

impl Work for Sweep {
    type Answer = u64;

    fn name(&self) -> &'static str {
        "sweep"
    }

    async fn run(&self, connection: &mut SqliteConnection) -> Result<Done<u64>, StoreError> {
        // The newest entry deleted here; what stands before it goes too.
        const LAST: &str = "-- sweep_last
            SELECT max(sequence) FROM (SELECT sequence FROM log
                WHERE sequence <= (SELECT sequence FROM log_base) ORDER BY sequence LIMIT ?1)";
        const STREAMS: &str = "-- sweep_streams
            INSERT INTO log_streams (stream, revision)
            SELECT stream, max(revision) FROM log WHERE sequence <= ?1 GROUP BY stream
            ON CONFLICT (stream) DO UPDATE SET revision = max(revision, excluded.revision)";
        const ENTRIES: &str = "-- sweep_entries
            DELETE FROM log WHERE sequence <= ?1";
        const CHECKPOINTS: &str = "-- sweep_checkpoints
            DELETE FROM checkpoints WHERE sequence IN (SELECT sequence FROM checkpoints
                WHERE sequence < (SELECT sequence FROM log_base) ORDER BY sequence LIMIT ?1)";
        let mut gone = 0;
        let last: Option<i64> = query_scalar(LAST)
            .bind(self.0)
            .fetch_one(&mut *connection)
            .await
            .map_err(fault("sweep_last"))?;
        if let Some(last) = last {
            for (name, sql) in [("sweep_streams", STREAMS), ("sweep_entries", ENTRIES)] {
                let result =
                    query(sql).bind(last).execute(&mut *connection).await.map_err(fault(name))?;
                gone = result.rows_affected();
            }
        }
        let checkpoints = query(CHECKPOINTS)
            .bind(self.0)
            .execute(connection)
            .await
            .map_err(fault("sweep_checkpoints"))?;
        gone += checkpoints.rows_affected();
        Ok(if gone == 0 { Done::Nothing(0) } else { Done::Write(gone) })
    }
}
