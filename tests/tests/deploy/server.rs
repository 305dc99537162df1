//! The rights of the server are enough for what it does, and all of them are used.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use wfe_proto::v1::{self, State, get_request, start_request};
use wfe_tests::server::Client;
use wfe_tests::tekton::{condition, ended};
use wfe_tests::wait::{PATIENCE, RECOVERY, eventually};
use wfe_tests::{Account, ControlPlane, Installation, Namespace, ServerProcess, access, bundles};

use crate::permissions::{Refusal, looks, needs_its_rights_and_no_others};

#[tokio::test]
async fn the_server_needs_its_rights_and_no_others() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    Installation::with(&plane, async |installation| {
        let (runs, account) = (installation.runs().await?, installation.server());
        needs_its_rights_and_no_others(&plane, &account, async |kubeconfig| {
            let (secret, bridge) = (installation.tls_secret(), installation.bridge());
            let username = bridge.username();
            let flags = access::server_flags(&secret, &username);
            let directory = tempfile::tempdir()?;
            let connect = async |server: &ServerProcess| {
                let client = installation.client();
                let ca = access::authorities(client, &secret, directory.path()).await?;
                server.secure_client(access::trusting(&ca), access::bearer(&plane, &bridge).await?)
            };
            let map = installation.checkpoint_map();
            let kept = ["--run-retention", "0s", "--audit-checkpoint-config-map", &map];
            let forever = [&flags[..], &kept].concat();
            let server = ServerProcess::start_as(kubeconfig, runs.name(), &forever).await?;
            let mut client = connect(&server).await?;
            let succeeded = an_execution_succeeds(&plane, &mut client).await?;
            an_execution_is_cancelled(&plane, &runs, &mut client).await?;
            a_failure_tells_its_log(&plane, &mut client).await?;
            a_stray_is_stopped(&plane, &account, &runs, &succeeded).await?;
            the_newest_checkpoint_is_in_the_cluster(installation).await?;
            drop(server);
            let at_once = [&flags[..], &["--run-retention", "1ms"]].concat();
            let server = ServerProcess::start_as(kubeconfig, runs.name(), &at_once).await?;
            let mut client = connect(&server).await?;
            let succeeded = an_execution_succeeds(&plane, &mut client).await?;
            is_deleted(&runs, &succeeded).await?;
            Ok(BTreeSet::new())
        })
        .await
    })
    .await
}

/// With the key that tells whether it is right.
async fn the_newest_checkpoint_is_in_the_cluster(installation: &Installation) -> Result<()> {
    let map = installation.checkpoint_map();
    let (namespace, name) = map.split_once('/').context("namespace/name")?;
    let maps = Api::<ConfigMap>::namespaced(installation.client().clone(), namespace);
    eventually(PATIENCE, "a checkpoint in the ConfigMap", async || {
        let data = maps.get(name).await.map_err(|error| error.to_string())?.data;
        let data = data.ok_or("empty")?;
        let key = data.get("public-key.pem").ok_or("no key")?;
        let checkpoint = data.get("checkpoint.json").ok_or("no checkpoint")?;
        if key.contains("PUBLIC KEY") && checkpoint.contains("\"signature\"") {
            Ok(())
        } else {
            Err(format!("{data:?}"))
        }
    })
    .await
}

/// Answers the name of its run.
async fn an_execution_succeeds(plane: &ControlPlane, client: &mut Client) -> Result<String> {
    let bundle = bundles::succeeds(plane.registry()).await?.reference;
    let execution = start(client, &bundle, "default/deployment/succeeds").await?;
    let done = until(client, &execution.id, State::Succeeded).await?;
    Ok(done.run.context("a run")?.name)
}

async fn a_failure_tells_its_log(plane: &ControlPlane, client: &mut Client) -> Result<()> {
    let bundle = bundles::step_exits_1(plane.registry()).await?.reference;
    let execution = start(client, &bundle, "default/deployment/fails").await?;
    let failed = until(client, &execution.id, State::Failed).await?;
    let tail = failed.failure.context("a failure")?.log_tail;
    assert!(tail.ends_with(bundles::LAST_LINE), "{tail}");
    Ok(())
}

/// With a pod that Tekton has lost.
async fn an_execution_is_cancelled(
    plane: &ControlPlane,
    runs: &Namespace,
    client: &mut Client,
) -> Result<()> {
    let bundle = bundles::never_ends(plane.registry()).await?.reference;
    let execution = start(client, &bundle, "default/deployment/cancelled").await?;
    let execution = until(client, &execution.id, State::Running).await?;
    let run = execution.run.context("a run")?;
    let lost = json!({
        "metadata": { "name": "lost", "labels": { "tekton.dev/pipelineRunUID": run.uid } },
        "spec": {
            "securityContext": {
                "runAsNonRoot": true,
                "seccompProfile": { "type": "RuntimeDefault" },
            },
            "containers": [{
                "name": "main",
                "image": "wfe.test/step",
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "capabilities": { "drop": ["ALL"] },
                },
            }],
        },
    });
    runs.pods().create(&PostParams::default(), &serde_json::from_value(lost)?).await?;
    let cancel = v1::CancelRequest {
        execution_id: execution.id.clone(),
        reason: "a test of the rights".to_owned(),
        ..v1::CancelRequest::default()
    };
    client.cancel(cancel).await?;
    until(client, &execution.id, State::Cancelled).await?;
    Ok(())
}

/// A TaskRun that belongs to a run which has ended. While stopping it is refused, the server must look whether it still
/// runs; then it is stopped.
async fn a_stray_is_stopped(
    plane: &ControlPlane,
    account: &Account,
    runs: &Namespace,
    run: &str,
) -> Result<()> {
    let run = runs.runs().get(run).await?;
    let stray = json!({
        "apiVersion": "tekton.dev/v1",
        "kind": "TaskRun",
        "metadata": {
            "name": "stray",
            "labels": { "tekton.dev/pipelineRunUID": run.uid().context("a UID")? },
            "annotations": { "wfe.test/outcome": "hang" },
        },
        "spec": {
            "podTemplate": { "securityContext": {
                "runAsNonRoot": true,
                "seccompProfile": { "type": "RuntimeDefault" },
            } },
            "taskSpec": { "steps": [{
                "name": "main",
                "image": "wfe.test/step",
                "command": ["/step"],
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "capabilities": { "drop": ["ALL"] },
                },
            }] },
        },
    });
    let stray: DynamicObject = serde_json::from_value(stray)?;
    runs.tasks().create(&PostParams::default(), &stray).await?;

    let tasks = runs.tasks();
    let cancel = Patch::Merge(json!({ "spec": { "status": "TaskRunCancelled" } }));
    let cancel = async |params: PatchParams| tasks.patch("stray", &params, &cancel).await;
    let task_runs = ("tekton.dev", "taskruns");
    let refusal = Refusal::unless(runs, task_runs, "!has(object.spec.status)", cancel).await?;
    // Now the server sees it.
    let hash = &run.labels()["kubernaut.ai/target-hash"];
    let label = json!({ "metadata": { "labels": { "kubernaut.ai/target-hash": hash } } });
    tasks.patch("stray", &PatchParams::default(), &Patch::Merge(label)).await?;
    let looked = looks(plane, account, runs, task_runs).await;
    refusal.end().await?;
    looked?;

    let stopped = ended(&tasks, "stray", PATIENCE).await?;
    let condition = condition(&stopped).context("a condition")?;
    assert_eq!(condition.reason, "TaskRunCancelled");
    Ok(())
}

async fn is_deleted(runs: &Namespace, run: &str) -> Result<()> {
    eventually(PATIENCE, &format!("{run} is deleted"), async || {
        match runs.runs().get_opt(run).await {
            Ok(None) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await
}

async fn start(client: &mut Client, bundle: &str, target: &str) -> Result<v1::Execution> {
    let request = v1::StartRequest {
        request_id: target.to_owned(),
        target: target.to_owned(),
        workflow: Some(start_request::Workflow::Bundle(v1::BundleWorkflow {
            reference: bundle.to_owned(),
            ..v1::BundleWorkflow::default()
        })),
        ..v1::StartRequest::default()
    };
    client.start(request).await?.into_inner().execution.context("an execution")
}

/// Waits until an execution is in this state. Rights that are missing keep it from there for ever.
async fn until(client: &mut Client, id: &str, state: State) -> Result<v1::Execution> {
    eventually(RECOVERY, &format!("{id} is {state:?}"), async || {
        let key = Some(get_request::Key::ExecutionId(id.to_owned()));
        let answer = client.clone().get(v1::GetRequest { key }).await;
        match answer.map(|answer| answer.into_inner().execution) {
            Ok(Some(execution)) if execution.state() == state => Ok(execution),
            other => Err(format!("{other:?}")),
        }
    })
    .await
}
