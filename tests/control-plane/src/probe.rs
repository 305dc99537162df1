//! The proof that a control plane works: a bundle is pushed, resolved and run to its end.

use std::time::Duration;

use anyhow::{Result, bail};
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, PostParams,
};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use crate::WORKFLOW_NAMESPACE;
use crate::bundle::{self, PIPELINE, Task, Workflow};
use crate::wait::eventually;

const RESOLVERS: &str = "tekton-pipelines-resolvers";
const NAME: &str = "control-plane-probe";
const RUN_LABEL: &str = "tekton.dev/pipelineRun";

/// Fails with a hint when the API server does not know Tekton's kinds.
pub async fn has_tekton(client: &Client) -> Result<()> {
    let groups = client.list_api_groups().await?.groups;
    if groups.iter().any(|group| group.name == "tekton.dev") {
        return Ok(());
    }
    bail!("the given cluster has no API group tekton.dev: install Tekton Pipelines first");
}

/// Waits until every resolver is at work. A resolver that begins to lead takes up all requests that it finds, those for
/// other resolvers too, and fails them; runs that are created before would end for no reason of theirs.
pub async fn resolvers_lead(client: &Client, deadline: Duration) -> Result<()> {
    // bundles, cluster, git, http, hub
    const LEADING: usize = 5;
    let leases = Api::<Lease>::namespaced(client.clone(), RESOLVERS);
    eventually(deadline, "all of Tekton's resolvers leading", || async {
        let leases =
            leases.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
        let holders =
            leases.items.iter().filter_map(|lease| lease.spec.as_ref()?.holder_identity.as_ref());
        match holders.filter(|holder| !holder.is_empty()).count() {
            LEADING => Ok(()),
            leading => Err(format!("{leading} of {LEADING}")),
        }
    })
    .await
}

/// Forgets who leads Tekton's resolvers, so that new ones need not wait for those that were killed.
///
/// # Errors
///
/// When the API server refuses.
pub async fn forget_leaders(client: &Client) -> Result<()> {
    let leases = Api::<Lease>::namespaced(client.clone(), RESOLVERS);
    leases.delete_collection(&DeleteParams::default(), &ListParams::default()).await?;
    Ok(())
}

/// Runs a `PipelineRun` from a bundle to `Succeeded` and removes it.
pub async fn resolves_a_bundle(client: &Client, registry: &str, deadline: Duration) -> Result<()> {
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
    // More than one attempt: a resolver that has just begun to lead may still fail the first.
    eventually(deadline, "a PipelineRun from a bundle", || async {
        match runs.create(&PostParams::default(), &run).await {
            Ok(created) if is_defaulted(&created) => {}
            Ok(_) => {
                delete(&runs).await?;
                return Err("admitted without the webhook".to_owned());
            }
            // Refused for as long as the webhook does not answer.
            Err(error) => return Err(error.to_string()),
        }
        let end = end(&runs, deadline).await.map_err(|error| error.to_string())?;
        if end["status"] != "True" {
            delete(&runs).await?;
            return Err(end.to_string());
        }
        Ok(())
    })
    .await?;
    delete(&runs).await.map_err(anyhow::Error::msg)?;
    let tasks = api(client, "TaskRun");
    eventually(deadline, "the TaskRuns of a deleted PipelineRun being collected", || async {
        let all = tasks.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
        let ours = all
            .items
            .iter()
            .filter(|task| task.labels().get(RUN_LABEL).is_some_and(|run| run == NAME));
        match ours.count() {
            0 => Ok(()),
            left => Err(format!("{left} left")),
        }
    })
    .await
}

async fn end(runs: &Api<DynamicObject>, deadline: Duration) -> Result<Value> {
    eventually(deadline, "the end of a PipelineRun", || async {
        let run = runs.get(NAME).await.map_err(|error| error.to_string())?;
        let condition = run.data["status"]["conditions"][0].clone();
        match condition["status"].as_str() {
            Some("True" | "False") => Ok(condition),
            Some(_) | None => Err(condition.to_string()),
        }
    })
    .await
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
