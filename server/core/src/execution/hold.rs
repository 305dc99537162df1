//! Why an execution waits: which gate is closed, and what closed it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{gates::BlockReason, ids::ExecutionId};

/// Why an execution waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The closed gate.
    #[serde(flatten)]
    pub why: Closed,
    /// A sentence for a person.
    pub message: String,
}

/// A closed gate, with what closed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "gate", rename_all = "snake_case")]
pub enum Closed {
    /// Somebody holds the target, or was there before.
    Lock {
        /// The execution that holds it, when it is one of ours.
        holder: Option<ExecutionId>,
    },
    /// The target was remediated a short time ago.
    Cooldown {
        /// The execution that succeeded.
        cause: ExecutionId,
        /// When it is over.
        until: Timestamp,
    },
    /// The last ones failed before they executed anything.
    Backoff {
        /// The last of them.
        cause: ExecutionId,
        /// When it is over.
        until: Timestamp,
    },
    /// A person must look at the target first.
    Block {
        /// The execution whose failure closed it.
        cause: ExecutionId,
        /// Why.
        reason: BlockReason,
    },
}

/// A rule that may hold a Start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Gate {
    /// See [`Closed::Lock`].
    Lock,
    /// See [`Closed::Cooldown`].
    Cooldown,
    /// See [`Closed::Backoff`].
    Backoff,
    /// See [`Closed::Block`].
    Block,
}

impl Gate {
    /// The gate as a label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lock => "lock",
            Self::Cooldown => "cooldown",
            Self::Backoff => "backoff",
            Self::Block => "block",
        }
    }
}

impl Hold {
    /// Which gate is closed.
    pub const fn gate(&self) -> Gate {
        match self.why {
            Closed::Lock { .. } => Gate::Lock,
            Closed::Cooldown { .. } => Gate::Cooldown,
            Closed::Backoff { .. } => Gate::Backoff,
            Closed::Block { .. } => Gate::Block,
        }
    }

    /// The execution that holds the target, when that is why, and it is one of ours.
    pub const fn holder(&self) -> Option<ExecutionId> {
        match self.why {
            Closed::Lock { holder } => holder,
            Closed::Cooldown { .. } | Closed::Backoff { .. } | Closed::Block { .. } => None,
        }
    }

    /// The execution whose end closed the gate; none for the lock.
    pub const fn cause(&self) -> Option<ExecutionId> {
        match self.why {
            Closed::Lock { .. } => None,
            Closed::Cooldown { cause, .. }
            | Closed::Backoff { cause, .. }
            | Closed::Block { cause, .. } => Some(cause),
        }
    }

    /// When the gate opens by itself; `None` when that is not known or a person is needed.
    pub const fn until(&self) -> Option<Timestamp> {
        match self.why {
            Closed::Cooldown { until, .. } | Closed::Backoff { until, .. } => Some(until),
            Closed::Lock { .. } | Closed::Block { .. } => None,
        }
    }
}
