//! The decision of every change after a Start: the move of one execution, and what it means for its
//! target and for the one that waits next.

use crate::{
    actor::Actor,
    admit::{Admission, Circumstances, admit},
    execution::{Execution, PlannedRun, State},
    lock::{ForeignRuns, TargetState, held_by, plan, released},
    transition::{Change, IllegalTransition, Input, Step, next},
};

/// What is stored about an execution and its target.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The execution.
    pub execution: &'a Execution,
    /// Its target.
    pub target: &'a TargetState,
    /// The execution that was accepted first among those that wait for the target.
    pub head: Option<&'a Execution>,
}

/// What one transaction writes. Empty when nothing changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settlement {
    /// Executions that change; the one that was asked for first.
    pub changes: Vec<Change>,
    /// The target, when it changes.
    pub target: Option<TargetState>,
}

/// Moves an execution. When it gives its target up, the next one gets it in the same transaction, so
/// that no newcomer can slip in between.
pub fn settle(
    view: View<'_>,
    input: Input,
    actor: &Actor,
    around: Circumstances<'_>,
) -> Result<Settlement, IllegalTransition> {
    let change = match next(view.execution, input, actor, around.now)? {
        Step::Same => return Ok(Settlement::default()),
        Step::Changed(change) => *change,
    };
    let gave_up =
        view.execution.state.code().holds_target() && !change.execution.state.code().holds_target();
    if !gave_up {
        let target = moved_epoch(&change, view.target);
        return Ok(Settlement { changes: vec![change], target });
    }
    let free = view
        .execution
        .state
        .planned_run()
        .and_then(|run| released(view.target, view.execution.id, run.epoch));
    let Some(free) = free else {
        // It ended, but the target is not its own any more: it has nothing to release.
        return Ok(Settlement { changes: vec![change], target: None });
    };
    let history = free.history.after(&change.execution, around.policy, around.now);
    let free = TargetState { history, ..free };
    let mut settlement = Settlement { changes: vec![change], target: Some(free.clone()) };
    if let Some(head) = view.head {
        settlement.join(admit_head(head, &free, around)?);
    }
    Ok(settlement)
}

/// Gives a starting execution another run: the name of the first one was taken by a run that is not
/// its own. Changes nothing in any other state.
pub fn rename(
    view: View<'_>,
    foreign: &ForeignRuns,
    around: Circumstances<'_>,
) -> Result<Settlement, IllegalTransition> {
    let State::Starting { run, .. } = &view.execution.state else {
        return Ok(Settlement::default());
    };
    let observed = run.observed.clone();
    let run = PlannedRun { observed, ..plan(view.target, foreign, around.now) };
    settle(view, Input::Admit(run), &Actor::service(), around)
}

/// Lets the first waiting execution in when its gates are open now; else notes which one holds it, when
/// that is another than before.
pub fn admit_head(
    head: &Execution,
    target: &TargetState,
    around: Circumstances<'_>,
) -> Result<Settlement, IllegalTransition> {
    let (input, target) = match admit(target, &head.request.workflow_key(), 0, around) {
        Admission::Unknown => return Ok(Settlement::default()),
        Admission::Held { first, .. } => (Input::Hold(first), None),
        Admission::Admitted(run) => {
            let target = held_by(target, head.id, &run);
            (Input::Admit(run), Some(target))
        }
    };
    match next(head, input, &Actor::service(), around.now)? {
        Step::Same => Ok(Settlement::default()),
        Step::Changed(change) => Ok(Settlement { changes: vec![*change], target }),
    }
}

/// A starting execution that got another run holds its target under that run's epoch.
fn moved_epoch(change: &Change, target: &TargetState) -> Option<TargetState> {
    let run = change.execution.state.planned_run()?;
    (run.epoch > target.epoch).then(|| TargetState { epoch: run.epoch, ..target.clone() })
}

impl Settlement {
    fn join(&mut self, other: Self) {
        self.changes.extend(other.changes);
        if other.target.is_some() {
            self.target = other.target;
        }
    }
}

#[cfg(test)]
mod tests;
