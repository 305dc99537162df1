//! What is known of a run: the fields of a PipelineRun and its TaskRuns that decisions rest on.

use jiff::Timestamp;

use crate::{execution::CancelMode, ids::ExecutionId};

/// A PipelineRun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFacts {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// The execution that it says it belongs to.
    pub execution: Option<ExecutionId>,
    /// The hash of the target that it says it acts on.
    pub target_hash: Option<String>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its deletion was asked for. It stays for as long as finalizers hold it.
    pub deleted_at: Option<Timestamp>,
    /// Its condition `Succeeded`, once it has one.
    pub condition: Option<Condition>,
    /// When Tekton started it.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
    /// Names of the tasks of its pipeline, finally tasks last; `None` until it is resolved.
    pub tasks: Option<Vec<String>>,
    /// What was created for its tasks.
    pub children: Vec<Child>,
    /// The tasks that will not run.
    pub skipped: Vec<Skipped>,
    /// How it was asked to stop.
    pub stopping: Option<CancelMode>,
}

impl RunFacts {
    /// Whether Tekton has not finished it.
    pub fn is_live(&self) -> bool {
        self.condition.as_ref().is_none_or(|condition| condition.status == Status::Unknown)
    }

    /// Whether it was deleted before it was over. Tekton does not look at what is being deleted: nothing
    /// comes of it any more, and its condition stays as it is.
    pub fn is_abandoned(&self) -> bool {
        self.deleted_at.is_some() && self.is_live()
    }

    /// Whether something else than TaskRuns carries out a part of it.
    pub fn has_foreign_parts(&self) -> bool {
        self.children.iter().any(Child::is_foreign)
    }

    /// Whether a step of it really started. What is not carried out by a TaskRun is not looked into, and counts
    /// as if one had: who is asked to look at the target is better asked once too often.
    pub fn ran(&self, task_runs: &[TaskRunFacts]) -> bool {
        self.has_foreign_parts() || task_runs.iter().any(TaskRunFacts::ran)
    }
}

/// A condition `Succeeded`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Unknown until it is over.
    pub status: Status,
    /// The reason; may be empty.
    pub reason: String,
    /// The message; may be empty.
    pub message: String,
}

/// The status of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It is over and went well.
    True,
    /// It is over and did not go well.
    False,
    /// It is not over.
    Unknown,
}

/// A reference from a PipelineRun to what it created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// Kind of the object, mostly `TaskRun`.
    pub kind: String,
    /// Name of the object.
    pub name: String,
    /// The task of the pipeline that it runs.
    pub pipeline_task: String,
}

impl Child {
    /// Whether something else than a TaskRun carries the task out: a custom task, or a pipeline inside of the
    /// run. Nobody watches it.
    pub fn is_foreign(&self) -> bool {
        self.kind != "TaskRun"
    }
}

/// A task of a pipeline that will not run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The task of the pipeline.
    pub task: String,
    /// Why, as Tekton says it; may be empty.
    pub reason: String,
}

/// Whether a TaskRun was asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// It was not.
    No,
    /// It was.
    Asked,
    /// It was, because its run took too long.
    RunTimedOut,
}

/// A TaskRun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskRunFacts {
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// UID of the PipelineRun that it belongs to.
    pub run_uid: String,
    /// The task of the pipeline that it runs.
    pub pipeline_task: String,
    /// When its deletion was asked for. It stays for as long as finalizers hold it.
    pub deleted_at: Option<Timestamp>,
    /// Its condition `Succeeded`, once it has one.
    pub condition: Option<Condition>,
    /// The pod of this attempt, once there is one.
    pub pod: Option<String>,
    /// When this attempt started.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
    /// Its steps, once their containers are known.
    pub steps: Vec<StepFacts>,
    /// Attempts that failed before this one.
    pub failed_attempts: u32,
    /// Whether a step of one of those attempts had started.
    pub earlier_attempt_ran: bool,
    /// Whether it was asked to stop.
    pub stopped: Stopped,
}

impl TaskRunFacts {
    /// Whether Tekton has not finished it.
    pub fn is_live(&self) -> bool {
        self.condition.as_ref().is_none_or(|condition| condition.status == Status::Unknown)
    }

    /// Whether it was deleted before it was over. Tekton does not look at it any more, so that it cannot be
    /// stopped, and its pod may run.
    pub fn is_abandoned(&self) -> bool {
        self.deleted_at.is_some() && self.is_live()
    }

    /// Whether a step of it really started, in this attempt or one before.
    pub fn ran(&self) -> bool {
        self.earlier_attempt_ran || self.steps.iter().any(StepFacts::ran)
    }
}

/// A step of a TaskRun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepFacts {
    /// Its name.
    pub name: String,
    /// What the kubelet says of its container.
    pub state: ContainerState,
}

impl StepFacts {
    /// Whether its container really started.
    pub fn ran(&self) -> bool {
        match &self.state {
            ContainerState::Unknown | ContainerState::Waiting { .. } => false,
            ContainerState::Running { .. } => true,
            // A container that never started is reported as terminated without a start, or with a
            // start that is the zero time.
            ContainerState::Terminated { started_at, .. } => {
                started_at.is_some_and(|at| at > Timestamp::UNIX_EPOCH)
            }
        }
    }
}

/// What the kubelet says of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContainerState {
    /// Nothing.
    Unknown,
    /// It has not started.
    Waiting {
        /// Why.
        reason: String,
        /// Why, in words.
        message: String,
    },
    /// It runs.
    Running {
        /// Since when.
        started_at: Option<Timestamp>,
    },
    /// It ended.
    Terminated {
        /// Its exit code.
        exit_code: i32,
        /// Why: as Tekton says it, or else as the kubelet does.
        reason: String,
        /// When it started.
        started_at: Option<Timestamp>,
        /// When it ended.
        ended_at: Option<Timestamp>,
    },
}
