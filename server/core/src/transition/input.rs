//! What can happen to an execution.

use jiff::Timestamp;

use crate::{
    execution::{Cancellation, Hold, PlannedRun},
    failure::Failure,
    observe::RunEnd,
    progress::Progress,
};

/// What can happen to an execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// The gates are open; it holds its target and will run as this.
    Admit(PlannedRun),
    /// This gate holds it.
    Hold(Hold),
    /// Something is in the way for now.
    Obstruct(String),
    /// The run cannot be created, and trying again would not help.
    Refuse(Failure),
    /// The run exists.
    RunExists {
        /// UID of the PipelineRun.
        uid: String,
        /// When it was created.
        created_at: Timestamp,
    },
    /// The run was seen to be this far.
    Progress(Progress),
    /// The run is over.
    RunEnded {
        /// How it ended.
        end: RunEnd,
        /// How far it came.
        progress: Progress,
    },
    /// The run is gone and did not end.
    RunLost,
    /// Somebody asks it to stop.
    Cancel(Cancellation),
    /// Its deadline passed.
    Deadline(Timestamp),
    /// What it is stuck on was borne until this time, and no longer.
    OutOfPatience(Timestamp),
    /// Nothing of the run is alive, and nothing can come.
    Quiet {
        /// How the run ended; `None` when it does not exist.
        end: Option<RunEnd>,
        /// How far it came, when it was seen.
        progress: Option<Progress>,
    },
}

impl Input {
    /// The name of the input.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Admit(_) => "Admit",
            Self::Hold(_) => "Hold",
            Self::Obstruct(_) => "Obstruct",
            Self::Refuse(_) => "Refuse",
            Self::RunExists { .. } => "RunExists",
            Self::Progress(_) => "Progress",
            Self::RunEnded { .. } => "RunEnded",
            Self::RunLost => "RunLost",
            Self::Cancel(_) => "Cancel",
            Self::Deadline(_) => "Deadline",
            Self::OutOfPatience(_) => "OutOfPatience",
            Self::Quiet { .. } => "Quiet",
        }
    }
}
