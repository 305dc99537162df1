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
    progress::{MAX_MESSAGE_BYTES, MAX_NAME_BYTES, TaskProgress, TaskState, shorten},
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
    /// A claim for a volume does not exist, or has no volume.
    Volume,
    /// A container cannot be made from its definition.
    ContainerConfig,
    /// A task does not start, and nobody says why.
    TaskStart,
}

impl StuckOn {
    /// Each of them.
    pub const ALL: [Self; 7] = [
        Self::Resolution,
        Self::ImagePull,
        Self::Quota,
        Self::Scheduling,
        Self::Volume,
        Self::ContainerConfig,
        Self::TaskStart,
    ];

    /// The class of the failure when it has lasted too long.
    pub const fn failure(self) -> FailureReason {
        match self {
            // Nobody knows whether the workflow is right.
            Self::Resolution | Self::TaskStart => FailureReason::Unknown,
            Self::ImagePull => FailureReason::ImagePullBackOff,
            Self::Quota | Self::Scheduling => FailureReason::ResourceExhausted,
            Self::Volume | Self::ContainerConfig => FailureReason::ConfigurationError,
        }
    }

    /// Whether it says more than that time ran out, when time runs out meanwhile.
    pub const fn is_a_cause(self) -> bool {
        !matches!(self.failure(), FailureReason::Unknown)
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
    /// See [`StuckOn::Volume`].
    pub volume: Duration,
    /// See [`StuckOn::ContainerConfig`].
    pub container_config: Duration,
    /// See [`StuckOn::TaskStart`].
    pub task_start: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            resolution: Duration::from_mins(5),
            image_pull: Duration::from_mins(5),
            quota: Duration::from_mins(10),
            scheduling: Duration::from_mins(10),
            volume: Duration::from_mins(10),
            container_config: Duration::from_mins(5),
            // It may be a large image, or a volume that takes its time.
            task_start: Duration::from_mins(15),
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
            StuckOn::Volume => self.volume,
            StuckOn::ContainerConfig => self.container_config,
            StuckOn::TaskStart => self.task_start,
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
    /// When what should have happened by now began, for what every run does for a while. `None` is the
    /// creation of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<Timestamp>,
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
    /// Until when this is what every run does; from then on it is worth telling. `created_at` is that of
    /// the run.
    pub fn is_normal_until(&self, created_at: Timestamp) -> Timestamp {
        match self.on {
            StuckOn::Resolution => later(created_at, NORMAL_RESOLUTION),
            StuckOn::TaskStart => later(self.began.unwrap_or(created_at), NORMAL_START),
            StuckOn::ImagePull
            | StuckOn::Quota
            | StuckOn::Scheduling
            | StuckOn::Volume
            | StuckOn::ContainerConfig => created_at,
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
            StuckOn::Volume => {
                format!("{task} waits for a volume: its claim does not exist or is not bound")
            }
            StuckOn::ContainerConfig => {
                format!("{task} waits for a container that cannot be made")
            }
            StuckOn::TaskStart => match (&self.task, self.message.as_str()) {
                (None, _) => {
                    "the run waits for Tekton, which has not made its next task".to_owned()
                }
                (Some(_), message) if message.starts_with(NOT_SET_UP) => {
                    format!("{task} waits for the volumes and the network of its pod")
                }
                (Some(_), _) => {
                    format!("{task} waits for its pod, of which no container has started")
                }
            },
        };
        let text = match (self.raw_reason.as_str(), self.message.as_str()) {
            ("", "") => what,
            (reason, "") => format!("{what} ({reason})"),
            // Where Tekton knows nothing, it says the reason again.
            (reason, message) if reason == message => format!("{what} ({reason})"),
            (reason, message) => format!("{what} ({reason}: {message})"),
        };
        shorten(&text, MAX_MESSAGE_BYTES)
    }
}

/// Every run begins with the fetching of its definition, which takes seconds.
const NORMAL_RESOLUTION: Duration = Duration::from_secs(10);

/// Every task begins with a pod that is set up and images that are pulled.
const NORMAL_START: Duration = Duration::from_secs(30);

/// Tekton's own form of the first condition of a pod that does not hold; the scheduler says this one.
const NOT_SCHEDULED: &str = "pod status \"PodScheduled\":\"False\"";

/// A kubelet says this one of a pod that has no sandbox yet, which it makes once every volume is there.
const NOT_SET_UP: &str = "pod status \"PodReadyToStartContainers\":\"False\"";

/// What a run waits for, told without what `veil` hides. Nothing while any part of it runs: what runs may
/// be what the rest waits for.
pub(crate) fn find(
    run: &RunFacts,
    task_runs: &[TaskRunFacts],
    tasks: &[TaskProgress],
    veil: &Veil,
) -> Option<Wait> {
    if !run.is_live() || tasks.iter().any(|task| task.state == TaskState::Running) {
        return None;
    }
    let mut live: Vec<&TaskRunFacts> = task_runs.iter().filter(|task| task.is_live()).collect();
    live.sort_by(|a, b| a.name.cmp(&b.name));
    // What is told of one task says more than that another does not start.
    (live.iter().find_map(|task| of_task_run(task, veil)))
        .or_else(|| of_run(run, veil))
        .or_else(|| live.iter().find_map(|task| not_started(task, veil)))
        .or_else(|| not_made(run, task_runs, tasks, veil))
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

#[cfg(test)]
mod tests;
