//! Parameters as they are kept: in clear, or sealed when nobody may read them.
//!
//! Nothing here knows a sensitive value. What stands for it are a digest, by which two values are
//! compared and which is what people see, and a sealed form, which only the holder of the key can open.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use wildmatch::WildMatch;

use crate::invalid::Invalid;

/// At most this many patterns of names.
pub const MAX_PATTERNS: usize = 64;
/// At most this many characters in one of them.
pub const MAX_PATTERN_CHARS: usize = 253;

/// Stands in front of what is shown of a sensitive value.
const SHOWN_PREFIX: &str = "sensitive:hmac-sha256:";

/// At most this many bytes of a digest are shown.
const SHOWN_BYTES: usize = 8;

/// A parameter's value, as it is kept.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Parameter {
    /// In clear.
    Plain(String),
    /// Not to be read by anybody.
    Sensitive(SealedValue),
}

/// What is kept of a sensitive value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedValue {
    /// Stands for the value where it is compared or shown.
    pub digest: ValueDigest,
    /// The value, encrypted: base64.
    pub sealed: String,
}

/// The digest of a value, under a key that the domain does not know.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ValueDigest(pub [u8; 32]);

/// Makes digests of values.
pub trait DigestValues {
    /// The digest of the value of the parameter `name`. The same value of another parameter has another
    /// one.
    fn digest(&self, name: &str, value: &str) -> ValueDigest;
}

impl Parameter {
    /// What everybody may see: the value, or what stands for it.
    pub fn shown(&self) -> String {
        match self {
            Self::Plain(value) => value.clone(),
            Self::Sensitive(sealed) => sealed.digest.to_string(),
        }
    }

    /// The value, when it is kept in clear.
    pub fn plain(&self) -> Option<&str> {
        match self {
            Self::Plain(value) => Some(value),
            Self::Sensitive(_) => None,
        }
    }

    fn digest(&self, name: &str, digests: &dyn DigestValues) -> ValueDigest {
        match self {
            Self::Plain(value) => digests.digest(name, value),
            Self::Sensitive(sealed) => sealed.digest,
        }
    }

    /// Whether two are the same value, however each is kept: a pattern that was added or taken away
    /// since makes no other request of a repetition.
    fn is_same(&self, other: &Self, name: &str, digests: &dyn DigestValues) -> bool {
        match (self, other) {
            (Self::Plain(one), Self::Plain(two)) => one == two,
            (Self::Sensitive(_), _) | (_, Self::Sensitive(_)) => {
                self.digest(name, digests) == other.digest(name, digests)
            }
        }
    }
}

/// Shows what everybody may see.
impl fmt::Debug for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(value) => value.fmt(f),
            Self::Sensitive(sealed) => sealed.digest.fmt(f),
        }
    }
}

impl From<&str> for Parameter {
    fn from(value: &str) -> Self {
        Self::Plain(value.to_owned())
    }
}

impl From<String> for Parameter {
    fn from(value: String) -> Self {
        Self::Plain(value)
    }
}

/// Whether two requests give the same values.
pub(crate) fn are_same(
    one: &BTreeMap<String, Parameter>,
    two: &BTreeMap<String, Parameter>,
    digests: &dyn DigestValues,
) -> bool {
    one.len() == two.len()
        && one.iter().zip(two).all(|((name, value), (other_name, other))| {
            name == other_name && value.is_same(other, name, digests)
        })
}

/// As it is shown: enough to tell values apart.
impl fmt::Display for ValueDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SHOWN_PREFIX}{}", hex::encode(&self.0[..SHOWN_BYTES]))
    }
}

impl fmt::Debug for ValueDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for ValueDigest {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes)
            .map_err(|_| Invalid::new("a digest has 64 hex digits"))?;
        Ok(Self(bytes))
    }
}

impl From<ValueDigest> for String {
    fn from(digest: ValueDigest) -> Self {
        hex::encode(digest.0)
    }
}

/// Names of parameters that are sensitive whoever calls: patterns with `*` for any characters and `?`
/// for one, in any case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<String>", into = "Vec<String>")]
pub struct SensitiveNames(Vec<WildMatch>);

impl Eq for SensitiveNames {}

impl Default for SensitiveNames {
    fn default() -> Self {
        let usual = [
            "*password*",
            "*passwd*",
            "*secret*",
            "*token*",
            "*credential*",
            "*api?key*",
            "*apikey*",
            "*private?key*",
        ];
        Self(usual.into_iter().map(WildMatch::new_case_insensitive).collect())
    }
}

impl SensitiveNames {
    /// None at all: only the caller says what is sensitive.
    pub fn none() -> Self {
        Self(Vec::new())
    }

    /// Whether a parameter of this name is sensitive.
    pub fn contain(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| pattern.matches(name))
    }
}

impl TryFrom<Vec<String>> for SensitiveNames {
    type Error = Invalid;

    fn try_from(patterns: Vec<String>) -> Result<Self, Invalid> {
        if patterns.len() > MAX_PATTERNS {
            return Err(Invalid::new(format!("at most {MAX_PATTERNS} patterns are possible")));
        }
        for pattern in &patterns {
            let known = |c: char| c.is_ascii_alphanumeric() || "._-*?".contains(c);
            if pattern.is_empty()
                || pattern.len() > MAX_PATTERN_CHARS
                || !pattern.chars().all(known)
            {
                return Err(Invalid::new(format!(
                    "the pattern {pattern:?} must have 1 to {MAX_PATTERN_CHARS} characters of A-Z a-z \
                     0-9 . _ - * and ?"
                )));
            }
        }
        Ok(Self(patterns.iter().map(|text| WildMatch::new_case_insensitive(text)).collect()))
    }
}

impl From<SensitiveNames> for Vec<String> {
    fn from(names: SensitiveNames) -> Self {
        names.0.iter().map(ToString::to_string).collect()
    }
}

#[cfg(test)]
mod tests;
