//! Why an execution failed: evidence first, words last.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    execution::CreatedRun,
    facts::{Condition, ContainerState, RunFacts, Status, StepFacts, TaskRunFacts},
    progress::{MAX_MESSAGE_BYTES, shorten},
};

/// Why an execution failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The class of the failure.
    pub reason: FailureReason,
    /// Whether any step of the run really started.
    pub was_execution_failure: bool,
    /// The failed task, by its name in the pipeline.
    pub task: Option<String>,
    /// Its TaskRun.
    pub task_run: Option<String>,
    /// The failed step.
    pub step: Option<String>,
    /// Its exit code.
    pub exit_code: Option<i32>,
    /// Attempt of the failed task, from 1.
    pub attempt: Option<u32>,
    /// The reason as Tekton or Kubernetes said it.
    pub raw_reason: String,
    /// What the system said, shortened.
    pub message: String,
    /// A sentence for a person.
    pub summary: String,
    /// When the run started, when it did.
    pub started_at: Option<Timestamp>,
    /// When it failed.
    pub at: Timestamp,
}

/// The class of a failure. The names are those of the existing service's `failureDetails.reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureReason {
    /// A step exited with an error.
    TaskFailed,
    /// A container was killed for lack of memory.
    OomKilled,
    /// A deadline or a time-out passed.
    DeadlineExceeded,
    /// Kubernetes refused for lack of a right.
    Forbidden,
    /// A quota or the capacity of the cluster was exhausted.
    ResourceExhausted,
    /// The workflow, its parameters or its references are wrong.
    ConfigurationError,
    /// An image could not be pulled.
    ImagePullBackOff,
    /// None of the others is certain.
    Unknown,
}

impl FailureReason {
    /// The reason as a label and as people know it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TaskFailed => "TaskFailed",
            Self::OomKilled => "OOMKilled",
            Self::DeadlineExceeded => "DeadlineExceeded",
            Self::Forbidden => "Forbidden",
            Self::ResourceExhausted => "ResourceExhausted",
            Self::ConfigurationError => "ConfigurationError",
            Self::ImagePullBackOff => "ImagePullBackOff",
            Self::Unknown => "Unknown",
        }
    }
}

impl Failure {
    /// A failure before anything ran.
    pub fn before_execution(
        reason: FailureReason,
        raw_reason: &str,
        message: &str,
        summary: String,
        at: Timestamp,
    ) -> Self {
        Self {
            reason,
            was_execution_failure: false,
            task: None,
            task_run: None,
            step: None,
            exit_code: None,
            attempt: None,
            raw_reason: raw_reason.to_owned(),
            message: shorten(message, MAX_MESSAGE_BYTES),
            summary,
            started_at: None,
            at,
        }
    }

    /// The deadline passed while `circumstance`. The time of the failure is set by the transition.
    pub(crate) fn deadline(circumstance: &str) -> Self {
        Self::before_execution(
            FailureReason::DeadlineExceeded,
            "DeadlineExceeded",
            "",
            format!(
                "The deadline passed while {circumstance}. Give it more time, or find out what held it."
            ),
            Timestamp::UNIX_EPOCH,
        )
    }

    /// The run is gone although it had not ended.
    pub(crate) fn lost(run: &CreatedRun, at: Timestamp) -> Self {
        let ran = run
            .progress
            .tasks
            .iter()
            .flat_map(|task| &task.steps)
            .any(|step| step.started_at.is_some());
        let summary = format!(
            "PipelineRun {} was deleted from outside before it ended. Find out who deleted it, and in \
             which state it left the target.",
            run.planned.name
        );
        Self {
            was_execution_failure: ran,
            started_at: Some(run.created_at),
            ..Self::before_execution(
                FailureReason::Unknown,
                "RunDeleted",
                "deleted from outside",
                summary,
                at,
            )
        }
    }
}

/// Why a run that ended with `False` failed. `tasks` are its TaskRuns.
pub(crate) fn classify(run: &RunFacts, tasks: &[TaskRunFacts]) -> Failure {
    let nothing =
        Condition { status: Status::False, reason: String::new(), message: String::new() };
    let verdict = run.condition.as_ref().unwrap_or(&nothing);
    let ran = tasks.iter().any(TaskRunFacts::ran);
    let culprit = first_failed(tasks);
    let found = culprit.map_or_else(|| from_run(verdict), from_task_run);
    // A time-out of the run stops its tasks, so what the tasks then say is only its echo.
    let timed_out = verdict.reason == "PipelineRunTimeout";
    let reason = if timed_out { FailureReason::DeadlineExceeded } else { found.reason };
    let at = run.completed_at.unwrap_or(run.created_at);
    let (raw_reason, message) = match culprit.and_then(|task| task.condition.as_ref()) {
        Some(condition) if !timed_out => (&condition.reason, &condition.message),
        _ => (&verdict.reason, &verdict.message),
    };
    Failure {
        reason,
        was_execution_failure: ran,
        task: culprit.map(|task| task.pipeline_task.clone()),
        task_run: culprit.map(|task| task.name.clone()),
        step: found.step.map(|step| step.name.clone()),
        exit_code: found.step.and_then(exit_code),
        attempt: culprit.map(|task| task.failed_attempts + 1),
        raw_reason: raw_reason.clone(),
        message: shorten(message, MAX_MESSAGE_BYTES),
        summary: summary(reason, culprit, found.step, message),
        started_at: run.started_at,
        at,
    }
}

struct Found<'a> {
    reason: FailureReason,
    step: Option<&'a StepFacts>,
}

/// The TaskRun that failed first by itself: one that was stopped failed because of another.
fn first_failed(tasks: &[TaskRunFacts]) -> Option<&TaskRunFacts> {
    let failed = |task: &&TaskRunFacts| {
        task.condition.as_ref().is_some_and(|condition| condition.status == Status::False)
    };
    let order =
        |task: &&TaskRunFacts| (task.stopped, task.completed_at.is_none(), task.completed_at);
    tasks.iter().filter(failed).min_by_key(order)
}

fn from_task_run(task: &TaskRunFacts) -> Found<'_> {
    let failed_step = task.steps.iter().find(|step| exit_code(step).is_some_and(|code| code != 0));
    let killed = task.steps.iter().find(|step| terminated_by(step, "OOMKilled"));
    if killed.is_some() {
        return Found { reason: FailureReason::OomKilled, step: killed };
    }
    let reason = task.condition.as_ref().map_or("", |condition| condition.reason.as_str());
    let reason = match reason {
        "StepOOM" | "SidecarOOM" | "InitContainerOOM" => FailureReason::OomKilled,
        "TaskRunImagePullFailed" | "PullImageFailed" => FailureReason::ImagePullBackOff,
        "TaskRunTimeout" => FailureReason::DeadlineExceeded,
        "PodAdmissionFailed" => FailureReason::Forbidden,
        "PodEvicted" | "ExceededResourceQuota" | "ExceededNodeResources" => {
            FailureReason::ResourceExhausted
        }
        "CreateContainerConfigError"
        | "PodCreationFailed"
        | "TaskRunResolutionFailed"
        | "TaskRunValidationFailed"
        | "TaskValidationFailed"
        | "InvalidParamValue"
        | "ResourceVerificationFailed" => FailureReason::ConfigurationError,
        _ if failed_step.is_some() => FailureReason::TaskFailed,
        "StepFailed" | "SidecarFailed" | "InitContainerFailed" => FailureReason::TaskFailed,
        _ => FailureReason::Unknown,
    };
    let step = if reason == FailureReason::TaskFailed { failed_step } else { None };
    Found { reason, step }
}

/// The run itself is all there is: nothing was launched, or what was launched is gone.
fn from_run(verdict: &Condition) -> Found<'static> {
    let reason = match verdict.reason.as_str() {
        "PipelineRunTimeout" => FailureReason::DeadlineExceeded,
        "CouldntGetPipeline"
        | "CouldntGetTask"
        | "PipelineValidationFailed"
        | "PipelineInvalidGraph"
        | "ParameterMissing"
        | "ParameterTypeMismatch"
        | "ObjectParameterMissKeys"
        | "ParamArrayIndexingInvalid"
        | "InvalidParamValue"
        | "InvalidWorkspaceBindings"
        | "InvalidTaskRunSpecs"
        | "InvalidTaskResultReference"
        | "InvalidPipelineResultReference"
        | "RequiredWorkspaceMarkedOptional"
        | "InvalidMatrixParameterTypes"
        | "CELEvaluationFailed"
        | "ResourceVerificationFailed"
        | "CreateRunFailed" => FailureReason::ConfigurationError,
        _ => FailureReason::Unknown,
    };
    Found { reason, step: None }
}

fn exit_code(step: &StepFacts) -> Option<i32> {
    match &step.state {
        ContainerState::Terminated { exit_code, .. } => Some(*exit_code),
        ContainerState::Unknown
        | ContainerState::Waiting { .. }
        | ContainerState::Running { .. } => None,
    }
}

fn terminated_by(step: &StepFacts, why: &str) -> bool {
    match &step.state {
        ContainerState::Terminated { reason, .. } => reason == why,
        ContainerState::Unknown
        | ContainerState::Waiting { .. }
        | ContainerState::Running { .. } => false,
    }
}

fn summary(
    reason: FailureReason,
    task: Option<&TaskRunFacts>,
    step: Option<&StepFacts>,
    message: &str,
) -> String {
    let place = match (task, step) {
        (Some(task), Some(step)) => format!("step {} of task {}", step.name, task.pipeline_task),
        (Some(task), None) => format!("task {}", task.pipeline_task),
        (None, _) => "run".to_owned(),
    };
    let said = shorten(message, 300);
    match reason {
        FailureReason::TaskFailed => match step.and_then(exit_code) {
            Some(code) => format!(
                "The {place} exited with code {code}. Read its log and look at the target before it is tried again."
            ),
            None => format!("The {place} failed: {said}"),
        },
        FailureReason::OomKilled => format!(
            "The {place} ran out of memory and was killed. Raise its memory limit, or make it use less."
        ),
        FailureReason::DeadlineExceeded => format!("Time ran out in the {place}: {said}"),
        FailureReason::Forbidden => format!("Kubernetes refused the {place}: {said}"),
        FailureReason::ResourceExhausted => format!("There was no room for the {place}: {said}"),
        FailureReason::ConfigurationError => {
            format!("The definition of the {place} is wrong: {said}")
        }
        FailureReason::ImagePullBackOff => {
            format!("An image of the {place} could not be pulled: {said}")
        }
        FailureReason::Unknown => format!("The {place} failed, and it is not certain why: {said}"),
    }
}
