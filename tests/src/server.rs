//! The real server as a process of its own, on the control plane: started, killed, started again.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::process::{Child, Command};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use wfe_proto::v1::execution_service_client::ExecutionServiceClient;
use wfe_runtime::grpc::{Bearer, channel};
use wfe_runtime::tls::ClientFiles;

use crate::ControlPlane;
use crate::wait::{PATIENCE, eventually};

/// The gates that the past of a target closes.
const GATES: [&str; 3] = ["WFE_GATE_COOLDOWN", "WFE_GATE_BACKOFF", "WFE_GATE_BLOCK"];

/// A client of the service.
pub type Client = ExecutionServiceClient<InterceptedService<Channel, Bearer>>;

/// A server process with its database. Killed when dropped.
pub struct ServerProcess {
    engine: Engine,
    directory: tempfile::TempDir,
    running: Running,
}

/// What runs its workflows.
enum Engine {
    Tekton { kubeconfig: PathBuf, namespace: String, flags: Vec<String> },
    Simulator { task: Duration },
}

struct Running {
    child: Child,
    addresses: Addresses,
}

/// Where a server listens.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// gRPC.
    pub grpc: SocketAddr,
    /// `/health` and `/ready`.
    pub health: SocketAddr,
    /// `/metrics`.
    pub metrics: SocketAddr,
}

impl ServerProcess {
    /// Starts a server whose runs are in `namespace`; returns when it is ready.
    ///
    /// # Errors
    ///
    /// When it does not start or does not become ready.
    pub async fn start(plane: &ControlPlane, namespace: &str) -> Result<Self> {
        Self::start_as(plane.kubeconfig(), namespace, &[]).await
    }

    /// Starts a server with the rights of a kubeconfig, and flags beside those that every test server has; returns when
    /// it is ready.
    ///
    /// # Errors
    ///
    /// When it does not start or does not become ready.
    pub async fn start_as(kubeconfig: &Path, namespace: &str, flags: &[&str]) -> Result<Self> {
        let (kubeconfig, namespace) = (kubeconfig.to_owned(), namespace.to_owned());
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        Self::start_with(Engine::Tekton { kubeconfig, namespace, flags }).await
    }

    /// Starts a server with the administrator's rights, and these arguments as well; returns when it is ready.
    ///
    /// # Errors
    ///
    /// When it does not start or does not become ready.
    pub async fn start_with_arguments(
        plane: &ControlPlane,
        namespace: &str,
        arguments: &[&str],
    ) -> Result<Self> {
        Self::start_as(plane.kubeconfig(), namespace, arguments).await
    }

    /// Starts a server that simulates Tekton, with `task` as the time of each task; returns when it is ready.
    ///
    /// # Errors
    ///
    /// When it does not start or does not become ready.
    pub async fn start_simulated(task: Duration) -> Result<Self> {
        Self::start_with(Engine::Simulator { task }).await
    }

    async fn start_with(engine: Engine) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let running = Running::start(&engine, directory.path()).await?;
        let server = Self { engine, directory, running };
        server.until_ready().await?;
        Ok(server)
    }

    /// Kills the process without a warning, as `kill -9` does.
    ///
    /// # Errors
    ///
    /// When it cannot be killed.
    pub async fn kill(&mut self) -> Result<()> {
        self.running.child.kill().await.context("kill -9")
    }

    /// Starts it again on the same database, on other ports. Does not wait for readiness.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub async fn start_again(&mut self) -> Result<()> {
        self.running = Running::start(&self.engine, self.directory.path()).await?;
        Ok(())
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.running.child.id()
    }

    /// Where its database and its log are.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        self.running.addresses
    }

    /// What it has written to its log so far.
    ///
    /// # Errors
    ///
    /// When the log cannot be read.
    pub fn log(&self) -> Result<String> {
        Ok(std::fs::read_to_string(log_path(self.directory.path()))?)
    }

    /// A connection of its own.
    ///
    /// # Errors
    ///
    /// When nothing listens.
    pub async fn client(&self) -> Result<Client> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.running.addresses.grpc))?;
        let channel = endpoint.connect().await?;
        Ok(ExecutionServiceClient::with_interceptor(channel, Bearer::nothing()))
    }

    /// A connection with TLS of its own, made at the first call.
    ///
    /// # Errors
    ///
    /// Never with an address that it listens on.
    pub fn secure_client(&self, tls: ClientFiles, bearer: Bearer) -> Result<Client> {
        let address = format!("https://{}", self.running.addresses.grpc).parse()?;
        let channel = channel(&address, Some(tls), |endpoint| endpoint);
        Ok(ExecutionServiceClient::with_interceptor(channel, bearer))
    }

    /// What `/ready` answers: whether it is, and the reasons.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub async fn ready(&self) -> Result<(bool, String)> {
        let url = format!("http://{}/ready", self.running.addresses.health);
        let answer = crate::http::get(&url).await?;
        Ok((answer.status().is_success(), answer.text().await?))
    }

    /// What `/metrics` answers.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub async fn metrics(&self) -> Result<String> {
        let url = format!("http://{}/metrics", self.running.addresses.metrics);
        Ok(crate::http::get(&url).await?.text().await?)
    }

    /// Waits until `/ready` says so.
    ///
    /// # Errors
    ///
    /// When it does not within a minute.
    pub async fn until_ready(&self) -> Result<()> {
        eventually(PATIENCE, "the server is ready", async || match self.ready().await {
            Ok((true, _)) => Ok(()),
            Ok((false, why)) => Err(why),
            Err(error) => Err(error.to_string()),
        })
        .await
    }
}

impl Running {
    async fn start(engine: &Engine, directory: &Path) -> Result<Self> {
        let log = std::fs::File::create(log_path(directory))?;
        let any = "127.0.0.1:0";
        let mut command = Command::new(binary("wfe-server")?);
        match engine {
            Engine::Tekton { kubeconfig, namespace, flags } => {
                command.args(["--namespace", namespace]).args(flags).env("KUBECONFIG", kubeconfig);
            }
            Engine::Simulator { task } => {
                let task = format!("{}ms", task.as_millis());
                command.args(["--engine", "simulator", "--simulated-task", &task]);
            }
        }
        let mut child = command
            .args(["--grpc-address", any, "--health-address", any, "--metrics-address", any])
            .args(["--log-format", "json"])
            // Most tests use a target more than once within minutes; those that are about gates give them by flags.
            .envs(GATES.map(|gate| (gate, "off")))
            .arg("--database")
            .arg(directory.join("wfe.db"))
            .stdin(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .context("start wfe-server")?;
        let addresses =
            eventually(Duration::from_secs(20), "the server says where it listens", async || {
                addresses(directory)
            })
            .await;
        match addresses {
            Ok(addresses) => Ok(Self { child, addresses }),
            Err(error) => {
                child.kill().await?;
                let log = std::fs::read_to_string(log_path(directory))?;
                bail!("{error}; its log:\n{log}")
            }
        }
    }
}

fn log_path(directory: &Path) -> PathBuf {
    directory.join("server.log")
}

fn addresses(directory: &Path) -> Result<Addresses, String> {
    let address = |key| address_in_log(&log_path(directory), "serving", key);
    Ok(Addresses {
        grpc: address("grpc")?,
        health: address("health")?,
        metrics: address("metrics")?,
    })
}

/// The address that a process has written to its log under `key`, in the last line with this message.
///
/// # Errors
///
/// When there is none: what is there instead.
pub(crate) fn address_in_log(log: &Path, message: &str, key: &str) -> Result<SocketAddr, String> {
    let log = std::fs::read_to_string(log).map_err(|error| error.to_string())?;
    let mut lines =
        log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let found = lines.rfind(|line| line["message"] == message).ok_or_else(|| log.clone())?;
    let text = found[key].as_str().ok_or_else(|| format!("no {key} in {found}"))?;
    text.parse().map_err(|error| format!("{text}: {error}"))
}

/// A binary of this workspace, as it was built beside the tests, which lie one directory deeper, or beside the binary that
/// asks.
///
/// # Errors
///
/// When it was not built.
pub fn binary(name: &str) -> Result<PathBuf> {
    let asking = std::env::current_exe()?;
    let beside = asking.parent().context("the directory of the build")?;
    let profile = if beside.ends_with("deps") { beside.parent() } else { Some(beside) };
    let path = profile.context("the directory of the build")?.join(name);
    if !path.is_file() {
        bail!("{} is missing: cargo build -p wfe -p wfe-server", path.display());
    }
    Ok(path)
}
