//! Delivery of the log to Data Storage: what is committed arrives there once, in order, or is parked where
//! a person sees it.
//!
//! [`mapping`] says which entries become events, [`standing`] how an event moves, [`pace`] when a receiver
//! in trouble is asked again; they are pure. [`courier`] takes one turn after the other, [`status`] tells
//! how it goes. Nothing here writes to the log.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use wfe_datastorage::{Client, Limits};

use crate::{
    clock::Clock,
    metrics::Metrics,
    store::{Outbox, Store},
};

mod courier;
mod mapping;
mod pace;
mod standing;
mod status;

pub use courier::{Courier, Turn};
pub use mapping::event_of;
pub use pace::{Pace, Trouble};
pub use standing::{Input, Next, next};
pub use status::{Role, Seen, Status};

/// How long a request may go on when the server stops.
const GRACE: Duration = Duration::from_secs(5);

/// What can be set about delivery.
#[derive(Debug, Clone)]
pub struct Policy {
    /// How long an event that may be stored is waited for while the receiver answers.
    pub patience: Duration,
    /// How often the log is looked at when there is nothing else to do.
    pub interval: Duration,
    /// Time between two requests.
    pub gap: Duration,
    /// How much is sent at once.
    pub limits: Limits,
    /// Names this process among those that may deliver.
    pub holder: String,
}

impl Policy {
    /// The policy of a process that is named `holder`.
    pub fn new(holder: String) -> Self {
        Self {
            patience: Duration::from_mins(15),
            interval: Duration::from_secs(1),
            // 40 a second, where the receiver takes 50.
            gap: Duration::from_millis(25),
            limits: Limits::default(),
            holder,
        }
    }
}

/// What delivery stands on.
pub struct Parts {
    /// The log and the executions.
    pub store: Arc<dyn Store>,
    /// What is on its way.
    pub outbox: Arc<dyn Outbox>,
    /// The receiver.
    pub client: Arc<Client>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What is measured.
    pub metrics: Metrics,
    /// Where it is told how it goes.
    pub status: Status,
}

/// Delivers until `stopping`. A request that is under way is waited for a moment: what became of it is known
/// then. One that is cut is found again at the next start, and read back.
pub async fn deliver(mut courier: Courier, clock: Arc<dyn Clock>, stopping: CancellationToken) {
    while !stopping.is_cancelled() {
        let cut = async {
            stopping.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        let again = tokio::select! {
            turn = courier.turn(&stopping) => turn.again,
            // The lease is kept: what was begun may still go on there.
            () = cut => return,
        };
        tokio::select! {
            () = clock.reaches(again) => {}
            () = stopping.cancelled() => {}
        }
    }
    courier.release().await;
}

/// When a Start is refused because delivery is behind.
#[derive(Debug, Clone)]
pub struct Backpressure {
    /// How it goes.
    pub status: Status,
    /// Entries may be so old before they arrive.
    pub max_lag: Duration,
}

impl Backpressure {
    /// How far behind delivery is, when that is too much.
    pub fn excess(&self) -> Option<Duration> {
        Some(self.status.lag()).filter(|lag| *lag > self.max_lag)
    }
}

#[cfg(test)]
mod tests;
