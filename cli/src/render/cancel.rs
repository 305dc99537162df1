//! Requests to stop: how, until when, and what made them stronger.

use wfe_proto::v1::{CancelMode, Cancellation, Escalation, EscalationCause};

use super::{by, plain, time};

/// How a run is stopped, and until when what goes on is given time.
pub(crate) fn how(cancellation: &Cancellation) -> String {
    let mode = mode_name(cancellation.mode());
    match cancellation.escalate_time.as_ref() {
        Some(until) => format!("{mode}, at once from {}", time::stamp(Some(until))),
        None => mode.to_owned(),
    }
}

/// Who asked, how and why, then what made it stronger; a line each.
pub(crate) fn lines(cancellation: &Cancellation) -> Vec<String> {
    let by = by(cancellation.actor.as_ref());
    let at = time::stamp(cancellation.request_time.as_ref());
    let mut lines =
        vec![format!("{at}{by}, {}: {}", how(cancellation), plain(&cancellation.reason))];
    lines.extend(cancellation.escalations.iter().map(escalation));
    lines
}

fn escalation(escalation: &Escalation) -> String {
    let at = time::stamp(escalation.time.as_ref());
    let was = mode_name(escalation.previous_mode());
    match escalation.cause() {
        EscalationCause::Request => {
            let by = by(escalation.actor.as_ref());
            format!("{at}{by}, before {was}: {}", plain(&escalation.reason))
        }
        EscalationCause::Patience => format!("{at}, before {was}: its time to end was over"),
        EscalationCause::Deadline => format!("{at}, before {was}: its deadline had passed"),
        EscalationCause::Unspecified => format!("{at}, before {was}"),
    }
}

/// A mode, as it is written on the command line.
pub(crate) const fn mode_name(mode: CancelMode) -> &'static str {
    match mode {
        CancelMode::Unspecified | CancelMode::Immediate => "immediate",
        CancelMode::RunFinally => "run-finally",
        CancelMode::StopAndFinally => "stop-and-finally",
    }
}
