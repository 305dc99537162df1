//! What a WorkflowExecution asks of the execution service, and what the answer means for it. Pure.
//!
//! A request is made from the spec and the policy alone, so that every bridge, now and later, sends the
//! same request for the same object, and the service recognises it.

use wfe_crds::workflow_execution::{WorkflowExecutionSpec, WorkflowRef};
use wfe_proto::v1;

mod answer;
mod refusal;
mod trouble;

pub use answer::Answer;
pub use refusal::{Cause, Refusal};
pub use trouble::{Trouble, TroubleKind};

/// The engine that the service has.
const ENGINE: &str = "tekton";

/// Who holds a target: an execution, and the WorkflowExecution behind it, when there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Id of the execution.
    pub execution_id: String,
    /// Namespace of the WorkflowExecution.
    pub namespace: Option<String>,
    /// Name of the WorkflowExecution. `None` when none is known.
    pub name: Option<String>,
}

impl Holder {
    /// Namespace and name of the WorkflowExecution, as people write them.
    pub fn object(&self) -> Option<String> {
        let name = self.name.as_deref().filter(|name| !name.is_empty())?;
        Some(match self.namespace.as_deref() {
            Some(namespace) if !namespace.is_empty() => format!("{namespace}/{name}"),
            Some(_) | None => name.to_owned(),
        })
    }
}

/// The request that the object `source` stands for, or why the service need not be asked. Fields that
/// this says nothing about are checked by the service alone. `sensitive` are names of parameters with commas
/// between them; the service does not tell a request again by them.
pub fn start_request(
    source: v1::Source,
    spec: &WorkflowExecutionSpec,
    sensitive: &str,
    when_locked: v1::WhenLocked,
) -> Result<v1::StartRequest, Refusal> {
    // Taken apart in full, so that a new field cannot be forgotten.
    let WorkflowExecutionSpec {
        remediation_request_ref,
        workflow_ref,
        target_resource,
        cluster_id,
        parameters,
        confidence: _,
        rationale: _,
        times_out_at,
    } = spec;
    let WorkflowRef {
        workflow_id,
        workflow_name,
        action_type: _,
        version,
        execution_bundle,
        execution_bundle_digest,
        execution_engine,
        // Both are for other engines.
        engine_config: _,
        resources: _,
        service_account_name,
        dependencies,
        declared_parameter_names,
    } = workflow_ref;
    match execution_engine.as_deref() {
        Some(ENGINE) => {}
        Some(engine) if !engine.is_empty() => return Err(Refusal::unsupported_engine(engine)),
        Some(_) | None => return Err(Refusal::no_engine()),
    }
    if let Some(cluster) = cluster_id.as_deref().filter(|cluster| !cluster.is_empty()) {
        return Err(Refusal::other_cluster(cluster));
    }
    let bundle = v1::BundleWorkflow {
        reference: execution_bundle.clone(),
        digest: execution_bundle_digest.clone().unwrap_or_default(),
        pipeline: String::new(),
    };
    let dependencies = dependencies.clone().unwrap_or_default();
    Ok(v1::StartRequest {
        request_id: source.uid.clone(),
        workflow: Some(v1::start_request::Workflow::Bundle(bundle)),
        target: target_resource.clone(),
        cluster_id: String::new(),
        parameters: parameters.clone().into_iter().collect(),
        // A name with the value false is not declared: absent is false where this is written.
        declared_parameters: declared_parameter_names.as_ref().map(|names| {
            let declared = names.iter().filter(|(_, is_declared)| **is_declared);
            v1::DeclaredParameters { names: declared.map(|(name, _)| name.clone()).collect() }
        }),
        service_account: service_account_name.clone().unwrap_or_default(),
        secrets: dependencies.secrets.into_iter().map(|secret| secret.name).collect(),
        config_maps: dependencies.config_maps.into_iter().map(|map| map.name).collect(),
        correlation_id: remediation_request_ref.name.clone().unwrap_or_default(),
        deadline: times_out_at.as_ref().map(|time| timestamp(time.0)),
        when_locked: when_locked.into(),
        // What opens by itself, or is opened by a person, is worth waiting for: an object is not made
        // a second time.
        when_cooling: v1::WhenCooling::Wait.into(),
        when_blocked: v1::WhenBlocked::Wait.into(),
        workflow_identity: Some(v1::WorkflowIdentity {
            id: workflow_id.clone(),
            name: workflow_name.clone(),
            version: version.clone(),
        }),
        source: Some(source),
        sensitive_parameters: names(sensitive),
        ..v1::StartRequest::default()
    })
}

/// Names in a list that people write.
fn names(list: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for name in list.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}

fn timestamp(time: jiff::Timestamp) -> prost_types::Timestamp {
    // A fraction counts forward, also before 1970.
    let (seconds, nanos) = (time.as_second(), time.subsec_nanosecond());
    if nanos < 0 {
        return prost_types::Timestamp { seconds: seconds - 1, nanos: nanos + 1_000_000_000 };
    }
    prost_types::Timestamp { seconds, nanos }
}

#[cfg(test)]
mod tests;
