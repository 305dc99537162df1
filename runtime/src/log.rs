//! Log lines.

use std::io::IsTerminal as _;

use serde::{Deserialize, Serialize};
use tracing_subscriber::{EnvFilter, fmt};

use crate::settings::SettingsError;

/// Logging.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// Which lines are written, as of `tracing_subscriber::EnvFilter`.
    pub filter: String,
    /// How they look.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON document per line.
    Json,
}

impl Default for Log {
    fn default() -> Self {
        Self { filter: "info".to_owned(), format: LogFormat::Text }
    }
}

/// The flags about the log that were given, in the shape of the settings.
#[derive(Debug, Default, Serialize)]
pub struct LogOverrides {
    /// Which lines are written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// How they look.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<LogFormat>,
}

impl LogOverrides {
    /// Whether no flag was given.
    pub fn is_empty(&self) -> bool {
        self.filter.is_none() && self.format.is_none()
    }
}

/// Lines that are written at no level: they hold whole answers of an API server, and so the parameters of
/// runs.
const NEVER: [&str; 1] = ["kube_client::client=off"];

/// Writes log lines to standard error from now on. Does nothing when somebody else does already.
pub fn init(log: &Log) -> Result<(), SettingsError> {
    let filter = EnvFilter::try_new(&log.filter)
        .map_err(|error| SettingsError::wrong(format!("log.filter {:?}: {error}", log.filter)))?;
    let filter =
        NEVER.iter().filter_map(|line| line.parse().ok()).fold(filter, EnvFilter::add_directive);
    let builder = fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    let set = match log.format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    drop(set);
    Ok(())
}
