//! What is measured. Labels come from closed sets: no id, name or target is ever one.

use std::time::Duration;

use jiff::Timestamp;
use prometheus::{
    Encoder as _, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec,
    IntGauge, IntGaugeVec, Opts, Registry, TextEncoder,
};
use wfe_core::{
    access::Method,
    clear::Outcome,
    event::{Event, EventKind},
    execution::{Execution, Gate, StateCode},
};
use wfe_datastorage::SendOutcome;

mod audit;

use audit::AuditMetrics;
pub(crate) use audit::AuditWork;

use self::delivery::DeliveryMetrics;
use crate::{
    audit::AuditStatus,
    delivery::{Input, Status},
    error::Code,
    store::{
        ParkReason,
        observer::{Outcome as StoreOutcome, StoreObserver},
    },
};

mod delivery;

/// Seconds, from a fraction of a millisecond to minutes.
const LATENCY: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
    60.0,
];

/// Seconds that a run takes.
const DURATION: &[f64] = &[1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0];

/// Why a call is denied.
const DENIALS: [Code; 3] =
    [Code::Unauthenticated, Code::PermissionDenied, Code::AuthenticationUnavailable];

/// The metrics of one server, in a registry of its own.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    executions: IntCounterVec,
    live: IntGaugeVec,
    refusals: IntCounterVec,
    observed: IntCounterVec,
    clearances: IntCounterVec,
    denials: IntCounterVec,
    unrecorded: IntCounter,
    calls: HistogramVec,
    accepted_to_run: Histogram,
    run_duration: HistogramVec,
    delivery: Histogram,
    store: HistogramVec,
    watch_age: Gauge,
    watch_synced: IntGauge,
    queue_depth: IntGauge,
    streams: IntGauge,
    audit: AuditMetrics,
    data_storage: DeliveryMetrics,
}

impl Metrics {
    /// Registers everything in a new registry.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new_custom(Some("wfe".to_owned()), None)?;
        let histogram =
            |name: &str, help: &str| HistogramOpts::new(name, help).buckets(LATENCY.to_vec());
        let metrics = Self {
            executions: IntCounterVec::new(
                Opts::new(
                    "execution_transitions_total",
                    "Executions that entered a state; reason says why one failed.",
                ),
                &["state", "reason"],
            )?,
            live: IntGaugeVec::new(
                Opts::new("executions", "Executions on record by state."),
                &["state"],
            )?,
            refusals: IntCounterVec::new(
                Opts::new("refusals_total", "Starts refused at a gate."),
                &["gate"],
            )?,
            observed: IntCounterVec::new(
                Opts::new(
                    "observed_gates_total",
                    "Executions that a closed gate let pass, because it is only observed.",
                ),
                &["gate"],
            )?,
            clearances: IntCounterVec::new(
                Opts::new("clearances_total", "Attempts to clear a block, by what came of them."),
                &["outcome"],
            )?,
            denials: IntCounterVec::new(
                Opts::new(
                    "denials_total",
                    "Calls and streams that were denied to their callers; code says why.",
                ),
                &["method", "code"],
            )?,
            unrecorded: IntCounter::new(
                "unrecorded_total",
                "Times that denials or sums of tries could not be put on record at once; they are counted on and written later.",
            )?,
            calls: HistogramVec::new(
                histogram(
                    "call_seconds",
                    "Time to answer a call, or to end a stream; code is OK or the stable code of the error.",
                ),
                &["method", "code"],
            )?,
            accepted_to_run: Histogram::with_opts(histogram(
                "accepted_to_run_seconds",
                "From the moment an execution holds its target to the moment its run is known to exist.",
            ))?,
            run_duration: HistogramVec::new(
                HistogramOpts::new(
                    "run_duration_seconds",
                    "From the creation of a run to its end.",
                )
                .buckets(DURATION.to_vec()),
                &["state"],
            )?,
            delivery: Histogram::with_opts(histogram(
                "watch_delivery_seconds",
                "From the commit of an event to its delivery on a watch that waits for it.",
            ))?,
            store: HistogramVec::new(
                histogram("store_seconds", "Time of a transaction of the store."),
                &["transaction", "outcome"],
            )?,
            watch_age: Gauge::new(
                "tekton_watch_age_seconds",
                "Time since the API server was last heard of on every watch.",
            )?,
            watch_synced: IntGauge::new(
                "tekton_watch_synced",
                "1 when the watches know everything that exists.",
            )?,
            queue_depth: IntGauge::new("reconcile_queue", "Executions that wait to be looked at.")?,
            streams: IntGauge::new("watch_streams", "Watch calls that are open.")?,
            audit: AuditMetrics::new(&registry)?,
            data_storage: DeliveryMetrics::new()?,
            registry,
        };
        metrics.register()?;
        metrics.data_storage.register(&metrics.registry)?;
        // From the start on, so that the first denial is seen as a change.
        for method in Method::ALL {
            for code in DENIALS {
                metrics.denials.with_label_values(&[method.as_str(), code.as_str()]);
            }
        }
        Ok(metrics)
    }

    fn register(&self) -> Result<(), prometheus::Error> {
        let all: [Box<dyn prometheus::core::Collector>; 16] = [
            Box::new(self.executions.clone()),
            Box::new(self.live.clone()),
            Box::new(self.refusals.clone()),
            Box::new(self.observed.clone()),
            Box::new(self.clearances.clone()),
            Box::new(self.denials.clone()),
            Box::new(self.unrecorded.clone()),
            Box::new(self.calls.clone()),
            Box::new(self.accepted_to_run.clone()),
            Box::new(self.run_duration.clone()),
            Box::new(self.delivery.clone()),
            Box::new(self.store.clone()),
            Box::new(self.watch_age.clone()),
            Box::new(self.watch_synced.clone()),
            Box::new(self.queue_depth.clone()),
            Box::new(self.streams.clone()),
        ];
        all.into_iter().try_for_each(|collector| self.registry.register(collector))
    }

    /// Everything in the text format of Prometheus.
    pub fn render(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }

    /// An event was committed; `execution` is as it is after it.
    pub(crate) fn event(&self, execution: &Execution, event: &Event) {
        if let EventKind::Admitted { run } = &event.kind
            && event.before == Some(StateCode::Waiting)
        {
            for hold in &run.observed {
                self.observed.with_label_values(&[hold.gate().as_str()]).inc();
            }
        }
        if event.before == Some(event.after) {
            return;
        }
        let reason = match &event.kind {
            EventKind::Failed { failure, .. } => failure.reason.as_str(),
            EventKind::Accepted
            | EventKind::Held { .. }
            | EventKind::Admitted { .. }
            | EventKind::Delayed { .. }
            | EventKind::RunCreated { .. }
            | EventKind::Progressed { .. }
            | EventKind::CancelRequested { .. }
            | EventKind::CancelEscalated { .. }
            | EventKind::DeadlinePassed { .. }
            | EventKind::Succeeded { .. }
            | EventKind::Cancelled { .. } => "",
        };
        self.executions.with_label_values(&[event.after.as_str(), reason]).inc();
        if let Some(before) = event.before {
            self.live.with_label_values(&[before.as_str()]).dec();
        }
        self.live.with_label_values(&[event.after.as_str()]).inc();
        if let (Some(run), Some(ended_at)) =
            (execution.state.created_run(), execution.state.ended_at())
        {
            let state = event.after.as_str();
            self.run_duration
                .with_label_values(&[state])
                .observe(seconds(run.created_at, ended_at));
        }
    }

    /// A run exists whose execution holds its target since `since`.
    pub(crate) fn run_created(&self, since: Timestamp, now: Timestamp) {
        self.accepted_to_run.observe(seconds(since, now));
    }

    /// A Start was refused.
    pub(crate) fn refused(&self, gate: Gate) {
        self.refusals.with_label_values(&[gate.as_str()]).inc();
    }

    /// Somebody asked to clear a block.
    pub(crate) fn clearance(&self, outcome: Outcome) {
        self.clearances.with_label_values(&[outcome.as_str()]).inc();
    }

    /// A call or a stream was denied.
    pub(crate) fn denied(&self, method: Method, code: Code) {
        self.denials.with_label_values(&[method.as_str(), code.as_str()]).inc();
    }

    /// Something could not be put on record at once.
    pub(crate) fn unrecorded(&self) {
        self.unrecorded.inc();
    }

    /// A call was answered.
    pub(crate) fn call(&self, method: &'static str, code: Option<Code>, took: Duration) {
        let code = code.map_or("OK", Code::as_str);
        self.calls.with_label_values(&[method, code]).observe(took.as_secs_f64());
    }

    /// An event was handed to a watch that waited for it.
    pub(crate) fn delivered(&self, committed: Timestamp, now: Timestamp) {
        self.delivery.observe(seconds(committed, now));
    }

    /// A watch was opened; it is closed when the guard is dropped.
    pub(crate) fn stream(&self) -> StreamGuard {
        self.streams.inc();
        StreamGuard(self.streams.clone())
    }

    /// Sets the number of executions on record, from a count of the store.
    pub(crate) fn set_live(&self, counts: &[(StateCode, u64)]) {
        for code in StateCode::ALL {
            let count = counts.iter().find(|(other, _)| *other == code).map_or(0, |(_, n)| *n);
            self.live
                .with_label_values(&[code.as_str()])
                .set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// Something could not be done for the log.
    pub(crate) fn audit_failed(&self, work: AuditWork) {
        self.audit.failed(work);
    }

    /// Sets how the log and its checkpoints stand.
    pub(crate) fn set_audit(&self, status: &AuditStatus, now: Timestamp) {
        self.audit.set(status, now);
    }

    /// Events were stored by Data Storage.
    pub(crate) fn delivered_events(&self, events: u64) {
        self.data_storage.delivered(events);
    }

    /// An event was parked.
    pub(crate) fn parked(&self, reason: ParkReason) {
        self.data_storage.parked(reason);
    }

    /// A batch was sent.
    pub(crate) fn delivery_request(&self, outcome: &SendOutcome) {
        self.data_storage.request(outcome);
    }

    /// It was looked for an event that may have arrived.
    pub(crate) fn delivery_look(&self, input: &Input) {
        self.data_storage.look(input);
    }

    /// Sets how delivery goes.
    pub(crate) fn set_delivery(&self, status: &Status) {
        self.data_storage.set(status.seen().as_ref(), status.lag());
    }

    /// Sets what is only known when it is asked for.
    pub(crate) fn set_watch(&self, synced: bool, age: Duration, queue_depth: usize) {
        self.watch_synced.set(i64::from(synced));
        self.watch_age.set(age.as_secs_f64());
        self.queue_depth.set(i64::try_from(queue_depth).unwrap_or(i64::MAX));
    }
}

impl StoreObserver for Metrics {
    fn transaction(&self, name: &'static str, elapsed: Duration, outcome: StoreOutcome) {
        self.store.with_label_values(&[name, outcome.as_str()]).observe(elapsed.as_secs_f64());
    }
}

/// Counts an open watch until it is dropped.
pub(crate) struct StreamGuard(IntGauge);

impl Drop for StreamGuard {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64().max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_servers_in_one_process_do_not_share_a_registry() {
        let (one, other) = (Metrics::new().unwrap(), Metrics::new().unwrap());
        one.refused(Gate::Lock);
        let text = |metrics: &Metrics| String::from_utf8(metrics.render().unwrap()).unwrap();
        assert!(text(&one).contains("wfe_refusals_total{gate=\"lock\"} 1"));
        assert!(!text(&other).contains("wfe_refusals_total{"));
    }

    #[test]
    fn a_dropped_stream_is_not_counted_any_more() {
        let metrics = Metrics::new().unwrap();
        let guard = metrics.stream();
        assert_eq!(metrics.streams.get(), 1);
        drop(guard);
        assert_eq!(metrics.streams.get(), 0);
    }
}
