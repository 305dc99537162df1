//! A request to stop: how gently, until when, and how it was made stronger.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::actor::Actor;

/// How a run is made to stop. Ordered by strength: a greater mode leaves less running.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum CancelMode {
    /// Tasks that run may end, no others begin, then the finally tasks run.
    StopAndFinally,
    /// Tasks that run are stopped, then the finally tasks run.
    RunFinally,
    /// Everything is stopped, and nothing runs after it.
    #[default]
    Immediate,
}

impl CancelMode {
    /// Every mode, the weakest first.
    pub const ALL: [Self; 3] = [Self::StopAndFinally, Self::RunFinally, Self::Immediate];

    /// The mode as it is stored and used as a label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StopAndFinally => "stop_and_finally",
            Self::RunFinally => "run_finally",
            Self::Immediate => "immediate",
        }
    }

    /// The mode that `text` stands for.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == text)
    }

    /// Whether something of the run may go on for a time.
    pub const fn gives_time(self) -> bool {
        match self {
            Self::StopAndFinally | Self::RunFinally => true,
            Self::Immediate => false,
        }
    }
}

/// A request to stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cancellation {
    /// Why, as the caller wrote it.
    pub reason: String,
    /// Who asked.
    pub actor: Actor,
    /// When it was accepted.
    pub requested_at: Timestamp,
    /// How the run is stopped, as it is now.
    #[serde(default)]
    pub mode: CancelMode,
    /// Until when what goes on is given time: then everything is stopped. Absent for
    /// [`CancelMode::Immediate`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalate_at: Option<Timestamp>,
    /// How it was made stronger, the first one in front. At most two: each mode is left once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub escalations: Vec<Escalation>,
}

/// How a request to stop was made stronger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Escalation {
    /// When.
    pub at: Timestamp,
    /// The mode until then.
    pub from: CancelMode,
    /// What made it stronger.
    pub cause: EscalationCause,
}

/// What made a request to stop stronger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EscalationCause {
    /// What went on took longer than the time that it was given.
    Patience,
    /// The deadline of the execution passed.
    Deadline,
    /// Somebody asked for a stronger mode.
    Request {
        /// Who.
        actor: Actor,
        /// Why, as the caller wrote it.
        reason: String,
    },
}

impl EscalationCause {
    /// The name, as it is told and used as a label.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Patience => "patience",
            Self::Deadline => "deadline",
            Self::Request { .. } => "request",
        }
    }
}

impl Cancellation {
    /// Why it is as strong as it is now, as a caller wrote it or in a word.
    pub fn reason_now(&self) -> &str {
        match self.escalations.last().map(|last| &last.cause) {
            Some(EscalationCause::Request { reason, .. }) => reason,
            Some(cause @ (EscalationCause::Patience | EscalationCause::Deadline)) => cause.as_str(),
            None => &self.reason,
        }
    }

    /// A request to stop everything now.
    pub const fn immediate(reason: String, actor: Actor, requested_at: Timestamp) -> Self {
        Self {
            reason,
            actor,
            requested_at,
            mode: CancelMode::Immediate,
            escalate_at: None,
            escalations: Vec::new(),
        }
    }

    /// The same, with no more time than until the deadline of the execution.
    #[must_use]
    pub fn not_after(self, deadline: Option<Timestamp>) -> Self {
        let escalate_at = self.escalate_at.map(|at| deadline.map_or(at, |end| end.min(at)));
        Self { escalate_at, ..self }
    }

    /// What it becomes when somebody asks again; `None` when that asks for no more. The time that the
    /// stronger request gives counts: its caller knows of the first one.
    pub fn joined(&self, by: &Self, at: Timestamp) -> Option<Self> {
        let Self { actor, reason, mode, escalate_at, .. } = by;
        let cause = EscalationCause::Request { actor: actor.clone(), reason: reason.clone() };
        (*mode > self.mode).then(|| self.escalated(*mode, *escalate_at, at, cause))
    }

    /// What it becomes when nothing is given time any more; `None` when nothing was.
    pub fn at_once(&self, cause: EscalationCause, at: Timestamp) -> Option<Self> {
        let escalated = || self.escalated(CancelMode::Immediate, None, at, cause);
        self.mode.gives_time().then(escalated)
    }

    fn escalated(
        &self,
        mode: CancelMode,
        escalate_at: Option<Timestamp>,
        at: Timestamp,
        cause: EscalationCause,
    ) -> Self {
        let mut escalations = self.escalations.clone();
        escalations.push(Escalation { at, from: self.mode, cause });
        Self { mode, escalate_at, escalations, ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;

    #[test]
    fn every_mode_is_read_as_it_is_written() {
        for mode in CancelMode::ALL {
            assert_eq!(CancelMode::parse(mode.as_str()), Some(mode));
            assert_eq!(serde_json::json!(mode), mode.as_str());
        }
        assert_eq!(CancelMode::parse("gently"), None);
    }

    #[test]
    fn a_stronger_mode_is_greater() {
        assert!(CancelMode::ALL.is_sorted());
        assert_eq!(CancelMode::ALL.last(), Some(&CancelMode::Immediate));
    }

    #[test]
    fn a_request_of_before_the_modes_is_read_as_immediate() {
        let old = serde_json::json!({
            "reason": "not needed", "actor": mk_cancellation().actor, "requested_at": at(2),
        });
        assert_eq!(serde_json::from_value::<Cancellation>(old).unwrap(), mk_cancellation());
    }

    /// Every mode against every mode.
    #[test]
    fn only_a_stronger_request_changes_an_earlier_one() {
        for first in CancelMode::ALL {
            for second in CancelMode::ALL {
                let (before, by) = (mk_cancel(first), mk_cancel(second));
                let joined = before.joined(&by, at(3));
                if second <= first {
                    assert_eq!(joined, None, "{first:?} {second:?}");
                    continue;
                }
                let joined = joined.unwrap();
                assert_eq!((joined.mode, joined.escalate_at), (second, by.escalate_at));
                assert_eq!((&joined.reason, &joined.actor), (&before.reason, &before.actor));
                let [Escalation { at: when, from, cause: EscalationCause::Request { .. } }] =
                    joined.escalations.as_slice()
                else {
                    panic!("{joined:?}")
                };
                assert_eq!((*when, *from), (at(3), first));
                let text = serde_json::to_string(&joined).unwrap();
                assert_eq!(serde_json::from_str::<Cancellation>(&text).unwrap(), joined);
            }
        }
    }

    #[test]
    fn time_is_given_once_and_not_past_the_deadline() {
        for mode in CancelMode::ALL {
            let cancellation = mk_cancel(mode);
            let at_once = cancellation.at_once(EscalationCause::Patience, at(5));
            assert_eq!(at_once.is_some(), mode.gives_time());
            assert_eq!(cancellation.escalate_at.is_some(), mode.gives_time());
            if let Some(at_once) = at_once {
                assert_eq!((at_once.mode, at_once.escalate_at), (CancelMode::Immediate, None));
                assert_eq!(at_once.at_once(EscalationCause::Deadline, at(6)), None);
                let bounded = cancellation.clone().not_after(Some(at(4)));
                assert_eq!(bounded.escalate_at, Some(at(4)));
            }
            assert_eq!(cancellation.clone().not_after(None), cancellation);
            assert_eq!(cancellation.clone().not_after(Some(at(1_000_000))), cancellation);
        }
    }
}
