//! Why something waits: the closed gate, what closed it, until when, and what a person must do.

use jiff::Timestamp;
use wfe_proto::v1::{Execution, Gate, GateMode, Waiting};

use super::{gate_name, plain, time};

/// The sentence about a closed gate, and the time that is left of it at `now`.
pub(crate) fn sentence(waiting: &Waiting, now: Timestamp) -> String {
    let said = if waiting.message.is_empty() {
        "a gate of its target is closed".to_owned()
    } else {
        plain(&waiting.message)
    };
    match left(waiting.until.as_ref(), now) {
        Some(left) => format!("{said} ({left} left)"),
        None => said,
    }
}

/// The same in few words, the time that is left in front: `COOLDOWN 4m 3s left after <execution>`.
pub(super) fn short(waiting: &Waiting, now: Timestamp) -> String {
    let gate = gate_name(waiting.gate());
    let left = match left(waiting.until.as_ref(), now) {
        Some(left) => format!(" {left} left"),
        None => String::new(),
    };
    let (word, execution) = match waiting.gate() {
        Gate::Lock => ("held by", &waiting.holder_execution_id),
        Gate::Cooldown | Gate::Backoff | Gate::Unspecified => {
            ("after", &waiting.cause_execution_id)
        }
        Gate::Block => ("by failure of", &waiting.cause_execution_id),
    };
    if execution.is_empty() {
        return format!("{gate}{left}");
    }
    format!("{gate}{left} {word} {}", plain(execution))
}

/// The command that opens the gate that an execution waits at, when a person must open it.
pub(crate) fn to_do(execution: &Execution, server: &str) -> Option<String> {
    let waiting = execution.waiting.as_ref().filter(|waiting| waiting.gate() == Gate::Block)?;
    let cause = &waiting.cause_execution_id;
    Some(clear_command(&execution.target, &execution.cluster_id, cause, server))
}

/// The command that clears a block, as it is typed but for the reason: what stands there is refused, so
/// that nobody clears one without a word. `server` is the option that reaches the server.
pub(crate) fn clear_command(
    target: &str,
    cluster_id: &str,
    execution_id: &str,
    server: &str,
) -> String {
    let mut command = format!("wfe clear-block {}", plain(target));
    for (option, value) in [("--cluster", cluster_id), ("--execution", execution_id)] {
        if !value.is_empty() {
            command = format!("{command} {option} {}", plain(value));
        }
    }
    format!("{command} --reason \"...\"{server}")
}

/// Whether a gate holds anybody.
pub(super) fn mode_name(mode: GateMode) -> &'static str {
    match mode {
        GateMode::Enforce => "enforced",
        GateMode::Observe => "only observed",
        GateMode::Unspecified => "in a mode that this version does not know",
    }
}

/// The time from `now` to `end`. None without an end, or when it is over.
pub(super) fn left(end: Option<&prost_types::Timestamp>, now: Timestamp) -> Option<String> {
    if time::from_proto(end)? <= now {
        return None;
    }
    let now_too = time::to_proto(now);
    time::between(Some(&now_too), end, now).map(time::span)
}
