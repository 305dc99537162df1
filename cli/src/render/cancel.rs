//! Requests to stop: how, until when, and what made them stronger.

use wfe_proto::v1::{CancelMode, Cancellation, Escalation, EscalationCause};

use super::{by, plain, time};

/// How gently a run is stopped, and until when; nothing when everything is stopped at once.
pub(crate) fn how(cancellation: &Cancellation) -> Option<String> {
    let until = cancellation.escalate_time.as_ref()?;
    let mode = mode_name(cancellation.mode());
    Some(format!("{mode}, at once from {}", time::stamp(Some(until))))
}

/// Who asked, how and why, then what made it stronger; a line each.
pub(crate) fn lines(cancellation: &Cancellation) -> Vec<String> {
    let by = by(cancellation.actor.as_ref());
    let at = time::stamp(cancellation.request_time.as_ref());
    let how = how(cancellation).map(|how| format!(", {how}")).unwrap_or_default();
    let mut lines = vec![format!("{at}{by}{how}: {}", plain(&cancellation.reason))];
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
