//! Flags, each of which is also a variable of the environment.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::Parser;
use serde::Serialize;
use wfe_runtime::log::{LogFormat, LogOverrides};

use super::{SecretRef, ServerAddress, WhenLocked};

/// Turns WorkflowExecution objects into calls of the execution service, and writes their status.
///
/// Starts with nothing but KUBECONFIG in the environment: it calls the service on its loopback address
/// without authentication, and listens on loopback addresses. Any number of copies may run at once.
///
/// Settings come from flags, else from `WFE_BRIDGE_*` in the environment, else from the file given with
/// --config, else from the defaults that --print-config shows.
#[derive(Debug, Clone, Default, Parser)]
#[command(name = "wfe-bridge", version)]
pub struct Args {
    /// YAML file with settings
    #[arg(long, env = "WFE_BRIDGE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print the settings that result, and exit
    #[arg(long)]
    pub print_config: bool,
    /// The execution service [default: <http://127.0.0.1:50051>]
    #[arg(long, env = "WFE_BRIDGE_SERVER", value_name = "https://HOST:PORT")]
    server: Option<ServerAddress>,
    /// PEM file with the authorities of the execution service; read for each connection
    #[arg(long, env = "WFE_BRIDGE_SERVER_CA", value_name = "FILE")]
    server_ca: Option<PathBuf>,
    /// File with the token for the execution service; read for each call
    #[arg(long, env = "WFE_BRIDGE_SERVER_TOKEN_FILE", value_name = "FILE")]
    server_token_file: Option<PathBuf>,
    /// PEM file with a certificate for the execution service; read for each connection
    #[arg(long, env = "WFE_BRIDGE_SERVER_CERTIFICATE", value_name = "FILE")]
    server_certificate: Option<PathBuf>,
    /// PEM file with the key of that certificate
    #[arg(long, env = "WFE_BRIDGE_SERVER_KEY", value_name = "FILE")]
    server_key: Option<PathBuf>,
    /// Address of /health and /ready [default: 127.0.0.1:8081]
    #[arg(long, env = "WFE_BRIDGE_HEALTH_ADDRESS", value_name = "IP:PORT")]
    health_address: Option<SocketAddr>,
    /// Address of /metrics [default: 127.0.0.1:9091]
    #[arg(long, env = "WFE_BRIDGE_METRICS_ADDRESS", value_name = "IP:PORT")]
    metrics_address: Option<SocketAddr>,
    /// Kubeconfig [default: KUBECONFIG, the pod's service account, or ~/.kube/config]
    #[arg(long, env = "WFE_BRIDGE_KUBECONFIG", value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Namespace of the WorkflowExecutions [default: every one]
    #[arg(long, env = "WFE_BRIDGE_NAMESPACE")]
    namespace: Option<String>,
    /// What becomes of a WorkflowExecution whose target another one holds [default: wait]
    #[arg(long, env = "WFE_BRIDGE_WHEN_LOCKED", value_enum)]
    when_locked: Option<WhenLocked>,
    /// Address of the webhook [default: no webhook]
    #[arg(long, env = "WFE_BRIDGE_WEBHOOK_ADDRESS", value_name = "IP:PORT")]
    webhook_address: Option<SocketAddr>,
    /// Secret with the webhook's certificate and the key for seals; made when missing
    #[arg(long, env = "WFE_BRIDGE_WEBHOOK_SECRET", value_name = "NAMESPACE/NAME")]
    webhook_secret: Option<SecretRef>,
    /// Names and addresses of the certificate in the Secret, between commas
    #[arg(long, env = "WFE_BRIDGE_WEBHOOK_NAMES", value_delimiter = ',')]
    webhook_names: Option<Vec<String>>,
    /// MutatingWebhookConfiguration whose caBundle is kept current
    #[arg(long, env = "WFE_BRIDGE_WEBHOOK_CONFIGURATION", value_name = "NAME")]
    webhook_configuration: Option<String>,
    /// PEM file with the webhook's certificate, when it is not in a Secret
    #[arg(long, env = "WFE_BRIDGE_WEBHOOK_CERTIFICATE", value_name = "FILE")]
    webhook_certificate: Option<PathBuf>,
    /// PEM file with the key of that certificate
    #[arg(long, env = "WFE_BRIDGE_WEBHOOK_KEY", value_name = "FILE")]
    webhook_key: Option<PathBuf>,
    /// File with the key for seals, 32 bytes or more, when it is not in a Secret
    #[arg(long, env = "WFE_BRIDGE_SEAL_KEY_FILE", value_name = "FILE")]
    seal_key_file: Option<PathBuf>,
    /// Users who may ask for an end by setting the phase Failed, between commas
    #[arg(long, env = "WFE_BRIDGE_CANCELLERS", value_delimiter = ',', value_name = "USERS")]
    cancellers: Option<Vec<String>>,
    /// How long a deletion may wait until nothing runs; 0s is for ever [default: 10m]
    #[arg(long, env = "WFE_BRIDGE_DELETE_TIMEOUT", value_parser = humantime::parse_duration)]
    delete_timeout: Option<Duration>,
    /// How long work under way may take to end when the bridge stops [default: 30s]
    #[arg(long, env = "WFE_BRIDGE_SHUTDOWN_TIMEOUT", value_parser = humantime::parse_duration)]
    shutdown_timeout: Option<Duration>,
    /// Which log lines are written, for example `info,wfe_bridge=debug` [default: info]
    #[arg(long, env = "WFE_BRIDGE_LOG", value_name = "FILTER")]
    log: Option<String>,
    /// How log lines look [default: text]
    #[arg(long, env = "WFE_BRIDGE_LOG_FORMAT", value_enum)]
    log_format: Option<LogFormat>,
}

/// The flags that were given, in the shape of the settings.
#[derive(Debug, Serialize)]
pub(super) struct Overrides {
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<ServerAddress>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_ca: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_token_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_certificate: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_key: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    health_address: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics_address: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kubeconfig: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    when_locked: Option<WhenLocked>,
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook_address: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook_secret: Option<SecretRef>,
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook_names: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook_configuration: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook_certificate: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook_key: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seal_key_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cancellers: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none", with = "humantime_serde::option")]
    delete_timeout: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none", with = "humantime_serde::option")]
    shutdown_timeout: Option<Duration>,
    #[serde(skip_serializing_if = "LogOverrides::is_empty")]
    log: LogOverrides,
}

impl Args {
    pub(super) fn overrides(&self) -> Overrides {
        let Self {
            config: _,
            print_config: _,
            server,
            server_ca,
            server_token_file,
            server_certificate,
            server_key,
            health_address,
            metrics_address,
            kubeconfig,
            namespace,
            when_locked,
            webhook_address,
            webhook_secret,
            webhook_names,
            webhook_configuration,
            webhook_certificate,
            webhook_key,
            seal_key_file,
            cancellers,
            delete_timeout,
            shutdown_timeout,
            log,
            log_format,
        } = self.clone();
        Overrides {
            server,
            server_ca,
            server_token_file,
            server_certificate,
            server_key,
            health_address,
            metrics_address,
            kubeconfig,
            namespace,
            when_locked,
            webhook_address,
            webhook_secret,
            webhook_names,
            webhook_configuration,
            webhook_certificate,
            webhook_key,
            seal_key_file,
            cancellers,
            delete_timeout,
            shutdown_timeout,
            log: LogOverrides { filter: log, format: log_format },
        }
    }
}
