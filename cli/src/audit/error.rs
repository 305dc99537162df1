//! Why a command about the record could not do its part.

use std::{io, path::PathBuf};

use wfe_audit::{
    key::KeyError,
    verify::{NotAnExport, VerifyError},
};

use crate::exit::Exit;

/// Why a command about the record could not do its part.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// A file that was named cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file that would be written over is left alone.
    #[error("{} is there already, and is not written over", path.display())]
    Exists {
        /// The file or the directory.
        path: PathBuf,
    },
    /// A file that was named holds no key.
    #[error("{} holds no key to verify with", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: KeyError,
    },
    /// A new key cannot be made.
    #[error("cannot make a key")]
    NewKey(#[source] KeyError),
    /// A file that was named holds something else than checkpoints.
    #[error("{} holds something else than checkpoints", path.display())]
    Checkpoints {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: serde_json::Error,
    },
    /// The export is none, or stops being one.
    #[error("{}", path.display())]
    NotAnExport {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: NotAnExport,
    },
    /// The export changed while it was read.
    #[error("{} changed while it was read", path.display())]
    Moving {
        /// The file.
        path: PathBuf,
    },
    /// A row of a table cannot be written.
    #[error("cannot write the table {name}")]
    Table {
        /// The table.
        name: &'static str,
        /// Why.
        #[source]
        source: csv::Error,
    },
}

impl AuditError {
    /// The exit code of a command that ends with this.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            AuditError::Read { .. }
            | AuditError::Exists { .. }
            | AuditError::Key { .. }
            | AuditError::Checkpoints { .. }
            | AuditError::NotAnExport { .. } => Exit::Usage,
            AuditError::Write { .. }
            | AuditError::NewKey(_)
            | AuditError::Moving { .. }
            | AuditError::Table { .. } => Exit::Unavailable,
        }
    }

    /// Where an export stops being one.
    #[must_use]
    pub fn not_an_export(&self) -> Option<&NotAnExport> {
        match self {
            AuditError::NotAnExport { source, .. } => Some(source),
            AuditError::Read { .. }
            | AuditError::Write { .. }
            | AuditError::Exists { .. }
            | AuditError::Key { .. }
            | AuditError::NewKey(_)
            | AuditError::Checkpoints { .. }
            | AuditError::Moving { .. }
            | AuditError::Table { .. } => None,
        }
    }

    pub(super) fn of_export(path: PathBuf, error: VerifyError) -> AuditError {
        match error {
            VerifyError::Read(source) => AuditError::Read { path, source },
            VerifyError::NotAnExport(source) => AuditError::NotAnExport { path, source },
        }
    }
}
