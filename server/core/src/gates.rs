//! The gates that the past of a target closes: cooldown, backoff and block.
//!
//! What happened is always kept ([`History`]); whether it holds anybody is the [`Policy`]'s to say. So a
//! gate that is switched on holds for what was before, and one that is only observed is still told.
//!
//! Times are absolute times of the service's clock. They outlive a restart; a clock that is set moves
//! the moment at which a gate opens as far as it is moved.

use std::{collections::BTreeMap, num::NonZeroU32, time::Duration};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    execution::{Closed, Execution, Hold, State},
    ids::ExecutionId,
    workflow::WorkflowKey,
};

/// What is done at each gate. The lock is not here: it is never open to two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// After a success.
    pub cooldown: CooldownPolicy,
    /// After failures before execution.
    pub backoff: BackoffPolicy,
    /// After an execution failure.
    pub block: Mode,
}

/// Whether a closed gate holds anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It does.
    Enforce,
    /// It lets everything pass, and says that it was closed.
    Observe,
    /// It is always open.
    Off,
}

/// How long a target rests after a success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CooldownPolicy {
    /// Whether it holds.
    pub mode: Mode,
    /// How long it lasts, from the end of the run.
    pub period: Duration,
    /// Which workflows it holds.
    pub scope: CooldownScope,
}

/// Which workflows a cooldown holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CooldownScope {
    /// The one that succeeded.
    SameWorkflow,
    /// Every one.
    AnyWorkflow,
}

/// How long a target rests after failures before execution, and how many there may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackoffPolicy {
    /// Whether it holds.
    pub mode: Mode,
    /// How long it lasts after the first failure; twice as long after each further one in a row.
    pub base: Duration,
    /// The longest that it lasts.
    pub cap: Duration,
    /// After so many failures in a row a person must look.
    pub limit: NonZeroU32,
}

impl Policy {
    /// The defaults, with every gate in this mode.
    pub fn all(mode: Mode) -> Self {
        Self {
            cooldown: CooldownPolicy {
                mode,
                period: Duration::from_mins(5),
                scope: CooldownScope::SameWorkflow,
            },
            backoff: BackoffPolicy {
                mode,
                base: Duration::from_secs(10),
                cap: Duration::from_mins(5),
                limit: const { NonZeroU32::new(5).unwrap() },
            },
            block: mode,
        }
    }

    /// What is done at a block.
    pub const fn mode_of(&self, reason: BlockReason) -> Mode {
        match reason {
            BlockReason::PreviousExecutionFailed => self.block,
            // The end of the backoff, so whoever owns the backoff owns this.
            BlockReason::RetriesExhausted => self.backoff.mode,
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::all(Mode::Enforce)
    }
}

impl BackoffPolicy {
    /// How long the target rests after so many failures in a row: `min(base * 2^(failures - 1), cap)`.
    pub fn after(&self, failures: NonZeroU32) -> Duration {
        let factor = 2_u32.saturating_pow(failures.get() - 1);
        self.base.saturating_mul(factor).min(self.cap)
    }
}

/// What executions that ended left behind on their target.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// The last success of each workflow, as long as it may matter.
    pub successes: BTreeMap<WorkflowKey, Success>,
    /// Failures before execution since the last success, execution failure or clearance.
    pub failures: Option<Failures>,
    /// The execution failure that nobody cleared yet.
    pub blocked: Option<ExecutionFailure>,
}

/// A success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Success {
    /// The execution.
    pub execution: ExecutionId,
    /// When its run ended.
    pub at: Timestamp,
}

/// Failures before execution, in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failures {
    /// How many.
    pub count: NonZeroU32,
    /// The last of them.
    pub execution: ExecutionId,
    /// When it ended.
    pub at: Timestamp,
}

/// An execution that failed after it had begun to act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExecutionFailure {
    /// The execution.
    pub execution: ExecutionId,
    /// When it ended.
    pub at: Timestamp,
}

/// A gate that only a person opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Why.
    pub reason: BlockReason,
    /// The execution whose failure closed it.
    pub execution: ExecutionId,
    /// Since when.
    pub since: Timestamp,
}

/// Why a person must look at a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlockReason {
    /// An execution failed after it had begun to act, so that side effects may have happened.
    PreviousExecutionFailed,
    /// Too many in a row failed before they executed anything.
    RetriesExhausted,
}

impl History {
    /// The history once `ended`, which held the target, is over. Times that are ahead of `now`, by
    /// somebody else's clock, count from now. Successes whose cooldown is over are forgotten.
    #[must_use]
    pub fn after(&self, ended: &Execution, policy: &Policy, now: Timestamp) -> Self {
        let mut after = self.clone();
        after.successes.retain(|_, success| later(success.at, policy.cooldown.period) > now);
        let execution = ended.id;
        match &ended.state {
            State::Succeeded { ended_at, .. } => {
                let at = (*ended_at).min(now);
                let key = ended.request.workflow_key();
                after.successes.insert(key, Success { execution, at });
                after.failures = None;
                // Only a gate that does not hold lets one succeed here; what failed before it is then
                // not the previous execution any more.
                after.blocked = None;
            }
            State::Failed { failure, ended_at, .. } => {
                let at = (*ended_at).min(now);
                if failure.was_execution_failure {
                    after.blocked = Some(ExecutionFailure { execution, at });
                    after.failures = None;
                } else {
                    let before = self.failures.map(|failures| failures.count);
                    let count = before.map_or(NonZeroU32::MIN, |count| count.saturating_add(1));
                    after.failures = Some(Failures { count, execution, at });
                }
            }
            // Who stopped it knows why.
            State::Cancelled { .. }
            | State::Waiting { .. }
            | State::Starting { .. }
            | State::Running { .. }
            | State::Cancelling { .. } => {}
        }
        after
    }

    /// The history after a person cleared the block.
    #[must_use]
    pub fn cleared(&self) -> Self {
        Self { successes: self.successes.clone(), failures: None, blocked: None }
    }

    /// What only a person opens, whether or not it is enforced.
    pub fn block(&self, policy: &Policy) -> Option<Block> {
        if let Some(ExecutionFailure { execution, at }) = self.blocked {
            let reason = BlockReason::PreviousExecutionFailed;
            return Some(Block { reason, execution, since: at });
        }
        let Failures { count, execution, at } = self.failures?;
        let reason = BlockReason::RetriesExhausted;
        (count >= policy.backoff.limit).then_some(Block { reason, execution, since: at })
    }

    /// When the backoff after the failures in a row is over.
    pub fn backoff_end(&self, policy: &Policy) -> Option<Timestamp> {
        self.failures.map(|failures| later(failures.at, policy.backoff.after(failures.count)))
    }

    /// The cooldowns that run at `now` with their ends, the one that ends first in front.
    pub fn cooldowns(
        &self,
        policy: &Policy,
        now: Timestamp,
    ) -> Vec<(&WorkflowKey, Success, Timestamp)> {
        let ends = |(key, success): (_, &Success)| {
            (key, *success, later(success.at, policy.cooldown.period))
        };
        let mut running: Vec<_> = self.successes.iter().map(ends).collect();
        running.retain(|(_, _, end)| *end > now);
        running.sort_by_key(|(_, _, end)| *end);
        running
    }
}

/// Gates that are closed for one workflow on a target, each with its mode, which is not
/// [`Mode::Off`]. What a person must open comes first, then what lasts longest.
pub fn closed(
    history: &History,
    workflow: &WorkflowKey,
    policy: &Policy,
    now: Timestamp,
) -> Vec<(Mode, Hold)> {
    let mut found = Vec::new();
    if let Some(block) = history.block(policy) {
        found.push((policy.mode_of(block.reason), block_hold(&block, history)));
    }
    let mut timed = Vec::new();
    if let (Some(failures), Some(until)) = (history.failures, history.backoff_end(policy))
        && until > now
    {
        let Failures { count, execution, .. } = failures;
        let message = format!(
            "execution {execution} failed before it executed anything, {}; the next try may start at {until}",
            in_a_row(count)
        );
        timed.push((
            until,
            policy.backoff.mode,
            Closed::Backoff { cause: execution, until },
            message,
        ));
    }
    let any = policy.cooldown.scope == CooldownScope::AnyWorkflow;
    let mut cooldowns = history.cooldowns(policy, now).into_iter();
    let cooldown = cooldowns.rfind(|(key, _, _)| any || *key == workflow);
    if let Some((key, Success { execution, at }, until)) = cooldown {
        let message = format!(
            "workflow {key} succeeded here at {at} (execution {execution}); its cooldown ends at {until}"
        );
        timed.push((
            until,
            policy.cooldown.mode,
            Closed::Cooldown { cause: execution, until },
            message,
        ));
    }
    timed.sort_by_key(|(until, ..)| std::cmp::Reverse(*until));
    found.extend(timed.into_iter().map(|(_, mode, why, message)| (mode, Hold { why, message })));
    found.retain(|(mode, _)| *mode != Mode::Off);
    found
}

fn block_hold(block: &Block, history: &History) -> Hold {
    let Block { reason, execution, since } = *block;
    let message = match reason {
        BlockReason::PreviousExecutionFailed => format!(
            "execution {execution} failed at {since} after it had begun to act; a person must look at the \
             target and clear the block"
        ),
        BlockReason::RetriesExhausted => {
            let count = history.failures.map_or(NonZeroU32::MIN, |failures| failures.count);
            format!(
                "execution {execution} failed at {since} before it executed anything, {}; a person must \
                 find out why and clear the block",
                in_a_row(count)
            )
        }
    };
    Hold { why: Closed::Block { cause: execution, reason }, message }
}

fn in_a_row(count: NonZeroU32) -> String {
    match count.get() {
        1 => "once".to_owned(),
        count => format!("as {count} in a row did"),
    }
}

/// `time` plus `wait`, or the end of time.
pub fn later(time: Timestamp, wait: Duration) -> Timestamp {
    SignedDuration::try_from(wait)
        .ok()
        .and_then(|wait| time.checked_add(wait).ok())
        .unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests;
