//! How a watch feels: when it was last heard of, and how long it waits after trouble.

use std::{
    borrow::Cow,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};
use tokio::time::Instant;

use super::{error::CallError, watch::Timing};
use crate::error::chain;

/// When a watch was last heard of.
#[derive(Debug)]
pub struct Pulse {
    heard: Mutex<Instant>,
    broken: AtomicBool,
}

impl Default for Pulse {
    fn default() -> Self {
        Self { heard: Mutex::new(Instant::now()), broken: AtomicBool::new(false) }
    }
}

impl Pulse {
    pub(super) fn beat(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.broken.store(false, Ordering::Relaxed);
    }

    pub(super) fn miss(&self) {
        self.broken.store(true, Ordering::Relaxed);
    }

    /// Whether the last attempt to hear something failed.
    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// Time since the last sign of life.
    pub fn age(&self) -> Duration {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

/// Waits longer after each trouble, until something was heard. Says once when trouble begins and once
/// when it is over.
pub(super) struct Patience<'a> {
    kind: Cow<'static, str>,
    pulse: &'a Pulse,
    builder: ExponentialBuilder,
    delays: ExponentialBackoff,
    trouble_since: Option<Instant>,
}

impl<'a> Patience<'a> {
    pub(super) fn new(kind: Cow<'static, str>, timing: &Timing, pulse: &'a Pulse) -> Self {
        let (first, longest) = timing.backoff;
        let builder = ExponentialBuilder::new()
            .with_min_delay(first)
            .with_max_delay(longest)
            .without_max_times()
            .with_jitter();
        Self { kind, pulse, builder, delays: builder.build(), trouble_since: None }
    }

    pub(super) fn restore(&mut self) {
        if let Some(since) = self.trouble_since.take() {
            self.delays = self.builder.build();
            tracing::info!(kind = %self.kind, after = ?since.elapsed(), "the watch works again");
        }
    }

    pub(super) async fn wait(&mut self, trouble: &CallError) {
        self.pulse.miss();
        let error = chain(trouble);
        if self.trouble_since.is_some() {
            tracing::debug!(kind = %self.kind, error, "the watch is still broken");
        } else {
            tracing::warn!(kind = %self.kind, error, "the watch is broken; trying again until it works");
            self.trouble_since = Some(Instant::now());
        }
        tokio::time::sleep(self.delays.next().unwrap_or(Duration::from_secs(1))).await;
    }
}
