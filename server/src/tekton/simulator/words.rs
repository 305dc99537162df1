//! Tekton's own reasons and messages, in the form of release 1.15.

use wfe_core::{
    execution::CancelMode,
    facts::{Condition, ContainerState, RunFacts, Skipped, Status},
};

use super::graph::{Obstacle, STEP};

pub(super) fn condition(status: Status, reason: &str, message: String) -> Condition {
    Condition { status, reason: reason.to_owned(), message }
}

pub(super) fn resolving(namespace: &str, run: &str) -> Condition {
    let message = format!("PipelineRun {namespace}/{run} awaiting remote resource");
    condition(Status::Unknown, "ResolvingPipelineRef", message)
}

pub(super) fn bundle_missing(namespace: &str, run: &str, bundle: &str) -> Condition {
    let message = format!(
        "Error retrieving pipeline for pipelinerun {namespace}/{run}: resolver failed to get Pipeline : \
         error requesting remote resource: error getting \"bundleresolver\" \"{namespace}/bundles\": \
         cannot retrieve the oci image: GET {bundle}: NAME_UNKNOWN: Unknown name"
    );
    condition(Status::False, "CouldntGetPipeline", message)
}

/// A task that is not begun: since another one failed, or was stopped, or since `wish` says so.
pub(super) fn skipped(task: &str, wish: Option<CancelMode>) -> Skipped {
    let reason = match wish {
        None | Some(CancelMode::Immediate) => "PipelineRun was stopping",
        Some(CancelMode::RunFinally) => "PipelineRun was gracefully cancelled",
        Some(CancelMode::StopAndFinally) => "PipelineRun was gracefully stopped",
    };
    Skipped { task: task.to_owned(), reason: reason.to_owned() }
}

pub(super) fn wrong_parameters(namespace: &str, run: &str, parameters: &str) -> Condition {
    let message = format!(
        "PipelineRun {namespace}/{run} parameters have invalid value: {parameters} is not in the \
         allowed enum list"
    );
    condition(Status::False, "InvalidParamValue", message)
}

pub(super) fn denied(parameters: &str) -> String {
    format!("admission webhook \"runs.policy.example\" denied the request: {parameters}")
}

/// Tasks of a run, counted as Tekton counts them.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) succeeded: usize,
    pub(super) failed: usize,
    pub(super) cancelled: usize,
    pub(super) incomplete: usize,
    pub(super) skipped: usize,
}

impl Counts {
    fn completed(self) -> String {
        format!(
            "Tasks Completed: {} (Failed: {}, Cancelled {})",
            self.succeeded + self.failed + self.cancelled,
            self.failed,
            self.cancelled,
        )
    }

    pub(super) fn going(self, reason: &str) -> Condition {
        let (incomplete, skipped) = (self.incomplete, self.skipped);
        let message = format!("{}, Incomplete: {incomplete}, Skipped: {skipped}", self.completed());
        condition(Status::Unknown, reason, message)
    }

    /// A run that was asked to end after its finally tasks is cancelled, however well they went.
    pub(super) fn over(self, asked: bool) -> Condition {
        let message = format!("{}, Skipped: {}", self.completed(), self.skipped);
        match self {
            Self { failed: 1.., .. } => condition(Status::False, "Failed", message),
            _ if asked => condition(Status::False, "Cancelled", message),
            Self { cancelled: 1.., .. } => condition(Status::False, "Cancelled", message),
            Self { skipped: 1.., .. } => condition(Status::True, "Completed", message),
            _ => condition(Status::True, "Succeeded", message),
        }
    }
}

pub(super) fn run_cancelled(run: &str) -> Condition {
    let message = format!("PipelineRun {run:?} was cancelled");
    condition(Status::False, "Cancelled", message)
}

pub(super) fn run_timed_out(run: &str, timeout: &str) -> Condition {
    let message = format!("PipelineRun {run:?} failed to finish within {timeout:?}");
    condition(Status::False, "PipelineRunTimeout", message)
}

pub(super) fn task_pending() -> Condition {
    condition(Status::Unknown, "Pending", "Pending".to_owned())
}

pub(super) fn task_running() -> Condition {
    let message = "Not all Steps in the Task have finished executing".to_owned();
    condition(Status::Unknown, "Running", message)
}

/// A failed attempt, and another one is to come.
pub(super) fn task_retried(failed: &Condition) -> Condition {
    condition(Status::Unknown, "ToBeRetried", failed.message.clone())
}

/// What the kubelet says of an image that it cannot pull.
pub(super) fn back_off() -> String {
    "Back-off pulling image \"simulated.example/step\"".to_owned()
}

pub(super) fn task_pulling() -> Condition {
    let message = format!("build step \"step-{STEP}\" is pending with reason {:?}", back_off());
    condition(Status::Unknown, "PullImageFailed", message)
}

/// What the kubelet says of an image while it still tries.
pub(super) fn pull_error() -> String {
    "failed to pull image \"simulated.example/step\": not found".to_owned()
}

pub(super) fn task_waits(obstacle: Obstacle) -> Condition {
    let (reason, message) = match obstacle {
        Obstacle::Image => (
            "PullImageFailed",
            format!("build step \"step-{STEP}\" is pending with reason {:?}", pull_error()),
        ),
        Obstacle::Node => {
            ("ExceededNodeResources", "TaskRun Pod exceeded available resources".to_owned())
        }
        Obstacle::Quota => (
            "ExceededResourceQuota",
            "TaskRun Pod exceeded available resources: exceeded quota".to_owned(),
        ),
    };
    condition(Status::Unknown, reason, message)
}

pub(super) fn task_succeeded() -> Condition {
    let message = "All Steps have completed executing".to_owned();
    condition(Status::True, "Succeeded", message)
}

pub(super) fn step_failed(reason: &str, exit_code: i32, why: &str) -> Condition {
    let message = format!("\"step-{STEP}\" exited with code {exit_code}: {why}");
    condition(Status::False, reason, message)
}

pub(super) fn image_pull_failed(task_run: &str) -> Condition {
    let message = format!(
        "the step \"{STEP}\" in TaskRun {task_run:?} failed to pull the image \"\". \
         The pod errored with the message: \"{}.\"",
        back_off()
    );
    condition(Status::False, "TaskRunImagePullFailed", message)
}

/// Why a TaskRun is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StopCause {
    /// Somebody stopped the TaskRun itself.
    Itself,
    /// Its run was cancelled.
    RunCancelled,
    /// Its run took too long.
    RunTimedOut,
}

pub(super) fn task_cancelled(
    task_run: &str,
    cause: StopCause,
    before: Option<&Condition>,
) -> Condition {
    let cause = match cause {
        StopCause::Itself => "",
        StopCause::RunCancelled => {
            "TaskRun cancelled as the PipelineRun it belongs to has been cancelled."
        }
        StopCause::RunTimedOut => {
            "TaskRun cancelled as the PipelineRun it belongs to has timed out."
        }
    };
    let before = before.filter(|before| !matches!(before.reason.as_str(), "Started" | "Running"));
    let before = before.map_or_else(String::new, |before| {
        format!("\nPrevious status: [{}] {}", before.reason, before.message)
    });
    let message = format!("TaskRun {task_run:?} was cancelled. {cause}{before}");
    condition(Status::False, "TaskRunCancelled", message)
}

/// Tekton rewrites the steps of a TaskRun that it stops: exit code 1, and its own reason.
pub(super) fn stopped_step(
    state: &ContainerState,
    reason: &str,
    at: jiff::Timestamp,
) -> ContainerState {
    let started_at = match state {
        ContainerState::Unknown | ContainerState::Terminated { .. } => return state.clone(),
        ContainerState::Waiting { .. } => None,
        ContainerState::Running { started_at } => *started_at,
    };
    ContainerState::Terminated {
        exit_code: 1,
        reason: reason.to_owned(),
        started_at,
        ended_at: Some(at),
    }
}

/// Whether Tekton counts the TaskRun as cancelled: one that was stopped for a time-out has failed.
pub(super) fn counts_as_cancelled(condition: &Condition) -> bool {
    condition.reason == "TaskRunCancelled" && !condition.message.contains("has timed out")
}

/// Ends a run.
pub(super) fn end(run: &mut RunFacts, condition: Condition, at: jiff::Timestamp) {
    run.condition = Some(condition);
    run.started_at.get_or_insert(at);
    run.completed_at = Some(at);
}
