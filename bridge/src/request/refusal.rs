//! Why a WorkflowExecution can never run.

use tonic_types::{ErrorDetails, FieldViolation};
use wfe_crds::{
    names::object_annotation::SENSITIVE_PARAMETERS,
    workflow_execution::{FailureReason, MAX_NAME_CHARS},
};

use super::Holder;
use crate::text::{fit, some_fit};

/// At most this many characters of a message are shown.
const MAX_MESSAGE_CHARS: usize = 4_096;
/// At most this many characters of a value are repeated.
const MAX_VALUE_CHARS: usize = 64;

/// Why a WorkflowExecution can never run. What it asks for does not change, so nor does this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub cause: Cause,
    /// For a person: what is wrong, and what is right.
    pub message: String,
}

/// Why a WorkflowExecution can never run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// It names no engine, or one that the service does not have.
    UnsupportedEngine,
    /// What it asks for is wrong.
    Configuration {
        /// Path of the first wrong field in the object, when one is known.
        field: Option<String>,
    },
    /// Its deadline passed before it was accepted.
    DeadlinePassed,
    /// Another one held the target.
    Deduplicated {
        /// The name of the WorkflowExecution that held it; when there is none, the id of the execution,
        /// or the name of the run.
        by: Option<String>,
    },
    /// Somebody withdrew it before it was accepted.
    Withdrawn,
}

impl Refusal {
    /// The class of the failure that this is.
    pub fn reason(&self) -> FailureReason {
        match self.cause {
            Cause::UnsupportedEngine => FailureReason::UnsupportedEngine,
            Cause::Configuration { .. } => FailureReason::ConfigurationError,
            Cause::DeadlinePassed => FailureReason::DeadlineExceeded,
            Cause::Deduplicated { .. } => FailureReason::Deduplicated,
            Cause::Withdrawn => FailureReason::Unknown,
        }
    }

    /// Path of the first wrong field in the object, when one is known.
    pub fn field(&self) -> Option<&str> {
        match &self.cause {
            Cause::UnsupportedEngine => Some("spec.workflowRef.executionEngine"),
            Cause::Configuration { field } => field.as_deref(),
            Cause::DeadlinePassed => Some("spec.timesOutAt"),
            Cause::Deduplicated { .. } | Cause::Withdrawn => None,
        }
    }

    /// Who held the target, when that is why and it is known.
    pub fn deduplicated_by(&self) -> Option<&str> {
        match &self.cause {
            Cause::Deduplicated { by } => by.as_deref(),
            Cause::UnsupportedEngine
            | Cause::Configuration { .. }
            | Cause::DeadlinePassed
            | Cause::Withdrawn => None,
        }
    }

    /// The spec is not what the schema says; `error` tells where.
    pub fn unreadable(error: &str) -> Self {
        let cause = Cause::Configuration { field: Some("spec".to_owned()) };
        let message = format!(
            "spec: cannot be read: {error}. Create a new WorkflowExecution that the schema allows."
        );
        Self::new(cause, &message)
    }

    /// Nothing of it will run, because somebody withdrew its request.
    pub fn withdrawn() -> Self {
        let message = "The request was withdrawn before it was accepted, so nothing of it ever runs. \
                       Create a new WorkflowExecution if it must run after all.";
        Self::new(Cause::Withdrawn, message)
    }

    pub(super) fn no_engine() -> Self {
        let message = "spec.workflowRef.executionEngine: is required, and must be tekton, the only \
                       engine that this service has. Create a new WorkflowExecution that names it.";
        Self::new(Cause::UnsupportedEngine, message)
    }

    pub(super) fn unsupported_engine(engine: &str) -> Self {
        let engine = fit(engine, MAX_VALUE_CHARS);
        let message = format!(
            "spec.workflowRef.executionEngine: is {engine}, and tekton is the only engine that this \
             service has. Give the workflow a Tekton bundle, and create a new WorkflowExecution with \
             the engine tekton."
        );
        Self::new(Cause::UnsupportedEngine, &message)
    }

    pub(super) fn other_cluster(cluster: &str) -> Self {
        let cluster = fit(cluster, MAX_VALUE_CHARS);
        let message = format!(
            "spec.clusterID: is {cluster}, and runs are created in the service's own cluster alone: a \
             run here would act on the wrong target. Leave it out for a target in this cluster."
        );
        Self::new(Cause::Configuration { field: Some("spec.clusterID".to_owned()) }, &message)
    }

    /// What the service cannot accept, in its own words.
    pub(super) fn message(message: &str) -> Self {
        Self::new(Cause::Configuration { field: None }, message)
    }

    /// The service refused these fields. `None` when none of them is filled from the spec, so that the
    /// object is not to blame.
    pub(super) fn fields(violations: &[FieldViolation]) -> Option<Self> {
        let found: Vec<(String, &str)> = violations
            .iter()
            .filter_map(|wrong| Some((object_path(&wrong.field)?, wrong.description.as_str())))
            .collect();
        let (first, _) = found.first()?;
        if violations.iter().all(|wrong| wrong.field == "deadline") {
            // The service adds its time, which would differ from bridge to bridge.
            let message = "spec.timesOutAt: passed before the execution was accepted, so nothing was \
                           started. Create a new WorkflowExecution with more time.";
            return Some(Self::new(Cause::DeadlinePassed, message));
        }
        let cause = Cause::Configuration { field: Some(first.clone()) };
        let lines: Vec<String> =
            found.iter().map(|(path, description)| format!("{path}: {description}")).collect();
        Some(Self::new(cause, &lines.join("; ")))
    }

    /// The target is locked, as `details` say. `holder` is who was found behind the execution that they
    /// name.
    pub(super) fn locked(details: &ErrorDetails, message: &str, holder: Option<&Holder>) -> Self {
        let resource = details.resource_info();
        let execution = details
            .error_info()
            .and_then(|info| info.metadata.get("holder"))
            .filter(|id| !id.is_empty());
        let holder = holder.filter(|holder| execution.is_none_or(|id| *id == holder.execution_id));
        let by = holder
            .and_then(|holder| holder.name.clone())
            .or_else(|| execution.cloned())
            .or_else(|| resource.map(|resource| resource.resource_name.clone()))
            .and_then(|name| some_fit(&name, MAX_NAME_CHARS));
        let who = resource.map_or(message, |resource| &resource.description);
        let message = match holder.and_then(Holder::object) {
            Some(object) => {
                format!("WorkflowExecution {object} acts on the target already: {who}")
            }
            None => format!("Something else acts on the target already: {who}"),
        };
        Self::new(Cause::Deduplicated { by }, &message)
    }

    fn new(cause: Cause, message: &str) -> Self {
        Self { cause, message: fit(message, MAX_MESSAGE_CHARS) }
    }
}

/// Where in the object a field of the request comes from. `None` when the bridge fills it by itself.
fn object_path(field: &str) -> Option<String> {
    let end = field.find(['.', '[']).unwrap_or(field.len());
    let (head, rest) = field.split_at(end);
    let inside = |list: &str| {
        let name = if rest.is_empty() { "" } else { ".name" };
        format!("spec.workflowRef.dependencies.{list}{rest}{name}")
    };
    Some(match (head, rest) {
        ("bundle", ".digest") => "spec.workflowRef.executionBundleDigest".to_owned(),
        ("bundle", "" | ".reference") => "spec.workflowRef.executionBundle".to_owned(),
        ("target", _) => "spec.targetResource".to_owned(),
        ("parameters", rest) => format!("spec.parameters{rest}"),
        ("sensitive_parameters", _) => {
            format!("metadata.annotations[{SENSITIVE_PARAMETERS}]")
        }
        ("declared_parameters", _) => "spec.workflowRef.declaredParameterNames".to_owned(),
        ("service_account", _) => "spec.workflowRef.serviceAccountName".to_owned(),
        ("secrets", _) => inside("secrets"),
        ("config_maps", _) => inside("configMaps"),
        ("correlation_id", _) => "spec.remediationRequestRef.name".to_owned(),
        ("deadline", _) => "spec.timesOutAt".to_owned(),
        ("workflow_identity", ".id") => "spec.workflowRef.workflowId".to_owned(),
        ("workflow_identity", ".name") => "spec.workflowRef.workflowName".to_owned(),
        ("workflow_identity", ".version") => "spec.workflowRef.version".to_owned(),
        _ => return None,
    })
}
