//! How an execution moves.
//!
//! ```text
//! | from       | input            | to                                                        |
//! |------------|------------------|-----------------------------------------------------------|
//! | Waiting    | Admit            | Starting                                                  |
//! | Waiting    | Hold             | Waiting, at another gate                                  |
//! | Waiting    | Cancel           | Cancelled                                                 |
//! | Waiting    | Deadline         | Failed                                                    |
//! | Starting   | Obstruct         | Starting                                                  |
//! | Starting   | Admit            | Starting, under another name: the first one was taken     |
//! | Starting   | Refuse           | Failed                                                    |
//! | Starting   | RunExists        | Running                                                   |
//! | Starting   | Cancel, Deadline | Cancelling                                                |
//! | Running    | Progress         | Running                                                   |
//! | Running    | RunEnded         | Succeeded, Failed, or Cancelling when it was cancelled    |
//! | Running    | RunLost          | Failed                                                    |
//! | Running    | Cancel, Deadline | Cancelling                                                |
//! | Running    | OutOfPatience    | Cancelling, when it is stuck; else unchanged              |
//! | Cancelling | Obstruct         | Cancelling                                                |
//! | Cancelling | RunExists        | Cancelling, now with a run                                |
//! | Cancelling | Progress         | Cancelling                                                |
//! | Cancelling | Cancel           | Cancelling, stopped in the stronger way; else unchanged   |
//! | Cancelling | Deadline         | Cancelling, at once when time was given; else unchanged   |
//! | Cancelling | OutOfPatience    | Cancelling, at once when time was given; else unchanged   |
//! | Cancelling | Quiet            | Cancelled, Succeeded or Failed, whichever really happened |
//! | terminal   | Cancel           | unchanged: a late cancel is no error                      |
//! ```
//!
//! Everything else is an [`IllegalTransition`]. Inputs that change nothing give [`Step::Same`].

use jiff::Timestamp;

use crate::{
    actor::Actor,
    event::{Event, EventKind},
    execution::{
        Cancellation, CreatedRun, Execution, Hold, PlannedRun, RunRef, State, StateCode, Stop,
    },
    failure::Failure,
    observe::RunEnd,
    progress::{MAX_MESSAGE_BYTES, Progress, shorten},
    stuck::StuckOn,
};

mod cancelling;
mod input;
mod quiet;

use cancelling::from_cancelling;
pub use input::Input;

/// The input is not possible in this state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{input} is not possible while {state:?}")]
pub struct IllegalTransition {
    /// The state.
    pub state: StateCode,
    /// The name of the input.
    pub input: &'static str,
}

/// What an input does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Nothing changes.
    Same,
    /// The execution as it is then, and the event that says so.
    Changed(Box<Change>),
}

/// A change of one execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The execution after it.
    pub execution: Execution,
    /// What happened, in order; at least one.
    pub events: Vec<Event>,
}

/// Moves `execution` by `input`.
pub fn next(
    execution: &Execution,
    input: Input,
    actor: &Actor,
    now: Timestamp,
) -> Result<Step, IllegalTransition> {
    let illegal = IllegalTransition { state: execution.state.code(), input: input.name() };
    let input = if let Input::Cancel(cancellation) = input {
        Input::Cancel(cancellation.not_after(execution.request.deadline))
    } else {
        input
    };
    let moved = match &execution.state {
        State::Waiting { hold } => from_waiting(hold, input, now),
        State::Starting { run, obstacle } => from_starting(run, obstacle.as_deref(), input, now),
        State::Running { run } => from_running(run, input, actor, now),
        State::Cancelling { run, stop, obstacle } => {
            from_cancelling(run, stop, obstacle.as_deref(), input, now)
        }
        State::Succeeded { .. } | State::Failed { .. } | State::Cancelled { .. } => {
            matches!(input, Input::Cancel(_)).then_some(Move::Stay)
        }
    };
    match moved {
        None => Err(illegal),
        Some(Move::Stay) => Ok(Step::Same),
        Some(Move::To(to)) => {
            let (state, kind) = *to;
            Ok(Step::Changed(Box::new(change(execution, state, kind, actor.clone(), now))))
        }
    }
}

enum Move {
    Stay,
    To(Box<(State, EventKind)>),
}

impl Move {
    #[expect(clippy::unnecessary_wraps, reason = "what every arm of the table gives")]
    fn to(state: State, kind: EventKind) -> Option<Self> {
        Some(Self::To(Box::new((state, kind))))
    }
}

fn from_waiting(hold: &Hold, input: Input, now: Timestamp) -> Option<Move> {
    match input {
        Input::Hold(other) if other == *hold => Some(Move::Stay),
        Input::Hold(other) => {
            Move::to(State::Waiting { hold: other.clone() }, EventKind::Held { hold: other })
        }
        Input::Admit(run) => Move::to(
            State::Starting { run: run.clone(), obstacle: None },
            EventKind::Admitted { run },
        ),
        Input::Cancel(cancellation) => cancelled(None, cancellation, now),
        Input::Deadline(_) => {
            failed(None, Failure::deadline("it still waited for its target"), None, now)
        }
        Input::Obstruct(_)
        | Input::Refuse(_)
        | Input::RunExists { .. }
        | Input::Progress(_)
        | Input::RunEnded { .. }
        | Input::RunLost
        | Input::OutOfPatience(_)
        | Input::Quiet { .. } => None,
    }
}

fn from_starting(
    run: &PlannedRun,
    obstacle: Option<&str>,
    input: Input,
    now: Timestamp,
) -> Option<Move> {
    match input {
        Input::Obstruct(text) => {
            let text = shorten(&text, MAX_MESSAGE_BYTES);
            if obstacle == Some(text.as_str()) {
                return Some(Move::Stay);
            }
            Move::to(
                State::Starting { run: run.clone(), obstacle: Some(text.clone()) },
                EventKind::Delayed { obstacle: text },
            )
        }
        Input::Admit(other) if other.epoch > run.epoch => Move::to(
            State::Starting { run: other.clone(), obstacle: None },
            EventKind::Admitted { run: other },
        ),
        Input::Refuse(failure) => {
            let ended_at = failure.at;
            let state = State::Failed {
                run: Some(RunRef::Planned(run.clone())),
                failure: failure.clone(),
                late_cancel: None,
                ended_at,
            };
            Move::to(state, EventKind::Failed { failure, progress: None })
        }
        Input::RunExists { uid, created_at } => {
            let run = created(run, uid, created_at, now);
            Move::to(State::Running { run: run.clone() }, EventKind::RunCreated { run })
        }
        Input::Cancel(cancellation) => {
            cancelling(RunRef::Planned(run.clone()), Stop::Requested(cancellation))
        }
        Input::Deadline(at) => {
            let obstacle = obstacle.map(ToOwned::to_owned);
            let stop = Stop::Deadline { at, obstacle, stuck: None };
            cancelling(RunRef::Planned(run.clone()), stop)
        }
        Input::OutOfPatience(_)
        | Input::Admit(_)
        | Input::Hold(_)
        | Input::Progress(_)
        | Input::RunEnded { .. }
        | Input::RunLost
        | Input::Quiet { .. } => None,
    }
}

fn from_running(run: &CreatedRun, input: Input, actor: &Actor, now: Timestamp) -> Option<Move> {
    match input {
        Input::Progress(progress) if progress == run.progress => Some(Move::Stay),
        Input::Progress(progress) => {
            let run = CreatedRun { progress: progress.clone(), ..run.clone() };
            Move::to(State::Running { run }, EventKind::Progressed { progress })
        }
        Input::RunEnded { end, progress } => {
            let stuck = run.progress.stuck.clone();
            let run = CreatedRun { progress, ..run.clone() };
            match end {
                RunEnd::Succeeded { at } => succeeded(run, None, at, now),
                RunEnd::Failed(failure) => {
                    let at = precise(failure.at, run.created_at, now);
                    let failure = failure.after(stuck.as_deref(), at);
                    failed(Some(RunRef::Created(run)), failure, None, at)
                }
                // Somebody stopped the run behind our back. Its children may be alive, so it is
                // over only when they are not.
                RunEnd::Cancelled { .. } => {
                    let reason = "the PipelineRun was cancelled from outside".to_owned();
                    let cancellation = Cancellation::immediate(reason, actor.clone(), now);
                    cancelling(RunRef::Created(run), Stop::Requested(cancellation))
                }
            }
        }
        Input::RunLost => {
            let failure = Failure::lost(run, now);
            failed(Some(RunRef::Created(run.clone())), failure, None, now)
        }
        Input::Cancel(cancellation) => {
            cancelling(RunRef::Created(run.clone()), Stop::Requested(cancellation))
        }
        Input::Deadline(at) => {
            // While nothing but its definition is fetched, only its time is known to be over.
            let stuck = run.progress.stuck.clone().filter(|s| s.wait.on != StuckOn::Resolution);
            let stop = Stop::Deadline { at, obstacle: None, stuck };
            cancelling(RunRef::Created(run.clone()), stop)
        }
        Input::OutOfPatience(at) => match run.progress.stuck.clone() {
            None => Some(Move::Stay),
            stuck @ Some(_) => {
                let stop = Stop::Deadline { at, obstacle: None, stuck };
                cancelling(RunRef::Created(run.clone()), stop)
            }
        },
        Input::Admit(_)
        | Input::Hold(_)
        | Input::Obstruct(_)
        | Input::Refuse(_)
        | Input::RunExists { .. }
        | Input::Quiet { .. } => None,
    }
}

fn created(planned: &PlannedRun, uid: String, created_at: Timestamp, now: Timestamp) -> CreatedRun {
    let created_at = precise(created_at, planned.since, now);
    CreatedRun { planned: planned.clone(), uid, created_at, progress: Progress::default() }
}

/// Kubernetes tells times in whole seconds. What is heard of within that second happened just now;
/// and nothing happened before `earliest`.
fn precise(reported: Timestamp, earliest: Timestamp, now: Timestamp) -> Timestamp {
    let fresh = (0..1_000_000_000).contains(&now.duration_since(reported).as_nanos());
    if fresh { now } else { reported }.max(earliest)
}

fn cancelling(run: RunRef, stop: Stop) -> Option<Move> {
    let kind = match &stop {
        Stop::Requested(cancellation) => {
            EventKind::CancelRequested { cancellation: cancellation.clone() }
        }
        Stop::Deadline { at, stuck, .. } => {
            EventKind::DeadlinePassed { deadline: *at, stuck: stuck.clone() }
        }
    };
    Move::to(State::Cancelling { run, stop, obstacle: None }, kind)
}

fn succeeded(
    run: CreatedRun,
    late_cancel: Option<Cancellation>,
    reported: Timestamp,
    now: Timestamp,
) -> Option<Move> {
    let ended_at = precise(reported, run.created_at, now);
    let progress = run.progress.clone();
    Move::to(
        State::Succeeded { run, late_cancel, ended_at },
        EventKind::Succeeded { progress, ended_at },
    )
}

fn failed(
    run: Option<RunRef>,
    failure: Failure,
    late_cancel: Option<Cancellation>,
    ended_at: Timestamp,
) -> Option<Move> {
    let failure = Failure { at: ended_at, ..failure };
    let progress = run.as_ref().and_then(RunRef::created).map(|run| run.progress.clone());
    let kind = EventKind::Failed { failure: failure.clone(), progress };
    Move::to(State::Failed { run, failure, late_cancel, ended_at }, kind)
}

fn cancelled(run: Option<RunRef>, cancellation: Cancellation, ended_at: Timestamp) -> Option<Move> {
    let progress = run.as_ref().and_then(RunRef::created).map(|run| run.progress.clone());
    let kind = EventKind::Cancelled { cancellation: cancellation.clone(), progress };
    Move::to(State::Cancelled { run, cancellation, ended_at }, kind)
}

fn change(
    before: &Execution,
    state: State,
    kind: EventKind,
    actor: Actor,
    now: Timestamp,
) -> Change {
    let event = Event {
        execution: before.id,
        revision: before.revision.next(),
        at: now,
        actor,
        before: Some(before.state.code()),
        after: state.code(),
        kind,
    };
    let execution =
        Execution { revision: event.revision, updated_at: now, state, ..before.clone() };
    Change { execution, events: vec![event] }
}

#[cfg(test)]
mod tests;
