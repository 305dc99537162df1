//! Why a server does not start with a log that it cannot answer for.

use std::{io, path::PathBuf};

use wfe_audit::key::{KeyError, KeyId};

use super::{doubt::Doubt, outside::OutsideError};
use crate::store::StoreError;

/// Database, key and checkpoints do not fit each other. Each text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// A key cannot be read.
    #[error("the audit key {} cannot be read: allow the process to read the file", path.display())]
    KeyUnreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file holds no key.
    #[error(
        "{} is no Ed25519 private key in PEM: restore the audit key, or give the path of one",
        path.display()
    )]
    NotAKey {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: KeyError,
    },
    /// A new key cannot be kept.
    #[error(
        "a new audit key cannot be written to {}: allow the process to write there, or make a key \
         and set audit_key to it",
        path.display()
    )]
    KeyUnwritable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A new key cannot be made.
    #[error("a new audit key cannot be made")]
    KeyNotMade(#[source] KeyError),
    /// The key that signed is not there.
    #[error(
        "the audit key {} is missing, and key {signer} has signed the log: restore it there; or \
         rotate, with audit_key set to a new key and audit_previous_key to the old one",
        path.display()
    )]
    KeyMissing {
        /// The file.
        path: PathBuf,
        /// Who signed last.
        signer: KeyId,
    },
    /// It is another key.
    #[error(
        "the audit key {} is {found}, and key {signer} has signed the log: restore that key there; \
         or rotate, with audit_previous_key set to the old one",
        path.display()
    )]
    OtherKey {
        /// The file.
        path: PathBuf,
        /// The key in it.
        found: KeyId,
        /// Who signed last.
        signer: KeyId,
    },
    /// The previous key is not there.
    #[error(
        "audit_previous_key {} is missing, and key {signer} has signed the log: set it to the file \
         of that key",
        path.display()
    )]
    PreviousMissing {
        /// The file.
        path: PathBuf,
        /// Who signed last.
        signer: KeyId,
    },
    /// The previous key is not the one that signed last.
    #[error(
        "audit_previous_key {} is {found}, and key {signer} has signed the log: set it to the file \
         of that key",
        path.display()
    )]
    PreviousOther {
        /// The file.
        path: PathBuf,
        /// The key in it.
        found: KeyId,
        /// Who signed last.
        signer: KeyId,
    },
    /// The log is not the one of a checkpoint outside.
    #[error(
        "the database {} is not the one that {place} signs: restore its newest copy; when entries \
         are lost for ever, {remedy}, and start again",
        database.display()
    )]
    NotTheSigned {
        /// The database.
        database: PathBuf,
        /// Where the checkpoint is kept.
        place: String,
        /// What to do with that checkpoint.
        remedy: &'static str,
        /// What does not fit.
        #[source]
        source: Box<Doubt>,
    },
    /// The log contradicts itself.
    #[error(
        "the log in the database {} is damaged: restore its newest copy, and keep this one as \
         evidence",
        database.display()
    )]
    Damaged {
        /// The database.
        database: PathBuf,
        /// What is wrong.
        #[source]
        source: Box<Doubt>,
    },
    /// A place outside cannot be used.
    #[error("checkpoints cannot be kept outside of the database")]
    Outside(#[from] OutsideError),
    /// The database cannot be looked at.
    #[error("the database {} cannot be looked at", path.display())]
    File {
        /// The database.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The log cannot be read or written.
    #[error("the log cannot be read or written: when its database is damaged, restore a copy")]
    Store(#[from] StoreError),
}
