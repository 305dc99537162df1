//! Calling a server that tells its callers apart.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use wfe_runtime::grpc::Bearer;
use wfe_runtime::tls::ClientFiles;

use crate::wait::{PATIENCE, eventually};
use crate::{Account, ControlPlane};

/// The audience of tokens for the server, as it is unless set otherwise.
pub const AUDIENCE: &str = "wfe";

/// The flags of a server that tells its callers apart, with its certificate in `secret` (`namespace/name`). What the API
/// server says is believed for 200 ms, so that tests need not wait.
#[must_use]
pub fn server_flags<'a>(secret: &'a str, bridge: &'a str) -> Vec<&'a str> {
    vec![
        "--authentication",
        "kubernetes",
        "--authorization-cache",
        "200ms",
        "--tls-secret",
        secret,
        "--tls-names",
        "localhost,127.0.0.1",
        "--trusted-bridges",
        bridge,
    ]
}

/// Writes the authorities that a server has put into its Secret into `directory`.
///
/// # Errors
///
/// When there are none within a minute.
pub async fn authorities(client: &Client, secret: &str, directory: &Path) -> Result<PathBuf> {
    let (namespace, name) = secret.split_once('/').context("namespace/name")?;
    let secrets = Api::<Secret>::namespaced(client.clone(), namespace);
    let ca = eventually(PATIENCE, "the server has made a certificate", async || {
        let secret = secrets.get(name).await.map_err(|error| error.to_string())?;
        let ca = secret.data.and_then(|mut data| data.remove("ca.crt"));
        ca.ok_or_else(|| "no ca.crt".to_owned())
    })
    .await?;
    let path = directory.join("ca.crt");
    std::fs::write(&path, ca.0)?;
    Ok(path)
}

/// Trusts these authorities, and shows no certificate.
#[must_use]
pub fn trusting(ca: &Path) -> ClientFiles {
    ClientFiles { ca: ca.to_owned(), identity: None }
}

/// A token of `account` for the server.
///
/// # Errors
///
/// When there is no such account.
pub async fn bearer(plane: &ControlPlane, account: &Account) -> Result<Bearer> {
    Ok(Bearer::text(&account.token_for(plane, &[AUDIENCE]).await?)?)
}
