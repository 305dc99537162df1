//! What an object and an execution say of themselves.

use std::time::Duration;

use jiff::Timestamp;
use wfe_crds::workflow_execution::{Phase, WorkflowExecutionStatus};
use wfe_proto::v1::{Execution, State};

use crate::object::Object;

/// Between two writes of the status that only tell how far a run is lies at least this time, and at
/// least a fourth of the time that the run has taken: whoever watches a long one is not in a hurry.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);
/// The longest time between two such writes.
const MAX_PROGRESS_INTERVAL: Duration = Duration::from_secs(10);

/// Whether another bridge has shown a later revision already. Nothing is later than the end: then the
/// service's records were set back, and are the truth all the same.
pub(super) fn is_ahead(object: &Object, execution: &Execution) -> bool {
    let shown = object.status.as_ref().is_ok_and(|status| {
        status.execution_id.as_deref() == Some(execution.id.as_str())
            && status.execution_revision.is_some_and(|shown| shown > execution.revision)
    });
    shown && !is_over(execution)
}

pub(super) fn is_over(execution: &Execution) -> bool {
    matches!(execution.state(), State::Succeeded | State::Failed | State::Cancelled)
}

/// Whether it was not asked to stop yet.
pub(super) fn may_run(execution: &Execution) -> bool {
    !is_over(execution) && execution.state() != State::Cancelling
}

/// Whether the status says that all is over, and says it completely. RemediationOrchestrator sets the
/// phase alone.
pub(super) fn is_finished(status: &WorkflowExecutionStatus) -> bool {
    is_final(status) && status.completion_time.is_some()
}

pub(super) fn is_final(status: &WorkflowExecutionStatus) -> bool {
    match &status.phase {
        None | Some(Phase::Pending | Phase::Running) => false,
        // Earlier versions had other phases, all of them final.
        Some(Phase::Completed | Phase::Failed | Phase::Other(_)) => true,
    }
}

/// Whether a run may have been started for it.
pub(super) fn was_started(status: &WorkflowExecutionStatus) -> bool {
    status.execution_id.is_some()
        || status.execution_ref.is_some()
        || !matches!(status.phase, None | Some(Phase::Pending))
}

/// How long after `shown` the progress of a run is worth a write again.
pub(super) fn progress_interval(
    current: Option<&WorkflowExecutionStatus>,
    shown: Timestamp,
) -> Duration {
    let started = current.and_then(|status| status.start_time.as_ref());
    let age = started.map_or(Duration::ZERO, |start| shown.duration_since(start.0).unsigned_abs());
    (age / 4).clamp(PROGRESS_INTERVAL, MAX_PROGRESS_INTERVAL)
}
