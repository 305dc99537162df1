//! What a run waits for without running: recognised while it lasts, and for how long it is borne.
//!
//! Tekton gives some of these waits up by itself and others never. Here they are told apart by the
//! reasons of TaskRuns and of waiting containers; how long each may last is policy.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    facts::{Condition, ContainerState, RunFacts, Status, StepFacts, TaskRunFacts},
    failure::FailureReason,
    gates::later,
    progress::{MAX_MESSAGE_BYTES, MAX_NAME_BYTES, Progress, TaskProgress, TaskState, shorten},
    veil::Veil,
};

/// What a run can wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StuckOn {
    /// The workflow, or a part of it, is not fetched.
    Resolution,
    /// An image cannot be pulled.
    ImagePull,
    /// A quota leaves no room.
    Quota,
    /// No node takes the pod.
    Scheduling,
    /// A container cannot be made from its definition.
    ContainerConfig,
    /// A TaskRun was deleted from outside, and Tekton does not make it again.
    Deleted,
}

impl StuckOn {
    /// Each of them.
    pub const ALL: [Self; 6] = [
        Self::Resolution,
        Self::ImagePull,
        Self::Quota,
        Self::Scheduling,
        Self::ContainerConfig,
        Self::Deleted,
    ];

    /// The class of the failure when it has lasted too long.
    pub const fn failure(self) -> FailureReason {
        match self {
            // Nobody knows whether the workflow is right, or who deleted something, and why.
            Self::Resolution | Self::Deleted => FailureReason::Unknown,
            Self::ImagePull => FailureReason::ImagePullBackOff,
            Self::Quota | Self::Scheduling => FailureReason::ResourceExhausted,
            Self::ContainerConfig => FailureReason::ConfigurationError,
        }
    }
}

/// How long each wait is borne.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// See [`StuckOn::Resolution`].
    pub resolution: Duration,
    /// See [`StuckOn::ImagePull`].
    pub image_pull: Duration,
    /// See [`StuckOn::Quota`].
    pub quota: Duration,
    /// See [`StuckOn::Scheduling`].
    pub scheduling: Duration,
    /// See [`StuckOn::ContainerConfig`].
    pub container_config: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            resolution: Duration::from_mins(5),
            image_pull: Duration::from_mins(5),
            quota: Duration::from_mins(10),
            scheduling: Duration::from_mins(10),
            container_config: Duration::from_mins(5),
        }
    }
}

impl Patience {
    /// How long this wait is borne.
    pub const fn with(&self, stuck: StuckOn) -> Duration {
        match stuck {
            StuckOn::Resolution => self.resolution,
            StuckOn::ImagePull => self.image_pull,
            StuckOn::Quota => self.quota,
            StuckOn::Scheduling => self.scheduling,
            StuckOn::ContainerConfig => self.container_config,
            StuckOn::Deleted => DELETED_PATIENCE,
        }
    }

    /// When a wait that lasts is at its end.
    pub fn end(&self, stuck: &Stuck) -> Timestamp {
        later(stuck.since, self.with(stuck.wait.on))
    }
}

/// A wait, as it is seen at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// For what.
    pub on: StuckOn,
    /// The task that waits, by its name in the pipeline; `None` when it is the run.
    pub task: Option<String>,
    /// The TaskRun of it.
    pub task_run: Option<String>,
    /// The step whose container waits, when that is known.
    pub step: Option<String>,
    /// The reason as Tekton or the kubelet said it.
    pub raw_reason: String,
    /// What they said, shortened.
    pub message: String,
}

/// A wait that lasts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stuck {
    /// What it waits for.
    pub wait: Wait,
    /// Since when it was seen to.
    pub since: Timestamp,
}

impl Stuck {
    /// Takes a wait that is seen `now`. One for the same thing goes on from when it began.
    pub fn noted(wait: Wait, before: Option<&Self>, now: Timestamp) -> Self {
        let goes_on =
            before.filter(|before| before.wait.on == wait.on && before.wait.task == wait.task);
        let since = goes_on.map_or(now, |before| before.since);
        Self { wait, since }
    }
}

impl Wait {
    /// Whether this is a wait, for a run that was last seen as `before`. A TaskRun that was never seen is one
    /// of which the watch has not told yet, rather than one that was deleted.
    pub fn is_certain(&self, before: &Progress) -> bool {
        let known = |task: &TaskProgress| Some(&task.name) == self.task.as_ref();
        match self.on {
            StuckOn::Resolution
            | StuckOn::ImagePull
            | StuckOn::Quota
            | StuckOn::Scheduling
            | StuckOn::ContainerConfig => true,
            StuckOn::Deleted => {
                let noted = before.stuck.as_ref().map(|stuck| &stuck.wait);
                noted.is_some_and(|wait| wait.on == self.on && wait.task == self.task)
                    || before.tasks.iter().any(|task| known(task) && task.task_run.is_some())
            }
        }
    }

    /// Until when this is what every run does; from then on it is worth telling. `created_at` is that of
    /// the run.
    pub fn is_normal_until(&self, created_at: Timestamp) -> Timestamp {
        match self.on {
            StuckOn::Resolution => later(created_at, NORMAL_RESOLUTION),
            StuckOn::ImagePull
            | StuckOn::Quota
            | StuckOn::Scheduling
            | StuckOn::ContainerConfig
            | StuckOn::Deleted => created_at,
        }
    }

    /// What it waits for, for a person.
    pub fn sentence(&self) -> String {
        let task = match &self.task {
            Some(task) => format!("task {task}"),
            None => "the run".to_owned(),
        };
        let what = match self.on {
            StuckOn::Resolution => format!("{task} waits until its definition is fetched"),
            StuckOn::ImagePull => format!("{task} waits for an image that cannot be pulled"),
            StuckOn::Quota => format!("{task} waits for room in a quota"),
            StuckOn::Scheduling => format!("{task} waits for a node that takes its pod"),
            StuckOn::ContainerConfig => {
                format!("{task} waits for a container that cannot be made")
            }
            StuckOn::Deleted => format!("{task} waits for a TaskRun that was deleted from outside"),
        };
        let text = match self.message.as_str() {
            "" => format!("{what} ({})", self.raw_reason),
            message => format!("{what} ({}: {message})", self.raw_reason),
        };
        shorten(&text, MAX_MESSAGE_BYTES)
    }
}

/// Every run begins with the fetching of its definition, which takes seconds.
const NORMAL_RESOLUTION: Duration = Duration::from_secs(10);

/// Tekton makes most of what was deleted again at once, and the rest never.
const DELETED_PATIENCE: Duration = Duration::from_mins(1);

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
    live.into_iter()
        .find_map(|task| of_task_run(task, veil))
        .or_else(|| of_run(run, veil))
        .or_else(|| gone(run, task_runs, veil))
}

/// A TaskRun that the run made is gone, and no other goes on. When what came after it had ended too, Tekton
/// does not make it again, and does nothing else either.
fn gone(run: &RunFacts, task_runs: &[TaskRunFacts], veil: &Veil) -> Option<Wait> {
    // What is not a TaskRun is not watched, and may go on.
    let goes_on = task_runs.iter().any(TaskRunFacts::is_live)
        || run.children.iter().any(|child| child.kind != "TaskRun");
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
    }
}

fn of_run(run: &RunFacts, veil: &Veil) -> Option<Wait> {
    let condition = run.condition.as_ref()?;
    resolving(&condition.reason).then(|| Wait {
        on: StuckOn::Resolution,
        task: None,
        task_run: None,
        step: None,
        raw_reason: veil.tell(&condition.reason, MAX_NAME_BYTES),
        message: veil.tell(&condition.message, MAX_MESSAGE_BYTES),
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
        // Tekton's own form of the first condition of the pod that does not hold.
        "Pending" if condition.message.starts_with("pod status \"PodScheduled\":\"False\"") => {
            Some(StuckOn::Scheduling)
        }
        reason => resolving(reason).then_some(StuckOn::Resolution),
    }
}

fn resolving(reason: &str) -> bool {
    matches!(reason, "ResolvingPipelineRef" | "ResolvingTaskRef" | "ResolvingStepActionRef")
}

#[cfg(test)]
mod tests;
