//! What the pages about health and metrics tell.

use std::{sync::Arc, time::Duration};

use serde::Serialize;
use wfe_runtime::{
    error::chain,
    http::{self, Pages, WELL},
};

use crate::{
    audit::AuditStatus, clock::Clock, delivery::Status, metrics::Metrics, reconcile::Queue,
    store::Store, tekton::Tekton,
};

/// What readiness is read from.
#[derive(Clone)]
pub struct Probes {
    store: Arc<dyn Store>,
    tekton: Arc<dyn Tekton>,
    queue: Arc<Queue>,
    audit: AuditStatus,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    delivery: Option<Status>,
    draining: tokio_util::sync::CancellationToken,
}

/// How well each part is. A part that is well says so in the same words every time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// Whether the service does its work now.
    pub ready: bool,
    /// The database.
    pub store: String,
    /// The watches on the cluster.
    pub tekton: String,
    /// Whether the log is signed, and what was signed kept outside of the database. Only a log that is
    /// not the one that was signed makes the service unready.
    pub audit: String,
    /// Delivery of the audit trail. The service works while that does not.
    pub data_storage: String,
    /// Whether the server takes calls.
    pub server: String,
}

impl Probes {
    /// Puts the parts together.
    pub fn new(
        store: Arc<dyn Store>,
        tekton: Arc<dyn Tekton>,
        queue: Arc<Queue>,
        audit: AuditStatus,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
        draining: tokio_util::sync::CancellationToken,
    ) -> Self {
        Self { store, tekton, queue, audit, clock, metrics, delivery: None, draining }
    }

    /// The same, which tell how delivery goes.
    #[must_use]
    pub fn with_delivery(self, delivery: Option<Status>) -> Self {
        Self { delivery, ..self }
    }

    /// How well each part is now.
    pub async fn readiness(&self) -> Readiness {
        let store = match tokio::time::timeout(Duration::from_secs(2), self.store.check()).await {
            Ok(Ok(())) => WELL.to_owned(),
            Ok(Err(error)) => chain(&error),
            Err(_) => "does not answer within 2 s".to_owned(),
        };
        let tekton = self.tekton.health().problem().unwrap_or_else(|| WELL.to_owned());
        let data_storage = match &self.delivery {
            None => "off".to_owned(),
            Some(status) => status.problem().unwrap_or_else(|| WELL.to_owned()),
        };
        let server = if self.draining.is_cancelled() { "shutting down" } else { WELL }.to_owned();
        let audit = self.audit.report();
        let ready = [&store, &tekton, &server].into_iter().all(|part| part == WELL)
            && audit.doubt.is_none();
        let audit = match (audit.doubt, audit.failure) {
            (Some(doubt), _) => format!("nothing is signed: {doubt}"),
            (None, Some(failure)) => failure,
            (None, None) => WELL.to_owned(),
        };
        Readiness { ready, store, tekton, audit, data_storage, server }
    }
}

impl http::Readiness for Readiness {
    fn is_ready(&self) -> bool {
        self.ready
    }
}

impl Pages for Probes {
    type Readiness = Readiness;

    fn readiness(&self) -> impl Future<Output = Readiness> + Send {
        Self::readiness(self)
    }

    fn metrics(&self) -> Result<Vec<u8>, impl std::error::Error + 'static> {
        let health = self.tekton.health();
        self.metrics.set_audit(&self.audit, self.clock.now());
        self.metrics.set_watch(health.synced, health.age, self.queue.depth());
        if let Some(status) = &self.delivery {
            self.metrics.set_delivery(status);
        }
        self.metrics.render()
    }
}
