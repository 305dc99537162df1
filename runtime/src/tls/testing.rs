//! Certificates for tests.

use std::time::Duration;

use jiff::Timestamp;
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use super::{
    ServerMaterial,
    issue::{self, Issued},
};
use crate::clock::{Clock as _, SystemClock};

/// An authority that signs what a test needs.
pub struct Authority {
    issued: Issued,
    now: Timestamp,
}

/// A client's certificate and key, PEM.
#[derive(Debug, Clone)]
pub struct ClientMaterial {
    /// The certificate.
    pub certificate: Vec<u8>,
    /// Its key.
    pub key: Vec<u8>,
}

impl Authority {
    /// A new authority, valid now.
    ///
    /// # Panics
    ///
    /// When it cannot be made.
    pub fn new(name: &str) -> Self {
        let now = SystemClock.now();
        let issued = issue::authority(name, now);
        Self { issued: issued.unwrap_or_else(|error| panic!("an authority: {error}")), now }
    }

    /// Its certificate, PEM.
    pub fn pem(&self) -> &str {
        &self.issued.certificate
    }

    /// A new certificate for a server.
    ///
    /// # Panics
    ///
    /// When it cannot be made.
    pub fn server(&self, names: &[&str]) -> ServerMaterial {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let issued = issue::server(&self.issued, &names, self.now)
            .unwrap_or_else(|error| panic!("a server's certificate: {error}"));
        ServerMaterial {
            certificate: issued.certificate.into_bytes(),
            key: issued.key.into_bytes(),
            client_ca: None,
        }
    }

    /// A new certificate for a client with up to two groups, valid for an hour.
    pub fn client(&self, user: &str, groups: &[&str]) -> ClientMaterial {
        self.client_for(user, groups, Duration::from_hours(1))
    }

    /// A new certificate for a client.
    ///
    /// # Panics
    ///
    /// When it cannot be made.
    pub fn client_for(&self, user: &str, groups: &[&str], lifetime: Duration) -> ClientMaterial {
        let issued = issue::client(&self.issued, user, groups, self.now, lifetime)
            .unwrap_or_else(|error| panic!("a client's certificate: {error}"));
        ClientMaterial {
            certificate: issued.certificate.into_bytes(),
            key: issued.key.into_bytes(),
        }
    }
}

/// How a client connects that trusts what is in `ca`, PEM, and nothing else.
///
/// # Panics
///
/// When there is no certificate in it.
pub fn client_config(ca: &[u8]) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca) {
        let certificate = certificate.unwrap_or_else(|error| panic!("an authority: {error}"));
        roots.add(certificate).unwrap_or_else(|error| panic!("an authority: {error}"));
    }
    ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap_or_else(|error| panic!("versions of TLS: {error}"))
        .with_root_certificates(roots)
        .with_no_client_auth()
}
