//! Executions as a table.

use comfy_table::{Cell, Color, Table, presets};
use jiff::Timestamp;
use wfe_proto::v1::{Execution, State, execution::Workflow};

use super::{Tone, failure_name, plain, short, state_name, target_name, time, waiting};
use crate::context::Colour;

/// Longest text in the last column.
const REASON_WIDTH: usize = 70;

/// One row per execution, under a header.
pub(crate) fn table(executions: &[Execution], now: Timestamp, colour: Colour) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    // The caller knows better than the table whether there is a terminal.
    match colour {
        Colour::On => table.force_no_tty().enforce_styling(),
        Colour::Off => table.force_no_tty(),
    };
    table.set_header(["ID", "STATE", "TARGET", "WORKFLOW", "AGE", "DURATION", "REASON"]);
    for execution in executions {
        let age = time::between(execution.create_time.as_ref(), None, now);
        let took = time::between(execution.start_time.as_ref(), execution.end_time.as_ref(), now);
        table.add_row([
            Cell::new(plain(&execution.id)),
            state(execution.state()),
            Cell::new(target_name(&execution.target, &execution.cluster_id)),
            Cell::new(workflow(execution)),
            Cell::new(time::span_or_dash(age)),
            Cell::new(time::span_or_dash(took)),
            Cell::new(reason(execution, now)),
        ]);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

/// The table colours by itself: escape sequences in a cell would count as its width.
fn state(state: State) -> Cell {
    let cell = Cell::new(state_name(state));
    match Tone::of(state) {
        Tone::Good => cell.fg(Color::DarkGreen),
        Tone::Bad => cell.fg(Color::DarkRed),
        Tone::Attention => cell.fg(Color::DarkYellow),
        Tone::Busy => cell.fg(Color::DarkCyan),
        Tone::Quiet => cell,
    }
}

/// The name in the catalogue, or the last part of the reference.
fn workflow(execution: &Execution) -> String {
    let named = execution.workflow_identity.as_ref();
    if let Some(entry) = named.filter(|entry| !entry.name.is_empty()) {
        return plain([entry.name.as_str(), entry.version.as_str()].join(" ").trim());
    }
    match &execution.workflow {
        Some(Workflow::Bundle(bundle)) => {
            let last = bundle.reference.rsplit('/').next().unwrap_or_default();
            short_digest(&plain(last))
        }
        Some(Workflow::Inline(inline)) => match inline.steps.len() {
            1 => "1 step".to_owned(),
            count => format!("{count} steps"),
        },
        None => "-".to_owned(),
    }
}

/// `name@sha256:` and the first digits, as far as they tell two apart.
fn short_digest(reference: &str) -> String {
    match reference.split_once("@sha256:") {
        Some((name, hex)) => {
            let start: String = hex.chars().take(12).collect();
            format!("{name}@{start}")
        }
        None => reference.to_owned(),
    }
}

fn reason(execution: &Execution, now: Timestamp) -> String {
    match execution.state() {
        State::Waiting => execution.waiting.as_ref().map(|waits| waiting::short(waits, now)),
        State::Starting | State::Running => Some(execution.obstacle.clone()),
        State::Cancelling | State::Cancelled => {
            execution.cancellation.as_ref().map(|cancellation| cancellation.reason.clone())
        }
        State::Failed => execution.failure.as_ref().map(|failure| {
            let name = failure_name(failure.reason());
            let task = match failure.task.as_str() {
                "" => String::new(),
                task => format!(" in task {task}"),
            };
            let cleared = if execution.clearance.is_some() { ", cleared" } else { "" };
            format!("{name}{task}{cleared}")
        }),
        State::Unspecified | State::Succeeded => None,
    }
    .map(|text| short(&text, REASON_WIDTH))
    .unwrap_or_default()
}
