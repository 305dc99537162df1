//! `wfe dev` on the control plane: server and bridge in one process, on free ports.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Error, Result, anyhow, bail};
use nix::sys::signal::Signal;
use serde_json::Value;
use wfe_control_plane::wait::eventually;

use super::stage::{NAMESPACE, Stage, as_typed};
use crate::child::Group;

/// A database is made, a definition applied, watches are synced.
const START_LIMIT: Duration = Duration::from_mins(1);
/// Longer than work under way may take at the end.
const STOP_LIMIT: Duration = Duration::from_secs(20);

/// The running process; killed when dropped.
pub(crate) struct Service {
    process: Group,
    address: String,
    log: PathBuf,
}

impl Service {
    /// Starts it; returns when it serves.
    pub(crate) async fn start(stage: &Stage) -> Result<Self> {
        const ANY: &str = "127.0.0.1:0";
        let line = [
            ["wfe", "dev"],
            ["--kubeconfig", "kubeconfig"],
            ["--namespace", NAMESPACE],
            ["--dir", "records"],
            ["--grpc-addr", ANY],
            ["--health-addr", ANY],
            ["--metrics-addr", ANY],
            ["--bridge-health-addr", ANY],
            ["--bridge-metrics-addr", ANY],
            ["--output", "json"],
        ];
        let line = line.as_flattened();
        say!("$ {} &", as_typed(line));
        let (out, log) = (stage.home().join("wfe-dev.json"), stage.home().join("wfe-dev.log"));
        let mut command = stage.command(line)?;
        command.stdin(Stdio::null()).stdout(File::create(&out)?).stderr(File::create(&log)?);
        let mut process = Group::spawn(&mut command)?;
        let told = eventually(START_LIMIT, "wfe dev serves", async || {
            let text = fs::read_to_string(&out).map_err(|error| error.to_string())?;
            serde_json::from_str::<Value>(&text).map_err(|error| format!("{text}: {error}"))
        });
        let told = tokio::select! {
            told = told => told?,
            status = process.wait() => return Err(over(&status?.to_string(), &log)),
        };
        say!("{told:#}");
        let Some(address) = told["grpcAddress"].as_str() else {
            bail!("wfe dev does not say where it serves: {told}");
        };
        Ok(Self { address: format!("http://{address}"), process, log })
    }

    /// Where it serves, as `http://host:port`.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Waits until it ends by itself, which it should not; why it did.
    pub(crate) async fn ended(&mut self) -> Error {
        match self.process.wait().await {
            Ok(status) => over(&status.to_string(), &self.log),
            Err(error) => error,
        }
    }

    /// Ends it in order.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.process.signal(Signal::SIGTERM);
        match tokio::time::timeout(STOP_LIMIT, self.process.wait()).await {
            Ok(status) if status.as_ref().is_ok_and(std::process::ExitStatus::success) => Ok(()),
            Ok(status) => Err(over(&status?.to_string(), &self.log)),
            Err(_) => bail!("wfe dev did not end within {} seconds", STOP_LIMIT.as_secs()),
        }
    }
}

fn over(status: &str, log: &Path) -> Error {
    const LINES: usize = 20;
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let end = lines[lines.len().saturating_sub(LINES)..].join("\n");
    anyhow!("wfe dev ended ({status}); the end of its log:\n{end}")
}
