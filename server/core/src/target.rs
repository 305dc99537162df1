//! Targets: what is remediated, in the one spelling by which it is locked.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    ids::{ClusterId, is_dns_label, is_dns_subdomain},
    invalid::Invalid,
};

mod kinds;

const FORM: &str = "must be kind/name or namespace/kind/name, for example default/deployment/api";

/// A target in canonical form: `kind/name` or `namespace/kind/name`, the kind lower-cased, singular
/// and without short names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Target {
    namespace: Option<String>,
    kind: String,
    name: String,
}

impl Target {
    /// Its namespace; `None` for what is in none.
    pub fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }
}

impl FromStr for Target {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text.is_empty() {
            return Err(Invalid::new(format!("is required and {FORM}")));
        }
        let parts: Vec<&str> = text.split('/').collect();
        let (namespace, kind, name) = match parts.as_slice() {
            [kind, name] => (None, *kind, *name),
            [namespace, kind, name] => (Some(*namespace), *kind, *name),
            _ => return Err(Invalid::new(FORM)),
        };
        if let Some(namespace) = namespace
            && !is_dns_label(namespace)
        {
            return Err(Invalid::new(format!(
                "{FORM}; the namespace must be a DNS label: at most 63 characters of a-z 0-9 and -"
            )));
        }
        let kind = kinds::canonical(kind).ok_or_else(|| {
            Invalid::new(format!("{FORM}; the kind must be a Kubernetes kind or resource name"))
        })?;
        check_name(&kind, name)?;
        Ok(Self { namespace: namespace.map(ToOwned::to_owned), kind, name: name.to_owned() })
    }
}

/// Names of RBAC objects may hold what a URL path segment may hold; all others are DNS subdomains.
fn check_name(kind: &str, name: &str) -> Result<(), Invalid> {
    if kinds::has_path_segment_names(kind) {
        let plain = |c: char| c.is_ascii_graphic() && c != '%';
        if !name.is_empty()
            && name.len() <= 253
            && name.chars().all(plain)
            && !matches!(name, "." | "..")
        {
            return Ok(());
        }
        return Err(Invalid::new(format!(
            "{FORM}; the name must be 1 to 253 printable characters without / and %"
        )));
    }
    if is_dns_subdomain(name) {
        return Ok(());
    }
    Err(Invalid::new(format!(
        "{FORM}; the name must be a DNS subdomain: at most 253 characters of a-z 0-9 - and ."
    )))
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(namespace) = &self.namespace {
            write!(f, "{namespace}/")?;
        }
        write!(f, "{}/{}", self.kind, self.name)
    }
}

impl TryFrom<String> for Target {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.to_string()
    }
}

/// What a lock is for: a target in a cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TargetKey {
    /// The cluster of the target.
    pub cluster: ClusterId,
    /// The target.
    pub target: Target,
}

impl TargetKey {
    /// The first 16 hex digits of the SHA-256 of cluster and target. Names runs and labels; two
    /// targets with the same hash would only wait for each other.
    pub fn hash(&self) -> String {
        // A target holds no empty part, so `//` cannot be confused with a part of it.
        let text = match self.cluster.as_str() {
            "" => self.target.to_string(),
            cluster => format!("{cluster}//{}", self.target),
        };
        hex::encode(&Sha256::digest(text.as_bytes())[..8])
    }
}

impl fmt::Display for TargetKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cluster.as_str() {
            "" => self.target.fmt(f),
            cluster => write!(f, "{} in cluster {cluster}", self.target),
        }
    }
}

/// `text` as a label value: slashes become `__`, other forbidden characters `-`, at most 63
/// characters, letters or digits at both ends. For people; never for identity.
pub fn label_value(text: &str) -> String {
    let mut value = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '/' => value.push_str("__"),
            c if c.is_ascii_alphanumeric() || "-_.".contains(c) => value.push(c),
            _ => value.push('-'),
        }
    }
    value.truncate(63);
    value.trim_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned()
}

#[cfg(test)]
mod tests;
