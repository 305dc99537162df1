//! What the pages about health and metrics tell.

use std::{sync::Arc, time::Duration};

use serde::Serialize;
use tokio_util::sync::CancellationToken;
use wfe_runtime::http::{self, Pages, WELL};

use crate::{bridge::Watched, link::Link, metrics::Metrics, webhook::Health};

/// Even a quiet watch is heard of more often than this.
const SILENT: Duration = Duration::from_mins(1);

/// What readiness is read from.
#[derive(Clone)]
pub struct Probes {
    link: Link,
    watched: Arc<Watched>,
    webhook: Health,
    metrics: Metrics,
    stopping: CancellationToken,
}

/// How well each part is. A part that is well says so in the same words every time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// Whether the bridge does its work now.
    pub ready: bool,
    /// The watch of WorkflowExecutions.
    pub kubernetes: String,
    /// The execution service.
    pub server: String,
    /// The webhook; well also when there is none.
    pub webhook: String,
    /// The bridge itself.
    pub bridge: String,
}

impl Probes {
    /// Puts the parts together.
    pub fn new(
        link: Link,
        watched: Arc<Watched>,
        webhook: Health,
        metrics: Metrics,
        stopping: CancellationToken,
    ) -> Self {
        Self { link, watched, webhook, metrics, stopping }
    }

    /// How well each part is now.
    pub fn readiness(&self) -> Readiness {
        let or_well = |problem: Option<String>| problem.unwrap_or_else(|| WELL.to_owned());
        let kubernetes = or_well(self.watch_problem());
        let server = or_well(self.link.problem());
        let bridge = or_well(self.stopping.is_cancelled().then(|| "shutting down".to_owned()));
        let webhook = or_well(self.webhook.problem());
        let parts = [&kubernetes, &server, &webhook, &bridge];
        let ready = parts.into_iter().all(|part| part == WELL);
        Readiness { ready, kubernetes, server, webhook, bridge }
    }

    fn watch_problem(&self) -> Option<String> {
        let pulse = &self.watched.pulse;
        if !self.watched.is_synced() {
            return Some("WorkflowExecutions are not listed yet".to_owned());
        }
        if pulse.is_broken() {
            return Some("the watch of WorkflowExecutions is broken".to_owned());
        }
        let age = pulse.age();
        (age > SILENT).then(|| format!("nothing was heard of for {} s", age.as_secs()))
    }
}

impl http::Readiness for Readiness {
    fn is_ready(&self) -> bool {
        self.ready
    }
}

impl Pages for Probes {
    type Readiness = Readiness;

    async fn readiness(&self) -> Readiness {
        Self::readiness(self)
    }

    fn metrics(&self) -> Result<Vec<u8>, impl std::error::Error + 'static> {
        self.metrics.watch(self.watched.is_synced(), self.watched.pulse.age());
        self.metrics.render()
    }
}
