//! Settings: defaults, then a YAML file, then `WFE_*` in the environment, then flags.
//!
//! Keys that are not known are refused, so that a typing error does not pass for a setting.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use wfe_runtime::{
    log::Log,
    settings::{self, SettingsError},
};

mod args;
mod gates;

pub use args::Args;
pub use gates::{CooldownScope, GateMode, Gates};

/// The settings of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Address of the gRPC service.
    pub grpc_address: SocketAddr,
    /// Address of `/health` and `/ready`.
    pub health_address: SocketAddr,
    /// Address of `/metrics`.
    pub metrics_address: SocketAddr,
    /// Serve callers without authentication also on an address that is not loopback.
    pub allow_unauthenticated: bool,
    /// The SQLite database; created when missing.
    pub database: PathBuf,
    /// What runs workflows.
    pub engine: Engine,
    /// Namespace of the runs.
    pub namespace: String,
    /// Kubeconfig; `None` is `KUBECONFIG`, the service account of the pod, or `~/.kube/config`.
    pub kubeconfig: Option<PathBuf>,
    /// How long the creation of a run is tried.
    #[serde(with = "humantime_serde")]
    pub start_timeout: Duration,
    /// How long a run stays in the cluster after its end; 0 is for ever.
    #[serde(with = "humantime_serde")]
    pub run_retention: Duration,
    /// A watch says that it is alive after this time of silence.
    #[serde(with = "humantime_serde")]
    pub heartbeat: Duration,
    /// How long open calls may take to end when the server stops.
    #[serde(with = "humantime_serde")]
    pub shutdown_timeout: Duration,
    /// Time of one simulated task.
    #[serde(with = "humantime_serde")]
    pub simulated_task: Duration,
    /// What is done at each gate.
    pub gates: Gates,
    /// Logging.
    pub log: Log,
}

/// What runs workflows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Engine {
    /// Tekton in a cluster.
    Tekton,
    /// A simulation in the process.
    Simulator,
}

impl Default for Config {
    fn default() -> Self {
        let loopback = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        Self {
            grpc_address: loopback(50051),
            health_address: loopback(8080),
            metrics_address: loopback(9090),
            allow_unauthenticated: false,
            database: PathBuf::from("wfe.db"),
            engine: Engine::Tekton,
            namespace: "kubernaut-workflows".to_owned(),
            kubeconfig: None,
            start_timeout: Duration::from_mins(5),
            run_retention: Duration::from_hours(24),
            heartbeat: Duration::from_secs(15),
            shutdown_timeout: Duration::from_secs(30),
            simulated_task: Duration::from_millis(400),
            gates: Gates::default(),
            log: Log::default(),
        }
    }
}

impl Config {
    /// The development server: simulated Tekton, a database in `directory`, and a short cooldown.
    pub fn dev(directory: &Path) -> Self {
        Self {
            engine: Engine::Simulator,
            database: directory.join("wfe.db"),
            gates: Gates::dev(),
            ..Self::default()
        }
    }

    /// Puts the settings together.
    pub fn load(args: &Args) -> Result<Self, SettingsError> {
        let config: Self =
            settings::load(Self::default(), args.config.as_deref(), args.overrides())?;
        config.validate().map_err(SettingsError::wrong)?;
        Ok(config)
    }

    /// What cannot be said by types.
    fn validate(&self) -> Result<(), String> {
        let address = self.grpc_address;
        if !address.ip().is_loopback() && !self.allow_unauthenticated {
            return Err(format!(
                "grpc_address {address} is not loopback, and this version does not authenticate \
                 callers; use 127.0.0.1, or set allow_unauthenticated when the network keeps others out"
            ));
        }
        if !wfe_core::ids::is_dns_label(&self.namespace) {
            return Err(format!("namespace {:?} is not a DNS label", self.namespace));
        }
        if self.heartbeat.is_zero() {
            return Err("heartbeat must be longer than 0s".to_owned());
        }
        if self.start_timeout.is_zero() {
            return Err("start_timeout must be longer than 0s".to_owned());
        }
        self.gates.validate()
    }
}

#[cfg(test)]
mod tests;
