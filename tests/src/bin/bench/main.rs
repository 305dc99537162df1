//! The benchmark: measures on a control plane that runs, writes docs/benchmarks.md. `cargo xtask bench` starts it. Bounded
//! in count and time; asserts nothing about speed, but fails when a call does.

mod cluster;
mod load;
mod machine;
mod pace;
mod report;
mod samples;
mod sightings;

use std::env;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;
use wfe_tests::{ControlPlane, Namespace, ServerProcess, bundles};

use crate::cluster::Creation;
use crate::load::{Load, STARTS, load, resident_kib};
use crate::machine::{Machine, load_average};
use crate::report::{Amount, Latency, Results, Verdict, page};
use crate::samples::Samples;

/// Refusals that a second must have room for.
const REFUSALS_PER_SECOND: f64 = 10_000.0;
/// Resident memory of an idle server, in MiB.
const IDLE_MIB: f64 = 20.0;
/// Resident memory of a server with 10,000 live executions, in MiB.
const LIVE_MIB: f64 = 64.0;

#[derive(Parser)]
#[command(about = "Measures the service on a control plane that runs; see `cargo xtask bench`")]
struct Args {
    /// Where the page is written
    #[arg(long)]
    output: PathBuf,
    /// The date on the page [default: today, UTC]
    #[arg(long)]
    date: Option<String>,
    /// The version of Tekton Pipelines [default: what its installation tells]
    #[arg(long)]
    tekton_version: Option<String>,
    /// A sentence for the page: what else ran on the machine
    #[arg(long)]
    note: Option<String>,
}

/// What was measured on the cluster.
struct OnCluster {
    floor: Samples,
    creation: Creation,
    ends: Samples,
    idle_kib: u32,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    // Tests on the same control plane wait until this is over, and this until they are.
    ControlPlane::alone(async |plane| bench(args, plane).await).await
}

async fn bench(args: Args, plane: &ControlPlane) -> Result<()> {
    let client = plane.client().await?;
    let machine = Machine::this(&env::temp_dir())?;
    let kubernetes = cluster::kubernetes_version(&client).await?;
    let tekton = match args.tekton_version {
        Some(version) => version,
        None => cluster::tekton_version(&client).await?,
    };
    let date = args.date.unwrap_or_else(today);

    let before = load_average()?;
    // The runs of the first measurement stay until the end: their removal would be work beside the others.
    let on_cluster = Namespace::with(client.clone(), async |by_hand| {
        Namespace::with(client, async |namespace| measure(plane, by_hand, namespace).await).await
    })
    .await?;
    println!("{STARTS} durable Starts, then refusals");
    let under_load = load().await?;
    let after = load_average()?;

    let amounts = amounts(on_cluster.idle_kib, &under_load);
    let results = Results {
        date,
        machine,
        kubernetes,
        tekton,
        note: args.note,
        load_averages: [before, after],
        latencies: latencies(on_cluster, under_load),
        amounts,
    };
    let page = page(&results);
    print!("{page}");
    fs::write(&args.output, page).with_context(|| format!("write {}", args.output.display()))
}

#[expect(clippy::disallowed_methods, reason = "a process of its own, which has no other clock")]
fn today() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%d").to_string()
}

async fn measure(
    plane: &ControlPlane,
    by_hand: &Namespace,
    namespace: &Namespace,
) -> Result<OnCluster> {
    let bundle = bundles::succeeds(plane.registry()).await?.reference;
    println!("PipelineRuns by hand");
    let floor = cluster::floor(by_hand, &bundle).await?;
    let server = ServerProcess::start(plane, namespace.name()).await?;
    let idle_kib = resident_kib(&server)?;
    println!("from Start to the PipelineRun");
    let creation = cluster::creation(namespace, &server, plane.registry()).await?;
    println!("from the end of a run to the Watch message");
    let ends = cluster::ends(namespace, &server, &bundle).await?;
    Ok(OnCluster { floor, creation, ends, idle_kib })
}

fn latencies(on_cluster: OnCluster, under_load: Load) -> Vec<Latency> {
    let OnCluster { floor, creation, ends, .. } = on_cluster;
    let row = |what, samples, budget| Latency { what, samples, budget };
    vec![
        row("the floor: PipelineRun created by hand, request → answer", floor, None),
        row("Start: request → PipelineRun exists, idle", creation.after_request, Some((50, 25.0))),
        row("Start: answer → PipelineRun exists, idle", creation.after_answer, Some((50, 25.0))),
        row("run finished → Watch message", ends, Some((99, 100.0))),
        row("durable Start at 200/s: due → answer", under_load.starts, Some((99, 20.0))),
        row("refusal at a gate: request → answer", under_load.refusals, None),
    ]
}

fn amounts(idle_kib: u32, load: &Load) -> Vec<Amount> {
    let memory = |what: String, kib: u32, most: f64, budget: String| {
        let mib = f64::from(kib) / 1_024.0;
        let verdict = Verdict::of(mib <= most);
        Amount { what, value: format!("{mib:.1} MiB"), budget, verdict }
    };
    let idle = |what: &str, kib| {
        memory(format!("memory, idle, {what}"), kib, IDLE_MIB, format!("≤ {IDLE_MIB} MiB"))
    };
    let live = memory(
        format!("memory, {STARTS} live executions, Tekton simulated in the process"),
        load.live_kib,
        LIVE_MIB,
        format!("≤ {LIVE_MIB} MiB at 10,000"),
    );
    // Fewer executions than the budget is for can only show that it is missed.
    let live = match live.verdict {
        Verdict::Met | Verdict::Open => Amount { verdict: Verdict::Open, ..live },
        Verdict::Missed => live,
    };
    vec![
        Amount {
            what: "refusals at a gate, per second".to_owned(),
            value: format!("{:.0}", load.refusals_per_second),
            budget: format!("≥ {REFUSALS_PER_SECOND}/s"),
            verdict: Verdict::of(load.refusals_per_second >= REFUSALS_PER_SECOND),
        },
        Amount {
            what: format!("log written during {} refusals", load.refusals.len()),
            value: format!("{} bytes", load.log_bytes),
            budget: "bounded: below 1 byte a refusal".to_owned(),
            verdict: Verdict::of(load.log_bytes < load.refusals.len()),
        },
        idle("on the cluster", idle_kib),
        idle("Tekton simulated in the process", load.idle_kib),
        live,
    ]
}
