//! What is measured under load, on a server that simulates Tekton: durable Starts, refusals, memory.

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant};
use tonic::Code;
use wfe_proto::v1;
use wfe_tests::ServerProcess;
use wfe_tests::server::Client;
use wfe_tests::wait::{PATIENCE, eventually};

use crate::pace::{paced, request, start};
use crate::samples::Samples;
use crate::usage;
use crate::writes::samples;

/// Starts on targets of their own.
pub(crate) const STARTS: u32 = 2_000;
/// Pause between them: 200 a second.
const START_EVERY: Duration = Duration::from_millis(5);
/// Connections of the clients.
pub(crate) const CONNECTIONS: usize = 8;
/// How long refusals are asked for.
pub(crate) const REFUSING: Duration = Duration::from_secs(5);
/// A simulated task outlives the benchmark.
const TASK: Duration = Duration::from_hours(1);
/// Before the measurement, not counted and not stored.
const WARM_UP: usize = 200;
/// Never fetched: nothing is pulled in a simulation.
const BUNDLE: &str = "registry.example/workflows/succeeds:v1";

/// What was measured.
pub(crate) struct Load {
    /// From the moment a Start was to be sent to its answer.
    pub(crate) starts: Samples,
    /// Within this, in milliseconds, 99 of 100 transactions had sealed their records.
    pub(crate) seal_millis: f64,
    /// From a Start to its refusal.
    pub(crate) refusals: Samples,
    /// Refusals in a second.
    pub(crate) refusals_per_second: f64,
    /// What the server wrote to its log meanwhile.
    pub(crate) log_bytes: u64,
    /// Resident memory of the idle server, in KiB.
    pub(crate) idle_kib: u32,
    /// Resident memory with [`STARTS`] live executions, in KiB.
    pub(crate) live_kib: u32,
}

/// Starts a server, measures, and ends it.
pub(crate) async fn load() -> Result<Load> {
    let server = ServerProcess::start_simulated(TASK).await?;
    let idle_kib = usage::of(server.pid())?.kib;
    let clients = try_join_all((0..CONNECTIONS).map(|_| server.client())).await?;
    warm_up(&clients).await?;

    let answered = paced(START_EVERY, STARTS, |n, intended| {
        let mut client = clients[n as usize % CONNECTIONS].clone();
        let request = request(BUNDLE, &format!("load-{n}"), &target(n));
        async move {
            start(&mut client, request).await?;
            Ok(intended.elapsed())
        }
    })
    .await?;
    let mut starts = Samples::new()?;
    for time in answered {
        starts.add(time);
    }
    let seal_millis = sealed_within(&server.metrics().await?)?;
    until_all_run(&server).await?;
    let live_kib = usage::of(server.pid())?.kib;

    let log_before = server.log()?.len();
    let began = Instant::now();
    let refusals = refuse(clients, began + REFUSING).await?;
    let refused = u32::try_from(refusals.len()).context("too many refusals")?;
    let refusals_per_second = f64::from(refused) / began.elapsed().as_secs_f64();
    let log_bytes = u64::try_from(server.log()?.len().saturating_sub(log_before))?;
    Ok(Load { starts, seal_millis, refusals, refusals_per_second, log_bytes, idle_kib, live_kib })
}

fn target(n: u32) -> String {
    format!("default/deployment/load-{n}")
}

async fn warm_up(clients: &[Client]) -> Result<()> {
    for n in 0..WARM_UP {
        let request = v1::StartRequest { validate_only: true, ..request(BUNDLE, "w", &target(0)) };
        clients[n % clients.len()].clone().start(request).await?;
    }
    Ok(())
}

/// Asks for a held target, on each connection as fast as the answers come.
async fn refuse(clients: Vec<Client>, until: Instant) -> Result<Samples> {
    let mut connections = JoinSet::new();
    for (connection, mut client) in clients.into_iter().enumerate() {
        connections.spawn(async move {
            let mut samples = Samples::new()?;
            for n in 0_u64.. {
                let request = request(BUNDLE, &format!("refused-{connection}-{n}"), &target(0));
                let sent = Instant::now();
                if sent >= until {
                    break;
                }
                let status = client.start(request).await.err().context("a Start was accepted")?;
                samples.add(sent.elapsed());
                ensure!(status.code() == Code::Aborted, "{status:?}");
            }
            anyhow::Ok(samples)
        });
    }
    let mut all = Samples::new()?;
    while let Some(samples) = connections.join_next().await {
        all.merge(&samples??)?;
    }
    Ok(all)
}

/// The narrowest bucket that holds 99 of 100 times of sealing.
fn sealed_within(metrics: &str) -> Result<f64> {
    const BUCKETS: &str = "wfe_store_seconds_bucket";
    let mut buckets = Vec::new();
    for (labels, count) in samples(metrics, BUCKETS) {
        if !labels.contains("transaction=\"seal\"") {
            continue;
        }
        let bound = labels.split("le=\"").nth(1).and_then(|rest| rest.split('"').next());
        let bound: f64 = bound.context("a bucket without a bound")?.parse()?;
        buckets.push((bound, count.parse::<f64>()?));
    }
    let all = buckets.iter().map(|(_, count)| *count).fold(0.0, f64::max);
    let within = buckets.iter().find(|(_, count)| *count >= 0.99 * all);
    Ok(within.context("nothing was sealed")?.0 * 1_000.0)
}

async fn until_all_run(server: &ServerProcess) -> Result<()> {
    let wanted = format!("wfe_executions{{state=\"running\"}} {STARTS}");
    eventually(PATIENCE, "every execution runs", async || {
        let metrics = server.metrics().await.map_err(|error| error.to_string())?;
        let executions = metrics.lines().filter(|line| line.starts_with("wfe_executions{"));
        let executions: Vec<&str> = executions.collect();
        if executions.contains(&wanted.as_str()) { Ok(()) } else { Err(executions.join(", ")) }
    })
    .await
}
