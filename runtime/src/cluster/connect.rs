//! How a cluster is reached.

use std::{
    error::Error,
    path::{Path, PathBuf},
    time::Duration,
};

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

use super::watch::SILENCE;

/// A connection must be up within this time, TLS included.
const CONNECT: Duration = Duration::from_secs(5);

/// Nothing that could talk to a cluster can be made.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nothing says which cluster.
    #[error("no cluster is configured: set KUBECONFIG, or run in a pod with a service account")]
    NotConfigured(#[source] Box<dyn Error + Send + Sync>),
    /// The kubeconfig cannot be used.
    #[error("kubeconfig {path} cannot be used")]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The credentials or certificates cannot be used.
    #[error("the cluster's credentials cannot be used")]
    Credentials(#[source] Box<dyn Error + Send + Sync>),
}

/// A client for a kubeconfig, or for the cluster of the environment: `KUBECONFIG`, `~/.kube/config`,
/// or the service account of the pod. Its timeouts fit [`super::keep`]. Says nothing to the cluster.
pub async fn client(kubeconfig: Option<&Path>) -> Result<Client, ClientError> {
    let mut config = match kubeconfig {
        None => Config::infer().await.map_err(|error| ClientError::NotConfigured(error.into()))?,
        Some(path) => {
            let unusable = |source| ClientError::Kubeconfig { path: path.to_owned(), source };
            let file = Kubeconfig::read_from(path).map_err(|error| unusable(error.into()))?;
            let options = KubeConfigOptions::default();
            let config = Config::from_custom_kubeconfig(file, &options).await;
            config.map_err(|error| unusable(error.into()))?
        }
    };
    config.connect_timeout = Some(CONNECT);
    // A connection over which nothing comes for longer than any answer or watch takes is dead.
    config.read_timeout = Some(SILENCE);
    config.write_timeout = Some(CONNECT);
    config.reset_reader_on_write = true;
    // Who calls decides whether and when to try again.
    config.default_retry = false;
    Client::try_from(config).map_err(|error| ClientError::Credentials(error.into()))
}
