//! What is measured of the log and its checkpoints.

use jiff::Timestamp;
use prometheus::{Gauge, GaugeVec, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::seconds;
use crate::audit::AuditStatus;

/// What is done for the log, and may fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AuditWork {
    /// Being the one process that does it.
    Lease,
    /// Reading the log.
    Read,
    /// Signing its head.
    Sign,
    /// Keeping a checkpoint in the file.
    File,
    /// Keeping a checkpoint in the ConfigMap.
    ConfigMap,
    /// Deleting what is old enough.
    Prune,
}

impl AuditWork {
    const ALL: [Self; 6] =
        [Self::Lease, Self::Read, Self::Sign, Self::File, Self::ConfigMap, Self::Prune];

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Lease => "lease",
            Self::Read => "read",
            Self::Sign => "sign",
            Self::File => "file",
            Self::ConfigMap => "config_map",
            Self::Prune => "prune",
        }
    }

    /// The work of keeping a checkpoint in a place of this kind.
    pub(crate) fn of_place(kind: &str) -> Self {
        if kind == Self::ConfigMap.as_str() { Self::ConfigMap } else { Self::File }
    }
}

/// The metrics of the log.
#[derive(Clone)]
pub(super) struct AuditMetrics {
    head: IntGauge,
    checkpoint: IntGaugeVec,
    behind: GaugeVec,
    doubt: Gauge,
    failures: IntCounterVec,
}

impl AuditMetrics {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let metrics = Self {
            head: IntGauge::new("audit_log_head", "The newest entry of the log.")?,
            checkpoint: IntGaugeVec::new(
                Opts::new(
                    "audit_checkpoint",
                    "The newest entry that a checkpoint signs, by place.",
                ),
                &["place"],
            )?,
            behind: GaugeVec::new(
                Opts::new(
                    "audit_checkpoint_behind_seconds",
                    "Since when there are entries that no checkpoint of the place signs; 0 when it \
                     signs all.",
                ),
                &["place"],
            )?,
            doubt: Gauge::new(
                "audit_log_doubtful",
                "1 while nothing is signed, because the log is not the one that was signed.",
            )?,
            failures: IntCounterVec::new(
                Opts::new("audit_failures_total", "What failed for the log, by what was done."),
                &["work"],
            )?,
        };
        registry.register(Box::new(metrics.head.clone()))?;
        registry.register(Box::new(metrics.checkpoint.clone()))?;
        registry.register(Box::new(metrics.behind.clone()))?;
        registry.register(Box::new(metrics.doubt.clone()))?;
        registry.register(Box::new(metrics.failures.clone()))?;
        for work in AuditWork::ALL {
            metrics.failures.with_label_values(&[work.as_str()]);
        }
        Ok(metrics)
    }

    pub(super) fn failed(&self, work: AuditWork) {
        self.failures.with_label_values(&[work.as_str()]).inc();
    }

    pub(super) fn set(&self, status: &AuditStatus, now: Timestamp) {
        let report = status.report();
        let count = |place: u64| i64::try_from(place).unwrap_or(i64::MAX);
        self.head.set(count(report.head.0));
        self.doubt.set(f64::from(u8::from(report.doubt.is_some())));
        for place in &report.places {
            let signed = place.signed.map_or(0, |signed| signed.0);
            self.checkpoint.with_label_values(&[place.kind]).set(count(signed));
            let behind = place.behind_since.map_or(0.0, |since| seconds(since, now));
            self.behind.with_label_values(&[place.kind]).set(behind);
        }
    }
}
