//! What was seen of a watch, and so what comes next. Pure.

use std::fmt;

use wfe_proto::v1::{WatchResponse, watch_response::Update};

/// What the cursors of a watch count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Revisions of one execution.
    Revisions,
    /// Entries of the log, of which only some are told.
    Log,
}

/// Where a watch goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// After a revision.
    Revision(i64),
    /// After an entry of the log.
    Entry(i64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Revision(revision) => write!(f, "revision {revision}"),
            Self::Entry(entry) => write!(f, "entry {entry}"),
        }
    }
}

/// How far a watch was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Position {
    order: Order,
    /// The last revision or entry that was seen or that the caller knows; none before the first message,
    /// and of the log until the snapshots are complete.
    last: Option<i64>,
}

/// What a message means at a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Not seen before, and the next in order.
    New,
    /// Not seen before, and the last.
    End,
    /// Seen before, or nothing but a sign of life.
    Nothing,
    /// Revisions are missing before it.
    Gap,
}

impl Position {
    /// The position after `after`; without it the watch begins with snapshots.
    pub(super) fn after(order: Order, after: Option<i64>) -> Position {
        Position { order, last: after }
    }

    /// The same for people.
    pub(super) fn place(self) -> Option<Place> {
        match self.order {
            Order::Revisions => self.last.map(Place::Revision),
            Order::Log => self.last.map(Place::Entry),
        }
    }

    /// What to send as `after` to go on from here.
    pub(super) fn cursor(self) -> Option<i64> {
        self.last
    }

    /// Takes a message in. The position moves only when the message is new and in order.
    pub(super) fn accept(&mut self, message: &WatchResponse) -> Step {
        match self.order {
            Order::Revisions => self.accept_revision(message),
            Order::Log => self.accept_entry(message),
        }
    }

    /// The log tells only what concerns the reader: what is left out cannot be told from what is lost.
    fn accept_entry(&mut self, message: &WatchResponse) -> Step {
        let cursor = message.cursor;
        match (&message.update, self.last) {
            (Some(Update::Snapshot(_)), None) => Step::New,
            (Some(Update::Synced(_)), _) => self.move_to(cursor, Step::New),
            (Some(Update::Event(_) | Update::Decision(_)), last)
                if last.is_none_or(|last| cursor > last) =>
            {
                self.move_to(cursor, Step::New)
            }
            (Some(Update::Heartbeat(_)), Some(last)) => {
                self.move_to(cursor.max(last), Step::Nothing)
            }
            (
                Some(
                    Update::Snapshot(_)
                    | Update::Event(_)
                    | Update::Decision(_)
                    | Update::Heartbeat(_)
                    | Update::Terminal(_),
                )
                | None,
                _,
            ) => Step::Nothing,
        }
    }

    fn accept_revision(&mut self, message: &WatchResponse) -> Step {
        match &message.update {
            Some(Update::Snapshot(execution)) => match self.last {
                Some(last) if execution.revision <= last => Step::Nothing,
                Some(_) | None => self.move_to(execution.revision, Step::New),
            },
            Some(Update::Event(event)) => match self.last {
                Some(last) if event.revision <= last => Step::Nothing,
                Some(last) if event.revision > last + 1 => Step::Gap,
                Some(_) | None => self.move_to(event.revision, Step::New),
            },
            Some(Update::Terminal(execution)) => match self.last {
                Some(last) if execution.revision > last => Step::Gap,
                Some(last) => self.move_to(last, Step::End),
                None => self.move_to(execution.revision, Step::End),
            },
            Some(Update::Heartbeat(_) | Update::Synced(_) | Update::Decision(_)) | None => {
                Step::Nothing
            }
        }
    }

    fn move_to(&mut self, revision: i64, step: Step) -> Step {
        self.last = Some(revision);
        step
    }
}

#[cfg(test)]
mod tests {
    use wfe_proto::v1::{Decision, Execution, ExecutionEvent, Heartbeat, Synced};

    use super::*;

    fn message(update: Update) -> WatchResponse {
        WatchResponse { update: Some(update), cursor: 0 }
    }

    fn event(revision: i64) -> WatchResponse {
        message(Update::Event(ExecutionEvent { revision, ..ExecutionEvent::default() }))
    }

    fn at(revision: i64) -> Execution {
        Execution { revision, ..Execution::default() }
    }

    #[test]
    fn only_the_next_revision_is_new() {
        let table = vec![
            (None, event(4), Step::New, Some(4)),
            (Some(3), event(3), Step::Nothing, Some(3)),
            (Some(3), event(4), Step::New, Some(4)),
            (Some(3), event(5), Step::Gap, Some(3)),
            (Some(0), event(1), Step::New, Some(1)),
            (None, message(Update::Snapshot(at(7))), Step::New, Some(7)),
            (Some(7), message(Update::Snapshot(at(7))), Step::Nothing, Some(7)),
            (Some(6), message(Update::Snapshot(at(9))), Step::New, Some(9)),
            (None, message(Update::Terminal(at(9))), Step::End, Some(9)),
            (Some(9), message(Update::Terminal(at(9))), Step::End, Some(9)),
            (Some(8), message(Update::Terminal(at(9))), Step::Gap, Some(8)),
            (Some(8), message(Update::Heartbeat(Heartbeat::default())), Step::Nothing, Some(8)),
            (Some(8), WatchResponse::default(), Step::Nothing, Some(8)),
        ];
        for (last, message, step, cursor) in table {
            let mut position = Position::after(Order::Revisions, last);
            assert_eq!(position.accept(&message), step, "{last:?} {message:?}");
            assert_eq!(position.cursor(), cursor, "{last:?} {message:?}");
        }
    }

    #[test]
    fn the_log_goes_on_from_where_the_snapshots_are_complete() {
        let at = |cursor, update| WatchResponse { update: Some(update), cursor };
        let event = |cursor| at(cursor, Update::Event(ExecutionEvent::default()));
        let snapshot = || at(0, Update::Snapshot(Execution::default()));
        let heartbeat = |cursor| at(cursor, Update::Heartbeat(Heartbeat::default()));
        let table = vec![
            (None, snapshot(), Step::New, None),
            (None, at(7, Update::Synced(Synced {})), Step::New, Some(7)),
            (None, heartbeat(9), Step::Nothing, None),
            (Some(7), event(9), Step::New, Some(9)),
            (Some(7), event(7), Step::Nothing, Some(7)),
            (Some(7), at(8, Update::Decision(Decision::default())), Step::New, Some(8)),
            (Some(7), heartbeat(20), Step::Nothing, Some(20)),
            (Some(7), heartbeat(3), Step::Nothing, Some(7)),
            (Some(7), snapshot(), Step::Nothing, Some(7)),
        ];
        for (last, message, step, cursor) in table {
            let mut position = Position::after(Order::Log, last);
            assert_eq!(position.accept(&message), step, "{last:?} {message:?}");
            assert_eq!(position.cursor(), cursor, "{last:?} {message:?}");
        }
    }
}
