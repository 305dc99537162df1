//! What an API server answers instead of what was asked.

use std::{error::Error, time::Duration};

use kube::core::Status;

/// A call to the API server did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// It said no.
    #[error("{message} ({code} {reason})")]
    Refused {
        /// HTTP status code.
        code: u16,
        /// Reason of the `Status`; may be empty.
        reason: String,
        /// Message of the `Status`.
        message: String,
        /// The object or the kind of object that the refusal is about.
        about: About,
        /// How long the API server wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// It said nothing.
    #[error("the API server did not answer within {0:?}")]
    Unanswered(Duration),
    /// It could not be asked, or its answer was cut off.
    #[error("the API server cannot be reached")]
    Unreachable(#[source] Box<dyn Error + Send + Sync>),
    /// What it said makes no sense.
    #[error("the answer of the API server cannot be read")]
    Unreadable(#[source] Box<dyn Error + Send + Sync>),
}

/// What a refusal is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About {
    /// The namespace, which does not exist.
    Namespace,
    /// The namespace, which is being deleted.
    TerminatingNamespace,
    /// Anything else.
    Other,
}

impl From<kube::Error> for CallError {
    fn from(error: kube::Error) -> Self {
        if let kube::Error::Api(status) = error {
            return Self::from_status(*status, None);
        }
        if let kube::Error::SerdeError(error) = error {
            return Self::unreadable(error);
        }
        Self::Unreachable(Box::new(Transport(error)))
    }
}

/// Shows what stands behind an error of the client, which shows its source itself.
#[derive(Debug)]
struct Transport(kube::Error);

impl std::fmt::Display for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.source() {
            Some(source) => write!(f, "{source}"),
            None => write!(f, "{}", self.0),
        }
    }
}

impl Error for Transport {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source().and_then(Error::source)
    }
}

impl CallError {
    /// An answer that makes no sense.
    pub fn unreadable(error: impl Error + Send + Sync + 'static) -> Self {
        Self::Unreadable(Box::new(error))
    }

    /// The answer with this code and body, which may not be from the API server itself.
    pub fn refused(code: u16, body: &[u8], retry_after: Option<Duration>) -> Self {
        let status = serde_json::from_slice(body).unwrap_or_else(|_| {
            let text = String::from_utf8_lossy(body);
            Status::failure(text.trim(), "").with_code(code)
        });
        Self::from_status(Status { code, ..status }, retry_after)
    }

    /// The refusal that a `Status` says.
    pub fn from_status(status: Status, retry_after: Option<Duration>) -> Self {
        let details = status.details.as_ref();
        let terminating = details.is_some_and(|details| {
            details.causes.iter().any(|cause| cause.reason == "NamespaceTerminating")
        });
        let about = if terminating {
            About::TerminatingNamespace
        } else if details.is_some_and(|details| details.kind == "namespaces") {
            About::Namespace
        } else {
            About::Other
        };
        let seconds = details.map_or(0, |details| details.retry_after_seconds);
        let asked = Some(Duration::from_secs(seconds.into())).filter(|wait| !wait.is_zero());
        Self::Refused {
            code: status.code,
            reason: status.reason,
            message: status.message,
            about,
            retry_after: retry_after.or(asked),
        }
    }

    /// The code of a refusal.
    pub const fn code(&self) -> Option<u16> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            Self::Unanswered(_) | Self::Unreachable(_) | Self::Unreadable(_) => None,
        }
    }

    /// Whether the name is taken. A conflict of another kind, such as two at once at a quota, is not.
    pub fn is_already_exists(&self) -> bool {
        matches!(self, Self::Refused { code: 409, reason, .. } if reason == "AlreadyExists")
    }
}
