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

/// The same filter, without the lines that are written at no level.
pub fn discreet(filter: EnvFilter) -> EnvFilter {
    NEVER.iter().filter_map(|line| line.parse().ok()).fold(filter, EnvFilter::add_directive)
}

/// Writes log lines to standard error from now on. Does nothing when somebody else does already.
pub fn init(log: &Log) -> Result<(), SettingsError> {
    let filter = EnvFilter::try_new(&log.filter)
        .map_err(|error| SettingsError::wrong(format!("log.filter {:?}: {error}", log.filter)))?;
    let filter = discreet(filter);
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

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use super::*;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn whole_answers_of_an_api_server_are_written_at_no_level() {
        for wished in ["trace", "trace,kube_client=trace", "trace,kube_client::client=trace"] {
            let written = Written::default();
            let writer = written.clone();
            let subscriber = fmt()
                .with_env_filter(discreet(EnvFilter::new(wished)))
                .with_writer(move || writer.clone())
                .finish();
            tracing::subscriber::with_default(subscriber, || {
                tracing::warn!(target: "kube_client::client", "an object");
                tracing::trace!(target: "kube_client::config", "a setting");
            });
            let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
            assert!(text.contains("a setting") && !text.contains("an object"), "{wished}: {text}");
        }
    }
}
