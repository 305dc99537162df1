//! Calls in the clear, to addresses of this machine.

use anyhow::Result;
use reqwest::Client;
use rustls::{ClientConfig, RootCertStore, crypto::ring};

/// A client for them. Left to itself it would ask for a crypto provider of the whole process, and panic when there is none.
///
/// # Errors
///
/// When it cannot be made.
pub fn client() -> Result<Client> {
    let tls = ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    Ok(Client::builder().no_proxy().tls_backend_preconfigured(tls).build()?)
}
