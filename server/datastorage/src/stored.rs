//! What the receiver has, and whether it is what was sent.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use crate::{Event, Microsecond};

/// Whether an event is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// It is.
    Stored {
        /// The id that the receiver gave it.
        event_id: Uuid,
    },
    /// It is not; it may be later.
    Missing,
}

/// An event as it is read back, as far as it is compared.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct StoredEvent {
    /// The id that the receiver gave it.
    pub event_id: Uuid,
    /// When it happened.
    pub event_timestamp: Microsecond,
    /// Its type.
    pub event_type: String,
    /// Its correlation id.
    pub correlation_id: String,
    /// Its action.
    pub event_action: String,
    /// Its outcome.
    pub event_outcome: String,
    /// What it is about.
    pub resource_id: String,
    /// What it says.
    pub event_data: Value,
}

impl StoredEvent {
    /// Whether this is `event`. There is no key that a sender could choose, so everything that is kept as
    /// it was sent is compared; the actor is not, for the receiver may put the sender in its place.
    pub fn is(&self, event: &Event) -> bool {
        let (facts, kind) = (event.facts(), event.event_type());
        self.event_timestamp == facts.event_timestamp
            && self.event_type == kind.as_str()
            && self.correlation_id == facts.correlation_id.as_str()
            && self.event_action == kind.action()
            && self.event_outcome == kind.outcome()
            && self.resource_id == facts.resource_id.as_str()
            && serde_json::to_value(&facts.event_data)
                .is_ok_and(|sent| contains(&self.event_data, &sent))
    }
}

/// Whether all that was sent is there. Times are compared as times, however they are written.
fn contains(stored: &Value, sent: &Value) -> bool {
    match (stored, sent) {
        (Value::Object(stored), Value::Object(sent)) => sent
            .iter()
            .all(|(name, value)| stored.get(name).is_some_and(|stored| contains(stored, value))),
        (Value::String(stored), Value::String(sent)) => {
            let times = (stored.parse::<Timestamp>(), sent.parse::<Timestamp>());
            stored == sent || matches!(times, (Ok(stored), Ok(sent)) if stored == sent)
        }
        (stored, sent) => stored == sent,
    }
}

/// A page of events.
#[derive(Debug, Deserialize)]
pub(crate) struct Page {
    pub(crate) data: Vec<StoredEvent>,
    pub(crate) pagination: Pagination,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Pagination {
    pub(crate) has_more: bool,
}
