//! Names of labels, annotations and field managers.
//!
//! Labels are for selecting and for people: a value that is too long or holds forbidden characters is
//! changed until it is valid. What must be exact is in an annotation, or in the labels with an id or a
//! hash, which always fit. Tekton copies both to TaskRuns and pods.

/// The manager of the fields that the execution service writes.
pub const SERVER_FIELD_MANAGER: &str = "wfe-server";

/// Labels of runs.
pub mod label {
    /// Name of the WorkflowExecution on whose account the run exists. Absent when there is none.
    pub const WORKFLOW_EXECUTION: &str = "kubernaut.ai/workflow-execution";
    /// Id of the workflow in its catalogue. Absent when it has none.
    pub const WORKFLOW_ID: &str = "kubernaut.ai/workflow-id";
    /// The target, with `/` as `__`.
    pub const TARGET_RESOURCE: &str = "kubernaut.ai/target-resource";
    /// Namespace of the WorkflowExecution. Absent when there is none.
    pub const SOURCE_NAMESPACE: &str = "kubernaut.ai/source-namespace";
    /// Id of the execution: a UUID. Exact; says whose run it is.
    pub const EXECUTION_ID: &str = "kubernaut.ai/execution-id";
    /// Hash of cluster and target: 16 hex digits. Exact; the watches select by its presence, and a
    /// live run with it holds the target.
    pub const TARGET_HASH: &str = "kubernaut.ai/target-hash";
}

/// Annotations of runs. Each holds what was given, unchanged.
pub mod annotation {
    /// The target as the caller wrote it.
    pub const TARGET_RESOURCE: &str = "kubernaut.ai/target-resource";
    /// Cluster of the target. Absent when it is the local one.
    pub const CLUSTER_ID: &str = "kubernaut.ai/cluster-id";
    /// The hold of the target under which the run was created: a number that rises.
    pub const EPOCH: &str = "kubernaut.ai/epoch";
    /// Id of the request that was accepted.
    pub const REQUEST_ID: &str = "kubernaut.ai/request-id";
    /// Ties runs of one incident together.
    pub const CORRELATION_ID: &str = "kubernaut.ai/correlation-id";
    /// Id of the workflow in its catalogue.
    pub const WORKFLOW_ID: &str = "kubernaut.ai/workflow-id";
    /// Name of the workflow in its catalogue.
    pub const WORKFLOW_NAME: &str = "kubernaut.ai/workflow-name";
    /// Version of the workflow in its catalogue.
    pub const WORKFLOW_VERSION: &str = "kubernaut.ai/workflow-version";
    /// Name of the WorkflowExecution on whose account the run exists.
    pub const WORKFLOW_EXECUTION: &str = "kubernaut.ai/workflow-execution";
    /// UID of that WorkflowExecution.
    pub const SOURCE_UID: &str = "kubernaut.ai/source-uid";
}

/// Labels that Tekton puts on what it creates.
pub mod tekton_label {
    /// UID of the PipelineRun that a TaskRun belongs to.
    pub const PIPELINE_RUN_UID: &str = "tekton.dev/pipelineRunUID";
    /// Name of the task in the pipeline that a TaskRun runs.
    pub const PIPELINE_TASK: &str = "tekton.dev/pipelineTask";
}
