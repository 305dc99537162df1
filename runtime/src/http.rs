//! Small HTTP servers: health and metrics.

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::error::chain;

/// Serves until `stopping`.
pub async fn serve(listener: TcpListener, router: Router, stopping: CancellationToken) {
    let served = axum::serve(listener, router)
        .with_graceful_shutdown(async move { stopping.cancelled().await })
        .await;
    if let Err(error) = served {
        tracing::error!(error = chain(&error), "an HTTP server ended");
    }
}
