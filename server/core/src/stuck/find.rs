//! What of the facts says that a run waits.

use super::{StuckOn, Wait};
use crate::{
    facts::{Condition, ContainerState, RunFacts, Status, StepFacts, TaskRunFacts},
    progress::{MAX_MESSAGE_BYTES, MAX_NAME_BYTES, TaskProgress, TaskState, shorten},
    veil::Veil,
};

/// Tekton's own form of the first condition of a pod that does not hold; the scheduler says this one.
const NOT_SCHEDULED: &str = "pod status \"PodScheduled\":\"False\"";

/// What a run waits for, told without what `veil` hides. Nothing while any part of it runs: what runs may
/// be what the rest waits for.
pub(crate) fn find(
    run: &RunFacts,
    task_runs: &[TaskRunFacts],
    tasks: &[TaskProgress],
    veil: &Veil,
) -> Option<Wait> {
    if run.is_live()
        && let Some(abandoned) = task_runs.iter().find(|task| task.is_abandoned())
    {
        let message =
            format!("TaskRun {} is being deleted, and finalizers hold it", abandoned.name);
        return Some(deleted(&abandoned.pipeline_task, &abandoned.name, &message, veil));
    }
    if !run.is_live() || tasks.iter().any(|task| task.state == TaskState::Running) {
        return None;
    }
    let mut live: Vec<&TaskRunFacts> = task_runs.iter().filter(|task| task.is_live()).collect();
    live.sort_by(|a, b| a.name.cmp(&b.name));
    // What is told of one task says more than that another does not start.
    (live.iter().find_map(|task| of_task_run(task, veil)))
        .or_else(|| of_run(run, veil))
        .or_else(|| gone(run, task_runs, veil))
        .or_else(|| live.iter().find_map(|task| not_started(task, veil)))
        .or_else(|| not_made(run, task_runs, tasks, veil))
}

/// A TaskRun that the run made is gone, and no other goes on. When what came after it had ended too, Tekton
/// does not make it again, and does nothing else either.
fn gone(run: &RunFacts, task_runs: &[TaskRunFacts], veil: &Veil) -> Option<Wait> {
    // What is not a TaskRun is not watched, and may go on.
    let goes_on = task_runs.iter().any(TaskRunFacts::is_live) || run.has_foreign_parts();
    if goes_on {
        return None;
    }
    let mut made = run.children.iter();
    let gone = made.find(|child| !task_runs.iter().any(|task| task.name == child.name))?;
    let message = format!("TaskRun {} was deleted, and Tekton does not make it again", gone.name);
    Some(deleted(&gone.pipeline_task, &gone.name, &message, veil))
}

fn deleted(task: &str, task_run: &str, message: &str, veil: &Veil) -> Wait {
    Wait {
        on: StuckOn::Deleted,
        task: Some(shorten(task, MAX_NAME_BYTES)),
        task_run: Some(shorten(task_run, MAX_NAME_BYTES)),
        step: None,
        raw_reason: "TaskRunDeleted".to_owned(),
        message: veil.tell(message, MAX_MESSAGE_BYTES),
        began: None,
    }
}

fn of_run(run: &RunFacts, veil: &Veil) -> Option<Wait> {
    let condition = run.condition.as_ref()?;
    (resolving(&condition.reason) && !is_resolved(run)).then(|| Wait {
        on: StuckOn::Resolution,
        task: None,
        task_run: None,
        step: None,
        raw_reason: veil.tell(&condition.reason, MAX_NAME_BYTES),
        message: veil.tell(&condition.message, MAX_MESSAGE_BYTES),
        began: None,
    })
}

/// Whether what is said of the fetching of its pipeline is old: Tekton goes on to say so while it cannot make
/// the first TaskRun.
fn is_resolved(run: &RunFacts) -> bool {
    let reason = run.condition.as_ref().map(|condition| condition.reason.as_str());
    reason == Some("ResolvingPipelineRef") && run.tasks.is_some()
}

/// The next task is due, and there is no TaskRun of it: Tekton has not looked at the run, or tries for ever
/// what a quota or a right refuses, and tells only events.
fn not_made(
    run: &RunFacts,
    task_runs: &[TaskRunFacts],
    tasks: &[TaskProgress],
    veil: &Veil,
) -> Option<Wait> {
    let (reason, message) = (run.condition.as_ref())
        .map_or(("", ""), |condition| (condition.reason.as_str(), condition.message.as_str()));
    let is_due = tasks.is_empty() || tasks.iter().any(|task| task.state == TaskState::Pending);
    let known = |name: &str| task_runs.iter().any(|task| task.name == name && !task.is_live());
    let goes_on = task_runs.iter().any(TaskRunFacts::is_live)
        || !run.children.iter().all(|child| known(&child.name));
    if goes_on || !is_due || !(matches!(reason, "" | "Started" | "Running") || is_resolved(run)) {
        return None;
    }
    let message = if is_resolved(run) { "" } else { message };
    Some(Wait {
        on: StuckOn::TaskStart,
        task: None,
        task_run: None,
        step: None,
        raw_reason: veil.tell(reason, MAX_NAME_BYTES),
        message: veil.tell(message, MAX_MESSAGE_BYTES),
        began: task_runs.iter().filter_map(|task| task.completed_at).max(),
    })
}

/// A task whose pod is there, or is to be made, and of which Tekton knows nothing worse.
fn not_started(task: &TaskRunFacts, veil: &Veil) -> Option<Wait> {
    let condition = task.condition.as_ref();
    let (reason, message) =
        condition.map_or(("", ""), |condition| (&condition.reason, &condition.message));
    matches!(reason, "" | "Started" | "Pending").then(|| Wait {
        on: StuckOn::TaskStart,
        task: Some(shorten(&task.pipeline_task, MAX_NAME_BYTES)),
        task_run: Some(shorten(&task.name, MAX_NAME_BYTES)),
        step: None,
        raw_reason: veil.tell(reason, MAX_NAME_BYTES),
        message: veil.tell(message, MAX_MESSAGE_BYTES),
        began: task.started_at,
    })
}

fn of_task_run(task: &TaskRunFacts, veil: &Veil) -> Option<Wait> {
    let condition = task.condition.as_ref().filter(|c| c.status == Status::Unknown)?;
    let step = task.steps.iter().find_map(waiting);
    let on = step.map(|step| step.on).or_else(|| told(condition))?;
    let (raw_reason, message) = match step {
        Some(step) => (step.reason, step.message),
        None => (condition.reason.as_str(), condition.message.as_str()),
    };
    Some(Wait {
        on,
        task: Some(shorten(&task.pipeline_task, MAX_NAME_BYTES)),
        task_run: Some(shorten(&task.name, MAX_NAME_BYTES)),
        step: step.map(|step| shorten(step.name, MAX_NAME_BYTES)),
        raw_reason: veil.tell(raw_reason, MAX_NAME_BYTES),
        message: veil.tell(message, MAX_MESSAGE_BYTES),
        began: None,
    })
}

#[derive(Clone, Copy)]
struct WaitingStep<'a> {
    on: StuckOn,
    name: &'a str,
    reason: &'a str,
    message: &'a str,
}

fn waiting(step: &StepFacts) -> Option<WaitingStep<'_>> {
    let ContainerState::Waiting { reason, message } = &step.state else { return None };
    let on = match reason.as_str() {
        "ErrImagePull"
        | "ImagePullBackOff"
        | "InvalidImageName"
        | "ErrImageNeverPull"
        | "ImageInspectError"
        | "RegistryUnavailable"
        | "SignatureValidationFailed" => StuckOn::ImagePull,
        "CreateContainerConfigError" | "CreateContainerError" => StuckOn::ContainerConfig,
        _ => return None,
    };
    Some(WaitingStep { on, name: &step.name, reason, message })
}

/// What the condition of a TaskRun says where its steps say nothing.
fn told(condition: &Condition) -> Option<StuckOn> {
    match condition.reason.as_str() {
        "PullImageFailed" => Some(StuckOn::ImagePull),
        "ExceededResourceQuota" => Some(StuckOn::Quota),
        "ExceededNodeResources" => Some(StuckOn::Scheduling),
        "CreateContainerConfigError" => Some(StuckOn::ContainerConfig),
        "Pending" if condition.message.starts_with(NOT_SCHEDULED) => {
            Some(if lacks_a_volume(&condition.message) {
                StuckOn::Volume
            } else {
                StuckOn::Scheduling
            })
        }
        reason => resolving(reason).then_some(StuckOn::Resolution),
    }
}

/// Whether the scheduler says it of a claim. It has words alone for that; names cannot have such in them.
fn lacks_a_volume(message: &str) -> bool {
    let quoted = message.replace("\\\"", "\"");
    quoted.contains("unbound immediate PersistentVolumeClaims")
        || quoted.split_once("persistentvolumeclaim \"").is_some_and(|(_, claim)| {
            claim.split_once('"').is_some_and(|(_, rest)| rest.starts_with(" not found"))
        })
}

fn resolving(reason: &str) -> bool {
    matches!(reason, "ResolvingPipelineRef" | "ResolvingTaskRef" | "ResolvingStepActionRef")
}
