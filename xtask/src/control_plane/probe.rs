//! The proof that a control plane works: a bundle is pushed, resolved and run to its end.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use kube::api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use wfe_control_plane::WORKFLOW_NAMESPACE;
use wfe_control_plane::bundle::{self, PIPELINE, Task, Workflow};
use wfe_control_plane::wait::eventually;

const NAME: &str = "control-plane-probe";

/// Fails with a hint when the API server does not know Tekton's kinds.
pub(crate) async fn has_tekton(client: &Client) -> Result<()> {
    let groups = client.list_api_groups().await?.groups;
    if groups.iter().any(|group| group.name == "tekton.dev") {
        return Ok(());
    }
    bail!("the given cluster has no API group tekton.dev: install Tekton Pipelines first");
}

/// Runs a PipelineRun from a bundle to `Succeeded` and removes it.
pub(crate) async fn resolves_a_bundle(
    client: &Client,
    registry: &str,
    deadline: Duration,
) -> Result<()> {
    let workflow = Workflow::new([Task::new("probe").after(Duration::from_millis(1))]);
    let pushed = bundle::push(registry, NAME, "v1", &workflow).await?;
    let runs = api(client, "PipelineRun");
    let run = json!({
        "apiVersion": "tekton.dev/v1",
        "kind": "PipelineRun",
        "metadata": { "name": NAME },
        "spec": { "pipelineRef": { "resolver": "bundles", "params": [
            { "name": "bundle", "value": pushed.reference },
            { "name": "name", "value": PIPELINE },
            { "name": "kind", "value": "pipeline" },
        ] } },
    });
    let run: DynamicObject = serde_json::from_value(run)?;
    // Refused for as long as the webhook is not known to the API server.
    eventually(deadline, "a PipelineRun that is admitted", || async {
        match runs.create(&PostParams::default(), &run).await {
            Ok(created) if is_defaulted(&created) => Ok(()),
            // Admitted before the webhook was in place: it has to be in place, so once more.
            Ok(_) => {
                delete(&runs).await?;
                Err("the webhook was not asked".to_owned())
            }
            Err(kube::Error::Api(status)) if status.is_already_exists() => {
                Err("deleting".to_owned())
            }
            Err(error) => Err(error.to_string()),
        }
    })
    .await?;
    eventually(deadline, "the end of a PipelineRun", || async {
        let run = runs.get(NAME).await.map_err(|error| error.to_string())?;
        let condition = run.data["status"]["conditions"][0].clone();
        match condition["status"].as_str() {
            Some("True") => Ok(()),
            Some(_) | None => Err(condition.to_string()),
        }
    })
    .await?;
    delete(&runs).await.map_err(anyhow::Error::msg)?;
    let tasks = api(client, "TaskRun");
    eventually(deadline, "a PipelineRun's TaskRuns being collected", || async {
        let left = tasks.list(&kube::api::ListParams::default()).await;
        match left.map_err(|error| error.to_string())?.items.len() {
            0 => Ok(()),
            left => Err(format!("{left} left")),
        }
    })
    .await
    .context("is the garbage collector running?")
}

// Only the webhook fills the timeouts in before the object is stored.
fn is_defaulted(run: &DynamicObject) -> bool {
    run.data["spec"]["timeouts"] != Value::Null
}

async fn delete(runs: &Api<DynamicObject>) -> Result<(), String> {
    runs.delete(NAME, &DeleteParams::background()).await.map_err(|error| error.to_string())?;
    Ok(())
}

fn api(client: &Client, kind: &str) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("tekton.dev", "v1", kind));
    Api::namespaced_with(client.clone(), WORKFLOW_NAMESPACE, &resource)
}
