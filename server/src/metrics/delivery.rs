//! What is measured of the delivery to Data Storage.

use std::time::Duration;

use prometheus::{Gauge, IntCounter, IntCounterVec, IntGaugeVec, Opts, Registry};
use wfe_datastorage::SendOutcome;

use crate::{
    delivery::{Input, Pace, Role, Seen, Trouble},
    store::{ParkReason, StandingCode},
};

/// What became of a request with a batch.
const REQUESTS: [&str; 9] = [
    "stored",
    "accepted",
    "invalid",
    "too_large",
    "unauthorized",
    "forbidden",
    "rate_limited",
    "unavailable",
    "doubtful",
];

/// What was seen when it was looked for an event.
const LOOKS: [&str; 3] = ["found", "missing", "unanswered"];

#[derive(Clone)]
pub(super) struct DeliveryMetrics {
    delivered: IntCounter,
    parked: IntCounterVec,
    requests: IntCounterVec,
    looks: IntCounterVec,
    outbox: IntGaugeVec,
    lag: Gauge,
    trouble: IntGaugeVec,
}

impl DeliveryMetrics {
    pub(super) fn new() -> Result<Self, prometheus::Error> {
        let metrics = Self {
            delivered: IntCounter::new(
                "delivery_events_total",
                "Events that Data Storage has stored.",
            )?,
            parked: IntCounterVec::new(
                Opts::new("delivery_parked_total", "Events that were parked, by the reason."),
                &["reason"],
            )?,
            requests: IntCounterVec::new(
                Opts::new("delivery_requests_total", "Batches that were sent, by what is certain."),
                &["outcome"],
            )?,
            looks: IntCounterVec::new(
                Opts::new("delivery_looks_total", "Looks for events that may have arrived."),
                &["answer"],
            )?,
            outbox: IntGaugeVec::new(
                Opts::new("delivery_outbox", "Events on their way to Data Storage."),
                &["standing"],
            )?,
            lag: Gauge::new(
                "delivery_lag_seconds",
                "Age of the oldest entry that has not arrived and is not parked.",
            )?,
            trouble: IntGaugeVec::new(
                Opts::new("delivery_trouble", "1 while Data Storage is in this trouble."),
                &["trouble"],
            )?,
        };
        // From the start on, so that the first of each is seen as a change.
        for name in REQUESTS {
            metrics.requests.with_label_values(&[name]);
        }
        for name in LOOKS {
            metrics.looks.with_label_values(&[name]);
        }
        for reason in ParkReason::ALL {
            metrics.parked.with_label_values(&[reason.as_str()]);
        }
        metrics.set(None, Duration::ZERO);
        Ok(metrics)
    }

    pub(super) fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        let Self { delivered, parked, requests, looks, outbox, lag, trouble } = self;
        registry.register(Box::new(delivered.clone()))?;
        registry.register(Box::new(parked.clone()))?;
        registry.register(Box::new(requests.clone()))?;
        registry.register(Box::new(looks.clone()))?;
        registry.register(Box::new(outbox.clone()))?;
        registry.register(Box::new(lag.clone()))?;
        registry.register(Box::new(trouble.clone()))
    }

    pub(super) fn delivered(&self, events: u64) {
        self.delivered.inc_by(events);
    }

    pub(super) fn parked(&self, reason: ParkReason) {
        self.parked.with_label_values(&[reason.as_str()]).inc();
    }

    pub(super) fn request(&self, outcome: &SendOutcome) {
        let outcome = match outcome {
            SendOutcome::Stored => "stored",
            SendOutcome::Accepted => "accepted",
            SendOutcome::Invalid { .. } => "invalid",
            SendOutcome::TooLarge => "too_large",
            SendOutcome::Unauthorized(_) => "unauthorized",
            SendOutcome::Forbidden(_) => "forbidden",
            SendOutcome::RateLimited { .. } => "rate_limited",
            SendOutcome::Unavailable(_) => "unavailable",
            SendOutcome::Doubtful(_) => "doubtful",
        };
        self.requests.with_label_values(&[outcome]).inc();
    }

    pub(super) fn look(&self, input: &Input) {
        let answer = match input {
            Input::Found => "found",
            Input::Missing { .. } => "missing",
            Input::Unanswered
            | Input::Begin
            | Input::TooOld
            | Input::Stored
            | Input::Queued
            | Input::NotStored
            | Input::Doubt
            | Input::Refused(..) => "unanswered",
        };
        self.looks.with_label_values(&[answer]).inc();
    }

    /// Sets what is only known when it is asked for.
    pub(super) fn set(&self, seen: Option<&Seen>, lag: Duration) {
        let gauge = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        for code in StandingCode::ALL {
            let count = seen.map_or(0, |seen| seen.backlog.count(code));
            self.outbox.with_label_values(&[code.as_str()]).set(gauge(count));
        }
        let now = match seen.map(|seen| &seen.role) {
            Some(Role::Deliverer(Pace::Waiting { trouble, .. })) => Some(*trouble),
            Some(Role::Deliverer(Pace::Steady) | Role::Bystander) | None => None,
        };
        for trouble in Trouble::ALL {
            let is = i64::from(now == Some(trouble));
            self.trouble.with_label_values(&[trouble.as_str()]).set(is);
        }
        self.lag.set(lag.as_secs_f64());
    }
}
