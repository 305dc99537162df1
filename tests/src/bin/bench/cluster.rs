//! What is measured on the control plane: creating a PipelineRun by hand, from a Start to its run, and from the end of a
//! run to the watch.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use kube::api::PostParams;
use kube::{Client, ResourceExt};
use serde_json::json;
use tokio::time::{Duration, Instant, MissedTickBehavior, interval};
use wfe_crds::names::{annotation, label};
use wfe_proto::v1::State;
use wfe_tests::{Namespace, ServerProcess, bundles, tekton};

use crate::pace::{paced, request, start, terminal};
use crate::samples::Samples;
use crate::sightings::Sightings;

/// PipelineRuns created by hand.
const FLOOR: u32 = 200;
/// Executions whose runs are waited for.
const CREATIONS: u32 = 60;
/// Pause between them: 5 a second.
const CREATION_EVERY: Duration = Duration::from_millis(200);
/// Executions whose ends are waited for.
const ENDS: u32 = 60;
/// Pause between them: 2 a second.
const END_EVERY: Duration = Duration::from_millis(500);
/// Before each measurement, not counted: connections are opened and caches filled.
const WARM_UP: u32 = 5;

/// Creates runs for which Tekton starts nothing, at the rate of the Starts, each after the answer to the one before.
pub(crate) async fn floor(namespace: &Namespace, bundle: &str) -> Result<Samples> {
    let runs = namespace.runs();
    let mut samples = Samples::new()?;
    let mut ticks = interval(CREATION_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for n in 0..WARM_UP + FLOOR {
        ticks.tick().await;
        let target = format!("default/deployment/floor-{n}");
        // As a run of the service looks, but pending.
        let spec = json!({
            "status": "PipelineRunPending",
            "params": [{ "name": "TARGET_RESOURCE", "value": target }],
            "taskRunTemplate": { "podTemplate": { "securityContext": {
                "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" },
            } } },
        });
        let name = format!("wfe-{n:016x}-1");
        let mut run = tekton::pipeline_run(&name, bundle, &spec)?;
        run.labels_mut().extend(BTreeMap::from([
            (label::EXECUTION_ID.to_owned(), format!("00000000-0000-7000-8000-{n:012x}")),
            (label::TARGET_HASH.to_owned(), format!("{n:016x}")),
            (label::TARGET_RESOURCE.to_owned(), target.replace('/', "__")),
        ]));
        run.annotations_mut().extend(BTreeMap::from([
            (annotation::TARGET_RESOURCE.to_owned(), target),
            (annotation::REQUEST_ID.to_owned(), format!("floor-{n}")),
            (annotation::EPOCH.to_owned(), "1".to_owned()),
        ]));
        let sent = Instant::now();
        runs.create(&PostParams::default(), &run).await?;
        if n >= WARM_UP {
            samples.add(sent.elapsed());
        }
    }
    Ok(samples)
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
    let sightings = Sightings::watch(namespace.runs()).await?;
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
    let sightings = Sightings::watch(namespace.runs()).await?;
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
        let seen = sightings.ended(&id).await?;
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
