//! A target: who holds it, and what those before left behind.

use std::num::NonZeroU32;

use sqlx::sqlite::SqliteRow;
use wfe_core::{
    gates::{ExecutionFailure, Failures, History},
    ids::Epoch,
    lock::{Holder, TargetState},
    target::{Target, TargetKey},
};

use super::{Cell, column};
use crate::store::StoreError;

/// A row of `targets`.
pub(in super::super) struct TargetRow {
    cluster: String,
    target: String,
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

impl TryFrom<&SqliteRow> for TargetRow {
    type Error = StoreError;

    fn try_from(row: &SqliteRow) -> Result<Self, StoreError> {
        const TABLE: &str = "targets";
        Ok(Self {
            cluster: column(row, TABLE, "cluster")?,
            target: column(row, TABLE, "target")?,
            epoch: column(row, TABLE, "epoch")?,
            holder: column(row, TABLE, "holder")?,
            held_since: column(row, TABLE, "held_since")?,
            successes: column(row, TABLE, "successes")?,
            failures: column(row, TABLE, "failures")?,
            failed_execution: column(row, TABLE, "failed_execution")?,
            failed_at: column(row, TABLE, "failed_at")?,
            blocking_execution: column(row, TABLE, "blocking_execution")?,
            blocked_since: column(row, TABLE, "blocked_since")?,
        })
    }
}

impl TryFrom<TargetRow> for TargetState {
    type Error = StoreError;

    fn try_from(row: TargetRow) -> Result<Self, StoreError> {
        let key = format!("{:?} {:?}", row.cluster, row.target);
        let cell = |column| Cell { table: "targets", row: &key, column };
        let holder = cell("holder").execution_at(
            row.holder.as_deref(),
            &cell("held_since"),
            row.held_since,
        )?;
        let failed = cell("failed_execution").execution_at(
            row.failed_execution.as_deref(),
            &cell("failed_at"),
            row.failed_at,
        )?;
        let count = u32::try_from(row.failures).map_err(|error| cell("failures").wrong(error))?;
        let failures = match (NonZeroU32::new(count), failed) {
            (None, None) => None,
            (Some(count), Some((execution, at))) => Some(Failures { count, execution, at }),
            (_, failed) => {
                return Err(cell("failures").wrong(format!("{count} beside {failed:?}")));
            }
        };
        let blocked = cell("blocking_execution").execution_at(
            row.blocking_execution.as_deref(),
            &cell("blocked_since"),
            row.blocked_since,
        )?;
        let history = History {
            successes: cell("successes").json(&row.successes)?,
            failures,
            blocked: blocked.map(|(execution, at)| ExecutionFailure { execution, at }),
        };
        Ok(Self {
            key: TargetKey {
                cluster: cell("cluster").parse(&row.cluster)?,
                target: cell("target").parse::<Target>(&row.target)?,
            },
            epoch: Epoch(cell("epoch").count(row.epoch)?),
            holder: holder.map(|(execution, since)| Holder { execution, since }),
            history,
        })
    }
}
