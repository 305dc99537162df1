//! What is on its way to Data Storage, in tables.

use async_trait::async_trait;
use jiff::Timestamp;
use sqlx::{Row as _, SqliteConnection, query, query_scalar, sqlite::SqliteRow};
use wfe_core::audit::Position;
use wfe_datastorage::{CorrelationId, Microsecond};

use super::{
    SqliteStore,
    rows::{column, stored_count, stored_json},
    transaction::{Done, Work, fault},
};
use crate::store::{
    Backlog, Due, Move, Outbox, ParkReason, Row, Standing, StandingCode, StoreError, TakeUp,
    TakenUp, Wait,
};

#[async_trait]
impl Outbox for SqliteStore {
    async fn taken_up(&self) -> Result<Option<Position>, StoreError> {
        self.observed("taken_up", cursor(&self.readers)).await
    }

    async fn take_up(&self, step: &TakeUp) -> Result<TakenUp, StoreError> {
        self.writer.run(&Take(step)).await
    }

    async fn due(&self, kind: Due, now: Timestamp, limit: u32) -> Result<Vec<Row>, StoreError> {
        const PENDING: &str = "-- due_pending
            SELECT * FROM outbox WHERE state = 'pending' AND due <= ?1 ORDER BY due, sequence LIMIT ?2";
        const SENDING: &str = "-- due_sending
            SELECT * FROM outbox WHERE state = 'sending' AND ?1 = ?1 ORDER BY due, sequence LIMIT ?2";
        const UNSURE: &str = "-- due_unsure
            SELECT * FROM outbox WHERE state IN ('accepted', 'doubtful') AND due <= ?1
            ORDER BY due, sequence LIMIT ?2";
        let sql = match kind {
            Due::Pending => PENDING,
            Due::Sending => SENDING,
            Due::Unsure => UNSURE,
        };
        let rows = query(sql).bind(now.as_microsecond()).bind(limit).fetch_all(&self.readers);
        let rows = async { rows.await.map_err(fault("due")) };
        self.observed("due", rows).await?.iter().map(row).collect()
    }

    async fn move_rows(&self, moves: &[Move], now: Timestamp) -> Result<(), StoreError> {
        self.writer.run(&MoveRows { moves, now }).await
    }

    async fn backlog(&self) -> Result<Backlog, StoreError> {
        const COUNTS: &str = "-- backlog
                SELECT state, count(*) AS number FROM outbox GROUP BY state";
        const OLDEST: &str = "-- backlog_oldest
                SELECT at FROM outbox WHERE state <> 'parked' ORDER BY sequence LIMIT 1";
        const NEXT: &str = "-- backlog_next
                SELECT min(due) FROM outbox WHERE state IN ('pending', 'accepted', 'doubtful')";
        let backlog = async {
            let fault = fault("backlog");
            let rows = query(COUNTS).fetch_all(&self.readers).await.map_err(fault)?;
            let counts = rows.iter().map(|row| {
                let number: i64 = column(row, "outbox", "number")?;
                let number = u64::try_from(number).map_err(|e| wrong("?", "sequence", &e))?;
                Ok((code(row, "?")?, number))
            });
            let counts = counts.collect::<Result<_, StoreError>>()?;
            let oldest: Option<i64> =
                query_scalar(OLDEST).fetch_optional(&self.readers).await.map_err(fault)?;
            let next: Option<i64> =
                query_scalar(NEXT).fetch_one(&self.readers).await.map_err(fault)?;
            let time = |time: Option<i64>| time.map(|time| at(time, "?")).transpose();
            Ok(Backlog { counts, oldest: time(oldest)?, next_due: time(next)? })
        };
        self.observed("backlog", backlog).await
    }

    async fn retry_parked(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.writer.run(&RetryParked(now)).await
    }
}

async fn cursor(executor: impl sqlx::SqliteExecutor<'_>) -> Result<Option<Position>, StoreError> {
    const SQL: &str = "-- taken_up
        SELECT sequence FROM outbox_cursor";
    let sequence: Option<i64> =
        query_scalar(SQL).fetch_optional(executor).await.map_err(fault("taken_up"))?;
    let position = |sequence| u64::try_from(sequence).map(Position);
    sequence.map(position).transpose().map_err(|e| wrong("?", "sequence", &e))
}

/// Takes entries up.
struct Take<'a>(&'a TakeUp);

impl Work for Take<'_> {
    type Answer = TakenUp;

    fn name(&self) -> &'static str {
        "take_up"
    }

    async fn run(&self, connection: &mut SqliteConnection) -> Result<Done<TakenUp>, StoreError> {
        const MOVE: &str = "-- move_cursor
            INSERT INTO outbox_cursor (one, sequence) VALUES (1, ?1)
            ON CONFLICT (one) DO UPDATE SET sequence = excluded.sequence";
        const FORGET: &str = "-- forget_clocks
            DELETE FROM outbox_clocks WHERE newest < ?1";
        let TakeUp { from, to, events, now, forget } = self.0;
        if cursor(&mut *connection).await? != *from {
            return Ok(Done::Nothing(TakenUp::ByAnother));
        }
        for (sequence, event) in events {
            let id = &event.facts().correlation_id;
            let newest = clock(connection, id).await?;
            let wish = event.facts().event_timestamp;
            let time = newest.map_or(wish, |newest| wish.max(newest.next()));
            set_clock(connection, id, time).await?;
            let standing = if in_flight(connection, id).await? {
                Standing::Queued
            } else {
                Standing::Pending { due: *now }
            };
            let row = Row { sequence: *sequence, event: event.clone().at(time), standing };
            insert(connection, &row).await?;
        }
        let fault = fault("take_up");
        query(FORGET)
            .bind(forget.as_microsecond())
            .execute(&mut *connection)
            .await
            .map_err(fault)?;
        let to = stored_count("outbox_cursor", "1", "sequence", to.0)?;
        query(MOVE).bind(to).execute(connection).await.map_err(fault)?;
        Ok(Done::Write(TakenUp::Now))
    }
}

async fn clock(
    connection: &mut SqliteConnection,
    id: &CorrelationId,
) -> Result<Option<Microsecond>, StoreError> {
    const SQL: &str = "-- clock
        SELECT newest FROM outbox_clocks WHERE correlation_id = ?1";
    let newest: Option<i64> = query_scalar(SQL)
        .bind(id.as_str())
        .fetch_optional(connection)
        .await
        .map_err(fault("take_up"))?;
    newest.map(|newest| at(newest, id.as_str()).map(Microsecond::of)).transpose()
}

async fn set_clock(
    connection: &mut SqliteConnection,
    id: &CorrelationId,
    time: Microsecond,
) -> Result<(), StoreError> {
    const SQL: &str = "-- set_clock
        INSERT INTO outbox_clocks (correlation_id, newest) VALUES (?1, ?2)
        ON CONFLICT (correlation_id) DO UPDATE SET newest = excluded.newest";
    let query = query(SQL).bind(id.as_str()).bind(time.number());
    query.execute(connection).await.map_err(fault("take_up")).map(drop)
}

async fn in_flight(
    connection: &mut SqliteConnection,
    id: &CorrelationId,
) -> Result<bool, StoreError> {
    const SQL: &str = "-- in_flight
        SELECT EXISTS (SELECT 1 FROM outbox WHERE correlation_id = ?1 AND state <> 'parked')";
    query_scalar(SQL).bind(id.as_str()).fetch_one(connection).await.map_err(fault("take_up"))
}

/// The columns that follow from where an event stands.
#[derive(Default)]
struct Columns<'a> {
    due: i64,
    since: Option<i64>,
    well_since: Option<i64>,
    reason: Option<&'static str>,
    problem: Option<&'a str>,
}

impl<'a> Columns<'a> {
    fn of(standing: &'a Standing) -> Self {
        let number = |time: &Timestamp| time.as_microsecond();
        match standing {
            Standing::Queued => Self::default(),
            Standing::Pending { due } => Self { due: number(due), ..Self::default() },
            Standing::Sending { since } => {
                Self { due: number(since), since: Some(number(since)), ..Self::default() }
            }
            Standing::Accepted(wait) | Standing::Doubtful(wait) => Self {
                due: number(&wait.due),
                since: Some(number(&wait.since)),
                well_since: wait.well_since.as_ref().map(number),
                ..Self::default()
            },
            Standing::Parked { reason, problem, since } => Self {
                due: number(since),
                since: Some(number(since)),
                well_since: None,
                reason: Some(reason.as_str()),
                problem: Some(problem),
            },
        }
    }
}

async fn insert(connection: &mut SqliteConnection, row: &Row) -> Result<(), StoreError> {
    const SQL: &str = "-- insert_outbox
        INSERT INTO outbox (sequence, correlation_id, at, event, state, due, since, well_since, reason,
            problem)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
    let name = row.sequence.to_string();
    let columns = Columns::of(&row.standing);
    query(SQL)
        .bind(stored_count("outbox", &name, "sequence", row.sequence.0)?)
        .bind(row.correlation_id().as_str())
        .bind(row.event.facts().event_timestamp.number())
        .bind(stored_json("outbox", &name, "event", &row.event)?)
        .bind(row.standing.code().as_str())
        .bind(columns.due)
        .bind(columns.since)
        .bind(columns.well_since)
        .bind(columns.reason)
        .bind(columns.problem)
        .execute(connection)
        .await
        .map_err(fault("take_up"))
        .map(drop)
}

/// Moves rows.
struct MoveRows<'a> {
    moves: &'a [Move],
    now: Timestamp,
}

impl Work for MoveRows<'_> {
    type Answer = ();

    fn name(&self) -> &'static str {
        "move_rows"
    }

    async fn run(&self, connection: &mut SqliteConnection) -> Result<Done<()>, StoreError> {
        if self.moves.is_empty() {
            return Ok(Done::Nothing(()));
        }
        for change in self.moves {
            apply(connection, change).await?;
            let free = change.to.as_ref().is_none_or(|to| !to.code().is_in_flight());
            if free && change.from.is_in_flight() {
                promote(connection, change.correlation_id.as_str(), self.now).await?;
            }
        }
        Ok(Done::Write(()))
    }
}

async fn apply(connection: &mut SqliteConnection, change: &Move) -> Result<(), StoreError> {
    const DELETE: &str = "-- delivered
        DELETE FROM outbox WHERE sequence = ?1 AND state = ?2";
    const UPDATE: &str = "-- move_row
        UPDATE outbox SET state = ?3, due = ?4, since = ?5, well_since = ?6, reason = ?7, problem = ?8
        WHERE sequence = ?1 AND state = ?2";
    let sequence =
        stored_count("outbox", &change.sequence.to_string(), "sequence", change.sequence.0)?;
    let query = match &change.to {
        None => query(DELETE).bind(sequence).bind(change.from.as_str()),
        Some(to) => {
            let columns = Columns::of(to);
            query(UPDATE)
                .bind(sequence)
                .bind(change.from.as_str())
                .bind(to.code().as_str())
                .bind(columns.due)
                .bind(columns.since)
                .bind(columns.well_since)
                .bind(columns.reason)
                .bind(columns.problem)
        }
    };
    let result = query.execute(connection).await.map_err(fault("move_rows"))?;
    match result.rows_affected() {
        1 => Ok(()),
        actual => Err(StoreError::RowCount { operation: "move_rows", expected: 1, actual }),
    }
}

/// Behind what went, the next of a correlation id comes to the front.
async fn promote(
    connection: &mut SqliteConnection,
    correlation_id: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    const SQL: &str = "-- promote
        UPDATE outbox SET state = 'pending', due = ?2 WHERE sequence = (
            SELECT min(sequence) FROM outbox WHERE correlation_id = ?1 AND state = 'queued')";
    let query = query(SQL).bind(correlation_id).bind(now.as_microsecond());
    query.execute(connection).await.map_err(fault("move_rows")).map(drop)
}

/// Has parked rows tried again.
struct RetryParked(Timestamp);

impl Work for RetryParked {
    type Answer = u64;

    fn name(&self) -> &'static str {
        "retry_parked"
    }

    async fn run(&self, connection: &mut SqliteConnection) -> Result<Done<u64>, StoreError> {
        const PARKED: &str = "-- parked
            SELECT * FROM outbox WHERE state = 'parked' ORDER BY sequence";
        const QUEUE: &str = "-- requeue
            UPDATE outbox SET state = 'queued', due = 0, since = NULL, reason = NULL, problem = NULL
            WHERE sequence = ?1";
        let fault = fault("retry_parked");
        let rows = query(PARKED).fetch_all(&mut *connection).await.map_err(fault)?;
        let parked = rows.iter().map(row).collect::<Result<Vec<_>, _>>()?;
        for row in &parked {
            let Standing::Parked { reason, .. } = &row.standing else { continue };
            if in_flight(connection, row.correlation_id()).await? {
                let sequence = stored_count("outbox", "?", "sequence", row.sequence.0)?;
                query(QUEUE).bind(sequence).execute(&mut *connection).await.map_err(fault)?;
            } else {
                apply(connection, &Move::of(row, Some(reason.retried(self.0)))).await?;
            }
        }
        let count = u64::try_from(parked.len()).unwrap_or(u64::MAX);
        Ok(if count == 0 { Done::Nothing(0) } else { Done::Write(count) })
    }
}

fn row(row: &SqliteRow) -> Result<Row, StoreError> {
    let sequence: i64 = column(row, "outbox", "sequence")?;
    let name = sequence.to_string();
    let sequence = u64::try_from(sequence).map_err(|e| wrong(&name, "sequence", &e))?;
    let text: &str = column(row, "outbox", "event")?;
    let event = serde_json::from_str(text).map_err(|e| wrong(&name, "event", &e))?;
    Ok(Row { sequence: Position(sequence), event, standing: standing(row, &name)? })
}

fn standing(row: &SqliteRow, name: &str) -> Result<Standing, StoreError> {
    let due = at(column(row, "outbox", "due")?, name)?;
    let since = |column_name| {
        let since: Option<i64> = column(row, "outbox", column_name)?;
        since.map(|since| at(since, name)).transpose()
    };
    let missing = |column_name| wrong(name, column_name, &"is missing");
    let sent = || since("since")?.ok_or_else(|| missing("since"));
    let wait = || Ok(Wait { since: sent()?, well_since: since("well_since")?, due });
    Ok(match code(row, name)? {
        StandingCode::Queued => Standing::Queued,
        StandingCode::Pending => Standing::Pending { due },
        StandingCode::Sending => Standing::Sending { since: sent()? },
        StandingCode::Accepted => Standing::Accepted(wait()?),
        StandingCode::Doubtful => Standing::Doubtful(wait()?),
        StandingCode::Parked => {
            let reason: Option<&str> = column(row, "outbox", "reason")?;
            let problem: Option<String> = column(row, "outbox", "problem")?;
            Standing::Parked {
                reason: reason.and_then(ParkReason::parse).ok_or_else(|| missing("reason"))?,
                problem: problem.ok_or_else(|| missing("problem"))?,
                since: sent()?,
            }
        }
    })
}

fn code(row: &SqliteRow, name: &str) -> Result<StandingCode, StoreError> {
    let text: &str = row.try_get("state").map_err(|e| wrong(name, "state", &e))?;
    StandingCode::parse(text).ok_or_else(|| wrong(name, "state", &format!("{text:?} is no state")))
}

fn at(microseconds: i64, row: &str) -> Result<Timestamp, StoreError> {
    Timestamp::from_microsecond(microseconds).map_err(|e| wrong(row, "due", &e))
}

fn wrong(row: &str, column: &'static str, problem: &dyn std::fmt::Display) -> StoreError {
    let (row, problem) = (row.to_owned(), problem.to_string());
    StoreError::Inconsistent { table: "outbox", row, column, problem }
}
