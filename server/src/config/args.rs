//! Flags, each of which is also a variable of the environment.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::Parser;
use serde::Serialize;
use wfe_runtime::log::{LogFormat, LogOverrides};

use super::{
    Authentication, Engine, Parked, WhenLagging, audit::AuditOverrides, gates::GateOverrides,
};

/// Runs remediation workflows as Tekton PipelineRuns, one at a time per target, over gRPC.
///
/// Starts with nothing but KUBECONFIG in the environment: it listens on loopback addresses without
/// authentication, keeps its records in ./wfe.db, and runs workflows in the namespace
/// kubernaut-workflows.
///
/// Settings come from flags, else from WFE_* in the environment, else from the file given with
/// --config, else from the defaults that --print-config shows.
#[derive(Debug, Clone, Default, Parser)]
#[command(name = "wfe-server", version)]
pub struct Args {
    /// YAML file with settings
    #[arg(long, env = "WFE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print the settings that result, and exit
    #[arg(long)]
    pub print_config: bool,
    /// Address of the gRPC service [default: 127.0.0.1:50051]
    #[arg(long, env = "WFE_GRPC_ADDRESS", value_name = "IP:PORT")]
    grpc_address: Option<SocketAddr>,
    /// Address of /health and /ready [default: 127.0.0.1:8080]
    #[arg(long, env = "WFE_HEALTH_ADDRESS", value_name = "IP:PORT")]
    health_address: Option<SocketAddr>,
    /// Address of /metrics [default: 127.0.0.1:9090]
    #[arg(long, env = "WFE_METRICS_ADDRESS", value_name = "IP:PORT")]
    metrics_address: Option<SocketAddr>,
    /// How callers are told apart [default: none]
    #[arg(long, env = "WFE_AUTHENTICATION", value_enum)]
    authentication: Option<Authentication>,
    /// Tokens of callers must be for this audience [default: wfe]
    #[arg(long, env = "WFE_AUDIENCE")]
    audience: Option<String>,
    /// User names whose word is believed for whom they act, with commas between them
    #[arg(long, env = "WFE_TRUSTED_BRIDGES", value_delimiter = ',', value_name = "USER")]
    trusted_bridges: Option<Vec<String>>,
    /// How long it is believed who somebody is and what they may do [default: 10s]
    #[arg(long, env = "WFE_AUTHORIZATION_CACHE", value_parser = humantime::parse_duration)]
    authorization_cache: Option<Duration>,
    /// PEM file with the certificate of the gRPC service; read again when it changes
    #[arg(long, env = "WFE_TLS_CERTIFICATE", value_name = "FILE")]
    tls_certificate: Option<PathBuf>,
    /// PEM file with the key of that certificate
    #[arg(long, env = "WFE_TLS_KEY", value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// Secret with a certificate that the server makes and renews itself
    #[arg(long, env = "WFE_TLS_SECRET", value_name = "NAMESPACE/NAME")]
    tls_secret: Option<String>,
    /// DNS names and IP addresses of that certificate, with commas between them
    #[arg(long, env = "WFE_TLS_NAMES", value_delimiter = ',', value_name = "NAME")]
    tls_names: Option<Vec<String>>,
    /// PEM file with the authorities of client certificates
    #[arg(long, env = "WFE_CLIENT_CA", value_name = "FILE")]
    client_ca: Option<PathBuf>,
    /// SQLite database; created when missing [default: wfe.db]
    #[arg(long, env = "WFE_DATABASE", value_name = "FILE")]
    database: Option<PathBuf>,
    /// Key of the sensitive parameters; made with the database [default: the database's path with the
    /// extension parameter-key]
    #[arg(long, env = "WFE_PARAMETER_KEY", value_name = "FILE")]
    parameter_key: Option<PathBuf>,
    /// Names of parameters whose values nobody may read: patterns with * and ?, with commas between
    /// them [default: the usual names of passwords, tokens and keys]
    #[arg(long, env = "WFE_SENSITIVE_PARAMETERS", value_delimiter = ',', value_name = "PATTERN")]
    sensitive_parameters: Option<Vec<String>>,
    #[command(flatten)]
    audit: AuditOverrides,
    /// What runs workflows [default: tekton]
    #[arg(long, env = "WFE_ENGINE", value_enum)]
    engine: Option<Engine>,
    /// Namespace of the runs [default: kubernaut-workflows]
    #[arg(long, env = "WFE_NAMESPACE")]
    namespace: Option<String>,
    /// Kubeconfig [default: KUBECONFIG, the pod's service account, or ~/.kube/config]
    #[arg(long, env = "WFE_KUBECONFIG", value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// How long the creation of a run is tried [default: 5m]
    #[arg(long, env = "WFE_START_TIMEOUT", value_parser = humantime::parse_duration)]
    start_timeout: Option<Duration>,
    /// How long a run may wait for its definition to be fetched [default: 5m]
    #[arg(long, env = "WFE_RESOLUTION_PATIENCE", value_parser = humantime::parse_duration)]
    resolution_patience: Option<Duration>,
    /// How long a run may wait for an image that cannot be pulled [default: 5m]
    #[arg(long, env = "WFE_IMAGE_PULL_PATIENCE", value_parser = humantime::parse_duration)]
    image_pull_patience: Option<Duration>,
    /// How long a run may wait for room in a quota [default: 10m]
    #[arg(long, env = "WFE_QUOTA_PATIENCE", value_parser = humantime::parse_duration)]
    quota_patience: Option<Duration>,
    /// How long a run may wait for a node [default: 10m]
    #[arg(long, env = "WFE_SCHEDULING_PATIENCE", value_parser = humantime::parse_duration)]
    scheduling_patience: Option<Duration>,
    /// How long a run may wait for a volume whose claim is missing or not bound [default: 10m]
    #[arg(long, env = "WFE_VOLUME_PATIENCE", value_parser = humantime::parse_duration)]
    volume_patience: Option<Duration>,
    /// How long a run may wait for a container that cannot be made [default: 5m]
    #[arg(long, env = "WFE_CONTAINER_CONFIG_PATIENCE", value_parser = humantime::parse_duration)]
    container_config_patience: Option<Duration>,
    /// How long a task may take to start when nobody says why [default: 15m]
    #[arg(long, env = "WFE_TASK_START_PATIENCE", value_parser = humantime::parse_duration)]
    task_start_patience: Option<Duration>,
    /// How long a Cancel lets tasks end and finally tasks run, when it does not say [default: 5m]
    #[arg(long, env = "WFE_FINALLY_PATIENCE", value_parser = humantime::parse_duration)]
    finally_patience: Option<Duration>,
    /// How long a run stays in the cluster after its end; 0s is for ever [default: 24h]
    #[arg(long, env = "WFE_RUN_RETENTION", value_parser = humantime::parse_duration)]
    run_retention: Option<Duration>,
    /// A watch says that it is alive after this time of silence [default: 15s]
    #[arg(long, env = "WFE_HEARTBEAT", value_parser = humantime::parse_duration)]
    heartbeat: Option<Duration>,
    /// Who tries in vain again and again is summed up in the log after this time [default: 1m]
    #[arg(long, env = "WFE_AUDIT_SUMMARY_INTERVAL", value_parser = humantime::parse_duration)]
    audit_summary_interval: Option<Duration>,
    /// How long open calls may take to end when the server stops [default: 30s]
    #[arg(long, env = "WFE_SHUTDOWN_TIMEOUT", value_parser = humantime::parse_duration)]
    shutdown_timeout: Option<Duration>,
    /// Time of one simulated task, with --engine simulator [default: 400ms]
    #[arg(long, env = "WFE_SIMULATED_TASK", value_parser = humantime::parse_duration)]
    simulated_task: Option<Duration>,
    /// Address of the Data Storage to which the audit trail is delivered [default: nowhere]
    #[arg(long, env = "WFE_DATA_STORAGE_URL", value_name = "URL")]
    data_storage_url: Option<String>,
    /// File with the token for it; read again for each request
    #[arg(long, env = "WFE_DATA_STORAGE_TOKEN_FILE", value_name = "FILE")]
    data_storage_token_file: Option<PathBuf>,
    /// PEM file with the authorities of its certificate; needed for https
    #[arg(long, env = "WFE_DATA_STORAGE_CA", value_name = "FILE")]
    data_storage_ca: Option<PathBuf>,
    /// How long an event that may have arrived is waited for [default: 15m]
    #[arg(long, env = "WFE_DATA_STORAGE_PATIENCE", value_parser = humantime::parse_duration)]
    data_storage_patience: Option<Duration>,
    /// What happens at the start to events that are parked [default: keep]
    #[arg(long, env = "WFE_DATA_STORAGE_PARKED", value_enum)]
    data_storage_parked: Option<Parked>,
    /// What happens to a Start while delivery is too far behind [default: accept]
    #[arg(long, env = "WFE_AUDIT_BACKPRESSURE", value_enum)]
    audit_backpressure: Option<WhenLagging>,
    /// Delivery may be so far behind [default: 1h]
    #[arg(long, env = "WFE_AUDIT_MAX_LAG", value_parser = humantime::parse_duration)]
    audit_max_lag: Option<Duration>,
    #[command(flatten)]
    gates: GateOverrides,
    /// Which log lines are written, for example `info,wfe_server=debug` [default: info]
    #[arg(long, env = "WFE_LOG", value_name = "FILTER")]
    log: Option<String>,
    /// How log lines look [default: text]
    #[arg(long, env = "WFE_LOG_FORMAT", value_enum)]
    log_format: Option<LogFormat>,
}

/// The flags that were given, in the shape of the settings.
#[derive(Debug, Serialize)]
pub(super) struct Overrides {
    #[serde(skip_serializing_if = "Option::is_none")]
    grpc_address: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    health_address: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metrics_address: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    authentication: Option<Authentication>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audience: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trusted_bridges: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none", with = "humantime_serde::option")]
    authorization_cache: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_certificate: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_key: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_secret: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls_names: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_ca: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    database: Option<PathBuf>,
    #[serde(flatten)]
    audit: AuditOverrides,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter_key: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sensitive_parameters: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    engine: Option<Engine>,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kubeconfig: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none", with = "humantime_serde::option")]
    start_timeout: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none", with = "humantime_serde::option")]
    resolution_patience: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none", with = "humantime_serde::option")]
    image_pull_patience: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none", with = "humantime_serde::option")]
    quota_patience: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none", with = "humantime_serde::option")]
    scheduling_patience: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none", with = "humantime_serde::option")]
    volume_patience: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none", with = "humantime_serde::option")]
    container_config_patience: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none", with = "humantime_serde::option")]
    task_start_patience: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none", with = "humantime_serde::option")]
    finally_patience: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none", with = "humantime_serde::option")]
    run_retention: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none", with = "humantime_serde::option")]
    heartbeat: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none", with = "humantime_serde::option")]
    audit_summary_interval: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none", with = "humantime_serde::option")]
    shutdown_timeout: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none", with = "humantime_serde::option")]
    simulated_task: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_storage_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_storage_token_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_storage_ca: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none", with = "humantime_serde::option")]
    data_storage_patience: Option<Duration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data_storage_parked: Option<Parked>,
    #[serde(skip_serializing_if = "Option::is_none")]
    audit_backpressure: Option<WhenLagging>,
    #[serde(skip_serializing_if = "Option::is_none", with = "humantime_serde::option")]
    audit_max_lag: Option<Duration>,
    #[serde(skip_serializing_if = "GateOverrides::is_empty")]
    gates: GateOverrides,
    #[serde(skip_serializing_if = "LogOverrides::is_empty")]
    log: LogOverrides,
}

impl Args {
    pub(super) fn overrides(&self) -> Overrides {
        let Self {
            config: _,
            print_config: _,
            grpc_address,
            health_address,
            metrics_address,
            authentication,
            audience,
            trusted_bridges,
            authorization_cache,
            tls_certificate,
            tls_key,
            tls_secret,
            tls_names,
            client_ca,
            database,
            parameter_key,
            sensitive_parameters,
            audit,
            engine,
            namespace,
            kubeconfig,
            start_timeout,
            resolution_patience,
            image_pull_patience,
            quota_patience,
            scheduling_patience,
            volume_patience,
            container_config_patience,
            task_start_patience,
            finally_patience,
            run_retention,
            heartbeat,
            audit_summary_interval,
            shutdown_timeout,
            simulated_task,
            data_storage_url,
            data_storage_token_file,
            data_storage_ca,
            data_storage_patience,
            data_storage_parked,
            audit_backpressure,
            audit_max_lag,
            gates,
            log,
            log_format,
        } = self.clone();
        Overrides {
            grpc_address,
            health_address,
            metrics_address,
            authentication,
            audience,
            trusted_bridges,
            authorization_cache,
            tls_certificate,
            tls_key,
            tls_secret,
            tls_names,
            client_ca,
            database,
            parameter_key,
            sensitive_parameters,
            audit,
            engine,
            namespace,
            kubeconfig,
            start_timeout,
            resolution_patience,
            image_pull_patience,
            quota_patience,
            scheduling_patience,
            volume_patience,
            container_config_patience,
            task_start_patience,
            finally_patience,
            run_retention,
            heartbeat,
            audit_summary_interval,
            shutdown_timeout,
            simulated_task,
            data_storage_url,
            data_storage_token_file,
            data_storage_ca,
            data_storage_patience,
            data_storage_parked,
            audit_backpressure,
            audit_max_lag,
            gates,
            log: LogOverrides { filter: log, format: log_format },
        }
    }
}
