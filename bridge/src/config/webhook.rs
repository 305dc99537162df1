//! The settings of the webhook, put together.

use std::{
    collections::BTreeSet,
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    str::FromStr,
};

use serde::{Deserialize, Serialize};
use wfe_runtime::{
    settings::SettingsError,
    tls::{InvalidSecretName, SecretName, ServerFiles},
};

use super::Config;

/// Where a Secret is: `namespace/name`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecretRef(pub SecretName);

impl FromStr for SecretRef {
    type Err = InvalidSecretName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<String> for SecretRef {
    type Error = InvalidSecretName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<SecretRef> for String {
    fn from(secret: SecretRef) -> Self {
        secret.to_string()
    }
}

/// A webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebhookConfig {
    /// Where it listens.
    pub address: SocketAddr,
    /// What it shows, and what it seals with.
    pub material: Material,
    /// Who may ask for an end by setting the phase.
    pub cancellers: BTreeSet<String>,
}

/// Where the certificate and the key for seals are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Material {
    /// In a Secret, which is made when it is missing.
    Secret {
        /// The Secret.
        secret: SecretName,
        /// What the certificate is for.
        names: Vec<String>,
        /// The MutatingWebhookConfiguration that is told whom to trust.
        configuration: Option<String>,
    },
    /// In files that others keep.
    Files {
        /// The certificate and its key.
        server: ServerFiles,
        /// The key for seals.
        seal_key: PathBuf,
    },
}

impl Config {
    /// The webhook, if there is to be one.
    pub fn webhook(&self) -> Result<Option<WebhookConfig>, SettingsError> {
        let Some(address) = self.webhook_address else {
            let given = [
                ("webhook_secret", self.webhook_secret.is_some()),
                ("webhook_names", !self.webhook_names.is_empty()),
                ("webhook_configuration", self.webhook_configuration.is_some()),
                ("webhook_certificate", self.webhook_certificate.is_some()),
                ("webhook_key", self.webhook_key.is_some()),
                ("seal_key_file", self.seal_key_file.is_some()),
                ("cancellers", !self.cancellers.is_empty()),
            ];
            return match given.into_iter().find(|(_, is_given)| *is_given) {
                Some((setting, _)) => Err(SettingsError::wrong(format!(
                    "{setting} is about the webhook, and there is none without webhook_address"
                ))),
                None => Ok(None),
            };
        };
        let cancellers = self.cancellers.iter().cloned().collect();
        Ok(Some(WebhookConfig { address, material: self.material()?, cancellers }))
    }

    fn material(&self) -> Result<Material, SettingsError> {
        let wrong = |text: &str| Err(SettingsError::wrong(text));
        let files = (&self.webhook_certificate, &self.webhook_key, &self.seal_key_file);
        match (&self.webhook_secret, files) {
            (Some(SecretRef(secret)), (None, None, None)) => {
                if self.webhook_names.is_empty() {
                    return wrong(
                        "webhook_names is needed beside webhook_secret: the names under which the API \
                         server calls the webhook, for example wfe-bridge.kubernaut-system.svc",
                    );
                }
                Ok(Material::Secret {
                    secret: secret.clone(),
                    names: self.webhook_names.clone(),
                    configuration: self.webhook_configuration.clone(),
                })
            }
            (None, (Some(certificate), Some(key), Some(seal_key))) => {
                if self.webhook_configuration.is_some() || !self.webhook_names.is_empty() {
                    return wrong(
                        "webhook_names and webhook_configuration go with webhook_secret: whoever keeps \
                         the files of the certificate keeps the caBundle as well",
                    );
                }
                let server = ServerFiles {
                    certificate: Path::to_owned(certificate),
                    key: Path::to_owned(key),
                    client_ca: None,
                };
                Ok(Material::Files { server, seal_key: seal_key.clone() })
            }
            (Some(_) | None, _) => wrong(
                "webhook_address needs either webhook_secret, or webhook_certificate, webhook_key and \
                 seal_key_file",
            ),
        }
    }
}
