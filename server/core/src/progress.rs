//! How far a run is.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{stuck::Stuck, text::shown};

/// How far a run is, counted in tasks of its pipeline, finally tasks included.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Tasks of the pipeline; 0 until the pipeline is resolved.
    pub total: u32,
    /// Tasks that ended well.
    pub succeeded: u32,
    /// Tasks that failed or were cancelled.
    pub failed: u32,
    /// Tasks that will not run.
    pub skipped: u32,
    /// The tasks in the order of the pipeline.
    pub tasks: Vec<TaskProgress>,
    /// Reason of the run's condition, as Tekton says it.
    pub reason: String,
    /// Message of the run's condition, shortened.
    pub message: String,
    /// What it waits for without running.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stuck: Option<Box<Stuck>>,
    /// Whether a step started in something that is gone since, as far as is known, or may have while
    /// nobody looked.
    #[serde(default, skip_serializing_if = "is_false")]
    pub ran_before: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde asks for")]
fn is_false(flag: &bool) -> bool {
    !flag
}

impl Progress {
    /// Whether a step was seen to have started.
    pub fn ran(&self) -> bool {
        self.ran_before || self.shows_that_it_ran()
    }

    fn shows_that_it_ran(&self) -> bool {
        self.tasks.iter().flat_map(|task| &task.steps).any(|step| step.started_at.is_some())
    }

    /// The same, seen after `before`. What was seen to run did run, also when its TaskRun or its pod was
    /// deleted and made again.
    #[must_use]
    pub fn after(self, before: &Self) -> Self {
        Self { ran_before: (self.ran_before || before.ran()) && !self.shows_that_it_ran(), ..self }
    }

    /// The last of a run that is over, seen after `before`. Tasks whose TaskRuns were deleted stay as they
    /// were seen; what was not over then, and what runs as far as the run knows, is now `unseen`.
    #[must_use]
    pub fn last_after(mut self, before: &Self, unseen: TaskState) -> Self {
        for task in &mut self.tasks {
            let mut seen = before.tasks.iter();
            if task.task_run.is_none()
                && task.state == TaskState::Pending
                && let Some(seen) = seen.find(|t| t.name == task.name && t.task_run.is_some())
            {
                *task = seen.clone();
            } else if task.state != TaskState::Running {
                continue;
            }
            let states = task.steps.iter_mut().map(|step| &mut step.state);
            for state in states.chain([&mut task.state]).filter(|state| !state.is_over()) {
                *state = unseen;
            }
        }
        self.counted().after(before)
    }

    /// The same with the numbers that its tasks give.
    #[must_use]
    pub(crate) fn counted(self) -> Self {
        let count = |states: &[TaskState]| {
            let tasks = self.tasks.iter().filter(|task| states.contains(&task.state));
            u32::try_from(tasks.count()).unwrap_or(u32::MAX)
        };
        Self {
            succeeded: count(&[TaskState::Succeeded]),
            failed: count(&[TaskState::Failed, TaskState::Cancelled]),
            skipped: count(&[TaskState::Skipped]),
            ..self
        }
    }

    /// What goes on although the run is to stop, for a person: what it waits for without running, or
    /// the tasks that have begun and not ended. `None` when nothing does.
    pub fn goes_on(&self) -> Option<String> {
        if let Some(stuck) = &self.stuck {
            return Some(stuck.wait.sentence());
        }
        let begun = self.tasks.iter().filter(|task| match task.state {
            TaskState::Running => true,
            TaskState::Pending => task.task_run.is_some(),
            TaskState::Succeeded
            | TaskState::Failed
            | TaskState::Skipped
            | TaskState::Cancelled => false,
        });
        let names: Vec<&str> = begun.map(|task| task.name.as_str()).collect();
        let text = match names.as_slice() {
            [] => return None,
            [name] => format!("task {name} still runs"),
            names => format!("tasks still run: {}", names.join(", ")),
        };
        Some(shorten(&text, MAX_MESSAGE_BYTES))
    }
}

/// One task of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskProgress {
    /// Name of the task in the pipeline.
    pub name: String,
    /// Where it stands.
    pub state: TaskState,
    /// Its newest TaskRun, once there is one.
    pub task_run: Option<String>,
    /// When it started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Attempts made, this one included.
    pub attempts: u32,
    /// Its steps, once their containers are known.
    pub steps: Vec<StepProgress>,
    /// Reason of its condition, as Tekton says it.
    pub reason: String,
}

/// One step of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepProgress {
    /// Name of the step.
    pub name: String,
    /// Where it stands.
    pub state: TaskState,
    /// When its container started.
    pub started_at: Option<Timestamp>,
    /// When its container ended.
    pub ended_at: Option<Timestamp>,
    /// Exit code of its container, once it ended.
    pub exit_code: Option<i32>,
    /// Why its container waits or ended, as the kubelet says it.
    pub reason: String,
}

/// Where a task or a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// It has not started.
    Pending,
    /// It runs.
    Running,
    /// It ended well.
    Succeeded,
    /// It failed.
    Failed,
    /// It will not run.
    Skipped,
    /// It was stopped.
    Cancelled,
}

impl TaskState {
    /// Whether it stays so.
    pub const fn is_over(self) -> bool {
        match self {
            Self::Pending | Self::Running => false,
            Self::Succeeded | Self::Failed | Self::Skipped | Self::Cancelled => true,
        }
    }
}

/// `text` in at most `limit` bytes, cut between characters, with spaces for what cannot be seen: what a
/// system says goes into records and onto terminals.
pub fn shorten(text: &str, limit: usize) -> String {
    let mut short = String::with_capacity(text.len().min(limit));
    for c in text.chars() {
        let c = shown(c);
        if short.len() + c.len_utf8() > limit {
            break;
        }
        short.push(c);
    }
    short
}

/// At most this many bytes of a name or a reason are kept; Kubernetes allows no more.
pub const MAX_NAME_BYTES: usize = 253;

/// At most this many bytes of a message are kept.
pub const MAX_MESSAGE_BYTES: usize = 1024;
