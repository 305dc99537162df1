//! Acting as a service account, by a token of it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::PostParams;
use kube::config::Kubeconfig;
use kube::{Api, Client};
use serde_json::json;
use wfe_control_plane::state::write_private;

use crate::ControlPlane;

/// How long a token is good for, in seconds. Longer than any test.
const LIFETIME: i64 = 3600;

/// A service account of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl Account {
    /// The account with this name.
    #[must_use]
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// What the API server calls whoever has its token.
    #[must_use]
    pub fn username(&self) -> String {
        format!("system:serviceaccount:{}:{}", self.namespace, self.name)
    }

    /// A client with its rights.
    ///
    /// # Errors
    ///
    /// When there is no such account.
    pub async fn client(&self, plane: &ControlPlane) -> Result<Client> {
        plane.client_with(self.token(plane).await?).await
    }

    /// Writes a kubeconfig with its rights into `directory`.
    ///
    /// # Errors
    ///
    /// When there is no such account, or the file cannot be written.
    pub async fn kubeconfig(&self, plane: &ControlPlane, directory: &Path) -> Result<PathBuf> {
        let administrators = Kubeconfig::read_from(plane.kubeconfig())?;
        let context = administrators.current_context.as_deref().context("a current context")?;
        let contexts = administrators.contexts.iter();
        let context =
            contexts.filter(|named| named.name == context).find_map(|n| n.context.as_ref());
        let name = context.context("the current context")?.cluster.as_str();
        let cluster = administrators.clusters.iter().find(|cluster| cluster.name == name);
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": name,
            "clusters": [cluster.context("the cluster of the current context")?],
            "users": [{ "name": self.name, "user": { "token": self.token(plane).await? } }],
            "contexts": [{ "name": name, "context": { "cluster": name, "user": self.name } }],
        });
        let path = directory.join(format!("{}.kubeconfig", self.name));
        write_private(&path, &serde_json::to_vec_pretty(&config)?)?;
        Ok(path)
    }

    async fn token(&self, plane: &ControlPlane) -> Result<String> {
        self.token_for(plane, &[]).await
    }

    /// A token for these audiences; for the API server itself when there are none.
    ///
    /// # Errors
    ///
    /// When there is no such account.
    pub async fn token_for(&self, plane: &ControlPlane, audiences: &[&str]) -> Result<String> {
        let accounts = Api::<ServiceAccount>::namespaced(plane.client().await?, &self.namespace);
        let request = TokenRequest {
            spec: TokenRequestSpec {
                audiences: audiences.iter().map(ToString::to_string).collect(),
                expiration_seconds: Some(LIFETIME),
                ..Default::default()
            },
            ..Default::default()
        };
        let answer =
            accounts.create_token_request(&self.name, &PostParams::default(), &request).await;
        let answer = answer.with_context(|| format!("a token of {}", self.username()))?;
        Ok(answer.status.context("a token")?.token)
    }
}
