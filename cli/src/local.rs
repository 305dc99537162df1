//! A server in this process, for `wfe dev` and `wfe demo`. The one module that knows how the server
//! is configured and started.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use wfe_server::{
    Config, Server,
    server::{StartError, StopError},
};

use crate::exit::Exit;

/// Where a local server listens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Addresses {
    /// gRPC.
    pub(crate) grpc: SocketAddr,
    /// Health over HTTP.
    pub(crate) health: SocketAddr,
    /// Metrics over HTTP.
    pub(crate) metrics: SocketAddr,
}

impl Addresses {
    /// Free ports on the loopback address.
    pub(crate) fn free() -> Addresses {
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Addresses { grpc: any, health: any, metrics: any }
    }
}

/// How fast the simulated tasks run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// So that a person can follow.
    Readable,
    /// As fast as possible.
    Fast,
}

impl Pace {
    const fn task_time(self) -> Duration {
        match self {
            Pace::Readable => Duration::from_millis(400),
            Pace::Fast => Duration::from_millis(40),
        }
    }
}

/// Why a local server could not do its part.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// It cannot be started.
    #[error("the server cannot be started in this process")]
    Start(#[source] Box<StartError>),
    /// It did not end in order.
    #[error("the server did not stop in order")]
    Stop(#[from] StopError),
    /// A directory for it cannot be made.
    #[error("a directory for the database cannot be made")]
    Directory(#[source] std::io::Error),
}

impl LocalError {
    /// The exit code of a command that ends with this.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            LocalError::Start(_) | LocalError::Stop(_) | LocalError::Directory(_) => {
                Exit::Unavailable
            }
        }
    }
}

/// A running server.
pub(crate) struct LocalServer {
    server: Server,
}

impl LocalServer {
    /// Starts a server on a simulated Tekton, with its database in `directory`. Returns when it
    /// takes calls.
    pub(crate) async fn start(
        directory: &Path,
        addresses: Addresses,
        pace: Pace,
    ) -> Result<LocalServer, LocalError> {
        let config = Config {
            grpc_address: addresses.grpc,
            health_address: addresses.health,
            metrics_address: addresses.metrics,
            simulated_task: pace.task_time(),
            shutdown_timeout: Duration::from_secs(5),
            ..Config::dev(directory)
        };
        let server =
            Server::start(config).await.map_err(|error| LocalError::Start(Box::new(error)))?;
        server.ready().await;
        Ok(LocalServer { server })
    }

    /// Where it listens.
    pub(crate) fn addresses(&self) -> Addresses {
        Addresses {
            grpc: self.server.grpc_address(),
            health: self.server.health_address(),
            metrics: self.server.metrics_address(),
        }
    }

    /// Ends it in order.
    pub(crate) async fn stop(self) -> Result<(), LocalError> {
        Ok(self.server.stop().await?)
    }
}
