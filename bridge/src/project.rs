//! What the status of a WorkflowExecution says. Pure.
//!
//! | what is known | phase | `Ready` | `Succeeded` | `ExecutionCreated` | `ExecutionRunning` | `ExecutionComplete` | also |
//! |---|---|---|---|---|---|---|---|
//! | could not be sent yet | Pending | False | Unknown | Unknown | False | Unknown | Reconciling |
//! | WAITING, opens by itself | Pending | False | Unknown | Unknown | False | Unknown | Blocked, Reconciling |
//! | WAITING for a person | Pending | False | Unknown | Unknown | False | Unknown | Blocked, Stalled |
//! | STARTING | Pending | False | Unknown | Unknown | False | Unknown | Reconciling |
//! | RUNNING | Running | False | Unknown | True | True | Unknown | Reconciling |
//! | CANCELLING, no run yet | Pending | False | Unknown | Unknown | False | Unknown | Reconciling |
//! | CANCELLING | Running | False | Unknown | True | True | Unknown | Reconciling |
//! | SUCCEEDED | Completed | True | True | True | False | True | |
//! | FAILED, CANCELLED | Failed | False | False | True, or False without a run | False | False | Stalled |
//! | refused | Failed | False | False | False | False | False | Stalled |
//! | started, and not on record | Failed | False | False | True or Unknown | Unknown | False | Stalled |
//!
//! Ready, Succeeded and the three others are there from the first status on, so that people and
//! `kubectl wait` find them. Blocked, Reconciling and Stalled are there while they are True, as kstatus
//! has it: Reconciling is `InProgress`, Stalled is `Failed`, neither is `Current`.
//!
//! Every value follows from the execution, not from when it was looked at, so that two bridges write
//! the same bytes. Where the execution has no time for something, the one that was written first stays.

use jiff::Timestamp;
use wfe_crds::workflow_execution::{Phase, WorkflowExecutionStatus};
use wfe_proto::v1;

use crate::request::{Holder, Refusal, Trouble};

mod conditions;
mod difference;
mod duration;
mod execution;
mod failure;
mod progress;
mod times;
mod unstarted;
mod words;

pub use difference::{Difference, differs};
pub(crate) use duration::go;
pub(crate) use failure::class;
pub(crate) use times::moment;
pub(crate) use words::{
    asked, cause, clear_command, escalated, gives_time, held, person, run_name, stopping,
};

/// What is known of the request that a WorkflowExecution stands for.
#[derive(Debug, Clone, Copy)]
pub enum View<'a> {
    /// The service accepted it.
    Execution {
        /// The execution.
        execution: &'a v1::Execution,
        /// Who holds its target while it waits, when that was looked up.
        holder: Option<&'a Holder>,
    },
    /// It could not be sent to the service yet.
    Unsent(&'a Trouble),
    /// It can never be accepted.
    Refused {
        /// Why.
        refusal: &'a Refusal,
        /// Since when that is known.
        at: Timestamp,
    },
    /// The status says that it was started, and the service has no record of it.
    Unrecorded,
}

/// The status that shows `view`: every field that the bridge owns and that has a value now, as the body
/// of a server-side apply. `previous` is the status as it is, `generation` that of the spec; `now` is
/// used only where nothing else tells a time.
pub fn project(
    view: &View<'_>,
    previous: Option<&WorkflowExecutionStatus>,
    generation: i64,
    now: Timestamp,
) -> WorkflowExecutionStatus {
    let frame = Frame { previous, generation: generation.max(0), now };
    match view {
        View::Execution { execution, holder } => execution::status(execution, *holder, &frame),
        View::Unsent(trouble) => unstarted::unsent(trouble, &frame),
        View::Refused { refusal, at } => unstarted::refused(refusal, *at, &frame),
        View::Unrecorded => unstarted::unrecorded(&frame),
    }
}

/// What a status is made in.
struct Frame<'a> {
    previous: Option<&'a WorkflowExecutionStatus>,
    generation: i64,
    now: Timestamp,
}

impl Frame<'_> {
    /// The end as it was shown, when it was.
    fn shown_end(&self) -> Option<Timestamp> {
        let over = [Some(Phase::Completed), Some(Phase::Failed)];
        let previous = self.previous.filter(|status| over.contains(&status.phase))?;
        previous.completion_time.as_ref().map(|time| time.0)
    }
}

#[cfg(test)]
mod tests;
