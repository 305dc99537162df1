//! What an execution that had to stop ends as, once nothing of its run is alive: what really happened.

use jiff::Timestamp;

use super::{Move, cancelled, failed, precise, succeeded};
use crate::{
    execution::{CreatedRun, RunRef, Stop},
    failure::{Failure, FailureReason},
    observe::RunEnd,
    progress::Progress,
};

pub(super) fn quiet(
    run: &RunRef,
    stop: &Stop,
    end: Option<RunEnd>,
    progress: Option<Progress>,
    now: Timestamp,
) -> Option<Move> {
    let run = match (run.clone(), progress) {
        (RunRef::Created(run), Some(progress)) => RunRef::Created(CreatedRun { progress, ..run }),
        (run, _) => run,
    };
    let late = match stop {
        Stop::Requested(cancellation) => Some(cancellation.clone()),
        Stop::Deadline { .. } => None,
    };
    match (end, run, stop) {
        (Some(RunEnd::Succeeded { at }), RunRef::Created(run), _) => succeeded(run, late, at, now),
        // A run that was never seen cannot have ended well.
        (Some(RunEnd::Succeeded { .. }), RunRef::Planned(_), _) => None,
        (Some(RunEnd::Failed(failure)), run, Stop::Requested(_)) => {
            let created_at = run.created().map_or(failure.at, |run| run.created_at);
            let at = precise(failure.at, created_at, now);
            failed(Some(run), failure, late, at)
        }
        // What failed by itself meanwhile is what really happened.
        (Some(RunEnd::Failed(failure)), run, Stop::Deadline { stuck: Some(stuck), .. }) => {
            let failure = match failure.reason {
                FailureReason::DeadlineExceeded | FailureReason::Unknown => {
                    Failure::stuck(stuck, failure.was_execution_failure, failure.started_at, now)
                }
                FailureReason::TaskFailed
                | FailureReason::OomKilled
                | FailureReason::Forbidden
                | FailureReason::ResourceExhausted
                | FailureReason::ConfigurationError
                | FailureReason::ImagePullBackOff => failure,
            };
            failed(Some(run), failure, None, now)
        }
        (Some(RunEnd::Cancelled { ran }), run, Stop::Deadline { stuck: Some(stuck), .. }) => {
            let started_at = run.created().map(|run| run.created_at);
            failed(Some(run), Failure::stuck(stuck, ran, started_at, now), None, now)
        }
        (None, run, Stop::Deadline { stuck: Some(stuck), .. }) => {
            let created = run.created();
            let ran = created.is_some_and(|run| run.progress.ran());
            let started_at = created.map(|run| run.created_at);
            failed(Some(run), Failure::stuck(stuck, ran, started_at, now), None, now)
        }
        (Some(RunEnd::Failed(failure)), run, Stop::Deadline { .. }) => {
            // Stopped by the deadline, whatever Tekton calls it; what the steps did is kept.
            let failure = Failure {
                reason: FailureReason::DeadlineExceeded,
                summary: Failure::deadline("its run was stopped").summary,
                ..failure
            };
            failed(Some(run), failure, None, now)
        }
        (Some(RunEnd::Cancelled { ran }), run, Stop::Deadline { .. }) => {
            let failure =
                Failure { was_execution_failure: ran, ..Failure::deadline("its run was stopped") };
            failed(Some(run), failure, None, now)
        }
        (None, RunRef::Created(run), Stop::Deadline { .. }) => {
            let failure = Failure {
                was_execution_failure: run.progress.ran(),
                ..Failure::deadline("its run was stopped")
            };
            failed(Some(RunRef::Created(run)), failure, None, now)
        }
        (None, run @ RunRef::Planned(_), Stop::Deadline { obstacle, .. }) => {
            let why = obstacle.as_deref().unwrap_or("it was not there yet");
            let failure = Failure::deadline(&format!("its run was being created ({why})"));
            failed(Some(run), failure, None, now)
        }
        (Some(RunEnd::Cancelled { .. }) | None, run, Stop::Requested(cancellation)) => {
            cancelled(Some(run), cancellation.clone(), now)
        }
    }
}
