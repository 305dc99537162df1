//! How far a run is.

use wfe_crds::workflow_execution::{ConditionStatus, ExecutionStatus, MAX_TEXT_CHARS};
use wfe_proto::v1::{self, TaskState};

use crate::text::some_fit;

/// What Tekton says about a run. `verdict` is whether it succeeded.
pub(super) fn execution_status(
    progress: Option<&v1::Progress>,
    verdict: &ConditionStatus,
) -> ExecutionStatus {
    let Some(progress) = progress else {
        return ExecutionStatus { status: verdict.clone(), ..ExecutionStatus::default() };
    };
    let retries =
        progress.tasks.iter().map(|task| i64::from(task.attempts.max(1)) - 1).sum::<i64>();
    ExecutionStatus {
        status: verdict.clone(),
        reason: some_fit(&progress.reason, MAX_TEXT_CHARS),
        message: some_fit(&progress.message, MAX_TEXT_CHARS),
        completed_tasks: Some(progress.succeeded.max(0).into()),
        total_tasks: Some(progress.total.max(0).into()),
        retry_count: i32::try_from(retries).ok().filter(|retries| *retries > 0),
    }
}

/// Place of a task in its pipeline, from 0; 0 also when it is not known.
pub(super) fn task_index(progress: Option<&v1::Progress>, name: &str) -> i64 {
    let mut tasks = progress.into_iter().flat_map(|progress| &progress.tasks);
    let index = tasks.position(|task| !name.is_empty() && task.name == name);
    index.and_then(|index| i64::try_from(index).ok()).unwrap_or(0)
}

/// Whether a step has started, so that the target may have been changed.
pub(super) fn has_acted(progress: Option<&v1::Progress>) -> bool {
    // A server of before that field shows it by its steps alone.
    let shows = |progress: &v1::Progress| {
        progress.tasks.iter().flat_map(|task| &task.steps).any(|step| {
            step.start_time.is_some()
                || matches!(step.state(), TaskState::Running | TaskState::Succeeded)
        })
    };
    progress.is_some_and(|progress| progress.step_started || shows(progress))
}
