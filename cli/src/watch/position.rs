//! What was seen of a watch, and so what comes next. Pure.

use wfe_proto::v1::{WatchResponse, watch_response::Update};

/// How far a watch was seen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// The last revision that was seen or that the caller knows; none before the first message.
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
    /// The position after revision `after`; without it the watch begins with a snapshot.
    pub(super) fn after(after: Option<i64>) -> Position {
        Position { last: after }
    }

    /// What to send as `after` to go on from here.
    pub(super) fn cursor(self) -> Option<i64> {
        self.last
    }

    /// Takes a message in. The position moves only when the message is new and in order.
    pub(super) fn accept(&mut self, message: &WatchResponse) -> Step {
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
    use wfe_proto::v1::{Execution, ExecutionEvent, Heartbeat};

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
            let mut position = Position::after(last);
            assert_eq!(position.accept(&message), step, "{last:?} {message:?}");
            assert_eq!(position.cursor(), cursor, "{last:?} {message:?}");
        }
    }
}
