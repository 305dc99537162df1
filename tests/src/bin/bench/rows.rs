//! The rows of the page: what each was measured for, and its budget.

use tokio::time::Duration;

use crate::bridge::{BURST, Concurrent, OneByOne};
use crate::cluster;
use crate::load::{Load, STARTS};
use crate::report::{Amount, Latency, Verdict, mebibytes, method};
use crate::samples::Samples;
use crate::stress::{Moment, Stress, executions};
use crate::usage::Usage;
use crate::verify;
use crate::writes::Writes;

/// Refusals that a second must have room for.
const REFUSALS_PER_SECOND: f64 = 10_000.0;
/// Resident memory of an idle server, in MiB.
const IDLE_MIB: u32 = 20;
/// Resident memory of a server with 10,000 live executions, in MiB.
const LIVE_MIB: u32 = 64;
/// API writes of the server for an execution.
const SERVER_WRITES: f64 = 3.0;
/// API writes of server and bridge for an execution, Kubernetes events included.
const ALL_WRITES: f64 = 6.0;

/// To the run when nothing else is to do.
const TO_RUN: &[(u64, f64)] = &[(50, 25.0)];
/// To the run in a burst.
const TO_RUN_IN_A_BURST: &[(u64, f64)] = &[(50, 250.0)];
/// To the status.
const TO_STATUS: &[(u64, f64)] = &[(50, 50.0), (99, 250.0)];

/// What was measured; `None` when a section was left out.
#[derive(Default)]
pub(crate) struct Measured {
    pub(crate) service: Option<OnCluster>,
    pub(crate) load: Option<Load>,
    pub(crate) bridge: Option<OneByOne>,
    pub(crate) concurrent: Option<Concurrent>,
    pub(crate) stress: Option<Stress>,
    pub(crate) verify: Option<verify::Verified>,
}

/// What was measured on the cluster with the service alone.
pub(crate) struct OnCluster {
    pub(crate) floor: Samples,
    pub(crate) creation: cluster::Creation,
    pub(crate) ends: Samples,
    pub(crate) idle_kib: u32,
}

/// The measured times.
pub(crate) fn latencies(measured: &Measured, stress_for: Duration) -> Vec<Latency<'_>> {
    let service = measured.service.as_ref();
    let load = measured.load.as_ref();
    let bridge = measured.bridge.as_ref();
    let concurrent = measured.concurrent.as_ref();
    let stress = measured.stress.as_ref();
    let (idle, burst) = (bridge.map(|it| &it.idle), bridge.map(|it| &it.burst));
    let ends = bridge.map(|it| &it.ends);
    let steady = method::stress(stress_for);
    let row = |what: &str, samples, budgets| Latency { what: what.to_owned(), samples, budgets };
    vec![
        row(
            "the floor: PipelineRun created by hand, request → answer",
            service.map(|it| &it.floor),
            &[],
        ),
        row(
            "Start: request → PipelineRun exists, idle",
            service.map(|it| &it.creation.after_request),
            TO_RUN,
        ),
        row(
            "Start: answer → PipelineRun exists, idle",
            service.map(|it| &it.creation.after_answer),
            TO_RUN,
        ),
        row("run finished → Watch message", service.map(|it| &it.ends), &[(99, 100.0)]),
        row("durable Start at 200/s: due → answer", load.map(|it| &it.starts), &[(99, 20.0)]),
        row("refusal at a gate: request → answer", load.map(|it| &it.refusals), &[]),
        row(
            "the floor: PipelineRun created by hand, request → exists, idle",
            idle.map(|it| &it.floor),
            &[],
        ),
        row(
            "WorkflowExecution: request → PipelineRun exists, idle",
            idle.map(|it| &it.after_request),
            TO_RUN,
        ),
        row(
            "WorkflowExecution exists → PipelineRun exists, idle",
            idle.map(|it| &it.after_sight),
            TO_RUN,
        ),
        row(
            &format!("the floor: {BURST} PipelineRuns by hand in a burst, request → exists"),
            burst.map(|it| &it.floor),
            &[],
        ),
        row(
            &format!("{BURST} WorkflowExecutions in a burst: request → PipelineRun exists"),
            burst.map(|it| &it.after_request),
            TO_RUN_IN_A_BURST,
        ),
        row(
            &format!("{BURST} WorkflowExecutions in a burst: exists → PipelineRun exists"),
            burst.map(|it| &it.after_sight),
            TO_RUN_IN_A_BURST,
        ),
        row("the floor: run finished, one watch → another", ends.map(|it| &it.floor), &[]),
        row("run finished → WorkflowExecution status", ends.map(|it| &it.to_status), TO_STATUS),
        row(
            &format!("{BURST} WorkflowExecutions at once: run finished → status"),
            concurrent.map(|it| &it.to_status),
            &[],
        ),
        row(
            &format!("{BURST} WorkflowExecutions at once: exists → its end"),
            concurrent.map(|it| &it.to_end),
            &[],
        ),
        row(&format!("{steady}: run finished → status"), stress.map(|it| &it.to_status), TO_STATUS),
    ]
}

/// The measured amounts.
pub(crate) fn amounts(measured: &Measured, stress_for: Duration) -> Vec<Amount> {
    let load = measured.load.as_ref();
    let concurrent = measured.concurrent.as_ref();
    let stress = measured.stress.as_ref();
    let mut amounts = vec![
        Amount {
            what: "refusals at a gate, per second".to_owned(),
            value: load.map(|it| format!("{:.0}", it.refusals_per_second)),
            budget: format!("≥ {REFUSALS_PER_SECOND}/s"),
            verdict: verdict(load.map(|it| it.refusals_per_second >= REFUSALS_PER_SECOND)),
        },
        Amount {
            what: load.map_or_else(
                || "log written during refusals".to_owned(),
                |it| format!("log written during {} refusals", it.refusals.len()),
            ),
            value: load.map(|it| format!("{} bytes", it.log_bytes)),
            budget: "bounded: below 1 byte a refusal".to_owned(),
            verdict: verdict(load.map(|it| it.log_bytes < it.refusals.len())),
        },
        Amount {
            what: "sealing in the transactions of Starts at 200/s, 99 of 100 within".to_owned(),
            value: load.map(|it| format!("{} ms", it.seal_millis)),
            budget: "≤ 1 ms".to_owned(),
            verdict: verdict(load.map(|it| it.seal_millis <= 1.0)),
        },
        idle("on the cluster", measured.service.as_ref().map(|it| it.idle_kib)),
        idle("Tekton simulated in the process", load.map(|it| it.idle_kib)),
        live(load.map(|it| it.live_kib)),
        open(
            "memory of the bridge, idle",
            measured.bridge.as_ref().map(|it| mebibytes(it.bridge_idle_kib)),
        ),
        open(
            &format!("{BURST} WorkflowExecutions at once: first request → last end"),
            concurrent.map(|it| format!("{:.1} s", it.lasted.as_secs_f64())),
        ),
    ];
    let at_once = format!("{BURST} WorkflowExecutions at once");
    amounts.extend(writes(&at_once, BURST, concurrent.map(|it| &it.writes)));
    let steady = method::stress(stress_for);
    let executions = executions(stress_for);
    amounts.push(open(
        &format!("{steady}: first request → last end"),
        stress.map(|it| format!("{:.1} s", it.lasted.as_secs_f64())),
    ));
    amounts.extend(writes(&steady, executions, stress.map(|it| &it.writes)));
    for (who, usage) in [("server", server as fn(&Moment) -> Usage), ("bridge", bridge)] {
        amounts.push(open(
            &format!("{steady}: memory of the {who}, most"),
            stress.and_then(|it| it.moments.iter().map(|at| usage(at).kib).max()).map(mebibytes),
        ));
        amounts.push(open(
            &format!("{steady}: CPU time of the {who}, for each"),
            stress.and_then(|it| cpu(it, usage)).map(|cpu| {
                let each = cpu.as_secs_f64() * 1_000.0 / f64::from(executions);
                format!("{each:.1} ms")
            }),
        ));
    }
    amounts.extend(verify::amounts(measured.verify.as_ref()));
    amounts
}

fn server(moment: &Moment) -> Usage {
    moment.server
}

fn bridge(moment: &Moment) -> Usage {
    moment.bridge
}

fn cpu(stress: &Stress, usage: fn(&Moment) -> Usage) -> Option<Duration> {
    let (first, last) = (stress.moments.first()?, stress.moments.last()?);
    Some(usage(last).cpu.saturating_sub(usage(first).cpu))
}

fn verdict(met: Option<bool>) -> Verdict {
    met.map_or(Verdict::Open, Verdict::of)
}

/// An amount without a budget.
fn open(what: &str, value: Option<String>) -> Amount {
    Amount { what: what.to_owned(), value, budget: "–".to_owned(), verdict: Verdict::Open }
}

fn idle(what: &str, kib: Option<u32>) -> Amount {
    Amount {
        what: format!("memory, idle, {what}"),
        value: kib.map(mebibytes),
        budget: format!("≤ {IDLE_MIB} MiB"),
        verdict: verdict(kib.map(|kib| kib <= IDLE_MIB * 1_024)),
    }
}

/// Fewer executions than the budget is for can only show that it is missed.
fn live(kib: Option<u32>) -> Amount {
    let verdict = match kib {
        Some(kib) if kib > LIVE_MIB * 1_024 => Verdict::Missed,
        Some(_) | None => Verdict::Open,
    };
    Amount {
        what: format!("memory, {STARTS} live executions, Tekton simulated in the process"),
        value: kib.map(mebibytes),
        budget: format!("≤ {LIVE_MIB} MiB at 10,000"),
        verdict,
    }
}

/// Writes for each of `executions`: of the server, and of both with the kinds of the bridge.
fn writes(what: &str, executions: u32, writes: Option<&Writes>) -> [Amount; 2] {
    let each = |count: u64| {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        f64::from(count) / f64::from(executions)
    };
    let kinds = |writes: &Writes| {
        let kinds = writes.bridge.iter().filter(|(_, count)| **count > 0);
        let kinds: Vec<String> =
            kinds.map(|(kind, count)| format!("{kind} {:.2}", each(*count))).collect();
        format!("{:.2} (bridge: {})", each(writes.all()), kinds.join(", "))
    };
    [
        Amount {
            what: format!("{what}: API writes of the server, for each"),
            value: writes.map(|it| format!("{:.2}", each(it.runs))),
            budget: format!("≤ {SERVER_WRITES}"),
            verdict: verdict(writes.map(|it| each(it.runs) <= SERVER_WRITES)),
        },
        Amount {
            what: format!("{what}: API writes of server and bridge, for each"),
            value: writes.map(kinds),
            budget: format!("≤ {ALL_WRITES}"),
            verdict: verdict(writes.map(|it| each(it.all()) <= ALL_WRITES)),
        },
    ]
}
