//! Events as lines: time, revision, state, message.

use jiff::Timestamp;
use wfe_proto::v1::{Decision, EventType, Execution, ExecutionEvent, State};

use super::{bare, cancel, execution, gate_name, paint_state, plain, progress, time, waiting};
use crate::context::Colour;

/// Longest name of a state.
const STATE_WIDTH: usize = 10;

/// Characters of an id that tell it from others.
const ID_WIDTH: usize = 8;

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

/// One decision as one line.
pub(crate) fn decision_line(decision: &Decision) -> String {
    let kind = bare(decision.r#type().as_str_name(), "DECISION_TYPE_").replace('_', " ");
    let times = match decision.count {
        ..=1 => String::new(),
        count => format!(" ({count} times since {})", time::stamp(decision.since.as_ref())),
    };
    let by = decision.actor.as_ref().map(|actor| {
        let person = actor.on_behalf_of.as_ref().map_or(&actor.user, |somebody| &somebody.user);
        format!(", asked by {}", plain(person))
    });
    format!(
        "{:<24}        {kind:<STATE_WIDTH$}  {}{}{times}",
        time::stamp(decision.time.as_ref()),
        plain(&decision.message),
        by.unwrap_or_default(),
    )
}

/// Whose line it is, where there are those of others.
pub(crate) struct Whose<'a> {
    /// The execution; may be empty.
    pub(crate) id: &'a str,
    /// Its target; may be empty.
    pub(crate) target: &'a str,
}

impl Whose<'_> {
    /// The line with the end of the id, which is random, and the target in front.
    pub(crate) fn before(&self, line: &str) -> String {
        let id: String = self.id.chars().rev().take(ID_WIDTH).collect();
        let id: String = id.chars().rev().collect();
        let or = |text: &str| if text.is_empty() { "-".to_owned() } else { plain(text) };
        format!("{:<ID_WIDTH$}  {}  {line}", or(&id), or(self.target))
    }
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
    let said = format!("{said}{}{}", gates(event), given(event));
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

/// How it is stopped from then on, for the event that says so.
fn given(event: &ExecutionEvent) -> String {
    let asked = matches!(event.r#type(), EventType::CancelRequested | EventType::CancelEscalated);
    let how = event.cancellation.as_ref().filter(|_| asked).and_then(cancel::how);
    how.map(|how| format!(" ({how})")).unwrap_or_default()
}

fn type_sentence(kind: EventType) -> &'static str {
    match kind {
        EventType::Unspecified => "something that this version does not know",
        EventType::Accepted => "accepted",
        EventType::Held => "a gate of its target is closed",
        EventType::Admitted => "it holds its target",
        EventType::Delayed => "something is in the way",
        EventType::RunCreated => "its run exists",
        EventType::Progressed => "its run moved on",
        EventType::CancelRequested => "it was asked to stop",
        EventType::CancelEscalated => "it is stopped in a stronger way",
        EventType::Succeeded => "succeeded",
        EventType::Failed => "failed",
        EventType::Cancelled => "cancelled",
        EventType::BlockCleared => "the block that it caused was cleared",
    }
}
