//! A Secret with an authority and a server certificate that the process makes itself.
//!
//! Several replicas may do so at once: one of them writes, the others take what it wrote. Only a
//! Secret that was made here, or that is empty, is ever written; one that others keep is used as it is.

use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

use jiff::Timestamp;
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use rand::Rng as _;
use tokio_util::sync::CancellationToken;

use super::{
    ServerMaterial,
    issue::{self, IssueError, Issued},
};
use crate::{
    clock::Clock,
    cluster::{CallError, call},
    error::chain,
};

mod plan;

use plan::{Authority, Plan, plan};

/// The certificate of the server with its chain, PEM.
const CERTIFICATE: &str = "tls.crt";
/// The key of the server, PEM.
const KEY: &str = "tls.key";
/// The authorities that clients should trust, PEM: the one that signs now first, then those before it
/// that are still valid.
const CA: &str = "ca.crt";
/// The key of the authority that signs now, PEM. Kept, so that a new server certificate is trusted by
/// clients that have not read the authorities anew.
const CA_KEY: &str = "ca.key";
/// Marks a Secret that is kept here.
const MARK: &str = "kubernaut.ai/self-signed";
/// The common name of an authority.
const AUTHORITY: &str = "kubernaut-wfe";
/// Bytes of a random entry.
const RANDOM_BYTES: usize = 32;
/// So often a write is tried when others write too.
const ATTEMPTS: usize = 5;

type Data = BTreeMap<String, Vec<u8>>;

/// Where a Secret is: `namespace/name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretName {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

/// A text is no name of a Secret.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not namespace/name")]
pub struct InvalidSecretName(String);

impl FromStr for SecretName {
    type Err = InvalidSecretName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = |part: &str, dots: bool| {
            let allowed = |c: u8| {
                c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-' || (dots && c == b'.')
            };
            let ends = |c: Option<&u8>| c.is_some_and(u8::is_ascii_alphanumeric);
            let bytes = part.as_bytes();
            part.len() <= if dots { 253 } else { 63 }
                && bytes.iter().copied().all(allowed)
                && ends(bytes.first())
                && ends(bytes.last())
        };
        match text.split_once('/') {
            Some((namespace, name)) if plain(namespace, false) && plain(name, true) => {
                Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
            }
            _ => Err(InvalidSecretName(text.to_owned())),
        }
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// What a Secret holds, checked.
#[derive(Clone, PartialEq, Eq)]
pub struct Kept {
    /// What the server shows; asks for no client certificates.
    pub server: ServerMaterial,
    /// What clients should trust, PEM.
    pub ca: Vec<u8>,
    /// The random entries that were asked for, by name.
    pub random: BTreeMap<String, Vec<u8>>,
}

/// Shows no key.
impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").finish_non_exhaustive()
    }
}

/// A Secret does not give what a server needs.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The API server did not do what was asked.
    #[error("Secret {secret}: {verb}")]
    Call {
        /// The Secret.
        secret: SecretName,
        /// What was asked.
        verb: &'static str,
        /// Why not.
        #[source]
        source: Box<CallError>,
    },
    /// Others made it, and what they made cannot be used.
    #[error("Secret {secret} was not made here and cannot be used: {problem}")]
    Foreign {
        /// The Secret.
        secret: SecretName,
        /// What is wrong with it.
        problem: String,
    },
    /// A certificate cannot be made.
    #[error("Secret {secret}")]
    Issue {
        /// The Secret.
        secret: SecretName,
        /// Why.
        #[source]
        source: IssueError,
    },
    /// Others wrote it again and again.
    #[error("Secret {0} was changed by others again and again")]
    Contended(SecretName),
}

/// Keeps a Secret with a certificate for a server.
#[derive(Clone)]
pub struct SelfSigned {
    client: Client,
    secret: SecretName,
    names: Vec<String>,
    random: Vec<&'static str>,
}

impl fmt::Debug for SelfSigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SelfSigned").field("secret", &self.secret).finish_non_exhaustive()
    }
}

impl SelfSigned {
    /// A certificate for these DNS names and IP addresses in this Secret, and beside it an entry of 32
    /// random bytes for each name of `random`, which stays when the certificate is renewed.
    pub fn new(
        client: Client,
        secret: SecretName,
        names: Vec<String>,
        random: &[&'static str],
    ) -> Self {
        Self { client, secret, names, random: random.to_vec() }
    }

    /// What the Secret holds, after it was made or renewed if need be.
    pub async fn obtain(&self, now: Timestamp) -> Result<Kept, SecretError> {
        for _ in 0..ATTEMPTS {
            let found = self.read().await?;
            let marked = found.as_ref().is_some_and(is_marked);
            let data = found.as_ref().map(data).unwrap_or_default();
            let authority = match plan(&data, marked, &self.names, &self.random, now) {
                Plan::Use(kept) => return Ok(*kept),
                Plan::Refuse { problem } => {
                    return Err(SecretError::Foreign { secret: self.secret.clone(), problem });
                }
                Plan::Issue { reason, authority } => {
                    tracing::info!(secret = %self.secret, reason, "making a certificate");
                    authority
                }
            };
            let data = self.issue(data, authority, now)?;
            if self.write(found, data).await? == Written::Ours {
                tracing::info!(secret = %self.secret, "a certificate was made");
            }
            // What others wrote, or what the API server made of ours, is read as any other.
        }
        Err(SecretError::Contended(self.secret.clone()))
    }

    /// Looks at the Secret again and again until `stopping`, renews it when it is time, and tells each
    /// content that differs from the one before, beginning with `first`.
    pub async fn keep(
        self,
        first: Kept,
        clock: std::sync::Arc<dyn Clock>,
        interval: Duration,
        mut changed: impl FnMut(&Kept) + Send,
        stopping: CancellationToken,
    ) {
        let mut last = first;
        let mut told = None;
        loop {
            tokio::select! {
                () = tokio::time::sleep(interval) => {}
                () = stopping.cancelled() => return,
            }
            match self.obtain(clock.now()).await {
                Ok(kept) => {
                    told = None;
                    if kept != last {
                        tracing::info!(secret = %self.secret, "the certificate was replaced");
                        changed(&kept);
                        last = kept;
                    }
                }
                Err(error) => {
                    let problem = chain(&error);
                    if told.as_ref() != Some(&problem) {
                        tracing::warn!(problem, "the certificate that is there is still shown");
                    }
                    told = Some(problem);
                }
            }
        }
    }

    fn api(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.secret.namespace)
    }

    fn call_error(&self, verb: &'static str) -> impl FnOnce(CallError) -> SecretError {
        move |source| SecretError::Call {
            secret: self.secret.clone(),
            verb,
            source: Box::new(source),
        }
    }

    async fn read(&self) -> Result<Option<Secret>, SecretError> {
        call(self.api().get_opt(&self.secret.name)).await.map_err(self.call_error("get"))
    }

    /// The entries as they should be: a new certificate, and random ones that were missing.
    fn issue(
        &self,
        mut data: Data,
        authority: Authority,
        now: Timestamp,
    ) -> Result<Data, SecretError> {
        let failed = |source| SecretError::Issue { secret: self.secret.clone(), source };
        let (ca, trusted) = match authority {
            Authority::Keep { ca, trusted } => (ca, trusted),
            Authority::Make { trusted } => {
                let ca = issue::authority(AUTHORITY, now).map_err(failed)?;
                let trusted = format!("{}{trusted}", ca.certificate);
                (ca, trusted)
            }
        };
        let server = issue::server(&ca, &self.names, now).map_err(failed)?;
        data.insert(CERTIFICATE.to_owned(), server.certificate.into_bytes());
        data.insert(KEY.to_owned(), server.key.into_bytes());
        data.insert(CA.to_owned(), trusted.into_bytes());
        data.insert(CA_KEY.to_owned(), ca.key.into_bytes());
        for name in &self.random {
            let entry = data.entry((*name).to_owned()).or_default();
            if entry.len() < RANDOM_BYTES {
                *entry = random_bytes();
            }
        }
        Ok(data)
    }

    async fn write(&self, found: Option<Secret>, data: Data) -> Result<Written, SecretError> {
        let mut secret = found.clone().unwrap_or_else(|| Secret {
            metadata: ObjectMeta {
                name: Some(self.secret.name.clone()),
                namespace: Some(self.secret.namespace.clone()),
                ..ObjectMeta::default()
            },
            type_: Some("kubernetes.io/tls".to_owned()),
            ..Secret::default()
        });
        let marks = secret.metadata.annotations.get_or_insert_default();
        marks.insert(MARK.to_owned(), "true".to_owned());
        secret.data =
            Some(data.into_iter().map(|(name, value)| (name, ByteString(value))).collect());
        let (api, params) = (self.api(), PostParams::default());
        // A replace carries the resource version of what was read, so that nobody is overwritten.
        let (verb, written) = match found {
            None => ("create", call(api.create(&params, &secret)).await),
            Some(_) => ("update", call(api.replace(&self.secret.name, &params, &secret)).await),
        };
        match written {
            Ok(_) => Ok(Written::Ours),
            // Somebody else was faster: 409 is AlreadyExists or Conflict; 404, it was deleted.
            Err(error) if matches!(error.code(), Some(409)) => Ok(Written::ByOthers),
            Err(error) if verb == "update" && error.code() == Some(404) => Ok(Written::ByOthers),
            Err(error) => Err(self.call_error(verb)(error)),
        }
    }
}

/// Who wrote what is there now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    Ours,
    ByOthers,
}

fn is_marked(secret: &Secret) -> bool {
    let marks = secret.metadata.annotations.as_ref();
    marks.is_some_and(|marks| marks.get(MARK).is_some_and(|value| value == "true"))
}

fn data(secret: &Secret) -> Data {
    let data = secret.data.iter().flatten();
    data.map(|(name, value)| (name.clone(), value.0.clone())).collect()
}

fn random_bytes() -> Vec<u8> {
    let mut bytes = vec![0; RANDOM_BYTES];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}

#[cfg(test)]
mod tests;
