//! kubectl as people use it: what it is told, and what it says.

use std::path::PathBuf;
use std::process::{Output, Stdio};

use anyhow::{Context, Result, ensure};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::ControlPlane;

/// A kubectl for one namespace, with all rights.
#[derive(Debug, Clone)]
pub struct Kubectl {
    kubeconfig: PathBuf,
    cache: PathBuf,
    namespace: String,
}

impl Kubectl {
    /// The control plane's kubectl.
    #[must_use]
    pub fn new(plane: &ControlPlane, namespace: &str) -> Self {
        Self {
            kubeconfig: plane.kubeconfig().to_owned(),
            cache: plane.dir().join("home/kubectl-cache"),
            namespace: namespace.to_owned(),
        }
    }

    /// What it prints.
    ///
    /// # Errors
    ///
    /// When it fails; the error is what it says.
    pub async fn run(&self, arguments: &[&str]) -> Result<String> {
        self.run_with(arguments, "").await
    }

    /// What it prints when it is given `input`, which `-f -` reads.
    ///
    /// # Errors
    ///
    /// When it fails; the error is what it says.
    pub async fn run_with(&self, arguments: &[&str], input: &str) -> Result<String> {
        let output = self.output(arguments, input).await?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "kubectl {}: {said}", arguments.join(" "));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// What it prints when it applies this manifest.
    ///
    /// # Errors
    ///
    /// When it fails; the error is what it says.
    pub async fn apply(&self, manifest: &str) -> Result<String> {
        self.run_with(&["apply", "-f", "-"], manifest).await
    }

    /// What it says when it fails.
    ///
    /// # Errors
    ///
    /// When it succeeds.
    pub async fn refused(&self, arguments: &[&str], input: &str) -> Result<String> {
        let output = self.output(arguments, input).await?;
        let printed = String::from_utf8_lossy(&output.stdout);
        ensure!(!output.status.success(), "kubectl {}: {printed}", arguments.join(" "));
        Ok(String::from_utf8(output.stderr)?)
    }

    async fn output(&self, arguments: &[&str], input: &str) -> Result<Output> {
        let mut child = Command::new("kubectl")
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .arg("--cache-dir")
            .arg(&self.cache)
            .args(["--namespace", &self.namespace])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("run kubectl")?;
        let mut stdin = child.stdin.take().context("kubectl's input")?;
        // kubectl may end without reading it.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        child.wait_with_output().await.context("kubectl")
    }
}
