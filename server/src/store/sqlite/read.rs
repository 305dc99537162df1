//! The statements that read.

use sqlx::{QueryBuilder, Sqlite, SqliteExecutor, SqlitePool, query, sqlite::SqliteRow};
use wfe_core::{
    clear::Attempt,
    event::Event,
    execution::{Execution, StateCode},
    ids::{ExecutionId, RequestId, Revision},
    lock::TargetState,
    request::StartRequest,
    start::StartView,
    target::TargetKey,
    withdraw::{Got, WithdrawView, Withdrawal},
};

use super::{
    rows::{
        EventRow, ExecutionRow, TargetRow, accepted_request, attempt, column, counted_state,
        execution_id, got, unfinished as unfinished_row, withdrawal,
    },
    transaction::fault,
};
use crate::{
    store::{Filter, Listed, Page, StoreError, TargetView, Unfinished},
    vault::Fingerprint,
};

// Queues are read by the index of those who wait. It is named, because SQLite would prefer the one by
// state, and so read everybody who waits for anything.
macro_rules! select_executions {
    ($name:literal, $rest:literal) => {
        select_executions!($name, "", $rest)
    };
    ($name:literal, $index:literal, $rest:literal) => {
        concat!(
            "-- ",
            $name,
            "\nSELECT e.sequence, e.id, e.request_id, e.cluster, e.target, e.state, e.revision,
                e.epoch, e.run_name, e.created_at, e.updated_at, e.ended_at, e.actor, e.detail,
                r.request, c.at AS cleared_at, c.actor AS cleared_by, c.reason AS clear_reason,
                c.ticket AS clear_ticket
            FROM executions e ",
            $index,
            " JOIN requests r ON r.request_id = e.request_id
            LEFT JOIN clearances c ON c.execution = e.id AND c.outcome = 'cleared' ",
            $rest
        )
    };
}

fn listed(row: &SqliteRow) -> Result<Listed, StoreError> {
    ExecutionRow::try_from(row)?.try_into()
}

fn execution_of(row: Option<&SqliteRow>) -> Result<Option<Execution>, StoreError> {
    row.map(|row| listed(row).map(|listed| listed.execution)).transpose()
}

/// What a Start is decided on.
pub(super) struct LoadedStart {
    accepted: Option<(StartRequest, ExecutionId)>,
    withdrawn: Option<Withdrawal>,
    target: TargetState,
    target_is_stored: bool,
    waiting: usize,
}

impl LoadedStart {
    /// It, as the decision takes it.
    pub(super) fn view(&self) -> StartView<'_> {
        StartView {
            accepted: self.accepted.as_ref().map(|(request, execution)| (request, *execution)),
            withdrawn: self.withdrawn.as_ref(),
            target: &self.target,
            waiting: self.waiting,
        }
    }

    /// The target, when it has a row.
    pub(super) fn stored_target(&self) -> Option<&TargetState> {
        self.target_is_stored.then_some(&self.target)
    }
}

/// Loads what a Start is decided on: one statement, so that it is consistent without a transaction.
pub(super) async fn start_view(
    executor: impl SqliteExecutor<'_>,
    request: &StartRequest,
) -> Result<LoadedStart, StoreError> {
    const SQL: &str = "-- start_view
        SELECT r.execution, r.request, w.withdrawn_at, w.actor, w.reason,
            t.cluster, t.target, t.epoch, t.holder, t.held_since, t.successes, t.failures,
            t.failed_execution, t.failed_at, t.blocking_execution, t.blocked_since,
            (SELECT count(*) FROM executions e INDEXED BY executions_waiting
                WHERE e.state = 'waiting' AND e.target_hash = ?4 AND e.cluster = ?2
                    AND e.target = ?3) AS waiting
        FROM (SELECT 1)
        LEFT JOIN requests r ON r.request_id = ?1
        LEFT JOIN withdrawals w ON w.request_id = ?1
        LEFT JOIN targets t ON t.cluster = ?2 AND t.target = ?3";
    let key = &request.target;
    let row = query(SQL)
        .bind(request.request_id.as_str())
        .bind(key.cluster.as_str())
        .bind(key.target.to_string())
        .bind(key.hash())
        .fetch_one(executor)
        .await
        .map_err(fault("start_view"))?;
    let execution: Option<&str> = column(&row, "requests", "execution")?;
    let accepted: Option<&str> = column(&row, "requests", "request")?;
    let accepted = execution
        .zip(accepted)
        .map(|(execution, text)| accepted_request(request.request_id.as_str(), execution, text));
    let stored: Option<&str> = column(&row, "targets", "target")?;
    let target = match stored {
        Some(_) => TargetRow::try_from(&row)?.try_into()?,
        None => TargetState::unused(key.clone()),
    };
    let waiting: i64 = column(&row, "executions", "waiting")?;
    Ok(LoadedStart {
        accepted: accepted.transpose()?,
        withdrawn: withdrawal(&request.request_id, &row)?,
        target,
        target_is_stored: stored.is_some(),
        waiting: usize::try_from(waiting).unwrap_or(usize::MAX),
    })
}

/// What a Cancel by request id is decided on.
pub(super) struct LoadedWithdraw {
    got: Option<Got>,
    withdrawn: Option<Withdrawal>,
}

impl LoadedWithdraw {
    /// It, as the decision takes it.
    pub(super) fn view(&self) -> WithdrawView<'_> {
        WithdrawView { got: self.got, withdrawn: self.withdrawn.as_ref() }
    }
}

/// Loads what a Cancel by request id is decided on: one statement, as for a Start.
pub(super) async fn withdraw_view(
    executor: impl SqliteExecutor<'_>,
    id: &RequestId,
) -> Result<LoadedWithdraw, StoreError> {
    const SQL: &str = "-- withdraw_view
        SELECT r.execution, r.attached, w.withdrawn_at, w.actor, w.reason
        FROM (SELECT 1)
        LEFT JOIN requests r ON r.request_id = ?1
        LEFT JOIN withdrawals w ON w.request_id = ?1";
    let row = query(SQL).bind(id.as_str()).fetch_one(executor).await;
    let row = row.map_err(fault("withdraw_view"))?;
    Ok(LoadedWithdraw { got: got(id, &row)?, withdrawn: withdrawal(id, &row)? })
}

/// One execution.
pub(super) async fn execution(
    executor: impl SqliteExecutor<'_>,
    id: ExecutionId,
) -> Result<Option<Execution>, StoreError> {
    const SQL: &str = select_executions!("execution", "WHERE e.id = ?1");
    let row = query(SQL).bind(id.to_string()).fetch_optional(executor).await;
    execution_of(row.map_err(fault("execution"))?.as_ref())
}

/// The execution that a request got; for an attached one that of another request.
pub(super) async fn execution_of_request(
    executor: impl SqliteExecutor<'_>,
    id: &RequestId,
) -> Result<Option<Execution>, StoreError> {
    const SQL: &str = select_executions!(
        "execution_of_request",
        "WHERE e.id = (SELECT execution FROM requests WHERE request_id = ?1)"
    );
    let row = query(SQL).bind(id.as_str()).fetch_optional(executor).await;
    execution_of(row.map_err(fault("execution_of_request"))?.as_ref())
}

/// The executions that wait for a target, in order of acceptance.
async fn queue(
    executor: impl SqliteExecutor<'_>,
    key: &TargetKey,
    limit: u32,
) -> Result<Vec<Execution>, StoreError> {
    const SQL: &str = select_executions!(
        "queue",
        "INDEXED BY executions_waiting",
        "WHERE e.state = 'waiting' AND e.target_hash = ?1 AND e.cluster = ?2 AND e.target = ?3
        ORDER BY e.sequence LIMIT ?4"
    );
    let rows = query(SQL)
        .bind(key.hash())
        .bind(key.cluster.as_str())
        .bind(key.target.to_string())
        .bind(i64::from(limit))
        .fetch_all(executor)
        .await
        .map_err(fault("queue"))?;
    rows.iter().map(|row| listed(row).map(|listed| listed.execution)).collect()
}

/// The execution that waits first for a target.
pub(super) async fn head(
    executor: impl SqliteExecutor<'_>,
    key: &TargetKey,
) -> Result<Option<Execution>, StoreError> {
    Ok(queue(executor, key, 1).await?.pop())
}

/// The execution that waits first for a target with this hash.
pub(super) async fn head_of(
    executor: impl SqliteExecutor<'_>,
    target_hash: &str,
) -> Result<Option<ExecutionId>, StoreError> {
    const SQL: &str = "-- head_of
        SELECT id FROM executions INDEXED BY executions_waiting
        WHERE state = 'waiting' AND target_hash = ?1 ORDER BY sequence LIMIT 1";
    let row = query(SQL).bind(target_hash).fetch_optional(executor).await;
    let Some(row) = row.map_err(fault("head_of"))? else { return Ok(None) };
    let id: &str = column(&row, "executions", "id")?;
    execution_id("executions", "id", id).map(Some)
}

/// The execution that holds a target.
pub(super) async fn holder_of(
    executor: impl SqliteExecutor<'_>,
    key: &TargetKey,
) -> Result<Option<ExecutionId>, StoreError> {
    const SQL: &str = "-- holder_of
        SELECT holder FROM targets WHERE cluster = ?1 AND target = ?2";
    let row = query(SQL)
        .bind(key.cluster.as_str())
        .bind(key.target.to_string())
        .fetch_optional(executor)
        .await
        .map_err(fault("holder_of"))?;
    let Some(row) = row else { return Ok(None) };
    let holder: Option<&str> = column(&row, "targets", "holder")?;
    holder.map(|id| execution_id("targets", "holder", id)).transpose()
}

/// A target, when it has a row.
pub(super) async fn target(
    executor: impl SqliteExecutor<'_>,
    key: &TargetKey,
) -> Result<Option<TargetState>, StoreError> {
    const SQL: &str = "-- target
        SELECT cluster, target, epoch, holder, held_since, successes, failures, failed_execution,
            failed_at, blocking_execution, blocked_since FROM targets
        WHERE cluster = ?1 AND target = ?2";
    let row = query(SQL)
        .bind(key.cluster.as_str())
        .bind(key.target.to_string())
        .fetch_optional(executor)
        .await
        .map_err(fault("target"))?;
    row.map(|row| TargetRow::try_from(&row)?.try_into()).transpose()
}

/// A target with its holder and its queue, all as of one moment.
pub(super) async fn target_view(
    pool: &SqlitePool,
    key: &TargetKey,
) -> Result<TargetView, StoreError> {
    let fault = fault("target");
    let mut moment = pool.begin().await.map_err(fault)?;
    let state = target(&mut *moment, key).await?.unwrap_or(TargetState::unused(key.clone()));
    let holder = match state.holder {
        Some(holder) => execution(&mut *moment, holder.execution).await?,
        None => None,
    };
    let queue = queue(&mut *moment, key, u32::MAX).await?;
    moment.rollback().await.map_err(fault)?;
    Ok(TargetView { state, holder, queue })
}

/// Executions, the newest accepted first.
pub(super) async fn list(
    pool: &SqlitePool,
    filter: &Filter,
    page: Page,
) -> Result<Vec<Listed>, StoreError> {
    let mut sql: QueryBuilder<Sqlite> = QueryBuilder::new(select_executions!("list", "WHERE TRUE"));
    if let Some(before) = page.before {
        sql.push(" AND e.sequence < ").push_bind(before.0);
    }
    if let Some(key) = &filter.target {
        sql.push(" AND e.target_hash = ").push_bind(key.hash());
        sql.push(" AND e.cluster = ").push_bind(key.cluster.as_str());
        sql.push(" AND e.target = ").push_bind(key.target.to_string());
    }
    if let Some(correlation_id) = &filter.correlation_id {
        sql.push(" AND e.correlation_id = ").push_bind(correlation_id.as_str());
    }
    if !filter.states.is_empty() {
        // `+` keeps an index away. The one by state has many entries of a terminal state; with
        // several states they would all be read and sorted to find the newest few.
        let few = filter.states.len() == 1 || !filter.states.iter().any(|s| s.is_terminal());
        let narrowed = filter.target.is_some() || filter.correlation_id.is_some();
        sql.push(if few && !narrowed { " AND e.state IN (" } else { " AND +e.state IN (" });
        let mut states = sql.separated(", ");
        for state in &filter.states {
            states.push_bind(state.as_str());
        }
        sql.push(")");
    }
    sql.push(" ORDER BY e.sequence DESC LIMIT ").push_bind(i64::from(page.limit));
    let rows = sql.build().fetch_all(pool).await.map_err(fault("list"))?;
    rows.iter().map(listed).collect()
}

/// Events of an execution after a revision, in order.
pub(super) async fn events(
    pool: &SqlitePool,
    id: ExecutionId,
    after: Revision,
    limit: u32,
) -> Result<Vec<Event>, StoreError> {
    const SQL: &str = "-- events
        SELECT execution, revision, at, kind, state_before, state_after, actor, detail FROM events
        WHERE execution = ?1 AND revision > ?2 ORDER BY revision LIMIT ?3";
    let id = id.to_string();
    let rows = query(SQL)
        .bind(&id)
        .bind(i64::try_from(after.0).unwrap_or(i64::MAX))
        .bind(i64::from(limit))
        .fetch_all(pool)
        .await
        .map_err(fault("events"))?;
    rows.iter().map(|row| EventRow::try_from(row)?.try_into()).collect()
}

/// Attempts to clear a block of a target, the newest first.
pub(super) async fn attempts(
    pool: &SqlitePool,
    key: &TargetKey,
    limit: u32,
) -> Result<Vec<Attempt>, StoreError> {
    const SQL: &str = "-- attempts
        SELECT sequence, at, actor, reason, ticket, outcome, execution FROM clearances
        WHERE cluster = ?1 AND target = ?2 ORDER BY sequence DESC LIMIT ?3";
    let rows = query(SQL)
        .bind(key.cluster.as_str())
        .bind(key.target.to_string())
        .bind(i64::from(limit))
        .fetch_all(pool)
        .await
        .map_err(fault("attempts"))?;
    rows.iter().map(attempt).collect()
}

/// Every execution that has not ended, in order of acceptance.
pub(super) async fn unfinished(pool: &SqlitePool) -> Result<Vec<Unfinished>, StoreError> {
    const SQL: &str = "-- unfinished
        SELECT id, state FROM executions
        WHERE state IN ('waiting', 'starting', 'running', 'cancelling') ORDER BY sequence";
    let rows = query(SQL).fetch_all(pool).await.map_err(fault("unfinished"))?;
    rows.iter().map(unfinished_row).collect()
}

/// How many executions are in each state.
pub(super) async fn count_by_state(pool: &SqlitePool) -> Result<Vec<(StateCode, u64)>, StoreError> {
    const SQL: &str = "-- count_by_state
        SELECT state, count(*) AS count FROM executions GROUP BY state";
    let rows = query(SQL).fetch_all(pool).await.map_err(fault("count_by_state"))?;
    rows.iter().map(counted_state).collect()
}

/// By what the key of the sensitive parameters is recognised.
pub(super) async fn parameter_key(
    executor: impl SqliteExecutor<'_>,
) -> Result<Option<Fingerprint>, StoreError> {
    const SQL: &str = "-- parameter_key
        SELECT fingerprint FROM parameter_key";
    let row = query(SQL).fetch_optional(executor).await.map_err(fault("parameter_key"))?;
    let Some(row) = row else { return Ok(None) };
    let fingerprint: String = column(&row, "parameter_key", "fingerprint")?;
    Ok(Some(Fingerprint::kept(fingerprint)))
}

/// Proves that the database answers.
pub(super) async fn check(pool: &SqlitePool) -> Result<(), StoreError> {
    const SQL: &str = "-- check_read
        SELECT 1 FROM executions LIMIT 1";
    query(SQL).fetch_optional(pool).await.map_err(fault("check_read"))?;
    Ok(())
}
