//! A pipeline that is written into its run. Only ever written: what Tekton made of it is read from the
//! status.

use k8s_openapi::api::core::v1::SecurityContext;
use serde::Serialize;

use super::Param;

/// A pipeline in its run.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct EmbeddedPipeline {
    /// The parameters that it takes; all are strings.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<Named>,
    /// The workspaces that it takes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub workspaces: Vec<Named>,
    /// Its tasks.
    pub tasks: Vec<EmbeddedTask>,
}

/// Something that has a name, and nothing else to tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Named {
    /// Its name.
    pub name: String,
}

/// A task of an embedded pipeline.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EmbeddedTask {
    /// Its name.
    pub name: String,
    /// Names of the tasks that must have succeeded before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub run_after: Vec<String>,
    /// How many times it is tried again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// How long one attempt may take, as Go writes durations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// The workspaces of the pipeline that it uses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub workspaces: Vec<WorkspaceUse>,
    /// What it does.
    pub task_spec: TaskSpec,
}

/// Which workspace of the pipeline stands for one of the task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WorkspaceUse {
    /// Its name in the task.
    pub name: String,
    /// Its name in the pipeline.
    pub workspace: String,
}

/// What an embedded task does.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct TaskSpec {
    /// The workspaces that it takes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub workspaces: Vec<WorkspaceDeclaration>,
    /// Its steps.
    pub steps: Vec<Step>,
}

/// A workspace that a task takes. It is mounted at `/workspace/` and its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkspaceDeclaration {
    /// Its name in the task.
    pub name: String,
    /// Whether it cannot be written to.
    pub read_only: bool,
}

/// A container of a task.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// Its name; the container has `step-` in front of it.
    pub name: String,
    /// Its image.
    pub image: String,
    /// The command with its arguments.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// A script, instead of a command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
    /// Environment variables, which have the form of parameters. Each may refer to those before it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<Param>,
    /// Under which rights it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_context: Option<SecurityContext>,
}
