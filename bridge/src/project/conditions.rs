//! The conditions, from an outline of what is known.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use wfe_crds::{
    names::condition::{
        BLOCKED, EXECUTION_COMPLETE, EXECUTION_CREATED, EXECUTION_RUNNING, READY, RECONCILING,
        STALLED, SUCCEEDED, reason,
    },
    workflow_execution::ConditionStatus::{self, False, True, Unknown},
};

use super::{
    Frame,
    times::{Times, whole},
    words::Word,
};
use crate::text::fit;

/// At most this many characters of a message: conditions are read at a glance, and several carry the
/// same one.
pub(super) const MAX_MESSAGE_CHARS: usize = 1_024;

/// What the conditions are made from.
pub(super) struct Outline {
    /// Where it stands, in a word and a sentence.
    pub(super) word: Word,
    /// How it ended, if it has.
    pub(super) end: End,
    /// Its run.
    pub(super) run: Run,
    /// Whether a gate of the target is closed.
    pub(super) gate: Gate,
    /// When all this came to be.
    pub(super) times: Times,
}

/// How an execution ended, if it has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It has not.
    NotYet,
    /// It succeeded.
    Success,
    /// It failed or was stopped.
    Failure {
        /// How, in the words of the condition for that.
        complete: &'static str,
        /// Why there is no run, if there is none.
        no_run: &'static str,
    },
}

impl End {
    /// Whether it succeeded.
    pub(super) fn verdict(self) -> ConditionStatus {
        match self {
            Self::NotYet => Unknown,
            Self::Success => True,
            Self::Failure { .. } => False,
        }
    }
}

/// A run, as people call it, and what is known of it.
pub(super) enum Run {
    /// There is none.
    None,
    /// It exists, and something of it may be alive.
    Alive(String),
    /// It is over.
    Over(String),
    /// It existed. Nobody knows what became of it.
    Lost(String),
    /// Nobody knows whether it ever existed.
    Unknown,
}

/// Whether a gate of the target is closed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Gate {
    /// None is.
    Open,
    /// One is, and opens by itself.
    Closed,
    /// One is, and a person must open it.
    ClosedForGood,
}

/// The conditions of a WorkflowExecution.
pub(super) fn conditions(outline: &Outline, frame: &Frame<'_>) -> Vec<Condition> {
    let mut list = List { frame, conditions: Vec::new() };
    list.summary(outline);
    list.run(outline);
    list.complete(outline);
    list.hindrance(outline);
    list.conditions
}

struct List<'a> {
    frame: &'a Frame<'a>,
    conditions: Vec<Condition>,
}

impl List<'_> {
    fn summary(&mut self, outline: &Outline) {
        let Outline { word, end, times, .. } = outline;
        let text = &word.message;
        let (ready, succeeded) = match end {
            End::NotYet => {
                ((False, &*word.reason, times.accepted), (&*word.reason, times.accepted))
            }
            End::Success => {
                ((True, reason::READY, times.ended), (reason::EXECUTION_SUCCEEDED, times.ended))
            }
            End::Failure { .. } => {
                ((False, &*word.reason, times.accepted), (&*word.reason, times.ended))
            }
        };
        self.say(READY, ready.0, ready.1, text, ready.2);
        self.say(SUCCEEDED, end.verdict(), succeeded.0, text, succeeded.1);
    }

    fn run(&mut self, outline: &Outline) {
        let Outline { word, end, run, times, .. } = outline;
        let started = times.started.unwrap_or(times.accepted);
        let (created, running) = (EXECUTION_CREATED, EXECUTION_RUNNING);
        if let Run::Alive(name) | Run::Over(name) | Run::Lost(name) = run {
            let text = format!("{name} was created.");
            self.say(created, True, reason::EXECUTION_CREATED, &text, started);
        }
        match (run, end) {
            (Run::Alive(name), _) => {
                let text = format!("{name} runs.");
                self.say(running, True, reason::EXECUTION_STARTED, &text, started);
            }
            (Run::Over(name), _) => {
                let text = format!("{name} has ended.");
                self.say(running, False, complete_reason(*end, word), &text, times.ended);
            }
            (Run::Lost(name), _) => {
                let text = format!("It is not known whether something of {name} is alive.");
                self.say(running, Unknown, &word.reason, &text, times.ended);
            }
            (Run::Unknown, _) => {
                let text = "It is not known whether a PipelineRun was created.";
                self.say(created, Unknown, &word.reason, text, times.accepted);
                self.say(running, Unknown, &word.reason, text, times.ended);
            }
            (Run::None, End::Failure { no_run, .. }) => {
                self.say(created, False, no_run, &word.message, times.ended);
                let text = "No PipelineRun was ever created.";
                let why = reason::EXECUTION_FAILED_TO_START;
                self.say(running, False, why, text, times.accepted);
            }
            (Run::None, End::NotYet | End::Success) => {
                let text = "No PipelineRun exists yet.";
                self.say(created, Unknown, &word.reason, text, times.accepted);
                self.say(running, False, &word.reason, text, times.accepted);
            }
        }
    }

    fn complete(&mut self, outline: &Outline) {
        let Outline { word, end, times, .. } = outline;
        let (text, since) = match end {
            End::NotYet => ("It has not ended yet.", times.accepted),
            End::Success | End::Failure { .. } => (word.message.as_str(), times.ended),
        };
        let why = complete_reason(*end, word);
        self.say(EXECUTION_COMPLETE, end.verdict(), why, text, since);
    }

    /// What is in the way. At most one of Reconciling and Stalled: kstatus takes the first that it sees.
    fn hindrance(&mut self, outline: &Outline) {
        let Outline { word: Word { reason, message }, end, gate, times, .. } = outline;
        if *gate != Gate::Open {
            self.say(BLOCKED, True, reason, message, times.accepted);
        }
        match (end, gate) {
            (End::Success, _) => {}
            (End::Failure { .. }, _) => self.say(STALLED, True, reason, message, times.ended),
            (End::NotYet, Gate::ClosedForGood) => {
                self.say(STALLED, True, reason, message, times.updated);
            }
            (End::NotYet, Gate::Open | Gate::Closed) => {
                self.say(RECONCILING, True, reason, message, times.accepted);
            }
        }
    }

    /// Adds a condition. `since` counts when its status is another one than before.
    fn say(
        &mut self,
        type_: &str,
        status: ConditionStatus,
        reason: &str,
        message: &str,
        since: Timestamp,
    ) {
        let status = String::from(status);
        let before = self.frame.previous.map_or(&[][..], |status| &status.conditions);
        let before = before.iter().find(|before| before.type_ == type_ && before.status == status);
        let since = before.map_or(since, |before| before.last_transition_time.0);
        self.conditions.push(Condition {
            type_: type_.to_owned(),
            status,
            reason: reason.to_owned(),
            message: fit(message, MAX_MESSAGE_CHARS),
            observed_generation: Some(self.frame.generation),
            last_transition_time: whole(since),
        });
    }
}

fn complete_reason(end: End, word: &Word) -> &str {
    match end {
        End::NotYet => &word.reason,
        End::Success => reason::EXECUTION_SUCCEEDED,
        End::Failure { complete, .. } => complete,
    }
}
