//! Settings of the delivery to Data Storage.

use serde::{Deserialize, Serialize};
use wfe_datastorage::{BuildError, Client, Options};

use super::Config;

/// What happens to a Start while delivery is too far behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum WhenLagging {
    /// It is accepted: the log keeps what is to be delivered.
    Accept,
    /// It is refused.
    Refuse,
}

/// What happens at the start to events that are parked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Parked {
    /// They stay so.
    Keep,
    /// They are tried again.
    Retry,
}

impl Config {
    /// A client of the Data Storage; `None` when nothing is delivered.
    pub fn data_storage(&self) -> Result<Option<Client>, String> {
        let Some(url) = &self.data_storage_url else {
            let alone = [
                ("data_storage_token_file", self.data_storage_token_file.is_some()),
                ("data_storage_ca", self.data_storage_ca.is_some()),
            ];
            return match alone.into_iter().find(|(_, given)| *given) {
                Some((name, _)) => Err(format!("{name} needs data_storage_url")),
                None if self.audit_backpressure == WhenLagging::Refuse => {
                    Err("audit_backpressure: refuse needs data_storage_url".to_owned())
                }
                None => Ok(None),
            };
        };
        if self.data_storage_patience.is_zero() {
            return Err("data_storage_patience must be longer than 0s".to_owned());
        }
        if self.audit_max_lag <= self.data_storage_patience
            && self.audit_backpressure == WhenLagging::Refuse
        {
            return Err(
                "audit_max_lag must be longer than data_storage_patience: one event that is in \
                        doubt waits that long"
                    .to_owned(),
            );
        }
        let options = Options {
            token_file: self.data_storage_token_file.clone(),
            ca: self.data_storage_ca.clone(),
            ..Options::new(url.clone())
        };
        let client = Client::new(options).map_err(|error| match error {
            BuildError::Url { .. } => format!("data_storage_url {error}"),
            BuildError::NoAuthority { .. } => {
                format!("data_storage_url {url} needs data_storage_ca")
            }
        });
        client.map(Some)
    }
}
