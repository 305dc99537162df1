//! Small HTTP servers: the pages about health and metrics that every process has.

use std::error::Error;

use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
    serve::Listener,
};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{error::chain, tls::TlsListener};

/// What a part says of itself when it is well.
pub const WELL: &str = "ok";

/// The content type of metrics: the text format of Prometheus.
const METRICS: &str = "text/plain; version=0.0.4";

/// How well each part of a process is. A part that is well says so by [`WELL`].
pub trait Readiness: Serialize {
    /// Whether the process does its work now.
    fn is_ready(&self) -> bool;
}

/// What the pages of a process tell.
pub trait Pages: Clone + Send + Sync + 'static {
    /// How well each part is.
    type Readiness: Readiness;

    /// How well each part is now.
    fn readiness(&self) -> impl Future<Output = Self::Readiness> + Send;

    /// All metrics in the text format of Prometheus.
    fn metrics(&self) -> Result<Vec<u8>, impl Error + 'static>;
}

/// `/health`: the process is alive. `/ready`: 200 when it does its work, else 503 and why not.
pub fn health_router<P: Pages>(pages: P) -> Router {
    Router::new()
        .route("/health", get(async || Json(serde_json::json!({ "status": WELL }))))
        .route("/ready", get(ready::<P>))
        .with_state(pages)
}

/// `/metrics`.
pub fn metrics_router<P: Pages>(pages: P) -> Router {
    Router::new().route("/metrics", get(metrics::<P>)).with_state(pages)
}

async fn ready<P: Pages>(State(pages): State<P>) -> Response {
    let readiness = pages.readiness().await;
    let ready = readiness.is_ready();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}

async fn metrics<P: Pages>(State(pages): State<P>) -> Response {
    match pages.metrics() {
        Ok(text) => ([(header::CONTENT_TYPE, METRICS)], text).into_response(),
        Err(error) => {
            tracing::error!(error = chain(&error), "cannot write metrics");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Serves until `stopping`.
pub async fn serve(listener: TcpListener, router: Router, stopping: CancellationToken) {
    serve_on(listener, router, stopping).await;
}

/// The same with TLS.
pub async fn serve_tls(listener: TlsListener, router: Router, stopping: CancellationToken) {
    serve_on(listener, router, stopping).await;
}

async fn serve_on<L: Listener>(listener: L, router: Router, stopping: CancellationToken)
where
    L::Addr: std::fmt::Debug,
{
    let served = axum::serve(listener, router)
        .with_graceful_shutdown(async move { stopping.cancelled().await })
        .await;
    if let Err(error) = served {
        tracing::error!(error = chain(&error), "an HTTP server ended");
    }
}
