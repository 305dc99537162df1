//! What an API server's refusals mean.
//!
//! Decided by code and reason. Words are looked at only where Kubernetes says the difference in words
//! alone.

use std::{error::Error, time::Duration};

use kube::core::Status;
use wfe_core::failure::FailureReason;

use super::super::{CreateError, TektonError};
use crate::error::chain;

/// A call to the API server did not do what it should.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// It said no.
    #[error("{message} ({code} {reason})")]
    Refused {
        code: u16,
        reason: String,
        message: String,
        /// The object or the kind of object that the refusal is about.
        about: About,
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
pub(super) enum About {
    Namespace,
    TerminatingNamespace,
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
    pub(super) fn unreadable(error: impl Error + Send + Sync + 'static) -> Self {
        Self::Unreadable(Box::new(error))
    }

    /// The answer with this code and body, which may not be from the API server itself.
    pub(super) fn refused(code: u16, body: &[u8], retry_after: Option<Duration>) -> Self {
        let status = serde_json::from_slice(body).unwrap_or_else(|_| {
            let text = String::from_utf8_lossy(body);
            Status::failure(text.trim(), "").with_code(code)
        });
        Self::from_status(Status { code, ..status }, retry_after)
    }

    pub(super) fn from_status(status: Status, retry_after: Option<Duration>) -> Self {
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
    pub(super) const fn code(&self) -> Option<u16> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            Self::Unanswered(_) | Self::Unreachable(_) | Self::Unreadable(_) => None,
        }
    }

    /// Whether the name is taken. A conflict of another kind, such as two at once at a quota, is not.
    pub(super) fn is_already_exists(&self) -> bool {
        matches!(self, Self::Refused { code: 409, reason, .. } if reason == "AlreadyExists")
    }

    /// As the error of an operation.
    pub(super) fn of(self, operation: &'static str, name: &str) -> TektonError {
        TektonError { operation, name: name.to_owned(), source: self.into() }
    }

    /// As the answer to the create of a PipelineRun.
    pub(super) fn into_create_error(self, namespace: &str) -> CreateError {
        let text = chain(&self);
        let Self::Refused { code, reason, message, about, retry_after } = self else {
            return CreateError::Later { message: text, retry_after: None };
        };
        let refused = |failure, message| CreateError::Refused {
            reason: failure,
            raw_reason: if reason.is_empty() { code.to_string() } else { reason.clone() },
            message,
        };
        let later = |message| CreateError::Later { message, retry_after };
        match (code, about) {
            (404, About::Namespace) => refused(
                FailureReason::ConfigurationError,
                format!("namespace {namespace} does not exist in the cluster"),
            ),
            (404, _) => refused(
                FailureReason::ConfigurationError,
                "the cluster does not serve PipelineRuns of tekton.dev/v1".to_owned(),
            ),
            // A token that expired while it was being renewed is accepted a moment later.
            (401, _) => later(format!(
                "the API server does not accept the credentials of the service: {message}"
            )),
            (403, About::TerminatingNamespace) => refused(
                FailureReason::ConfigurationError,
                format!("namespace {namespace} is being deleted"),
            ),
            // The quota exists, but the controller has not counted yet.
            (403, _) if message.contains("status unknown for quota") => later(message),
            (403, _) if message.contains("exceeded quota") => {
                refused(FailureReason::ResourceExhausted, message)
            }
            (403, _) => refused(FailureReason::Forbidden, message),
            (400 | 413 | 422, _) => refused(FailureReason::ConfigurationError, message),
            (408 | 409 | 429 | 500.., _) => later(text),
            _ => refused(FailureReason::Unknown, message),
        }
    }
}

#[cfg(test)]
mod tests;
