//! Pipelines that run as tasks of a pipeline: an alpha feature of Tekton, which cannot stop such a run.

use std::panic::{AssertUnwindSafe, resume_unwind};

use anyhow::{Context as _, Result, ensure};
use futures::FutureExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;
use wfe_proto::v1::{CancelMode, State, TaskState};
use wfe_tests::bundles::{Task, Workflow, push};
use wfe_tests::server::Client;
use wfe_tests::wait::eventually;
use wfe_tests::{ControlPlane, Namespace};

use crate::calls::*;
use crate::cancel_modes::{anything_alive, causes, hangs};

/// Runs a test while Tekton takes alpha fields, and nothing else runs.
async fn with_alpha_fields(test: impl AsyncFnOnce(&ControlPlane) -> Result<()>) -> Result<()> {
    ControlPlane::alone(async |plane| {
        let maps = Api::<ConfigMap>::namespaced(plane.client().await?, "tekton-pipelines");
        let set = async |value: Option<&str>| {
            let patch = Patch::Merge(json!({ "data": { "enable-api-fields": value } }));
            maps.patch("feature-flags", &PatchParams::default(), &patch).await
        };
        let flags = maps.get("feature-flags").await?.data.unwrap_or_default();
        set(Some("alpha")).await?;
        let tested = AssertUnwindSafe(test(plane)).catch_unwind().await;
        set(flags.get("enable-api-fields").map(String::as_str)).await?;
        tested.unwrap_or_else(|panic| resume_unwind(panic))
    })
    .await
}

/// Starts a pipeline inside of which another one runs for ever, and waits until that does. Tekton may refuse the
/// first ones: it hears of its settings a moment after they were changed.
async fn until_it_runs(
    client: &mut Client,
    namespace: &Namespace,
    bundle: &str,
    target: &str,
) -> Result<String> {
    let mut tries = 0;
    eventually(PATIENCE, "a task of the inner pipeline runs", || {
        tries += 1;
        let name = format!("{target}-{tries}");
        let mut client = client.clone();
        async move {
            let said = |error: &dyn std::fmt::Display| format!("{error:#}");
            let started = start(&mut client, mk_start(bundle, &name, &name)).await;
            let id = started.map_err(|error| said(&error))?.id;
            eventually(PATIENCE, "it runs or is over", async || {
                let seen = get(&mut client.clone(), &id).await.map_err(|error| said(&error))?;
                let run = seen.run.clone().unwrap_or_default().name;
                let tasks = namespace.tasks().list(&ListParams::default()).await;
                let runs = tasks.map_err(|error| said(&error))?.iter().any(|task| {
                    let of = task.data["status"]["podName"].as_str().unwrap_or_default();
                    let step = &task.data["status"]["steps"][0]["running"];
                    of.starts_with(&run) && step.is_object()
                });
                if seen.state() == State::Running && runs {
                    Ok(Ok(id.clone()))
                } else if let Some(failure) = seen.failure {
                    Ok(Err(format!("{failure:?}")))
                } else {
                    Err(format!("{seen:?}"))
                }
            })
            .await
            .map_err(|error| said(&error))?
        }
    })
    .await
}

#[tokio::test]
async fn a_run_with_pipelines_as_tasks_is_stopped_in_every_mode_and_leaves_nothing_alive()
-> Result<()> {
    with_alpha_fields(async |plane| {
        let inner = Workflow::new([hangs("a")]).to_json()["spec"]["tasks"].clone();
        let outer = Workflow::new([])
            .with(json!({ "tasks": [{ "name": "inner", "pipelineSpec": { "tasks": inner } }] }))
            .finally(Task::new("report"));
        let bundle = push(plane.registry(), "pipeline-in-pipeline", "v1", &outer).await?.reference;
        with_server(plane, async |namespace, server| {
            let mut client = server.client().await?;
            for mode in [CancelMode::Immediate, CancelMode::RunFinally, CancelMode::StopAndFinally]
            {
                let target = format!("default/pod/m{}", i32::from(mode));
                let id = until_it_runs(&mut client, namespace, &bundle, &target).await?;
                cancel_as(&mut client, &id, mode, None).await?;
                let done = follow(&mut client, &id, 0).await?;
                ensure!(done.state() == State::Cancelled, "{mode:?}: {done:?}");
                ensure!(causes(&done).is_empty(), "{mode:?}: {done:?}");
                let progress = done.progress.context("progress")?;
                ensure!(progress.step_started, "{mode:?}: {progress:?}");
                ensure!(
                    progress.tasks[0].state() == TaskState::Cancelled,
                    "{mode:?}: {progress:?}"
                );
                let alive = anything_alive(namespace).await?;
                ensure!(alive.is_empty(), "{mode:?} left {alive:?}");
            }
            Ok(())
        })
        .await
    })
    .await
}
