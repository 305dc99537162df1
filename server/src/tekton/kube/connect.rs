//! How a cluster is reached, and what makes it unfit.

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

/// A cluster cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nothing says which cluster.
    #[error(
        "no cluster is configured: set KUBECONFIG, or run in a pod with a service account \
         (`--engine simulator` needs no cluster)"
    )]
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
    /// The namespace of the runs is missing.
    #[error(
        "namespace {namespace} does not exist in the cluster; create it with \
         `kubectl create namespace {namespace}` or set --namespace"
    )]
    NoNamespace {
        /// The namespace.
        namespace: String,
    },
    /// Tekton is missing.
    #[error(
        "the cluster does not serve PipelineRuns and TaskRuns of tekton.dev/v1; install Tekton Pipelines"
    )]
    NoTekton,
    /// The cluster did not answer.
    #[error("the cluster does not answer")]
    Unanswered(#[source] Box<dyn Error + Send + Sync>),
}

/// A client for a kubeconfig, or for the cluster of the environment.
pub(super) async fn client(kubeconfig: Option<&Path>) -> Result<Client, ConnectError> {
    let mut config = match kubeconfig {
        None => Config::infer().await.map_err(|error| ConnectError::NotConfigured(error.into()))?,
        Some(path) => {
            let unusable = |source| ConnectError::Kubeconfig { path: path.to_owned(), source };
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
    Client::try_from(config).map_err(|error| ConnectError::Credentials(error.into()))
}
