//! Refusals, denials and cancels that make no difference: the first is put on record at once, who goes
//! on is counted in memory and summed up. What is repeated never reaches the store.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use wfe_core::audit::{Counted, Due, First, Record, Sum, Tally, Try, Unwritten};
use wfe_runtime::error::chain;

use crate::{
    clock::Clock,
    metrics::Metrics,
    notify::Notifier,
    store::{Store, StoreError},
};

/// Looks for intervals that are over at least this often, and at most as often.
const LOOKS: [Duration; 2] = [Duration::from_millis(10), Duration::from_secs(1)];

/// So many sums are written in one transaction.
const BATCH: usize = 256;

/// Puts tries on record.
pub struct Tries {
    store: Arc<dyn Store>,
    notifier: Arc<Notifier>,
    metrics: Metrics,
    interval: Duration,
    tally: Mutex<Tally>,
}

impl Tries {
    pub(super) fn new(
        store: Arc<dyn Store>,
        notifier: Arc<Notifier>,
        metrics: Metrics,
        interval: Duration,
    ) -> Self {
        Self { store, notifier, metrics, interval, tally: Mutex::new(Tally::new(interval)) }
    }

    /// Something was decided. What cannot be put on record is not decided.
    pub async fn decided(&self, tried: Try) -> Result<(), StoreError> {
        self.try_once(tried, Unwritten::TakeBack).await
    }

    /// Somebody was denied something, which stands. What cannot be put on record at once is counted, and
    /// put there with the sum.
    pub async fn denied(&self, tried: Try) {
        if let Err(error) = self.try_once(tried, Unwritten::Count).await {
            self.metrics.unrecorded();
            tracing::warn!(error = chain(&error), "a denial is not on record yet");
        }
    }

    /// Sums up what was tried when its interval is over, until the end; then all that is left.
    pub async fn sum_up(&self, clock: &dyn Clock, stopping: CancellationToken) {
        let [often, seldom] = LOOKS;
        let pause = (self.interval / 10).clamp(often, seldom);
        while stopping.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
            self.close(Due::Over, clock.now()).await;
        }
        self.close(Due::All, clock.now()).await;
    }

    async fn close(&self, due: Due, now: Timestamp) {
        let mut sums = self.tally().close(due, now).into_iter();
        loop {
            let batch: Vec<Sum> = sums.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                return;
            }
            let records: Vec<Record> = batch.iter().map(Sum::record).collect();
            if let Err(error) = self.write(&records).await {
                self.metrics.unrecorded();
                tracing::warn!(
                    error = chain(&error),
                    "sums of what was tried are not on record yet"
                );
                let rest = batch.into_iter().chain(sums).collect();
                self.tally().reopen(rest, now);
                return;
            }
        }
    }

    async fn try_once(&self, tried: Try, unwritten: Unwritten) -> Result<(), StoreError> {
        let first = match self.tally().count(tried) {
            Counted::First(first) => first,
            Counted::More => return Ok(()),
        };
        let record = first.record();
        let mut writing = Writing { tries: self, first: Some(first), unwritten };
        self.write(&[record]).await?;
        writing.first = None;
        Ok(())
    }

    async fn write(&self, records: &[Record]) -> Result<(), StoreError> {
        self.store.record(records).await?;
        self.notifier.recorded();
        Ok(())
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A first try is being put on record. Who goes away meanwhile is not forgotten.
struct Writing<'a> {
    tries: &'a Tries,
    first: Option<Box<First>>,
    unwritten: Unwritten,
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        if let Some(first) = self.first.take() {
            self.tries.tally().unwritten(*first, self.unwritten);
        }
    }
}
