//! The status of what the service accepted.

use k8s_openapi::api::core::v1::LocalObjectReference;
use wfe_crds::workflow_execution::{
    BlockClearance, ClearMethod, MAX_NAME_CHARS, MAX_TEXT_CHARS, Phase, WorkflowExecutionStatus,
};
use wfe_proto::v1::{self, State};

use super::{
    Frame,
    conditions::{End, Outline, Run, conditions},
    duration, failure, progress,
    times::{Times, moment, whole, whole_after},
    words::{self, Word},
};
use crate::{
    request::Holder,
    text::{fit, some_fit},
};

/// The status that shows `execution`.
pub(super) fn status(
    execution: &v1::Execution,
    holder: Option<&Holder>,
    frame: &Frame<'_>,
) -> WorkflowExecutionStatus {
    let state = execution.state();
    let run = existing_run(execution);
    let times = Times::of(execution, run.is_some(), frame);
    let took = times.started.map(|started| duration::go(times.ended.duration_since(started)));
    let mut status = WorkflowExecutionStatus {
        observed_generation: Some(frame.generation),
        phase: Some(phase(state, run.is_some())),
        start_time: times.started.map(whole),
        execution_id: some_fit(&execution.id, MAX_NAME_CHARS),
        execution_revision: Some(revision(execution, frame)),
        execution_ref: run
            .and_then(|run| some_fit(&run.name, MAX_NAME_CHARS))
            .map(|name| LocalObjectReference { name }),
        ..WorkflowExecutionStatus::default()
    };
    let (word, end, gate) = match state {
        State::Succeeded | State::Failed | State::Cancelled => {
            status.completion_time = Some(whole(times.ended));
            status.duration.clone_from(&took);
            status.block_clearance = execution.clearance.as_ref().map(clearance);
            let (word, end) = over(execution, took, &times, &mut status);
            (word, end, super::conditions::Gate::Open)
        }
        State::Unspecified
        | State::Waiting
        | State::Starting
        | State::Running
        | State::Cancelling => {
            let (word, gate) = words::unfinished(execution, holder);
            (word, End::NotYet, gate)
        }
    };
    if run.is_some() {
        let progress = execution.progress.as_ref();
        status.execution_status = Some(progress::execution_status(progress, &end.verdict()));
    }
    status.cooldown_until = cooldown_until(execution);
    let run = match run.map(words::run_name) {
        None => Run::None,
        Some(run) if end == End::NotYet => Run::Alive(run),
        Some(run) => Run::Over(run),
    };
    status.conditions = conditions(&Outline { word, end, run, gate, times }, frame);
    status
}

fn over(
    execution: &v1::Execution,
    took: Option<String>,
    times: &Times,
    status: &mut WorkflowExecutionStatus,
) -> (Word, End) {
    if execution.state() == State::Succeeded {
        let run = execution.run.as_ref().map_or_else(|| "It".to_owned(), words::run_name);
        let took = took.map(|took| format!(" in {took}")).unwrap_or_default();
        let succeeded = wfe_crds::names::condition::reason::EXECUTION_SUCCEEDED;
        return (Word::new(succeeded, format!("{run} succeeded{took}.")), End::Success);
    }
    let failed = failure::of(execution, took, times);
    status.failure_reason = Some(failed.details.reason.to_string());
    status.failure_details = Some(failed.details);
    (failed.word, failed.end)
}

fn clearance(clearance: &v1::Clearance) -> BlockClearance {
    let actor = clearance.actor.clone().unwrap_or_default();
    BlockClearance {
        cleared_at: clearance.clear_time.as_ref().and_then(moment).map(whole),
        cleared_by: fit(words::person(&actor).unwrap_or_default(), MAX_TEXT_CHARS),
        clear_reason: fit(&clearance.reason, MAX_TEXT_CHARS),
        // Nobody but the bridge acts for somebody, and it does so for those who ask in the status.
        clear_method: match actor.on_behalf_of {
            Some(_) => ClearMethod::StatusField,
            None => ClearMethod::ApiEndpoint,
        },
    }
}

fn phase(state: State, has_run: bool) -> Phase {
    match state {
        State::Running => Phase::Running,
        // Stopped before its run came to be, it never runs.
        State::Cancelling | State::Unspecified if has_run => Phase::Running,
        State::Waiting | State::Starting | State::Cancelling | State::Unspecified => Phase::Pending,
        State::Succeeded => Phase::Completed,
        State::Failed | State::Cancelled => Phase::Failed,
    }
}

/// The run, once it exists: before that its name is only planned.
fn existing_run(execution: &v1::Execution) -> Option<&v1::Run> {
    let certain = match execution.state() {
        State::Running | State::Succeeded => true,
        State::Unspecified
        | State::Waiting
        | State::Starting
        | State::Cancelling
        | State::Failed
        | State::Cancelled => false,
    };
    execution.run.as_ref().filter(|run| certain || !run.uid.is_empty())
}

fn cooldown_until(
    execution: &v1::Execution,
) -> Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time> {
    let waiting = execution.waiting.as_ref().filter(|_| execution.state() == State::Waiting)?;
    let opens_by_time = matches!(waiting.gate(), v1::Gate::Cooldown | v1::Gate::Backoff);
    waiting.until.as_ref().filter(|_| opens_by_time).and_then(moment).map(whole_after)
}

/// The revision that is shown. It never falls, also when the records of the service were set back.
fn revision(execution: &v1::Execution, frame: &Frame<'_>) -> i64 {
    let before = frame
        .previous
        .filter(|before| before.execution_id.as_deref() == Some(execution.id.as_str()))
        .and_then(|before| before.execution_revision);
    execution.revision.max(before.unwrap_or(0)).max(0)
}
