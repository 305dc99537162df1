//! How an execution moves that must stop: what is told of it meanwhile, and what makes the stop stronger.

use jiff::Timestamp;

use super::{Input, Move, created, quiet::quiet};
use crate::{
    event::EventKind,
    execution::{Cancellation, CreatedRun, EscalationCause, RunRef, State, Stop},
    progress::{MAX_MESSAGE_BYTES, shorten},
};

pub(super) fn from_cancelling(
    run: &RunRef,
    stop: &Stop,
    obstacle: Option<&str>,
    input: Input,
    now: Timestamp,
) -> Option<Move> {
    let stay = |run: RunRef, obstacle: Option<String>, kind: EventKind| {
        Move::to(State::Cancelling { run, stop: stop.clone(), obstacle }, kind)
    };
    match (input, run) {
        (Input::Cancel(by), _) => escalated(run, stop, |first| first.joined(&by, now)),
        (Input::Deadline(_), _) => {
            escalated(run, stop, |first| first.at_once(EscalationCause::Deadline, now))
        }
        (Input::OutOfPatience(_), _) => {
            escalated(run, stop, |first| first.at_once(EscalationCause::Patience, now))
        }
        (Input::Obstruct(text), _) => {
            let text = shorten(&text, MAX_MESSAGE_BYTES);
            if obstacle == Some(text.as_str()) {
                return Some(Move::Stay);
            }
            stay(run.clone(), Some(text.clone()), EventKind::Delayed { obstacle: text })
        }
        (Input::RunExists { uid, created_at }, RunRef::Planned(planned)) => {
            let run = created(planned, uid, created_at, now);
            stay(RunRef::Created(run.clone()), None, EventKind::RunCreated { run })
        }
        (Input::Progress(progress), RunRef::Created(run)) => {
            if progress == run.progress {
                return Some(Move::Stay);
            }
            let run = CreatedRun { progress: progress.clone(), ..run.clone() };
            let obstacle = progress.goes_on();
            stay(RunRef::Created(run), obstacle, EventKind::Progressed { progress })
        }
        (Input::Quiet { end, progress }, _) => quiet(run, stop, end, progress, now),
        (Input::RunExists { .. }, RunRef::Created(_))
        | (Input::Progress(_), RunRef::Planned(_))
        | (
            Input::Admit(_)
            | Input::Hold(_)
            | Input::Refuse(_)
            | Input::RunEnded { .. }
            | Input::RunLost,
            _,
        ) => None,
    }
}

/// Stops it in a stronger way, when `stronger` makes one of what somebody asked for.
fn escalated(
    run: &RunRef,
    stop: &Stop,
    stronger: impl FnOnce(&Cancellation) -> Option<Cancellation>,
) -> Option<Move> {
    let first = match stop {
        Stop::Requested(first) => first,
        Stop::Deadline { .. } => return Some(Move::Stay),
    };
    let Some(cancellation) = stronger(first) else { return Some(Move::Stay) };
    let stop = Stop::Requested(cancellation.clone());
    Move::to(
        State::Cancelling { run: run.clone(), stop, obstacle: None },
        EventKind::CancelEscalated { cancellation },
    )
}
