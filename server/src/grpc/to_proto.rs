//! Messages out.

use jiff::Timestamp;
use wfe_core::{
    actor::{Actor, AuthenticationMethod},
    event::{Event, EventKind},
    execution::{Closed, CreatedRun, Execution, Gate, Hold, PlannedRun, State, StateCode},
    failure::{Failure, FailureReason},
    ids::{ExecutionId, Revision},
    progress::Progress,
    request::{Source, StartRequest},
};
use wfe_proto::v1;

use super::{from_proto::question, page};
use crate::store::{Filter, Listed, Sequence};

mod cancel;
mod decision;
mod progress;
mod target;

use cancel::cancellation;
pub(super) use decision::{block_cleared, decision};
use progress::seen;
pub(super) use target::target;

/// A time.
pub(super) fn timestamp(time: Timestamp) -> prost_types::Timestamp {
    // jiff keeps the fraction of times before 1970 negative; such times do not occur here.
    prost_types::Timestamp { seconds: time.as_second(), nanos: time.subsec_nanosecond().max(0) }
}

/// A revision or cursor.
pub(super) fn revision(revision: Revision) -> i64 {
    i64::try_from(revision.0).unwrap_or(i64::MAX)
}

/// An execution. `namespace` is that of its run.
pub(super) fn execution(execution: &Execution, namespace: &str) -> v1::Execution {
    let Execution {
        id,
        request,
        actor: by,
        created_at,
        revision: number,
        updated_at,
        state,
        clearance,
    } = execution;
    let StartRequest {
        request_id,
        workflow,
        target,
        target_as_given,
        parameters: _,
        declared: _,
        service_account,
        secrets,
        config_maps,
        correlation_id,
        deadline,
        when_locked: _,
        when_cooling: _,
        when_blocked: _,
        identity,
        source,
    } = request;
    let created = state.created_run();
    v1::Execution {
        id: id.to_string(),
        request_id: request_id.to_string(),
        workflow: Some(v1::execution::Workflow::Bundle(v1::BundleWorkflow {
            reference: workflow.reference().to_owned(),
            digest: workflow.digest().unwrap_or_default().to_owned(),
            pipeline: workflow.pipeline().to_owned(),
        })),
        target: target.target.to_string(),
        target_as_given: target_as_given.clone(),
        cluster_id: target.cluster.to_string(),
        parameters: request
            .effective_parameters()
            .map(|(name, parameter)| (name.to_owned(), parameter.shown()))
            .collect(),
        service_account: service_account.clone().unwrap_or_default(),
        secrets: secrets.clone(),
        config_maps: config_maps.clone(),
        correlation_id: correlation_id.as_ref().map(ToString::to_string).unwrap_or_default(),
        deadline: deadline.map(timestamp),
        workflow_identity: Some(v1::WorkflowIdentity {
            id: identity.id.clone(),
            name: identity.name.clone(),
            version: identity.version.clone(),
        })
        .filter(|identity| *identity != v1::WorkflowIdentity::default()),
        source: source.as_ref().map(asked_by),
        state: state_code(state.code()).into(),
        revision: revision(*number),
        waiting: state.hold().map(waiting),
        run: state.planned_run().map(|planned| run(planned, created, namespace)),
        progress: created.and_then(|run| seen(&run.progress)),
        failure: match state {
            State::Failed { failure: why, .. } => Some(failure(why)),
            State::Waiting { .. }
            | State::Starting { .. }
            | State::Running { .. }
            | State::Cancelling { .. }
            | State::Succeeded { .. }
            | State::Cancelled { .. } => None,
        },
        cancellation: state.cancellation().map(cancellation),
        clearance: clearance.as_ref().map(target::clearance),
        actor: Some(actor(by)),
        create_time: Some(timestamp(*created_at)),
        start_time: created.map(|run| timestamp(run.created_at)),
        end_time: state.ended_at().map(timestamp),
        update_time: Some(timestamp(*updated_at)),
        observed: state.planned_run().map(observed).unwrap_or_default(),
        obstacle: match state {
            State::Starting { obstacle, .. } | State::Cancelling { obstacle, .. } => {
                obstacle.clone().unwrap_or_default()
            }
            State::Running { run } => {
                run.progress.stuck.as_ref().map(|stuck| stuck.wait.sentence()).unwrap_or_default()
            }
            State::Waiting { .. }
            | State::Succeeded { .. }
            | State::Failed { .. }
            | State::Cancelled { .. } => String::new(),
        },
    }
}

/// An event, with the values that it changed.
pub(super) fn event(event: &Event, namespace: &str) -> v1::ExecutionEvent {
    let Event { execution, revision: number, at, actor: by, before, after, kind } = event;
    let ended = |time: Timestamp| Some(timestamp(time));
    let mut message = v1::ExecutionEvent {
        execution_id: execution.to_string(),
        revision: revision(*number),
        time: Some(timestamp(*at)),
        actor: Some(actor(by)),
        previous_state: before.map_or(v1::State::Unspecified, state_code).into(),
        state: state_code(*after).into(),
        ..v1::ExecutionEvent::default()
    };
    let (r#type, text) = match kind {
        EventKind::Accepted => (v1::EventType::Accepted, "accepted".to_owned()),
        EventKind::Held { hold } => {
            message.waiting = Some(waiting(hold));
            (v1::EventType::Held, hold.message.clone())
        }
        EventKind::Admitted { run: planned } => {
            message.run = Some(run(planned, None, namespace));
            message.observed = observed(planned);
            (v1::EventType::Admitted, format!("holds its target; its run will be {}", planned.name))
        }
        EventKind::Delayed { obstacle } => (v1::EventType::Delayed, obstacle.clone()),
        EventKind::RunCreated { run: created } => {
            message.run = Some(run(&created.planned, Some(created), namespace));
            (v1::EventType::RunCreated, format!("PipelineRun {} exists", created.planned.name))
        }
        EventKind::Progressed { progress } => {
            message.progress = seen(progress);
            match in_the_way(progress, *after) {
                Some(sentence) => (v1::EventType::Delayed, sentence),
                None => (v1::EventType::Progressed, progress.message.clone()),
            }
        }
        EventKind::CancelRequested { cancellation: request } => {
            message.cancellation = Some(cancellation(request));
            (v1::EventType::CancelRequested, format!("asked to stop: {}", request.reason))
        }
        EventKind::CancelEscalated { cancellation: request } => {
            message.cancellation = Some(cancellation(request));
            (v1::EventType::CancelEscalated, cancel::escalated(request))
        }
        EventKind::DeadlinePassed { deadline, stuck: None } => {
            (v1::EventType::CancelRequested, format!("its deadline, {deadline}, has passed"))
        }
        EventKind::DeadlinePassed { stuck: Some(stuck), .. } => {
            let text = format!("stuck since {}: {}", stuck.since, stuck.wait.sentence());
            (v1::EventType::CancelRequested, text)
        }
        EventKind::Succeeded { progress, ended_at } => {
            message.end_time = ended(*ended_at);
            message.progress = seen(progress);
            (v1::EventType::Succeeded, progress.message.clone())
        }
        EventKind::Failed { failure: why, progress } => {
            message.progress = progress.as_ref().and_then(seen);
            message.failure = Some(failure(why));
            message.end_time = ended(why.at);
            (v1::EventType::Failed, why.summary.clone())
        }
        EventKind::Cancelled { cancellation: request, progress } => {
            message.progress = progress.as_ref().and_then(seen);
            message.cancellation = Some(cancellation(request));
            message.end_time = ended(*at);
            (v1::EventType::Cancelled, "nothing of it is alive".to_owned())
        }
    };
    message.set_type(r#type);
    message.message = text;
    message
}

/// A page of a list.
pub(super) fn list(
    listed: &[Listed],
    next: Option<Sequence>,
    filter: &Filter,
    namespace: &str,
) -> v1::ListResponse {
    v1::ListResponse {
        executions: listed.iter().map(|entry| execution(&entry.execution, namespace)).collect(),
        next_page_token: next
            .map(|sequence| page::encode(&question(filter), sequence.0))
            .unwrap_or_default(),
    }
}

/// A page of events.
pub(super) fn events(events: &[Event], limit: u32, namespace: &str) -> v1::ListEventsResponse {
    let full = events.len() >= limit as usize;
    v1::ListEventsResponse {
        events: events.iter().map(|entry| event(entry, namespace)).collect(),
        next_page_token: events
            .last()
            .filter(|_| full)
            .map(|entry| {
                page::encode(&format!("events {}", entry.execution), revision(entry.revision))
            })
            .unwrap_or_default(),
    }
}

/// What is in the way of a run that is this far, and so of its execution.
fn in_the_way(progress: &Progress, state: StateCode) -> Option<String> {
    match state {
        StateCode::Running => progress.stuck.as_ref().map(|stuck| stuck.wait.sentence()),
        StateCode::Cancelling => progress.goes_on(),
        StateCode::Waiting
        | StateCode::Starting
        | StateCode::Succeeded
        | StateCode::Failed
        | StateCode::Cancelled => None,
    }
}

fn state_code(code: StateCode) -> v1::State {
    match code {
        StateCode::Waiting => v1::State::Waiting,
        StateCode::Starting => v1::State::Starting,
        StateCode::Running => v1::State::Running,
        StateCode::Cancelling => v1::State::Cancelling,
        StateCode::Succeeded => v1::State::Succeeded,
        StateCode::Failed => v1::State::Failed,
        StateCode::Cancelled => v1::State::Cancelled,
    }
}

fn asked_by(source: &Source) -> v1::Source {
    let Source { namespace, name, uid } = source;
    v1::Source { namespace: namespace.clone(), name: name.clone(), uid: uid.clone() }
}

fn observed(run: &PlannedRun) -> Vec<v1::Waiting> {
    run.observed.iter().map(waiting).collect()
}

fn waiting(hold: &Hold) -> v1::Waiting {
    let id = |execution: Option<ExecutionId>| execution.map(|id| id.to_string());
    let block_reason = match hold.why {
        Closed::Block { reason, .. } => target::block_reason(reason),
        Closed::Lock { .. } | Closed::Cooldown { .. } | Closed::Backoff { .. } => {
            v1::BlockReason::Unspecified
        }
    };
    v1::Waiting {
        gate: match hold.gate() {
            Gate::Lock => v1::Gate::Lock,
            Gate::Cooldown => v1::Gate::Cooldown,
            Gate::Backoff => v1::Gate::Backoff,
            Gate::Block => v1::Gate::Block,
        }
        .into(),
        message: hold.message.clone(),
        holder_execution_id: id(hold.holder()).unwrap_or_default(),
        until: hold.until().map(timestamp),
        block_reason: block_reason.into(),
        cause_execution_id: id(hold.cause()).unwrap_or_default(),
    }
}

fn run(planned: &PlannedRun, created: Option<&CreatedRun>, namespace: &str) -> v1::Run {
    v1::Run {
        namespace: namespace.to_owned(),
        name: planned.name.to_string(),
        uid: created.map(|run| run.uid.clone()).unwrap_or_default(),
        epoch: i64::try_from(planned.epoch.0).unwrap_or(i64::MAX),
        create_time: created.map(|run| timestamp(run.created_at)),
    }
}

fn actor(actor: &Actor) -> v1::Actor {
    let Actor { user, uid, groups, method, on_behalf_of, address } = actor;
    v1::Actor {
        user: user.clone(),
        uid: uid.clone().unwrap_or_default(),
        groups: groups.clone(),
        method: match method {
            AuthenticationMethod::None => v1::AuthenticationMethod::None,
            AuthenticationMethod::Token => v1::AuthenticationMethod::Token,
            AuthenticationMethod::Certificate => v1::AuthenticationMethod::Certificate,
            AuthenticationMethod::Service => v1::AuthenticationMethod::Service,
        }
        .into(),
        on_behalf_of: on_behalf_of.as_ref().map(|somebody| v1::OnBehalfOf {
            user: somebody.user.clone(),
            uid: somebody.uid.clone().unwrap_or_default(),
            groups: somebody.groups.clone(),
        }),
        address: address.clone().unwrap_or_default(),
    }
}

fn failure(failure: &Failure) -> v1::Failure {
    let Failure {
        reason,
        was_execution_failure,
        task,
        task_run,
        step,
        exit_code,
        attempt,
        raw_reason,
        message,
        summary,
        started_at,
        at,
        evidence: _,
    } = failure;
    v1::Failure {
        reason: failure_reason(*reason).into(),
        was_execution_failure: *was_execution_failure,
        task: task.clone().unwrap_or_default(),
        task_run: task_run.clone().unwrap_or_default(),
        step: step.clone().unwrap_or_default(),
        exit_code: *exit_code,
        message: message.clone(),
        summary: summary.clone(),
        raw_reason: raw_reason.clone(),
        time_until_failure: started_at.map(|start| {
            let took = at.duration_since(start);
            prost_types::Duration {
                seconds: took.as_secs().max(0),
                nanos: took.subsec_nanos().max(0),
            }
        }),
        attempt: attempt.map(count).unwrap_or_default(),
        log_tail: String::new(),
    }
}

fn failure_reason(reason: FailureReason) -> v1::FailureReason {
    match reason {
        FailureReason::TaskFailed => v1::FailureReason::TaskFailed,
        FailureReason::OomKilled => v1::FailureReason::OomKilled,
        FailureReason::DeadlineExceeded => v1::FailureReason::DeadlineExceeded,
        FailureReason::Forbidden => v1::FailureReason::Forbidden,
        FailureReason::ResourceExhausted => v1::FailureReason::ResourceExhausted,
        FailureReason::ConfigurationError => v1::FailureReason::ConfigurationError,
        FailureReason::ImagePullBackOff => v1::FailureReason::ImagePullBackOff,
        FailureReason::Unknown => v1::FailureReason::Unknown,
    }
}

fn count(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
