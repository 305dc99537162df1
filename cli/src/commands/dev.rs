//! `wfe dev`: serves in this process on a simulated Tekton until Ctrl-C.

use std::{
    fs,
    io::{self, IsTerminal as _},
};

use serde_json::json;
use tracing_subscriber::EnvFilter;

use crate::{
    args::{DevArgs, Global, Output},
    context::Context,
    error::Error,
    exit::Exit,
    local::{Addresses, LocalError, LocalServer, Pace},
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
    let server = LocalServer::start(&args.dir, addresses, Pace::Readable).await?;
    let told = tell(context, global, server.addresses(), &args);
    if told.is_ok() {
        context.interrupt.cancelled().await;
        context.note("stopping; Ctrl-C again ends it at once");
    }
    server.stop().await?;
    told.map(|()| Exit::Ok)
}

/// Sends the server's log to stderr, as much as `RUST_LOG` says, or else `default`.
pub(super) fn log(default: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    // Who called this as a library may have a subscriber already; then that one is used.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        .try_init();
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
            let directory = args.dir.display();
            context.say(&format!(
                "\
Serving with a simulated Tekton, without authentication; the database is in {directory}.
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
