//! What to do next for one WorkflowExecution. Pure.
//!
//! Level-based: looks at what is, never at what happened, so a step may be repeated, may be lost with
//! the process, and may be taken by two bridges at once.
//!
//! | the object | what is known of its request | step |
//! |---|---|---|
//! | finished, as its status says | | `Done`: costs nothing, for ever |
//! | new | not asked | `AddFinalizer`, then `Start` |
//! | seen before | not asked | `Ask`; only without a record `Start` |
//! | says that it was started | no record | `Show` that there is none; never started twice |
//! | lives | an execution | `Follow` it, `Show` it, `Rest` |
//! | lives | refused for good | `Show` that |
//! | is being deleted, or is gone | not known to be over | `Withdraw`: nothing runs now or later |
//! | is being deleted | over, or withdrawn | `Show` the end, then `Release` |
//!
//! What people ask for in a status is in [`wishes`].

use std::time::Duration;

use jiff::Timestamp;
use wfe_crds::workflow_execution::WorkflowExecutionStatus;
use wfe_proto::v1::{CancelRequest, ClearBlockRequest, Execution, StartRequest, State, WhenLocked};
use wfe_runtime::cluster::Version;

use crate::{
    metrics::Released,
    object::Object,
    project::{Difference, View, cause, differs, project},
    request::{Holder, Refusal, Trouble},
    seal::Seals,
};

mod signs;
mod wishes;

pub use wishes::{Outcome, Refused, Wish};

use signs::{is_ahead, is_final, is_finished, is_over, may_run, progress_interval, was_started};

/// A run is created within milliseconds; a status that says that it will be is worth a write only
/// when it takes longer.
const START_GRACE: Duration = Duration::from_secs(1);
/// The status of what could not be started yet says why, when that has lasted for so long.
const TROUBLE_GRACE: Duration = Duration::from_secs(2);
/// What was withdrawn while the object lives is left to who withdrew it for so long.
const WITHDRAWN_GRACE: Duration = Duration::from_secs(5);

/// What is known of the request that an object stands for.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// The service was not asked yet.
    NotAsked,
    /// The service had no record of it when the object was this.
    None {
        /// The version of the object that made the bridge ask.
        version: Version,
    },
    /// The service accepted it.
    Execution(Box<Execution>),
    /// It can never be accepted.
    Refused {
        /// Why.
        refusal: Refusal,
        /// Since when that is known.
        at: Timestamp,
    },
    /// Nothing of it runs, and nothing ever will.
    Withdrawn,
}

/// Everything that a decision is made from.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// The object; `None` when it is gone.
    pub object: Option<&'a Object>,
    /// Since when the object is gone, when it is.
    pub gone_since: Option<Timestamp>,
    /// What is known of its request.
    pub record: &'a Record,
    /// Since when the record says what it says.
    pub recorded_at: Timestamp,
    /// The revision up to which the events of the execution were made known.
    pub noted: i64,
    /// Whether the events of the execution come in.
    pub following: bool,
    /// Who holds the target, or has failed there, when it was looked up.
    pub holder: Option<&'a Holder>,
    /// What stands in the way of calls to the service.
    pub server: Option<Setback<'a>>,
    /// Until when the API server is left alone after a failed write.
    pub writes_from: Option<Timestamp>,
    /// When this bridge wrote the status the last time.
    pub shown_at: Option<Timestamp>,
    /// What the seals on requests are checked with.
    pub seals: &'a Seals,
    /// What of that the service has refused.
    pub refused: Option<&'a Refused>,
}

/// Calls to the service fail.
#[derive(Debug, Clone, Copy)]
pub struct Setback<'a> {
    /// How.
    pub trouble: &'a Trouble,
    /// Since when.
    pub since: Timestamp,
    /// Until when it is left alone.
    pub until: Timestamp,
}

/// The settings that count.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// What becomes of an object whose target another one holds.
    pub when_locked: WhenLocked,
    /// How long a deletion may wait; `None` is for ever.
    pub delete_timeout: Option<Duration>,
}

/// What to do next.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Keep the object until it is released.
    AddFinalizer,
    /// Ask the service for the execution of the request.
    Ask,
    /// Ask the service to start it.
    Start(Box<StartRequest>),
    /// Read the events of this execution after the ones that were made known.
    Follow(String),
    /// Find out who stands behind the execution that holds the target, or whose failure blocks it.
    FindHolder(String),
    /// Note that it can never run, which needs no question.
    Refuse(Box<Refusal>),
    /// See to it that nothing of the request runs, now or later.
    Withdraw,
    /// Have the block of the target cleared, for the person who asked.
    Clear(Box<ClearBlockRequest>),
    /// Have the execution ended, for the one who asked.
    Stop(Box<CancelRequest>),
    /// Make known what came of a request in the status, and take it away.
    Settle(Wish, Outcome),
    /// Write the status.
    Show(Box<WorkflowExecutionStatus>),
    /// Let the object go.
    Release(Released),
    /// Wait for news, at most until this time.
    Rest(Option<Timestamp>),
    /// There is nothing more to do.
    Done,
}

/// The next step.
pub fn decide(situation: &Situation<'_>, policy: &Policy, now: Timestamp) -> Step {
    let decision = Decision { s: situation, policy, now };
    match situation.object {
        None => decision.gone(),
        Some(object) if object.deletion.is_some() => decision.deleted(object),
        Some(object) => decision.until_key(object, decision.alive(object)),
    }
}

/// Whether there can be anything to do for an object of which nothing else is known.
pub fn needs_work(object: &Object) -> bool {
    if object.deletion.is_some() {
        return object.is_held();
    }
    !object.status.as_ref().is_ok_and(|status| is_finished(status) && !wishes::asks(status))
}

struct Decision<'a> {
    s: &'a Situation<'a>,
    policy: &'a Policy,
    now: Timestamp,
}

impl Decision<'_> {
    /// Somebody took the finalizer off: what runs is stopped all the same.
    fn gone(&self) -> Step {
        let overdue = self.deadline(self.s.gone_since);
        match self.s.record {
            Record::Execution(execution)
                if may_run(execution) && overdue.is_none_or(|overdue| self.now < overdue) =>
            {
                self.call(Step::Withdraw)
            }
            Record::Execution(_)
            | Record::NotAsked
            | Record::None { .. }
            | Record::Refused { .. }
            | Record::Withdrawn => Step::Done,
        }
    }

    fn deleted(&self, object: &Object) -> Step {
        let held = object.is_held();
        let overdue = self.deadline(object.deletion);
        if overdue.is_some_and(|overdue| self.now >= overdue) {
            // What could not be stopped by now is for a person, also while others still hold the object.
            return if held { self.write(Step::Release(Released::GivenUp)) } else { Step::Done };
        }
        let release =
            || if held { self.write(Step::Release(Released::Settled)) } else { Step::Done };
        match self.s.record {
            Record::Withdrawn => release(),
            // Another bridge may be about to start it, so it is withdrawn before it is let go.
            Record::NotAsked | Record::None { .. } | Record::Refused { .. } => {
                if held {
                    until(overdue, self.call(Step::Withdraw))
                } else {
                    Step::Done
                }
            }
            Record::Execution(execution) if may_run(execution) => {
                until(overdue, self.call(Step::Withdraw))
            }
            Record::Execution(execution) => match self.show_execution(object, execution) {
                Some(step) => until(overdue, step),
                None if is_over(execution) => release(),
                None => Step::Rest(overdue),
            },
        }
    }

    fn alive(&self, object: &Object) -> Step {
        let status = object.status.as_ref();
        let is_finished = status.is_ok_and(is_finished);
        if !is_finished && let Some(step) = self.stop(object) {
            return step;
        }
        match self.s.record {
            Record::NotAsked | Record::Withdrawn | Record::Refused { .. } if is_finished => {
                self.finish(object)
            }
            Record::NotAsked if status.is_ok_and(|status| status.phase.is_none()) => {
                match object.request(self.policy.when_locked) {
                    Err(refusal) => Step::Refuse(Box::new(refusal)),
                    Ok(_) if !object.is_held() => self.write(Step::AddFinalizer),
                    Ok(request) => self.start(object, request),
                }
            }
            Record::NotAsked => self.ask(object),
            Record::None { version } => match status {
                Ok(status) if is_final(status) => self.finish(object),
                // Another bridge may have started it since the service was asked.
                Ok(status) if was_started(status) && object.version > *version => self.ask(object),
                Ok(status) if was_started(status) => self.show_or_finish(object, &View::Unrecorded),
                // Whatever it says, it is not known that nothing was started.
                Err(_) => Step::Done,
                Ok(_) => match object.request(self.policy.when_locked) {
                    Err(refusal) => Step::Refuse(Box::new(refusal)),
                    Ok(_) if !object.is_held() => self.write(Step::AddFinalizer),
                    Ok(request) => self.start(object, request),
                },
            },
            Record::Refused { refusal, at } => {
                self.show_or_finish(object, &View::Refused { refusal, at: *at })
            }
            // Who withdrew it is about to delete it, or to show why it will not run.
            Record::Withdrawn
                if self.now < self.s.recorded_at + WITHDRAWN_GRACE && !self.was_stopped(object) =>
            {
                Step::Rest(Some(self.s.recorded_at + WITHDRAWN_GRACE))
            }
            Record::Withdrawn => {
                let (refusal, at) = (&Refusal::withdrawn(), self.s.recorded_at);
                self.show_or_finish(object, &View::Refused { refusal, at })
            }
            Record::Execution(execution) => {
                if !is_over(execution) && !object.is_held() {
                    return self.write(Step::AddFinalizer);
                }
                match self.show_execution(object, execution) {
                    Some(step) => step,
                    None if is_over(execution) => self.finish(object),
                    None => Step::Rest(None),
                }
            }
        }
    }

    /// It is over, and only requests may be left.
    fn finish(&self, object: &Object) -> Step {
        self.afterwards(object).unwrap_or(Step::Done)
    }

    fn start(&self, object: &Object, request: StartRequest) -> Step {
        self.call_or_say(object, Step::Start(Box::new(request)))
    }

    fn ask(&self, object: &Object) -> Step {
        self.call_or_say(object, Step::Ask)
    }

    /// Calls the service; while that cannot be done, says so in the status of what did not start yet.
    fn call_or_say(&self, object: &Object, step: Step) -> Step {
        let Some(setback) = self.s.server.filter(|setback| self.now < setback.until) else {
            return step;
        };
        let waiting = object.status.as_ref().is_ok_and(|status| !was_started(status));
        let said_at = setback.since + TROUBLE_GRACE;
        if !waiting {
            return Step::Rest(Some(setback.until));
        }
        if self.now < said_at {
            return Step::Rest(Some(setback.until.min(said_at)));
        }
        let said = self.show(object, &View::Unsent(setback.trouble));
        said.unwrap_or(Step::Rest(Some(setback.until)))
    }

    fn call(&self, step: Step) -> Step {
        match self.s.server {
            Some(setback) if self.now < setback.until => Step::Rest(Some(setback.until)),
            _ => step,
        }
    }

    fn write(&self, step: Step) -> Step {
        match self.s.writes_from {
            Some(from) if self.now < from => Step::Rest(Some(from)),
            _ => step,
        }
    }

    fn show_or_finish(&self, object: &Object, view: &View<'_>) -> Step {
        self.show(object, view).unwrap_or_else(|| self.finish(object))
    }

    /// What must be done so that the object shows its execution; `None` when it does.
    fn show_execution(&self, object: &Object, execution: &Execution) -> Option<Step> {
        // What was not made known yet is made known first: after the status says that all is over,
        // nobody looks again.
        let told_all = self.s.noted >= execution.revision;
        let all_is_told = told_all && is_over(execution);
        if !self.s.following && !all_is_told {
            return Some(self.call(Step::Follow(execution.id.clone())));
        }
        if !told_all {
            return Some(Step::Rest(None));
        }
        if is_ahead(object, execution) {
            return Some(Step::Rest(None));
        }
        if execution.state() == State::Waiting
            && let Some(cause) = execution.waiting.as_ref().and_then(cause)
            && self.s.holder.is_none_or(|known| known.execution_id != cause)
        {
            return Some(self.call(Step::FindHolder(cause.to_owned())));
        }
        if execution.state() == State::Starting {
            let worth_it = self.s.recorded_at + START_GRACE;
            if self.now < worth_it {
                return Some(Step::Rest(Some(worth_it)));
            }
        }
        self.show(object, &View::Execution { execution, holder: self.s.holder })
    }

    fn show(&self, object: &Object, view: &View<'_>) -> Option<Step> {
        let current = object.status.as_ref().ok();
        let wanted = project(view, current, object.generation, self.now);
        let earliest = self.s.shown_at.map(|shown| shown + progress_interval(current, shown));
        match (differs(current, &wanted), earliest) {
            (Difference::None, _) => None,
            (Difference::Progress, Some(earliest)) if self.now < earliest => {
                Some(Step::Rest(Some(earliest)))
            }
            (Difference::Progress | Difference::Phase, _) => {
                Some(self.write(Step::Show(Box::new(wanted))))
            }
        }
    }

    fn deadline(&self, since: Option<Timestamp>) -> Option<Timestamp> {
        let timeout = self.policy.delete_timeout?;
        since.map(|since| since + timeout)
    }
}

/// The same step, but no rest beyond `end`.
fn until(end: Option<Timestamp>, step: Step) -> Step {
    match (step, end) {
        (Step::Rest(None), end) => Step::Rest(end),
        (Step::Rest(Some(wake)), Some(end)) => Step::Rest(Some(wake.min(end))),
        (step, _) => step,
    }
}

#[cfg(test)]
mod tests;
