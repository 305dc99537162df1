//! A server in this process, and a bridge beside it, for `wfe dev` and `wfe demo`. The one module that
//! knows how they are configured and started.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    time::Duration,
};

use wfe_bridge::{Bridge, bridge};
use wfe_runtime::process::Serving as _;
use wfe_server::{
    Config, Server,
    config::{Engine, Gates},
    server::{StartError, StopError},
};

use crate::exit::Exit;

mod cluster;

pub(crate) use cluster::{Prepared, prepare};

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

/// What runs the workflows of a local server.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Backend<'a> {
    /// A simulated Tekton.
    Simulated(Pace),
    /// Tekton in a cluster.
    Cluster {
        /// How it is reached.
        kubeconfig: &'a Path,
        /// Where runs are.
        namespace: &'a str,
    },
}

/// Why a local server could not do its part.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// The cluster cannot be made ready.
    #[error(transparent)]
    Cluster(#[from] cluster::PrepareError),
    /// The bridge cannot be started.
    #[error("the bridge cannot be started in this process")]
    StartBridge(#[source] Box<bridge::StartError>),
    /// The bridge did not end in order.
    #[error("the bridge did not stop in order")]
    StopBridge(#[from] bridge::StopError),
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
            LocalError::Cluster(_)
            | LocalError::Start(_)
            | LocalError::Stop(_)
            | LocalError::StartBridge(_)
            | LocalError::StopBridge(_)
            | LocalError::Directory(_) => Exit::Unavailable,
        }
    }
}

/// A running server.
pub(crate) struct LocalServer {
    server: Server,
}

impl LocalServer {
    /// Starts a server with its database in `directory` and these gates. Returns when it takes calls.
    pub(crate) async fn start(
        directory: &Path,
        addresses: Addresses,
        backend: Backend<'_>,
        gates: Gates,
    ) -> Result<LocalServer, LocalError> {
        let mut config = Config {
            grpc_address: addresses.grpc,
            health_address: addresses.health,
            metrics_address: addresses.metrics,
            shutdown_timeout: Duration::from_secs(5),
            gates,
            ..Config::dev(directory)
        };
        match backend {
            Backend::Simulated(pace) => config.simulated_task = pace.task_time(),
            Backend::Cluster { kubeconfig, namespace } => {
                config.engine = Engine::Tekton;
                config.kubeconfig = Some(kubeconfig.to_owned());
                namespace.clone_into(&mut config.namespace);
            }
        }
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

/// Where a local bridge listens.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BridgeAddresses {
    /// Health over HTTP.
    pub(crate) health: SocketAddr,
    /// Metrics over HTTP.
    pub(crate) metrics: SocketAddr,
}

/// A running bridge.
pub(crate) struct LocalBridge {
    bridge: Bridge,
}

impl LocalBridge {
    /// Starts a bridge between a cluster and the service at `server`. Returns when it is ready.
    pub(crate) async fn start(
        kubeconfig: &Path,
        server: SocketAddr,
        addresses: BridgeAddresses,
    ) -> Result<LocalBridge, LocalError> {
        let config = wfe_bridge::Config {
            server: server.into(),
            health_address: addresses.health,
            metrics_address: addresses.metrics,
            kubeconfig: Some(kubeconfig.to_owned()),
            shutdown_timeout: Duration::from_secs(5),
            ..wfe_bridge::Config::default()
        };
        let bridge = Bridge::start(config)
            .await
            .map_err(|error| LocalError::StartBridge(Box::new(error)))?;
        bridge.ready().await;
        Ok(LocalBridge { bridge })
    }

    /// Where it listens.
    pub(crate) fn addresses(&self) -> BridgeAddresses {
        BridgeAddresses {
            health: self.bridge.health_address(),
            metrics: self.bridge.metrics_address(),
        }
    }

    /// Ends it in order.
    pub(crate) async fn stop(self) -> Result<(), LocalError> {
        Ok(self.bridge.stop().await?)
    }
}
