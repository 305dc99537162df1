//! What became of it. What is absent is not written, so that a status is also the body of a
//! server-side apply that owns only what it names.

use k8s_openapi::{
    api::core::v1::LocalObjectReference,
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{limits, open_enum::open_enum, schema};

/// Where the execution stands. All of it follows from the record of the execution service.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": schema::REVISION_RULE,
    "message": "executionRevision must not fall while executionID stays",
}]))]
pub struct WorkflowExecutionStatus {
    /// The generation of the spec that this status is about. -1: nobody looked at it yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Where the execution stands. Absent: nobody looked at it yet. Completed and Failed are final.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// When its PipelineRun was created.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// From start to end in whole seconds, as Go writes durations, for example 1m30s.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = limits::MAX_NAME_CHARS))]
    pub duration: Option<String>,
    /// Its PipelineRun.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::local_object_reference")]
    pub execution_ref: Option<LocalObjectReference>,
    /// How far its PipelineRun is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_status: Option<ExecutionStatus>,
    /// The same as failureDetails.reason. Deprecated: read that.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = limits::MAX_TEXT_CHARS))]
    pub failure_reason: Option<String>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_details: Option<FailureDetails>,
    /// How the block was cleared that its failure had put on the target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_clearance: Option<BlockClearance>,
    /// Asks for the block to be cleared that its failure has put on the target. Added to what other
    /// services of the platform know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_clearance_request: Option<BlockClearanceRequest>,
    /// Asks for its end, on account of one who may ask by setting the phase. Added to what other
    /// services of the platform know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancel_request: Option<CancelRequest>,
    /// While it waits: when the gate that holds it opens by itself. Added to what other services of
    /// the platform know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cooldown_until: Option<Time>,
    /// Id of the execution in the records of the execution service. Added to what other services of
    /// the platform know.
    #[serde(rename = "executionID", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = limits::MAX_NAME_CHARS))]
    pub execution_id: Option<String>,
    /// The revision of that execution that this status shows. It never falls while executionID stays.
    /// Added to what other services of the platform know.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub execution_revision: Option<i64>,
    /// Credentials that the ansible engine made. Not written.
    #[serde(rename = "ephemeralCredentialIDs", skip_serializing_if = "Vec::is_empty")]
    pub ephemeral_credential_ids: Vec<i64>,
    /// Not written. Kept for objects that have it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = limits::MAX_NAME_CHARS))]
    pub workflow_name: Option<String>,
    /// The WorkflowExecution that held the target when this one came.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = limits::MAX_NAME_CHARS))]
    pub deduplicated_by: Option<String>,
    /// What holds right now, one condition of each type.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
}

open_enum! {
    /// Where an execution stands. An object of an earlier version may have another phase; all of those
    /// are final.
    Phase {
        /// It waits, or its PipelineRun is being created.
        Pending = "Pending",
        /// Its PipelineRun exists, and something of it may be alive.
        Running = "Running",
        /// It succeeded.
        Completed = "Completed",
        /// It failed or was stopped.
        Failed = "Failed",
    }
}

open_enum! {
    /// The class of a failure.
    #[derive(Default)]
    FailureReason {
        /// A container was killed for lack of memory.
        OomKilled = "OOMKilled",
        /// A deadline or a time-out passed.
        DeadlineExceeded = "DeadlineExceeded",
        /// Kubernetes refused for lack of a right.
        Forbidden = "Forbidden",
        /// A quota or the capacity of the cluster was exhausted.
        ResourceExhausted = "ResourceExhausted",
        /// The workflow, its parameters or its references are wrong.
        ConfigurationError = "ConfigurationError",
        /// An image could not be pulled.
        ImagePullBackOff = "ImagePullBackOff",
        /// A step of a task exited with an error.
        TaskFailed = "TaskFailed",
        /// The engine is not one that the service has.
        UnsupportedEngine = "UnsupportedEngine",
        /// None of the others is certain.
        #[default]
        Unknown = "Unknown",
        /// Another execution held the target.
        Deduplicated = "Deduplicated",
    }
}

open_enum! {
    /// The way by which a block was cleared.
    #[derive(Default)]
    ClearMethod {
        /// An annotation of the object.
        Annotation = "Annotation",
        /// A call of the execution service.
        ApiEndpoint = "APIEndpoint",
        /// A `blockClearanceRequest` in the status.
        #[default]
        StatusField = "StatusField",
    }
}

open_enum! {
    /// Whether something holds.
    #[derive(Default)]
    ConditionStatus {
        /// It holds.
        True = "True",
        /// It does not hold.
        False = "False",
        /// It is not known yet.
        #[default]
        Unknown = "Unknown",
    }
}

/// How far a PipelineRun is, as Tekton says it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["status"]))]
pub struct ExecutionStatus {
    /// Whether it succeeded; Unknown while it runs.
    pub status: ConditionStatus,
    /// Why, in one word.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = limits::MAX_TEXT_CHARS))]
    pub reason: Option<String>,
    /// Why, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = limits::MAX_TEXT_CHARS))]
    pub message: Option<String>,
    /// Tasks that succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completed_tasks: Option<i64>,
    /// Tasks of the pipeline, finally tasks included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_tasks: Option<i64>,
    /// Retries that were made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_count: Option<i32>,
}

/// Why an execution failed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = [
    "failedAt", "failedTaskIndex", "failedTaskName", "message", "naturalLanguageSummary", "reason"
]))]
pub struct FailureDetails {
    /// Index of the failed task in the pipeline, from 0. 0 also when no task failed.
    pub failed_task_index: i64,
    /// Name of the failed task in the pipeline. Empty when no task failed.
    #[schemars(length(max = limits::MAX_NAME_CHARS))]
    pub failed_task_name: String,
    /// Name of the failed step, when one is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = limits::MAX_NAME_CHARS))]
    pub failed_step_name: Option<String>,
    /// The class of the failure.
    pub reason: FailureReason,
    /// What the system said.
    #[schemars(length(max = limits::MAX_TEXT_CHARS))]
    pub message: String,
    /// Exit code of the failed step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// When it failed. Required: `None` cannot be written.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(description = "When it failed.")]
    pub failed_at: Option<Time>,
    /// From start to failure in whole seconds, as Go writes durations.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = limits::MAX_NAME_CHARS))]
    pub execution_time_before_failure: Option<String>,
    /// For a person: what happened and what to do.
    #[schemars(length(max = limits::MAX_TEXT_CHARS))]
    pub natural_language_summary: String,
    /// Whether any step really started, so that side effects may have happened. Absent: no.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub was_execution_failure: bool,
}

/// How a block was cleared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["clearMethod", "clearReason", "clearedBy"]))]
pub struct BlockClearance {
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cleared_at: Option<Time>,
    /// Who, from authentication.
    #[schemars(length(max = limits::MAX_TEXT_CHARS))]
    pub cleared_by: String,
    /// Why, as the person wrote it.
    #[schemars(length(max = limits::MAX_TEXT_CHARS))]
    pub clear_reason: String,
    /// In which way.
    pub clear_method: ClearMethod,
}

/// Asks for the block of a target to be cleared. People write the reason and the ticket; the rest is
/// stamped on by the webhook.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["clearReason"]))]
pub struct BlockClearanceRequest {
    /// Why it is safe to go on: 10 to 2,000 characters, at least 10 of them no space.
    #[schemars(length(min = limits::MIN_CLEAR_REASON_CHARS, max = limits::MAX_CLEAR_REASON_CHARS))]
    pub clear_reason: String,
    /// Reference of a ticket.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = limits::MAX_NAME_CHARS))]
    pub ticket: Option<String>,
    /// Who asks, as the API server authenticated them. Written by the webhook alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<Requester>,
    /// When. Written by the webhook alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requested_at: Option<Time>,
    /// Ties the words, the requester and the object together, so that nobody else can have written
    /// them. Written by the webhook alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = limits::MAX_SEAL_CHARS))]
    pub seal: Option<String>,
}

/// Asks for the end of an execution. Written by the webhook alone, all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["reason"]))]
pub struct CancelRequest {
    /// Why: the failureReason that was set with the phase.
    #[schemars(length(max = limits::MAX_CANCEL_REASON_CHARS))]
    pub reason: String,
    /// Who asks, as the API server authenticated them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<Requester>,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requested_at: Option<Time>,
    /// Ties the reason, the requester and the object together.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = limits::MAX_SEAL_CHARS))]
    pub seal: Option<String>,
}

/// Who asks for something, as the API server authenticated them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("required" = ["username"]))]
pub struct Requester {
    /// Name of the user.
    #[schemars(length(max = limits::MAX_USER_CHARS))]
    pub username: String,
    /// UID of the user, when the authenticator gives one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = limits::MAX_USER_CHARS))]
    pub uid: Option<String>,
    /// Groups of the user.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = limits::MAX_GROUPS), inner(length(max = limits::MAX_USER_CHARS)))]
    pub groups: Vec<String>,
}
