//! Settings: defaults, then a YAML file, then `WFE_BRIDGE_*` in the environment, then flags.
//!
//! Keys that are not known are refused, so that a typing error does not pass for a setting.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use wfe_proto::v1;
use wfe_runtime::{
    grpc::{Bearer, is_https, is_private},
    log::Log,
    settings::{self, SettingsError},
    tls::{ClientFiles, ClientIdentity},
};

mod args;
mod server;
mod webhook;

pub use args::Args;
pub use server::ServerAddress;
pub use webhook::{Material, SecretRef, WebhookConfig};

/// The settings of a bridge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The execution service.
    pub server: ServerAddress,
    /// PEM file with the authorities of the execution service; needed for https.
    pub server_ca: Option<PathBuf>,
    /// File with the token that the execution service is shown.
    pub server_token_file: Option<PathBuf>,
    /// PEM file with the certificate that the execution service is shown.
    pub server_certificate: Option<PathBuf>,
    /// PEM file with the key of that certificate.
    pub server_key: Option<PathBuf>,
    /// Address of `/health` and `/ready`.
    pub health_address: SocketAddr,
    /// Address of `/metrics`.
    pub metrics_address: SocketAddr,
    /// Kubeconfig; `None` is `KUBECONFIG`, the service account of the pod, or `~/.kube/config`.
    pub kubeconfig: Option<PathBuf>,
    /// Namespace of the WorkflowExecutions; `None` is every one.
    pub namespace: Option<String>,
    /// What becomes of a WorkflowExecution whose target another one holds.
    pub when_locked: WhenLocked,
    /// Address of the webhook; `None` is none.
    pub webhook_address: Option<SocketAddr>,
    /// The Secret with the certificate of the webhook and the key for seals.
    pub webhook_secret: Option<SecretRef>,
    /// DNS names and addresses of the certificate in the Secret.
    pub webhook_names: Vec<String>,
    /// The MutatingWebhookConfiguration whose caBundle is kept.
    pub webhook_configuration: Option<String>,
    /// PEM file with the certificate of the webhook, when it is not in a Secret.
    pub webhook_certificate: Option<PathBuf>,
    /// PEM file with its key.
    pub webhook_key: Option<PathBuf>,
    /// File with the key for seals: 32 bytes or more.
    pub seal_key_file: Option<PathBuf>,
    /// Users who may ask for the end of an execution by setting the phase Failed.
    pub cancellers: Vec<String>,
    /// How long the deletion of a WorkflowExecution may wait until nothing of it runs; 0 is for ever.
    #[serde(with = "humantime_serde")]
    pub delete_timeout: Duration,
    /// How long work under way may take to end when the bridge stops.
    #[serde(with = "humantime_serde")]
    pub shutdown_timeout: Duration,
    /// Logging.
    pub log: Log,
}

/// How the execution service is reached.
#[derive(Debug, Clone)]
pub struct ServerAccess {
    /// Where it is.
    pub address: ServerAddress,
    /// The files of TLS.
    pub tls: Option<ClientFiles>,
    /// The token.
    pub bearer: Bearer,
}

/// What becomes of a WorkflowExecution whose target another one holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum WhenLocked {
    /// It waits for its turn.
    Wait,
    /// It ends Failed with the reason Deduplicated, and names the other one.
    Reject,
}

impl From<WhenLocked> for v1::WhenLocked {
    fn from(when_locked: WhenLocked) -> Self {
        match when_locked {
            WhenLocked::Wait => Self::Wait,
            WhenLocked::Reject => Self::Reject,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        let loopback = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
        Self {
            server: ServerAddress::default(),
            server_ca: None,
            server_token_file: None,
            server_certificate: None,
            server_key: None,
            health_address: loopback(8081),
            metrics_address: loopback(9091),
            kubeconfig: None,
            namespace: None,
            when_locked: WhenLocked::Wait,
            webhook_address: None,
            webhook_secret: None,
            webhook_names: Vec::new(),
            webhook_configuration: None,
            webhook_certificate: None,
            webhook_key: None,
            seal_key_file: None,
            cancellers: Vec::new(),
            delete_timeout: Duration::from_mins(10),
            shutdown_timeout: Duration::from_secs(30),
            log: Log::default(),
        }
    }
}

impl Config {
    /// Puts the settings together.
    pub fn load(args: &Args) -> Result<Self, SettingsError> {
        let config: Self =
            settings::load(Self::default(), args.config.as_deref(), args.overrides())?;
        config.access().map_err(SettingsError::wrong)?;
        config.webhook()?;
        Ok(config)
    }

    /// How the execution service is reached; or which setting about it is wrong.
    pub fn access(&self) -> Result<ServerAccess, String> {
        let identity = match (&self.server_certificate, &self.server_key) {
            (None, None) => None,
            (Some(certificate), Some(key)) => {
                let (certificate, key) = (certificate.clone(), key.clone());
                Some(ClientIdentity { certificate, key })
            }
            (Some(_), None) => return Err("server_certificate needs server_key".to_owned()),
            (None, Some(_)) => return Err("server_key needs server_certificate".to_owned()),
        };
        let uri = self.server.uri();
        let tls = match (&self.server_ca, is_https(uri)) {
            (Some(ca), true) => Some(ClientFiles { ca: ca.clone(), identity }),
            (None, true) => return Err(format!("server {} needs server_ca", self.server)),
            (None, false) if identity.is_none() => None,
            (_, false) => {
                return Err(
                    "server_ca and server_certificate are for a server with https".to_owned()
                );
            }
        };
        if self.server_token_file.is_some() && !is_private(uri) {
            return Err(format!("server {} needs https, or the token can be read", self.server));
        }
        let bearer = self.server_token_file.clone().map_or_else(Bearer::nothing, Bearer::file);
        Ok(ServerAccess { address: self.server.clone(), tls, bearer })
    }
}

#[cfg(test)]
mod tests;
