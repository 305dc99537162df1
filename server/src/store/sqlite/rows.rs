//! Rows as they are stored, and how they become what the domain knows.
//!
//! Columns that repeat what stands in a column of JSON are there for indexes and constraints. They
//! must say the same; a row that contradicts itself is reported, never guessed at.

use jiff::Timestamp;
use serde::{Serialize, de::DeserializeOwned};
use sqlx::{Decode, Row, Sqlite, Type, sqlite::SqliteRow};
use wfe_core::{
    actor::Actor,
    clear::{Attempt, Clearance, Outcome},
    event::{Event, EventKind},
    execution::{Execution, State, StateCode},
    ids::{ExecutionId, RequestId, Revision},
    request::StartRequest,
    withdraw::{Got, Withdrawal},
};

use crate::store::{Listed, Sequence, StoreError, Unfinished};

mod target;

pub(super) use target::TargetRow;

/// Says which cell is wrong.
struct Cell<'a> {
    table: &'static str,
    row: &'a str,
    column: &'static str,
}

impl Cell<'_> {
    fn wrong(&self, problem: impl std::fmt::Display) -> StoreError {
        StoreError::Inconsistent {
            table: self.table,
            row: self.row.to_owned(),
            column: self.column,
            problem: problem.to_string(),
        }
    }

    fn parse<T>(&self, text: &str) -> Result<T, StoreError>
    where
        T: std::str::FromStr,
        T::Err: ToString,
    {
        text.parse().map_err(|error: T::Err| self.wrong(format!("{text:?} {}", error.to_string())))
    }

    fn json<T: DeserializeOwned>(&self, text: &str) -> Result<T, StoreError> {
        serde_json::from_str(text).map_err(|error| self.wrong(error))
    }

    fn time(&self, microseconds: i64) -> Result<Timestamp, StoreError> {
        Timestamp::from_microsecond(microseconds).map_err(|error| self.wrong(error))
    }

    fn count(&self, number: i64) -> Result<u64, StoreError> {
        u64::try_from(number).map_err(|_| self.wrong(format!("{number} is negative")))
    }

    fn state(&self, text: &str) -> Result<StateCode, StoreError> {
        StateCode::parse(text).ok_or_else(|| self.wrong(format!("{text:?} is no state")))
    }

    /// An execution and a time, of which there is both or none.
    fn execution_at(
        &self,
        execution: Option<&str>,
        time: &Self,
        at: Option<i64>,
    ) -> Result<Option<(ExecutionId, Timestamp)>, StoreError> {
        match (execution, at) {
            (None, None) => Ok(None),
            (Some(execution), Some(at)) => Ok(Some((self.parse(execution)?, time.time(at)?))),
            (execution, at) => Err(time.wrong(format!("{at:?} beside execution {execution:?}"))),
        }
    }

    fn same<T: PartialEq + std::fmt::Debug>(
        &self,
        stored: &T,
        derived: &T,
    ) -> Result<(), StoreError> {
        if stored == derived {
            return Ok(());
        }
        Err(self.wrong(format!("{stored:?} is not {derived:?}, which the row holds elsewhere")))
    }
}

/// A column of a row whose type the schema guarantees, unless the file is damaged.
pub(super) fn column<'r, T>(
    row: &'r SqliteRow,
    table: &'static str,
    column: &'static str,
) -> Result<T, StoreError>
where
    T: Decode<'r, Sqlite> + Type<Sqlite>,
{
    row.try_get(column).map_err(|error| Cell { table, row: "?", column }.wrong(error))
}

/// A number as it is stored.
pub(super) fn stored_count(
    table: &'static str,
    row: &str,
    column: &'static str,
    number: u64,
) -> Result<i64, StoreError> {
    i64::try_from(number)
        .map_err(|_| Cell { table, row, column }.wrong(format!("{number} is too great")))
}

/// A value as JSON.
pub(super) fn stored_json<T: Serialize>(
    table: &'static str,
    row: &str,
    column: &'static str,
    value: &T,
) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| Cell { table, row, column }.wrong(error))
}

/// The id of an execution in a row of `table`.
pub(super) fn execution_id(
    table: &'static str,
    column: &'static str,
    text: &str,
) -> Result<ExecutionId, StoreError> {
    Cell { table, row: text, column }.parse(text)
}

/// A row of `executions`, with its own request.
pub(super) struct ExecutionRow {
    sequence: i64,
    id: String,
    request_id: String,
    cluster: String,
    target: String,
    state: String,
    revision: i64,
    epoch: Option<i64>,
    run_name: Option<String>,
    created_at: i64,
    updated_at: i64,
    ended_at: Option<i64>,
    actor: String,
    detail: String,
    request: String,
    clearance: Option<ClearanceRow>,
}

/// The columns of the clearance that was joined to an execution.
struct ClearanceRow {
    at: i64,
    actor: String,
    reason: String,
    ticket: Option<String>,
}

impl ClearanceRow {
    fn into_clearance(self, row: &str) -> Result<Clearance, StoreError> {
        let cell = |column| Cell { table: "clearances", row, column };
        Ok(Clearance {
            actor: cell("actor").json(&self.actor)?,
            at: cell("at").time(self.at)?,
            reason: cell("reason").parse(&self.reason)?,
            ticket: self.ticket,
        })
    }
}

impl TryFrom<&SqliteRow> for ExecutionRow {
    type Error = StoreError;

    fn try_from(row: &SqliteRow) -> Result<Self, StoreError> {
        const TABLE: &str = "executions";
        Ok(Self {
            sequence: column(row, TABLE, "sequence")?,
            id: column(row, TABLE, "id")?,
            request_id: column(row, TABLE, "request_id")?,
            cluster: column(row, TABLE, "cluster")?,
            target: column(row, TABLE, "target")?,
            state: column(row, TABLE, "state")?,
            revision: column(row, TABLE, "revision")?,
            epoch: column(row, TABLE, "epoch")?,
            run_name: column(row, TABLE, "run_name")?,
            created_at: column(row, TABLE, "created_at")?,
            updated_at: column(row, TABLE, "updated_at")?,
            ended_at: column(row, TABLE, "ended_at")?,
            actor: column(row, TABLE, "actor")?,
            detail: column(row, TABLE, "detail")?,
            request: column(row, "requests", "request")?,
            clearance: match column(row, "clearances", "cleared_at")? {
                Some(at) => Some(ClearanceRow {
                    at,
                    actor: column(row, "clearances", "cleared_by")?,
                    reason: column(row, "clearances", "clear_reason")?,
                    ticket: column(row, "clearances", "clear_ticket")?,
                }),
                None => None,
            },
        })
    }
}

impl TryFrom<ExecutionRow> for Listed {
    type Error = StoreError;

    fn try_from(row: ExecutionRow) -> Result<Self, StoreError> {
        let cell = |column| Cell { table: "executions", row: &row.id, column };
        let request: StartRequest =
            Cell { table: "requests", row: &row.request_id, column: "request" }
                .json(&row.request)?;
        cell("request_id").same(&row.request_id.as_str(), &request.request_id.as_str())?;
        cell("cluster").same(&row.cluster.as_str(), &request.target.cluster.as_str())?;
        cell("target").same(&row.target, &request.target.target.to_string())?;

        let state: State = cell("detail").json(&row.detail)?;
        cell("state").same(&row.state.as_str(), &state.code().as_str())?;
        let run = state.planned_run();
        let epoch = row.epoch.map(|epoch| cell("epoch").count(epoch)).transpose()?;
        cell("epoch").same(&epoch, &run.map(|run| run.epoch.0))?;
        cell("run_name").same(&row.run_name.as_deref(), &run.map(|run| run.name.as_str()))?;
        cell("ended_at").same(&row.ended_at, &state.ended_at().map(Timestamp::as_microsecond))?;

        Ok(Self {
            sequence: Sequence(row.sequence),
            execution: Execution {
                id: cell("id").parse(&row.id)?,
                request,
                actor: cell("actor").json(&row.actor)?,
                created_at: cell("created_at").time(row.created_at)?,
                revision: Revision(cell("revision").count(row.revision)?),
                updated_at: cell("updated_at").time(row.updated_at)?,
                state,
                clearance: row
                    .clearance
                    .map(|clearance| clearance.into_clearance(&row.id))
                    .transpose()?,
            },
        })
    }
}

/// A row of `events`.
pub(super) struct EventRow {
    execution: String,
    revision: i64,
    at: i64,
    kind: String,
    state_before: Option<String>,
    state_after: String,
    actor: String,
    detail: String,
}

impl TryFrom<&SqliteRow> for EventRow {
    type Error = StoreError;

    fn try_from(row: &SqliteRow) -> Result<Self, StoreError> {
        const TABLE: &str = "events";
        Ok(Self {
            execution: column(row, TABLE, "execution")?,
            revision: column(row, TABLE, "revision")?,
            at: column(row, TABLE, "at")?,
            kind: column(row, TABLE, "kind")?,
            state_before: column(row, TABLE, "state_before")?,
            state_after: column(row, TABLE, "state_after")?,
            actor: column(row, TABLE, "actor")?,
            detail: column(row, TABLE, "detail")?,
        })
    }
}

impl TryFrom<EventRow> for Event {
    type Error = StoreError;

    fn try_from(row: EventRow) -> Result<Self, StoreError> {
        let key = format!("{} {}", row.execution, row.revision);
        let cell = |column| Cell { table: "events", row: &key, column };
        let kind: EventKind = cell("detail").json(&row.detail)?;
        cell("kind").same(&row.kind.as_str(), &kind.as_str())?;
        let before = row.state_before.as_deref();
        Ok(Self {
            execution: cell("execution").parse(&row.execution)?,
            revision: Revision(cell("revision").count(row.revision)?),
            at: cell("at").time(row.at)?,
            actor: cell("actor").json::<Actor>(&row.actor)?,
            before: before.map(|before| cell("state_before").state(before)).transpose()?,
            after: cell("state_after").state(&row.state_after)?,
            kind,
        })
    }
}

/// An accepted request and the execution that it got.
pub(super) fn accepted_request(
    request_id: &str,
    execution: &str,
    request: &str,
) -> Result<(StartRequest, ExecutionId), StoreError> {
    let cell = |column| Cell { table: "requests", row: request_id, column };
    Ok((cell("request").json(request)?, cell("execution").parse(execution)?))
}

/// What the row of `requests` that was joined, when there is one, says that a request got.
pub(super) fn got(id: &RequestId, row: &SqliteRow) -> Result<Option<Got>, StoreError> {
    const TABLE: &str = "requests";
    let execution: Option<&str> = column(row, TABLE, "execution")?;
    let attached: Option<bool> = column(row, TABLE, "attached")?;
    let Some((execution, attached)) = execution.zip(attached) else { return Ok(None) };
    let execution =
        Cell { table: TABLE, row: id.as_str(), column: "execution" }.parse(execution)?;
    Ok(Some(if attached { Got::Attached(execution) } else { Got::Own(execution) }))
}

/// The row of `withdrawals` that was joined, when there is one.
pub(super) fn withdrawal(
    id: &RequestId,
    row: &SqliteRow,
) -> Result<Option<Withdrawal>, StoreError> {
    const TABLE: &str = "withdrawals";
    let at: Option<i64> = column(row, TABLE, "withdrawn_at")?;
    let Some(at) = at else { return Ok(None) };
    let actor: &str = column(row, TABLE, "actor")?;
    let cell = |column| Cell { table: TABLE, row: id.as_str(), column };
    Ok(Some(Withdrawal {
        request_id: id.clone(),
        reason: column(row, TABLE, "reason")?,
        actor: cell("actor").json(actor)?,
        at: cell("withdrawn_at").time(at)?,
    }))
}

/// A row of `clearances`.
pub(super) fn attempt(row: &SqliteRow) -> Result<Attempt, StoreError> {
    const TABLE: &str = "clearances";
    let sequence: i64 = column(row, TABLE, "sequence")?;
    let key = sequence.to_string();
    let cell = |column| Cell { table: TABLE, row: &key, column };
    let clearance = ClearanceRow {
        at: column(row, TABLE, "at")?,
        actor: column(row, TABLE, "actor")?,
        reason: column(row, TABLE, "reason")?,
        ticket: column(row, TABLE, "ticket")?,
    };
    let (outcome, execution): (&str, Option<&str>) =
        (column(row, TABLE, "outcome")?, column(row, TABLE, "execution")?);
    let execution = execution.map(|id| cell("execution").parse(id)).transpose()?;
    let outcome = match (outcome, execution) {
        ("cleared", Some(execution)) => Outcome::Cleared(execution),
        ("stale", Some(execution)) => Outcome::Stale(execution),
        ("not_blocked", None) => Outcome::NotBlocked,
        (outcome, execution) => {
            return Err(cell("outcome").wrong(format!("{outcome:?} with {execution:?}")));
        }
    };
    Ok(Attempt { clearance: clearance.into_clearance(&key)?, outcome })
}

/// A row of `executions` that has not ended.
pub(super) fn unfinished(row: &SqliteRow) -> Result<Unfinished, StoreError> {
    let (id, state): (String, String) =
        (column(row, "executions", "id")?, column(row, "executions", "state")?);
    let cell = |column| Cell { table: "executions", row: &id, column };
    Ok(Unfinished { id: cell("id").parse(&id)?, state: cell("state").state(&state)? })
}

/// A state and how many executions are in it.
pub(super) fn counted_state(row: &SqliteRow) -> Result<(StateCode, u64), StoreError> {
    let (state, count): (String, i64) =
        (column(row, "executions", "state")?, column(row, "executions", "count")?);
    let cell = Cell { table: "executions", row: &state, column: "state" };
    Ok((cell.state(&state)?, cell.count(count)?))
}
