//! Why something waits on a target, in sentences.

use jiff::Timestamp;
use wfe_proto::v1::{Backoff, Block, BlockReason, Cooldown, GateMode, Lock, QueueEntry, Target};

use super::{clearance, plain, state_name, target_name, time, waiting};

/// All that is known of a target: its holder, its queue, the gates that are closed, what a person must
/// do, and who cleared what. `server` is the option that reaches the server, for commands.
pub(crate) fn sentences(target: &Target, now: Timestamp, server: &str) -> String {
    let name = target_name(&target.target, &target.cluster_id);
    let gates = gates(target, now, server);
    let mut lines = match &target.lock {
        Some(lock) => held(&name, lock, now),
        None if gates.is_empty() => vec![format!("{name} is free: nothing holds it.")],
        None => vec![format!("Nothing holds {name}, but gates are closed; see below.")],
    };
    lines.extend(queue(&target.queue, now));
    lines.extend(match gates.as_slice() {
        [] => vec!["No other gate is closed.".to_owned()],
        gates => [&["Gates:".to_owned()], gates].concat(),
    });
    lines.extend(clearances(target));
    lines.join("\n")
}

fn held(name: &str, lock: &Lock, now: Timestamp) -> Vec<String> {
    let since = since(lock.since.as_ref(), now);
    if lock.execution_id.is_empty() {
        let run = plain(&lock.run);
        return vec![
            format!("{name} is held{since}: {}.", foreign(&run)),
            "  Find out whose it is before you end it:".to_owned(),
            format!(
                "    kubectl get pipelinerun --all-namespaces --field-selector metadata.name={run}"
            ),
        ];
    }
    let run = match lock.run.as_str() {
        "" => String::new(),
        run => format!(" Its run is {} (hold {}).", plain(run), lock.epoch),
    };
    let (id, state) = (plain(&lock.execution_id), state_name(lock.state()));
    vec![format!("{name} is held by execution {id} ({state}){since}.{run}")]
}

/// What holds a target when no execution on record does.
pub(super) fn foreign(run: &str) -> String {
    format!("PipelineRun {}, which is not on record here, acts on it", plain(run))
}

fn queue(entries: &[QueueEntry], now: Timestamp) -> Vec<String> {
    let mut lines = vec![match entries.len() {
        0 => "Nothing waits for it.".to_owned(),
        1 => "1 execution waits for it:".to_owned(),
        many => format!("{many} executions wait for it, in this order:"),
    }];
    lines.extend(entries.iter().map(|entry| {
        let (id, since) = (plain(&entry.execution_id), since(entry.create_time.as_ref(), now));
        format!("  {}. {id}{since}{}", entry.position, why(entry, now))
    }));
    lines
}

/// `: <gate>: <sentence>` of one that waits. Empty when that is not told.
pub(super) fn why(entry: &QueueEntry, now: Timestamp) -> String {
    entry.waiting.as_ref().map_or_else(String::new, |waits| {
        format!(": {}: {}", super::gate_name(waits.gate()), waiting::sentence(waits, now))
    })
}

/// The gates that the past of the target has closed, each with its mode. Empty when there is none.
fn gates(target: &Target, now: Timestamp, server: &str) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(gate) = &target.block {
        lines.extend(block(target, gate, now, server));
    }
    lines.extend(target.backoff.as_ref().map(|gate| backoff(gate, now)));
    // An older server tells only the one that lasts longest.
    let cooldowns = match target.cooldowns.as_slice() {
        [] => target.cooldown.as_slice(),
        all => all,
    };
    lines.extend(cooldowns.iter().map(|gate| cooldown(gate, now)));
    lines
}

fn cooldown(gate: &Cooldown, now: Timestamp) -> String {
    format!(
        "  COOLDOWN ({}){}: execution {} of {} succeeded.",
        mode(gate.mode()),
        until(gate.end_time.as_ref(), now),
        plain(&gate.execution_id),
        plain(&gate.workflow),
    )
}

fn backoff(gate: &Backoff, now: Timestamp) -> String {
    let failures = match gate.failures {
        1 => "1 failed before it did anything".to_owned(),
        many => format!("{many} in a row failed before they did anything"),
    };
    format!(
        "  BACKOFF ({}){}: {failures}, the last is {}.",
        mode(gate.mode()),
        until(gate.end_time.as_ref(), now),
        plain(&gate.execution_id),
    )
}

fn block(target: &Target, gate: &Block, now: Timestamp, server: &str) -> Vec<String> {
    let why = match gate.reason() {
        BlockReason::PreviousExecutionFailed => "failed after it had begun to act",
        BlockReason::RetriesExhausted => {
            "is the last of too many that failed before they did anything"
        }
        BlockReason::Unspecified => "closed it, for a reason that this version does not know",
    };
    let id = plain(&gate.execution_id);
    let since = since(gate.since.as_ref(), now);
    let clear = waiting::clear_command(&target.target, &target.cluster_id, &id, server);
    vec![
        format!("  BLOCK ({}){since}: execution {id} {why}.", mode(gate.mode())),
        "    Look at it and at the target itself, then say why it is safe to go on:".to_owned(),
        format!("      wfe get {id}{server}"),
        format!("      {clear}"),
    ]
}

/// The mode, and what it means when the gate holds nobody.
fn mode(mode: GateMode) -> String {
    let name = waiting::mode_name(mode);
    match mode {
        GateMode::Observe => format!("{name}, holds nobody"),
        GateMode::Enforce | GateMode::Unspecified => name.to_owned(),
    }
}

fn clearances(target: &Target) -> Vec<String> {
    let attempts = &target.clearances;
    let title =
        (!attempts.is_empty()).then(|| "Attempts to clear a block, the newest first:".to_owned());
    let lines = attempts.iter().map(|attempt| format!("  {}", clearance::attempt(attempt)));
    title.into_iter().chain(lines).collect()
}

/// ` since <time> (<span> ago)`.
fn since(start: Option<&prost_types::Timestamp>, now: Timestamp) -> String {
    match time::between(start, None, now) {
        Some(ago) => format!(" since {} ({} ago)", time::stamp(start), time::span(ago)),
        None => String::new(),
    }
}

/// ` until <time> (<span> left)`, or that it is over.
fn until(end: Option<&prost_types::Timestamp>, now: Timestamp) -> String {
    if time::from_proto(end).is_none() {
        return String::new();
    }
    match waiting::left(end, now) {
        Some(left) => format!(" until {} ({left} left)", time::stamp(end)),
        None => format!(", over since {}", time::stamp(end)),
    }
}
