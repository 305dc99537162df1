//! The chain: each entry is hashed together with the one before.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{About, Record, Stream, What};
use crate::{actor::Actor, invalid::Invalid};

/// Keeps these hashes apart from those of anything else.
const DOMAIN: &[u8] = b"kubernaut.ai/wfe audit entry v1\n";

/// A place in the one order of all entries, from 1. 0 stands before the first.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Position(pub u64);

impl Position {
    /// The place after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What stands for an entry and all before it. The one before the first is the id of the log: 32 random
/// bytes that were made with its database, so that no two logs have an entry in common.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hash(pub [u8; 32]);

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Hash {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let mut bytes = [0; 32];
        let wrong = |_| Invalid::new("must be 64 lower-case hex digits");
        hex::decode_to_slice(text, &mut bytes).map_err(wrong)?;
        let hash = Self(bytes);
        if hash.to_string() == text { Ok(hash) } else { Err(wrong(hex::FromHexError::OddLength)) }
    }
}

impl TryFrom<String> for Hash {
    type Error = Invalid;

    fn try_from(text: String) -> Result<Self, Invalid> {
        text.parse()
    }
}

impl From<Hash> for String {
    fn from(hash: Hash) -> Self {
        hash.to_string()
    }
}

/// The newest entry of a log, or of a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Its place.
    pub sequence: Position,
    /// Its hash.
    pub hash: Hash,
}

/// An entry of the log. Its text is what was hashed: it is kept and passed on as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place.
    pub sequence: Position,
    /// Its hash.
    pub hash: Hash,
    /// JSON of [`Logged`].
    pub text: String,
}

/// What the text of an entry says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logged {
    /// Its place.
    pub sequence: Position,
    /// What it is about.
    pub stream: Stream,
    /// Its number there, from 1.
    pub revision: u64,
    /// When it happened.
    pub at: Timestamp,
    /// Who caused it.
    pub actor: Actor,
    /// What it was.
    pub what: What,
    /// What it concerned.
    #[serde(default)]
    pub about: About,
}

/// The same, borrowed. Field for field in the same order.
#[derive(Serialize)]
struct Text<'a> {
    sequence: Position,
    stream: &'a Stream,
    revision: u64,
    at: Timestamp,
    actor: &'a Actor,
    what: &'a What,
    about: &'a About,
}

impl Head {
    /// The head of a log without entries.
    pub const fn empty(log: Hash) -> Self {
        Self { sequence: Position(0), hash: log }
    }

    /// The entry that follows, for a record with this number in its stream.
    pub fn append(&self, record: &Record, revision: u64) -> Result<Entry, serde_json::Error> {
        let Record { stream, numbering: _, at, actor, what, about } = record;
        let sequence = self.sequence.next();
        let text = Text { sequence, stream, revision, at: *at, actor, what, about };
        let text = serde_json::to_string(&text)?;
        Ok(Entry { sequence, hash: self.hash.follow(text.as_bytes()), text })
    }
}

impl Hash {
    /// The hash of the entry with this text that follows.
    #[must_use]
    pub fn follow(&self, text: &[u8]) -> Self {
        let hash = Sha256::new().chain_update(DOMAIN).chain_update(self.0).chain_update(text);
        Self(hash.finalize().into())
    }
}

impl Entry {
    /// The newest head after this entry.
    pub const fn head(&self) -> Head {
        Head { sequence: self.sequence, hash: self.hash }
    }

    /// What the text says.
    pub fn read(&self) -> Result<Logged, serde_json::Error> {
        serde_json::from_str(&self.text)
    }
}
