//! The WorkflowExecution resource on the control plane.

use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::runtime::wait::await_condition;
use kube::runtime::wait::conditions::is_crd_established;
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use wfe_crds::workflow_execution;

use crate::wait::{PATIENCE, eventually, within};

/// The manager of what the tests apply.
pub const FIELD_MANAGER: &str = "wfe-tests";

/// Applies the definition of WorkflowExecution; returns when objects can be made. Tests may do so at the same time, and
/// nobody removes it.
///
/// # Errors
///
/// When the API server refuses the definition, or does not serve it.
pub async fn apply(client: &Client) -> Result<()> {
    apply_definition(client, &workflow_execution::crd()).await
}

/// The same for any definition.
///
/// # Errors
///
/// When the API server refuses the definition, or does not serve it.
pub async fn apply_definition(
    client: &Client,
    definition: &CustomResourceDefinition,
) -> Result<()> {
    let name = definition.name_any();
    let definitions = Api::<CustomResourceDefinition>::all(client.clone());
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let applied = definitions.patch(&name, &params, &Patch::Apply(definition)).await;
    applied.with_context(|| format!("apply {name}"))?;
    let established = await_condition(definitions, &name, is_crd_established());
    within(PATIENCE, &format!("{name} being established"), established).await?;
    // It is established a moment before it is served.
    let objects = Api::<DynamicObject>::all_with(client.clone(), &resource(definition)?);
    let nothing = ListParams::default().limit(1);
    eventually(PATIENCE, &format!("{name} being served"), || objects.list(&nothing)).await?;
    Ok(())
}

/// Deletes every object and waits until all are gone. Finalizers that nobody takes off in time are removed, for they
/// would hold the namespace for ever.
///
/// # Errors
///
/// When the API server does not answer, and when objects had to be freed that way.
pub async fn remove_all(objects: &Api<DynamicObject>, deadline: Duration) -> Result<()> {
    let all = ListParams::default();
    objects.delete_collection(&DeleteParams::default(), &all).await?;
    let gone = eventually(deadline, "every object being gone", || async {
        let left = objects.list_metadata(&all).await.map_err(|error| error.to_string())?;
        if left.items.is_empty() { Ok(()) } else { Err(format!("{} left", left.items.len())) }
    })
    .await;
    if gone.is_err() {
        for object in objects.list_metadata(&all).await? {
            let nothing = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
            objects.patch(&object.name_any(), &PatchParams::default(), &nothing).await?;
        }
    }
    gone
}

/// How objects of a definition are addressed.
///
/// # Errors
///
/// When it has no version.
pub fn resource(definition: &CustomResourceDefinition) -> Result<ApiResource> {
    let spec = &definition.spec;
    let version = spec.versions.first().context("a version")?.name.clone();
    Ok(ApiResource {
        group: spec.group.clone(),
        api_version: format!("{}/{version}", spec.group),
        version,
        kind: spec.names.kind.clone(),
        plural: spec.names.plural.clone(),
    })
}
