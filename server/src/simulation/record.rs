//! What must be on record: everything that was committed, once, in the order of the commits.

use wfe_core::{
    audit::{Entry, Hash, Head, Record, Stream, What},
    event::Event,
    ids::RequestId,
    target::TargetKey,
    transition::Change,
};

/// What was committed, in order.
#[derive(Debug, Default)]
pub(super) struct OnRecord(Vec<Line>);

/// As much of a record as tells it from all others that could stand in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Line {
    Event(Box<Event>),
    Other(Stream, &'static str),
}

impl OnRecord {
    pub(super) fn changes(&mut self, changes: &[Change]) {
        let events = changes.iter().flat_map(|change| &change.events).cloned();
        self.0.extend(events.map(Box::new).map(Line::Event));
    }

    pub(super) fn attached(&mut self, id: &RequestId) {
        self.0.push(Line::Other(Stream::request(id), "attached"));
    }

    pub(super) fn withdrawn(&mut self, id: &RequestId) {
        self.0.push(Line::Other(Stream::request(id), "withdrawn"));
    }

    /// Somebody tried to clear a block; what that let in is told apart.
    pub(super) fn attempt(&mut self, key: &TargetKey) {
        self.0.push(Line::Other(Stream::target(key), "clear_block"));
    }

    pub(super) fn records(&mut self, records: &[Record]) {
        let lines = records.iter().map(|r| Line::Other(r.stream.clone(), r.what.as_str()));
        self.0.extend(lines);
    }

    /// What is wrong with a log that should hold this. I4.
    pub(super) fn compare(&self, log: Hash, entries: &[Entry]) -> Option<String> {
        let mut head = Head::empty(log);
        for entry in entries {
            let read = match entry.read() {
                Ok(read) => read,
                Err(error) => return Some(format!("I4: {error}: {}", entry.text)),
            };
            let chained = head.hash.follow(entry.text.as_bytes());
            if (entry.sequence, entry.hash) != (head.sequence.next(), chained) {
                return Some(format!("I4: the chain breaks at {}", entry.text));
            }
            head = entry.head();
            let line = match read.what {
                What::Transition { before, after, event, .. } => {
                    let Some(execution) = read.about.execution else {
                        return Some(format!("I4: of no execution: {}", entry.text));
                    };
                    let revision = wfe_core::ids::Revision(read.revision);
                    let (at, actor) = (read.at, read.actor);
                    let kind = event;
                    Line::Event(Box::new(Event {
                        execution,
                        revision,
                        at,
                        actor,
                        before,
                        after,
                        kind,
                    }))
                }
                other @ (What::Attached { .. }
                | What::Withdrawn { .. }
                | What::CancelIgnored { .. }
                | What::Refused { .. }
                | What::Denied { .. }
                | What::ClearBlock { .. }
                | What::KeyRotated { .. }
                | What::Pruned { .. }) => Line::Other(read.stream, other.as_str()),
            };
            let place = usize::try_from(entry.sequence.0).unwrap_or(usize::MAX) - 1;
            if self.0.get(place) != Some(&line) {
                let expected = self.0.get(place);
                return Some(format!("I4: on record is {line:?}, committed was {expected:?}"));
            }
        }
        (entries.len() != self.0.len()).then(|| {
            format!("I4: {} were committed, {} are on record", self.0.len(), entries.len())
        })
    }
}
