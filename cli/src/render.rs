//! Answers as text for people. Pure: the time of now and the wish for colours are arguments, and
//! nothing is written from here.

pub(crate) mod cancel;
pub(crate) mod clearance;
pub(crate) mod event;
pub(crate) mod execution;
pub(crate) mod list;
pub(crate) mod progress;
pub(crate) mod target;
pub(crate) mod time;
pub(crate) mod waiting;

use anstyle::{AnsiColor, Style};
use wfe_proto::v1::{Actor, FailureReason, Gate, State, TaskState};

use crate::context::Colour;

/// Text from elsewhere, safe for a terminal: control characters become spaces.
pub(crate) fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Text from elsewhere of more than one line, safe for a terminal.
pub(crate) fn plain_lines(text: &str) -> Vec<String> {
    text.lines().map(plain).collect()
}

/// `text`, cut to `length` characters.
fn short(text: &str, length: usize) -> String {
    let text = plain(text);
    if text.chars().count() <= length {
        return text;
    }
    let mut cut: String = text.chars().take(length.saturating_sub(3)).collect();
    cut.push_str("...");
    cut
}

/// The name of a state as people write it: RUNNING.
pub(crate) fn state_name(state: State) -> &'static str {
    bare(state.as_str_name(), "STATE_")
}

fn task_state_name(state: TaskState) -> &'static str {
    bare(state.as_str_name(), "TASK_STATE_")
}

pub(crate) fn failure_name(reason: FailureReason) -> &'static str {
    bare(reason.as_str_name(), "FAILURE_REASON_")
}

fn gate_name(gate: Gate) -> &'static str {
    bare(gate.as_str_name(), "GATE_")
}

fn bare(name: &'static str, prefix: &str) -> &'static str {
    name.strip_prefix(prefix).unwrap_or(name)
}

/// What a state means for a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tone {
    Good,
    Bad,
    Attention,
    Busy,
    Quiet,
}

impl Tone {
    fn of(state: State) -> Tone {
        match state {
            State::Succeeded => Tone::Good,
            State::Failed => Tone::Bad,
            State::Waiting | State::Cancelling | State::Cancelled => Tone::Attention,
            State::Starting | State::Running => Tone::Busy,
            State::Unspecified => Tone::Quiet,
        }
    }

    fn of_task(state: TaskState) -> Tone {
        match state {
            TaskState::Succeeded => Tone::Good,
            TaskState::Failed => Tone::Bad,
            TaskState::Cancelled => Tone::Attention,
            TaskState::Running => Tone::Busy,
            TaskState::Pending | TaskState::Skipped | TaskState::Unspecified => Tone::Quiet,
        }
    }

    fn style(self) -> Style {
        let fg = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
        match self {
            Tone::Good => fg(AnsiColor::Green),
            Tone::Bad => fg(AnsiColor::Red),
            Tone::Attention => fg(AnsiColor::Yellow),
            Tone::Busy => fg(AnsiColor::Cyan),
            Tone::Quiet => Style::new().dimmed(),
        }
    }
}

/// The name of a state in at least `width` characters, coloured.
fn paint_state(state: State, width: usize, colour: Colour) -> String {
    let name = format!("{:<width$}", state_name(state));
    paint(&name, Tone::of(state).style(), colour)
}

fn paint_task_state(state: TaskState, width: usize, colour: Colour) -> String {
    let name = format!("{:<width$}", task_state_name(state));
    paint(&name, Tone::of_task(state).style(), colour)
}

/// `text` as a heading.
pub(crate) fn heading(text: &str, colour: Colour) -> String {
    paint(text, Style::new().bold(), colour)
}

fn paint(text: &str, style: Style, colour: Colour) -> String {
    match colour {
        Colour::On => format!("{style}{text}{style:#}"),
        Colour::Off => text.to_owned(),
    }
}

/// ` by <name>`, and through whom when somebody else called for that person. Empty without a name.
fn by(actor: Option<&Actor>) -> String {
    let Some(actor) = actor.filter(|actor| !actor.user.is_empty()) else {
        return String::new();
    };
    match &actor.on_behalf_of {
        Some(person) if !person.user.is_empty() => {
            format!(" by {} (through {})", plain(&person.user), plain(&actor.user))
        }
        Some(_) | None => format!(" by {}", plain(&actor.user)),
    }
}

/// `name`, and the cluster when it is not the local one.
pub(crate) fn target_name(target: &str, cluster_id: &str) -> String {
    if cluster_id.is_empty() {
        plain(target)
    } else {
        format!("{} in cluster {}", plain(target), plain(cluster_id))
    }
}

#[cfg(test)]
mod tests;
