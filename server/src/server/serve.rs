//! The gRPC server: the service, its health and its reflection on one listener, until it drains.

use std::time::Duration;

use futures::FutureExt as _;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::TcpIncoming;
use tonic_health::ServingStatus;
use wfe_proto::v1::execution_service_server::{ExecutionServiceServer, SERVICE_NAME};
use wfe_runtime::error::chain;

use super::Incoming;
use crate::{grpc, http::Probes};

/// grpc.health.v1 is brought in step with readiness this often. Each look proves by a small write that
/// the store can write.
const HEALTH_INTERVAL: Duration = Duration::from_secs(5);

/// The same while the server is not ready: clients wait for it.
const UNREADY_INTERVAL: Duration = Duration::from_millis(200);

/// At most this many calls at once on one connection. A watch is a call that stays open, and a client
/// that follows many executions has them all on one connection, for which 10,000 watches are the
/// budget; the rest is for the calls beside them. Past this the client's next call waits unsent, so it
/// is set, not left to what the libraries think best: 200 for hyper, no bound at all for tonic.
const MAX_STREAMS_PER_CONNECTION: u32 = 16_384;

/// What clients may send on one connection before it is read. h2 takes a connection for an attack, and
/// ends it, when half of this is used up by what messages of less than 256 bytes lack to that size. A
/// client that opens all its watches at once, as after a restart, must not come near to it.
const CONNECTION_WINDOW_BYTES: u32 = 2 * 256 * MAX_STREAMS_PER_CONNECTION;

/// Serves until `draining`, then lets open calls end.
pub(super) async fn serve_grpc(
    incoming: Incoming,
    executions: ExecutionServiceServer<grpc::Door>,
    probes: Probes,
    draining: CancellationToken,
) {
    let (reporter, health) = tonic_health::server::health_reporter();
    let reflection =
        |version: &str| tracing::error!(version, "no reflection: the contract cannot be read");
    let builder = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(wfe_proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
    };
    let v1 = builder().build_v1().inspect_err(|_| reflection("v1")).ok();
    let v1alpha = builder().build_v1alpha().inspect_err(|_| reflection("v1alpha")).ok();
    let report = report_health(reporter, probes, draining.clone());
    let router = tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(20)))
        .http2_keepalive_timeout(Some(Duration::from_secs(20)))
        .max_concurrent_streams(MAX_STREAMS_PER_CONNECTION)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .layer(grpc::ExplainLayer)
        .add_service(health)
        .add_optional_service(v1)
        .add_optional_service(v1alpha)
        .add_service(executions);
    let drained = draining.cancelled().map(|()| ());
    let serve = async {
        match incoming {
            Incoming::Plain(listener) => {
                let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
                router.serve_with_incoming_shutdown(incoming, drained).await
            }
            Incoming::Tls(listener) => {
                router.serve_with_incoming_shutdown(listener.into_stream(), drained).await
            }
        }
    };
    let (served, ()) = tokio::join!(serve, report);
    if let Err(error) = served {
        tracing::error!(error = chain(&error), "the gRPC server ended");
    }
}

/// Keeps grpc.health.v1 in step with readiness until the server stops.
async fn report_health(
    reporter: tonic_health::server::HealthReporter,
    probes: Probes,
    draining: CancellationToken,
) {
    loop {
        let readiness = probes.readiness().await;
        let (status, pause) = if readiness.ready {
            (ServingStatus::Serving, HEALTH_INTERVAL)
        } else {
            (ServingStatus::NotServing, UNREADY_INTERVAL)
        };
        for name in ["", SERVICE_NAME] {
            reporter.set_service_status(name, status).await;
        }
        if draining.is_cancelled() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = draining.cancelled() => {}
        }
    }
}
