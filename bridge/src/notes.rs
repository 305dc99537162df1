//! Kubernetes events: what happened to a WorkflowExecution, for `kubectl describe` and `kubectl events`.
//!
//! At most one for each event of the execution's history, and for each of the few things that only the
//! bridge knows. Names follow from what happened, so that a second bridge finds the event there already,
//! and sort as it happened: `kubectl describe` shows events of this kind in the order of their names.
//!
//! | what happened | type | reason |
//! |---|---|---|
//! | `HELD` | Normal | `ExecutionWaiting` |
//! | `RUN_CREATED` | Normal | `ExecutionCreated` |
//! | `DELAYED`, unless by what a Cancel gives time | Warning | `ExecutionDelayed` |
//! | `CANCEL_REQUESTED` by somebody | Normal | `CancelRequested` |
//! | `CANCEL_REQUESTED` by the deadline | Warning | `DeadlineExceeded` |
//! | `CANCEL_ESCALATED` | Warning | `CancelEscalated` |
//! | `SUCCEEDED` | Normal | `WorkflowCompleted` |
//! | `FAILED` | Warning | `WorkflowFailed` |
//! | `CANCELLED` | Warning | `WorkflowCancelled` |
//! | `BLOCK_CLEARED` | Normal | `BlockCleared` |
//! | a clearance, however it was asked for | Normal | `BlockCleared` |
//! | its failure blocks its target | Warning | `TargetBlocked` |
//! | a request of somebody else was refused because of it | Warning | `StartRefused` |
//! | such a request that is not carried out | Warning | `BlockClearanceRefused`, `CancelRefused` |
//! | a change of the status that the webhook refused | Warning | `BlockClearanceRefused`, `StatusChangeRefused` |
//! | refused: what it asks for is wrong | Warning | `WorkflowValidationFailed` |
//! | refused: too late, or the target is taken | Warning | `WorkflowFailed` |
//! | refused: withdrawn | Warning | `WorkflowCancelled` |
//! | started, and not on record | Warning | `WorkflowFailed` |
//! | deleted, nothing of it runs | Normal | `WorkflowExecutionDeleted` |
//! | deleted, and that could not be found out | Warning | `CleanupFailed` |
//!
//! `ACCEPTED`, `ADMITTED` and `PROGRESSED` have none: they would cost a write for what the status says.

use jiff::Timestamp;
use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use wfe_proto::v1::{self, EventType};

use crate::{
    decide::Wish,
    project::{
        asked, class, clear_command, escalated, gives_time, go, held, moment, person, run_name,
        stopping,
    },
    request::{Cause, Refusal},
    text::fit_bytes,
};

/// Who makes these events.
pub const REPORTING_CONTROLLER: &str = "kubernaut.ai/wfe-bridge";

/// Bytes of a note.
const MAX_NOTE: usize = 1_024;
/// Bytes of the name of an instance.
const MAX_INSTANCE: usize = 128;
/// Bytes of a name, a DNS subdomain.
const MAX_NAME: usize = 253;

/// The event about an entry of an execution's history, if there is one. `execution` is the execution at
/// that entry or later, `instance` is the process that reports it.
pub fn note(
    object: &ObjectReference,
    event: &v1::ExecutionEvent,
    execution: &v1::Execution,
    instance: &str,
) -> Option<Event> {
    let told = told(event, execution)?;
    let at = event.time.as_ref().or(execution.update_time.as_ref()).and_then(moment)?;
    let run = event.run.as_ref().or(execution.run.as_ref());
    let related = run.filter(|run| !run.uid.is_empty()).map(|run| ObjectReference {
        api_version: Some("tekton.dev/v1".to_owned()),
        kind: Some("PipelineRun".to_owned()),
        namespace: Some(run.namespace.clone()),
        name: Some(run.name.clone()),
        uid: Some(run.uid.clone()),
        ..ObjectReference::default()
    });
    let key = format!("{:010}", event.revision.max(0));
    Some(Event { related, ..told.about(object, &key, at, instance) })
}

/// The event about a refusal.
pub fn refusal_note(
    object: &ObjectReference,
    refusal: &Refusal,
    at: Timestamp,
    instance: &str,
) -> Event {
    let reason = match refusal.cause {
        Cause::UnsupportedEngine | Cause::Configuration { .. } => "WorkflowValidationFailed",
        Cause::DeadlinePassed | Cause::Deduplicated { .. } => "WorkflowFailed",
        Cause::Withdrawn => "WorkflowCancelled",
    };
    Told::warning(reason, "Start", refusal.message.clone()).about(object, "refused", at, instance)
}

/// The event about what was started and is not on record.
pub fn unrecorded_note(object: &ObjectReference, at: Timestamp, instance: &str) -> Event {
    let text = "It was started, and the execution service has no record of it. It is not started a \
                second time; the status says what to do.";
    let told = Told::warning("WorkflowFailed", "Start", text.to_owned());
    told.about(object, "unrecorded", at, instance)
}

/// The event about a deletion after which nothing of it runs.
pub fn deleted_note(object: &ObjectReference, at: Timestamp, instance: &str) -> Event {
    let text = "Nothing of it runs, and nothing of it will.".to_owned();
    let told = Told::normal("WorkflowExecutionDeleted", "Delete", text);
    told.about(object, "deleted", at, instance)
}

/// The event about a deletion that was let through although something of it may run.
pub fn given_up_note(object: &ObjectReference, at: Timestamp, instance: &str) -> Event {
    let text = "It could not be found out in time whether something of it runs. Ask the execution \
                service, and look for its PipelineRun."
        .to_owned();
    Told::warning("CleanupFailed", "Delete", text).about(object, "given-up", at, instance)
}

/// The event about a block that was cleared for somebody who asked for it in the status.
pub fn cleared_note(
    object: &ObjectReference,
    by: &str,
    reason: &str,
    at: Timestamp,
    instance: &str,
) -> Event {
    let text = format!("{by} cleared the block of its target: {reason}");
    Told::normal("BlockCleared", "ClearBlock", text).about(object, "cleared", at, instance)
}

/// The event about a failure that blocks its target until a person has looked at it.
pub fn blocked_note(
    object: &ObjectReference,
    target: &v1::Target,
    block: &v1::Block,
    instance: &str,
) -> Option<Event> {
    let at = block.since.as_ref().and_then(moment)?;
    let why = match block.reason() {
        v1::BlockReason::RetriesExhausted => "too many runs in a row have failed there",
        v1::BlockReason::PreviousExecutionFailed | v1::BlockReason::Unspecified => {
            "it failed after it had begun to act"
        }
    };
    let name = object.name.as_deref().unwrap_or_default();
    let command = clear_command(name, object.namespace.as_deref());
    let text = format!(
        "Its failure blocks {}, because {why}: nothing is started there until a person has looked at \
         it. To clear the block: {command}",
        target.target
    );
    let told = Told::warning("TargetBlocked", "Block", text);
    Some(told.about(object, "blocked", at, instance))
}

/// The event about a request of somebody else that was refused because of this object. `place` is where
/// the refusal stands in the log.
pub fn start_refused_note(
    object: &ObjectReference,
    decision: &v1::Decision,
    place: i64,
    instance: &str,
) -> Option<Event> {
    let at = decision.time.as_ref().and_then(moment)?;
    let by = decision.actor.as_ref().and_then(person).unwrap_or("Somebody");
    let why = decision.waiting.as_ref().map_or(&decision.message, |waiting| &waiting.message);
    let times = match decision.count {
        ..=1 => String::new(),
        count => format!(" That was so {count} times within a short time."),
    };
    let (target, code) = (&decision.target, &decision.code);
    let text = format!("{by} was refused to start something on {target}: {why} ({code}).{times}");
    let told = Told::warning("StartRefused", "Start", text);
    Some(told.about(object, &format!("start-refused-{:016}", place.max(0)), at, instance))
}

/// The event about a request in the status that is not carried out. `words` tell it from others.
pub fn unfulfilled_note(
    object: &ObjectReference,
    wish: Wish,
    why: &str,
    words: &str,
    at: Timestamp,
    instance: &str,
) -> Event {
    let (reason, action, what) = match wish {
        Wish::Clearance => ("BlockClearanceRefused", "ClearBlock", "The block was not cleared"),
        Wish::Cancel => ("CancelRefused", "Cancel", "It was not asked to stop"),
    };
    let told = Told::warning(reason, action, format!("{what}: {why}."));
    told.about(object, &format!("refused-{}", short_hash(words)), at, instance)
}

/// The event about a change of the status by `user` that was refused. `review` is the id of the review.
pub fn denied_note(
    object: &ObjectReference,
    what: Denied,
    user: &str,
    why: &str,
    review: &str,
    at: Timestamp,
    instance: &str,
) -> Event {
    let (reason, action) = match what {
        Denied::Clearance => ("BlockClearanceRefused", "ClearBlock"),
        Denied::Change => ("StatusChangeRefused", "UpdateStatus"),
    };
    let told = Told::warning(reason, action, format!("Refused to {user}: {why}"));
    told.about(object, &format!("denied-{}", short_hash(review)), at, instance)
}

/// What the webhook refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// A clearance that was asked for.
    Clearance,
    /// Any other change of a status.
    Change,
}

fn short_hash(text: &str) -> String {
    let hash = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    let hash = hash.as_ref().iter().take(8);
    hash.fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// What an event says.
struct Told {
    kind: &'static str,
    reason: &'static str,
    action: &'static str,
    text: String,
}

impl Told {
    fn normal(reason: &'static str, action: &'static str, text: String) -> Self {
        Self { kind: "Normal", reason, action, text }
    }

    fn warning(reason: &'static str, action: &'static str, text: String) -> Self {
        Self { kind: "Warning", reason, action, text }
    }

    fn about(self, object: &ObjectReference, key: &str, at: Timestamp, instance: &str) -> Event {
        let instance = if instance.is_empty() { "wfe-bridge" } else { instance };
        Event {
            metadata: ObjectMeta {
                namespace: object.namespace.clone(),
                name: Some(name(object, key)),
                ..ObjectMeta::default()
            },
            event_time: Some(MicroTime(at)),
            type_: Some(self.kind.to_owned()),
            reason: Some(self.reason.to_owned()),
            action: Some(self.action.to_owned()),
            note: Some(fit_bytes(&self.text, MAX_NOTE)),
            regarding: Some(object.clone()),
            reporting_controller: Some(REPORTING_CONTROLLER.to_owned()),
            reporting_instance: Some(fit_bytes(instance, MAX_INSTANCE)),
            ..Event::default()
        }
    }
}

/// The object's name for people, cut when it is long; its UID, since names come again; and what
/// happened.
fn name(object: &ObjectReference, key: &str) -> String {
    let part = |text: &Option<String>| text.clone().unwrap_or_default();
    let end = format!("{}.{key}", part(&object.uid));
    let room = MAX_NAME.saturating_sub(end.len() + 1);
    let begin = fit_bytes(&part(&object.name), room);
    // A cut must not leave a part that ends in what separates parts.
    match begin.trim_end_matches(['-', '.']) {
        "" => end,
        begin => format!("{begin}.{end}"),
    }
}

fn told(event: &v1::ExecutionEvent, execution: &v1::Execution) -> Option<Told> {
    let workflow = || {
        let identity = execution.workflow_identity.clone().unwrap_or_default();
        let names = [identity.id, identity.name];
        names.into_iter().find(|name| !name.is_empty()).unwrap_or_default()
    };
    Some(match event.r#type() {
        EventType::Unspecified
        | EventType::Accepted
        | EventType::Admitted
        | EventType::Progressed => return None,
        EventType::Held => {
            let waiting = event.waiting.as_ref().map_or_else(|| event.message.clone(), held);
            Told::normal("ExecutionWaiting", "Wait", waiting)
        }
        EventType::RunCreated => {
            let run = event.run.as_ref().or(execution.run.as_ref());
            let run = run.map_or_else(|| "Its PipelineRun".to_owned(), run_name);
            Told::normal("ExecutionCreated", "CreateRun", format!("{run} was created."))
        }
        // What is given time to end is no trouble, and the status tells of it.
        EventType::Delayed if gives_time(execution) => return None,
        EventType::Delayed if event.state() == v1::State::Cancelling => Told::warning(
            "ExecutionDelayed",
            "Cancel",
            format!("It cannot be stopped yet, and is tried again: {}", event.message),
        ),
        EventType::Delayed => Told::warning(
            "ExecutionDelayed",
            "CreateRun",
            format!("Its run cannot be created yet, and is tried again: {}", event.message),
        ),
        EventType::CancelEscalated => {
            let cancellation = event.cancellation.clone().unwrap_or_default();
            Told::warning("CancelEscalated", "Cancel", escalated(&cancellation))
        }
        EventType::CancelRequested => {
            if let Some(cancellation) = &event.cancellation {
                let text = asked(cancellation, "asked it to stop");
                let text = match cancellation.escalate_time {
                    Some(_) => format!("{text} {}", stopping(cancellation)),
                    None => text,
                };
                Told::normal("CancelRequested", "Cancel", text)
            } else {
                let text = "Its deadline has passed, and it is being stopped.".to_owned();
                Told::warning("DeadlineExceeded", "Cancel", text)
            }
        }
        EventType::Succeeded => {
            let times = (execution.start_time.as_ref(), event.end_time.as_ref());
            let took = times.0.and_then(moment).zip(times.1.and_then(moment));
            let took = took.map(|(start, end)| format!(" in {}", go(end.duration_since(start))));
            let text = format!("Workflow {} succeeded{}.", workflow(), took.unwrap_or_default());
            Told::normal("WorkflowCompleted", "Run", text)
        }
        EventType::Failed => {
            let failure = event.failure.clone().unwrap_or_default();
            let said = [failure.summary.clone(), failure.message.clone(), event.message.clone()];
            let said = said.into_iter().find(|text| !text.is_empty()).unwrap_or_default();
            let reason = class(failure.reason());
            let text = format!("Workflow {} failed: {reason} - {said}", workflow());
            Told::warning("WorkflowFailed", "Run", text)
        }
        EventType::Cancelled => {
            let cancellation = event.cancellation.as_ref().or(execution.cancellation.as_ref());
            let text = asked(&cancellation.cloned().unwrap_or_default(), "cancelled it");
            Told::warning("WorkflowCancelled", "Run", text)
        }
        EventType::BlockCleared => {
            let clearance = event.clearance.clone().unwrap_or_default();
            let user = clearance.actor.as_ref().and_then(person).unwrap_or("Somebody");
            let text = format!("{user} cleared the block of its target: {}", clearance.reason);
            Told::normal("BlockCleared", "ClearBlock", text)
        }
    })
}

#[cfg(test)]
mod tests;
