//! A Kubernetes client for a kubeconfig file, and whether the API server behind it is ready.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use http::Request;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::wait::eventually;

/// A client for the current context of a kubeconfig file.
///
/// # Errors
///
/// When the file cannot be read or used.
pub async fn client(kubeconfig: &Path) -> Result<Client> {
    let read = async || -> Result<Client> {
        let file = Kubeconfig::read_from(kubeconfig)?;
        let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
        Ok(Client::try_from(config)?)
    };
    read().await.with_context(|| format!("use {}", kubeconfig.display()))
}

/// One look at the API server.
///
/// # Errors
///
/// What it or the network answered instead of "ready".
pub async fn ready(client: &Client) -> Result<(), String> {
    let request = Request::get("/readyz").body(Vec::new()).map_err(|error| error.to_string())?;
    match tokio::time::timeout(Duration::from_secs(2), client.request_text(request)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no answer within 2 s".to_owned()),
    }
}

/// Waits until the API server says that it is ready.
///
/// # Errors
///
/// When it does not say so within `deadline`.
pub async fn wait_ready(client: &Client, deadline: Duration) -> Result<()> {
    eventually(deadline, "a ready API server", || ready(client)).await
}
