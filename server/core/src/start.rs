//! The decision of a Start.

use jiff::Timestamp;

use crate::{
    actor::Actor,
    event::{Event, EventKind},
    execution::{Execution, Hold, State, StateCode},
    ids::{ExecutionId, Revision},
    lock::{Admission, ForeignRuns, TargetState, admit, held_by},
    request::{StartRequest, WhenLocked},
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
}

/// Decides what becomes of a request.
pub fn decide(view: StartView<'_>, new: &NewExecution, foreign: &ForeignRuns) -> StartDecision {
    // First of all: who withdrew a request relies on it that nothing comes of it any more, whatever it
    // asks for. Also when it had attached before: what it followed was never its own.
    if let Some(withdrawal) = view.withdrawn {
        return StartDecision::Withdrawn(withdrawal.clone());
    }
    // Then: a repetition is answered as before, whatever has changed since.
    if let Some((accepted, execution)) = view.accepted {
        return match new.request.first_difference(accepted) {
            Some(field) => StartDecision::Reused { field },
            None => StartDecision::Repeat(execution),
        };
    }
    if new.request.deadline.is_some_and(|deadline| deadline <= new.now) {
        return StartDecision::DeadlinePassed;
    }
    match (admit(view.target, view.waiting, foreign, new.now), new.request.when_locked) {
        (Admission::Admitted(run), _) => {
            let state = State::Starting { run: run.clone(), obstacle: None };
            StartDecision::Accept {
                target: Some(held_by(view.target, new.id, &run)),
                change: Box::new(accept(new, state, EventKind::Admitted { run })),
            }
        }
        (Admission::Held(hold), WhenLocked::Wait) => StartDecision::Accept {
            change: Box::new(accept(
                new,
                State::Waiting { hold: hold.clone() },
                EventKind::Held { hold },
            )),
            target: None,
        },
        (Admission::Held(Hold { holder: Some(holder), .. }), WhenLocked::Attach) => {
            StartDecision::Attach(holder)
        }
        (Admission::Held(hold), WhenLocked::Reject | WhenLocked::Attach) => {
            StartDecision::Refuse(hold)
        }
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
    };
    Change { execution, events }
}

#[cfg(test)]
mod tests;
