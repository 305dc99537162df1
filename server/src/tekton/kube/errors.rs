//! What an API server's refusals mean for a run.
//!
//! Decided by code and reason. Words are looked at only where Kubernetes says the difference in words
//! alone.

use wfe_core::failure::{FailureReason, of_denial};
use wfe_runtime::{
    cluster::{About, CallError},
    error::chain,
};

use super::super::{CreateError, TektonError};

/// The error of an operation.
pub(super) fn failed(error: CallError, operation: &'static str, name: &str) -> TektonError {
    TektonError { operation, name: name.to_owned(), source: error.into() }
}

/// The answer to the create of a PipelineRun.
pub(super) fn not_created(error: CallError, namespace: &str) -> CreateError {
    let text = chain(&error);
    let CallError::Refused { code, reason, message, about, retry_after } = error else {
        return CreateError::Later { message: text, retry_after: None };
    };
    let refused = |failure, message| CreateError::Refused {
        reason: failure,
        raw_reason: if reason.is_empty() { code.to_string() } else { reason.clone() },
        message,
    };
    let later = |message| CreateError::Later { message, retry_after };
    if let (400 | 403 | 422, Some(denied)) = (code, of_denial(&message)) {
        return refused(denied, message);
    }
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

#[cfg(test)]
mod tests;
