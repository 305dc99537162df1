//! Where an execution stands, in a word for programs and a sentence for people. No sentence tells a time
//! that passes: a status is written when something has happened.

use wfe_crds::names::condition::reason;
use wfe_proto::v1::{self, State};

use super::{
    conditions::Gate,
    times::{moment, whole_after},
};
use crate::request::Holder;

/// Its run is being created.
const STARTING: &str = "Starting";
/// Its run cannot be created right now.
const DELAYED: &str = "ExecutionDelayed";
/// Its run exists.
const RUNNING: &str = "Running";
/// It was asked to stop.
const CANCELLING: &str = "Cancelling";
/// It was stopped.
pub(super) const CANCELLED: &str = "Cancelled";
/// It waits, and the bridge does not know the gate.
const WAITING: &str = "Waiting";
/// The bridge does not know the state.
const UNKNOWN_STATE: &str = "UnknownState";

/// Where an execution stands.
pub(super) struct Word {
    /// The reason of conditions.
    pub(super) reason: String,
    /// A sentence.
    pub(super) message: String,
}

impl Word {
    pub(super) fn new(reason: &str, message: impl Into<String>) -> Self {
        Self { reason: reason.to_owned(), message: message.into() }
    }
}

/// A run, as people call it.
pub(crate) fn run_name(run: &v1::Run) -> String {
    match (run.namespace.as_str(), run.name.as_str()) {
        (_, "") => "Its PipelineRun".to_owned(),
        ("", name) => format!("PipelineRun {name}"),
        (namespace, name) => format!("PipelineRun {namespace}/{name}"),
    }
}

/// Where an execution stands that has not ended.
pub(super) fn unfinished(execution: &v1::Execution, holder: Option<&Holder>) -> (Word, Gate) {
    let obstacle = execution.obstacle.as_str();
    let run = execution.run.as_ref().map_or_else(|| "Its PipelineRun".to_owned(), run_name);
    let word = match execution.state() {
        State::Waiting => {
            return waiting(&execution.waiting.clone().unwrap_or_default(), holder);
        }
        State::Starting if obstacle.is_empty() => {
            Word::new(STARTING, format!("{run} is being created."))
        }
        State::Starting => Word::new(
            DELAYED,
            format!("{run} cannot be created yet, and is tried again: {obstacle}"),
        ),
        State::Running if obstacle.is_empty() => Word::new(RUNNING, format!("{run} runs.")),
        State::Running => Word::new(RUNNING, format!("{run} is stuck: {obstacle}")),
        State::Cancelling => {
            let mut text = match &execution.cancellation {
                Some(cancellation) => asked(cancellation, "asked it to stop"),
                None => "Its deadline has passed.".to_owned(),
            };
            let how = match &execution.cancellation {
                Some(cancellation) => stopping(cancellation),
                None => AT_ONCE.to_owned(),
            };
            match (obstacle, gives_time(execution)) {
                ("", _) => text = format!("{text} {how}"),
                (_, true) => text = format!("{text} {how} Now {obstacle}."),
                (_, false) => {
                    text =
                        format!("{text} It cannot be stopped yet, and is tried again: {obstacle}");
                }
            }
            Word::new(CANCELLING, text)
        }
        State::Unspecified | State::Succeeded | State::Failed | State::Cancelled => Word::new(
            UNKNOWN_STATE,
            "The execution service tells a state that this bridge does not know. Update the bridge.",
        ),
    };
    (word, Gate::Open)
}

/// How something is stopped in which nothing is given time.
const AT_ONCE: &str = "It is being stopped.";

/// How it is stopped, and until when what goes on is given time.
pub(crate) fn stopping(cancellation: &v1::Cancellation) -> String {
    let how = match cancellation.mode() {
        v1::CancelMode::Unspecified | v1::CancelMode::Immediate => return AT_ONCE.to_owned(),
        v1::CancelMode::RunFinally => "Its tasks are stopped, then its finally tasks run",
        v1::CancelMode::StopAndFinally => "Tasks that run may end, then its finally tasks run",
    };
    match cancellation.escalate_time.as_ref().and_then(moment) {
        Some(until) => format!("{how}; everything is stopped at {}.", whole_after(until).0),
        None => format!("{how}."),
    }
}

/// Whether something of an execution that is stopped may go on for a time.
pub(crate) fn gives_time(execution: &v1::Execution) -> bool {
    execution.state() == State::Cancelling
        && execution.cancellation.as_ref().is_some_and(|asked| asked.escalate_time.is_some())
}

/// Why it is stopped in a stronger way than before, and how.
pub(crate) fn escalated(cancellation: &v1::Cancellation) -> String {
    let how = stopping(cancellation);
    let last = cancellation.escalations.last().cloned().unwrap_or_default();
    match last.cause() {
        v1::EscalationCause::Request => {
            let user = last.actor.as_ref().and_then(person).unwrap_or("Somebody");
            format!("{user} asked to stop it in a stronger way: {}. {how}", last.reason)
        }
        v1::EscalationCause::Deadline => format!("Its deadline has passed. {how}"),
        v1::EscalationCause::Patience | v1::EscalationCause::Unspecified => {
            format!("It took too long to stop. {how}")
        }
    }
}

/// Who asked for a stop, and why.
pub(crate) fn asked(cancellation: &v1::Cancellation, what: &str) -> String {
    let user = cancellation.actor.as_ref().and_then(person).unwrap_or("Somebody");
    match cancellation.reason.trim().trim_end_matches('.') {
        "" => format!("{user} {what}."),
        reason => format!("{user} {what}: {reason}."),
    }
}

/// On whose decision something was done, when that is known.
pub(crate) fn person(actor: &v1::Actor) -> Option<&str> {
    let somebody = actor.on_behalf_of.as_ref().map(|somebody| somebody.user.as_str());
    somebody.into_iter().chain([actor.user.as_str()]).find(|user| !user.is_empty())
}

/// The execution that has to be known for telling why another one waits.
pub(crate) fn cause(waiting: &v1::Waiting) -> Option<&str> {
    let id = match waiting.gate() {
        v1::Gate::Lock => &waiting.holder_execution_id,
        v1::Gate::Block => &waiting.cause_execution_id,
        v1::Gate::Unspecified | v1::Gate::Cooldown | v1::Gate::Backoff => return None,
    };
    Some(id.as_str()).filter(|id| !id.is_empty())
}

/// Why an execution waits.
pub(crate) fn held(gate: &v1::Waiting) -> String {
    waiting(gate, None).0.message
}

fn waiting(waiting: &v1::Waiting, holder: Option<&Holder>) -> (Word, Gate) {
    let known = holder.filter(|holder| {
        cause(waiting).is_some_and(|execution_id| holder.execution_id == execution_id)
    });
    let (reason, what, gate) = match waiting.gate() {
        v1::Gate::Lock => {
            let what = match (known.and_then(Holder::object), waiting.holder_execution_id.as_str())
            {
                (Some(object), _) => format!("Waits for WorkflowExecution {object}"),
                (None, "") => "Waits for its target".to_owned(),
                (None, id) => format!("Waits for execution {id}"),
            };
            (reason::RESOURCE_BUSY, what, Gate::Closed)
        }
        v1::Gate::Cooldown => {
            let what = "Waits, since the target was remediated a short time ago";
            (reason::RECENTLY_REMEDIATED, what.to_owned(), Gate::Closed)
        }
        v1::Gate::Backoff => {
            let what = "Waits, since runs on the target failed before they executed anything";
            (reason::BACKOFF_ACTIVE, what.to_owned(), Gate::Closed)
        }
        v1::Gate::Block => {
            let reason = match waiting.block_reason() {
                v1::BlockReason::RetriesExhausted => reason::EXHAUSTED_RETRIES,
                v1::BlockReason::PreviousExecutionFailed | v1::BlockReason::Unspecified => {
                    reason::PREVIOUS_EXECUTION_FAILED
                }
            };
            (reason, blocked(waiting, known), Gate::ClosedForGood)
        }
        v1::Gate::Unspecified => (WAITING, "Waits".to_owned(), Gate::Closed),
    };
    let until = waiting.until.as_ref().and_then(moment);
    let until = until.map(|until| format!(" until {}", whole_after(until).0)).unwrap_or_default();
    let message = match (gate, waiting.message.as_str()) {
        // Ends with the command to type, which holds the service's words already.
        (Gate::ClosedForGood, _) => what,
        (Gate::Open | Gate::Closed, "") => format!("{what}{until}."),
        (Gate::Open | Gate::Closed, message) => format!("{what}{until}: {message}"),
    };
    (Word::new(reason, message), gate)
}

/// What a person has to do. The block is cleared on the object whose failure made it, so that the record
/// shows who was responsible for what. The reason in the command is for the person to write: as it stands
/// there it is too short to be taken.
fn blocked(waiting: &v1::Waiting, cause: Option<&Holder>) -> String {
    let what = match waiting.block_reason() {
        v1::BlockReason::RetriesExhausted => "too many runs in a row failed, the last one of",
        v1::BlockReason::PreviousExecutionFailed | v1::BlockReason::Unspecified => {
            "the target is blocked since the failure of"
        }
    };
    let said = match waiting.message.as_str() {
        "" => String::new(),
        message => format!(" ({message})"),
    };
    let Some((cause, name)) = cause.and_then(|cause| Some((cause, cause.name.as_deref()?))) else {
        let id = waiting.cause_execution_id.as_str();
        let whose = if id.is_empty() { String::new() } else { format!(" {id}") };
        return format!(
            "Waits for a person: {what} execution{whose}{said}. When it is safe to go on, clear the block \
             with the call ClearBlock of the execution service"
        );
    };
    let object = cause.object().unwrap_or_else(|| name.to_owned());
    let command = clear_command(name, cause.namespace.as_deref());
    format!(
        "Waits for a person: {what} WorkflowExecution {object}{said}. When it is safe to go on: {command}"
    )
}

/// What a person types to clear the block that an object caused.
pub(crate) fn clear_command(name: &str, namespace: Option<&str>) -> String {
    let namespace = namespace.filter(|namespace| !namespace.is_empty());
    let namespace = namespace.map(|namespace| format!(" -n {namespace}")).unwrap_or_default();
    format!(
        "kubectl patch wfe {name}{namespace} --subresource=status --type=merge -p \
         '{{\"status\":{{\"blockClearanceRequest\":{{\"clearReason\":\"...\"}}}}}}'"
    )
}
