//! Being the one process that does something.

use std::time::Duration;

use jiff::Timestamp;
use wfe_core::gates::later;

use super::{Journal, Lease, LeaseWish, StoreError};

/// A lease as its holder sees it: taken, renewed in time, given back.
#[derive(Debug)]
pub struct Tenure {
    name: &'static str,
    holder: String,
    lasts: Duration,
    renewed_below: Duration,
    lease: Option<Lease>,
}

impl Tenure {
    /// Nothing is held yet. A lease `lasts` so long, and is renewed when less than `renewed_below` is left
    /// of it. `holder` names the process, and no other one.
    pub const fn new(
        name: &'static str,
        holder: String,
        lasts: Duration,
        renewed_below: Duration,
    ) -> Self {
        Self { name, holder, lasts, renewed_below, lease: None }
    }

    /// Whether this process is the one: takes the lease, or renews it, when that is due.
    pub async fn hold(
        &mut self,
        journal: &(impl Journal + ?Sized),
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        if !self.outlasts(later(now, self.renewed_below)) {
            let until = later(now, self.lasts);
            let wish = LeaseWish { name: self.name, holder: &self.holder, now, until };
            self.lease = journal.lease(&wish).await?;
        }
        Ok(self.lease.is_some())
    }

    /// Whether it was this process when it was last looked.
    pub const fn is_held(&self) -> bool {
        self.lease.is_some()
    }

    /// Whether the lease goes on after `time`.
    pub fn outlasts(&self, time: Timestamp) -> bool {
        self.lease.is_some_and(|lease| time < lease.until)
    }

    /// Takes nothing for granted: the lease may be another's by now.
    pub const fn doubt(&mut self) {
        self.lease = None;
    }

    /// Lets another process go on at once instead of when the lease is over.
    pub async fn release(
        &mut self,
        journal: &(impl Journal + ?Sized),
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if self.lease.take().is_some() {
            let wish = LeaseWish { name: self.name, holder: &self.holder, now, until: now };
            journal.lease(&wish).await?;
        }
        Ok(())
    }
}
