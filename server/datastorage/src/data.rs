//! `event_data`: what an event says beside its head.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Second, Text};

/// Text of any length within the limit of `event_data`.
type Any = Text<0, { usize::MAX }>;

/// `event_data`. Its kind is also the type of the event, so that the two cannot differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event_type")]
pub enum EventData {
    /// It was decided which workflow acts on which target.
    #[serde(rename = "workflowexecution.selection.completed")]
    SelectionCompleted(Box<Workflow>),
    /// The run exists.
    #[serde(rename = "workflowexecution.execution.started")]
    ExecutionStarted(Box<Workflow>),
    /// The run ended well.
    #[serde(rename = "workflowexecution.workflow.completed")]
    WorkflowCompleted(Box<Workflow>),
    /// It failed or was stopped.
    #[serde(rename = "workflowexecution.workflow.failed")]
    WorkflowFailed(Box<Workflow>),
    /// A person cleared a block.
    #[serde(rename = "workflowexecution.block.cleared")]
    BlockCleared(Box<Clearance>),
}

/// The type of an event. There are others that nobody here sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventType {
    /// See [`EventData::SelectionCompleted`].
    SelectionCompleted,
    /// See [`EventData::ExecutionStarted`].
    ExecutionStarted,
    /// See [`EventData::WorkflowCompleted`].
    WorkflowCompleted,
    /// See [`EventData::WorkflowFailed`].
    WorkflowFailed,
    /// See [`EventData::BlockCleared`].
    BlockCleared,
}

impl EventType {
    /// Every type.
    pub const ALL: [Self; 5] = [
        Self::SelectionCompleted,
        Self::ExecutionStarted,
        Self::WorkflowCompleted,
        Self::WorkflowFailed,
        Self::BlockCleared,
    ];

    /// The type as it is sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SelectionCompleted => "workflowexecution.selection.completed",
            Self::ExecutionStarted => "workflowexecution.execution.started",
            Self::WorkflowCompleted => "workflowexecution.workflow.completed",
            Self::WorkflowFailed => "workflowexecution.workflow.failed",
            Self::BlockCleared => "workflowexecution.block.cleared",
        }
    }

    /// `event_action`, as the platform's own services write it.
    pub const fn action(self) -> &'static str {
        match self {
            Self::SelectionCompleted | Self::WorkflowCompleted => "completed",
            Self::ExecutionStarted => "started",
            Self::WorkflowFailed => "failed",
            Self::BlockCleared => "block_cleared",
        }
    }

    /// `event_outcome`.
    pub const fn outcome(self) -> &'static str {
        match self {
            Self::SelectionCompleted
            | Self::ExecutionStarted
            | Self::WorkflowCompleted
            | Self::BlockCleared => "success",
            Self::WorkflowFailed => "failure",
        }
    }
}

impl EventData {
    /// The type of the event.
    pub const fn event_type(&self) -> EventType {
        match self {
            Self::SelectionCompleted(_) => EventType::SelectionCompleted,
            Self::ExecutionStarted(_) => EventType::ExecutionStarted,
            Self::WorkflowCompleted(_) => EventType::WorkflowCompleted,
            Self::WorkflowFailed(_) => EventType::WorkflowFailed,
            Self::BlockCleared(_) => EventType::BlockCleared,
        }
    }

    /// Parameters of the workflow, the part of an event that grows with what callers ask for.
    pub fn parameters_mut(&mut self) -> Option<&mut BTreeMap<Any, Any>> {
        match self {
            Self::SelectionCompleted(workflow)
            | Self::ExecutionStarted(workflow)
            | Self::WorkflowCompleted(workflow)
            | Self::WorkflowFailed(workflow) => Some(&mut workflow.parameters),
            Self::BlockCleared(_) => None,
        }
    }
}

/// What the events of an execution say. An absent member is left out: `null` is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workflow {
    /// Id of the workflow in the catalogue.
    pub workflow_id: Any,
    /// Its version there.
    pub workflow_version: Any,
    /// What it acts on.
    pub target_resource: Any,
    /// Where the execution stood.
    pub phase: Phase,
    /// The bundle that is run.
    pub container_image: Any,
    /// Name of the execution.
    pub execution_name: Any,
    /// Name of the workflow in the catalogue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow_name: Option<Any>,
    /// When the run started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Second>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed_at: Option<Second>,
    /// How long it took, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<Any>,
    /// The class of the failure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<FailureReason>,
    /// What failed, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_message: Option<Any>,
    /// The task that failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_task_name: Option<Any>,
    /// The failure as the platform's services tell it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_details: Option<ErrorDetails>,
    /// Name of the `PipelineRun`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipelinerun_name: Option<Any>,
    /// Parameters of the workflow.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<Any, Any>,
}

/// What the event of a clearance says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clearance {
    /// Name of the execution whose failure blocked; the contract calls it so.
    pub workflow_name: Any,
    /// Why it is safe to go on, as the person wrote it.
    pub clear_reason: Any,
    /// When it was cleared.
    pub cleared_at: Second,
    /// `Blocked`, the only value that there is.
    previous_state: PreviousState,
    /// `Running`, the only value that there is.
    new_state: NewState,
}

impl Clearance {
    /// A clearance of the block that the execution `name` caused.
    pub fn new(name: Any, reason: Any, at: Second) -> Self {
        Self {
            workflow_name: name,
            clear_reason: reason,
            cleared_at: at,
            previous_state: PreviousState::Blocked,
            new_state: NewState::Running,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum PreviousState {
    Blocked,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum NewState {
    Running,
}

/// Where an execution stood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Nothing runs yet.
    Pending,
    /// It runs.
    Running,
    /// It ended well.
    Completed,
    /// It failed or was stopped.
    Failed,
}

/// The class of a failure: the closed list of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureReason {
    /// A container was killed for lack of memory.
    #[serde(rename = "OOMKilled")]
    OomKilled,
    /// Time ran out.
    DeadlineExceeded,
    /// A right was missing.
    Forbidden,
    /// An image could not be pulled.
    ImagePullBackOff,
    /// The workflow or its parameters are wrong.
    ConfigurationError,
    /// There was no room.
    ResourceExhausted,
    /// A step exited with an error.
    TaskFailed,
    /// The engine of the workflow is not known.
    UnsupportedEngine,
    /// Another execution did the same.
    Deduplicated,
    /// None of these is certain.
    Unknown,
}

/// A failure as the platform's services tell it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorDetails {
    /// What failed.
    pub message: Any,
    /// A stable code.
    pub code: Any,
    /// Which service tells it.
    pub component: Component,
    /// Whether it may be tried again as it is.
    pub retry_possible: bool,
}

/// A service of the platform: those of the closed list that are of use here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Component {
    /// This one.
    WorkflowExecution,
}
