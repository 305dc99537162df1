//! How an event moves through the outbox.
//!
//! ```text
//! | from     | input             | to                                                              |
//! |----------|-------------------|-----------------------------------------------------------------|
//! | Pending  | Begin             | Sending                                                         |
//! | Pending  | TooOld            | Parked                                                          |
//! | Sending  | Stored            | delivered                                                       |
//! | Sending  | Queued            | Accepted                                                        |
//! | Sending  | NotStored         | Pending                                                         |
//! | Sending  | Doubt             | Doubtful                                                        |
//! | Sending  | Refused           | Parked                                                          |
//! | Accepted | Found             | delivered                                                       |
//! | Accepted | Missing           | Accepted, until the patience is over; then Parked               |
//! | Accepted | Unanswered        | Accepted; the patience begins anew                              |
//! | Doubtful | Found             | delivered                                                       |
//! | Doubtful | Missing           | Doubtful, until the patience is over; then Pending              |
//! | Doubtful | Unanswered        | Doubtful; the patience begins anew                              |
//! ```
//!
//! Everything else changes nothing: the row moved meanwhile, or waits for a person.

use std::time::Duration;

use jiff::Timestamp;
use wfe_core::gates::later;

use crate::store::{ParkReason, Standing, Wait};

/// The receiver tries what it queued after 1, 6, 21, 81, 321 and 1761 minutes. So after it was away for
/// some time its next try comes at the latest after six times as long.
const TRIES_APART: u32 = 6;

/// In so many looks the patience is spent.
const LOOKS: u32 = 30;

/// The longest pause between two looks.
const LONGEST_LOOK: Duration = Duration::from_secs(30);

/// What happened to an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A request with it begins.
    Begin,
    /// It is older than the receiver takes.
    TooOld,
    /// The receiver stored it.
    Stored,
    /// The receiver queued it.
    Queued,
    /// The receiver certainly did not store it, and may do so when it is sent again.
    NotStored,
    /// It may be stored.
    Doubt,
    /// The receiver refuses it, and does so again.
    Refused(ParkReason, String),
    /// It is stored.
    Found,
    /// It is not stored now.
    Missing {
        /// When the receiver last did not answer such a question, as far as this process knows.
        unanswered: Option<Timestamp>,
    },
    /// The receiver does not say.
    Unanswered,
}

/// Where an event stands then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// As before.
    Same,
    /// Elsewhere.
    To(Standing),
    /// It is stored.
    Delivered,
}

/// Moves an event. `patience` is how long an event that may be stored is waited for while the receiver
/// answers.
pub fn next(from: &Standing, input: Input, patience: Duration, now: Timestamp) -> Next {
    match (from, input) {
        (Standing::Pending { .. }, Input::Begin) => Next::To(Standing::Sending { since: now }),
        (Standing::Pending { .. }, Input::TooOld) => {
            let problem = "it is older than 7 days".to_owned();
            parked(ParkReason::TooOld, problem, now)
        }
        (Standing::Sending { .. }, Input::Stored)
        | (Standing::Accepted(_) | Standing::Doubtful(_), Input::Found) => Next::Delivered,
        (Standing::Sending { .. }, Input::NotStored) => Next::To(Standing::Pending { due: now }),
        (Standing::Sending { since }, Input::Queued) => {
            Next::To(Standing::Accepted(Wait { since: *since, well_since: None, due: now }))
        }
        (Standing::Sending { since }, Input::Doubt) => {
            Next::To(Standing::Doubtful(Wait { since: *since, well_since: None, due: now }))
        }
        (Standing::Sending { .. }, Input::Refused(reason, problem)) => parked(reason, problem, now),
        (Standing::Accepted(wait), Input::Missing { unanswered }) => {
            if let Some(wait) = missing(*wait, unanswered, patience, now) {
                return Next::To(Standing::Accepted(wait));
            }
            let problem = format!("it was queued at {} and never stored", wait.since);
            parked(ParkReason::NeverStored, problem, now)
        }
        (Standing::Doubtful(wait), Input::Missing { unanswered }) => {
            let wait = missing(*wait, unanswered, patience, now);
            Next::To(wait.map_or(Standing::Pending { due: now }, Standing::Doubtful))
        }
        (Standing::Accepted(wait), Input::Unanswered) => {
            Next::To(Standing::Accepted(unanswered(*wait, patience, now)))
        }
        (Standing::Doubtful(wait), Input::Unanswered) => {
            Next::To(Standing::Doubtful(unanswered(*wait, patience, now)))
        }
        (
            Standing::Queued
            | Standing::Pending { .. }
            | Standing::Sending { .. }
            | Standing::Accepted(_)
            | Standing::Doubtful(_)
            | Standing::Parked { .. },
            _,
        ) => Next::Same,
    }
}

fn parked(reason: ParkReason, problem: String, now: Timestamp) -> Next {
    Next::To(Standing::Parked { reason, problem, since: now })
}

/// The wait goes on; or it is over.
fn missing(
    wait: Wait,
    unanswered: Option<Timestamp>,
    patience: Duration,
    now: Timestamp,
) -> Option<Wait> {
    let still = |since: &Timestamp| unanswered.is_none_or(|unanswered| unanswered < *since);
    let well_since = wait.well_since.filter(still).unwrap_or(now);
    let away = Duration::try_from(well_since.duration_since(wait.since)).unwrap_or_default();
    let after = patience.saturating_add(away.saturating_mul(TRIES_APART - 1));
    let over = later(well_since, after);
    let due = later(now, pause(patience)).min(over);
    (now < over).then_some(Wait { well_since: Some(well_since), due, ..wait })
}

fn unanswered(wait: Wait, patience: Duration, now: Timestamp) -> Wait {
    Wait { well_since: None, due: later(now, pause(patience)), ..wait }
}

/// Time between two looks.
fn pause(patience: Duration) -> Duration {
    (patience / LOOKS).min(LONGEST_LOOK)
}

#[cfg(test)]
mod tests;
