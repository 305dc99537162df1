//! Samples: which executions are shown with their whole histories, and how.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use sha2::{Digest as _, Sha256};
use wfe_core::{
    actor::Actor,
    audit::{Logged, What},
    event::EventKind,
    ids::ExecutionId,
};

use super::collect::{Accepted, method};

/// Chooses samples: those with the smallest SHA-256 of the seed, a line end and their id. Whoever has the
/// population and the seed chooses the same ones.
pub(crate) fn choose(population: &[Accepted], seed: &str, count: usize) -> BTreeSet<ExecutionId> {
    let rank = |id: &ExecutionId| <[u8; 32]>::from(Sha256::digest(format!("{seed}\n{id}")));
    let mut ids: Vec<ExecutionId> = population.iter().map(|accepted| accepted.id).collect();
    ids.sort_by_cached_key(rank);
    ids.truncate(count);
    ids.into_iter().collect()
}

/// The histories of the samples.
#[derive(Debug)]
pub(crate) struct Histories {
    of: BTreeMap<ExecutionId, History>,
}

/// All entries that concern one execution.
#[derive(Debug, Default)]
struct History {
    entries: Vec<Logged>,
    /// Lines of the export.
    raw: Vec<u8>,
}

/// A file of a sample.
#[derive(Debug)]
pub(crate) struct SampleFile {
    /// Name in the directory of the samples.
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

impl Histories {
    pub(crate) fn of(samples: BTreeSet<ExecutionId>) -> Self {
        Self { of: samples.into_iter().map(|id| (id, History::default())).collect() }
    }

    /// Takes note of an entry, and of its line in the export.
    pub(crate) fn see(&mut self, text: &[u8], raw: &[u8]) {
        let Ok(entry) = serde_json::from_slice::<Logged>(text) else { return };
        let Some(id) = entry.about.execution else { return };
        if let Some(history) = self.of.get_mut(&id) {
            history.entries.push(entry);
            history.raw.extend_from_slice(raw);
            history.raw.push(b'\n');
        }
    }

    /// Two files for each: one to read, one with the entries as they are in the export.
    pub(crate) fn into_files(self) -> impl Iterator<Item = SampleFile> {
        self.of.into_iter().flat_map(|(id, history)| {
            let page = page(id, &history.entries).into_bytes();
            [
                SampleFile { name: format!("{id}.md"), bytes: page },
                SampleFile { name: format!("{id}.ndjson"), bytes: history.raw },
            ]
        })
    }
}

/// The history of an execution as Markdown.
fn page(id: ExecutionId, entries: &[Logged]) -> String {
    let mut page = format!(
        "# Execution {id}\n\nAll entries of the log that concern it, in their order. The same entries stand \
         in {id}.ndjson as they are in the export.\n\n"
    );
    if let Some(first) = entries.first() {
        page.push_str("| | |\n|---|---|\n");
        for (name, value) in facts(first) {
            line(&mut page, &format!("| {name} | {} |", cell(&value)));
        }
        page.push('\n');
    }
    page.push_str("## History\n\n| entry | time | who | what | details |\n|--:|---|---|---|---|\n");
    for entry in entries {
        let (what, details) = told(&entry.what);
        let (sequence, at, who) = (entry.sequence, entry.at, cell(&who(&entry.actor)));
        line(
            &mut page,
            &format!("| {sequence} | {at} | {who} | {} | {} |", cell(&what), cell(&details)),
        );
    }
    if let Some(asked) = entries.iter().find_map(|entry| asked(&entry.what)) {
        line(&mut page, &format!("\n## What was asked for\n\n```json\n{asked}\n```"));
    }
    page
}

fn facts(first: &Logged) -> Vec<(&'static str, String)> {
    let about = &first.about;
    let mut facts = Vec::new();
    if let Some(target) = &about.target {
        facts.push(("target", target.name.clone()));
        facts.push(("cluster", target.cluster.to_string()));
        facts.push(("target as given", target.as_given.clone().unwrap_or_default()));
    }
    if let Some(workflow) = &about.workflow {
        facts.push(("workflow", workflow.reference.clone()));
        facts.push(("digest", workflow.digest.clone().unwrap_or_default()));
        facts.push(("pipeline", workflow.pipeline.clone()));
        facts.push((
            "in the catalogue",
            format!("{} {} {}", workflow.id, workflow.name, workflow.version),
        ));
    }
    if let Some(request) = &about.request_id {
        facts.push(("request", request.to_string()));
    }
    if let Some(correlation) = &about.correlation_id {
        facts.push(("correlation id", correlation.to_string()));
    }
    if let Some(source) = &about.source {
        let text = format!("{}/{}, UID {}", source.namespace, source.name, source.uid);
        facts.push(("Kubernetes object", text));
    }
    facts.retain(|(_, value)| !value.trim().is_empty());
    facts
}

fn who(actor: &Actor) -> String {
    let mut who = format!("{} ({})", actor.user, method(actor));
    if let Some(somebody) = &actor.on_behalf_of {
        who = format!("{who}, on behalf of {}", somebody.user);
    }
    if let Some(address) = &actor.address {
        who = format!("{who}, from {address}");
    }
    who
}

/// What an entry records, in words.
fn told(what: &What) -> (String, String) {
    match what {
        What::Transition { before, after, event, .. } => {
            let moved = match before {
                Some(before) if before == after => {
                    format!("{}: {}", event.as_str(), after.as_str())
                }
                Some(before) => {
                    format!("{}: {} → {}", event.as_str(), before.as_str(), after.as_str())
                }
                None => format!("{}: {}", event.as_str(), after.as_str()),
            };
            (moved, details(event))
        }
        What::ClearBlock { outcome, reason, ticket } => {
            let ticket = ticket.as_ref().map(|it| format!("; ticket {it}")).unwrap_or_default();
            (format!("clear_block: {outcome}"), format!("{reason}{ticket}"))
        }
        What::Withdrawn { reason } => ("withdrawn".to_owned(), reason.clone()),
        What::CancelIgnored { state, reason, times } => {
            let what = format!("cancel_ignored: it was {}", state.as_str());
            (what, format!("{reason} ({} times)", times.count))
        }
        What::Refused { code, hold, times } => {
            let hold = hold.as_ref().map(|hold| hold.message.clone()).unwrap_or_default();
            (format!("refused: {code}"), format!("{hold} ({} times)", times.count))
        }
        What::Denied { method, detail, times, .. } => {
            (format!("denied: {method}"), format!("{detail} ({} times)", times.count))
        }
        What::Attached { .. } | What::KeyRotated { .. } | What::Pruned { .. } => {
            (what.as_str().to_owned(), String::new())
        }
    }
}

fn details(event: &EventKind) -> String {
    match event {
        EventKind::Accepted => String::new(),
        EventKind::Held { hold } => hold.message.clone(),
        EventKind::Admitted { run } => format!("run {}", run.name),
        EventKind::Delayed { obstacle } => obstacle.clone(),
        EventKind::RunCreated { run } => {
            format!("run {}, UID {}, created {}", run.planned.name, run.uid, run.created_at)
        }
        EventKind::Progressed { progress } => {
            format!("{} of {} tasks succeeded", progress.succeeded, progress.total)
        }
        EventKind::CancelRequested { cancellation } | EventKind::Cancelled { cancellation, .. } => {
            format!("asked by {}: {}", cancellation.actor.person(), cancellation.reason)
        }
        EventKind::CancelEscalated { cancellation } => {
            format!("{} from then on: {}", cancellation.mode.as_str(), cancellation.reason_now())
        }
        EventKind::DeadlinePassed { deadline, stuck: None } => {
            format!("the deadline was {deadline}")
        }
        EventKind::DeadlinePassed { stuck: Some(stuck), .. } => {
            format!("stuck since {}: {}", stuck.since, stuck.wait.sentence())
        }
        EventKind::Succeeded { ended_at, .. } => format!("the run ended {ended_at}"),
        EventKind::Failed { failure, .. } => {
            let exit = failure.exit_code.map(|it| format!(", exit code {it}")).unwrap_or_default();
            format!("{}{exit}: {} {}", failure.reason.as_str(), failure.summary, failure.message)
        }
    }
}

fn asked(what: &What) -> Option<String> {
    match what {
        What::Transition { asked: Some(asked), .. } => serde_json::to_string_pretty(asked).ok(),
        What::Transition { asked: None, .. }
        | What::Attached { .. }
        | What::Withdrawn { .. }
        | What::CancelIgnored { .. }
        | What::Refused { .. }
        | What::Denied { .. }
        | What::ClearBlock { .. }
        | What::KeyRotated { .. }
        | What::Pruned { .. } => None,
    }
}

/// Text from elsewhere in a cell of a Markdown table: one line, and nothing of it is markup.
fn cell(text: &str) -> String {
    let mut cell = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '|' | '<' | '>' | '`' | '*' | '[' | ']' | '\\' | '&' => {
                cell.push('\\');
                cell.push(c);
            }
            c if c.is_control() => cell.push(' '),
            c => cell.push(c),
        }
    }
    cell
}

fn line(text: &mut String, line: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{line}");
}
