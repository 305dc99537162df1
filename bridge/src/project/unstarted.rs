//! The status of what the service has no execution of.

use jiff::Timestamp;
use wfe_crds::workflow_execution::{MAX_NAME_CHARS, Phase, WorkflowExecutionStatus};

use super::{
    Frame,
    conditions::{End, Gate, Outline, Run, conditions},
    failure::{self, Failed},
    times::{Times, whole},
    words::Word,
};
use crate::{
    request::{Refusal, Trouble, TroubleKind},
    text::some_fit,
};

/// It waits for the service, which cannot be called.
pub(super) fn unsent(trouble: &Trouble, frame: &Frame<'_>) -> WorkflowExecutionStatus {
    let reason = match trouble.kind {
        TroubleKind::Unreachable => "ServerUnavailable",
        TroubleKind::Refuses => "ServerRefuses",
        TroubleKind::Incompatible => "ServerIncompatible",
        TroubleKind::Busy => "ServerBusy",
    };
    let text = format!("Not started yet, and tried again until it is: {trouble}");
    let outline = Outline {
        word: Word::new(reason, text),
        end: End::NotYet,
        run: Run::None,
        gate: Gate::Open,
        times: Times::all(frame.now),
    };
    WorkflowExecutionStatus {
        observed_generation: Some(frame.generation),
        phase: Some(Phase::Pending),
        conditions: conditions(&outline, frame),
        ..WorkflowExecutionStatus::default()
    }
}

/// It never runs. The first time at which that was known stays.
pub(super) fn refused(
    refusal: &Refusal,
    at: Timestamp,
    frame: &Frame<'_>,
) -> WorkflowExecutionStatus {
    let same = frame.previous.is_some_and(|status| {
        status.execution_id.is_none()
            && status.failure_reason.as_deref() == Some(refusal.reason().as_str())
    });
    let at = frame.shown_end().filter(|_| same).unwrap_or(at);
    WorkflowExecutionStatus {
        deduplicated_by: refusal.deduplicated_by().and_then(|by| some_fit(by, MAX_NAME_CHARS)),
        ..failed(failure::refused(refusal, at), Run::None, Times::all(at), frame)
    }
}

/// It was started, and the service has no record of it. What the status tells of its run stays.
pub(super) fn unrecorded(frame: &Frame<'_>) -> WorkflowExecutionStatus {
    let before = frame.previous.cloned().unwrap_or_default();
    let at = frame.shown_end().unwrap_or(frame.now);
    let started = before.start_time.as_ref().map(|time| time.0);
    let name = before.execution_ref.as_ref().map(|run| run.name.as_str());
    let name = name.filter(|name| !name.is_empty()).map(|name| format!("PipelineRun {name}"));
    let failure = failure::unrecorded(name.as_deref().unwrap_or("its PipelineRun"), at);
    let times = Times { started, ..Times::all(at) };
    WorkflowExecutionStatus {
        start_time: started.map(whole),
        execution_ref: before.execution_ref,
        execution_status: before.execution_status,
        execution_id: before.execution_id,
        execution_revision: before.execution_revision,
        ..failed(failure, name.map_or(Run::Unknown, Run::Lost), times, frame)
    }
}

fn failed(failed: Failed, run: Run, times: Times, frame: &Frame<'_>) -> WorkflowExecutionStatus {
    let Failed { word, end, details } = failed;
    let completion_time = Some(whole(times.ended));
    let outline = Outline { word, end, run, gate: Gate::Open, times };
    WorkflowExecutionStatus {
        observed_generation: Some(frame.generation),
        phase: Some(Phase::Failed),
        completion_time,
        failure_reason: Some(details.reason.to_string()),
        failure_details: Some(details),
        conditions: conditions(&outline, frame),
        ..WorkflowExecutionStatus::default()
    }
}
