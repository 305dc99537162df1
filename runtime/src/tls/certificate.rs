//! What a server shows to its clients, and whom it asks to show something. Can be replaced while
//! connections are open: they go on as they began, the next one begins anew.

use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject as _},
    },
    server::{VerifierBuilderError, WebPkiClientVerifier, danger::ClientCertVerifier},
};

/// The protocols that are spoken inside TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocols {
    /// HTTP/2 alone, which gRPC needs.
    Grpc,
    /// HTTP/2 and HTTP/1.1.
    Http,
}

impl Protocols {
    fn alpn(self) -> Vec<Vec<u8>> {
        match self {
            Self::Grpc => vec![b"h2".to_vec()],
            Self::Http => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        }
    }
}

/// What a server's TLS is made of, as PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerMaterial {
    /// The certificate and what stands between it and its authority.
    pub certificate: Vec<u8>,
    /// The private key of the certificate.
    pub key: Vec<u8>,
    /// The authorities of clients' certificates. With them a client may show a certificate, and one
    /// that none of them signed ends the connection; without them no certificate is asked for.
    pub client_ca: Option<Vec<u8>>,
}

/// Shows no key.
impl fmt::Debug for ServerMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerMaterial").finish_non_exhaustive()
    }
}

/// A server cannot be made of this.
#[derive(Debug, thiserror::Error)]
pub enum MaterialError {
    /// The certificate is no PEM.
    #[error("the certificate is not PEM")]
    Certificate(#[source] pem::Error),
    /// There is no certificate where one should be.
    #[error("there is no certificate in it")]
    NoCertificate,
    /// The key is no PEM, or there is none.
    #[error("the private key is not PEM")]
    Key(#[source] pem::Error),
    /// Certificate and key do not go together, or rustls does not know their kind.
    #[error("the certificate and its private key cannot be used together")]
    Pair(#[source] rustls::Error),
    /// An authority of clients cannot be used.
    #[error("the authority of clients cannot be used")]
    ClientAuthority(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What a server shows now.
pub struct ServerCertificate {
    protocols: Protocols,
    current: RwLock<Arc<ServerConfig>>,
}

impl fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerCertificate")
            .field("protocols", &self.protocols)
            .finish_non_exhaustive()
    }
}

impl ServerCertificate {
    /// Begins with `material`.
    pub fn new(protocols: Protocols, material: &ServerMaterial) -> Result<Self, MaterialError> {
        let config = config(protocols, material)?;
        Ok(Self { protocols, current: RwLock::new(Arc::new(config)) })
    }

    /// Shows `material` from the next connection on. When it cannot be used, nothing changes.
    pub fn replace(&self, material: &ServerMaterial) -> Result<(), MaterialError> {
        let config = Arc::new(config(self.protocols, material)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    /// How a connection that comes now is served.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn config(protocols: Protocols, material: &ServerMaterial) -> Result<ServerConfig, MaterialError> {
    // Named, so that it does not depend on which providers other crates bring into the process.
    let provider = Arc::new(ring::default_provider());
    let certificates = certificates(&material.certificate).map_err(MaterialError::Certificate)?;
    if certificates.is_empty() {
        return Err(MaterialError::NoCertificate);
    }
    let key = PrivateKeyDer::from_pem_slice(&material.key).map_err(MaterialError::Key)?;
    let clients = match &material.client_ca {
        None => WebPkiClientVerifier::no_client_auth(),
        Some(ca) => client_verifier(ca, &provider)?,
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(MaterialError::Pair)?
        .with_client_cert_verifier(clients)
        .with_single_cert(certificates, key)
        .map_err(MaterialError::Pair)?;
    config.alpn_protocols = protocols.alpn();
    Ok(config)
}

fn client_verifier(
    ca: &[u8],
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, MaterialError> {
    let unusable = MaterialError::ClientAuthority;
    let mut roots = RootCertStore::empty();
    for certificate in certificates(ca).map_err(|error| unusable(error.into()))? {
        roots.add(certificate).map_err(|error| unusable(error.into()))?;
    }
    // Optional: who shows none is told apart by a token.
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .allow_unauthenticated()
        .build()
        .map_err(|error: VerifierBuilderError| unusable(error.into()))
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
    CertificateDer::pem_slice_iter(pem).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::testing::Authority;

    #[test]
    fn a_key_of_another_certificate_is_refused_and_the_old_pair_stays() {
        let authority = Authority::new("tests");
        let (one, other) = (authority.server(&["localhost"]), authority.server(&["localhost"]));
        let certificate = ServerCertificate::new(Protocols::Grpc, &one).unwrap();
        let before = certificate.config();
        let mixed = ServerMaterial { key: other.key.clone(), ..one };
        let refused = certificate.replace(&mixed).unwrap_err();
        assert!(matches!(refused, MaterialError::Pair(_)), "{refused:?}");
        assert!(Arc::ptr_eq(&before, &certificate.config()));
        certificate.replace(&other).unwrap();
        assert!(!Arc::ptr_eq(&before, &certificate.config()));
    }

    #[test]
    fn what_is_no_certificate_is_refused_with_what_is_wrong() {
        let good = Authority::new("tests").server(&["localhost"]);
        let new = |material: &ServerMaterial| ServerCertificate::new(Protocols::Http, material);
        let empty = ServerMaterial { certificate: Vec::new(), ..good.clone() };
        assert!(matches!(new(&empty), Err(MaterialError::NoCertificate)));
        let no_key = ServerMaterial { key: b"what is this".to_vec(), ..good.clone() };
        assert!(matches!(new(&no_key), Err(MaterialError::Key(_))));
        let no_ca = ServerMaterial { client_ca: Some(Vec::new()), ..good };
        assert!(matches!(new(&no_ca), Err(MaterialError::ClientAuthority(_))));
    }
}
