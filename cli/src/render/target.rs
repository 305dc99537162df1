//! Why something waits on a target, in sentences.

use jiff::Timestamp;
use wfe_proto::v1::{Backoff, Block, BlockReason, Cooldown, Lock, QueueEntry, Target};

use super::{plain, state_name, target_name, time};

/// All that is known of a target: its holder, its queue, and the gates that are closed.
pub(crate) fn sentences(target: &Target, now: Timestamp) -> String {
    let name = target_name(&target.target, &target.cluster_id);
    let mut lines = vec![match &target.lock {
        Some(lock) => held(&name, lock, now),
        None => format!("{name} is free: nothing holds it."),
    }];
    lines.extend(queue(&target.queue, now));
    lines.extend(target.cooldown.as_ref().map(|gate| cooldown(gate, now)));
    lines.extend(target.backoff.as_ref().map(|gate| backoff(gate, now)));
    lines.extend(target.block.as_ref().map(|gate| block(gate, now)));
    lines.join("\n")
}

fn held(name: &str, lock: &Lock, now: Timestamp) -> String {
    let since = since(lock.since.as_ref(), now);
    let run = if lock.run.is_empty() {
        String::new()
    } else {
        format!(" Its run is {}.", plain(&lock.run))
    };
    if lock.execution_id.is_empty() {
        return format!("{name} is held by a run that is not of this service{since}.{run}");
    }
    format!(
        "{name} is held by execution {} ({}){since}.{run}",
        plain(&lock.execution_id),
        state_name(lock.state()),
    )
}

fn queue(entries: &[QueueEntry], now: Timestamp) -> Vec<String> {
    let mut lines = vec![match entries.len() {
        0 => "Nothing waits for it.".to_owned(),
        1 => "1 execution waits for it:".to_owned(),
        many => format!("{many} executions wait for it, in this order:"),
    }];
    lines.extend(entries.iter().map(|entry| {
        let why = entry
            .waiting
            .as_ref()
            .filter(|waiting| !waiting.message.is_empty())
            .map(|waiting| format!(": {}", plain(&waiting.message)))
            .unwrap_or_default();
        format!(
            "  {}. {}{}{why}",
            entry.position,
            plain(&entry.execution_id),
            since(entry.create_time.as_ref(), now),
        )
    }));
    lines
}

fn cooldown(gate: &Cooldown, now: Timestamp) -> String {
    format!("It cools down after {}{}.", plain(&gate.workflow), until(gate.end_time.as_ref(), now))
}

fn backoff(gate: &Backoff, now: Timestamp) -> String {
    format!(
        "It backs off after {} {} in a row{}.",
        gate.failures,
        if gate.failures == 1 { "failure" } else { "failures" },
        until(gate.end_time.as_ref(), now),
    )
}

fn block(gate: &Block, now: Timestamp) -> String {
    let why = match gate.reason() {
        BlockReason::PreviousExecutionFailed => "an execution failed after it had started to act",
        BlockReason::RetriesExhausted => "too many runs in a row failed before they did anything",
        BlockReason::Unspecified => "of a reason that this version does not know",
    };
    format!(
        "It is blocked{} by execution {}: {why}. A person must look at it and clear the block.",
        since(gate.since.as_ref(), now),
        plain(&gate.execution_id),
    )
}

/// ` since <time> (<span> ago)`.
fn since(start: Option<&prost_types::Timestamp>, now: Timestamp) -> String {
    match time::between(start, None, now) {
        Some(ago) => format!(" since {} ({} ago)", time::stamp(start), time::span(ago)),
        None => String::new(),
    }
}

/// ` until <time> (in <span>)`.
fn until(end: Option<&prost_types::Timestamp>, now: Timestamp) -> String {
    let start = time::to_proto(now);
    match time::from_proto(end).and(time::between(Some(&start), end, now)) {
        Some(left) => format!(" until {} (in {})", time::stamp(end), time::span(left)),
        None => String::new(),
    }
}
