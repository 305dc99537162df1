//! Names of labels, annotations, field managers, finalizers and conditions.
//!
//! Labels are for selecting and for people: a value that is too long or holds forbidden characters is
//! changed until it is valid. What must be exact is in an annotation, or in the labels with an id or a
//! hash, which always fit. Tekton copies both to TaskRuns and pods.

/// The manager of the fields that the execution service writes.
pub const SERVER_FIELD_MANAGER: &str = "wfe-server";
/// The manager of the fields that the bridge writes.
pub const BRIDGE_FIELD_MANAGER: &str = "wfe-bridge";

/// Keeps a WorkflowExecution until nothing of its run is alive.
pub const FINALIZER: &str = "workflowexecution.kubernaut.ai/workflowexecution-cleanup";

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

/// Annotations of WorkflowExecutions.
pub mod object_annotation {
    /// Names of parameters whose values nobody may read, with commas between them. Taken when the request is
    /// made, and never again.
    pub const SENSITIVE_PARAMETERS: &str = "kubernaut.ai/sensitive-parameters";
}

/// Labels that Tekton puts on what it creates.
pub mod tekton_label {
    /// UID of the PipelineRun that a TaskRun belongs to.
    pub const PIPELINE_RUN_UID: &str = "tekton.dev/pipelineRunUID";
    /// Name of the task in the pipeline that a TaskRun runs.
    pub const PIPELINE_TASK: &str = "tekton.dev/pipelineTask";
}

/// Conditions of a WorkflowExecution.
pub mod condition {
    /// The execution succeeded. False until then.
    pub const READY: &str = "Ready";
    /// How the execution ended; Unknown until then.
    pub const SUCCEEDED: &str = "Succeeded";
    /// Its PipelineRun was created.
    pub const EXECUTION_CREATED: &str = "ExecutionCreated";
    /// Its PipelineRun runs.
    pub const EXECUTION_RUNNING: &str = "ExecutionRunning";
    /// The execution ended: True after a success, False after a failure.
    pub const EXECUTION_COMPLETE: &str = "ExecutionComplete";
    /// A gate of its target is closed.
    pub const BLOCKED: &str = "Blocked";
    /// It is on its way to the end (kstatus).
    pub const RECONCILING: &str = "Reconciling";
    /// It does not get any further by itself: a person is needed (kstatus).
    pub const STALLED: &str = "Stalled";

    /// Reasons of conditions.
    pub mod reason {
        /// Ready: it succeeded.
        pub const READY: &str = "Ready";
        /// Not ready: it has not ended, or it failed.
        pub const NOT_READY: &str = "NotReady";

        /// Its PipelineRun exists.
        pub const EXECUTION_CREATED: &str = "ExecutionCreated";
        /// Its PipelineRun could not be created.
        pub const EXECUTION_CREATION_FAILED: &str = "ExecutionCreationFailed";
        /// A quota is exhausted.
        pub const QUOTA_EXCEEDED: &str = "QuotaExceeded";
        /// A right is missing.
        pub const RBAC_DENIED: &str = "RBACDenied";
        /// An image could not be pulled.
        pub const IMAGE_PULL_FAILED: &str = "ImagePullFailed";

        /// Its PipelineRun started.
        pub const EXECUTION_STARTED: &str = "ExecutionStarted";
        /// Its PipelineRun did not start.
        pub const EXECUTION_FAILED_TO_START: &str = "ExecutionFailedToStart";

        /// Its PipelineRun succeeded.
        pub const EXECUTION_SUCCEEDED: &str = "ExecutionSucceeded";
        /// It failed, and no other reason says how.
        pub const EXECUTION_FAILED: &str = "ExecutionFailed";
        /// A step of a task exited with an error.
        pub const TASK_FAILED: &str = "TaskFailed";
        /// A deadline passed.
        pub const DEADLINE_EXCEEDED: &str = "DeadlineExceeded";
        /// A container was killed for lack of memory.
        pub const OOM_KILLED: &str = "OOMKilled";

        /// Another execution holds the target.
        pub const RESOURCE_BUSY: &str = "ResourceBusy";
        /// The target was remediated a short time ago.
        pub const RECENTLY_REMEDIATED: &str = "RecentlyRemediated";
        /// Runs failed before they executed anything; the next try waits.
        pub const BACKOFF_ACTIVE: &str = "BackoffActive";
        /// An execution failed; a person must look first.
        pub const PREVIOUS_EXECUTION_FAILED: &str = "PreviousExecutionFailed";
        /// Too many runs in a row failed before they executed anything; a person must look first.
        pub const EXHAUSTED_RETRIES: &str = "ExhaustedRetries";
    }
}
