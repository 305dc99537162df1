//! The decision of a Start.

use jiff::Timestamp;

use crate::{
    actor::Actor,
    admit::{Admission, Circumstances, admit},
    event::{Event, EventKind},
    execution::{Closed, Execution, Hold, State, StateCode},
    ids::{ExecutionId, Revision},
    lock::{TargetState, held_by},
    parameter::DigestValues,
    request::{StartRequest, WhenBlocked, WhenCooling, WhenLocked},
    transition::Change,
    withdraw::Withdrawal,
};

/// What is stored about a request and its target.
#[derive(Debug, Clone, Copy)]
pub struct StartView<'a> {
    /// What was accepted under the same request id, and the execution that it got.
    pub accepted: Option<(&'a StartRequest, ExecutionId)>,
    /// The withdrawal of the request, when it was withdrawn.
    pub withdrawn: Option<&'a Withdrawal>,
    /// The target.
    pub target: &'a TargetState,
    /// Executions that wait for the target.
    pub waiting: usize,
}

/// What a caller brings.
#[derive(Debug, Clone)]
pub struct NewExecution {
    /// The id that a new execution would get.
    pub id: ExecutionId,
    /// What is asked for.
    pub request: StartRequest,
    /// Who asks.
    pub actor: Actor,
    /// When.
    pub now: Timestamp,
}

/// The answer to a Start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartDecision {
    /// A new execution, and the target when the execution holds it from now on.
    Accept {
        /// The execution and its first events.
        change: Box<Change>,
        /// The target after it; `None` when it stays as it is.
        target: Option<TargetState>,
    },
    /// The same request was accepted before.
    Repeat(ExecutionId),
    /// The caller follows the holder. The request is kept with it, so that a repetition gets the same.
    Attach(ExecutionId),
    /// A gate is closed.
    Refuse(Hold),
    /// The request was withdrawn, and starts nothing for ever.
    Withdrawn(Withdrawal),
    /// The request id was used for something else.
    Reused {
        /// The first field that differs.
        field: &'static str,
    },
    /// The deadline is not in the future.
    DeadlinePassed,
    /// What else acts on the target is not known, so nothing may be started.
    ClusterUnknown,
}

/// Decides what becomes of a request.
pub fn decide(
    view: StartView<'_>,
    new: &NewExecution,
    around: Circumstances<'_>,
    digests: &dyn DigestValues,
) -> StartDecision {
    // First of all: who withdrew a request relies on it that nothing comes of it any more, whatever it
    // asks for. Also when it had attached before: what it followed was never its own.
    if let Some(withdrawal) = view.withdrawn {
        return StartDecision::Withdrawn(withdrawal.clone());
    }
    // Then: a repetition is answered as before, whatever has changed since.
    if let Some((accepted, execution)) = view.accepted {
        return match new.request.first_difference(accepted, digests) {
            Some(field) => StartDecision::Reused { field },
            None => StartDecision::Repeat(execution),
        };
    }
    if new.request.deadline.is_some_and(|deadline| deadline <= new.now) {
        return StartDecision::DeadlinePassed;
    }
    match admit(view.target, &new.request.workflow_key(), view.waiting, around) {
        Admission::Unknown => StartDecision::ClusterUnknown,
        Admission::Admitted(run) => {
            let state = State::Starting { run: run.clone(), obstacle: None };
            StartDecision::Accept {
                target: Some(held_by(view.target, new.id, &run)),
                change: Box::new(accept(new, state, EventKind::Admitted { run })),
            }
        }
        Admission::Held { first, others } => held(first, &others, new),
    }
}

/// What the caller asked for at these closed gates. One that may not wait at any of them is refused
/// there; the others wait, and stay accepted whichever gate closes before their turn comes.
fn held(first: Hold, others: &[Hold], new: &NewExecution) -> StartDecision {
    let closed = || std::iter::once(&first).chain(others);
    // Who follows the holder starts nothing, whatever else is closed.
    if new.request.when_locked == WhenLocked::Attach
        && let Some(holder) = closed().find_map(Hold::holder)
    {
        return StartDecision::Attach(holder);
    }
    if let Some(hold) = closed().find(|hold| !may_wait(&new.request, hold)) {
        return StartDecision::Refuse(hold.clone());
    }
    let state = State::Waiting { hold: first.clone() };
    let change = Box::new(accept(new, state, EventKind::Held { hold: first }));
    StartDecision::Accept { change, target: None }
}

fn may_wait(request: &StartRequest, hold: &Hold) -> bool {
    match hold.why {
        Closed::Lock { .. } => request.when_locked == WhenLocked::Wait,
        Closed::Cooldown { .. } | Closed::Backoff { .. } => {
            request.when_cooling == WhenCooling::Wait
        }
        Closed::Block { .. } => request.when_blocked == WhenBlocked::Wait,
    }
}

fn accept(new: &NewExecution, state: State, second: EventKind) -> Change {
    let code = state.code();
    let event = |revision, before, after, kind| Event {
        execution: new.id,
        revision,
        at: new.now,
        actor: new.actor.clone(),
        before,
        after,
        kind,
    };
    let first = Revision(1);
    let events = vec![
        event(first, None, StateCode::Waiting, EventKind::Accepted),
        event(first.next(), Some(StateCode::Waiting), code, second),
    ];
    let execution = Execution {
        id: new.id,
        request: new.request.clone(),
        actor: new.actor.clone(),
        created_at: new.now,
        revision: first.next(),
        updated_at: new.now,
        state,
        clearance: None,
    };
    Change { execution, events }
}

#[cfg(test)]
mod tests;
