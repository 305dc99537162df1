//! What goes on record for auditors, and how the log of it is chained.
//!
//! Everything that happens or is decided is a [`Record`]. In the transaction of the change it becomes
//! an [`Entry`]: it gets its place in one global order, and a hash over its text and the hash of the
//! entry before. Whoever knows the hash of an entry therefore knows all that was recorded up to it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    actor::Actor,
    clear::Attempt,
    event::Event,
    execution::Execution,
    ids::{CorrelationId, ExecutionId, RequestId},
    request::{Source, StartRequest},
    target::TargetKey,
    transition::Change,
    withdraw::Withdrawal,
};

mod about;
mod chain;
mod tally;
mod tries;
mod what;

pub use about::{About, AboutTarget, AboutWorkflow};
pub use chain::{Entry, Hash, Head, Logged, Position};
pub use tally::{Counted, Due, First, MAX_CALLERS, MAX_SUBJECTS, Sum, Tally, Unwritten};
pub use tries::Try;
pub use what::{Asked, Times, What};

/// What a record is about. The records of one stream are numbered from 1.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Stream(String);

impl Stream {
    /// The life of an execution; numbered by its revision.
    pub fn execution(id: ExecutionId) -> Self {
        Self(format!("executions/{id}"))
    }

    /// What was decided about a target: refusals, clearances.
    pub fn target(key: &TargetKey) -> Self {
        Self(format!("targets/{key}"))
    }

    /// What became of a request that was never accepted.
    pub fn request(id: &RequestId) -> Self {
        Self(format!("requests/{id}"))
    }

    /// Callers who were not let in, or may not do what they asked for, and those who tried too many
    /// things to tell them apart.
    pub fn security() -> Self {
        Self("security".to_owned())
    }

    /// The log itself: its keys, and what was pruned.
    pub fn log() -> Self {
        Self("log".to_owned())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// How a record is numbered in its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbering {
    /// With this number: the revision of an execution.
    At(u64),
    /// With the next one of the stream.
    Next,
}

/// Something that happened or was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// What it is about.
    pub stream: Stream,
    /// Its number there.
    pub numbering: Numbering,
    /// When.
    pub at: Timestamp,
    /// Who caused it.
    pub actor: Actor,
    /// What it was.
    pub what: What,
    /// What it concerned.
    pub about: About,
}

impl Record {
    /// What a change of an execution puts on record: each of its events, in order.
    pub fn of_change(change: &Change) -> Vec<Self> {
        let about = About::of_execution(&change.execution);
        change.events.iter().map(|event| Self::of_event(event, &change.execution, &about)).collect()
    }

    fn of_event(event: &Event, execution: &Execution, about: &About) -> Self {
        let asked = event.before.is_none().then(|| Box::new(Asked::of(&execution.request)));
        Self {
            stream: Stream::execution(event.execution),
            numbering: Numbering::At(event.revision.0),
            at: event.at,
            actor: event.actor.clone(),
            what: What::Transition {
                before: event.before,
                after: event.after,
                event: event.kind.clone(),
                asked,
            },
            about: about.clone(),
        }
    }

    /// A request follows the execution that holds its target.
    pub fn of_attachment(
        request: &StartRequest,
        holder: ExecutionId,
        actor: &Actor,
        at: Timestamp,
    ) -> Self {
        Self {
            stream: Stream::request(&request.request_id),
            numbering: Numbering::Next,
            at,
            actor: actor.clone(),
            what: What::Attached { asked: Box::new(Asked::of(request)) },
            about: About { execution: Some(holder), ..About::of_request(request) },
        }
    }

    /// A request starts nothing any more.
    pub fn of_withdrawal(withdrawal: &Withdrawal) -> Self {
        let Withdrawal { request_id, reason, actor, at } = withdrawal;
        Self {
            stream: Stream::request(request_id),
            numbering: Numbering::Next,
            at: *at,
            actor: actor.clone(),
            what: What::Withdrawn { reason: reason.clone() },
            about: About { request_id: Some(request_id.clone()), ..About::default() },
        }
    }

    /// Somebody tried to clear the block of a target. `blocking` is the execution that blocked it then.
    pub fn of_attempt(key: &TargetKey, attempt: &Attempt, blocking: Option<&Execution>) -> Self {
        let Attempt { clearance, outcome } = attempt;
        let about = match blocking {
            Some(execution) => About::of_execution(execution),
            None => About { target: Some(AboutTarget::of(key)), ..About::default() },
        };
        Self {
            stream: Stream::target(key),
            numbering: Numbering::Next,
            at: clearance.at,
            actor: clearance.actor.clone(),
            what: What::ClearBlock {
                outcome: outcome.as_str().into(),
                reason: clearance.reason.clone(),
                ticket: clearance.ticket.clone(),
            },
            about,
        }
    }
}

#[cfg(test)]
mod tests;
