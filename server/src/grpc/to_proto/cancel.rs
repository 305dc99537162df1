//! Requests to stop, as messages.

use wfe_core::execution::{CancelMode, Cancellation, Escalation, EscalationCause};
use wfe_proto::v1;

use super::{actor, timestamp};

/// A request to stop.
pub(super) fn cancellation(cancellation: &Cancellation) -> v1::Cancellation {
    let Cancellation { reason, actor: by, requested_at, mode, escalate_at, escalations } =
        cancellation;
    v1::Cancellation {
        mode: self::mode(*mode).into(),
        reason: reason.clone(),
        actor: Some(actor(by)),
        request_time: Some(timestamp(*requested_at)),
        escalate_time: escalate_at.map(timestamp),
        escalations: escalations.iter().map(escalation).collect(),
    }
}

/// Why it is stopped in a stronger way than before, for a person.
pub(super) fn escalated(cancellation: &Cancellation) -> String {
    let how = match cancellation.mode {
        CancelMode::StopAndFinally => "no further tasks begin",
        CancelMode::RunFinally => "what runs is stopped, then the finally tasks run",
        CancelMode::Immediate => "everything is stopped at once",
    };
    match cancellation.escalations.last().map(|last| &last.cause) {
        Some(EscalationCause::Patience) => format!("{how}: its time to end is over"),
        Some(EscalationCause::Deadline) => format!("{how}: its deadline has passed"),
        Some(EscalationCause::Request { reason, .. }) => format!("{how}: {reason}"),
        None => how.to_owned(),
    }
}

fn escalation(escalation: &Escalation) -> v1::Escalation {
    let Escalation { at, from, cause } = escalation;
    let (cause, by, reason) = match cause {
        EscalationCause::Patience => (v1::EscalationCause::Patience, None, String::new()),
        EscalationCause::Deadline => (v1::EscalationCause::Deadline, None, String::new()),
        EscalationCause::Request { actor: by, reason } => {
            (v1::EscalationCause::Request, Some(actor(by)), reason.clone())
        }
    };
    v1::Escalation {
        time: Some(timestamp(*at)),
        cause: cause.into(),
        previous_mode: mode(*from).into(),
        actor: by,
        reason,
    }
}

fn mode(mode: CancelMode) -> v1::CancelMode {
    match mode {
        CancelMode::StopAndFinally => v1::CancelMode::StopAndFinally,
        CancelMode::RunFinally => v1::CancelMode::RunFinally,
        CancelMode::Immediate => v1::CancelMode::Immediate,
    }
}
