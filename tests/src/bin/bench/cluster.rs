//! What is measured on the control plane with the service alone: creating a PipelineRun by hand, from a Start to its run,
//! and from the end of a run to the watch.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use kube::api::{DynamicObject, PostParams};
use kube::{Client, ResourceExt};
use serde_json::json;
use tokio::time::{Duration, Instant, MissedTickBehavior, interval};
use wfe_crds::names::{annotation, label};
use wfe_proto::v1::State;
use wfe_tests::{Namespace, ServerProcess, bundles, tekton};

use crate::pace::{at_once, paced, request, start, terminal};
use crate::samples::Samples;
use crate::sightings::{Look, Sightings};

/// PipelineRuns created by hand, one at a time.
pub(crate) const FLOOR: u32 = 200;
/// Executions whose runs are waited for.
pub(crate) const CREATIONS: u32 = 60;
/// Pause between them: 5 a second.
pub(crate) const CREATION_EVERY: Duration = Duration::from_millis(200);
/// Executions whose ends are waited for.
pub(crate) const ENDS: u32 = 60;
/// Pause between them: 2 a second.
pub(crate) const END_EVERY: Duration = Duration::from_millis(500);
/// Before each measurement, not counted: connections are opened and caches filled.
pub(crate) const WARM_UP: u32 = 5;

/// From the request that creates a run by hand.
pub(crate) struct Floor {
    /// To the answer.
    pub(crate) to_answer: Samples,
    /// To the run as the watch of the benchmark sees it.
    pub(crate) to_sight: Samples,
}

/// Creates `count` runs for which Tekton starts nothing, at the rate of the Starts, each after the answer to the one before.
pub(crate) async fn floor(namespace: &Namespace, bundle: &str, count: u32) -> Result<Floor> {
    let runs = namespace.runs();
    let sightings = Sightings::watch(namespace.runs(), Look::Runs).await?;
    let mut floor = Floor { to_answer: Samples::new()?, to_sight: Samples::new()? };
    let mut ticks = interval(CREATION_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for n in 0..WARM_UP + count {
        ticks.tick().await;
        let (key, run) = pending(n, bundle)?;
        let sent = Instant::now();
        runs.create(&PostParams::default(), &run).await?;
        let answered = sent.elapsed();
        let seen = sightings.created(&key).await?;
        if n >= WARM_UP {
            floor.to_answer.add(answered);
            floor.to_sight.between(sent, seen);
        }
    }
    Ok(floor)
}

/// The same for all of `count` at once, over as many connections; from each request to the run as a watch sees it.
pub(crate) async fn floor_in_a_burst(
    namespace: &Namespace,
    bundle: &str,
    count: u32,
    connections: usize,
) -> Result<Samples> {
    let runs = namespace.runs();
    let sightings = Sightings::watch(namespace.runs(), Look::Runs).await?;
    let first = WARM_UP + 1_000_000;
    let made: Vec<(String, DynamicObject)> =
        (first..first + count).map(|n| pending(n, bundle)).collect::<Result<_>>()?;
    let sent = at_once(connections, made, async |(key, run)| {
        let sent = Instant::now();
        runs.create(&PostParams::default(), &run).await?;
        Ok((key, sent))
    })
    .await?;
    let mut samples = Samples::new()?;
    for (key, sent) in sent {
        samples.between(sent, sightings.created(&key).await?);
    }
    Ok(samples)
}

/// A run as one of the service looks, but pending; with the key by which it is seen.
fn pending(n: u32, bundle: &str) -> Result<(String, DynamicObject)> {
    let target = format!("default/deployment/floor-{n}");
    let spec = json!({
        "status": "PipelineRunPending",
        "params": [{ "name": "TARGET_RESOURCE", "value": target }],
        "taskRunTemplate": { "podTemplate": { "securityContext": {
            "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" },
        } } },
    });
    let name = format!("wfe-{n:016x}-1");
    let key = format!("00000000-0000-7000-8000-{n:012x}");
    let mut run = tekton::pipeline_run(&name, bundle, &spec)?;
    run.labels_mut().extend(BTreeMap::from([
        (label::EXECUTION_ID.to_owned(), key.clone()),
        (label::TARGET_HASH.to_owned(), format!("{n:016x}")),
        (label::TARGET_RESOURCE.to_owned(), target.replace('/', "__")),
    ]));
    run.annotations_mut().extend(BTreeMap::from([
        (annotation::TARGET_RESOURCE.to_owned(), target),
        (annotation::REQUEST_ID.to_owned(), format!("floor-{n}")),
        (annotation::EPOCH.to_owned(), "1".to_owned()),
    ]));
    Ok((key, run))
}

/// From a Start to its run.
pub(crate) struct Creation {
    /// From the request, when it was sent, to the run as the watch of the benchmark sees it.
    pub(crate) after_request: Samples,
    /// The same from the answer.
    pub(crate) after_answer: Samples,
}

/// Starts executions one by one and waits for their runs. The bundle is missing, so that Tekton has next to nothing to do
/// with a run and the system stays idle.
pub(crate) async fn creation(
    namespace: &Namespace,
    server: &ServerProcess,
    registry: &str,
) -> Result<Creation> {
    let sightings = Sightings::watch(namespace.runs(), Look::Runs).await?;
    let client = server.client().await?;
    let bundle = bundles::missing(registry);
    let started = paced(CREATION_EVERY, WARM_UP + CREATIONS, |n, _| {
        let mut client = client.clone();
        let request =
            request(&bundle, &format!("creation-{n}"), &format!("default/pod/creation-{n}"));
        async move {
            let sent = Instant::now();
            let id = start(&mut client, request).await?;
            Ok((n, id, sent, Instant::now()))
        }
    })
    .await?;
    let mut creation = Creation { after_request: Samples::new()?, after_answer: Samples::new()? };
    for (n, id, sent, answered) in started {
        let seen = sightings.created(&id).await?;
        if n >= WARM_UP {
            creation.after_request.between(sent, seen);
            creation.after_answer.between(answered, seen);
        }
    }
    Ok(creation)
}

/// From the end of a run, as the watch of the benchmark sees it, to the terminal message of its Watch call.
pub(crate) async fn ends(
    namespace: &Namespace,
    server: &ServerProcess,
    bundle: &str,
) -> Result<Samples> {
    let sightings = Sightings::watch(namespace.runs(), Look::Runs).await?;
    let client = server.client().await?;
    let ended = paced(END_EVERY, WARM_UP + ENDS, |n, _| {
        let mut client = client.clone();
        let request = request(bundle, &format!("end-{n}"), &format!("default/pod/end-{n}"));
        async move {
            let id = start(&mut client, request).await?;
            let (told, state) = terminal(&mut client, &id).await?;
            ensure!(state == State::Succeeded, "{id} is {state:?}");
            Ok((n, id, told))
        }
    })
    .await?;
    let mut samples = Samples::new()?;
    for (n, id, told) in ended {
        let (seen, _) = sightings.ended(&id).await?;
        if n >= WARM_UP {
            samples.between(seen, told);
        }
    }
    Ok(samples)
}

/// The version that the API server tells.
pub(crate) async fn kubernetes_version(client: &Client) -> Result<String> {
    Ok(client.apiserver_version().await?.git_version)
}

/// The version that an installation of Tekton tells.
pub(crate) async fn tekton_version(client: &Client) -> Result<String> {
    use k8s_openapi::api::core::v1::ConfigMap;
    let maps = kube::Api::<ConfigMap>::namespaced(client.clone(), "tekton-pipelines");
    let told = maps.get("pipelines-info").await?.data.and_then(|mut data| data.remove("version"));
    Ok(told.unwrap_or_else(|| "unknown".to_owned()))
}
