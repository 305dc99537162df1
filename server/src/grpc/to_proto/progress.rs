//! How far a run is, as a message.

use wfe_core::progress::{Progress, StepProgress, TaskProgress, TaskState};
use wfe_proto::v1;

use super::{count, timestamp};

/// The progress of a run, unless nothing of it was seen yet.
pub(super) fn seen(progress: &Progress) -> Option<v1::Progress> {
    if *progress == Progress::default() {
        return None;
    }
    let step_started = progress.ran();
    let Progress {
        total,
        succeeded,
        failed,
        skipped,
        tasks,
        reason,
        message,
        stuck: _,
        ran_before: _,
    } = progress;
    Some(v1::Progress {
        total: count(*total),
        succeeded: count(*succeeded),
        failed: count(*failed),
        skipped: count(*skipped),
        tasks: tasks.iter().map(task).collect(),
        reason: reason.clone(),
        message: message.clone(),
        step_started,
    })
}

fn task(task: &TaskProgress) -> v1::TaskProgress {
    let TaskProgress { name, state, task_run, started_at, ended_at, attempts, steps, reason } =
        task;
    v1::TaskProgress {
        name: name.clone(),
        state: task_state(*state).into(),
        task_run: task_run.clone().unwrap_or_default(),
        start_time: started_at.map(timestamp),
        end_time: ended_at.map(timestamp),
        attempts: count(*attempts),
        steps: steps.iter().map(step).collect(),
        reason: reason.clone(),
    }
}

fn step(step: &StepProgress) -> v1::StepProgress {
    let StepProgress { name, state, started_at, ended_at, exit_code, reason } = step;
    v1::StepProgress {
        name: name.clone(),
        state: task_state(*state).into(),
        start_time: started_at.map(timestamp),
        end_time: ended_at.map(timestamp),
        exit_code: *exit_code,
        reason: reason.clone(),
    }
}

fn task_state(state: TaskState) -> v1::TaskState {
    match state {
        TaskState::Pending => v1::TaskState::Pending,
        TaskState::Running => v1::TaskState::Running,
        TaskState::Succeeded => v1::TaskState::Succeeded,
        TaskState::Failed => v1::TaskState::Failed,
        TaskState::Skipped => v1::TaskState::Skipped,
        TaskState::Cancelled => v1::TaskState::Cancelled,
    }
}
