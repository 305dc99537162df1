//! `wfe dev`: serves in this process, on a simulated Tekton or on a cluster, until Ctrl-C.

use std::{
    fs,
    io::{self, IsTerminal as _},
};

use serde_json::json;
use tracing_subscriber::EnvFilter;
use wfe_server::config::Gates;

use crate::{
    args::{DevArgs, Global, Output},
    context::Context,
    error::Error,
    exit::Exit,
    local::{
        self, Addresses, Backend, BridgeAddresses, LocalBridge, LocalError, LocalServer, Pace,
        Prepared,
    },
    render,
};

pub(super) async fn run(
    context: &mut Context,
    global: &Global,
    args: DevArgs,
) -> Result<Exit, Error> {
    log("info");
    fs::create_dir_all(&args.dir).map_err(LocalError::Directory)?;
    let addresses =
        Addresses { grpc: args.grpc_addr, health: args.health_addr, metrics: args.metrics_addr };
    let gates = Gates::dev();
    match &args.kubeconfig {
        None => {
            let backend = Backend::Simulated(Pace::Readable);
            let server = LocalServer::start(&args.dir, addresses, backend, gates).await?;
            let told = tell(context, global, server.addresses(), &args);
            until_interrupted(context, &told).await;
            server.stop().await?;
            told
        }
        Some(kubeconfig) => {
            let prepared =
                local::prepare(kubeconfig, &args.namespace).await.map_err(LocalError::from)?;
            let backend = Backend::Cluster { kubeconfig, namespace: &args.namespace };
            let server = LocalServer::start(&args.dir, addresses, backend, gates).await?;
            let bridge = BridgeAddresses {
                health: args.bridge_health_addr,
                metrics: args.bridge_metrics_addr,
            };
            let grpc = server.addresses().grpc;
            let bridge = LocalBridge::start(kubeconfig, grpc, bridge).await?;
            let told = tell_cluster(context, global, &server, &bridge, &args, &prepared);
            until_interrupted(context, &told).await;
            bridge.stop().await?;
            server.stop().await?;
            told
        }
    }
    .map(|()| Exit::Ok)
}

async fn until_interrupted(context: &mut Context, told: &Result<(), Error>) {
    if told.is_ok() {
        context.interrupt.cancelled().await;
        context.note("stopping; Ctrl-C again ends it at once");
    }
}

/// Sends the server's log to stderr, as much as `RUST_LOG` says, or else `default`.
pub(super) fn log(default: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    // Who called this as a library may have a subscriber already; then that one is used.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(wfe_runtime::log::discreet(filter))
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        .try_init();
}

/// How long a target rests after a success.
fn rest() -> String {
    let Gates { cooldown_period, .. } = Gates::dev();
    render::time::span(cooldown_period)
}

fn tell(
    context: &mut Context,
    global: &Global,
    addresses: Addresses,
    args: &DevArgs,
) -> Result<(), Error> {
    let Addresses { grpc, health, metrics } = addresses;
    match global.output {
        Output::Json => context.say(
            &json!({
                "grpcAddress": grpc.to_string(),
                "healthAddress": health.to_string(),
                "metricsAddress": metrics.to_string(),
                "directory": args.dir,
            })
            .to_string(),
        ),
        Output::Text => {
            let server: crate::ServerAddress = grpc.to_string().parse().map_err(Error::Usage)?;
            let option = server.as_option();
            let (directory, rest) = (args.dir.display(), rest());
            context.say(&format!(
                "\
Serving with a simulated Tekton, without authentication; the database is in {directory}.
After a success a target rests for {rest}.
  gRPC     {grpc}
  health   http://{health}/health  http://{health}/ready
  metrics  http://{metrics}/metrics

Try in another terminal:
  wfe start --bundle registry.example/demo/three-tasks-in-order:v1 --target default/deployment/api --wait{option}
  grpcurl -plaintext {grpc} list

Ctrl-C ends it."
            ))
        }
    }
}

fn tell_cluster(
    context: &mut Context,
    global: &Global,
    server: &LocalServer,
    bridge: &LocalBridge,
    args: &DevArgs,
    prepared: &Prepared,
) -> Result<(), Error> {
    let Addresses { grpc, health, metrics } = server.addresses();
    let bridge = bridge.addresses();
    match global.output {
        Output::Json => context.say(
            &json!({
                "grpcAddress": grpc.to_string(),
                "healthAddress": health.to_string(),
                "metricsAddress": metrics.to_string(),
                "bridgeHealthAddress": bridge.health.to_string(),
                "bridgeMetricsAddress": bridge.metrics.to_string(),
                "directory": args.dir,
                "created": prepared.created,
            })
            .to_string(),
        ),
        Output::Text => {
            let server: crate::ServerAddress = grpc.to_string().parse().map_err(Error::Usage)?;
            let (option, directory) = (server.as_option(), args.dir.display());
            let (namespace, rest) = (&args.namespace, rest());
            let created = match prepared.created.as_slice() {
                [] => String::new(),
                created => format!("Created in the cluster: {}.\n", created.join(", ")),
            };
            let (bridge_health, bridge_metrics) = (bridge.health, bridge.metrics);
            context.say(&format!(
                "\
{created}Serving the cluster, without authentication; runs are in namespace {namespace}, the database is in {directory}.
After a success a target rests for {rest}.
  gRPC     {grpc}
  health   http://{health}/ready  http://{bridge_health}/ready (bridge)
  metrics  http://{metrics}/metrics  http://{bridge_metrics}/metrics (bridge)

Try in another terminal:
  kubectl apply -f deploy/samples
  kubectl get workflowexecutions --all-namespaces --watch
  wfe list{option}

Ctrl-C ends it. Runs go on; they are found again at the next start."
            ))
        }
    }
}
