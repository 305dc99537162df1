//! How delivery goes, for those who ask: readiness, metrics, and the door when it must not fall behind.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;

use super::Pace;
use crate::{
    clock::Clock,
    store::{Backlog, StandingCode},
};

/// What the loop last saw. Shared by those who tell it and those who ask.
#[derive(Debug, Clone)]
pub struct Status {
    clock: Arc<dyn Clock>,
    seen: Arc<Mutex<Option<Seen>>>,
}

/// What the loop last saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// What is on its way.
    pub backlog: Backlog,
    /// When the oldest entry happened that has not arrived and is not parked.
    pub oldest: Option<Timestamp>,
    /// Who delivers.
    pub role: Role,
    /// What is in the way of the loop itself.
    pub problem: Option<String>,
}

/// Who delivers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// This process.
    Deliverer(Pace),
    /// Another one.
    Bystander,
}

impl Status {
    /// Nothing was seen yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, seen: Arc::default() }
    }

    /// Tells what was seen.
    pub fn tell(&self, seen: Seen) {
        *self.lock() = Some(seen);
    }

    /// Tells that the loop itself is hindered; what it saw before stays.
    pub fn hindered(&self, problem: String) {
        if let Some(seen) = self.lock().as_mut() {
            seen.problem = Some(problem);
        }
    }

    /// What was seen last.
    pub fn seen(&self) -> Option<Seen> {
        self.lock().clone()
    }

    /// How old the oldest entry is that has not arrived.
    pub fn lag(&self) -> Duration {
        let now = self.clock.now();
        let oldest = self.lock().as_ref().and_then(|seen| seen.oldest);
        let age = oldest.map(|oldest| Duration::try_from(now.duration_since(oldest)));
        age.and_then(Result::ok).unwrap_or_default()
    }

    /// How it goes in a line; `None` when all is well.
    pub fn problem(&self) -> Option<String> {
        let Some(seen) = self.seen() else { return Some("nothing was looked at yet".to_owned()) };
        let mut parts = Vec::new();
        if let Some(problem) = &seen.problem {
            parts.push(problem.clone());
        }
        if let Role::Deliverer(Pace::Waiting { trouble, said, since, .. }) = &seen.role {
            parts.push(format!("{} since {since:.0}: {said}", trouble.as_str()));
        }
        let backlog = &seen.backlog;
        let waiting: u64 = StandingCode::ALL
            .into_iter()
            .filter(|code| *code != StandingCode::Parked)
            .map(|code| backlog.count(code))
            .sum();
        if !parts.is_empty() {
            let lag = self.lag().as_secs();
            parts.push(format!("{waiting} events wait, the oldest for {lag} s"));
        }
        match backlog.count(StandingCode::Parked) {
            0 => {}
            parked => parts.push(format!("{parked} events are parked: a person must look")),
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
