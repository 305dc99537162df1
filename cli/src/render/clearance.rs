//! Who cleared a block, or tried to.

use jiff::Timestamp;
use wfe_proto::v1::{
    ClearBlockResponse, Clearance, ClearanceAttempt, ClearanceOutcome, State, Target,
};

use super::{by, plain, state_name, target, target_name, time};

/// What was cleared, what is kept of it, and who runs next.
pub(crate) fn cleared(response: &ClearBlockResponse, now: Timestamp) -> String {
    let target = response.target.clone().unwrap_or_default();
    let execution = response.execution.clone().unwrap_or_default();
    let id = plain(&execution.id);
    let name = target_name(&target.target, &target.cluster_id);
    let state = state_name(execution.state());
    let mut lines = vec![format!(
        "cleared: execution {id}, which stays {state}, does not block {name} any more"
    )];
    lines.extend(execution.clearance.iter().map(|by| format!("on record: {}", record(by))));
    lines.push(next(&target, now));
    lines.join("\n")
}

/// Who acts on the target now, or why nobody does.
fn next(target: &Target, now: Timestamp) -> String {
    if let Some(lock) = &target.lock {
        if lock.execution_id.is_empty() {
            return format!("next: {}", target::foreign(&lock.run));
        }
        let (id, state) = (plain(&lock.execution_id), lock.state());
        return match state {
            State::Starting => format!("next: execution {id} starts"),
            State::Unspecified
            | State::Waiting
            | State::Running
            | State::Cancelling
            | State::Succeeded
            | State::Failed
            | State::Cancelled => {
                format!("next: execution {id} holds the target ({})", state_name(state))
            }
        };
    }
    match target.queue.first() {
        Some(entry) => {
            let why = target::why(entry, now);
            format!("next: execution {} still waits{why}", plain(&entry.execution_id))
        }
        None => "next: nothing waits for the target".to_owned(),
    }
}

/// `<time> by <who>: <why> (ticket <reference>)`.
pub(super) fn record(clearance: &Clearance) -> String {
    let at = time::stamp(clearance.clear_time.as_ref());
    let by = by(clearance.actor.as_ref());
    let ticket = match clearance.ticket.as_str() {
        "" => String::new(),
        ticket => format!(" (ticket {})", plain(ticket)),
    };
    format!("{at}{by}: {}{ticket}", plain(&clearance.reason))
}

/// One attempt, as a line.
pub(super) fn attempt(attempt: &ClearanceAttempt) -> String {
    let execution = plain(&attempt.execution_id);
    let outcome = match attempt.outcome() {
        ClearanceOutcome::Cleared => format!("cleared the failure of {execution}"),
        ClearanceOutcome::NotBlocked => "refused, nothing was blocked".to_owned(),
        ClearanceOutcome::Stale => format!("refused, by then {execution} blocked"),
        ClearanceOutcome::Unspecified => "an end that this version does not know".to_owned(),
    };
    let record = attempt.clearance.as_ref().map(record).unwrap_or_default();
    format!("{record} -> {outcome}")
}
