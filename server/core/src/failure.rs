//! Why an execution failed: evidence first, words last.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    execution::CreatedRun,
    progress::{MAX_MESSAGE_BYTES, MAX_NAME_BYTES, shorten},
    stuck::Stuck,
    veil::Veil,
};

mod classify;
pub mod log;
mod reasons;
mod sentence;
mod words;

pub(crate) use classify::classify;
pub(crate) use reasons::is_of_task_run;
pub use reasons::{Basis, PIPELINE_RUN, TASK_RUN};
pub use sentence::not_created;

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
    /// What decided the reason; `None` when the service itself decided it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Box<Evidence>>,
    /// The last lines of the failed step's log, at most [`log::MAX_TAIL_BYTES`], when they could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_tail: Option<String>,
}

/// What decided the reason of a failure, as it was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The object: kind and name.
    pub object: String,
    /// The field of it.
    pub field: String,
    /// The value, shortened.
    pub value: String,
}

impl Evidence {
    /// `value`, without what `veil` hides, in `field` of the object `kind` `name`.
    fn new(kind: &str, name: &str, field: &str, value: &str, veil: &Veil) -> Self {
        Self {
            object: format!("{kind} {}", shorten(name, MAX_NAME_BYTES)),
            field: shorten(field, MAX_NAME_BYTES),
            value: veil.tell(value, MAX_VALUE_BYTES),
        }
    }
}

const MAX_VALUE_BYTES: usize = 300;

/// What is said of a run that somebody deleted before it had ended.
pub(crate) const DELETED: &str = "deleted from outside (lock stolen)";

/// The field of a run or a TaskRun that tells why, in one word.
const REASON: &str = "status.conditions[Succeeded].reason";

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
    /// Every reason, in the order of the pages.
    pub const ALL: [Self; 8] = [
        Self::TaskFailed,
        Self::OomKilled,
        Self::DeadlineExceeded,
        Self::Forbidden,
        Self::ResourceExhausted,
        Self::ConfigurationError,
        Self::ImagePullBackOff,
        Self::Unknown,
    ];

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

/// What it means that the API server told this of a denial by a webhook or a policy; `None` when it is none.
pub fn of_denial(message: &str) -> Option<FailureReason> {
    words::denial(message).map(|(_, reason)| reason)
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
            raw_reason: shorten(raw_reason, MAX_NAME_BYTES),
            message: shorten(message, MAX_MESSAGE_BYTES),
            summary,
            started_at: None,
            at,
            evidence: None,
            log_tail: None,
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

    /// The run was stuck for too long.
    pub(crate) fn stuck(
        stuck: &Stuck,
        was_execution_failure: bool,
        started_at: Option<Timestamp>,
        at: Timestamp,
    ) -> Self {
        let Stuck { wait, since } = stuck;
        let object = match &wait.task_run {
            Some(name) => format!("TaskRun {name}"),
            None => "PipelineRun".to_owned(),
        };
        let field = match &wait.step {
            Some(step) => format!("status.steps[{step}].waiting.reason"),
            None => REASON.to_owned(),
        };
        Self {
            was_execution_failure,
            task: wait.task.clone(),
            task_run: wait.task_run.clone(),
            step: wait.step.clone(),
            started_at,
            evidence: Some(Box::new(Evidence { object, field, value: wait.raw_reason.clone() })),
            ..Self::before_execution(
                wait.on.failure(),
                &wait.raw_reason,
                &wait.message,
                sentence::stuck(wait, at.duration_since(*since)),
                at,
            )
        }
    }

    /// Time ran out, and until then the run was stuck: what it waited for is why.
    pub(crate) fn after(self, stuck: Option<&Stuck>, at: Timestamp) -> Self {
        match stuck {
            Some(stuck)
                if self.reason == FailureReason::DeadlineExceeded
                    && stuck.wait.on.is_a_cause()
                    && (self.task.is_none() || self.task == stuck.wait.task) =>
            {
                Self::stuck(stuck, self.was_execution_failure, self.started_at, at)
            }
            Some(_) | None => self,
        }
    }

    /// Of a run of which a step started when `ran`, whatever is left of it now.
    #[must_use]
    pub(crate) fn of_run_that(self, ran: bool) -> Self {
        Self { was_execution_failure: self.was_execution_failure || ran, ..self }
    }

    /// The run is gone although it had not ended.
    pub(crate) fn lost(run: &CreatedRun, at: Timestamp) -> Self {
        let ran = run.progress.ran();
        let summary = format!(
            "PipelineRun {} was deleted from outside before it ended. Find out who deleted it, and in \
             which state it left the target.",
            run.planned.name
        );
        Self {
            was_execution_failure: ran,
            started_at: Some(run.created_at),
            ..Self::before_execution(FailureReason::Unknown, "RunDeleted", DELETED, summary, at)
        }
    }
}
