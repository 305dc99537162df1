//! How far everything was heard, and what of it matters here. Pure.

use jiff::Timestamp;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use wfe_proto::v1::{
    Block, Decision, DecisionType, EventType, Execution, GateMode, Target, WatchResponse,
    watch_response::Update,
};

use crate::{object::Key, project::moment};

/// A bridge that begins looks back over so many entries of the log, for what happened while there was
/// none.
const LOOK_BACK: i64 = 10_000;

/// How far the log was heard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Place {
    after: Option<i64>,
}

/// How to go on after a watch was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Soon.
    Again,
    /// The service does not know such a watch.
    TooOld,
}

impl Place {
    /// What to ask for.
    pub(super) fn after(self) -> Option<i64> {
        self.after
    }

    /// Takes a message in. Answers whether to begin once more from a little before.
    pub(super) fn moved(&mut self, message: &WatchResponse) -> bool {
        match (&message.update, self.after) {
            (Some(Update::Synced(_)), None) => {
                self.after = Some((message.cursor - LOOK_BACK).max(0));
                true
            }
            (_, None) => false,
            (_, Some(after)) => {
                self.after = Some(after.max(message.cursor));
                false
            }
        }
    }

    /// The watch was cut, or not begun.
    pub(super) fn lost(&mut self, status: &Status) -> Next {
        if status.code() == Code::OutOfRange {
            // The log was shortened, or is another one.
            let info = status.get_details_error_info();
            let oldest = info.and_then(|info| info.metadata.get("oldest")?.parse().ok());
            self.after = oldest;
        }
        if status.code() == Code::Unimplemented { Next::TooOld } else { Next::Again }
    }
}

/// What of a message matters.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Heard {
    /// The block that an execution caused was cleared.
    Cleared {
        /// The execution.
        execution_id: String,
    },
    /// An execution failed, and may block its target.
    Failed {
        /// The execution.
        execution_id: String,
        /// When.
        at: Option<Timestamp>,
    },
    /// Somebody was refused who has no object of their own.
    Refused(Box<Decision>),
    /// Nothing, or what others see to.
    Nothing,
}

impl Heard {
    pub(super) fn of(message: WatchResponse) -> Self {
        match message.update {
            Some(Update::Event(event)) => match event.r#type() {
                EventType::BlockCleared => Self::Cleared { execution_id: event.execution_id },
                EventType::Failed => {
                    let at = event.time.as_ref().and_then(moment);
                    Self::Failed { execution_id: event.execution_id, at }
                }
                EventType::Unspecified
                | EventType::Accepted
                | EventType::Held
                | EventType::Admitted
                | EventType::Delayed
                | EventType::RunCreated
                | EventType::Progressed
                | EventType::CancelRequested
                | EventType::CancelEscalated
                | EventType::Succeeded
                | EventType::Cancelled => Self::Nothing,
            },
            Some(Update::Decision(decision)) => {
                // An object that asked says itself what became of it.
                let from_object =
                    decision.source.as_ref().is_some_and(|source| !source.name.is_empty());
                if decision.r#type() == DecisionType::Refused && !from_object {
                    Self::Refused(Box::new(decision))
                } else {
                    Self::Nothing
                }
            }
            Some(
                Update::Snapshot(_)
                | Update::Heartbeat(_)
                | Update::Terminal(_)
                | Update::Synced(_),
            )
            | None => Self::Nothing,
        }
    }
}

/// The object that asked for an execution: the id of its request is the UID of the object.
pub(super) fn object_of(execution: &Execution) -> Option<(Key, String)> {
    let source = execution.source.as_ref()?;
    let key = Key { namespace: source.namespace.clone(), name: source.name.clone() };
    let is_its = !key.name.is_empty() && source.uid == execution.request_id;
    is_its.then(|| (key, source.uid.clone()))
}

/// The block of a target, when this execution caused it and it holds anybody.
pub(super) fn block_of<'a>(target: &'a Target, execution_id: &str) -> Option<&'a Block> {
    let block = target.block.as_ref()?;
    let is_its = block.execution_id == execution_id && block.mode() == GateMode::Enforce;
    is_its.then_some(block)
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;
    use wfe_proto::{
        ERROR_DOMAIN,
        v1::{ExecutionEvent, Heartbeat, Source, Synced},
    };

    use super::*;

    fn at(cursor: i64, update: Update) -> WatchResponse {
        WatchResponse { update: Some(update), cursor }
    }

    #[test]
    fn who_begins_looks_back_a_little_and_goes_on_from_each_message() {
        let mut place = Place::default();
        assert!(!place.moved(&at(0, Update::Snapshot(Execution::default()))));
        assert_eq!(place.after(), None, "there is nothing to resume from yet");
        assert!(place.moved(&at(12_000, Update::Synced(Synced {}))));
        assert_eq!(place.after(), Some(2_000));
        assert!(!place.moved(&at(2_001, Update::Event(ExecutionEvent::default()))));
        assert!(!place.moved(&at(2_500, Update::Heartbeat(Heartbeat::default()))));
        assert_eq!(place.after(), Some(2_500));
        let mut new = Place::default();
        assert!(new.moved(&at(7, Update::Synced(Synced {}))));
        assert_eq!(new.after(), Some(0));
    }

    #[test]
    fn what_is_not_in_the_log_any_more_is_passed_over_and_another_log_begun_anew() {
        let mk = |code, key: &str| {
            let metadata = [(key.to_owned(), "40".to_owned())];
            let details = ErrorDetails::with_error_info("CURSOR", ERROR_DOMAIN, metadata);
            Status::with_error_details(code, "no", details)
        };
        let rows = [
            (mk(Code::OutOfRange, "oldest"), Next::Again, Some(40)),
            (mk(Code::OutOfRange, "newest"), Next::Again, None),
            (mk(Code::Unavailable, "cursor"), Next::Again, Some(3)),
            (mk(Code::PermissionDenied, "user"), Next::Again, Some(3)),
            (mk(Code::Unimplemented, "feature"), Next::TooOld, Some(3)),
        ];
        for (status, next, after) in rows {
            let mut place = Place { after: Some(3) };
            assert_eq!((place.lost(&status), place.after()), (next, after), "{status:?}");
        }
    }

    #[test]
    fn clearances_failures_and_refusals_of_direct_callers_matter() {
        let event = |kind: EventType| {
            let event = ExecutionEvent { execution_id: "e".to_owned(), ..Default::default() };
            Update::Event(ExecutionEvent { r#type: kind.into(), ..event })
        };
        let decision = |kind: DecisionType, source| Decision {
            r#type: kind.into(),
            source,
            ..Decision::default()
        };
        let from = Source { name: "a".to_owned(), ..Source::default() };
        let id = || "e".to_owned();
        let direct = decision(DecisionType::Refused, None);
        let nameless = decision(DecisionType::Refused, Some(Source::default()));
        let rows = [
            (event(EventType::BlockCleared), Heard::Cleared { execution_id: id() }),
            (event(EventType::Failed), Heard::Failed { execution_id: id(), at: None }),
            (event(EventType::Succeeded), Heard::Nothing),
            (Update::Decision(direct.clone()), Heard::Refused(Box::new(direct))),
            (Update::Decision(nameless.clone()), Heard::Refused(Box::new(nameless))),
            (Update::Decision(decision(DecisionType::Refused, Some(from))), Heard::Nothing),
            (Update::Decision(decision(DecisionType::Withdrawn, None)), Heard::Nothing),
            (Update::Synced(Synced {}), Heard::Nothing),
        ];
        for (update, expected) in rows {
            assert_eq!(Heard::of(at(1, update.clone())), expected, "{update:?}");
        }
    }

    #[test]
    fn an_execution_is_an_objects_only_under_the_objects_uid() {
        let mk = |name: &str, uid: &str| Execution {
            request_id: "u".to_owned(),
            source: Some(Source {
                namespace: "n".to_owned(),
                name: name.to_owned(),
                uid: uid.to_owned(),
            }),
            ..Execution::default()
        };
        let key = Key { namespace: "n".to_owned(), name: "a".to_owned() };
        assert_eq!(object_of(&mk("a", "u")), Some((key, "u".to_owned())));
        assert_eq!(object_of(&mk("a", "other")), None);
        assert_eq!(object_of(&mk("", "u")), None);
        assert_eq!(object_of(&Execution::default()), None);
    }

    #[test]
    fn only_a_block_that_holds_and_that_it_caused_is_told() {
        let mk = |id: &str, mode: GateMode| Target {
            block: Some(Block {
                execution_id: id.to_owned(),
                mode: mode.into(),
                ..Block::default()
            }),
            ..Target::default()
        };
        assert!(block_of(&mk("e", GateMode::Enforce), "e").is_some());
        assert!(block_of(&mk("other", GateMode::Enforce), "e").is_none());
        assert!(block_of(&mk("e", GateMode::Observe), "e").is_none());
        assert!(block_of(&Target::default(), "e").is_none());
    }
}
