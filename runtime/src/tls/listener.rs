//! Connections with TLS out of a listener.
//!
//! Handshakes run beside each other and have a time limit, so that a client that says nothing keeps
//! nobody else waiting.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use futures::Stream;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use super::ServerCertificate;

/// A connection whose handshake is done.
pub type TlsConnection = TlsStream<TcpStream>;

/// A handshake must be done within this time.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// At most this many handshakes at once; further clients wait to be accepted.
const MAX_HANDSHAKES: usize = 512;

/// When the system has no more connections to give, it is left alone for this long.
const EXHAUSTED: Duration = Duration::from_millis(50);

/// Listens for connections with TLS. Serves axum by itself and tonic as a [stream](Self::into_stream).
#[derive(Debug)]
pub struct TlsListener {
    listener: TcpListener,
    certificate: Arc<ServerCertificate>,
    handshakes: JoinSet<Option<(TlsConnection, SocketAddr)>>,
}

impl TlsListener {
    /// Shows to each new connection what `certificate` is then.
    pub fn new(listener: TcpListener, certificate: Arc<ServerCertificate>) -> Self {
        Self { listener, certificate, handshakes: JoinSet::new() }
    }

    /// The next connection whose handshake is done. May be dropped and called again: nothing is lost.
    pub async fn accept(&mut self) -> (TlsConnection, SocketAddr) {
        loop {
            tokio::select! {
                Some(done) = self.handshakes.join_next() => {
                    if let Ok(Some(connection)) = done {
                        return connection;
                    }
                }
                accepted = self.listener.accept(), if self.handshakes.len() < MAX_HANDSHAKES => {
                    match accepted {
                        Ok((stream, peer)) => self.begin(stream, peer),
                        Err(error) => {
                            tracing::debug!(%error, "a connection could not be accepted");
                            tokio::time::sleep(EXHAUSTED).await;
                        }
                    }
                }
            }
        }
    }

    fn begin(&mut self, stream: TcpStream, peer: SocketAddr) {
        let acceptor = TlsAcceptor::from(self.certificate.config());
        self.handshakes.spawn(async move {
            let shaken = async {
                stream.set_nodelay(true)?;
                acceptor.accept(stream).await
            };
            match tokio::time::timeout(HANDSHAKE, shaken).await {
                Ok(Ok(connection)) => Some((connection, peer)),
                Ok(Err(error)) => {
                    tracing::debug!(%peer, %error, "a TLS handshake failed");
                    None
                }
                Err(_) => {
                    tracing::debug!(%peer, "a TLS handshake was not done in time");
                    None
                }
            }
        });
    }

    /// The connections as a stream, which does not end.
    pub fn into_stream(self) -> impl Stream<Item = io::Result<TlsConnection>> + Send {
        futures::stream::unfold(self, async |mut listener| {
            let (connection, _) = listener.accept().await;
            Some((Ok(connection), listener))
        })
    }
}

impl axum::serve::Listener for TlsListener {
    type Io = TlsConnection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TlsConnection, SocketAddr) {
        Self::accept(self).await
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

#[cfg(test)]
mod tests;
