//! The page with the results. Pure: what was measured goes in, Markdown comes out.

pub(crate) mod method;

use std::fmt::Write as _;

use tokio::time::Duration;

use crate::machine::Machine;
use crate::samples::Samples;
use crate::stress::Moment;
use crate::usage::Usage;

/// What stands where nothing was measured.
const NOTHING: &str = "–";

/// All that the page tells.
pub(crate) struct Results<'a> {
    pub(crate) date: String,
    pub(crate) machine: Machine,
    pub(crate) kubernetes: String,
    pub(crate) tekton: String,
    /// What a person has to say about this run.
    pub(crate) note: Option<String>,
    /// The load averages before and after.
    pub(crate) load_averages: [String; 2],
    /// How long the stress takes.
    pub(crate) stress_for: Duration,
    pub(crate) latencies: Vec<Latency<'a>>,
    pub(crate) amounts: Vec<Amount>,
    /// What the processes took during the stress.
    pub(crate) moments: Option<&'a [Moment]>,
}

/// A measured time.
pub(crate) struct Latency<'a> {
    pub(crate) what: String,
    /// `None`: it was not measured.
    pub(crate) samples: Option<&'a Samples>,
    /// The percentiles that have a budget, and their milliseconds.
    pub(crate) budgets: &'static [(u64, f64)],
}

/// A measured amount.
pub(crate) struct Amount {
    pub(crate) what: String,
    /// `None`: it was not measured.
    pub(crate) value: Option<String>,
    pub(crate) budget: String,
    pub(crate) verdict: Verdict,
}

/// Whether a budget was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It was.
    Met,
    /// It was not.
    Missed,
    /// This measurement cannot tell.
    Open,
}

impl Verdict {
    pub(crate) const fn of(met: bool) -> Self {
        if met { Self::Met } else { Self::Missed }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Met => "yes",
            Self::Missed => "no",
            Self::Open => NOTHING,
        }
    }
}

/// The whole page.
pub(crate) fn page(results: &Results<'_>) -> String {
    let Results { date, machine, kubernetes, tekton, load_averages: [before, after], .. } = results;
    let Machine { cpu, cores, memory_gib, kernel, file_system } = machine;
    let note = results.note.as_ref().map(|note| format!("\n{note}\n")).unwrap_or_default();
    let (latencies, amounts) = (latencies(&results.latencies), amounts(&results.amounts));
    let moments = moments(results.moments.unwrap_or_default());
    let stress = method::stress(results.stress_for);
    let method = method::method();
    format!(
        "\
# Benchmarks

Written by `cargo xtask bench`, which measures everything in one run and asserts nothing about speed. The control plane,
the servers, the bridges and the benchmark share the machine, so each takes time from the others. `{NOTHING}` stands where
nothing was measured.

| | |
|---|---|
| date | {date} |
| CPU | {cpu}, {cores} cores |
| memory | {memory_gib:.1} GiB |
| kernel | Linux {kernel} |
| file system of the databases | {file_system} |
| Kubernetes, Tekton Pipelines | {kubernetes}, {tekton} |
| build | profile `measured`: that of a release without link-time optimisation |
| load average over a minute, before and after | {before}, {after} |
{note}
## Times

In milliseconds. `met` compares the budget with what was measured here.

{latencies}
## Amounts

{amounts}
## {stress}, over time

`CPU` is the time on a processor since the row before, in percent of one core.

{moments}
## How it is measured

{method}"
    )
}

fn latencies(rows: &[Latency<'_>]) -> String {
    let mut table = String::from(
        "| from → to | samples | p50 | p90 | p99 | max | budget | met |\n|---|--:|--:|--:|--:|--:|---|---|\n",
    );
    for Latency { what, samples, budgets } in rows {
        let at = |percent| {
            let measured = samples.and_then(|samples| samples.percentile(percent));
            measured.map_or_else(|| NOTHING.to_owned(), |ms| format!("{ms:.2}"))
        };
        let allowed: Vec<String> =
            budgets.iter().map(|(percent, most)| format!("p{percent} ≤ {most} ms")).collect();
        let allowed = if allowed.is_empty() { NOTHING.to_owned() } else { allowed.join(", ") };
        let number = match samples.map(|samples| (samples.len(), samples.negatives())) {
            None => NOTHING.to_owned(),
            Some((all, 0)) => all.to_string(),
            Some((all, negative)) => format!("{all} ({negative} negative)"),
        };
        let (p50, p90, p99, max) = (at(50), at(90), at(99), at(100));
        let verdict = verdict(*samples, budgets).word();
        line(
            &mut table,
            &format!(
                "| {what} | {number} | {p50} | {p90} | {p99} | {max} | {allowed} | {verdict} |"
            ),
        );
    }
    table
}

fn verdict(samples: Option<&Samples>, budgets: &[(u64, f64)]) -> Verdict {
    match samples {
        Some(samples) if !budgets.is_empty() => {
            Verdict::of(budgets.iter().all(|(percent, most)| {
                samples.percentile(*percent).is_some_and(|measured| measured <= *most)
            }))
        }
        Some(_) | None => Verdict::Open,
    }
}

fn amounts(rows: &[Amount]) -> String {
    let mut table = String::from("| what | measured | budget | met |\n|---|--:|---|---|\n");
    for Amount { what, value, budget, verdict } in rows {
        let value = value.as_deref().unwrap_or(NOTHING);
        line(&mut table, &format!("| {what} | {value} | {budget} | {} |", verdict.word()));
    }
    table
}

fn moments(rows: &[Moment]) -> String {
    let mut table = String::from(
        "| seconds | created | ended | server: memory | server: CPU | bridge: memory | bridge: CPU |\n\
         |--:|--:|--:|--:|--:|--:|--:|\n",
    );
    if rows.is_empty() {
        line(&mut table, &format!("|{}", format!(" {NOTHING} |").repeat(7)));
    }
    let before = [None].into_iter().chain(rows.iter().map(Some));
    for (before, now) in before.zip(rows) {
        let cpu = |usage: fn(&Moment) -> &Usage| {
            before.map_or_else(
                || NOTHING.to_owned(),
                |before| {
                    let cpu = usage(now).cpu.saturating_sub(usage(before).cpu).as_secs_f64();
                    let time = now.at.saturating_sub(before.at).as_secs_f64();
                    format!("{:.1} %", cpu / time * 100.0)
                },
            )
        };
        let memory = |usage: &Usage| mebibytes(usage.kib);
        line(
            &mut table,
            &format!(
                "| {} | {} | {} | {} | {} | {} | {} |",
                now.at.as_secs(),
                now.objects.created,
                now.objects.ended,
                memory(&now.server),
                cpu(|moment| &moment.server),
                memory(&now.bridge),
                cpu(|moment| &moment.bridge),
            ),
        );
    }
    table
}

/// An amount of memory as the page has it.
pub(crate) fn mebibytes(kib: u32) -> String {
    format!("{:.1} MiB", f64::from(kib) / 1_024.0)
}

fn line(text: &mut String, line: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{line}");
}

#[cfg(test)]
mod tests;
