//! A server in this process, for `wfe dev` and `wfe demo`. The one module that knows how the server
//! is configured and started.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
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

/// Why a local server could not do its part.
#[derive(Debug, thiserror::Error)]
pub enum LocalError {
    /// It cannot be started.
    #[error("the server cannot be started in this process: {0}")]
    Start(&'static str),
    /// A directory for it cannot be made.
    #[error("a directory for the database cannot be made")]
    Directory(#[source] std::io::Error),
}

impl LocalError {
    /// The exit code of a command that ends with this.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            LocalError::Start(_) | LocalError::Directory(_) => Exit::Unavailable,
        }
    }
}

/// A running server.
#[derive(Debug)]
pub(crate) struct LocalServer {
    addresses: Addresses,
}

impl LocalServer {
    /// Starts a server on a simulated Tekton, with its database in `directory`. Returns when it
    /// serves.
    #[expect(clippy::unused_async, reason = "starting a server waits for its ports")]
    pub(crate) async fn start(
        directory: &Path,
        addresses: Addresses,
        pace: Pace,
    ) -> Result<LocalServer, LocalError> {
        let _ = (directory, pace, addresses);
        Err(LocalError::Start("not wired yet"))
    }

    /// Where it listens.
    pub(crate) fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Ends it in order.
    #[expect(clippy::unused_async, reason = "stopping a server waits for its calls")]
    pub(crate) async fn stop(self) -> Result<(), LocalError> {
        let LocalServer { addresses: _ } = self;
        Ok(())
    }
}
