//! The statements that write. Each checks that it touched the rows that it should.

use sqlx::{SqliteConnection, query, sqlite::SqliteQueryResult};
use wfe_core::{
    clear::{Attempt, Clearance},
    event::Event,
    execution::Execution,
    gates::History,
    ids::{ExecutionId, Revision},
    lock::TargetState,
    request::StartRequest,
    target::TargetKey,
    transition::Change,
    withdraw::Withdrawal,
};

use super::{
    rows::{stored_count, stored_json},
    transaction::fault,
};
use crate::{store::StoreError, vault::Fingerprint};

fn exactly_one(operation: &'static str, result: &SqliteQueryResult) -> Result<(), StoreError> {
    match result.rows_affected() {
        1 => Ok(()),
        actual => Err(StoreError::RowCount { operation, expected: 1, actual }),
    }
}

/// The columns of an execution that follow from its state.
struct StateColumns {
    code: &'static str,
    epoch: Option<i64>,
    run_name: Option<String>,
    ended_at: Option<i64>,
    detail: String,
}

impl StateColumns {
    fn of(execution: &Execution, row: &str) -> Result<Self, StoreError> {
        let state = &execution.state;
        let run = state.planned_run();
        let epoch = run.map(|run| stored_count("executions", row, "epoch", run.epoch.0));
        Ok(Self {
            code: state.code().as_str(),
            epoch: epoch.transpose()?,
            run_name: run.map(|run| run.name.as_str().to_owned()),
            ended_at: state.ended_at().map(jiff::Timestamp::as_microsecond),
            detail: stored_json("executions", row, "detail", state)?,
        })
    }
}

/// Writes an accepted execution.
pub(super) async fn insert_execution(
    connection: &mut SqliteConnection,
    execution: &Execution,
) -> Result<(), StoreError> {
    const OPERATION: &str = "insert_execution";
    const SQL: &str = "-- insert_execution
        INSERT INTO executions (id, request_id, cluster, target, target_hash, correlation_id, actor,
            created_at, state, revision, epoch, run_name, updated_at, ended_at, detail)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";
    let id = execution.id.to_string();
    let state = StateColumns::of(execution, &id)?;
    let key = &execution.request.target;
    let correlation_id = execution.request.correlation_id.as_ref();
    let result = query(SQL)
        .bind(&id)
        .bind(execution.request.request_id.as_str())
        .bind(key.cluster.as_str())
        .bind(key.target.to_string())
        .bind(key.hash())
        .bind(correlation_id.map(wfe_core::ids::CorrelationId::as_str))
        .bind(stored_json("executions", &id, "actor", &execution.actor)?)
        .bind(execution.created_at.as_microsecond())
        .bind(state.code)
        .bind(stored_count("executions", &id, "revision", execution.revision.0)?)
        .bind(state.epoch)
        .bind(state.run_name)
        .bind(execution.updated_at.as_microsecond())
        .bind(state.ended_at)
        .bind(state.detail)
        .execute(connection)
        .await
        .map_err(fault(OPERATION))?;
    exactly_one(OPERATION, &result)
}

/// Moves an execution, when it still stands where its first new event begins.
pub(super) async fn update_execution(
    connection: &mut SqliteConnection,
    change: &Change,
) -> Result<(), StoreError> {
    const OPERATION: &str = "update_execution";
    const SQL: &str = "-- update_execution
        UPDATE executions
        SET state = ?3, revision = ?4, epoch = ?5, run_name = ?6, updated_at = ?7, ended_at = ?8,
            detail = ?9
        WHERE id = ?1 AND revision = ?2";
    let execution = &change.execution;
    let id = execution.id.to_string();
    let state = StateColumns::of(execution, &id)?;
    let revision = |Revision(number)| stored_count("executions", &id, "revision", number);
    let before = change.events.first().map_or(execution.revision, |event| event.revision);
    let before = Revision(before.0.saturating_sub(1));
    let result = query(SQL)
        .bind(&id)
        .bind(revision(before)?)
        .bind(state.code)
        .bind(revision(execution.revision)?)
        .bind(state.epoch)
        .bind(state.run_name)
        .bind(execution.updated_at.as_microsecond())
        .bind(state.ended_at)
        .bind(state.detail)
        .execute(connection)
        .await
        .map_err(fault(OPERATION))?;
    exactly_one(OPERATION, &result)
}

/// Writes what happened to an execution.
pub(super) async fn insert_events(
    connection: &mut SqliteConnection,
    events: &[Event],
) -> Result<(), StoreError> {
    const OPERATION: &str = "insert_event";
    const SQL: &str = "-- insert_event
        INSERT INTO events (execution, revision, at, kind, state_before, state_after, actor, detail)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    for event in events {
        let id = event.execution.to_string();
        let result = query(SQL)
            .bind(&id)
            .bind(stored_count("events", &id, "revision", event.revision.0)?)
            .bind(event.at.as_microsecond())
            .bind(event.kind.as_str())
            .bind(event.before.map(wfe_core::execution::StateCode::as_str))
            .bind(event.after.as_str())
            .bind(stored_json("events", &id, "actor", &event.actor)?)
            .bind(stored_json("events", &id, "detail", &event.kind)?)
            .execute(&mut *connection)
            .await
            .map_err(fault(OPERATION))?;
        exactly_one(OPERATION, &result)?;
    }
    Ok(())
}

/// Writes the request that an execution was accepted for.
pub(super) async fn insert_request(
    connection: &mut SqliteConnection,
    execution: &Execution,
) -> Result<(), StoreError> {
    const OPERATION: &str = "insert_request";
    const SQL: &str = "-- insert_request
        INSERT INTO requests (request_id, execution, attached, accepted_at, request)
        VALUES (?1, ?2, 0, ?3, ?4)";
    let request = &execution.request;
    let id = request.request_id.as_str();
    let result = query(SQL)
        .bind(id)
        .bind(execution.id.to_string())
        .bind(execution.created_at.as_microsecond())
        .bind(stored_json("requests", id, "request", request)?)
        .execute(connection)
        .await
        .map_err(fault(OPERATION))?;
    exactly_one(OPERATION, &result)
}

/// Writes a request that follows the execution of another one.
pub(super) async fn insert_attached_request(
    connection: &mut SqliteConnection,
    request: &StartRequest,
    execution: ExecutionId,
) -> Result<(), StoreError> {
    const OPERATION: &str = "insert_attached_request";
    const SQL: &str = "-- insert_attached_request
        INSERT INTO requests (request_id, execution, attached, request) VALUES (?1, ?2, 1, ?3)";
    let id = request.request_id.as_str();
    let result = query(SQL)
        .bind(id)
        .bind(execution.to_string())
        .bind(stored_json("requests", id, "request", request)?)
        .execute(connection)
        .await
        .map_err(fault(OPERATION))?;
    exactly_one(OPERATION, &result)
}

/// Writes that a request starts nothing any more.
pub(super) async fn insert_withdrawal(
    connection: &mut SqliteConnection,
    withdrawal: &Withdrawal,
) -> Result<(), StoreError> {
    const OPERATION: &str = "insert_withdrawal";
    const SQL: &str = "-- insert_withdrawal
        INSERT INTO withdrawals (request_id, withdrawn_at, actor, reason) VALUES (?1, ?2, ?3, ?4)";
    let Withdrawal { request_id, reason, actor, at } = withdrawal;
    let id = request_id.as_str();
    let result = query(SQL)
        .bind(id)
        .bind(at.as_microsecond())
        .bind(stored_json("withdrawals", id, "actor", actor)?)
        .bind(reason)
        .execute(connection)
        .await
        .map_err(fault(OPERATION))?;
    exactly_one(OPERATION, &result)
}

/// Writes a target, when it still is what was read.
pub(super) async fn put_target(
    connection: &mut SqliteConnection,
    before: Option<&TargetState>,
    after: &TargetState,
) -> Result<(), StoreError> {
    match before {
        None => insert_target(connection, after).await,
        Some(before) => update_target(connection, before, after).await,
    }
}

/// The columns of a target that change.
struct TargetColumns {
    epoch: i64,
    holder: Option<String>,
    held_since: Option<i64>,
    successes: String,
    failures: i64,
    failed_execution: Option<String>,
    failed_at: Option<i64>,
    blocking_execution: Option<String>,
    blocked_since: Option<i64>,
}

impl TargetColumns {
    fn of(target: &TargetState, row: &str) -> Result<Self, StoreError> {
        let TargetState { key: _, epoch, holder, history } = target;
        let History { successes, failures, blocked } = history;
        Ok(Self {
            epoch: stored_count("targets", row, "epoch", epoch.0)?,
            holder: holder.map(|holder| holder.execution.to_string()),
            held_since: holder.map(|holder| holder.since.as_microsecond()),
            successes: stored_json("targets", row, "successes", successes)?,
            failures: failures.map_or(0, |failures| i64::from(failures.count.get())),
            failed_execution: failures.map(|failures| failures.execution.to_string()),
            failed_at: failures.map(|failures| failures.at.as_microsecond()),
            blocking_execution: blocked.map(|failure| failure.execution.to_string()),
            blocked_since: blocked.map(|failure| failure.at.as_microsecond()),
        })
    }
}

/// Writes a target that is not stored yet.
pub(super) async fn insert_target(
    connection: &mut SqliteConnection,
    target: &TargetState,
) -> Result<(), StoreError> {
    const OPERATION: &str = "insert_target";
    const SQL: &str = "-- insert_target
        INSERT INTO targets (cluster, target, hash, epoch, holder, held_since, successes, failures,
            failed_execution, failed_at, blocking_execution, blocked_since)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
    let name = target.key.target.to_string();
    let columns = TargetColumns::of(target, &name)?;
    let result = query(SQL)
        .bind(target.key.cluster.as_str())
        .bind(&name)
        .bind(target.key.hash())
        .bind(columns.epoch)
        .bind(columns.holder)
        .bind(columns.held_since)
        .bind(columns.successes)
        .bind(columns.failures)
        .bind(columns.failed_execution)
        .bind(columns.failed_at)
        .bind(columns.blocking_execution)
        .bind(columns.blocked_since)
        .execute(connection)
        .await
        .map_err(fault(OPERATION))?;
    exactly_one(OPERATION, &result)
}

async fn update_target(
    connection: &mut SqliteConnection,
    before: &TargetState,
    after: &TargetState,
) -> Result<(), StoreError> {
    const OPERATION: &str = "update_target";
    const SQL: &str = "-- update_target
        UPDATE targets SET epoch = ?5, holder = ?6, held_since = ?7, successes = ?8, failures = ?9,
            failed_execution = ?10, failed_at = ?11, blocking_execution = ?12, blocked_since = ?13
        WHERE cluster = ?1 AND target = ?2 AND epoch = ?3 AND holder IS ?4";
    let name = after.key.target.to_string();
    let columns = TargetColumns::of(after, &name)?;
    let result = query(SQL)
        .bind(after.key.cluster.as_str())
        .bind(&name)
        .bind(stored_count("targets", &name, "epoch", before.epoch.0)?)
        .bind(before.holder.map(|holder| holder.execution.to_string()))
        .bind(columns.epoch)
        .bind(columns.holder)
        .bind(columns.held_since)
        .bind(columns.successes)
        .bind(columns.failures)
        .bind(columns.failed_execution)
        .bind(columns.failed_at)
        .bind(columns.blocking_execution)
        .bind(columns.blocked_since)
        .execute(connection)
        .await
        .map_err(fault(OPERATION))?;
    exactly_one(OPERATION, &result)
}

/// Writes an attempt to clear a block.
pub(super) async fn insert_attempt(
    connection: &mut SqliteConnection,
    key: &TargetKey,
    attempt: &Attempt,
) -> Result<(), StoreError> {
    const OPERATION: &str = "insert_attempt";
    const SQL: &str = "-- insert_attempt
        INSERT INTO clearances (cluster, target, at, actor, reason, ticket, outcome, execution)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let Attempt { clearance: Clearance { actor, at, reason, ticket }, outcome } = attempt;
    let name = key.target.to_string();
    let result = query(SQL)
        .bind(key.cluster.as_str())
        .bind(&name)
        .bind(at.as_microsecond())
        .bind(stored_json("clearances", &name, "actor", actor)?)
        .bind(reason.as_str())
        .bind(ticket)
        .bind(outcome.as_str())
        .bind(outcome.execution().map(|execution| execution.to_string()))
        .execute(connection)
        .await
        .map_err(fault(OPERATION))?;
    exactly_one(OPERATION, &result)
}

/// Writes something that nobody reads: it ends up in the header of the file.
pub(super) async fn touch(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    const SQL: &str = "-- check
        PRAGMA user_version = 1";
    query(SQL).execute(connection).await.map_err(fault("check"))?;
    Ok(())
}

/// Writes by what the key of the sensitive parameters is recognised.
pub(super) async fn insert_parameter_key(
    connection: &mut SqliteConnection,
    fingerprint: &Fingerprint,
) -> Result<(), StoreError> {
    const OPERATION: &str = "insert_parameter_key";
    const SQL: &str = "-- insert_parameter_key
        INSERT INTO parameter_key (fingerprint) VALUES (?1)";
    let result = query(SQL).bind(fingerprint.as_str()).execute(connection).await;
    exactly_one(OPERATION, &result.map_err(fault(OPERATION))?)
}
