//! Pages of health and metrics, as a probe reads them.

use anyhow::Result;
use rustls::{ClientConfig, RootCertStore, crypto::ring};

/// One GET in the clear.
pub(crate) async fn get(url: &str) -> Result<reqwest::Response> {
    // Left out, it would be asked for a crypto provider of the whole process.
    let tls = ClientConfig::builder_with_provider(ring::default_provider().into())
        .with_safe_default_protocol_versions()?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let client = reqwest::Client::builder().tls_backend_preconfigured(tls).build()?;
    Ok(client.get(url).send().await?)
}
