//! Keeps a copy of an execution current from the events of a Watch.

use crate::v1::{EventType, Execution, ExecutionEvent, State};

/// Brings `execution` from the revision before `event` to the one after it.
///
/// An event that is not the next one is ignored, so that a client may apply what it sees twice.
/// Returns whether the event was applied. That a block was cleared changes no revision.
pub fn apply(execution: &mut Execution, event: &ExecutionEvent) -> bool {
    if event.r#type() == EventType::BlockCleared {
        let news = event.clearance.is_some() && execution.clearance != event.clearance;
        replace(&mut execution.clearance, event.clearance.as_ref());
        return news;
    }
    if event.revision != execution.revision + 1 {
        return false;
    }
    execution.revision = event.revision;
    execution.state = event.state;
    execution.update_time = event.time;
    // These three describe the present state, so an event that does not mention them ends them.
    execution.waiting.clone_from(&event.waiting);
    execution.obstacle =
        if event.r#type() == EventType::Delayed { event.message.clone() } else { String::new() };
    if event.state() != State::Cancelling {
        execution.stop_cause = String::new();
    } else if event.r#type() == EventType::CancelRequested && event.cancellation.is_none() {
        execution.stop_cause.clone_from(&event.message);
    }
    if let Some(run) = &event.run {
        replace(&mut execution.start_time, run.create_time.as_ref());
    }
    replace(&mut execution.end_time, event.end_time.as_ref());
    replace(&mut execution.run, event.run.as_ref());
    replace(&mut execution.progress, event.progress.as_ref());
    replace(&mut execution.failure, event.failure.as_ref());
    replace(&mut execution.cancellation, event.cancellation.as_ref());
    replace(&mut execution.clearance, event.clearance.as_ref());
    true
}

fn replace<T: Clone>(field: &mut Option<T>, new: Option<&T>) {
    if let Some(new) = new {
        *field = Some(new.clone());
    }
}
