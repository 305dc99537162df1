//! What the bridge needs goes away and comes back: it says so meanwhile, and catches up by itself.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kube::config::Kubeconfig;
use nix::sys::signal::Signal;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;
use wfe_crds::workflow_execution::{Phase, WorkflowExecutionStatus};
use wfe_tests::bundles::{self, Task, Workflow};
use wfe_tests::control_plane::API_SERVER;
use wfe_tests::wait::eventually;
use wfe_tests::{BridgeOptions, BridgeProcess, ControlPlane, Forward};

use crate::record::{COMPLETED, Fate, History};
use crate::support::*;

/// How long the API server is away.
const AWAY: Duration = Duration::from_secs(20);

/// How long each first task takes where the API server goes away: nothing may begin meanwhile, so it is far longer than
/// what precedes the outage.
const UNTIL_AWAY: Duration = Duration::from_secs(20);

/// How long each first task takes elsewhere.
const BRIEFLY: Duration = Duration::from_millis(1_500);

/// Within this time readiness says that the service does not answer any more.
const NOTICED: Duration = Duration::from_secs(25);

/// Within this time readiness says that the API server does not answer any more: a minute of silence, and the look.
const SILENCE_NOTICED: Duration = Duration::from_secs(65);

/// Within this time a bridge ends in order: much less than Kubernetes gives it.
const ENDS: Duration = Duration::from_secs(5);

#[tokio::test]
async fn an_api_server_that_is_away_for_20_s_is_named_and_everything_catches_up() -> Result<()> {
    ControlPlane::alone(async |plane| {
        with_bridge(plane, &[], async |setup| {
            let fates = run_objects(plane, setup, UNTIL_AWAY).await?;
            plane.stop_component(API_SERVER).await?;
            let gone = Instant::now();
            until_parts(setup, AWAY, |kubernetes, _| kubernetes != "ok").await?;
            // The service knows that it cannot do its work either, and the bridge tells of both.
            until_parts(setup, AWAY, |kubernetes, server| kubernetes != "ok" && server != "ok")
                .await?;
            ensure!(!setup.server.ready().await?.0, "the server is ready");
            tokio::time::sleep(AWAY.saturating_sub(gone.elapsed())).await;
            until_parts(setup, AWAY, |kubernetes, server| kubernetes != "ok" && server != "ok")
                .await?;
            plane.start_component(API_SERVER).await?;
            setup.server.until_ready().await?;
            setup.bridge.until_ready().await?;
            setup.all_ended_once(&fates).await
        })
        .await
    })
    .await
}

#[tokio::test]
async fn a_frozen_api_server_is_named_and_everything_catches_up() -> Result<()> {
    ControlPlane::alone(async |plane| {
        with_bridge(plane, &[], async |setup| {
            let fates = run_objects(plane, setup, UNTIL_AWAY).await?;
            plane.pause_component(API_SERVER)?;
            let frozen = Instant::now();
            let noticed = until_parts(setup, SILENCE_NOTICED, |kubernetes, _| kubernetes != "ok");
            let noticed = noticed.await;
            println!("noticed after {:?}", frozen.elapsed());
            plane.resume_component(API_SERVER)?;
            noticed?;
            setup.server.until_ready().await?;
            setup.bridge.until_ready().await?;
            setup.all_ended_once(&fates).await
        })
        .await
    })
    .await
}

#[tokio::test]
async fn connections_to_the_api_server_that_are_cut_again_and_again_hide_nothing() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    // They outlive the bridge, which goes through them to the end.
    let api_server = Forward::start().await?;
    let directory = tempfile::tempdir()?;
    let kubeconfig = directory.path().join("kubeconfig");
    let host = kubeconfig_through(&plane, &api_server, &kubeconfig)?;
    with_bridge(&plane, &[], async |setup| {
        let options = BridgeOptions::new(&plane, setup.service.address(), setup.namespace.name());
        setup.bridge.kill().await?;
        let options = BridgeOptions { kubeconfig, ..options };
        setup.bridge = BridgeProcess::start(options).await?;
        setup.bridge.until_ready().await?;

        let history = History::record(setup).await?;
        let fates = run_objects(&plane, setup, BRIEFLY).await?;
        let mut moment = async |millis| {
            tokio::time::sleep(Duration::from_millis(random.random_range(0..millis))).await;
        };
        let mut cuts = 0;
        while !has_ended(setup, &fates).await? {
            // Some connections are made again at once, some not for a while.
            api_server.point_to((cuts % 2 == 0).then_some(host));
            api_server.cut();
            cuts += 1;
            moment(800).await;
            api_server.point_to(Some(host));
            moment(200).await;
        }
        println!("{cuts} cuts");
        ensure!(cuts >= 5, "only {cuts} cuts");
        ensure!(setup.bridge.log()?.contains("the watch is broken"), "no watch was cut");
        setup.bridge.until_ready().await?;
        setup.all_ended_once(&fates).await?;
        history.never_went_backwards(setup).await
    })
    .await
}

/// Writes a kubeconfig with which the API server is reached through this; answers where it must point to.
fn kubeconfig_through(plane: &ControlPlane, forward: &Forward, file: &Path) -> Result<SocketAddr> {
    let config = Kubeconfig::read_from(plane.kubeconfig())?;
    let url = config.clusters.into_iter().find_map(|named| named.cluster?.server);
    let url = url.context("the address of the API server")?;
    let host = url.strip_prefix("https://").context("an https URL")?;
    let through = format!("https://{}", forward.address());
    std::fs::write(file, std::fs::read_to_string(plane.kubeconfig())?.replace(&url, &through))?;
    let host = host.trim_end_matches('/').parse()?;
    forward.point_to(Some(host));
    Ok(host)
}

#[tokio::test]
async fn a_server_that_comes_back_at_another_address_is_found_and_everything_catches_up()
-> Result<()> {
    let plane = ControlPlane::from_env()?;
    let bundle = bundles::succeeds(plane.registry()).await?.reference;
    with_bridge(&plane, &[], async |setup| {
        let history = History::record(setup).await?;
        let mut fates = run_objects(&plane, setup, BRIEFLY).await?;
        let before = setup.server.addresses().grpc;
        setup.service.point_to(None);
        setup.server.kill().await?;
        until_parts(setup, NOTICED, |kubernetes, server| kubernetes == "ok" && server != "ok")
            .await?;
        setup.apply(&mk_object("late", &bundle, "default/pod/late")).await?;
        fates.insert("late".to_owned(), COMPLETED);
        let said = setup
            .until("late", "says what it waits for", |status| {
                condition(status, "Ready").1 == "ServerUnavailable"
            })
            .await?;
        ensure!(said.phase == Some(Phase::Pending), "{said:#?}");

        setup.server.start_again().await?;
        ensure!(setup.server.addresses().grpc != before, "the same address");
        setup.service.point_to(Some(setup.server.addresses().grpc));
        setup.bridge.until_ready().await?;
        setup.all_ended_once(&fates).await?;
        history.never_went_backwards(setup).await
    })
    .await
}

#[tokio::test]
async fn a_frozen_server_is_named_and_everything_catches_up_when_it_goes_on() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    with_bridge(&plane, &[], async |setup| {
        let history = History::record(setup).await?;
        let fates = run_objects(&plane, setup, BRIEFLY).await?;
        signal(setup.server.pid(), Signal::SIGSTOP)?;
        let frozen = Instant::now();
        let noticed =
            until_parts(setup, NOTICED, |kubernetes, server| kubernetes == "ok" && server != "ok");
        let noticed = noticed.await;
        println!("noticed after {:?}", frozen.elapsed());
        signal(setup.server.pid(), Signal::SIGCONT)?;
        noticed?;
        setup.bridge.until_ready().await?;
        setup.all_ended_once(&fates).await?;
        history.never_went_backwards(setup).await
    })
    .await
}

#[tokio::test]
async fn a_bridge_that_is_asked_to_stop_ends_in_order_and_the_next_one_goes_on() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    with_bridge(&plane, &[], async |setup| {
        let history = History::record(setup).await?;
        let fates = run_objects(&plane, setup, BRIEFLY).await?;
        let asked = Instant::now();
        let ended = setup.bridge.terminate().await?;
        println!("ended after {:?}", asked.elapsed());
        ensure!(ended.code() == Some(0), "{ended}");
        ensure!(asked.elapsed() < ENDS, "only after {:?}", asked.elapsed());
        ensure!(!has_ended(setup, &fates).await?, "nothing was under way");
        setup.bridge.start_again().await?;
        setup.all_ended_once(&fates).await?;
        history.never_went_backwards(setup).await
    })
    .await
}

/// Applies objects that take some seconds, of which some wait for others. Returns when all that can run do, with how each
/// must end.
async fn run_objects(
    plane: &ControlPlane,
    setup: &Setup,
    first_task: Duration,
) -> Result<BTreeMap<String, Fate>> {
    const OBJECTS: usize = 9;
    const TARGETS: usize = 6;
    let slow = Workflow::new([
        Task::new("a").after(first_task),
        Task::new("b").after(BRIEFLY).run_after("a"),
    ]);
    let tag = format!("after-{}ms", first_task.as_millis());
    let slow = bundles::push(plane.registry(), "two-slow-tasks", &tag, &slow).await?.reference;
    let mut fates = BTreeMap::new();
    for n in 0..OBJECTS {
        let name = format!("object-{n}");
        setup.apply(&mk_object(&name, &slow, &format!("default/pod/p-{}", n % TARGETS))).await?;
        fates.insert(name, COMPLETED);
    }
    // Tekton gives up a pipeline that it does not get within a minute, whatever the bridge does: an outage
    // begins when it has those that run, and before the first of them ends and lets in another.
    let resolved = |status: &WorkflowExecutionStatus| {
        let total = status.execution_status.as_ref().and_then(|run| run.total_tasks);
        total.is_some_and(|total| total > 0)
    };
    for n in 0..OBJECTS {
        let waits =
            |status: &WorkflowExecutionStatus| n >= TARGETS && status.phase == Some(Phase::Pending);
        setup
            .until(&format!("object-{n}"), "is under way", |status| {
                waits(status) || resolved(status)
            })
            .await?;
    }
    if first_task == UNTIL_AWAY {
        for n in TARGETS..OBJECTS {
            let status = setup.status(&format!("object-{n}")).await?;
            ensure!(status.phase == Some(Phase::Pending), "object-{n} began too early: {status:?}");
        }
    }
    Ok(fates)
}

async fn has_ended(setup: &Setup, fates: &BTreeMap<String, Fate>) -> Result<bool> {
    for name in fates.keys() {
        if setup.status(name).await?.completion_time.is_none() {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Waits until `/ready` is 503 and says this of Kubernetes and of the server.
async fn until_parts(
    setup: &Setup,
    deadline: Duration,
    is_so: impl Fn(&str, &str) -> bool,
) -> Result<()> {
    eventually(deadline, "readiness says what is missing", || async {
        let (ready, text) = setup.bridge.ready().await.map_err(|error| error.to_string())?;
        let parts: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        let part = |name: &str| parts[name].as_str().unwrap_or_default().to_owned();
        if !ready && is_so(&part("kubernetes"), &part("server")) { Ok(()) } else { Err(text) }
    })
    .await
}
