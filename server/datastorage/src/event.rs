//! An event that the receiver stores as it is sent.

use std::{net::IpAddr, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};

use crate::{
    CorrelationId, DurationMs, EventData, EventType, Microsecond, RetentionDays, Text,
    size::{MAX_EVENT_DATA_BYTES, rewritten},
};

/// The version of events.
const VERSION: &str = "1.0";
/// The category of every event here.
const CATEGORY: &str = "workflowexecution";

/// An event older than 7 days is refused. Clocks differ, and a request takes its time: hence 5 minutes
/// less, here as below.
const OLDEST: Duration = Duration::from_mins(7 * 24 * 60 - 5);
/// One that is more than 60 minutes ahead is refused.
const NEWEST: Duration = Duration::from_mins(55);

/// An event whose parts all fit. Only its age can still keep it from being taken, see [`Event::window`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Facts")]
pub struct Event(Facts);

/// What an event is made of.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Facts {
    /// When it happened. Strictly rising within a correlation id, or the receiver's check of its chain
    /// speaks of tampering.
    pub event_timestamp: Microsecond,
    /// Ties the events of one incident together.
    pub correlation_id: CorrelationId,
    /// Who caused it.
    #[serde(flatten)]
    pub actor: Actor,
    /// What kind of thing it is about.
    pub resource_type: Text<1, 100>,
    /// Its name.
    pub resource_id: Text<1, 255>,
    /// Its namespace.
    #[serde(default)]
    pub namespace: Option<Text<1, 253>>,
    /// Its cluster.
    #[serde(default)]
    pub cluster_id: Option<Text<1, 255>>,
    /// How long it took.
    #[serde(default)]
    pub duration_ms: Option<DurationMs>,
    /// How long it is kept; the receiver's own 2555 days when nothing is said.
    #[serde(default)]
    pub retention_days: Option<RetentionDays>,
    /// What it says.
    pub event_data: EventData,
}

/// Who caused an event. The receiver keeps this when the sender's token is that of a service account, and
/// puts the name of the sender in its place otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// Person or program.
    #[serde(rename = "actor_type")]
    pub kind: ActorKind,
    /// The name.
    #[serde(rename = "actor_id")]
    pub id: Text<1, 255>,
    /// Where the call came from.
    #[serde(rename = "actor_ip", default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<IpAddr>,
}

/// Person or program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ActorKind {
    /// A program.
    Service,
    /// Somebody whom an authenticator knows.
    User,
}

/// `event_data` is larger than the receiver takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("event_data has {bytes} bytes, of which at most 262144 are taken")]
pub struct TooLarge {
    /// Bytes, as the receiver counts them.
    pub bytes: usize,
}

/// Whether the receiver takes an event of this age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// It does.
    Open,
    /// It is too old, for ever.
    TooOld,
    /// It is too far ahead of the clock, until then.
    Ahead(Timestamp),
}

impl TryFrom<Facts> for Event {
    type Error = TooLarge;

    fn try_from(facts: Facts) -> Result<Self, TooLarge> {
        let bytes = serde_json::to_string(&facts.event_data).map_or(usize::MAX, |t| rewritten(&t));
        if bytes > MAX_EVENT_DATA_BYTES {
            return Err(TooLarge { bytes });
        }
        Ok(Self(facts))
    }
}

impl Event {
    /// What it is made of.
    pub fn facts(&self) -> &Facts {
        &self.0
    }

    /// The type.
    pub fn event_type(&self) -> EventType {
        self.0.event_data.event_type()
    }

    /// The same at another time.
    #[must_use]
    pub fn at(mut self, time: Microsecond) -> Self {
        self.0.event_timestamp = time;
        self
    }

    /// Whether the receiver takes it at `now`. Some minutes of its limits are left out, because clocks
    /// differ.
    pub fn window(&self, now: Timestamp) -> Window {
        let time = self.0.event_timestamp.time();
        let oldest = now.saturating_sub(OLDEST).unwrap_or(Timestamp::MIN);
        let newest = now.saturating_add(NEWEST).unwrap_or(Timestamp::MAX);
        if time < oldest {
            Window::TooOld
        } else if time > newest {
            let taken = time.saturating_sub(NEWEST);
            Window::Ahead(taken.unwrap_or(time))
        } else {
            Window::Open
        }
    }
}

/// An event as it is sent.
#[derive(Serialize)]
struct Wire<'a> {
    version: &'static str,
    event_type: &'static str,
    event_timestamp: Microsecond,
    event_category: &'static str,
    event_action: &'static str,
    event_outcome: &'static str,
    correlation_id: &'a CorrelationId,
    #[serde(flatten)]
    actor: &'a Actor,
    resource_type: &'a Text<1, 100>,
    resource_id: &'a Text<1, 255>,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'a Text<1, 253>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster_id: Option<&'a Text<1, 255>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration_ms: Option<DurationMs>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retention_days: Option<RetentionDays>,
    event_data: &'a EventData,
}

impl Serialize for Event {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let kind = self.event_type();
        // Taken apart in full, so that a new part cannot be forgotten.
        let Facts {
            event_timestamp,
            correlation_id,
            actor,
            resource_type,
            resource_id,
            namespace,
            cluster_id,
            duration_ms,
            retention_days,
            event_data,
        } = &self.0;
        let wire = Wire {
            version: VERSION,
            event_type: kind.as_str(),
            event_timestamp: *event_timestamp,
            event_category: CATEGORY,
            event_action: kind.action(),
            event_outcome: kind.outcome(),
            correlation_id,
            actor,
            resource_type,
            resource_id,
            namespace: namespace.as_ref(),
            cluster_id: cluster_id.as_ref(),
            duration_ms: *duration_ms,
            retention_days: *retention_days,
            event_data,
        };
        wire.serialize(serializer)
    }
}
