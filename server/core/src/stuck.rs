//! What a run waits for without running: recognised while it lasts, and for how long it is borne.
//!
//! Tekton gives some of these waits up by itself and others never. Here they are told apart by the
//! reasons of TaskRuns and of waiting containers; how long each may last is policy.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    failure::FailureReason,
    gates::later,
    progress::{MAX_MESSAGE_BYTES, Progress, TaskProgress, shorten},
};

mod find;

pub(crate) use find::find;

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
    /// A TaskRun was deleted from outside, and Tekton does not make it again.
    Deleted,
    /// A task does not start, and nobody says why.
    TaskStart,
}

impl StuckOn {
    /// Each of them.
    pub const ALL: [Self; 8] = [
        Self::Resolution,
        Self::ImagePull,
        Self::Quota,
        Self::Scheduling,
        Self::Volume,
        Self::ContainerConfig,
        Self::Deleted,
        Self::TaskStart,
    ];

    /// The class of the failure when it has lasted too long.
    pub const fn failure(self) -> FailureReason {
        match self {
            // Nobody knows whether the workflow is right, or who deleted something, and why.
            Self::Resolution | Self::Deleted | Self::TaskStart => FailureReason::Unknown,
            Self::ImagePull => FailureReason::ImagePullBackOff,
            Self::Quota | Self::Scheduling => FailureReason::ResourceExhausted,
            Self::Volume | Self::ContainerConfig => FailureReason::ConfigurationError,
        }
    }

    /// Whether it says more than that time ran out, when time runs out meanwhile.
    pub const fn is_a_cause(self) -> bool {
        !matches!(self, Self::Resolution | Self::TaskStart)
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
            StuckOn::Deleted => DELETED_PATIENCE,
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
    /// Whether this is a wait, for a run that was last seen as `before`. A TaskRun that was never seen is one
    /// of which the watch has not told yet, rather than one that was deleted.
    pub fn is_certain(&self, before: &Progress) -> bool {
        let known = |task: &TaskProgress| Some(&task.name) == self.task.as_ref();
        match self.on {
            StuckOn::Resolution
            | StuckOn::ImagePull
            | StuckOn::Quota
            | StuckOn::Scheduling
            | StuckOn::Volume
            | StuckOn::ContainerConfig
            | StuckOn::TaskStart => true,
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
            StuckOn::TaskStart => later(self.began.unwrap_or(created_at), NORMAL_START),
            StuckOn::ImagePull
            | StuckOn::Quota
            | StuckOn::Scheduling
            | StuckOn::Volume
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
            StuckOn::Volume => {
                format!("{task} waits for a volume: its claim does not exist or is not bound")
            }
            StuckOn::ContainerConfig => {
                format!("{task} waits for a container that cannot be made")
            }
            StuckOn::Deleted => format!("{task} waits for a TaskRun that was deleted from outside"),
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

/// Tekton makes most of what was deleted again at once, and the rest never.
const DELETED_PATIENCE: Duration = Duration::from_mins(1);

/// Every task begins with a pod that is set up and images that are pulled.
const NORMAL_START: Duration = Duration::from_secs(30);

/// A kubelet says this one of a pod that has no sandbox yet, which it makes once every volume is there.
const NOT_SET_UP: &str = "pod status \"PodReadyToStartContainers\":\"False\"";

#[cfg(test)]
mod tests;
