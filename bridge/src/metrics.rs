//! What is measured. Labels come from closed sets: no id, name or namespace is ever one.

use std::time::Duration;

use prometheus::{
    Encoder as _, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec,
    IntGauge, Opts, Registry, TextEncoder,
};
use tonic::Code;
use wfe_proto::code_name;

use crate::decide::{Outcome, Wish};

/// Seconds, from a fraction of a millisecond to minutes.
const LATENCY: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0,
];

/// The metrics of one bridge, in a registry of its own.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    calls: HistogramVec,
    writes: HistogramVec,
    followed: IntGauge,
    end_to_status: Histogram,
    deletion: Histogram,
    released: IntCounterVec,
    settled: IntCounterVec,
    reviews: HistogramVec,
    webhook_usable: IntGauge,
    notes_lost: IntCounter,
    unreadable: IntCounter,
    server_usable: IntGauge,
    watch_age: Gauge,
    watch_synced: IntGauge,
}

/// What is written to the API server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// The finalizer is added.
    AddFinalizer,
    /// The finalizer is removed.
    RemoveFinalizer,
    /// The status is applied.
    Status,
    /// A request is taken out of a status.
    Request,
    /// A Kubernetes event is created.
    Event,
}

/// How a write went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It was done.
    Ok,
    /// The object had changed, or the event was there already.
    Conflict,
    /// It failed.
    Failed,
}

/// Why a finalizer was removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Released {
    /// Nothing of the object runs.
    Settled,
    /// Whether something runs could not be found out in time.
    GivenUp,
}

/// What came of the review of a changed status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reviewed {
    /// It was let through as it was.
    Allowed,
    /// It was put back as it was before.
    Restored,
    /// A request was stamped and sealed, or taken back.
    Stamped,
    /// It was refused.
    Denied,
    /// It could not be found out whether the person may do it, so it was refused.
    Unavailable,
    /// It was no review.
    Malformed,
}

/// Requests and what comes of them, as labels.
const WISHES: [(&str, &str); 4] =
    [("clearance", "done"), ("clearance", "refused"), ("cancel", "done"), ("cancel", "refused")];

impl Metrics {
    /// Registers everything in a new registry.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new_custom(Some("wfe_bridge".to_owned()), None)?;
        let latency =
            |name: &str, help: &str| HistogramOpts::new(name, help).buckets(LATENCY.to_vec());
        let metrics = Self {
            calls: HistogramVec::new(
                latency("server_call_seconds", "Time of calls of the execution service."),
                &["method", "code"],
            )?,
            writes: HistogramVec::new(
                latency("kubernetes_write_seconds", "Time of writes to the API server."),
                &["write", "outcome"],
            )?,
            followed: IntGauge::new(
                "objects_followed",
                "WorkflowExecutions for which there is something to do or to wait for.",
            )?,
            end_to_status: Histogram::with_opts(latency(
                "end_to_status_seconds",
                "From the end of an execution to the status that says so.",
            ))?,
            deletion: Histogram::with_opts(latency(
                "deletion_seconds",
                "From the request to delete a WorkflowExecution to the removal of the finalizer.",
            ))?,
            released: IntCounterVec::new(
                Opts::new(
                    "finalizers_removed_total",
                    "Finalizers removed; given_up: it was not certain that nothing runs.",
                ),
                &["outcome"],
            )?,
            settled: IntCounterVec::new(
                Opts::new(
                    "requests_settled_total",
                    "Requests in statuses that were carried out or refused.",
                ),
                &["request", "outcome"],
            )?,
            reviews: HistogramVec::new(
                latency("webhook_review_seconds", "Time of reviews of changed statuses."),
                &["verdict"],
            )?,
            webhook_usable: IntGauge::new(
                "webhook_usable",
                "Whether the webhook can answer: 1 or 0. 0 also without one.",
            )?,
            notes_lost: IntCounter::new(
                "events_lost_total",
                "Kubernetes events that could not be created.",
            )?,
            unreadable: IntCounter::new(
                "objects_unreadable_total",
                "WorkflowExecutions whose spec or status could not be read.",
            )?,
            server_usable: IntGauge::new(
                "server_usable",
                "Whether the execution service can be used: 1 or 0.",
            )?,
            watch_age: Gauge::new(
                "watch_age_seconds",
                "Time since the API server was last heard of.",
            )?,
            watch_synced: IntGauge::new(
                "watch_synced",
                "Whether all WorkflowExecutions are known: 1 or 0.",
            )?,
            registry,
        };
        let all: [Box<dyn prometheus::core::Collector>; 14] = [
            Box::new(metrics.calls.clone()),
            Box::new(metrics.writes.clone()),
            Box::new(metrics.followed.clone()),
            Box::new(metrics.end_to_status.clone()),
            Box::new(metrics.deletion.clone()),
            Box::new(metrics.released.clone()),
            Box::new(metrics.settled.clone()),
            Box::new(metrics.reviews.clone()),
            Box::new(metrics.webhook_usable.clone()),
            Box::new(metrics.notes_lost.clone()),
            Box::new(metrics.unreadable.clone()),
            Box::new(metrics.server_usable.clone()),
            Box::new(metrics.watch_age.clone()),
            Box::new(metrics.watch_synced.clone()),
        ];
        for collector in all {
            metrics.registry.register(collector)?;
        }
        metrics.begin();
        Ok(metrics)
    }

    /// What is alarmed upon is there from the beginning.
    fn begin(&self) {
        for how in Released::ALL {
            self.released.with_label_values(&[how.as_str()]);
        }
        for (wish, outcome) in WISHES {
            self.settled.with_label_values(&[wish, outcome]);
        }
        for verdict in Reviewed::ALL {
            self.reviews.with_label_values(&[verdict.as_str()]);
        }
        for (write, outcome) in Write::ALL.iter().zip(Written::ALL) {
            self.writes.with_label_values(&[write.as_str(), outcome.as_str()]);
        }
        self.calls.with_label_values(&["Start", code_name(Code::Ok)]);
    }

    /// All metrics in the text format of Prometheus.
    pub fn render(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }

    pub(crate) fn call(&self, method: &'static str, code: Code, took: Duration) {
        self.calls.with_label_values(&[method, code_name(code)]).observe(took.as_secs_f64());
    }

    pub(crate) fn write(&self, write: Write, outcome: Written, took: Duration) {
        let labels = [write.as_str(), outcome.as_str()];
        self.writes.with_label_values(&labels).observe(took.as_secs_f64());
    }

    /// An object is followed until the guard is dropped.
    pub(crate) fn follow(&self) -> Followed {
        self.followed.inc();
        Followed(self.followed.clone())
    }

    pub(crate) fn end_shown(&self, after: Duration) {
        self.end_to_status.observe(after.as_secs_f64());
    }

    pub(crate) fn released(&self, how: Released, after: Duration) {
        self.released.with_label_values(&[how.as_str()]).inc();
        self.deletion.observe(after.as_secs_f64());
    }

    pub(crate) fn settled(&self, wish: Wish, outcome: &Outcome) {
        let wish = match wish {
            Wish::Clearance => "clearance",
            Wish::Cancel => "cancel",
        };
        let outcome = match outcome {
            Outcome::Cleared { .. } | Outcome::Over => "done",
            Outcome::Refused { .. } => "refused",
        };
        self.settled.with_label_values(&[wish, outcome]).inc();
    }

    pub(crate) fn reviewed(&self, verdict: Reviewed, took: Duration) {
        self.reviews.with_label_values(&[verdict.as_str()]).observe(took.as_secs_f64());
    }

    pub(crate) fn webhook(&self, usable: bool) {
        self.webhook_usable.set(i64::from(usable));
    }

    pub(crate) fn note_lost(&self) {
        self.notes_lost.inc();
    }

    pub(crate) fn unreadable(&self) {
        self.unreadable.inc();
    }

    pub(crate) fn link(&self, usable: bool) {
        self.server_usable.set(i64::from(usable));
    }

    pub(crate) fn watch(&self, synced: bool, age: Duration) {
        self.watch_synced.set(i64::from(synced));
        self.watch_age.set(age.as_secs_f64());
    }
}

impl Write {
    /// Every value.
    pub const ALL: [Self; 5] =
        [Self::AddFinalizer, Self::RemoveFinalizer, Self::Status, Self::Request, Self::Event];

    /// As the label shows it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AddFinalizer => "add_finalizer",
            Self::RemoveFinalizer => "remove_finalizer",
            Self::Status => "status",
            Self::Request => "request",
            Self::Event => "event",
        }
    }
}

impl Written {
    /// Every value.
    pub const ALL: [Self; 3] = [Self::Ok, Self::Conflict, Self::Failed];

    /// As the label shows it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Conflict => "conflict",
            Self::Failed => "failed",
        }
    }
}

impl Reviewed {
    /// Every value.
    pub const ALL: [Self; 6] = [
        Self::Allowed,
        Self::Restored,
        Self::Stamped,
        Self::Denied,
        Self::Unavailable,
        Self::Malformed,
    ];

    /// As the label shows it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Restored => "restored",
            Self::Stamped => "stamped",
            Self::Denied => "denied",
            Self::Unavailable => "unavailable",
            Self::Malformed => "malformed",
        }
    }
}

impl Released {
    /// Every value.
    pub const ALL: [Self; 2] = [Self::Settled, Self::GivenUp];

    /// As the label shows it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Settled => "settled",
            Self::GivenUp => "given_up",
        }
    }
}

/// Counts a followed object until it is dropped.
pub(crate) struct Followed(IntGauge);

impl Drop for Followed {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_bridges_in_one_process_do_not_share_a_registry() {
        let (one, other) = (Metrics::new().unwrap(), Metrics::new().unwrap());
        one.note_lost();
        let text = |metrics: &Metrics| String::from_utf8(metrics.render().unwrap()).unwrap();
        assert!(text(&one).contains("wfe_bridge_events_lost_total 1"));
        assert!(text(&other).contains("wfe_bridge_events_lost_total 0"));
    }

    #[test]
    fn a_followed_object_is_not_counted_after_its_end() {
        let metrics = Metrics::new().unwrap();
        let guard = metrics.follow();
        assert_eq!(metrics.followed.get(), 1);
        drop(guard);
        assert_eq!(metrics.followed.get(), 0);
    }
}
