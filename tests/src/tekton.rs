//! Tekton's objects as a test sees them: `PipelineRun`s from bundles, what became of them, their `TaskRun`s.

use std::time::Duration;

use anyhow::Result;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::wait::await_condition;
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};

use crate::bundles::PIPELINE;
use crate::wait::within;

/// The label by which Tekton ties a TaskRun to its PipelineRun.
pub const RUN_LABEL: &str = "tekton.dev/pipelineRun";

/// The `Succeeded` condition of a `PipelineRun` or `TaskRun`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Tekton's reason.
    pub reason: String,
    /// Tekton's message.
    pub message: String,
}

/// The `PipelineRun`s of a namespace.
#[must_use]
pub fn pipeline_runs(client: &Client, namespace: &str) -> Api<DynamicObject> {
    api(client, namespace, "PipelineRun")
}

/// The `TaskRun`s of a namespace.
#[must_use]
pub fn task_runs(client: &Client, namespace: &str) -> Api<DynamicObject> {
    api(client, namespace, "TaskRun")
}

fn api(client: &Client, namespace: &str, kind: &str) -> Api<DynamicObject> {
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("tekton.dev", "v1", kind));
    Api::namespaced_with(client.clone(), namespace, &resource)
}

/// A `PipelineRun` of the pipeline in a bundle; `spec` is laid over it.
///
/// # Errors
///
/// When `spec` is not an object.
pub fn pipeline_run(name: &str, bundle: &str, spec: &Value) -> Result<DynamicObject> {
    let mut run = json!({
        "apiVersion": "tekton.dev/v1",
        "kind": "PipelineRun",
        "metadata": { "name": name },
        "spec": { "pipelineRef": { "resolver": "bundles", "params": [
            { "name": "bundle", "value": bundle },
            { "name": "name", "value": PIPELINE },
            { "name": "kind", "value": "pipeline" },
        ] } },
    });
    for (field, value) in spec.as_object().into_iter().flatten() {
        run["spec"][field] = value.clone();
    }
    Ok(serde_json::from_value(run)?)
}

/// The `Succeeded` condition of an object; none before Tekton looked at it.
#[must_use]
pub fn condition(object: &DynamicObject) -> Option<Condition> {
    let conditions = object.data["status"]["conditions"].as_array()?;
    let found = conditions.iter().find(|condition| condition["type"] == "Succeeded")?;
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    Some(Condition { status: text("status"), reason: text("reason"), message: text("message") })
}

/// Whether an object has come to its end.
#[must_use]
pub fn has_ended(object: &DynamicObject) -> bool {
    condition(object).is_some_and(|condition| condition.status != "Unknown")
}

/// Waits until the object with this name has ended.
///
/// # Errors
///
/// When it does not end within `deadline`.
pub async fn ended(
    api: &Api<DynamicObject>,
    name: &str,
    deadline: Duration,
) -> Result<DynamicObject> {
    let ended = await_condition(api.clone(), name, |object: Option<&DynamicObject>| {
        object.is_some_and(has_ended)
    });
    within(deadline, &format!("the end of {name}"), ended).await?;
    Ok(api.get(name).await?)
}

/// The `TaskRun`s of a `PipelineRun`, in the order in which they were created.
///
/// # Errors
///
/// When the API server does not answer.
pub async fn tasks_of(api: &Api<DynamicObject>, run: &str) -> Result<Vec<DynamicObject>> {
    let selector = kube::api::ListParams::default().labels(&format!("{RUN_LABEL}={run}"));
    let mut tasks = api.list(&selector).await?.items;
    tasks.sort_by_key(|task| (task.creation_timestamp(), task.name_any()));
    Ok(tasks)
}
