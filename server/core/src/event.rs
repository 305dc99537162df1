//! The history of an execution.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    actor::Actor,
    execution::{Cancellation, CreatedRun, Hold, PlannedRun, StateCode},
    failure::Failure,
    ids::{ExecutionId, Revision},
    progress::Progress,
    stuck::Stuck,
};

/// One entry of an execution's history. Written in the transaction of the change, never altered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The execution.
    pub execution: ExecutionId,
    /// Its number in the execution, from 1, without gaps.
    pub revision: Revision,
    /// When it happened.
    pub at: Timestamp,
    /// Who caused it.
    pub actor: Actor,
    /// The state before; `None` for the first.
    pub before: Option<StateCode>,
    /// The state after.
    pub after: StateCode,
    /// What happened.
    pub kind: EventKind,
}

/// What happened to an execution, with what it changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum EventKind {
    /// The request was accepted.
    Accepted,
    /// A gate is closed.
    Held {
        /// The closed gate.
        hold: Hold,
    },
    /// It holds its target.
    Admitted {
        /// The run that will be created.
        run: PlannedRun,
    },
    /// Something is in the way; it is tried again.
    Delayed {
        /// What is in the way.
        obstacle: String,
    },
    /// The run exists.
    RunCreated {
        /// The run.
        run: CreatedRun,
    },
    /// The run moved on.
    Progressed {
        /// How far it is.
        progress: Progress,
    },
    /// It must stop, because somebody asked.
    CancelRequested {
        /// Who asked and why.
        cancellation: Cancellation,
    },
    /// It is stopped in a stronger way than before; the last escalation says why.
    CancelEscalated {
        /// The request, as it is now.
        cancellation: Cancellation,
    },
    /// It must stop, because its deadline passed, or because it was stuck for too long.
    DeadlinePassed {
        /// The deadline.
        deadline: Timestamp,
        /// What it had waited for until then, and for too long.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stuck: Option<Box<Stuck>>,
    },
    /// It succeeded.
    Succeeded {
        /// The last progress of the run.
        progress: Progress,
        /// When the run ended.
        ended_at: Timestamp,
    },
    /// It failed.
    Failed {
        /// Why.
        failure: Failure,
        /// The last progress of the run, when there was one.
        progress: Option<Progress>,
    },
    /// It was stopped.
    Cancelled {
        /// Who asked and why.
        cancellation: Cancellation,
        /// The last progress of the run, when there was one.
        progress: Option<Progress>,
    },
}

impl EventKind {
    /// The name of the kind, as it is stored and logged.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Held { .. } => "held",
            Self::Admitted { .. } => "admitted",
            Self::Delayed { .. } => "delayed",
            Self::RunCreated { .. } => "run_created",
            Self::Progressed { .. } => "progressed",
            Self::CancelRequested { .. } => "cancel_requested",
            Self::CancelEscalated { .. } => "cancel_escalated",
            Self::DeadlinePassed { .. } => "deadline_passed",
            Self::Succeeded { .. } => "succeeded",
            Self::Failed { .. } => "failed",
            Self::Cancelled { .. } => "cancelled",
        }
    }
}
