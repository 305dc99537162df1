//! The real bridge as a process of its own: started, killed, started again.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use crate::ControlPlane;
use crate::server::{address_in_log, binary};
use crate::wait::{PATIENCE, eventually};

/// A bridge process. Killed when dropped.
pub struct BridgeProcess {
    options: BridgeOptions,
    directory: tempfile::TempDir,
    running: Running,
}

/// How a bridge is started.
#[derive(Debug, Clone)]
pub struct BridgeOptions {
    /// Who it is for the API server.
    pub kubeconfig: PathBuf,
    /// Where the execution service listens.
    pub server: SocketAddr,
    /// `http`, or `https` with arguments that say more.
    pub scheme: &'static str,
    /// The namespace of its WorkflowExecutions.
    pub namespace: String,
    /// Which log lines it writes.
    pub log: String,
    /// More arguments.
    pub arguments: Vec<String>,
}

impl BridgeOptions {
    /// The administrator's bridge, which waits for locked targets.
    #[must_use]
    pub fn new(plane: &ControlPlane, server: SocketAddr, namespace: &str) -> Self {
        Self {
            kubeconfig: plane.kubeconfig().to_owned(),
            server,
            scheme: "http",
            namespace: namespace.to_owned(),
            log: "info,wfe_bridge=debug".to_owned(),
            arguments: Vec::new(),
        }
    }

    /// With a log of its own choice.
    #[must_use]
    pub fn logging(self, filter: &str) -> Self {
        Self { log: filter.to_owned(), ..self }
    }

    /// With these arguments as well.
    #[must_use]
    pub fn with(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|&argument| argument.to_owned()));
        self
    }
}

struct Running {
    child: Child,
    health: SocketAddr,
    metrics: SocketAddr,
    webhook: Option<SocketAddr>,
}

impl BridgeProcess {
    /// Starts a bridge. Does not wait for readiness.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub async fn start(options: BridgeOptions) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let running = Running::start(&options, directory.path()).await?;
        Ok(Self { options, directory, running })
    }

    /// Kills the process without a warning, as `kill -9` does.
    ///
    /// # Errors
    ///
    /// When it cannot be killed.
    pub async fn kill(&mut self) -> Result<()> {
        self.running.child.kill().await.context("kill -9")
    }

    /// Asks the process to end, as Kubernetes does (SIGTERM), and waits until it has.
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub async fn terminate(&mut self) -> Result<ExitStatus> {
        let pid = i32::try_from(self.pid().context("the bridge runs")?)?;
        kill(Pid::from_raw(pid), Signal::SIGTERM).context("SIGTERM")?;
        self.running.child.wait().await.context("wait for the bridge")
    }

    /// Starts it again. Does not wait for readiness.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub async fn start_again(&mut self) -> Result<()> {
        self.running = Running::start(&self.options, self.directory.path()).await?;
        Ok(())
    }

    /// Freezes the process: its connections stay open, and it does nothing.
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// Lets the frozen process go on.
    ///
    /// # Errors
    ///
    /// When it does not run.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.pid().context("the bridge runs")?)?;
        kill(Pid::from_raw(pid), signal).with_context(|| format!("send {signal} to the bridge"))
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.running.child.id()
    }

    /// Where its webhook listens, when it has one.
    #[must_use]
    pub fn webhook(&self) -> Option<SocketAddr> {
        self.running.webhook
    }

    /// What it has written to its log since it was started the last time.
    ///
    /// # Errors
    ///
    /// When the log cannot be read.
    pub fn log(&self) -> Result<String> {
        Ok(std::fs::read_to_string(log_path(self.directory.path()))?)
    }

    /// What `/ready` answers: whether it is, and the reasons.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub async fn ready(&self) -> Result<(bool, String)> {
        let answer = crate::http::get(&format!("http://{}/ready", self.running.health)).await?;
        Ok((answer.status().is_success(), answer.text().await?))
    }

    /// What `/metrics` answers.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub async fn metrics(&self) -> Result<String> {
        let url = format!("http://{}/metrics", self.running.metrics);
        Ok(crate::http::get(&url).await?.text().await?)
    }

    /// Waits until `/ready` says so.
    ///
    /// # Errors
    ///
    /// When it does not within a minute.
    pub async fn until_ready(&self) -> Result<()> {
        eventually(PATIENCE, "the bridge is ready", async || match self.ready().await {
            Ok((true, _)) => Ok(()),
            Ok((false, why)) => Err(why),
            Err(error) => Err(error.to_string()),
        })
        .await
    }
}

impl Running {
    async fn start(options: &BridgeOptions, directory: &Path) -> Result<Self> {
        let path = log_path(directory);
        let log = std::fs::File::create(&path)?;
        let mut child = Command::new(binary("wfe-bridge")?)
            .env("KUBECONFIG", &options.kubeconfig)
            .args(["--server", &format!("{}://{}", options.scheme, options.server)])
            .args(["--namespace", &options.namespace])
            .args(["--health-address", "127.0.0.1:0", "--metrics-address", "127.0.0.1:0"])
            .args(["--log", &options.log, "--log-format", "json"])
            .args(&options.arguments)
            .stdin(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("start wfe-bridge")?;
        let addresses =
            eventually(Duration::from_secs(20), "the bridge says where it listens", async || {
                let address = |key| address_in_log(&path, "bridging", key);
                let webhook = address("webhook").ok();
                Ok::<_, String>((address("health")?, address("metrics")?, webhook))
            })
            .await;
        match addresses {
            Ok((health, metrics, webhook)) => Ok(Self { child, health, metrics, webhook }),
            Err(error) => {
                child.kill().await?;
                bail!("{error}; its log:\n{}", std::fs::read_to_string(path)?)
            }
        }
    }
}

fn log_path(directory: &Path) -> PathBuf {
    directory.join("bridge.log")
}
