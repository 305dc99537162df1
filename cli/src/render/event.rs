//! Events as lines: time, revision, state, message.

use jiff::Timestamp;
use wfe_proto::v1::{EventType, Execution, ExecutionEvent, State};

use super::{execution, paint_state, plain, progress, time};
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
    let seen = event.progress.as_ref().map(progress::summary);
    match seen.filter(|seen| !seen.is_empty() && !said.contains(seen)) {
        Some(seen) => format!("{said} ({seen})"),
        None => said,
    }
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
