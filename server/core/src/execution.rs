//! Executions and the states that they can be in.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    actor::Actor,
    clear::Clearance,
    failure::Failure,
    ids::{Epoch, ExecutionId, Revision, RunName},
    progress::Progress,
    request::StartRequest,
    stuck::Stuck,
    target::TargetKey,
};

mod cancel;
mod hold;

pub use cancel::{CancelMode, Cancellation, Escalation, EscalationCause};
pub use hold::{Closed, Gate, Hold};

/// One accepted request to run a workflow on a target, for ever on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution {
    /// Identifies it.
    pub id: ExecutionId,
    /// What was asked for. Never changes.
    pub request: StartRequest,
    /// Who asked. Never changes.
    pub actor: Actor,
    /// When it was accepted. Never changes.
    pub created_at: Timestamp,
    /// Number of its newest event.
    pub revision: Revision,
    /// When its newest event happened.
    pub updated_at: Timestamp,
    /// Where it stands.
    pub state: State,
    /// How the block was cleared that its failure had caused. Becomes known after its end, and is kept
    /// beside it.
    pub clearance: Option<Clearance>,
}

/// Where an execution stands. The table of moves is in [`crate::transition`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "there is one per execution, and it is seldom moved")]
pub enum State {
    /// A gate of its target is closed. Entered by acceptance; left to `Starting` when the gate opens,
    /// to `Failed` at the deadline, to `Cancelled` on request.
    Waiting {
        /// The closed gate.
        hold: Hold,
    },
    /// It holds its target and its run is being created. Left to `Running` when the run exists.
    Starting {
        /// The run as it will be called.
        run: PlannedRun,
        /// Why the run could not be created yet.
        obstacle: Option<String>,
    },
    /// Its run exists. Left when the run ended, was lost or must stop.
    Running {
        /// The run.
        run: CreatedRun,
    },
    /// It must stop, and something of its run may be alive. Left when nothing is.
    Cancelling {
        /// The run, which may never have been created.
        run: RunRef,
        /// Why it must stop.
        stop: Stop,
        /// What is in the way.
        obstacle: Option<String>,
    },
    /// Terminal: its run succeeded.
    Succeeded {
        /// The run.
        run: CreatedRun,
        /// A cancel that came too late.
        late_cancel: Option<Cancellation>,
        /// When the run ended.
        ended_at: Timestamp,
    },
    /// Terminal: its run failed, was never created, or took too long.
    Failed {
        /// The run, when one was planned.
        run: Option<RunRef>,
        /// Why.
        failure: Failure,
        /// A cancel that came too late.
        late_cancel: Option<Cancellation>,
        /// When it ended.
        ended_at: Timestamp,
    },
    /// Terminal: it was stopped and nothing of its run is alive.
    Cancelled {
        /// The run, when one was planned.
        run: Option<RunRef>,
        /// Who asked and why.
        cancellation: Cancellation,
        /// When it ended.
        ended_at: Timestamp,
    },
}

/// The name of a [`State`], for columns, filters and labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StateCode {
    /// See [`State::Waiting`].
    Waiting,
    /// See [`State::Starting`].
    Starting,
    /// See [`State::Running`].
    Running,
    /// See [`State::Cancelling`].
    Cancelling,
    /// See [`State::Succeeded`].
    Succeeded,
    /// See [`State::Failed`].
    Failed,
    /// See [`State::Cancelled`].
    Cancelled,
}

impl StateCode {
    /// Every code, in the order of a life.
    pub const ALL: [Self; 7] = [
        Self::Waiting,
        Self::Starting,
        Self::Running,
        Self::Cancelling,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
    ];

    /// The code as it is stored and used as a label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Cancelling => "cancelling",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The code that `text` stands for.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == text)
    }

    /// Whether nothing can follow.
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Waiting | Self::Starting | Self::Running | Self::Cancelling => false,
            Self::Succeeded | Self::Failed | Self::Cancelled => true,
        }
    }

    /// Whether an execution in this state holds its target.
    pub const fn holds_target(self) -> bool {
        match self {
            Self::Starting | Self::Running | Self::Cancelling => true,
            Self::Waiting | Self::Succeeded | Self::Failed | Self::Cancelled => false,
        }
    }
}

impl State {
    /// The name of the state.
    pub const fn code(&self) -> StateCode {
        match self {
            Self::Waiting { .. } => StateCode::Waiting,
            Self::Starting { .. } => StateCode::Starting,
            Self::Running { .. } => StateCode::Running,
            Self::Cancelling { .. } => StateCode::Cancelling,
            Self::Succeeded { .. } => StateCode::Succeeded,
            Self::Failed { .. } => StateCode::Failed,
            Self::Cancelled { .. } => StateCode::Cancelled,
        }
    }

    /// What holds it, while it waits.
    pub const fn hold(&self) -> Option<&Hold> {
        match self {
            Self::Waiting { hold } => Some(hold),
            Self::Starting { .. }
            | Self::Running { .. }
            | Self::Cancelling { .. }
            | Self::Succeeded { .. }
            | Self::Failed { .. }
            | Self::Cancelled { .. } => None,
        }
    }

    /// The name and epoch of the run, once they are fixed.
    pub const fn planned_run(&self) -> Option<&PlannedRun> {
        match self {
            Self::Waiting { .. } => None,
            Self::Starting { run, .. } => Some(run),
            Self::Running { run } | Self::Succeeded { run, .. } => Some(&run.planned),
            Self::Cancelling { run, .. } => Some(run.planned()),
            Self::Failed { run, .. } | Self::Cancelled { run, .. } => match run {
                Some(run) => Some(run.planned()),
                None => None,
            },
        }
    }

    /// The run, once it was seen to exist.
    pub const fn created_run(&self) -> Option<&CreatedRun> {
        match self {
            Self::Waiting { .. } | Self::Starting { .. } => None,
            Self::Running { run } | Self::Succeeded { run, .. } => Some(run),
            Self::Cancelling { run, .. } => run.created(),
            Self::Failed { run, .. } | Self::Cancelled { run, .. } => match run {
                Some(run) => run.created(),
                None => None,
            },
        }
    }

    /// The accepted request to stop, whether or not it had an effect.
    pub const fn cancellation(&self) -> Option<&Cancellation> {
        match self {
            Self::Waiting { .. } | Self::Starting { .. } | Self::Running { .. } => None,
            Self::Cancelling { stop, .. } => stop.cancellation(),
            Self::Succeeded { late_cancel, .. } | Self::Failed { late_cancel, .. } => {
                late_cancel.as_ref()
            }
            Self::Cancelled { cancellation, .. } => Some(cancellation),
        }
    }

    /// When it ended, for a terminal state.
    pub const fn ended_at(&self) -> Option<Timestamp> {
        match self {
            Self::Waiting { .. }
            | Self::Starting { .. }
            | Self::Running { .. }
            | Self::Cancelling { .. } => None,
            Self::Succeeded { ended_at, .. }
            | Self::Failed { ended_at, .. }
            | Self::Cancelled { ended_at, .. } => Some(*ended_at),
        }
    }
}

/// A run whose name is fixed, whether or not it exists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedRun {
    /// Name of the PipelineRun.
    pub name: RunName,
    /// The hold of the target under which it runs.
    pub epoch: Epoch,
    /// Since when the target is held for it.
    pub since: Timestamp,
    /// Gates that were closed at that moment, and are only observed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub observed: Vec<Hold>,
}

impl PlannedRun {
    /// The run of this hold of the target, with every gate open.
    pub fn new(target: &TargetKey, epoch: Epoch, since: Timestamp) -> Self {
        Self { name: RunName::new(target, epoch), epoch, since, observed: Vec::new() }
    }
}

/// A run that exists or existed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreatedRun {
    /// Its name and epoch.
    pub planned: PlannedRun,
    /// UID of the PipelineRun.
    pub uid: String,
    /// When the PipelineRun was created, by the API server's clock.
    pub created_at: Timestamp,
    /// How far it is, once that was seen.
    pub progress: Progress,
}

/// A run that may or may not exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunRef {
    /// It was never seen.
    Planned(PlannedRun),
    /// It was seen.
    Created(CreatedRun),
}

impl RunRef {
    /// Its name and epoch.
    pub const fn planned(&self) -> &PlannedRun {
        match self {
            Self::Planned(run) => run,
            Self::Created(run) => &run.planned,
        }
    }

    /// The run, when it was seen to exist.
    pub const fn created(&self) -> Option<&CreatedRun> {
        match self {
            Self::Planned(_) => None,
            Self::Created(run) => Some(run),
        }
    }
}

/// Why an execution must stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "there is one per execution, and most are requested")]
pub enum Stop {
    /// Somebody asked.
    Requested(Cancellation),
    /// Its deadline passed.
    Deadline {
        /// The deadline.
        at: Timestamp,
        /// What had kept the run from being created until then.
        obstacle: Option<String>,
        /// What the run had waited for until then, and for too long.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stuck: Option<Box<Stuck>>,
    },
}

impl Stop {
    /// How the run is stopped.
    pub const fn mode(&self) -> CancelMode {
        match self {
            Self::Requested(cancellation) => cancellation.mode,
            Self::Deadline { .. } => CancelMode::Immediate,
        }
    }

    const fn cancellation(&self) -> Option<&Cancellation> {
        match self {
            Self::Requested(cancellation) => Some(cancellation),
            Self::Deadline { .. } => None,
        }
    }
}
