//! The page with the results. Pure: what was measured goes in, Markdown comes out.

use std::fmt::Write as _;

use crate::load::{CONNECTIONS, REFUSING, STARTS};
use crate::machine::Machine;
use crate::samples::Samples;

/// All that the page tells.
pub(crate) struct Results {
    pub(crate) date: String,
    pub(crate) machine: Machine,
    pub(crate) kubernetes: String,
    pub(crate) tekton: String,
    /// What a person has to say about this run.
    pub(crate) note: Option<String>,
    /// The load averages before and after.
    pub(crate) load_averages: [String; 2],
    pub(crate) latencies: Vec<Latency>,
    pub(crate) amounts: Vec<Amount>,
}

/// A measured time.
pub(crate) struct Latency {
    pub(crate) what: &'static str,
    pub(crate) samples: Samples,
    /// The percentile that has a budget, and its milliseconds.
    pub(crate) budget: Option<(u64, f64)>,
}

/// A measured amount.
pub(crate) struct Amount {
    pub(crate) what: String,
    pub(crate) value: String,
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
            Self::Open => "–",
        }
    }
}

/// The whole page.
pub(crate) fn page(results: &Results) -> String {
    let Results { date, machine, kubernetes, tekton, load_averages: [before, after], .. } = results;
    let Machine { cpu, cores, memory_gib, kernel, file_system } = machine;
    let note = results.note.as_ref().map(|note| format!("\n{note}\n")).unwrap_or_default();
    let (latencies, amounts) = (latencies(&results.latencies), amounts(&results.amounts));
    let refusing = REFUSING.as_secs();
    format!(
        "\
# Benchmarks

Written by `cargo xtask bench`, which measures everything in one run and asserts nothing about speed. The control plane,
the servers and the benchmark share the machine, so each takes time from the others.

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
## How it is measured

- All times are of one monotonic clock in the benchmark's process; no clock of the server or of Kubernetes is involved.
- Percentiles are sample values: p99 of 60 samples is the longest. Five more come before each measurement on the cluster
  and are not counted.
- PipelineRun created by hand: 5 requests a second, one after the other on one connection that stays open. The objects
  look like those of the service but are pending (`spec.status`), so that Tekton starts nothing for them. This is what the
  API server with Tekton's webhook takes at that time; when others use the machine, it may differ from one minute to the
  next by more than the service adds.
- To the PipelineRun: 5 Starts a second. A run exists when a watch of the benchmark on PipelineRuns tells it. The bundle
  is missing, so that Tekton has next to nothing to do with a run. The budget is that of the whole way from a
  WorkflowExecution, of which this is a part.
- Run finished to Watch message: 2 Starts a second of a workflow with one task that succeeds. From the moment a watch of
  the benchmark on PipelineRuns tells that the condition `Succeeded` is no longer `Unknown`, to the terminal message of
  the execution's Watch call. The server has a watch of its own, so both learn of the end at the same time and race; a
  time is negative when the server was so quick that its message was read first. Such times are kept as they are.
- Durable Start: {STARTS} Starts, 200 a second whether or not those before have been answered, each on a target of its own,
  over {CONNECTIONS} connections. The time runs from the moment a Start was to be sent, so that a stall counts for every Start
  that it held up; the timer's millisecond is included. An answer means that the execution is committed to the database.
  The server simulates Tekton, with tasks that outlive the benchmark: the runs cost nothing but their own records, and the
  cluster is not flooded.
- Refusal: Starts with REJECT on one held target, from {CONNECTIONS} connections, each as fast as its answers come, for
  {refusing} s. The same server, which now has {STARTS} live executions. The benchmark's own work takes part of the machine.
- Memory: `VmRSS` of the server process. Idle is right after it became ready. With live executions the objects of the
  simulated cluster are in it too. The budget for live executions is for 10,000 of them, so that a smaller number can show
  that it is missed, but not that it is met.
"
    )
}

fn latencies(rows: &[Latency]) -> String {
    let mut table = String::from(
        "| from → to | samples | p50 | p90 | p99 | max | budget | met |\n|---|--:|--:|--:|--:|--:|---|---|\n",
    );
    for Latency { what, samples, budget } in rows {
        let at = |percent| {
            samples.percentile(percent).map_or_else(|| "–".to_owned(), |ms| format!("{ms:.2}"))
        };
        let (allowed, verdict) = match budget {
            None => ("–".to_owned(), Verdict::Open),
            Some((percent, most)) => {
                let met = samples.percentile(*percent).is_some_and(|measured| measured <= *most);
                (format!("p{percent} ≤ {most} ms"), Verdict::of(met))
            }
        };
        let number = match samples.negatives() {
            0 => samples.len().to_string(),
            negative => format!("{} ({negative} negative)", samples.len()),
        };
        let (p50, p90, p99, max) = (at(50), at(90), at(99), at(100));
        line(
            &mut table,
            &format!(
                "| {what} | {number} | {p50} | {p90} | {p99} | {max} | {allowed} | {} |",
                verdict.word()
            ),
        );
    }
    table
}

fn amounts(rows: &[Amount]) -> String {
    let mut table = String::from("| what | measured | budget | met |\n|---|--:|---|---|\n");
    for Amount { what, value, budget, verdict } in rows {
        line(&mut table, &format!("| {what} | {value} | {budget} | {} |", verdict.word()));
    }
    table
}

fn line(text: &mut String, line: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{line}");
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn row(milliseconds: u64, budget: Option<(u64, f64)>) -> Latency {
        let mut samples = Samples::new().unwrap();
        samples.add(Duration::from_millis(milliseconds));
        Latency { what: "a → b", samples, budget }
    }

    #[test]
    fn a_budget_is_compared_with_its_percentile() {
        let rows = [row(10, Some((99, 20.0))), row(30, Some((50, 25.0))), row(30, None)];
        let table = latencies(&rows);
        let ends: Vec<&str> = table
            .lines()
            .skip(2)
            .filter_map(|line| line.split_once("0.0"))
            .map(|(_, e)| e)
            .collect();
        assert_eq!(ends.len(), 3, "{table}");
        assert!(ends[0].ends_with("| p99 ≤ 20 ms | yes |"), "{table}");
        assert!(ends[1].ends_with("| p50 ≤ 25 ms | no |"), "{table}");
        assert!(ends[2].ends_with("| – | – |"), "{table}");
    }

    #[test]
    fn negative_samples_are_told() {
        let mut samples = Samples::new().unwrap();
        let now = tokio::time::Instant::now();
        samples.between(now + Duration::from_millis(5), now);
        let table = latencies(&[Latency { what: "a → b", samples, budget: None }]);
        assert!(table.contains("| 1 (1 negative) | -5.00 |"), "{table}");
    }
}
