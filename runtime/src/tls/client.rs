//! Connections of a client whose authorities and certificate are in files.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject as _},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// The PEM files of a client. They are read for each connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientFiles {
    /// The authorities of the server. No others are trusted.
    pub ca: PathBuf,
    /// The client's own certificate and its key.
    pub identity: Option<ClientIdentity>,
}

/// The PEM files by which a client is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientIdentity {
    /// Its certificate with the chain.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl ClientFiles {
    /// A connection for HTTP/2 to `host`, which may be an address in brackets. What is wrong with a file
    /// is said with its name.
    pub async fn connect(&self, host: &str, port: u16) -> io::Result<TlsStream<TcpStream>> {
        let mut config = self.config().await?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        let host = host.trim_matches(['[', ']']);
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let stream = TcpStream::connect((host, port)).await?;
        stream.set_nodelay(true)?;
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
    }

    /// What is in the files now, for any protocol on top of TLS. What is wrong with a file is said with its
    /// name.
    pub async fn config(&self) -> io::Result<ClientConfig> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&self.ca).await? {
            roots.add(certificate).map_err(|error| about(&self.ca, error))?;
        }
        if roots.is_empty() {
            return Err(about(&self.ca, "there is no certificate in it"));
        }
        let config = ClientConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots);
        Ok(match &self.identity {
            None => config.with_no_client_auth(),
            Some(ClientIdentity { certificate, key }) => {
                let pem = read(key).await?;
                let private = PrivateKeyDer::from_pem_slice(&pem);
                let private = private.map_err(|error| about(key, error))?;
                config
                    .with_client_auth_cert(certificates(certificate).await?, private)
                    .map_err(|error| about(certificate, error))?
            }
        })
    }
}

async fn read(path: &Path) -> io::Result<Vec<u8>> {
    tokio::fs::read(path).await.map_err(|error| about(path, error))
}

async fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let pem = read(path).await?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    certificates.map_err(|error| about(path, error))
}

fn about(path: &Path, problem: impl std::fmt::Display) -> io::Error {
    io::Error::other(format!("{}: {problem}", path.display()))
}
