//! What is asked for. It never changes once it is created.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{ObjectReference, ResourceRequirements},
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{limits, schema, status::WorkflowExecutionStatus};

/// What to run, on what, and until when.
#[derive(Debug, Clone, Default, PartialEq, CustomResource, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "kubernaut.ai",
    version = "v1alpha1",
    kind = "WorkflowExecution",
    plural = "workflowexecutions",
    shortname = "wfe",
    namespaced,
    status = "WorkflowExecutionStatus",
    derive = "Default",
    derive = "PartialEq",
    doc = "A request to run a remediation workflow on a target, and what became of it.",
    selectable = ".spec.remediationRequestRef.name",
    validation = Rule::new("has(self.spec) || oldSelf.hasValue()")
        .message("spec is required")
        .optional_old_self(true),
    validation = Rule::new("has(self.spec) == has(oldSelf.spec)")
        .message("spec is immutable after creation"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(
        name = "Workflow",
        type_ = "string",
        json_path = ".spec.workflowRef.workflowName"
    ),
    printcolumn(
        name = "WorkflowID",
        type_ = "string",
        json_path = ".spec.workflowRef.workflowId",
        priority = 1
    ),
    printcolumn(name = "Target", type_ = "string", json_path = ".spec.targetResource"),
    printcolumn(name = "Duration", type_ = "string", json_path = ".status.duration"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#,
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
// `remote` makes the derived (de)serialisation a private part of the one below.
#[serde(rename_all = "camelCase", default, remote = "Self")]
#[schemars(
    rename = "WorkflowExecutionSpec",
    extend("required" = ["remediationRequestRef", "targetResource", "workflowRef"]),
    extend("x-kubernetes-validations" = [
        { "rule": "self == oldSelf", "message": "spec is immutable after creation" },
    ])
)]
pub struct WorkflowExecutionSpec {
    /// The `RemediationRequest` on whose account this exists. Its name ties together all that was done
    /// about one incident: it is the correlation id of events and audit records.
    #[schemars(schema_with = "schema::object_reference")]
    pub remediation_request_ref: ObjectReference,
    /// The workflow, as its catalogue had it when it was chosen.
    pub workflow_ref: WorkflowRef,
    /// What is remediated: `namespace/kind/name`, or `kind/name` for what has no namespace. One
    /// execution at a time runs on a target.
    #[schemars(
        length(max = limits::MAX_TARGET_CHARS),
        regex(pattern = limits::TARGET_PATTERN)
    )]
    pub target_resource: String,
    /// The cluster of the target. Empty is the cluster that the service runs in.
    #[serde(rename = "clusterID", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = limits::MAX_NAME_CHARS))]
    pub cluster_id: Option<String>,
    /// Parameters of the workflow, passed on unchanged. `TARGET_RESOURCE` is added to them.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::parameters")]
    pub parameters: BTreeMap<String, String>,
    /// How sure the one was who chose the workflow. For the record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// Why this workflow was chosen. For the record.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = limits::MAX_TEXT_CHARS))]
    pub rationale: Option<String>,
    /// When the execution must be over, waiting included. Absent: no deadline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times_out_at: Option<Time>,
}

/// A spec that is absent or null is an empty one. The schema refuses such objects, but an earlier one
/// let them in.
impl<'de> Deserialize<'de> for WorkflowExecutionSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Present(#[serde(with = "WorkflowExecutionSpec")] WorkflowExecutionSpec);

        let present = Option::<Present>::deserialize(deserializer)?;
        Ok(present.map(|Present(spec)| spec).unwrap_or_default())
    }
}

impl Serialize for WorkflowExecutionSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

/// A workflow, as its catalogue had it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend(
    "required" = ["actionType", "executionBundle", "version", "workflowId", "workflowName"]
))]
pub struct WorkflowRef {
    /// Id of the workflow in its catalogue.
    #[schemars(length(max = limits::MAX_NAME_CHARS))]
    pub workflow_id: String,
    /// Name of the workflow in its catalogue.
    #[schemars(length(max = limits::MAX_NAME_CHARS))]
    pub workflow_name: String,
    /// What the workflow does, in the words of the catalogue, for example `RestartPod`.
    #[schemars(length(max = limits::MAX_NAME_CHARS))]
    pub action_type: String,
    /// Version of the workflow in its catalogue.
    #[schemars(length(max = limits::MAX_NAME_CHARS))]
    pub version: String,
    /// OCI reference of the Tekton bundle that holds the workflow's pipeline.
    #[schemars(length(min = 1, max = limits::MAX_BUNDLE_CHARS))]
    pub execution_bundle: String,
    /// Digest of the bundle, `sha256:` and 64 hex digits. When given, exactly this content runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = limits::DIGEST_PATTERN))]
    pub execution_bundle_digest: Option<String>,
    /// What runs the workflow. Only tekton is supported; an execution with another engine, or none,
    /// fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["tekton", "job", "ansible"]))]
    pub execution_engine: Option<String>,
    /// What another engine than tekton has to know. Not read.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::opaque")]
    pub engine_config: Option<serde_json::Value>,
    /// The service account of the workflow's pods, in the namespace that runs are in. Absent: Tekton's
    /// default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = limits::MAX_NAME_CHARS))]
    pub service_account_name: Option<String>,
    /// Secrets and ConfigMaps that the workflow is given as workspaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dependencies: Option<Dependencies>,
    /// Resources of a container that the job engine makes. The tekton engine does not read them: a
    /// pipeline says its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::resources")]
    pub resources: Option<ResourceRequirements>,
    /// The parameters that the workflow declares, by name. Only these reach it. Absent or null: all
    /// do. Empty: none does. A name with the value false is not declared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub declared_parameter_names: Option<BTreeMap<String, bool>>,
}

/// What must be in the namespace that runs are in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Dependencies {
    /// Secrets; each is the workspace `secret-` and its name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = limits::MAX_DEPENDENCIES))]
    pub secrets: Vec<SecretDependency>,
    /// ConfigMaps; each is the workspace `configmap-` and its name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = limits::MAX_DEPENDENCIES))]
    pub config_maps: Vec<ConfigMapDependency>,
}

/// A Secret.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["name"]))]
pub struct SecretDependency {
    /// Its name.
    #[schemars(length(min = 1, max = limits::MAX_NAME_CHARS))]
    pub name: String,
}

/// A ConfigMap.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(extend("required" = ["name"]))]
pub struct ConfigMapDependency {
    /// Its name.
    #[schemars(length(min = 1, max = limits::MAX_NAME_CHARS))]
    pub name: String,
}
