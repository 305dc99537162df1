//! Events as lines: time, revision, state, message.

use jiff::Timestamp;
use wfe_proto::v1::{EventType, Execution, ExecutionEvent, State};

use super::{execution, gate_name, paint_state, plain, progress, time, waiting};
use crate::context::Colour;

/// Longest name of a state.
const STATE_WIDTH: usize = 10;

/// One event as one line.
pub(crate) fn line(event: &ExecutionEvent, colour: Colour) -> String {
    entry(event.time.as_ref(), event.revision, event.state(), &message(event), colour)
}

/// An execution as it is, as one line that stands for all events up to its revision.
pub(crate) fn snapshot_line(seen: &Execution, now: Timestamp, colour: Colour) -> String {
    let standing = execution::standing(seen, now);
    entry(
        seen.update_time.as_ref(),
        seen.revision,
        seen.state(),
        standing.lines().next().unwrap_or_default(),
        colour,
    )
}

fn entry(
    at: Option<&prost_types::Timestamp>,
    revision: i64,
    state: State,
    message: &str,
    colour: Colour,
) -> String {
    format!(
        "{:<24}  {revision:>4}  {}  {message}",
        time::stamp(at),
        paint_state(state, STATE_WIDTH, colour),
    )
}

/// The sentence of the event, or what its type says when it has none; with the number of tasks.
fn message(event: &ExecutionEvent) -> String {
    let said = if event.r#type() == EventType::Progressed
        && let Some(now) = event.progress.as_ref().and_then(progress::now)
    {
        now
    } else if event.message.is_empty() {
        type_sentence(event.r#type()).to_owned()
    } else {
        plain(&event.message)
    };
    let said = format!("{said}{}", gates(event));
    let seen = event.progress.as_ref().map(progress::summary);
    match seen.filter(|seen| !seen.is_empty() && !said.contains(seen)) {
        Some(seen) => format!("{said} ({seen})"),
        None => said,
    }
}

/// How long the closed gate lasts from then on, and which gates let it pass.
fn gates(event: &ExecutionEvent) -> String {
    let then = time::from_proto(event.time.as_ref());
    let until = event.waiting.as_ref().and_then(|waits| waits.until.as_ref());
    let mut text = match then.and_then(|then| waiting::left(until, then)) {
        Some(left) => format!(" ({left} left)"),
        None => String::new(),
    };
    for waits in &event.observed {
        text =
            format!("{text}; let pass by {}: {}", gate_name(waits.gate()), plain(&waits.message));
    }
    text
}

fn type_sentence(kind: EventType) -> &'static str {
    match kind {
        EventType::Unspecified => "something that this version does not know",
        EventType::Accepted => "accepted",
        EventType::Held => "a gate of its target is closed",
        EventType::Admitted => "it holds its target",
        EventType::Delayed => "its run cannot be created right now",
        EventType::RunCreated => "its run exists",
        EventType::Progressed => "its run moved on",
        EventType::CancelRequested => "it was asked to stop",
        EventType::Succeeded => "succeeded",
        EventType::Failed => "failed",
        EventType::Cancelled => "cancelled",
        EventType::BlockCleared => "the block that it caused was cleared",
    }
}
