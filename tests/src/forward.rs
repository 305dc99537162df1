//! A stable address in front of a server that moves, as a Kubernetes Service is.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};

/// Forwards connections. New ones go to where it points; those that are open stay where they are, until they are cut.
pub struct Forward {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    to: Mutex<Option<SocketAddr>>,
    open: Mutex<Vec<AbortHandle>>,
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Forward {
    /// Listens on a free loopback port. Until it points somewhere, connections are closed at once.
    ///
    /// # Errors
    ///
    /// When there is no free port.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, accepting })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends new connections there; `None` closes them at once.
    pub fn point_to(&self, to: Option<SocketAddr>) {
        *self.shared.to.lock().unwrap_or_else(PoisonError::into_inner) = to;
    }

    /// Cuts the open connections.
    pub fn cut(&self) {
        let open =
            std::mem::take(&mut *self.shared.open.lock().unwrap_or_else(PoisonError::into_inner));
        for connection in open {
            connection.abort();
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // The connections end with this.
    let mut connections = JoinSet::new();
    while let Ok((from, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        let to = *shared.to.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(to) = to {
            let connection = connections.spawn(forward(from, to));
            let mut open = shared.open.lock().unwrap_or_else(PoisonError::into_inner);
            open.retain(|connection| !connection.is_finished());
            open.push(connection);
        }
    }
}

async fn forward(mut from: TcpStream, to: SocketAddr) {
    // Both sides see the end of the connection; there is nobody else to tell.
    if let Ok(mut to) = TcpStream::connect(to).await {
        let _ = from.set_nodelay(true);
        let _ = to.set_nodelay(true);
        let _ = tokio::io::copy_bidirectional(&mut from, &mut to).await;
    }
}
