//! What is on its way to Data Storage.

use async_trait::async_trait;
use jiff::Timestamp;
use wfe_core::audit::Position;
use wfe_datastorage::{CorrelationId, Event};

use super::StoreError;

/// Keeps what is on its way. Of the events of a correlation id one at a time is not
/// [`Standing::Queued`] or [`Standing::Parked`], and always the oldest of them.
#[async_trait]
pub trait Outbox: Send + Sync + 'static {
    /// The last entry of the log that was taken up; `None` before the first.
    async fn taken_up(&self) -> Result<Option<Position>, StoreError>;

    /// Takes up entries, when nobody else has taken them up. An event gets a time that is later than
    /// those of all events of its correlation id before it.
    async fn take_up(&self, step: &TakeUp) -> Result<TakenUp, StoreError>;

    /// Rows that are due, those that are due first before the others, at most `limit`.
    async fn due(&self, kind: Due, now: Timestamp, limit: u32) -> Result<Vec<Row>, StoreError>;

    /// Moves rows: all of them, or none when one does not stand where it was seen. Behind what is
    /// delivered or parked the next of its correlation id becomes pending, due at `now`.
    async fn move_rows(&self, moves: &[Move], now: Timestamp) -> Result<(), StoreError>;

    /// How much there is.
    async fn backlog(&self) -> Result<Backlog, StoreError>;

    /// Has everything that is parked tried again, see [`ParkReason::retried`]; of a correlation id one
    /// after the other. Answers how many there are.
    async fn retry_parked(&self, now: Timestamp) -> Result<u64, StoreError>;
}

/// Entries to take up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakeUp {
    /// The last one that was taken up before.
    pub from: Option<Position>,
    /// The last one of these.
    pub to: Position,
    /// What some of them have to tell, in order of the log.
    pub events: Vec<(Position, Event)>,
    /// When that is.
    pub now: Timestamp,
    /// Clocks of correlation ids that are older than this are forgotten.
    pub forget: Timestamp,
}

/// Whether entries were taken up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakenUp {
    /// They were.
    Now,
    /// Somebody else was faster; nothing was written.
    ByAnother,
}

/// Which rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// [`Standing::Pending`].
    Pending,
    /// [`Standing::Sending`], whenever that began.
    Sending,
    /// [`Standing::Accepted`] and [`Standing::Doubtful`].
    Unsure,
}

/// An event on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Place of its entry in the log.
    pub sequence: Position,
    /// The event.
    pub event: Event,
    /// Where it stands.
    pub standing: Standing,
}

impl Row {
    /// Ties the events of one incident together.
    pub fn correlation_id(&self) -> &CorrelationId {
        &self.event.facts().correlation_id
    }
}

/// Where an event stands. What is stored by the receiver stands nowhere any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Behind another one of its correlation id.
    Queued,
    /// It is sent when it is due: it was never sent, or certainly not stored.
    Pending {
        /// Not before.
        due: Timestamp,
    },
    /// A request with it is under way, or was when a process ended.
    Sending {
        /// When the request began.
        since: Timestamp,
    },
    /// The receiver queued it, and stores it later or never.
    Accepted(Wait),
    /// It may be stored, now or later, or never.
    Doubtful(Wait),
    /// It is not tried any more until a person wants it.
    Parked {
        /// Why.
        reason: ParkReason,
        /// The same in a sentence.
        problem: String,
        /// Since when.
        since: Timestamp,
    },
}

/// An event that may be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// When it was sent.
    pub since: Timestamp,
    /// Since when the receiver answers again; `None` while it does not, or was not asked.
    pub well_since: Option<Timestamp>,
    /// When it is looked for.
    pub due: Timestamp,
}

/// The name of a [`Standing`], for columns and labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StandingCode {
    /// See [`Standing::Queued`].
    Queued,
    /// See [`Standing::Pending`].
    Pending,
    /// See [`Standing::Sending`].
    Sending,
    /// See [`Standing::Accepted`].
    Accepted,
    /// See [`Standing::Doubtful`].
    Doubtful,
    /// See [`Standing::Parked`].
    Parked,
}

/// Why an event is not tried any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ParkReason {
    /// The receiver refuses it.
    Invalid,
    /// The receiver takes no body that large.
    TooLarge,
    /// The receiver takes none that old.
    TooOld,
    /// The receiver queued it and did not store it.
    NeverStored,
}

/// A row moves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Move {
    /// The row.
    pub sequence: Position,
    /// Its correlation id.
    pub correlation_id: CorrelationId,
    /// Where it stands.
    pub from: StandingCode,
    /// Where it stands then; `None` when it is stored by the receiver.
    pub to: Option<Standing>,
}

impl Move {
    /// A move of `row`.
    pub fn of(row: &Row, to: Option<Standing>) -> Self {
        let correlation_id = row.correlation_id().clone();
        Self { sequence: row.sequence, correlation_id, from: row.standing.code(), to }
    }
}

/// How much is on its way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backlog {
    /// How many stand where; a standing without any may be left out.
    pub counts: Vec<(StandingCode, u64)>,
    /// Time of the oldest event that is not parked.
    pub oldest: Option<Timestamp>,
    /// When the next one is due that is not parked, queued or being sent.
    pub next_due: Option<Timestamp>,
}

impl Backlog {
    /// How many stand there.
    pub fn count(&self, code: StandingCode) -> u64 {
        self.counts.iter().find(|(other, _)| *other == code).map_or(0, |(_, count)| *count)
    }
}

impl Standing {
    /// The name.
    pub const fn code(&self) -> StandingCode {
        match self {
            Self::Queued => StandingCode::Queued,
            Self::Pending { .. } => StandingCode::Pending,
            Self::Sending { .. } => StandingCode::Sending,
            Self::Accepted(_) => StandingCode::Accepted,
            Self::Doubtful(_) => StandingCode::Doubtful,
            Self::Parked { .. } => StandingCode::Parked,
        }
    }
}

impl StandingCode {
    /// Every code.
    pub const ALL: [Self; 6] =
        [Self::Queued, Self::Pending, Self::Sending, Self::Accepted, Self::Doubtful, Self::Parked];

    /// The code as it is stored and used as a label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Pending => "pending",
            Self::Sending => "sending",
            Self::Accepted => "accepted",
            Self::Doubtful => "doubtful",
            Self::Parked => "parked",
        }
    }

    /// The code that `text` stands for.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.as_str() == text)
    }

    /// Whether one of its correlation id is enough.
    pub const fn is_in_flight(self) -> bool {
        match self {
            Self::Pending | Self::Sending | Self::Accepted | Self::Doubtful => true,
            Self::Queued | Self::Parked => false,
        }
    }
}

impl ParkReason {
    /// Every reason.
    pub const ALL: [Self; 4] = [Self::Invalid, Self::TooLarge, Self::TooOld, Self::NeverStored];

    /// The reason as it is stored and used as a label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::TooLarge => "too_large",
            Self::TooOld => "too_old",
            Self::NeverStored => "never_stored",
        }
    }

    /// The reason that `text` stands for.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }

    /// Where an event stands that was parked for this reason and is tried again at `now`.
    pub const fn retried(self, now: Timestamp) -> Standing {
        match self {
            Self::Invalid | Self::TooLarge | Self::TooOld => Standing::Pending { due: now },
            // It may be stored by now.
            Self::NeverStored => {
                Standing::Doubtful(Wait { since: now, well_since: None, due: now })
            }
        }
    }
}
