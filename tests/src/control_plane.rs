//! The control plane that `cargo xtask e2e` handed to the tests, and taking parts of it away.

use std::env;
use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use wfe_control_plane::{cluster, env as variables, state};

use crate::wait::PATIENCE;

/// The component that tests take away most.
pub const API_SERVER: &str = "kube-apiserver";

/// A running control plane.
#[derive(Debug)]
pub struct ControlPlane {
    dir: PathBuf,
    kubeconfig: PathBuf,
    registry: String,
    _claim: File,
}

impl ControlPlane {
    /// The control plane of this run, shared with other tests. No component of it goes away while this value lives.
    ///
    /// # Errors
    ///
    /// When the tests were started without one.
    pub fn from_env() -> Result<Self> {
        Self::claimed(File::lock_shared)
    }

    /// The control plane of this run, for this test alone: waits for the tests that have it and holds up those that want
    /// it. For tests that stop or freeze a component.
    ///
    /// # Errors
    ///
    /// When the tests were started without one.
    pub fn alone_from_env() -> Result<Self> {
        Self::claimed(File::lock)
    }

    fn claimed(lock: fn(&File) -> std::io::Result<()>) -> Result<Self> {
        let dir = PathBuf::from(variable(variables::DIRECTORY)?);
        let claim =
            File::create(dir.join("tests.lock")).context("the control plane's directory")?;
        lock(&claim)?;
        Ok(Self {
            dir,
            kubeconfig: PathBuf::from(variable(variables::KUBECONFIG)?),
            registry: variable(variables::REGISTRY)?,
            _claim: claim,
        })
    }

    /// Where bundles are pushed to, as `host:port`.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The administrator's kubeconfig.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The control plane's directory: logs, state.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The bearer token of a test user.
    ///
    /// # Errors
    ///
    /// When there is no such user: a cluster that existed before has none.
    pub fn token(&self, user: &str) -> Result<String> {
        variable(&variables::token(user))
    }

    /// A client with all rights.
    ///
    /// # Errors
    ///
    /// When the kubeconfig cannot be used.
    pub async fn client(&self) -> Result<Client> {
        cluster::client(&self.kubeconfig).await
    }

    /// A client of a test user.
    ///
    /// # Errors
    ///
    /// When there is no such user.
    pub async fn client_as(&self, user: &str) -> Result<Client> {
        let file = Kubeconfig::read_from(&self.kubeconfig)?;
        let mut config =
            Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
        config.auth_info =
            AuthInfo { token: Some(self.token(user)?.into()), ..AuthInfo::default() };
        Ok(Client::try_from(config)?)
    }

    /// Ends a component; returns when it is gone.
    ///
    /// # Errors
    ///
    /// When there is no such component.
    pub async fn stop_component(&self, name: &str) -> Result<()> {
        state::stop(&self.dir, name).await
    }

    /// Starts a stopped component again; of the API server it returns when it is ready.
    ///
    /// # Errors
    ///
    /// When there is no such component, or the API server does not become ready.
    pub async fn start_component(&self, name: &str) -> Result<()> {
        state::start(&self.dir, name)?;
        if name == API_SERVER {
            cluster::wait_ready(&self.client().await?, PATIENCE).await?;
        }
        Ok(())
    }

    /// Freezes a component: its connections stay open and nothing answers.
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub fn pause_component(&self, name: &str) -> Result<()> {
        state::pause(&self.dir, name)
    }

    /// Lets a frozen component go on.
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub fn resume_component(&self, name: &str) -> Result<()> {
        state::resume(&self.dir, name)
    }
}

fn variable(name: &str) -> Result<String> {
    env::var(name).with_context(|| {
        format!(
            "{name} is not set: run `cargo xtask e2e`, or source the env file of a control plane"
        )
    })
}
