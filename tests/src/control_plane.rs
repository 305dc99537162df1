//! The control plane that `cargo xtask e2e` handed to the tests, and taking parts of it away.

use std::env;
use std::fs::File;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use futures::FutureExt;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::ListParams;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use wfe_control_plane::health_port::HealthPort;
use wfe_control_plane::{cluster, env as variables, probe, state};

use crate::namespace::LABEL;
use crate::wait::{PATIENCE, RECOVERY, eventually};

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

    /// Runs a test that stops or freezes components: alone, after the tests that have the control plane. Whatever the
    /// test took away is back, and runs work again, when this returns.
    ///
    /// # Errors
    ///
    /// What the test answered, and when the control plane does not recover.
    pub async fn alone<T>(test: impl AsyncFnOnce(&Self) -> Result<T>) -> Result<T> {
        let plane = Self::claimed(File::lock)?;
        plane.settle().await?;
        let tested = AssertUnwindSafe(test(&plane)).catch_unwind().await;
        let recovered = plane.recover().await;
        let answer = tested.unwrap_or_else(|panic| resume_unwind(panic))?;
        recovered?;
        Ok(answer)
    }

    /// Waits until no namespace of a test is left. One that is being removed when the API server goes away is forgotten
    /// with runs left in it, and the removal takes time from what is measured.
    ///
    /// # Errors
    ///
    /// When one is still there after a few minutes.
    pub async fn settle(&self) -> Result<()> {
        let namespaces = Api::<Namespace>::all(self.client().await?);
        let ours = ListParams::default().labels(LABEL);
        eventually(RECOVERY, "the namespaces of earlier tests being gone", || async {
            let left = namespaces.list(&ours).await.map_err(|error| error.to_string())?;
            if left.items.is_empty() { Ok(()) } else { Err(format!("{} left", left.items.len())) }
        })
        .await
    }

    // What was built with client-go remembers the outages of the last minutes and would come back later after each.
    // New processes remember nothing, so that one test's outage is not felt in another.
    async fn recover(&self) -> Result<()> {
        const CLIENTS: [&str; 5] = [
            "kube-controller-manager",
            "kube-scheduler",
            "kwok",
            "tekton-controller",
            "tekton-resolvers",
        ];
        state::restore(&self.dir)?;
        let client = self.client().await?;
        cluster::wait_ready(&client, PATIENCE).await?;
        let stops = CLIENTS.map(|name| state::stop(&self.dir, name));
        futures::future::try_join_all(stops).await?;
        probe::forget_leaders(&client).await?;
        let _health_port = HealthPort::hold();
        state::restore(&self.dir)?;
        probe::resolvers_lead(&client, RECOVERY).await?;
        probe::resolves_a_bundle(&client, &self.registry, RECOVERY).await
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
        self.client_with(self.token(user)?).await
    }

    /// A client of whoever has this bearer token.
    ///
    /// # Errors
    ///
    /// When the kubeconfig cannot be used.
    pub async fn client_with(&self, token: String) -> Result<Client> {
        let file = Kubeconfig::read_from(&self.kubeconfig)?;
        let mut config =
            Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?;
        config.auth_info = AuthInfo { token: Some(token.into()), ..AuthInfo::default() };
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

    /// Starts a stopped component again; of the API server it returns when it is ready. Others need
    /// [`RECOVERY`] to find it.
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
