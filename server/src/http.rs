//! Health and metrics over HTTP.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;
use wfe_runtime::error::chain;

use crate::{metrics::Metrics, reconcile::Queue, store::Store, tekton::Tekton};

/// What readiness is read from.
#[derive(Clone)]
pub struct Probes {
    store: Arc<dyn Store>,
    tekton: Arc<dyn Tekton>,
    queue: Arc<Queue>,
    metrics: Metrics,
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
    /// Whether the server takes calls.
    pub server: String,
}

const WELL: &str = "ok";

impl Probes {
    /// Puts the parts together.
    pub fn new(
        store: Arc<dyn Store>,
        tekton: Arc<dyn Tekton>,
        queue: Arc<Queue>,
        metrics: Metrics,
        draining: tokio_util::sync::CancellationToken,
    ) -> Self {
        Self { store, tekton, queue, metrics, draining }
    }

    /// How well each part is now.
    pub async fn readiness(&self) -> Readiness {
        let store = match tokio::time::timeout(Duration::from_secs(2), self.store.check()).await {
            Ok(Ok(())) => WELL.to_owned(),
            Ok(Err(error)) => chain(&error),
            Err(_) => "does not answer within 2 s".to_owned(),
        };
        let tekton = self.tekton.health().problem().unwrap_or_else(|| WELL.to_owned());
        let server = if self.draining.is_cancelled() { "shutting down" } else { WELL }.to_owned();
        let ready = [&store, &tekton, &server].into_iter().all(|part| part == WELL);
        Readiness { ready, store, tekton, server }
    }

    /// `/health` and `/ready`.
    pub fn health_router(self) -> Router {
        Router::new()
            .route("/health", get(async || Json(serde_json::json!({ "status": WELL }))))
            .route("/ready", get(ready))
            .with_state(self)
    }

    /// `/metrics`.
    pub fn metrics_router(self) -> Router {
        Router::new().route("/metrics", get(metrics)).with_state(self)
    }
}

async fn ready(State(probes): State<Probes>) -> (StatusCode, Json<Readiness>) {
    let readiness = probes.readiness().await;
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness))
}

async fn metrics(State(probes): State<Probes>) -> Response {
    let health = probes.tekton.health();
    probes.metrics.set_watch(health.synced, health.age, probes.queue.depth());
    match probes.metrics.render() {
        Ok(text) => ([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            tracing::error!(error = chain(&error), "cannot write metrics");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
