//! How the audit stands: for readiness and for metrics.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use wfe_core::audit::Position;

use super::doubt::Doubt;

/// How the audit stands, for all who tell it.
#[derive(Debug, Clone, Default)]
pub struct AuditStatus(Arc<Mutex<Report>>);

/// How the audit stands at a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// What keeps the log from being signed.
    pub doubt: Option<Doubt>,
    /// What failed last, and was not made good since.
    pub failure: Option<String>,
    /// The newest entry of the log.
    pub head: Position,
    /// Where checkpoints are, and how far they reach: first the database.
    pub places: Vec<PlaceReport>,
}

/// What a place has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaceReport {
    /// Which kind of place.
    pub kind: &'static str,
    /// The entry that its newest checkpoint signs; `None` when it has none.
    pub signed: Option<Position>,
    /// Since when there are entries that it does not sign.
    pub behind_since: Option<Timestamp>,
}

impl AuditStatus {
    /// How it stands now.
    pub fn report(&self) -> Report {
        self.lock().clone()
    }

    /// Keeps what is doubted. Answers whether that is news.
    pub(super) fn set_doubt(&self, doubt: Option<&Doubt>) -> bool {
        let mut report = self.lock();
        let news = report.doubt.as_ref() != doubt;
        report.doubt = doubt.cloned();
        news
    }

    /// Something failed, or went well again.
    pub(super) fn set_failure(&self, failure: Option<String>) {
        self.lock().failure = failure;
    }

    /// Keeps how far everything is.
    pub(super) fn set_places(&self, head: Position, places: Vec<PlaceReport>) {
        let mut report = self.lock();
        report.head = head;
        report.places = places;
    }

    fn lock(&self) -> MutexGuard<'_, Report> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
