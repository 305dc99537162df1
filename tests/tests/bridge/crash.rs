//! kill -9 of everything at any moment: each object runs once, ends, and is told of once.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use kube::api::ListParams;
use nix::sys::signal::Signal;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;
use wfe_crds::workflow_execution::Phase;
use wfe_tests::bundles::{self, Task, Workflow};
use wfe_tests::wait::{PATIENCE, eventually};
use wfe_tests::{BridgeOptions, BridgeProcess, ControlPlane};

use crate::record::{COMPLETED, Fate, History};
use crate::support::*;

const OBJECTS: usize = 50;
/// Fewer than objects, so that some wait for others.
const TARGETS: usize = 20;
/// How often each process is killed.
const KILLS: usize = 4;

#[derive(Debug, Clone, Copy)]
enum Victim {
    Server,
    FirstBridge,
    SecondBridge,
}

#[tokio::test]
async fn kill_9_of_server_and_both_bridges_while_50_objects_run_loses_repeats_and_reverts_nothing()
-> Result<()> {
    let plane = ControlPlane::from_env()?;
    let (objects, fates) = mk_objects(plane.registry(), OBJECTS).await?;
    let seed = rand::random();
    println!("seed {seed}");
    with_bridge(&plane, &[], async |setup| {
        let (service, namespace) = (setup.service.address(), setup.namespace.name());
        let options = BridgeOptions::new(&plane, service, namespace);
        let mut second = BridgeProcess::start(options).await?;
        second.until_ready().await?;
        let history = History::record(setup).await?;
        let kubectl = setup.kubectl.clone();
        let tested = async {
            let applying = kubectl.apply(&objects);
            let killing = kill_in_turn(setup, &mut second, StdRng::seed_from_u64(seed));
            tokio::try_join!(applying, killing)?;
            setup.bridge.until_ready().await?;
            second.until_ready().await?;
            setup.all_ended_once(&fates).await?;
            history.never_went_backwards(setup).await
        }
        .await;
        if tested.is_err() {
            eprintln!("log of the second bridge:\n{}", second.log()?);
        }
        tested
    })
    .await
}

#[tokio::test]
async fn a_bridge_that_was_frozen_while_another_went_on_turns_nothing_back() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let (objects, fates) = mk_objects(plane.registry(), 12).await?;
    with_bridge(&plane, &[], async |setup| {
        let (service, namespace) = (setup.service.address(), setup.namespace.name());
        let options = BridgeOptions::new(&plane, service, namespace);
        let late = BridgeProcess::start(options).await?;
        late.until_ready().await?;
        let history = History::record(setup).await?;
        setup.kubectl.apply(&objects).await?;
        eventually(PATIENCE, "the bridge knows of objects that run", || async {
            let metrics = late.metrics().await.map_err(|error| error.to_string())?;
            let follows = !metrics.contains("wfe_bridge_objects_followed 0");
            match running(setup).await.map_err(|error| error.to_string())? {
                1.. if follows => Ok(()),
                hit => Err(format!("{hit} run; {metrics}")),
            }
        })
        .await?;
        signal(late.pid(), Signal::SIGSTOP)?;
        let hit = running(setup).await?;
        println!("frozen while {hit} objects run");
        ensure!(hit > 0, "nothing runs any more");
        let others = setup.all_ended_once(&fates).await;
        signal(late.pid(), Signal::SIGCONT)?;
        others?;
        eventually(PATIENCE, "the bridge has caught up", || async {
            let metrics = late.metrics().await.map_err(|error| error.to_string())?;
            let done = metrics.contains("wfe_bridge_objects_followed 0");
            if done { Ok(()) } else { Err(metrics) }
        })
        .await?;
        setup.all_ended_once(&fates).await?;
        history.never_went_backwards(setup).await
    })
    .await
}

/// So many objects of mixed fates, as a manifest, and how each must end.
async fn mk_objects(registry: &str, count: usize) -> Result<(String, BTreeMap<String, Fate>)> {
    let task = |name| Task::new(name).after(Duration::from_secs(1));
    let slow = Workflow::new([task("a"), task("b").run_after("a"), task("c").run_after("b")]);
    let slow = bundles::push(registry, "three-slow-tasks", "v1", &slow).await?;
    let kinds = [
        (slow.reference, COMPLETED),
        (bundles::succeeds(registry).await?.reference, COMPLETED),
        (bundles::step_exits_1(registry).await?.reference, (Phase::Failed, Some("TaskFailed"))),
        (bundles::three_tasks_in_order(registry).await?.reference, COMPLETED),
        (bundles::oom_killed(registry).await?.reference, (Phase::Failed, Some("OOMKilled"))),
    ];
    let mut fates = BTreeMap::new();
    let mut items = Vec::new();
    for (n, (bundle, fate)) in (0..count).zip(kinds.iter().cycle()) {
        let name = format!("object-{n}");
        items.push(mk_object(&name, bundle, &format!("default/pod/p-{}", n % TARGETS)));
        fates.insert(name, fate.clone());
    }
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
    Ok((list.to_string(), fates))
}

async fn kill_in_turn(
    setup: &mut Setup,
    second: &mut BridgeProcess,
    mut random: StdRng,
) -> Result<()> {
    let mut victims = [Victim::Server, Victim::FirstBridge, Victim::SecondBridge].repeat(KILLS);
    victims.shuffle(&mut random);
    eventually(PATIENCE, "an object runs", || async {
        match running(setup).await {
            Ok(0) => Err("none".to_owned()),
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    })
    .await?;
    for victim in victims {
        let mut moment = async |millis| {
            tokio::time::sleep(Duration::from_millis(random.random_range(0..millis))).await;
        };
        moment(900).await;
        let hit = running(setup).await?;
        println!("killing {victim:?} while {hit} objects run");
        ensure!(hit > 0, "nothing runs any more");
        match victim {
            Victim::Server => {
                setup.server.kill().await?;
                moment(300).await;
                setup.server.start_again().await?;
                setup.service.point_to(Some(setup.server.addresses().grpc));
            }
            Victim::FirstBridge => {
                setup.bridge.kill().await?;
                moment(300).await;
                setup.bridge.start_again().await?;
            }
            Victim::SecondBridge => {
                second.kill().await?;
                moment(300).await;
                second.start_again().await?;
            }
        }
    }
    Ok(())
}

/// How many objects run now, as their status says.
async fn running(setup: &Setup) -> Result<usize> {
    let objects = setup.objects().list(&ListParams::default()).await?;
    let runs = objects.iter().filter(|object| {
        object.status.as_ref().and_then(|status| status.phase.as_ref()) == Some(&Phase::Running)
    });
    Ok(runs.count())
}
