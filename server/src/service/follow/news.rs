//! What an entry of the log says to those who follow it. Pure.

use std::collections::HashMap;

use jiff::Timestamp;
use wfe_core::{
    audit::{Logged, Position, Stream, What},
    clear::Clearance,
    event::Event,
    execution::Execution,
    ids::{ExecutionId, Revision},
};

use crate::error::ServiceError;

/// The outcome of an attempt that cleared a block, as it stands in the log.
const CLEARED: &str = "cleared";

/// One message of a watch that follows the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// What it says.
    pub news: News,
    /// Where to resume after it; the beginning while the snapshots are not complete.
    pub cursor: Position,
}

/// What a watch that follows the log can say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// An execution as it is.
    Snapshot(Box<Execution>),
    /// The snapshots are complete.
    Synced,
    /// Something happened to an execution.
    Event(Box<Event>),
    /// The block that an execution caused was cleared.
    Cleared {
        /// The execution.
        execution: ExecutionId,
        /// By whom, when and why.
        clearance: Box<Clearance>,
    },
    /// Something was decided that changes no execution.
    Decision(Box<Logged>),
    /// Nothing was told for a while.
    Heartbeat {
        /// When.
        at: Timestamp,
    },
}

/// What the snapshots of a watch told already. Forgotten when the log is read beyond them.
#[derive(Debug, Default)]
pub(super) struct Shown {
    executions: HashMap<ExecutionId, (Revision, bool)>,
    /// What came later is in no snapshot.
    pub(super) until: Position,
}

impl Shown {
    pub(super) fn add(&mut self, execution: &Execution) {
        let cleared = execution.clearance.is_some();
        self.executions.insert(execution.id, (execution.revision, cleared));
    }

    pub(super) fn holds(&mut self, entry: &Logged) -> bool {
        if entry.sequence > self.until {
            self.executions = HashMap::new();
            return false;
        }
        let shown = entry.about.execution.and_then(|id| self.executions.get(&id));
        shown.is_some_and(|(revision, cleared)| match &entry.what {
            What::Transition { .. } => entry.revision <= revision.0,
            What::ClearBlock { outcome, .. } => *cleared && outcome == CLEARED,
            What::Attached { .. }
            | What::Withdrawn { .. }
            | What::CancelIgnored { .. }
            | What::Refused { .. }
            | What::Denied { .. }
            | What::KeyRotated { .. }
            | What::Pruned { .. } => false,
        })
    }
}

/// What an entry says; `None` of what is for auditors alone.
pub(super) fn told(entry: &Logged) -> Result<Option<News>, ServiceError> {
    let decision = |entry: &Logged| Some(News::Decision(Box::new(entry.clone())));
    Ok(match &entry.what {
        What::Transition { before, after, event, asked: _ } => Some(News::Event(Box::new(Event {
            execution: of_execution(entry)?,
            revision: Revision(entry.revision),
            at: entry.at,
            actor: entry.actor.clone(),
            before: *before,
            after: *after,
            kind: event.clone(),
        }))),
        What::ClearBlock { outcome, reason, ticket } => match &**outcome {
            CLEARED => Some(News::Cleared {
                execution: of_execution(entry)?,
                clearance: Box::new(Clearance {
                    actor: entry.actor.clone(),
                    at: entry.at,
                    reason: reason.clone(),
                    ticket: ticket.clone(),
                }),
            }),
            "not_blocked" | "stale" => decision(entry),
            other => return Err(unknown(entry, &format!("outcome {other}"))),
        },
        // What was tried too often to tell its target is for auditors alone.
        What::Refused { .. } | What::CancelIgnored { .. } if entry.stream == Stream::security() => {
            None
        }
        What::Attached { .. }
        | What::Withdrawn { .. }
        | What::CancelIgnored { .. }
        | What::Refused { .. } => decision(entry),
        What::Denied { .. } | What::KeyRotated { .. } | What::Pruned { .. } => None,
    })
}

fn of_execution(entry: &Logged) -> Result<ExecutionId, ServiceError> {
    entry.about.execution.ok_or_else(|| unknown(entry, "no execution"))
}

fn unknown(entry: &Logged, problem: &str) -> ServiceError {
    let problem = format!("entry {} of the log has {problem}", entry.sequence);
    ServiceError::Internal(problem.into())
}
