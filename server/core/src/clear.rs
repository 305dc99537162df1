//! The decision of a ClearBlock: a person looked at a failure, and the target may be used again.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    actor::Actor,
    admit::Circumstances,
    execution::Execution,
    gates::Block,
    ids::ExecutionId,
    invalid::Invalid,
    lock::TargetState,
    settle::{Settlement, admit_head},
    transition::IllegalTransition,
};

/// The fewest characters of a reason, spaces not counted.
pub const MIN_REASON_CHARS: usize = 10;
/// The most characters of a reason.
pub const MAX_REASON_CHARS: usize = 2_000;
/// The most characters of the reference of a ticket.
pub const MAX_TICKET_CHARS: usize = 253;

/// Why it is safe to go on, as a person wrote it: not empty talk, as far as that can be counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClearReason(String);

impl ClearReason {
    /// The reason as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ClearReason {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.chars().filter(|c| !c.is_whitespace()).count() < MIN_REASON_CHARS {
            return Err(Invalid::new(
                "is required: say in at least 10 characters, spaces not counted, why it is safe to go on",
            ));
        }
        if text.chars().count() > MAX_REASON_CHARS {
            return Err(Invalid::new("must have at most 2,000 characters"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for ClearReason {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<ClearReason> for String {
    fn from(reason: ClearReason) -> Self {
        reason.0
    }
}

impl fmt::Display for ClearReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Who cleared a block, or tried to. Never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clearance {
    /// Who.
    pub actor: Actor,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: ClearReason,
    /// Reference of a ticket.
    pub ticket: Option<String>,
}

/// What is stored of a target whose block is to be cleared.
#[derive(Debug, Clone, Copy)]
pub struct ClearView<'a> {
    /// The target.
    pub target: &'a TargetState,
    /// The execution that was accepted first among those that wait for it.
    pub head: Option<&'a Execution>,
}

/// One attempt to clear a block, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Who tried and why.
    pub clearance: Clearance,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The block was cleared that this execution's failure had caused.
    Cleared(ExecutionId),
    /// Nothing was blocked.
    NotBlocked,
    /// This execution blocks the target, which is not the one that was looked at.
    Stale(ExecutionId),
}

impl Outcome {
    /// The outcome as it is stored and used as a label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cleared(_) => "cleared",
            Self::NotBlocked => "not_blocked",
            Self::Stale(_) => "stale",
        }
    }

    /// The execution that blocked the target then.
    pub const fn execution(self) -> Option<ExecutionId> {
        match self {
            Self::Cleared(execution) | Self::Stale(execution) => Some(execution),
            Self::NotBlocked => None,
        }
    }
}

/// What is written for an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClearDecision {
    /// The attempt, which is kept whatever came of it.
    pub attempt: Attempt,
    /// The target without its block, and the execution that waited for that. Empty when nothing was
    /// cleared.
    pub settlement: Settlement,
}

/// Decides what becomes of an attempt. Who waits first is let in by the same decision, when nothing else
/// holds it.
pub fn decide(
    view: ClearView<'_>,
    clearance: &Clearance,
    expected: Option<ExecutionId>,
    around: Circumstances<'_>,
) -> Result<ClearDecision, IllegalTransition> {
    let kept = |outcome, settlement| ClearDecision {
        attempt: Attempt { clearance: clearance.clone(), outcome },
        settlement,
    };
    let Some(Block { execution, .. }) = view.target.history.block(around.policy) else {
        return Ok(kept(Outcome::NotBlocked, Settlement::default()));
    };
    if expected.is_some_and(|expected| expected != execution) {
        return Ok(kept(Outcome::Stale(execution), Settlement::default()));
    }
    let history = view.target.history.cleared();
    let target = TargetState { history, ..view.target.clone() };
    let mut settlement = match view.head {
        Some(head) if target.holder.is_none() => admit_head(head, &target, around)?,
        Some(_) | None => Settlement::default(),
    };
    settlement.target.get_or_insert(target);
    Ok(kept(Outcome::Cleared(execution), settlement))
}

#[cfg(test)]
mod tests;
