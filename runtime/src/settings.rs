//! Settings: defaults, then a YAML file, then flags, each of which is also a variable of the
//! environment.
//!
//! Keys that are not known are refused by the types, so that a typing error does not pass for a
//! setting.

use std::path::Path;

use figment::{
    Figment,
    providers::{Format as _, Serialized, Yaml},
};
use serde::{Serialize, de::DeserializeOwned};

/// The settings cannot be used. One line, for standard error.
#[derive(Debug, thiserror::Error)]
#[error("configuration: {0}")]
pub struct SettingsError(String);

impl SettingsError {
    /// What is wrong, and what would be right.
    pub fn wrong(text: impl Into<String>) -> Self {
        Self(text.into().replace('\n', " "))
    }
}

/// Puts settings together: `defaults`, then `file`, then `overrides`, in which only what was given is
/// serialized.
pub fn load<T>(
    defaults: T,
    file: Option<&Path>,
    overrides: impl Serialize,
) -> Result<T, SettingsError>
where
    T: Serialize + DeserializeOwned,
{
    let mut figment = Figment::from(Serialized::defaults(defaults));
    if let Some(file) = file {
        if !file.is_file() {
            return Err(SettingsError::wrong(format!("there is no file {}", file.display())));
        }
        figment = figment.merge(Yaml::file_exact(file));
    }
    figment
        .merge(Serialized::defaults(overrides))
        .extract()
        .map_err(|error| SettingsError::wrong(error.to_string()))
}
