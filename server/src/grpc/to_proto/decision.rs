//! What was decided and changes no execution, and clearances that did.

use wfe_core::{
    audit::{Logged, Times, What},
    clear::Clearance,
    ids::ExecutionId,
};
use wfe_proto::v1;

use super::{actor, asked_by, target, timestamp, waiting};

/// The event of a block that was cleared.
pub(in super::super) fn block_cleared(
    execution: ExecutionId,
    clearance: &Clearance,
) -> v1::ExecutionEvent {
    let state = v1::State::Failed.into();
    v1::ExecutionEvent {
        execution_id: execution.to_string(),
        time: Some(timestamp(clearance.at)),
        r#type: v1::EventType::BlockCleared.into(),
        actor: Some(actor(&clearance.actor)),
        previous_state: state,
        state,
        message: format!("its block was cleared: {}", clearance.reason),
        clearance: Some(target::clearance(clearance)),
        ..v1::ExecutionEvent::default()
    }
}

/// A decision.
pub(in super::super) fn decision(entry: &Logged) -> v1::Decision {
    let Logged { sequence: _, stream: _, revision: _, at, actor: by, what, about } = entry;
    let mut message = v1::Decision {
        time: Some(timestamp(*at)),
        actor: Some(actor(by)),
        target: about.target.as_ref().map(|target| target.name.clone()).unwrap_or_default(),
        cluster_id: about.target.as_ref().map(|t| t.cluster.to_string()).unwrap_or_default(),
        execution_id: about.execution.map(|id| id.to_string()).unwrap_or_default(),
        request_id: about.request_id.as_ref().map(ToString::to_string).unwrap_or_default(),
        correlation_id: about.correlation_id.as_ref().map(ToString::to_string).unwrap_or_default(),
        source: about.source.as_ref().map(asked_by),
        ..v1::Decision::default()
    };
    let (r#type, text) = match what {
        What::Refused { code, hold, times: _ } => {
            message.code = code.to_string();
            message.waiting = hold.as_ref().map(waiting);
            let concerned = hold.as_ref().and_then(|hold| hold.holder().or(hold.cause()));
            message.execution_id = concerned.map(|id| id.to_string()).unwrap_or_default();
            let why = hold.as_ref().map_or_else(|| code.to_string(), |hold| hold.message.clone());
            (v1::DecisionType::Refused, format!("a Start was refused: {why}"))
        }
        What::Attached { .. } => (
            v1::DecisionType::Attached,
            "a request follows the execution that holds its target".to_owned(),
        ),
        What::Withdrawn { reason } => {
            (v1::DecisionType::Withdrawn, format!("a request was withdrawn: {reason}"))
        }
        What::CancelIgnored { state, reason, times: _ } => {
            let state = state.as_str();
            let text = format!("asked to stop, which makes no difference in {state}: {reason}");
            (v1::DecisionType::CancelIgnored, text)
        }
        What::ClearBlock { outcome, reason, ticket } => {
            message.clearance = Some(target::clearance(&Clearance {
                actor: by.clone(),
                at: *at,
                reason: reason.clone(),
                ticket: ticket.clone(),
            }));
            let outcome = outcome.replace('_', " ");
            let text = format!("a clearance cleared nothing, {outcome}: {reason}");
            (v1::DecisionType::ClearanceRefused, text)
        }
        // Events, or for auditors alone.
        What::Transition { .. }
        | What::Denied { .. }
        | What::KeyRotated { .. }
        | What::Pruned { .. } => (v1::DecisionType::Unspecified, String::new()),
    };
    let times = what.times().unwrap_or(Times::once(*at));
    message.set_type(r#type);
    message.message = text;
    message.count = i64::try_from(times.count).unwrap_or(i64::MAX);
    message.since = Some(timestamp(times.since));
    message
}
