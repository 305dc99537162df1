//! The lock of a target: one execution at a time, the others in order of acceptance.

use jiff::Timestamp;

use crate::{
    execution::PlannedRun,
    gates::History,
    ids::{Epoch, ExecutionId},
    target::TargetKey,
};

/// What is stored of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetState {
    /// The target.
    pub key: TargetKey,
    /// The epoch of the last hold; 0 when it was never held.
    pub epoch: Epoch,
    /// Who holds it.
    pub holder: Option<Holder>,
    /// What those who held it left behind.
    pub history: History,
}

impl TargetState {
    /// A target that nobody used yet.
    pub fn unused(key: TargetKey) -> Self {
        Self { key, epoch: Epoch::default(), holder: None, history: History::default() }
    }
}

/// Who holds a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// The execution.
    pub execution: ExecutionId,
    /// Since when.
    pub since: Timestamp,
}

/// What the cluster knows of a target that our records do not: runs that carry its hash.
///
/// A run of somebody else counts as a holder, so that a lost database or a second installation
/// cannot act on a target twice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ForeignRuns {
    /// Name of a live run that is not one of our executions.
    pub live: Option<String>,
    /// The greatest epoch in the names of all runs of the target.
    pub last_epoch: Epoch,
}

/// Who holds a target, for a person.
pub fn held_message(target: &TargetKey, holder: &Holder) -> String {
    format!("execution {} holds {target} since {}", holder.execution, holder.since)
}

/// The run of the next hold. Epochs in the cluster count too: a name that was ever used is not used
/// again.
pub fn plan(target: &TargetState, foreign: &ForeignRuns, now: Timestamp) -> PlannedRun {
    let epoch = target.epoch.max(foreign.last_epoch).next();
    PlannedRun::new(&target.key, epoch, now)
}

/// The target once `execution` holds it.
pub fn held_by(target: &TargetState, execution: ExecutionId, run: &PlannedRun) -> TargetState {
    TargetState {
        key: target.key.clone(),
        epoch: run.epoch,
        holder: Some(Holder { execution, since: run.since }),
        history: target.history.clone(),
    }
}

/// The target after `execution` gave it up; `None` when that one does not hold it under `epoch`, for
/// then there is nothing that it may release.
pub fn released(target: &TargetState, execution: ExecutionId, epoch: Epoch) -> Option<TargetState> {
    let holds = target.holder.is_some_and(|holder| holder.execution == execution);
    (holds && target.epoch == epoch).then(|| TargetState {
        key: target.key.clone(),
        epoch: target.epoch,
        holder: None,
        history: target.history.clone(),
    })
}

#[cfg(test)]
mod tests;
