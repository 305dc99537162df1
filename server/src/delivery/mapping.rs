//! Which entries of the log become events of Data Storage, and what these say. All else stays in the log.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use wfe_core::{
    actor::{Actor, AuthenticationMethod},
    audit::{About, AboutWorkflow, Logged, What},
    event::EventKind,
    execution::{Cancellation, Execution, StateCode},
    failure::{Failure, FailureReason},
};
use wfe_datastorage as contract;
use wfe_datastorage::{
    ActorKind, Clearance, Component, CorrelationId, DurationMs, ErrorDetails, Event, EventData,
    Facts, Microsecond, Phase, Second, Text, Workflow, Wrong,
};

/// What events are about, as the platform's consumers know it.
const RESOURCE_TYPE: &str = "WorkflowExecution";
/// Who acts when nobody asked, as the platform's consumers know it.
const CONTROLLER: &str = "workflowexecution-controller";
/// At most this many characters of what a system said.
const MAX_MESSAGE_CHARS: usize = 1024;

type Any = Text<0, { usize::MAX }>;

/// The event that an entry becomes, at the time of the entry; `None` when it stays in the log alone.
/// `execution` is the one that the entry is about, of any later moment.
pub fn event_of(logged: &Logged, execution: Option<&Execution>) -> Result<Option<Event>, Wrong> {
    let Some(data) = data_of(logged, execution)? else { return Ok(None) };
    let about = &logged.about;
    let name = execution_name(about);
    let resource_id = match (&data, &about.source) {
        // A clearance is known by the identity of its object, which another of that name does not share.
        (EventData::BlockCleared(_), Some(source)) if !source.uid.is_empty() => source.uid.clone(),
        (_, _) => name.clone(),
    };
    let facts = Facts {
        event_timestamp: Microsecond::of(logged.at),
        correlation_id: correlation_id(about, &name)?,
        actor: actor(&logged.actor)?,
        resource_type: Text::fitted(RESOURCE_TYPE)?,
        resource_id: Text::fitted(&resource_id)?,
        namespace: namespace(about),
        cluster_id: about.target.as_ref().and_then(|t| Text::fitted(t.cluster.as_str()).ok()),
        duration_ms: duration(logged, execution).and_then(DurationMs::of),
        retention_days: None,
        event_data: data,
    };
    fitting(facts).map(Some)
}

fn data_of(logged: &Logged, execution: Option<&Execution>) -> Result<Option<EventData>, Wrong> {
    let workflow = |phase| workflow(&logged.about, execution, phase);
    Ok(match &logged.what {
        What::Transition {
            before: Some(StateCode::Waiting),
            event: EventKind::Admitted { .. },
            ..
        } => {
            let selected = Workflow { parameters: BTreeMap::new(), ..workflow(Phase::Pending)? };
            Some(EventData::SelectionCompleted(Box::new(selected)))
        }
        What::Transition { event, .. } => match event {
            EventKind::RunCreated { run } => {
                let pipelinerun_name = Some(Any::fitted(run.planned.name.as_str())?);
                let started = Workflow { pipelinerun_name, ..workflow(Phase::Running)? };
                Some(EventData::ExecutionStarted(Box::new(started)))
            }
            EventKind::Succeeded { ended_at, .. } => {
                let ended = ended(workflow(Phase::Completed)?, execution, *ended_at)?;
                Some(EventData::WorkflowCompleted(Box::new(ended)))
            }
            EventKind::Failed { failure, .. } => {
                let ended = ended(workflow(Phase::Failed)?, execution, failure.at)?;
                Some(EventData::WorkflowFailed(Box::new(failed(ended, failure)?)))
            }
            EventKind::Cancelled { cancellation, .. } => {
                let ended = ended(workflow(Phase::Failed)?, execution, logged.at)?;
                Some(EventData::WorkflowFailed(Box::new(cancelled(ended, cancellation)?)))
            }
            EventKind::Accepted
            | EventKind::Held { .. }
            | EventKind::Admitted { .. }
            | EventKind::Delayed { .. }
            | EventKind::Progressed { .. }
            | EventKind::CancelRequested { .. }
            | EventKind::CancelEscalated { .. }
            | EventKind::DeadlinePassed { .. } => None,
        },
        What::ClearBlock { outcome, reason, .. } if outcome == "cleared" => {
            let name = Any::fitted(&execution_name(&logged.about))?;
            let reason = Any::fitted(reason.as_str())?;
            let cleared = Clearance::new(name, reason, Second::of(logged.at));
            Some(EventData::BlockCleared(Box::new(cleared)))
        }
        What::ClearBlock { .. }
        | What::Attached { .. }
        | What::Withdrawn { .. }
        | What::CancelIgnored { .. }
        | What::Refused { .. }
        | What::Denied { .. }
        | What::KeyRotated { .. }
        | What::Pruned { .. } => None,
    })
}

/// The name of the object that asked, else the id of the execution.
fn execution_name(about: &About) -> String {
    let source = about.source.as_ref().map(|source| source.name.clone());
    let id = || about.execution.map(|id| id.to_string()).unwrap_or_default();
    source.filter(|name| !name.is_empty()).unwrap_or_else(id)
}

fn correlation_id(about: &About, name: &str) -> Result<CorrelationId, Wrong> {
    match &about.correlation_id {
        Some(id) => Text::fitted(id.as_str()),
        None => Text::fitted(name),
    }
}

fn actor(actor: &Actor) -> Result<contract::Actor, Wrong> {
    let person = actor.person();
    let program = actor.method == AuthenticationMethod::Service
        || actor.on_behalf_of.is_none() && person.starts_with("system:serviceaccount:");
    let name = match actor.method {
        AuthenticationMethod::Service => CONTROLLER,
        AuthenticationMethod::None
        | AuthenticationMethod::Token
        | AuthenticationMethod::Certificate => person,
    };
    Ok(contract::Actor {
        kind: if program { ActorKind::Service } else { ActorKind::User },
        id: Text::fitted(name).or_else(|_| Text::fitted("unknown"))?,
        ip: actor.address.as_deref().and_then(|address| address.parse().ok()),
    })
}

/// That of the object that asked, else that of the target.
fn namespace(about: &About) -> Option<Text<1, 253>> {
    let of_source = about.source.as_ref().map(|source| source.namespace.clone());
    let of_target = || Some(about.target_key()?.target.namespace()?.to_owned());
    let namespace = of_source.filter(|namespace| !namespace.is_empty()).or_else(of_target);
    namespace.and_then(|namespace| Text::fitted(&namespace).ok())
}

fn workflow(about: &About, execution: Option<&Execution>, phase: Phase) -> Result<Workflow, Wrong> {
    let parameters = execution.map(|execution| &execution.request.parameters);
    let parameters = parameters.into_iter().flatten();
    let parameters =
        parameters.map(|(name, value)| Ok((Any::fitted(name)?, Any::fitted(&value.shown())?)));
    let target = about.target.as_ref();
    let target = target.map(|target| target.as_given.as_ref().unwrap_or(&target.name));
    let (id, version, image, name) = match &about.workflow {
        Some(workflow) => (
            if workflow.id.is_empty() { &workflow.reference } else { &workflow.id }.clone(),
            workflow.version.clone(),
            pinned(workflow),
            Some(workflow.name.clone()).filter(|name| !name.is_empty()),
        ),
        None => (String::new(), String::new(), String::new(), None),
    };
    Ok(Workflow {
        workflow_id: Any::fitted(&id)?,
        workflow_version: Any::fitted(&version)?,
        target_resource: Any::fitted(target.map_or("", String::as_str))?,
        phase,
        container_image: Any::fitted(&image)?,
        execution_name: Any::fitted(&execution_name(about))?,
        workflow_name: name.map(|name| Any::fitted(&name)).transpose()?,
        started_at: None,
        completed_at: None,
        duration: None,
        failure_reason: None,
        failure_message: None,
        failed_task_name: None,
        error_details: None,
        pipelinerun_name: None,
        parameters: parameters.collect::<Result<_, Wrong>>()?,
    })
}

/// The bundle that is run: its reference, with the digest when one is known.
fn pinned(workflow: &AboutWorkflow) -> String {
    match &workflow.digest {
        Some(digest) if !workflow.reference.contains('@') => {
            format!("{}@{digest}", workflow.reference)
        }
        _ => workflow.reference.clone(),
    }
}

/// What is known of the run when it is over. The record of an execution that has ended does not change.
fn ended(
    workflow: Workflow,
    execution: Option<&Execution>,
    at: Timestamp,
) -> Result<Workflow, Wrong> {
    let state = execution.map(|execution| &execution.state);
    let planned = state.and_then(|state| state.planned_run());
    let created = state.and_then(|state| state.created_run());
    let took = created.and_then(|run| took(run.created_at, at));
    Ok(Workflow {
        pipelinerun_name: planned.map(|run| Any::fitted(run.name.as_str())).transpose()?,
        started_at: created.map(|run| Second::of(run.created_at)),
        completed_at: Some(Second::of(at)),
        duration: took.map(|took| Any::fitted(&spoken(took))).transpose()?,
        ..workflow
    })
}

fn duration(logged: &Logged, execution: Option<&Execution>) -> Option<Duration> {
    let What::Transition { after, .. } = &logged.what else { return None };
    let run = execution?.state.created_run().filter(|_| after.is_terminal())?;
    took(run.created_at, execution?.state.ended_at()?)
}

fn took(from: Timestamp, to: Timestamp) -> Option<Duration> {
    Duration::try_from(to.duration_since(from)).ok()
}

/// A duration as the platform's services write it: `45s`, `1m30s`, `1h0m5s`.
fn spoken(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m{seconds}s"),
        (hours, minutes, seconds) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

fn shortened(text: &str) -> Result<Any, Wrong> {
    Any::fitted(&text.chars().take(MAX_MESSAGE_CHARS).collect::<String>())
}

fn failed(workflow: Workflow, failure: &Failure) -> Result<Workflow, Wrong> {
    let said = if failure.message.is_empty() { &failure.summary } else { &failure.message };
    let (code, retry_possible) = match failure.reason {
        FailureReason::ConfigurationError | FailureReason::Forbidden => {
            ("ERR_WORKFLOW_NOT_FOUND", false)
        }
        FailureReason::ImagePullBackOff => ("ERR_IMAGE_PULL", true),
        FailureReason::TaskFailed => ("ERR_PIPELINE_FAILED", !failure.was_execution_failure),
        FailureReason::OomKilled
        | FailureReason::DeadlineExceeded
        | FailureReason::ResourceExhausted
        | FailureReason::Unknown => ("ERR_PIPELINE_FAILED", true),
    };
    Ok(Workflow {
        failure_reason: Some(reason(failure.reason)),
        failure_message: Some(shortened(said)?),
        failed_task_name: failure.task.as_deref().map(Any::fitted).transpose()?,
        error_details: Some(ErrorDetails {
            message: shortened(&failure.summary)?,
            code: Any::fitted(code)?,
            component: Component::WorkflowExecution,
            retry_possible,
        }),
        ..workflow
    })
}

/// The contract knows no execution that was stopped: it is one that failed, and says who stopped it.
fn cancelled(workflow: Workflow, cancellation: &Cancellation) -> Result<Workflow, Wrong> {
    let Cancellation { reason, actor, .. } = cancellation;
    let message = format!("cancelled by {}: {reason}", actor.person());
    Ok(Workflow {
        failure_reason: Some(contract::FailureReason::Unknown),
        failure_message: Some(shortened(&message)?),
        ..workflow
    })
}

const fn reason(reason: FailureReason) -> contract::FailureReason {
    match reason {
        FailureReason::TaskFailed => contract::FailureReason::TaskFailed,
        FailureReason::OomKilled => contract::FailureReason::OomKilled,
        FailureReason::DeadlineExceeded => contract::FailureReason::DeadlineExceeded,
        FailureReason::Forbidden => contract::FailureReason::Forbidden,
        FailureReason::ResourceExhausted => contract::FailureReason::ResourceExhausted,
        FailureReason::ConfigurationError => contract::FailureReason::ConfigurationError,
        FailureReason::ImagePullBackOff => contract::FailureReason::ImagePullBackOff,
        FailureReason::Unknown => contract::FailureReason::Unknown,
    }
}

/// The event, with the largest parameters left out until the receiver takes it. They are in the log.
fn fitting(mut facts: Facts) -> Result<Event, Wrong> {
    while let Err(too_large) = Event::try_from(facts.clone()) {
        let largest = facts.event_data.parameters_mut().and_then(|parameters| {
            parameters.values_mut().max_by_key(|value| value.as_str().len())
        });
        let note =
            largest.as_ref().map(|value| format!("[left out: {} bytes]", value.as_str().len()));
        match (largest, note) {
            (Some(value), Some(note)) if note.len() < value.as_str().len() => {
                *value = Any::fitted(&note)?;
            }
            _ => {
                tracing::error!(
                    bytes = too_large.bytes,
                    "an event is too large without its parameters"
                );
                return Err(Wrong::OutOfRange("at most 262144 bytes of event_data"));
            }
        }
    }
    Event::try_from(facts).map_err(|_| Wrong::OutOfRange("at most 262144 bytes of event_data"))
}

#[cfg(test)]
mod tests;
