//! What people delete in a real cluster while an execution needs it: nothing hangs, and nothing lives on.

use anyhow::{Context, Result, ensure};
use kube::api::{DeleteParams, Patch, PatchParams, PropagationPolicy};
use kube::{Api, ResourceExt as _};
use serde_json::json;
use wfe_proto::v1::{self, State};
use wfe_tests::server::Client;
use wfe_tests::wait::eventually;
use wfe_tests::{ControlPlane, Namespace, bundles};

use crate::calls::*;

/// As those of controllers that sign or store what has ended.
const FINALIZER: &str = "wfe.test/holds";

async fn until_it_runs(client: &Client, id: &str) -> Result<String> {
    let running = eventually(PATIENCE, "a step runs", async || {
        let execution = get(&mut client.clone(), id).await.map_err(|error| error.to_string())?;
        let tasks = execution.progress.iter().flat_map(|progress| &progress.tasks);
        let runs = tasks.flat_map(|task| &task.steps).any(|step| step.start_time.is_some());
        if runs { Ok(execution) } else { Err(format!("{execution:?}")) }
    });
    Ok(running.await?.run.context("a run")?.name)
}

fn alone() -> DeleteParams {
    let propagation_policy = Some(PropagationPolicy::Orphan);
    DeleteParams { propagation_policy, ..DeleteParams::default() }
}

fn deleted(done: &v1::Execution) -> Result<()> {
    ensure!(done.state() == State::Failed, "{done:?}");
    let failure = done.failure.as_ref().context("a failure")?;
    ensure!(failure.message == "deleted from outside (lock stolen)", "{failure:?}");
    ensure!(failure.was_execution_failure, "{failure:?}");
    Ok(())
}

async fn hold<K>(api: &Api<K>, name: &str, finalizers: &[&str]) -> Result<()>
where
    K: Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    let patch = Patch::Merge(json!({ "metadata": { "finalizers": finalizers } }));
    api.patch(name, &PatchParams::default(), &patch).await?;
    Ok(())
}

/// No pod goes on: each has ended or is being deleted.
async fn pods_are_stopped(namespace: &Namespace) -> Result<()> {
    for pod in namespace.pods().list(&kube::api::ListParams::default()).await? {
        let phase = pod.status.as_ref().and_then(|status| status.phase.clone());
        let over = matches!(phase.as_deref(), Some("Succeeded" | "Failed"));
        ensure!(over || pod.metadata.deletion_timestamp.is_some(), "{}: {phase:?}", pod.name_any());
    }
    Ok(())
}

#[tokio::test]
async fn of_a_run_that_is_deleted_without_its_task_runs_nothing_lives_on() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let never = bundles::never_ends(plane.registry()).await?.reference;
    with_server(&plane, async |namespace, server| {
        let mut client = server.client().await?;
        let id = start(&mut client, mk_start(&never, "r", "default/pod/x")).await?.id;
        let run = until_it_runs(&client, &id).await?;
        namespace.runs().delete(&run, &alone()).await?;
        deleted(&follow(&mut client, &id, 0).await?)?;
        let left = namespace.tasks().list(&kube::api::ListParams::default()).await?;
        assert_eq!(left.items.len(), 1);
        assert_eq!(alive(namespace).await?, Vec::<String>::new());

        // Also one that is deleted while the service is away, and one that is being stopped.
        let away = start(&mut client, mk_start(&never, "s", "default/pod/y")).await?.id;
        let stopped = start(&mut client, mk_start(&never, "t", "default/pod/z")).await?.id;
        let (run, other) =
            (until_it_runs(&client, &away).await?, until_it_runs(&client, &stopped).await?);
        cancel(&mut client, &stopped).await?;
        namespace.runs().delete(&other, &alone()).await?;
        assert_eq!(follow(&mut client, &stopped, 0).await?.state(), State::Cancelled);
        server.kill().await?;
        namespace.runs().delete(&run, &alone()).await?;
        server.start_again().await?;
        server.until_ready().await?;
        deleted(&follow(&mut server.client().await?, &away, 0).await?)?;
        assert_eq!(alive(namespace).await?, Vec::<String>::new());
        pods_are_stopped(namespace).await
    })
    .await
}

#[tokio::test]
async fn a_run_that_is_deleted_and_held_by_a_finalizer_is_lost_and_in_nobodys_way() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let never = bundles::never_ends(plane.registry()).await?.reference;
    let succeeds = bundles::succeeds(plane.registry()).await?.reference;
    with_server(&plane, async |namespace, server| {
        let mut client = server.client().await?;
        let waits = |bundle: &str, id: &str| v1::StartRequest {
            when_locked: v1::WhenLocked::Wait.into(),
            when_blocked: v1::WhenBlocked::Wait.into(),
            ..mk_start(bundle, id, "default/pod/x")
        };
        let id = start(&mut client, waits(&never, "r")).await?.id;
        let run = until_it_runs(&client, &id).await?;
        hold(&namespace.runs(), &run, &[FINALIZER]).await?;
        namespace.runs().delete(&run, &DeleteParams::background()).await?;
        deleted(&follow(&mut client, &id, 0).await?)?;
        let held = namespace.runs().get(&run).await?;
        assert!(held.metadata.deletion_timestamp.is_some());
        let tasks = namespace.tasks().list(&kube::api::ListParams::default()).await?;
        for task in &tasks {
            assert!(wfe_tests::tekton::has_ended(task), "{task:?}");
        }
        pods_are_stopped(namespace).await?;

        // It says for ever that it runs, and the next one does not wait for it.
        let next = start(&mut client, waits(&succeeds, "next")).await?.id;
        let clear = v1::ClearBlockRequest {
            target: "default/pod/x".to_owned(),
            reason: "looked at by the test".to_owned(),
            ..v1::ClearBlockRequest::default()
        };
        client.clear_block(clear).await?;
        assert_eq!(follow(&mut client, &next, 0).await?.state(), State::Succeeded);
        hold(&namespace.runs(), &run, &[]).await
    })
    .await
}

#[tokio::test]
async fn a_task_run_that_is_deleted_and_held_by_a_finalizer_does_not_hold_a_cancel_up() -> Result<()>
{
    let plane = ControlPlane::from_env()?;
    let never = bundles::never_ends(plane.registry()).await?.reference;
    with_server(&plane, async |namespace, server| {
        let mut client = server.client().await?;
        let id = start(&mut client, mk_start(&never, "r", "default/pod/x")).await?.id;
        let run = until_it_runs(&client, &id).await?;
        let tasks = wfe_tests::tekton::tasks_of(&namespace.tasks(), &run).await?;
        let task = tasks.first().context("a TaskRun")?.name_any();
        hold(&namespace.tasks(), &task, &[FINALIZER]).await?;
        namespace.tasks().delete(&task, &DeleteParams::background()).await?;
        eventually(PATIENCE, "the wait is shown", async || {
            let execution =
                get(&mut client.clone(), &id).await.map_err(|error| error.to_string())?;
            let shown = execution.obstacle.contains("deleted from outside");
            if shown { Ok(()) } else { Err(execution.obstacle) }
        })
        .await?;
        cancel(&mut client, &id).await?;
        let done = follow(&mut client, &id, 0).await?;
        assert_eq!(done.state(), State::Cancelled, "{done:?}");
        // Tekton does not look at it any more: it says that it runs, and nothing of it does.
        assert!(namespace.tasks().get(&task).await?.metadata.deletion_timestamp.is_some());
        pods_are_stopped(namespace).await?;
        hold(&namespace.tasks(), &task, &[]).await
    })
    .await
}

#[tokio::test]
async fn a_run_that_somebody_makes_again_under_its_name_is_not_taken_for_it() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let never = bundles::never_ends(plane.registry()).await?.reference;
    with_server(&plane, async |namespace, server| {
        let mut client = server.client().await?;
        let id = start(&mut client, mk_start(&never, "r", "default/pod/x")).await?.id;
        let run = until_it_runs(&client, &id).await?;
        let mut again = namespace.runs().get(&run).await?;
        let old = again.uid();
        again.metadata = kube::core::ObjectMeta {
            name: again.metadata.name,
            labels: again.metadata.labels,
            annotations: again.metadata.annotations,
            ..kube::core::ObjectMeta::default()
        };
        again.data["status"] = serde_json::Value::Null;
        namespace.runs().delete(&run, &DeleteParams::background()).await?;
        eventually(PATIENCE, "the name is free", async || {
            let made = namespace.runs().create(&kube::api::PostParams::default(), &again).await;
            made.map_err(|error| error.to_string())
        })
        .await?;
        deleted(&follow(&mut client, &id, 0).await?)?;
        eventually(PATIENCE, "what was made again is stopped", async || {
            let left = alive(namespace).await.map_err(|error| error.to_string())?;
            if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
        })
        .await?;
        assert_ne!(namespace.runs().get(&run).await?.uid(), old);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_task_run_or_a_pod_that_is_deleted_is_made_again_and_the_run_goes_on() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let name = "takes-a-while";
    let workflow = bundles::of_row(name).context("a workflow")?;
    let bundle = bundles::push(plane.registry(), name, "v1", &workflow).await?.reference;
    with_server(&plane, async |namespace, server| {
        let mut client = server.client().await?;
        let task = start(&mut client, mk_start(&bundle, "r", "default/pod/x")).await?.id;
        let pod = start(&mut client, mk_start(&bundle, "s", "default/pod/y")).await?.id;
        let run = until_it_runs(&client, &task).await?;
        namespace.tasks().delete(&format!("{run}-a"), &DeleteParams::background()).await?;
        let run = until_it_runs(&client, &pod).await?;
        namespace.pods().delete(&format!("{run}-a-pod"), &DeleteParams::background()).await?;
        for id in [task, pod] {
            let done = follow(&mut client, &id, 0).await?;
            assert_eq!(done.state(), State::Succeeded, "{done:?}");
            assert_eq!(done.progress.context("progress")?.succeeded, 2);
        }
        Ok(())
    })
    .await
}
