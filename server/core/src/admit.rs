//! Whether the next execution may run on a target.

use jiff::Timestamp;

use crate::{
    execution::{Closed, Hold, PlannedRun},
    gates::{self, Mode, Policy},
    lock::{ForeignRuns, TargetState, held_message, plan},
    workflow::WorkflowKey,
};

/// What a decision about a target rests on besides what is stored.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    /// What the cluster knows of the target; `None` while that is not known, and then nobody is let in.
    pub foreign: Option<&'a ForeignRuns>,
    /// What is done at each gate.
    pub policy: &'a Policy,
    /// The time.
    pub now: Timestamp,
}

/// The answer of the gates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// It may run, as this.
    Admitted(PlannedRun),
    /// It may not run now.
    Held {
        /// The closed gate that matters most to a person: a block, then the lock, then what lasts
        /// longest.
        first: Hold,
        /// The others that are closed, in the same order.
        others: Vec<Hold>,
    },
    /// What else acts on the target is not known, and nothing else holds it.
    Unknown,
}

/// Decides whether the next execution may hold the target. `ahead` counts those that were accepted
/// before it and still wait.
pub fn admit(
    target: &TargetState,
    workflow: &WorkflowKey,
    ahead: usize,
    around: Circumstances<'_>,
) -> Admission {
    let Circumstances { foreign, policy, now } = around;
    let found = gates::closed(&target.history, workflow, policy, now);
    let (enforced, observed): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|(mode, _)| *mode == Mode::Enforce);
    let (needs_person, timed): (Vec<_>, Vec<_>) = enforced
        .into_iter()
        .map(|(_, hold)| hold)
        .partition(|hold| matches!(hold.why, Closed::Block { .. }));
    let mut closed = needs_person.into_iter().chain(lock(target, ahead, foreign)).chain(timed);
    if let Some(first) = closed.next() {
        return Admission::Held { first, others: closed.collect() };
    }
    let Some(foreign) = foreign else { return Admission::Unknown };
    let observed = observed.into_iter().map(|(_, hold)| hold).collect();
    Admission::Admitted(PlannedRun { observed, ..plan(target, foreign, now) })
}

/// Why the lock is closed, if it is.
fn lock(target: &TargetState, ahead: usize, foreign: Option<&ForeignRuns>) -> Option<Hold> {
    let held = |holder, message| Some(Hold { why: Closed::Lock { holder }, message });
    if let Some(holder) = &target.holder {
        return held(Some(holder.execution), held_message(&target.key, holder));
    }
    if let Some(run) = foreign.and_then(|foreign| foreign.live.as_ref()) {
        let message = format!(
            "PipelineRun {run}, which is not ours, acts on {} and is still alive",
            target.key
        );
        return held(None, message);
    }
    match ahead {
        0 => None,
        ahead => held(None, format!("{ahead} accepted before it wait for {}", target.key)),
    }
}

#[cfg(test)]
mod tests;
