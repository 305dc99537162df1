//! Why something failed, for programs and for people.

use jiff::{SignedDuration, Timestamp};
use wfe_crds::{
    names::condition::reason,
    workflow_execution::{FailureDetails, FailureReason, MAX_NAME_CHARS, MAX_TEXT_CHARS},
};
use wfe_proto::v1::{self, State};

use super::{
    conditions::End,
    duration, progress,
    times::{Times, whole},
    words::{self, CANCELLED, Word},
};
use crate::{
    request::{Cause, Refusal},
    text::{fit, some_fit},
};

/// Its run was started, and the service has no record of it.
const RECORD_MISSING: &str = "RecordMissing";

/// Characters of a log in a summary. The service sends no more.
const MAX_LOG_CHARS: usize = 4 * 1024;

/// A failure, in the forms in which a status tells it.
pub(super) struct Failed {
    pub(super) word: Word,
    pub(super) end: End,
    pub(super) details: FailureDetails,
}

/// Of an execution that failed or was stopped. `took` is the time from its start to its end.
pub(super) fn of(execution: &v1::Execution, took: Option<String>, times: &Times) -> Failed {
    match execution.state() {
        State::Cancelled => cancelled(execution, took, times),
        State::Unspecified
        | State::Waiting
        | State::Starting
        | State::Running
        | State::Cancelling
        | State::Succeeded
        | State::Failed => failed(execution, took, times),
    }
}

fn failed(execution: &v1::Execution, took: Option<String>, times: &Times) -> Failed {
    let failure = execution.failure.clone().unwrap_or_default();
    let class = class(failure.reason());
    let progress = execution.progress.as_ref();
    let said = [&failure.message, &failure.summary, &failure.raw_reason];
    let message = said.into_iter().find(|text| !text.is_empty()).cloned();
    let message =
        message.unwrap_or_else(|| "It failed, and nothing was said about why.".to_owned());
    let took = failure.time_until_failure.as_ref().and_then(elapsed).or(took);
    let what = if failure.summary.is_empty() { &message } else { &failure.summary };
    let mut story = Story::about(execution, "failed");
    story.line("Reason", class.as_str());
    story.line("Where", &place(&failure));
    story.line("What happened", what);
    if !what.contains(&message) {
        story.line("Error", &message);
    }
    story.line("Evidence", &evidence(&failure));
    story.line("Failed after", took.as_deref().unwrap_or_default());
    story.line("Side effects", side_effects(failure.was_execution_failure));
    story.line("Recommendation", recommendation(&class));
    story.log(&failure.log_tail);
    Failed {
        word: Word::new(class.as_str(), what.clone()),
        end: failure_end(&class),
        details: FailureDetails {
            failed_task_index: progress::task_index(progress, &failure.task),
            failed_task_name: fit(&failure.task, MAX_NAME_CHARS),
            failed_step_name: some_fit(&failure.step, MAX_NAME_CHARS),
            exit_code: failure.exit_code,
            was_execution_failure: failure.was_execution_failure,
            reason: class,
            ..details(&message, &story, times.ended, took)
        },
    }
}

/// The platform has no reason for this. Unknown is the one that claims nothing; the words say the rest.
fn cancelled(execution: &v1::Execution, took: Option<String>, times: &Times) -> Failed {
    let cancellation = execution.cancellation.clone().unwrap_or_default();
    let acted = progress::has_acted(execution.progress.as_ref());
    let who = words::asked(&cancellation, "cancelled it");
    let mut story = Story::about(execution, "was cancelled");
    story.line("What happened", &who);
    story.line("Stopped after", took.as_deref().unwrap_or_default());
    story.line("Side effects", side_effects(acted));
    Failed {
        word: Word::new(CANCELLED, who.clone()),
        end: End::Failure { complete: CANCELLED, no_run: CANCELLED },
        details: FailureDetails {
            was_execution_failure: acted,
            ..details(&who, &story, times.ended, took)
        },
    }
}

/// Of what the service can never accept.
pub(super) fn refused(refusal: &Refusal, at: Timestamp) -> Failed {
    let class = refusal.reason();
    let mut story = Story("The workflow was not started.\n".to_owned());
    story.line("Reason", class.as_str());
    story.line("What happened", &refusal.message);
    let (reason, end) = match refusal.cause {
        Cause::Withdrawn => (CANCELLED, End::Failure { complete: CANCELLED, no_run: CANCELLED }),
        Cause::UnsupportedEngine
        | Cause::Configuration { .. }
        | Cause::DeadlinePassed
        | Cause::Deduplicated { .. } => (class.as_str(), failure_end(&class)),
    };
    Failed {
        word: Word::new(reason, refusal.message.clone()),
        end,
        details: FailureDetails {
            reason: class.clone(),
            ..details(&refusal.message, &story, at, None)
        },
    }
}

/// Of what was started and is not on record. `run` is what the status calls its run.
pub(super) fn unrecorded(run: &str, at: Timestamp) -> Failed {
    let message = format!(
        "The execution service has no record of this execution, although it was started: its database \
         was lost or is another one. It is not started a second time. Find out what became of {run} and \
         in which state it left the target, then create a new WorkflowExecution if it must run again."
    );
    let mut story = Story(format!("{message}\n"));
    story.line("Side effects", "steps may have started, so the target may have been changed.");
    Failed {
        word: Word::new(RECORD_MISSING, message.clone()),
        end: End::Failure { complete: reason::EXECUTION_FAILED, no_run: RECORD_MISSING },
        details: FailureDetails {
            was_execution_failure: true,
            ..details(&message, &story, at, None)
        },
    }
}

fn details(message: &str, story: &Story, at: Timestamp, took: Option<String>) -> FailureDetails {
    FailureDetails {
        reason: FailureReason::Unknown,
        message: fit(message, MAX_TEXT_CHARS),
        natural_language_summary: fit(&story.0, MAX_TEXT_CHARS),
        failed_at: Some(whole(at)),
        execution_time_before_failure: took,
        ..FailureDetails::default()
    }
}

/// Lines of `what: text` for people and for language models, which read the platform's records.
struct Story(String);

impl Story {
    fn about(execution: &v1::Execution, fate: &str) -> Self {
        let identity = execution.workflow_identity.clone().unwrap_or_default();
        let bundle = match &execution.workflow {
            Some(v1::execution::Workflow::Bundle(bundle)) => bundle.reference.as_str(),
            Some(v1::execution::Workflow::Inline(_)) => "of own steps",
            None => "",
        };
        let names = [identity.id.as_str(), identity.name.as_str(), bundle];
        let workflow = names.into_iter().find(|name| !name.is_empty()).unwrap_or("?");
        Self(format!("Workflow '{workflow}' {fate} on target '{}'.\n", execution.target))
    }

    /// The last lines of a log, of those that are too many the last.
    fn log(&mut self, tail: &str) {
        let tail = tail.trim();
        let surplus = tail.chars().count().saturating_sub(MAX_LOG_CHARS);
        let tail: String = tail.chars().skip(surplus).collect();
        if !tail.is_empty() {
            self.0 = format!("{}Log of the failed step, its last lines:\n{tail}\n", self.0);
        }
    }

    fn line(&mut self, what: &str, text: &str) {
        if !text.is_empty() {
            self.0 = format!("{}{what}: {text}\n", self.0);
        }
    }
}

/// What decided the reason, in the words of the cluster.
fn evidence(failure: &v1::Failure) -> String {
    failure.evidence.as_ref().map_or_else(String::new, |found| {
        let v1::Evidence { object, field, value } = found;
        format!("{object} {field} = {value}")
    })
}

fn place(failure: &v1::Failure) -> String {
    let mut parts = Vec::new();
    if !failure.task.is_empty() {
        parts.push(format!("task {}", failure.task));
    }
    if !failure.step.is_empty() {
        parts.push(format!("step {}", failure.step));
    }
    parts.extend(failure.exit_code.map(|code| format!("exit code {code}")));
    if failure.attempt > 1 {
        parts.push(format!("attempt {}", failure.attempt));
    }
    parts.join(", ")
}

fn side_effects(acted: bool) -> &'static str {
    if acted {
        "steps had started, so the target may have been changed."
    } else {
        "no step had started."
    }
}

/// What to do, where the failure itself does not tell.
fn recommendation(class: &FailureReason) -> &'static str {
    match class {
        FailureReason::DeadlineExceeded => "give it more time, or find out what took so long.",
        FailureReason::Forbidden => {
            "grant the workflow's service account what it lacks, or choose another workflow."
        }
        FailureReason::ResourceExhausted => "make room in the quota or in the cluster.",
        FailureReason::ConfigurationError => {
            "correct the workflow, its parameters or what it refers to."
        }
        FailureReason::ImagePullBackOff => {
            "check that the image exists and that the cluster may pull it."
        }
        FailureReason::OomKilled
        | FailureReason::TaskFailed
        | FailureReason::UnsupportedEngine
        | FailureReason::Unknown
        | FailureReason::Deduplicated
        | FailureReason::Other(_) => "",
    }
}

pub(crate) fn class(reason: v1::FailureReason) -> FailureReason {
    match reason {
        v1::FailureReason::TaskFailed => FailureReason::TaskFailed,
        v1::FailureReason::OomKilled => FailureReason::OomKilled,
        v1::FailureReason::DeadlineExceeded => FailureReason::DeadlineExceeded,
        v1::FailureReason::Forbidden => FailureReason::Forbidden,
        v1::FailureReason::ResourceExhausted => FailureReason::ResourceExhausted,
        v1::FailureReason::ConfigurationError => FailureReason::ConfigurationError,
        v1::FailureReason::ImagePullBackOff => FailureReason::ImagePullBackOff,
        v1::FailureReason::Unspecified | v1::FailureReason::Unknown => FailureReason::Unknown,
    }
}

fn failure_end(class: &FailureReason) -> End {
    End::Failure { complete: complete_reason(class), no_run: no_run_reason(class) }
}

/// The platform knows four ways of ending badly; the condition Succeeded tells them all.
fn complete_reason(class: &FailureReason) -> &'static str {
    match class {
        FailureReason::TaskFailed => reason::TASK_FAILED,
        FailureReason::DeadlineExceeded => reason::DEADLINE_EXCEEDED,
        FailureReason::OomKilled => reason::OOM_KILLED,
        FailureReason::Forbidden
        | FailureReason::ResourceExhausted
        | FailureReason::ConfigurationError
        | FailureReason::ImagePullBackOff
        | FailureReason::UnsupportedEngine
        | FailureReason::Unknown
        | FailureReason::Deduplicated
        | FailureReason::Other(_) => reason::EXECUTION_FAILED,
    }
}

fn no_run_reason(class: &FailureReason) -> &'static str {
    match class {
        FailureReason::Forbidden => reason::RBAC_DENIED,
        FailureReason::ResourceExhausted => reason::QUOTA_EXCEEDED,
        FailureReason::ImagePullBackOff => reason::IMAGE_PULL_FAILED,
        FailureReason::TaskFailed
        | FailureReason::DeadlineExceeded
        | FailureReason::OomKilled
        | FailureReason::ConfigurationError
        | FailureReason::UnsupportedEngine
        | FailureReason::Unknown
        | FailureReason::Deduplicated
        | FailureReason::Other(_) => reason::EXECUTION_CREATION_FAILED,
    }
}

fn elapsed(took: &prost_types::Duration) -> Option<String> {
    let valid = took.seconds >= 0 && (0..1_000_000_000).contains(&took.nanos);
    valid.then(|| duration::go(SignedDuration::new(took.seconds, took.nanos)))
}
