//! Settings about the log and its checkpoints.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use serde::Serialize;
use wfe_runtime::tls::SecretName;

use super::{Config, Engine};
use crate::audit::{KeySettings, Timing};

/// So many new entries are signed before the interval is over.
const ENTRIES: u64 = 1000;

/// Where the newest checkpoint is kept in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigMapName {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl Config {
    /// Where keys are.
    pub fn audit_keys(&self) -> KeySettings {
        let beside = || self.database.with_extension("audit-key.pem");
        KeySettings {
            key: self.audit_key.clone().unwrap_or_else(beside),
            previous: self.audit_previous_key.clone(),
            lost: self.audit_lost_key.clone(),
        }
    }

    /// The file of checkpoints.
    pub fn audit_checkpoint_file(&self) -> PathBuf {
        self.audit_checkpoints.clone().unwrap_or_else(|| appended(&self.database, ".checkpoints"))
    }

    /// The ConfigMap of the newest checkpoint; or what is wrong with it.
    pub fn audit_config_map(&self) -> Result<Option<ConfigMapName>, String> {
        let Some(name) = &self.audit_checkpoint_config_map else { return Ok(None) };
        if self.engine == Engine::Simulator {
            return Err("audit_checkpoint_config_map needs a cluster: engine: tekton".to_owned());
        }
        let SecretName { namespace, name } =
            name.parse().map_err(|error| format!("audit_checkpoint_config_map: {error}"))?;
        Ok(Some(ConfigMapName { namespace, name }))
    }

    /// How often the log is signed, and how long it is kept.
    pub fn audit_timing(&self) -> Timing {
        let retention = Some(self.audit_retention).filter(|kept| !kept.is_zero());
        Timing { interval: self.audit_checkpoint_interval, entries: ENTRIES, retention }
    }

    /// What cannot be said by types.
    pub(super) fn validate_audit(&self) -> Result<(), String> {
        if self.audit_checkpoint_interval.is_zero() {
            return Err("audit_checkpoint_interval must be longer than 0s".to_owned());
        }
        if self.audit_previous_key.as_ref() == Some(&self.audit_keys().key) {
            return Err("audit_previous_key and audit_key must be different files".to_owned());
        }
        self.audit_config_map().map(drop)
    }
}

/// A path with something behind its name.
fn appended(path: &Path, more: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(more);
    path.into()
}

/// The flags about the log, each of which is also a variable of the environment.
#[expect(clippy::struct_field_names, reason = "the names of the settings")]
#[derive(Debug, Clone, Default, Args, Serialize)]
pub(super) struct AuditOverrides {
    /// PEM file with the Ed25519 key that signs the log; made when nothing was signed before
    /// [default: beside the database]
    #[arg(long, env = "WFE_AUDIT_KEY", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    audit_key: Option<PathBuf>,
    /// PEM file with the key that signed until now, to rotate to another one
    #[arg(long, env = "WFE_AUDIT_PREVIOUS_KEY", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    audit_previous_key: Option<PathBuf>,
    /// Id of the key that signed until now, when it is lost for ever
    #[arg(long, env = "WFE_AUDIT_LOST_KEY", value_name = "ID")]
    #[serde(skip_serializing_if = "Option::is_none")]
    audit_lost_key: Option<String>,
    /// File that keeps the signed checkpoints of the log [default: beside the database]
    #[arg(long, env = "WFE_AUDIT_CHECKPOINTS", value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    audit_checkpoints: Option<PathBuf>,
    /// ConfigMap that keeps the newest of them
    #[arg(long, env = "WFE_AUDIT_CHECKPOINT_CONFIG_MAP", value_name = "NAMESPACE/NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    audit_checkpoint_config_map: Option<String>,
    /// The log is signed this often, when there is something new [default: 1m]
    #[arg(long, env = "WFE_AUDIT_CHECKPOINT_INTERVAL", value_parser = humantime::parse_duration)]
    #[serde(skip_serializing_if = "Option::is_none", with = "humantime_serde::option")]
    audit_checkpoint_interval: Option<Duration>,
    /// How long entries of the log are kept; 0s is for ever [default: 0s]
    #[arg(long, env = "WFE_AUDIT_RETENTION", value_parser = humantime::parse_duration)]
    #[serde(skip_serializing_if = "Option::is_none", with = "humantime_serde::option")]
    audit_retention: Option<Duration>,
}
