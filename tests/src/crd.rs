//! The WorkflowExecution resource on the control plane.

use anyhow::{Context, Result};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams};
use kube::runtime::wait::await_condition;
use kube::runtime::wait::conditions::is_crd_established;
use kube::{Api, Client, ResourceExt};
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
