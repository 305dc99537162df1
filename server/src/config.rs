//! Settings: defaults, then a YAML file, then `WFE_*` in the environment, then flags.
//!
//! Keys that are not known are refused, so that a typing error does not pass for a setting.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use wfe_core::{
    access::TrustedBridges,
    parameter::SensitiveNames,
    stuck::{Patience, StuckOn},
};
use wfe_runtime::{
    log::Log,
    settings::{self, SettingsError},
    tls::{SecretName, ServerFiles},
};

use crate::ledger::SUMMARY_INTERVAL;

mod args;
mod audit;
mod delivery;
mod gates;

/// Shorter, and who hammers fills the log; longer, and a process that is killed loses too much.
const SUMMARY_INTERVALS: [Duration; 2] = [Duration::from_secs(1), Duration::from_hours(1)];

/// A right that was taken away must not be believed for longer.
const MAX_AUTHORIZATION_CACHE: Duration = Duration::from_mins(5);

pub use args::Args;
pub use audit::ConfigMapName;
pub use delivery::{Parked, WhenLagging};
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
    /// How callers are told apart.
    pub authentication: Authentication,
    /// Tokens of callers must be for this audience.
    pub audience: String,
    /// User names whose word is believed for whom they act.
    pub trusted_bridges: TrustedBridges,
    /// How long it is believed who somebody is and what they may do.
    #[serde(with = "humantime_serde")]
    pub authorization_cache: Duration,
    /// PEM file with the certificate of the gRPC service and its chain; read again when it changes.
    pub tls_certificate: Option<PathBuf>,
    /// PEM file with the key of that certificate.
    pub tls_key: Option<PathBuf>,
    /// Secret, as namespace/name, with a certificate that the server makes and renews itself.
    pub tls_secret: Option<String>,
    /// DNS names and IP addresses of the certificate that the server makes.
    pub tls_names: Vec<String>,
    /// PEM file with the authorities of client certificates.
    pub client_ca: Option<PathBuf>,
    /// The SQLite database; created when missing.
    pub database: PathBuf,
    /// The key of the sensitive parameters; `None` is a file beside the database. Made when the database
    /// has none yet.
    pub parameter_key: Option<PathBuf>,
    /// Names of parameters whose values are kept and shown by nobody: patterns with `*` and `?`.
    pub sensitive_parameters: SensitiveNames,
    /// PEM file with the key that signs the log; `None` is beside the database.
    pub audit_key: Option<PathBuf>,
    /// PEM file with the key that signed until now, to rotate to another one.
    pub audit_previous_key: Option<PathBuf>,
    /// Id of the key that signed until now, when it is lost for ever.
    pub audit_lost_key: Option<String>,
    /// File that keeps signed checkpoints; `None` is beside the database.
    pub audit_checkpoints: Option<PathBuf>,
    /// ConfigMap, as namespace/name, that keeps the newest of them.
    pub audit_checkpoint_config_map: Option<String>,
    /// The log is signed this often, when there is something new.
    #[serde(with = "humantime_serde")]
    pub audit_checkpoint_interval: Duration,
    /// How long entries of the log are kept; 0 is for ever.
    #[serde(with = "humantime_serde")]
    pub audit_retention: Duration,
    /// What runs workflows.
    pub engine: Engine,
    /// Namespace of the runs.
    pub namespace: String,
    /// Kubeconfig; `None` is `KUBECONFIG`, the service account of the pod, or `~/.kube/config`.
    pub kubeconfig: Option<PathBuf>,
    /// How long the creation of a run is tried.
    #[serde(with = "humantime_serde")]
    pub start_timeout: Duration,
    /// How long a run may wait for its definition to be fetched.
    #[serde(with = "humantime_serde")]
    pub resolution_patience: Duration,
    /// How long a run may wait for an image that cannot be pulled.
    #[serde(with = "humantime_serde")]
    pub image_pull_patience: Duration,
    /// How long a run may wait for room in a quota.
    #[serde(with = "humantime_serde")]
    pub quota_patience: Duration,
    /// How long a run may wait for a node.
    #[serde(with = "humantime_serde")]
    pub scheduling_patience: Duration,
    /// How long a run may wait for a container that cannot be made.
    #[serde(with = "humantime_serde")]
    pub container_config_patience: Duration,
    /// How long a Cancel that gives time gives, when it does not say how much.
    #[serde(with = "humantime_serde")]
    pub finally_patience: Duration,
    /// How long a run stays in the cluster after its end; 0 is for ever.
    #[serde(with = "humantime_serde")]
    pub run_retention: Duration,
    /// A watch says that it is alive after this time of silence.
    #[serde(with = "humantime_serde")]
    pub heartbeat: Duration,
    /// Who tries in vain again and again is summed up in the log after this time.
    #[serde(with = "humantime_serde")]
    pub audit_summary_interval: Duration,
    /// How long open calls may take to end when the server stops.
    #[serde(with = "humantime_serde")]
    pub shutdown_timeout: Duration,
    /// Time of one simulated task.
    #[serde(with = "humantime_serde")]
    pub simulated_task: Duration,
    /// Address of the Data Storage to which the audit trail is delivered; `None` is nowhere.
    pub data_storage_url: Option<String>,
    /// File with the token for it; read again for each request.
    pub data_storage_token_file: Option<PathBuf>,
    /// PEM file with the authorities of its certificate; read again when it changes.
    pub data_storage_ca: Option<PathBuf>,
    /// How long an event that may have arrived is waited for while Data Storage answers.
    #[serde(with = "humantime_serde")]
    pub data_storage_patience: Duration,
    /// What happens at the start to events that are parked.
    pub data_storage_parked: Parked,
    /// What happens to a Start while delivery is too far behind.
    pub audit_backpressure: WhenLagging,
    /// Delivery may be so far behind.
    #[serde(with = "humantime_serde")]
    pub audit_max_lag: Duration,
    /// What is done at each gate.
    pub gates: Gates,
    /// Logging.
    pub log: Log,
}

/// How callers are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Authentication {
    /// They are not, and may do everything. On loopback addresses only.
    None,
    /// By what the API server says of their tokens, and by client certificates.
    Kubernetes,
}

/// Where the certificate of the gRPC service is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tls {
    /// Nowhere: calls come in the clear.
    Off,
    /// In files.
    Files(ServerFiles),
    /// In a Secret.
    Secret {
        /// The Secret.
        name: SecretName,
        /// What the certificate stands for.
        names: Vec<String>,
        /// PEM file with the authorities of client certificates.
        client_ca: Option<PathBuf>,
    },
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
        let patience = Patience::default();
        let loopback = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        Self {
            grpc_address: loopback(50051),
            health_address: loopback(8080),
            metrics_address: loopback(9090),
            authentication: Authentication::None,
            audience: "wfe".to_owned(),
            trusted_bridges: TrustedBridges::default(),
            authorization_cache: Duration::from_secs(10),
            tls_certificate: None,
            tls_key: None,
            tls_secret: None,
            tls_names: Vec::new(),
            client_ca: None,
            database: PathBuf::from("wfe.db"),
            parameter_key: None,
            sensitive_parameters: SensitiveNames::default(),
            audit_key: None,
            audit_previous_key: None,
            audit_lost_key: None,
            audit_checkpoints: None,
            audit_checkpoint_config_map: None,
            audit_checkpoint_interval: Duration::from_mins(1),
            audit_retention: Duration::ZERO,
            engine: Engine::Tekton,
            namespace: "kubernaut-workflows".to_owned(),
            kubeconfig: None,
            start_timeout: Duration::from_mins(5),
            resolution_patience: patience.resolution,
            image_pull_patience: patience.image_pull,
            quota_patience: patience.quota,
            scheduling_patience: patience.scheduling,
            container_config_patience: patience.container_config,
            finally_patience: Duration::from_mins(5),
            run_retention: Duration::from_hours(24),
            heartbeat: Duration::from_secs(15),
            audit_summary_interval: SUMMARY_INTERVAL,
            shutdown_timeout: Duration::from_secs(30),
            simulated_task: Duration::from_millis(400),
            data_storage_url: None,
            data_storage_token_file: None,
            data_storage_ca: None,
            data_storage_patience: Duration::from_mins(15),
            data_storage_parked: Parked::Keep,
            audit_backpressure: WhenLagging::Accept,
            audit_max_lag: Duration::from_hours(1),
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
        self.validate_door()?;
        self.validate_audit()?;
        if !wfe_core::ids::is_dns_label(&self.namespace) {
            return Err(format!("namespace {:?} is not a DNS label", self.namespace));
        }
        if self.heartbeat.is_zero() {
            return Err("heartbeat must be longer than 0s".to_owned());
        }
        if self.start_timeout.is_zero() {
            return Err("start_timeout must be longer than 0s".to_owned());
        }
        let patience = self.patience();
        if StuckOn::ALL.iter().any(|on| patience.with(*on).is_zero()) {
            return Err("a patience must be longer than 0s".to_owned());
        }
        let longest = Duration::from_hours(24);
        if self.finally_patience.is_zero() || self.finally_patience > longest {
            return Err("finally_patience must be longer than 0s and at most 24h".to_owned());
        }
        let [shortest, longest] = SUMMARY_INTERVALS;
        if !(shortest..=longest).contains(&self.audit_summary_interval) {
            return Err("audit_summary_interval must be from 1s to 1h".to_owned());
        }
        self.data_storage()?;
        self.gates.validate()
    }

    /// How long a run may be stuck.
    pub const fn patience(&self) -> Patience {
        Patience {
            resolution: self.resolution_patience,
            image_pull: self.image_pull_patience,
            quota: self.quota_patience,
            scheduling: self.scheduling_patience,
            container_config: self.container_config_patience,
        }
    }

    /// Where the key of the sensitive parameters is.
    pub fn parameter_key(&self) -> PathBuf {
        let beside = || self.database.with_extension("parameter-key");
        self.parameter_key.clone().unwrap_or_else(beside)
    }

    /// Where the certificate of the gRPC service is; or which setting about it is wrong.
    pub fn tls(&self) -> Result<Tls, String> {
        let client_ca = self.client_ca.clone();
        match (&self.tls_certificate, &self.tls_key, &self.tls_secret) {
            (None, None, None) if client_ca.is_some() => {
                Err("client_ca needs a certificate: set tls_certificate and tls_key, or tls_secret"
                    .to_owned())
            }
            (None, None, None) => Ok(Tls::Off),
            (Some(certificate), Some(key), None) => {
                let (certificate, key) = (certificate.clone(), key.clone());
                Ok(Tls::Files(ServerFiles { certificate, key, client_ca }))
            }
            (None, None, Some(secret)) => {
                let name = secret.parse().map_err(|error| format!("tls_secret: {error}"))?;
                if self.tls_names.is_empty() {
                    return Err(
                        "tls_secret needs tls_names, for which the certificate is made".to_owned()
                    );
                }
                Ok(Tls::Secret { name, names: self.tls_names.clone(), client_ca })
            }
            (Some(_), None, _) => Err("tls_certificate needs tls_key".to_owned()),
            (None, Some(_), _) => Err("tls_key needs tls_certificate".to_owned()),
            (Some(_), Some(_), Some(_)) => {
                Err("tls_secret and tls_certificate exclude each other".to_owned())
            }
        }
    }

    /// Who may come in, and by which way.
    fn validate_door(&self) -> Result<(), String> {
        let address = self.grpc_address;
        let tls = self.tls()?;
        if !address.ip().is_loopback() {
            let missing = match (self.authentication, &tls) {
                (Authentication::None, _) => Some("authentication: kubernetes"),
                (Authentication::Kubernetes, Tls::Off) => {
                    Some("a certificate: tls_certificate and tls_key, or tls_secret")
                }
                (Authentication::Kubernetes, Tls::Files(_) | Tls::Secret { .. }) => None,
            };
            if let Some(missing) = missing {
                return Err(format!(
                    "grpc_address {address} is not loopback and needs {missing}; \
                     or use 127.0.0.1"
                ));
            }
        }
        if self.authentication == Authentication::None && self.client_ca.is_some() {
            return Err("client_ca needs authentication: kubernetes".to_owned());
        }
        if self.audience.is_empty() {
            return Err("audience must not be empty".to_owned());
        }
        if self.authorization_cache > MAX_AUTHORIZATION_CACHE {
            return Err("authorization_cache must be at most 5m".to_owned());
        }
        if self.trusted_bridges.names().any(str::is_empty) {
            return Err("trusted_bridges must not hold an empty name".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
