//! One execution: all that is known of it, where it stands in a sentence, and how it ended.

use jiff::Timestamp;
use wfe_proto::v1::{Execution, Failure, State, Waiting, execution::Workflow};

use super::{
    by, cancel, clearance, failure_name, gate_name, paint_state, plain, plain_lines, progress,
    target_name, time, waiting,
};
use crate::context::Colour;

/// All that is known of an execution, for `wfe get`. `server` is the option that reaches the server, for
/// commands.
pub(crate) fn describe(
    execution: &Execution,
    now: Timestamp,
    server: &str,
    colour: Colour,
) -> String {
    let mut fields = Fields::default();
    identity(&mut fields, execution);
    workflow(&mut fields, execution);
    times(&mut fields, execution, now);
    fields.add("revision", &execution.revision.to_string());
    gates(&mut fields, execution, now, server);
    standing_fields(&mut fields, execution, now, colour);
    format!(
        "{}  {}\n{}",
        plain(&execution.id),
        paint_state(execution.state(), 0, colour),
        fields.into_text()
    )
}

fn identity(fields: &mut Fields, execution: &Execution) {
    let target = target_name(&execution.target, &execution.cluster_id);
    fields.add("target", &target);
    if execution.target_as_given != execution.target {
        fields.add("given as", &execution.target_as_given);
    }
    fields.add("request id", &execution.request_id);
    fields.add("correlation", &execution.correlation_id);
    if let Some(source) = &execution.source {
        fields.add("source", &format!("{}/{}", source.namespace, source.name));
    }
}

fn workflow(fields: &mut Fields, execution: &Execution) {
    match &execution.workflow {
        Some(Workflow::Bundle(bundle)) => {
            fields.add("workflow", &bundle.reference);
            fields.add("digest", &bundle.digest);
            fields.add("pipeline", &bundle.pipeline);
        }
        Some(Workflow::Inline(inline)) => {
            fields.add("workflow", &format!("{} inline steps", inline.steps.len()));
        }
        None => {}
    }
    if let Some(entry) = &execution.workflow_identity {
        let words = [&entry.name, &entry.version, &entry.id];
        let words: Vec<&str> = words.into_iter().map(String::as_str).collect();
        fields.add("catalogue", words.join(" ").trim());
    }
    let mut parameters: Vec<String> = execution
        .parameters
        .iter()
        .map(|(name, value)| format!("{name}={}", super::short(value, 100)))
        .collect();
    parameters.sort();
    fields.add_lines("parameters", parameters);
    fields.add("account", &execution.service_account);
    fields.add("secrets", &execution.secrets.join(", "));
    fields.add("config maps", &execution.config_maps.join(", "));
}

fn times(fields: &mut Fields, execution: &Execution, now: Timestamp) {
    let by = by(execution.actor.as_ref());
    if execution.create_time.is_some() {
        let ago = time::span_or_dash(time::between(execution.create_time.as_ref(), None, now));
        let at = time::stamp(execution.create_time.as_ref());
        fields.add("accepted", &format!("{at}, {ago} ago{by}"));
    }
    if execution.start_time.is_some() {
        fields.add("started", &time::stamp(execution.start_time.as_ref()));
    }
    if execution.end_time.is_some() {
        let at = time::stamp(execution.end_time.as_ref());
        fields.add("ended", &format!("{at}{}", after(execution, now)));
    }
    if execution.deadline.is_some() {
        fields.add("deadline", &time::stamp(execution.deadline.as_ref()));
    }
}

/// The gate that it waits at, what a person must do, and the gates that let it pass.
fn gates(fields: &mut Fields, execution: &Execution, now: Timestamp, server: &str) {
    let told =
        |waits: &Waiting| format!("{}: {}", gate_name(waits.gate()), waiting::sentence(waits, now));
    if let Some(waits) = &execution.waiting {
        fields.add("waits", &told(waits));
        fields.add("because of", &waits.cause_execution_id);
        if waits.until.is_some() {
            fields.add("until", &time::stamp(waits.until.as_ref()));
        }
        if let Some(command) = waiting::to_do(execution, server) {
            let look = format!("wfe get {}{server}", plain(&waits.cause_execution_id));
            fields.add_lines("to do", vec![look, command]);
        }
    }
    fields.add_lines("let pass by", execution.observed.iter().map(told).collect());
}

fn standing_fields(fields: &mut Fields, execution: &Execution, now: Timestamp, colour: Colour) {
    if let Some(run) = &execution.run {
        fields.add("run", &format!("{}/{} (hold {})", run.namespace, run.name, run.epoch));
    }
    fields.add("obstacle", &execution.obstacle);
    if let Some(seen) = &execution.progress {
        let mut lines = vec![progress::summary(seen)];
        lines.extend(progress::lines(seen, now, colour));
        fields.add_lines("progress", lines);
        let tekton = [seen.reason.as_str(), seen.message.as_str()];
        fields.add("tekton", tekton.join(": ").trim_matches([':', ' ']));
    }
    if let Some(failure) = &execution.failure {
        fields.add_lines("failure", failure_lines(failure));
        fields.add_lines("log", plain_lines(&failure.log_tail));
    }
    if let Some(cancellation) = &execution.cancellation {
        fields.add_lines("cancelled", cancel::lines(cancellation));
    }
    if let Some(cleared) = &execution.clearance {
        fields.add("cleared", &clearance::record(cleared));
    }
}

/// An execution in a line: which, on what, where it stands. Of a failure, lines with what is known
/// follow.
pub(crate) fn headline(execution: &Execution, now: Timestamp, colour: Colour) -> String {
    let between = if is_terminal(execution.state()) { " " } else { ": " };
    format!(
        "{}  {}  {}{between}{}",
        plain(&execution.id),
        target_name(&execution.target, &execution.cluster_id),
        paint_state(execution.state(), 0, colour),
        standing(execution, now),
    )
}

/// A request that has no execution and never will, in a line.
pub(crate) fn withdrawn(request_id: &str) -> String {
    format!(
        "request {} is withdrawn: nothing was started for it, and nothing ever will be",
        plain(request_id)
    )
}

/// Whether a state is the last one of an execution.
pub(crate) fn is_terminal(state: State) -> bool {
    match state {
        State::Succeeded | State::Failed | State::Cancelled => true,
        State::Unspecified
        | State::Waiting
        | State::Starting
        | State::Running
        | State::Cancelling => false,
    }
}

/// Where an execution stands, in a sentence.
pub(crate) fn standing(execution: &Execution, now: Timestamp) -> String {
    match execution.state() {
        State::Unspecified => "in a state that this version does not know".to_owned(),
        State::Waiting => execution.waiting.as_ref().map_or_else(
            || "a gate of its target is closed".to_owned(),
            |waits| waiting::sentence(waits, now),
        ),
        State::Starting => or(&execution.obstacle, "its run is being created"),
        State::Running if !execution.obstacle.is_empty() => execution.obstacle.clone(),
        State::Running => {
            let seen = execution.progress.as_ref().map(progress::summary);
            or(&seen.unwrap_or_default(), "its run exists")
        }
        State::Cancelling => {
            let how = execution.cancellation.as_ref().and_then(cancel::how);
            let how = how.map(|how| format!(" ({how})")).unwrap_or_default();
            format!("{}{how}", or(&execution.obstacle, "it was asked to stop"))
        }
        State::Succeeded | State::Failed | State::Cancelled => ending(execution, now),
    }
}

/// How an execution ended, to be read after its state; of a failure, lines with what is known follow.
fn ending(execution: &Execution, now: Timestamp) -> String {
    let mut text = after(execution, now).trim_start().to_owned();
    match (&execution.failure, &execution.cancellation) {
        (Some(failure), _) => {
            let lines = failure_lines(failure);
            text = format!("{text}: {}", lines.join("\n  "));
            if let Some(cleared) = &execution.clearance {
                text = format!("{text}\n  Its block was cleared {}", clearance::record(cleared));
            }
        }
        // A run may win the race against its cancellation.
        (None, Some(cancellation)) if execution.state() == State::Cancelled => {
            let by = by(cancellation.actor.as_ref());
            text = format!("{text}{by}: {}", plain(&cancellation.reason));
        }
        (None, Some(_) | None) => {
            let seen = execution.progress.as_ref().map(progress::summary);
            if let Some(seen) = seen.filter(|seen| !seen.is_empty()) {
                text = format!("{text}: {seen}");
            }
        }
    }
    text
}

/// The sentence for a person first, then the evidence.
fn failure_lines(failure: &Failure) -> Vec<String> {
    let name = failure_name(failure.reason());
    let said = or(&failure.summary, &failure.message);
    let mut lines = vec![format!("{name}: {said}")];
    let mut evidence = Vec::new();
    for (label, value) in
        [("task", &failure.task), ("step", &failure.step), ("TaskRun", &failure.task_run)]
    {
        if !value.is_empty() {
            evidence.push(format!("{label} {}", plain(value)));
        }
    }
    if let Some(code) = failure.exit_code {
        evidence.push(format!("exit code {code}"));
    }
    if failure.attempt > 1 {
        evidence.push(format!("attempt {}", failure.attempt));
    }
    if !evidence.is_empty() {
        lines.push(evidence.join(", "));
    }
    if !failure.message.is_empty() && failure.message != said {
        let raw = or(&failure.raw_reason, "message");
        lines.push(format!("{raw}: {}", plain(&failure.message)));
    }
    lines.push(
        if failure.was_execution_failure {
            "A step had started: side effects may have happened."
        } else {
            "No step had started: nothing was changed."
        }
        .to_owned(),
    );
    lines
}

/// ` after 3.2s`, counted from the start of the run, or from the acceptance when there was none.
fn after(execution: &Execution, now: Timestamp) -> String {
    let start = execution.start_time.as_ref().or(execution.create_time.as_ref());
    time::between(start, execution.end_time.as_ref(), now)
        .map_or_else(String::new, |took| format!(" after {}", time::span(took)))
}

fn or(text: &str, otherwise: &str) -> String {
    plain(if text.is_empty() { otherwise } else { text })
}

/// Labelled values below each other; empty ones are left out.
#[derive(Default)]
struct Fields(Vec<(&'static str, Vec<String>)>);

impl Fields {
    fn add(&mut self, label: &'static str, value: &str) {
        self.add_lines(label, vec![plain(value)]);
    }

    /// Adds lines that are safe for a terminal already.
    fn add_lines(&mut self, label: &'static str, lines: Vec<String>) {
        let lines: Vec<String> = lines.into_iter().filter(|line| !line.is_empty()).collect();
        if !lines.is_empty() {
            self.0.push((label, lines));
        }
    }

    fn into_text(self) -> String {
        let mut text = String::new();
        for (label, lines) in self.0 {
            for (index, line) in lines.iter().enumerate() {
                let label = if index == 0 { label } else { "" };
                text = format!("{text}  {label:<12}{line}\n");
            }
        }
        text
    }
}
