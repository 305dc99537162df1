//! kubectl, as a person uses it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use anyhow::{Context, Result, bail};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::ControlPlane;

/// kubectl with a kubeconfig, in a namespace.
#[derive(Debug, Clone)]
pub struct Kubectl {
    kubeconfig: PathBuf,
    namespace: String,
}

impl Kubectl {
    /// As the administrator of the control plane.
    #[must_use]
    pub fn new(plane: &ControlPlane, namespace: &str) -> Self {
        Self::with_kubeconfig(plane.kubeconfig(), namespace)
    }

    /// As whom a kubeconfig says.
    #[must_use]
    pub fn with_kubeconfig(kubeconfig: &Path, namespace: &str) -> Self {
        Self { kubeconfig: kubeconfig.to_owned(), namespace: namespace.to_owned() }
    }

    /// Runs it to the end; what it says is printed for people who read why a test failed.
    ///
    /// # Errors
    ///
    /// When it cannot be run.
    pub async fn try_run<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Result<Output> {
        self.run_with(arguments, "").await
    }

    /// Runs it, and answers what it wrote to standard output.
    ///
    /// # Errors
    ///
    /// When it fails, with what it said.
    pub async fn run<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Result<String> {
        said(self.try_run(arguments).await?)
    }

    /// `kubectl apply -f -` of this manifest.
    ///
    /// # Errors
    ///
    /// When it fails, with what it said.
    pub async fn apply(&self, manifest: &str) -> Result<String> {
        said(self.run_with(&["apply", "-f", "-"], manifest).await?)
    }

    async fn run_with<S: AsRef<OsStr>>(&self, arguments: &[S], input: &str) -> Result<Output> {
        let mut command = Command::new("kubectl");
        command
            .env("KUBECONFIG", &self.kubeconfig)
            .args(["--namespace", &self.namespace])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().context("kubectl")?;
        let mut stdin = child.stdin.take().context("its standard input")?;
        stdin.write_all(input.as_bytes()).await?;
        drop(stdin);
        let output = child.wait_with_output().await?;
        let (out, err) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        println!("{:?}\n{out}{err}", command.as_std());
        Ok(output)
    }
}

fn said(output: Output) -> Result<String> {
    if !output.status.success() {
        bail!("kubectl: {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}
