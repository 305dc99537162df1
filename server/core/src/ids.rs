//! Identifiers, parsed once at the edge and typed from there on.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{invalid::Invalid, target::TargetKey};

/// Identifies an execution; ordered by time of acceptance (UUID version 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ExecutionId(Uuid);

impl ExecutionId {
    /// Wraps a UUID that the caller made.
    pub const fn new(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

impl fmt::Display for ExecutionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for ExecutionId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        // Only the canonical spelling, so that one execution has one name.
        match Uuid::parse_str(text) {
            Ok(uuid) if uuid.hyphenated().to_string() == text => Ok(Self(uuid)),
            _ => {
                Err(Invalid::new("must be the id of an execution, a lower-case UUID with hyphens"))
            }
        }
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Invalid;

            fn from_str(text: &str) -> Result<Self, Invalid> {
                let check: fn(&str) -> Result<(), Invalid> = $check;
                check(text)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = Invalid;

            fn try_from(text: String) -> Result<Self, Invalid> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

text_id!(
    /// Identifies a request (AIP-155): 1 to 128 characters of `A-Z a-z 0-9 . _ : / -`.
    RequestId,
    |text| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || ".-_:/".contains(c);
        if text.is_empty() {
            return Err(Invalid::new("is required: give an id, such as a UUID, and repeat it on retries"));
        }
        if text.len() > 128 || !text.chars().all(allowed) {
            return Err(Invalid::new("must be 1 to 128 characters of A-Z a-z 0-9 . _ : / -"));
        }
        Ok(())
    }
);

text_id!(
    /// Ties executions of one incident together: 1 to 253 printable ASCII characters.
    CorrelationId,
    |text| {
        if text.is_empty() || text.len() > 253 || !text.chars().all(|c| c.is_ascii_graphic()) {
            return Err(Invalid::new("must be 1 to 253 printable ASCII characters without spaces"));
        }
        Ok(())
    }
);

text_id!(
    /// The cluster of a target; empty is the local one, else a DNS subdomain.
    ClusterId,
    |text| {
        if text.is_empty() || is_dns_subdomain(text) {
            return Ok(());
        }
        Err(Invalid::new(
            "must be empty or a DNS subdomain: at most 253 characters of a-z 0-9 - and .",
        ))
    }
);

impl ClusterId {
    /// The cluster that the service's runs live in.
    pub fn local() -> Self {
        Self(String::new())
    }
}

/// Counts the holds of one target, from 1. A later hold has a greater epoch, so a write under an old
/// one can be told and refused.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch of the hold after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Counts the events of one execution, from 1. 0 stands before the first.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Revision(pub u64);

impl Revision {
    /// The revision after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Name of a PipelineRun: fixed by target and epoch, so that creating it twice creates it once, and a
/// stale replica cannot start a second one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunName(String);

impl RunName {
    /// The name of the run of one hold of a target. At most 41 characters, a DNS label.
    pub fn new(key: &TargetKey, epoch: Epoch) -> Self {
        Self(format!("wfe-{}-{epoch}", key.hash()))
    }

    /// The epoch in `name`, when it is the name of a run of a target with this hash.
    pub fn epoch_of(name: &str, target_hash: &str) -> Option<Epoch> {
        let epoch = name.strip_prefix("wfe-")?.strip_prefix(target_hash)?.strip_prefix('-')?;
        epoch.parse().ok().map(Epoch)
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A DNS label as Kubernetes wants it (RFC 1123): 1 to 63 characters.
pub fn is_dns_label(text: &str) -> bool {
    !text.is_empty() && text.len() <= 63 && is_dns_chunk(text)
}

/// A DNS subdomain as Kubernetes wants it (RFC 1123): 1 to 253 characters.
pub fn is_dns_subdomain(text: &str) -> bool {
    !text.is_empty() && text.len() <= 253 && text.split('.').all(is_dns_chunk)
}

fn is_dns_chunk(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !text.is_empty() && text.chars().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}
