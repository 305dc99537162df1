//! Makes a cluster ready for `wfe dev`: what a person would have to apply first.

use std::{path::Path, time::Duration};

use k8s_openapi::{
    api::core::v1::Namespace,
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Resource, ResourceExt as _,
    api::{Patch, PatchParams},
    core::ObjectMeta,
    runtime::{conditions::is_crd_established, wait::await_condition},
};
use serde::{Serialize, de::DeserializeOwned};
use wfe_runtime::cluster::{CallError, ClientError, call, client};

/// Who applies.
const FIELD_MANAGER: &str = "wfe-dev";

/// A new kind of resource is served within this time.
const ESTABLISHED: Duration = Duration::from_secs(20);

/// What was missing in the cluster and is there now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Prepared {
    /// Each as `kind/name`.
    pub(crate) created: Vec<String>,
}

/// A cluster cannot be made ready.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// Nothing that could talk to it can be made.
    #[error("the cluster cannot be used")]
    Client(#[from] ClientError),
    /// It refused something.
    #[error("cannot apply {what}")]
    Apply {
        /// What.
        what: String,
        /// Why.
        #[source]
        source: CallError,
    },
    /// It does not serve WorkflowExecutions.
    #[error("the cluster does not serve {0} although it was applied")]
    NotServed(String),
}

/// Applies the definition of WorkflowExecution and the namespace of the runs.
pub(crate) async fn prepare(kubeconfig: &Path, namespace: &str) -> Result<Prepared, PrepareError> {
    let client = client(Some(kubeconfig)).await?;
    let mut prepared = Prepared::default();
    let definitions = Api::<CustomResourceDefinition>::all(client.clone());
    let definition = wfe_crds::workflow_execution::crd();
    apply(&definitions, &definition, &mut prepared).await?;
    let name = definition.name_any();
    let served = await_condition(definitions, &name, is_crd_established());
    match tokio::time::timeout(ESTABLISHED, served).await {
        Ok(Ok(_)) => {}
        Ok(Err(_)) | Err(_) => return Err(PrepareError::NotServed(name)),
    }
    let metadata = ObjectMeta { name: Some(namespace.to_owned()), ..ObjectMeta::default() };
    let wanted = Namespace { metadata, ..Namespace::default() };
    apply(&Api::all(client), &wanted, &mut prepared).await?;
    Ok(prepared)
}

async fn apply<K>(api: &Api<K>, wanted: &K, prepared: &mut Prepared) -> Result<(), PrepareError>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + Serialize + DeserializeOwned,
{
    let name = wanted.name_any();
    let what = format!("{}/{name}", K::kind(&()).to_lowercase());
    let failed = |source| PrepareError::Apply { what: what.clone(), source };
    let is_new = call(api.get_metadata_opt(&name)).await.map_err(failed)?.is_none();
    let params = PatchParams::apply(FIELD_MANAGER).force();
    call(api.patch(&name, &params, &Patch::Apply(wanted))).await.map_err(failed)?;
    if is_new {
        prepared.created.push(what);
    }
    Ok(())
}
