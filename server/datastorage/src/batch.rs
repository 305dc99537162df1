//! What is sent at once.

use std::collections::BTreeSet;

use crate::{CorrelationId, Event};

/// How much is sent at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Events; the receiver takes 500.
    pub events: usize,
    /// Bytes of the body; the receiver takes 5 MiB, or what its owner set.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { events: 500, bytes: 4 * 1024 * 1024 }
    }
}

/// At least one event, and at most one of each correlation id: were two of them sent and one of them
/// delayed, the receiver's check of its chain would speak of tampering.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    body: String,
    events: usize,
    correlation_ids: BTreeSet<CorrelationId>,
}

/// Whether an event found its place in a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// It is in.
    Taken,
    /// The batch is full; nothing more fits.
    Full,
    /// One of the same correlation id is in already.
    Behind,
}

impl Batch {
    /// A batch of one event, which always fits.
    pub fn of(event: &Event) -> Result<Self, serde_json::Error> {
        let body = format!("[{}]", serde_json::to_string(event)?);
        let correlation_ids = BTreeSet::from([event.facts().correlation_id.clone()]);
        Ok(Self { body, events: 1, correlation_ids })
    }

    /// Puts another event in.
    pub fn push(&mut self, event: &Event, limits: Limits) -> Result<Place, serde_json::Error> {
        let correlation_id = &event.facts().correlation_id;
        if self.correlation_ids.contains(correlation_id) {
            return Ok(Place::Behind);
        }
        let text = serde_json::to_string(event)?;
        if self.events >= limits.events || self.body.len() + 1 + text.len() > limits.bytes {
            return Ok(Place::Full);
        }
        self.body.pop();
        self.body.push(',');
        self.body.push_str(&text);
        self.body.push(']');
        self.events += 1;
        self.correlation_ids.insert(correlation_id.clone());
        Ok(Place::Taken)
    }

    /// How many events.
    pub fn events(&self) -> usize {
        self.events
    }

    /// The body of the request: a JSON array.
    pub fn body(&self) -> &str {
        &self.body
    }
}
