//! The key of the sensitive parameters: a file beside the database, which the database recognises.

use std::{
    fmt,
    fs::File,
    io::{self, ErrorKind, Write as _},
    path::{Path, PathBuf, absolute},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::rand::{SecureRandom as _, SystemRandom};
use zeroize::Zeroizing;

use super::Vault;
use crate::store::{Store, StoreError};

/// Bytes in a key.
const KEY_BYTES: usize = 32;

/// Bytes of a fingerprint that are kept.
const FINGERPRINT_BYTES: usize = 16;

/// The key. Wiped when it is dropped.
pub struct ParameterKey(Zeroizing<[u8; KEY_BYTES]>);

/// Tells one key from another, and says nothing about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint(String);

/// The key cannot be used. Its text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The database has a key, which is not there.
    #[error(
        "the key of the sensitive parameters of this database is not at {}: put the key file back \
         there, or say with parameter_key where it is",
        path.display()
    )]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// The database has another key.
    #[error(
        "{} is not the key with which the sensitive parameters of this database were sealed: put that \
         one there, or say with parameter_key where it is",
        path.display()
    )]
    Wrong {
        /// Where it is.
        path: PathBuf,
    },
    /// What is there is no key.
    #[error(
        "{} holds no key for sensitive parameters, which is 32 bytes in base64: put the right file \
         there, or say with parameter_key where it is",
        path.display()
    )]
    NoKey {
        /// Where it is.
        path: PathBuf,
    },
    /// The file cannot be read.
    #[error(
        "the key of the sensitive parameters, {}, cannot be read: allow the process to read it",
        path.display()
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file cannot be made.
    #[error(
        "the key of the sensitive parameters, {}, cannot be made: allow the process to write there, or \
         give another path with parameter_key",
        path.display()
    )]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The system gives no randomness.
    #[error("the system gives no random bytes to make a key for sensitive parameters from")]
    NoRandomness,
    /// No keys can be made from it.
    #[error("no keys can be derived from the key of the sensitive parameters")]
    Underivable,
    /// The database cannot be asked for its key.
    #[error("the database cannot be asked for the key of its sensitive parameters")]
    Store(#[from] StoreError),
}

impl fmt::Debug for ParameterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ParameterKey")
    }
}

impl Fingerprint {
    pub(super) fn of(derived: [u8; 32]) -> Self {
        Self(hex::encode(&derived[..FINGERPRINT_BYTES]))
    }

    /// What was kept of a key earlier.
    pub fn kept(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// As it is kept.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl ParameterKey {
    /// A key of these bytes.
    pub fn new(bytes: [u8; KEY_BYTES]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// A new key.
    pub fn random(random: &SystemRandom) -> Result<Self, KeyError> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        random.fill(&mut *bytes).map_err(|_| KeyError::NoRandomness)?;
        Ok(Self(bytes))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &*self.0
    }

    /// The key in a text: base64, and perhaps an end of line.
    fn parse(text: &str) -> Option<Self> {
        let bytes = Zeroizing::new(STANDARD.decode(text.trim()).ok()?);
        Some(Self::new(<[u8; KEY_BYTES]>::try_from(bytes.as_slice()).ok()?))
    }
}

/// The vault of a database, with the key at `path`. The first one that a database meets is its own from
/// then on; it is made when there is no file.
pub async fn unlock(path: &Path, store: &dyn Store) -> Result<Vault, KeyError> {
    let path =
        absolute(path).map_err(|source| KeyError::Unreadable { path: path.to_owned(), source })?;
    let known = store.parameter_key(None).await?;
    let key = match (read(&path)?, &known) {
        (Some(key), _) => key,
        (None, Some(_)) => return Err(KeyError::Missing { path }),
        (None, None) => make(&path)?,
    };
    let vault = Vault::new(&key)?;
    // Another process may have been faster since.
    let kept = match known {
        Some(known) => Some(known),
        None => store.parameter_key(Some(vault.fingerprint())).await?,
    };
    if kept.as_ref() == Some(vault.fingerprint()) {
        Ok(vault)
    } else {
        Err(KeyError::Wrong { path })
    }
}

fn read(path: &Path) -> Result<Option<ParameterKey>, KeyError> {
    match std::fs::read_to_string(path).map(Zeroizing::new) {
        Ok(text) => match ParameterKey::parse(&text) {
            Some(key) => Ok(Some(key)),
            None => Err(KeyError::NoKey { path: path.to_owned() }),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == ErrorKind::InvalidData => {
            Err(KeyError::NoKey { path: path.to_owned() })
        }
        Err(source) => Err(KeyError::Unreadable { path: path.to_owned(), source }),
    }
}

/// Makes a key file that its owner alone may read. When another process makes one at the same time, that
/// one counts.
fn make(path: &Path) -> Result<ParameterKey, KeyError> {
    let key = ParameterKey::random(&SystemRandom::new())?;
    let text = Zeroizing::new(STANDARD.encode(key.bytes()) + "\n");
    match write(path, &text) {
        Ok(()) => Ok(key),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            read(path)?.ok_or_else(|| KeyError::Missing { path: path.to_owned() })
        }
        Err(source) => Err(KeyError::Unwritable { path: path.to_owned(), source }),
    }
}

/// Whole or not at all, and durable before anything is sealed with it.
fn write(path: &Path, text: &str) -> Result<(), io::Error> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    // A temporary file is readable by its owner alone.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests;
