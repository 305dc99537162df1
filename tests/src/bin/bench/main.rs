//! The benchmark: measures on a control plane that runs, writes docs/benchmarks.md. `cargo xtask bench` starts it. Bounded
//! in count and time; asserts nothing about speed, but fails when a call does.

mod bridge;
mod cluster;
mod door;
mod load;
mod machine;
mod pace;
mod report;
mod rows;
mod samples;
mod sightings;
mod stress;
mod usage;
mod verify;
mod writes;

use std::env;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use tokio::time::Duration;
use wfe_tests::{ControlPlane, Namespace, ServerProcess, bundles};

use crate::load::{STARTS, load};
use crate::machine::{Machine, load_average};
use crate::report::{Results, page};
use crate::rows::{Measured, OnCluster};

#[derive(Parser)]
#[command(about = "Measures the service on a control plane that runs; see `cargo xtask bench`")]
struct Args {
    /// Where the page is written [default: it is only printed]
    #[arg(long)]
    output: Option<PathBuf>,
    /// Measure only this; may be repeated. The page has no figures for the rest
    #[arg(long = "section", value_enum)]
    sections: Vec<Section>,
    /// How long WorkflowExecutions are created in the section `stress`, in seconds, at the rate of 1000 in 10 minutes
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=3600))]
    stress_seconds: u64,
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

/// What can be measured alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Section {
    /// From Start to the PipelineRun, and from its end to Watch
    Service,
    /// Durable Starts and refusals under load, on a simulated Tekton
    Load,
    /// From WorkflowExecution to PipelineRun, one at a time and in a burst, and from its end to the status
    Bridge,
    /// 100 WorkflowExecutions at once, to their ends
    Concurrent,
    /// 1000 WorkflowExecutions over 10 minutes, with memory and CPU time
    Stress,
    /// An export of the audit log verified; alone, it needs no control plane
    Verify,
}

#[tokio::main]
async fn main() -> Result<()> {
    let args = Args::parse();
    if args.sections == [Section::Verify] {
        for amount in verify::amounts(Some(&verify::measure().await?)) {
            println!("{}: {}", amount.what, amount.value.unwrap_or_default());
        }
        return Ok(());
    }
    // Tests on the same control plane wait until this is over, and this until they are.
    ControlPlane::alone(async |plane| Box::pin(bench(args, plane)).await).await
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
    let stress_for = Duration::from_secs(args.stress_seconds);

    let before = load_average()?;
    let measured = Box::pin(measure(plane, &args.sections, stress_for)).await?;
    let after = load_average()?;

    let page = page(&Results {
        date,
        machine,
        kubernetes,
        tekton,
        note: args.note,
        load_averages: [before, after],
        stress_for,
        latencies: rows::latencies(&measured, stress_for),
        amounts: rows::amounts(&measured, stress_for),
        moments: measured.stress.as_ref().map(|stress| stress.moments.as_slice()),
    });
    print!("{page}");
    match args.output {
        Some(output) => {
            fs::write(&output, page).with_context(|| format!("write {}", output.display()))
        }
        None => Ok(()),
    }
}

#[expect(clippy::disallowed_methods, reason = "a process of its own, which has no other clock")]
fn today() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%d").to_string()
}

/// Measures these sections, or all. What one leaves in the cluster is gone before the next begins.
async fn measure(
    plane: &ControlPlane,
    sections: &[Section],
    stress_for: Duration,
) -> Result<Measured> {
    let wanted = |section| sections.is_empty() || sections.contains(&section);
    let mut measured = Measured::default();
    if wanted(Section::Service) {
        measured.service = Some(service(plane).await?);
    }
    if wanted(Section::Load) {
        println!("{STARTS} durable Starts, then refusals");
        measured.load = Some(load().await?);
    }
    if wanted(Section::Bridge) {
        measured.bridge = Some(one_by_one(plane).await?);
    }
    if wanted(Section::Concurrent) {
        let work = async |door: &door::Door<'_>| bridge::concurrent(plane, door).await;
        measured.concurrent = Some(door::through(plane, work).await?);
    }
    if wanted(Section::Stress) {
        let work = async |door: &door::Door<'_>| stress::stress(plane, door, stress_for).await;
        measured.stress = Some(door::through(plane, work).await?);
    }
    if wanted(Section::Verify) {
        println!("an export verified");
        measured.verify = Some(verify::measure().await?);
    }
    Ok(measured)
}

async fn service(plane: &ControlPlane) -> Result<OnCluster> {
    let client = plane.client().await?;
    // The runs of the first measurement stay until the end: their removal would be work beside the others.
    let measured = Namespace::with(client.clone(), async |by_hand| {
        Namespace::with(client, async |namespace| on_cluster(plane, by_hand, namespace).await).await
    })
    .await?;
    plane.settle().await?;
    Ok(measured)
}

async fn on_cluster(
    plane: &ControlPlane,
    by_hand: &Namespace,
    namespace: &Namespace,
) -> Result<OnCluster> {
    let bundle = bundles::succeeds(plane.registry()).await?.reference;
    println!("PipelineRuns by hand");
    let floor = cluster::floor(by_hand, &bundle, cluster::FLOOR).await?.to_answer;
    let server = ServerProcess::start(plane, namespace.name()).await?;
    let idle_kib = usage::of(server.pid())?.kib;
    println!("from Start to the PipelineRun");
    let creation = cluster::creation(namespace, &server, plane.registry()).await?;
    println!("from the end of a run to the Watch message");
    let ends = cluster::ends(namespace, &server, &bundle).await?;
    Ok(OnCluster { floor, creation, ends, idle_kib })
}

async fn one_by_one(plane: &ControlPlane) -> Result<bridge::OneByOne> {
    let client = plane.client().await?;
    let measured = Namespace::with(client, async |by_hand| {
        // As above; the measurement through the bridge does not wait for the namespace of the other one.
        door::before_removal(plane, async |door| bridge::one_by_one(plane, door, by_hand).await)
            .await
    })
    .await?;
    plane.settle().await?;
    Ok(measured)
}
