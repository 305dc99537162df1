//! PipelineRun and TaskRun of `tekton.dev/v1`: the fields that are read or written, and no others.
//!
//! Reading is lenient. Tekton's schemas leave most of an object open, and a part that is not as
//! expected must not hide the rest: it is read as absent.

use std::{borrow::Cow, fmt};

use k8s_openapi::{
    NamespaceResourceScope,
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
};
use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};

const GROUP: &str = "tekton.dev";
const VERSION: &str = "v1";

macro_rules! resource {
    ($(#[$doc:meta])* $kind:ident, $spec:ident, $status:ident, $plural:literal, $own_kind:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "camelCase")]
        pub struct $kind {
            #[serde(skip_deserializing, default = "api_version")]
            api_version: Cow<'static, str>,
            #[serde(skip_deserializing, default = $own_kind)]
            kind: Cow<'static, str>,
            /// Its name, labels and the like. Empty when it could not be read.
            #[serde(default, deserialize_with = "lenient")]
            pub metadata: ObjectMeta,
            /// What it is to do.
            #[serde(default, deserialize_with = "lenient")]
            pub spec: $spec,
            /// How far it is; `None` until Tekton has seen it.
            #[serde(
                default,
                deserialize_with = "lenient",
                skip_serializing_if = "Option::is_none"
            )]
            pub status: Option<$status>,
        }

        impl $kind {
            fn own_kind() -> Cow<'static, str> {
                stringify!($kind).into()
            }

            /// An object that does not exist yet.
            pub fn new(metadata: ObjectMeta, spec: $spec) -> Self {
                Self { api_version: api_version(), kind: Self::own_kind(), metadata, spec, status: None }
            }
        }

        impl kube::Resource for $kind {
            type DynamicType = ();
            type Scope = NamespaceResourceScope;

            fn kind(_: &()) -> Cow<'_, str> {
                Self::own_kind()
            }

            fn group(_: &()) -> Cow<'_, str> {
                GROUP.into()
            }

            fn version(_: &()) -> Cow<'_, str> {
                VERSION.into()
            }

            fn plural(_: &()) -> Cow<'_, str> {
                $plural.into()
            }

            fn meta(&self) -> &ObjectMeta {
                &self.metadata
            }

            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
        }
    };
}

resource! {
    /// A run of a pipeline.
    PipelineRun, PipelineRunSpec, PipelineRunStatus, "pipelineruns", "PipelineRun::own_kind"
}

resource! {
    /// A run of one task, mostly on account of a PipelineRun.
    TaskRun, TaskRunSpec, TaskRunStatus, "taskruns", "TaskRun::own_kind"
}

fn api_version() -> Cow<'static, str> {
    "tekton.dev/v1".into()
}

/// What a PipelineRun is to do.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PipelineRunSpec {
    /// Where the pipeline is.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub pipeline_ref: Option<PipelineRef>,
    /// Its parameters. Those that are no strings are left out when they are read.
    #[serde(deserialize_with = "lenient_items", skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<Param>,
    /// Its workspaces.
    #[serde(deserialize_with = "lenient_items", skip_serializing_if = "Vec::is_empty")]
    pub workspaces: Vec<Workspace>,
    /// What its TaskRuns have in common.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub task_run_template: Option<TaskRunTemplate>,
    /// How long it may take.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<Timeouts>,
    /// A wish about its life; see [`CANCELLED`].
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}

/// `spec.status` of a PipelineRun that is to stop at once.
pub const CANCELLED: &str = "Cancelled";

/// `spec.status` of a PipelineRun whose tasks are to stop, and whose finally tasks are to run then.
pub const CANCELLED_RUN_FINALLY: &str = "CancelledRunFinally";

/// `spec.status` of a PipelineRun that is to begin no more tasks, and whose finally tasks are to run
/// when those that run have ended.
pub const STOPPED_RUN_FINALLY: &str = "StoppedRunFinally";

/// `spec.status` of a TaskRun that is to stop at once.
pub const TASK_RUN_CANCELLED: &str = "TaskRunCancelled";

/// Where a pipeline is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PipelineRef {
    /// The resolver that fetches it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolver: Option<String>,
    /// What the resolver has to know.
    #[serde(deserialize_with = "lenient_items", skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<Param>,
}

/// A parameter whose value is a string. Its value may be sensitive, and is not shown.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Param {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

impl fmt::Debug for Param {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Param").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Param {
    /// A parameter.
    pub fn new(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self { name: name.into(), value: value.into() }
    }
}

/// A workspace of a run: a Secret or a ConfigMap.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Workspace {
    /// Its name in the pipeline.
    pub name: String,
    /// The Secret.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretSource>,
    /// The ConfigMap.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub config_map: Option<ConfigMapSource>,
}

/// A Secret as a workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretSource {
    /// Its name.
    pub secret_name: String,
}

/// A ConfigMap as a workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigMapSource {
    /// Its name.
    pub name: String,
}

/// What the TaskRuns of a run have in common.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TaskRunTemplate {
    /// The service account of their pods; `None` is Tekton's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<String>,
    /// What their pods have in common.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub pod_template: Option<PodTemplate>,
}

/// What the pods of a run have in common.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PodTemplate {
    /// Under which rights their containers run.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub security_context: Option<k8s_openapi::api::core::v1::PodSecurityContext>,
}

/// How long a run may take, as Go writes durations.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Timeouts {
    /// The whole run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pipeline: Option<String>,
    /// Its tasks, without the finally tasks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tasks: Option<String>,
}

/// How far a PipelineRun is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PipelineRunStatus {
    /// Its conditions; `Succeeded` is the one that counts.
    #[serde(deserialize_with = "lenient_items", skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// When Tekton started it.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When it ended.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// What was created for its tasks.
    #[serde(deserialize_with = "lenient_items", skip_serializing_if = "Vec::is_empty")]
    pub child_references: Vec<ChildReference>,
    /// Tasks that will not run.
    #[serde(deserialize_with = "lenient_items", skip_serializing_if = "Vec::is_empty")]
    pub skipped_tasks: Vec<SkippedTask>,
    /// The pipeline, once it is resolved.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub pipeline_spec: Option<PipelineSpec>,
}

/// A task of a pipeline that will not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkippedTask {
    /// Its name.
    pub name: String,
    /// Why.
    #[serde(default, deserialize_with = "lenient", skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// A condition of a PipelineRun or a TaskRun.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Condition {
    /// Which condition.
    pub r#type: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Why, in one word; may be empty.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Why, in words; may be empty.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// A reference from a PipelineRun to what it created.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ChildReference {
    /// `TaskRun`, `CustomRun` or `PipelineRun`.
    pub kind: String,
    /// Name of the object.
    pub name: String,
    /// The task of the pipeline that it runs.
    pub pipeline_task_name: String,
}

/// A pipeline.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PipelineSpec {
    /// Its tasks.
    #[serde(deserialize_with = "lenient_items", skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<PipelineTask>,
    /// Its tasks that run after all others.
    #[serde(deserialize_with = "lenient_items", skip_serializing_if = "Vec::is_empty")]
    pub finally: Vec<PipelineTask>,
}

/// A task of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipelineTask {
    /// Its name.
    pub name: String,
}

/// What a TaskRun is to do.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TaskRunSpec {
    /// A wish about its life; see [`TASK_RUN_CANCELLED`].
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Why there is such a wish.
    #[serde(
        rename = "statusMessage",
        deserialize_with = "lenient",
        skip_serializing_if = "String::is_empty"
    )]
    pub status_message: String,
}

/// How far a TaskRun is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TaskRunStatus {
    /// Its conditions; `Succeeded` is the one that counts.
    #[serde(deserialize_with = "lenient_items", skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
    /// When this attempt started.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When it ended.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// Its steps, once their containers are known.
    #[serde(deserialize_with = "lenient_items", skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepState>,
    /// The attempts that failed before this one.
    #[serde(deserialize_with = "lenient_items", skip_serializing_if = "Vec::is_empty")]
    pub retries_status: Vec<Self>,
}

/// The container of a step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct StepState {
    /// Name of the step.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Name of the container.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "String::is_empty")]
    pub container: String,
    /// The image that the container was made from. Empty when it was never made.
    #[serde(
        rename = "imageID",
        deserialize_with = "lenient",
        skip_serializing_if = "String::is_empty"
    )]
    pub image_id: String,
    /// Why it ended, as Tekton says it.
    #[serde(
        rename = "terminationReason",
        deserialize_with = "lenient",
        skip_serializing_if = "String::is_empty"
    )]
    pub termination_reason: String,
    /// It has not started.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
    /// It runs.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub running: Option<Running>,
    /// It ended.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub terminated: Option<Terminated>,
}

/// A container that has not started.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Waiting {
    /// Why.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Why, in words.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "String::is_empty")]
    pub message: String,
}

/// A container that runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Running {
    /// Since when.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
}

/// A container that ended.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Terminated {
    /// Its exit code.
    pub exit_code: i32,
    /// Why.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// When it started.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(deserialize_with = "lenient", skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
}

/// Reads a `T`, or the default when it cannot be read as one.
fn lenient<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned + Default,
{
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(T::deserialize(value).unwrap_or_default())
}

/// Reads a list of `T` without the items that cannot be read as one.
fn lenient_items<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    let serde_json::Value::Array(items) = serde_json::Value::deserialize(deserializer)? else {
        return Ok(Vec::new());
    };
    Ok(items.into_iter().filter_map(|item| T::deserialize(item).ok()).collect())
}

#[cfg(test)]
mod tests;
