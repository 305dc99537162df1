//! Why a command could not do what was asked. Which exit code that is, and nothing about printing.

use std::{io, path::PathBuf};

use tonic::Status;

use crate::{audit::AuditError, exit::Exit, local::LocalError, steps::StepsError};

/// Why a command could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server answered a call with an error, or could not be asked.
    #[error("the server did not do it")]
    Call(#[source] Box<Status>),
    /// A watch broke and could not be taken up again.
    #[error("the watch of {subject} broke and could not be resumed")]
    WatchLost {
        /// What was followed, as `wfe watch` takes it.
        subject: String,
        /// The last revision or place that was seen, when there was one.
        after: Option<i64>,
        /// The last error.
        #[source]
        status: Box<Status>,
    },
    /// The command line is wrong in a way that its parser cannot see.
    #[error("{0}")]
    Usage(String),
    /// A file of parameters cannot be read.
    #[error("cannot read the parameters file {}", path.display())]
    ParametersFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file of parameters is not a mapping of names to strings.
    #[error("the parameters file {} is not a YAML mapping of names to strings", path.display())]
    ParametersSyntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: serde_yaml_ng::Error,
    },
    /// A file of steps is not as it must be.
    #[error(transparent)]
    Steps(#[from] StepsError),
    /// A message could not be written as JSON.
    #[error("the answer cannot be written as JSON")]
    Json(#[from] crate::json::JsonError),
    /// The output cannot be written.
    #[error("cannot write the output")]
    Output(#[source] io::Error),
    /// The server of `wfe dev` or `wfe demo` could not do its part.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// A command about the record could not do its part.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// `wfe demo` did not see what it says.
    #[error("the demo is not as it says: {0}")]
    Demo(String),
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

impl From<Status> for Error {
    fn from(status: Status) -> Error {
        Error::Call(Box::new(status))
    }
}

impl Error {
    /// The exit code of a command that ends with this.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Error::Call(status) | Error::WatchLost { status, .. } => Exit::of_code(status.code()),
            Error::Usage(_)
            | Error::ParametersFile { .. }
            | Error::ParametersSyntax { .. }
            | Error::Steps(_) => Exit::Usage,
            Error::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::BrokenPipe,
            Error::Json(_) | Error::Output(_) => Exit::Unavailable,
            Error::Local(error) => error.exit(),
            Error::Audit(error) => error.exit(),
            Error::Demo(_) => Exit::Failed,
            Error::Interrupted => Exit::Interrupted,
        }
    }

    /// The status that the server answered with, when one did.
    #[must_use]
    pub fn status(&self) -> Option<&Status> {
        match self {
            Error::Call(status) | Error::WatchLost { status, .. } => Some(status),
            Error::Usage(_)
            | Error::ParametersFile { .. }
            | Error::ParametersSyntax { .. }
            | Error::Steps(_)
            | Error::Json(_)
            | Error::Output(_)
            | Error::Local(_)
            | Error::Audit(_)
            | Error::Demo(_)
            | Error::Interrupted => None,
        }
    }
}

/// What caused an error, what caused that, and so on.
pub(crate) fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(error.source(), |cause| (*cause).source())
}
