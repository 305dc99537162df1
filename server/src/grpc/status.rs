//! Errors out: the one place where an error becomes a status, with the details that explain it.

use std::{collections::HashMap, time::Duration};

use tonic::{Code as Grpc, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use wfe_core::{
    execution::{Closed, Hold},
    invalid::{Violation, Violations},
    target::TargetKey,
    withdraw::Withdrawal,
};
use wfe_proto::ERROR_DOMAIN;
use wfe_runtime::error::chain;

use crate::{
    auth::AccessError,
    error::{Code, ServiceError},
};

/// When a client may try again after the service or what it stands on was away.
const RETRY: Duration = Duration::from_secs(1);

/// When a client may try again that was refused because the audit trail is behind: it does not catch up
/// within a second.
const LAG_RETRY: Duration = Duration::from_secs(10);

/// At most this many characters of the reason that a caller gave are told in an error.
const MAX_REASON_CHARS: usize = 200;

/// At most this many characters of the name of a user.
const MAX_USER_CHARS: usize = 300;

/// At most this many wrong fields are told. Details and message travel in headers, and a client whose
/// limit for these is exceeded sees no error but a broken connection.
const MAX_VIOLATIONS: usize = 16;

/// At most this many of them are told in the message.
const MAX_VIOLATIONS_IN_TEXT: usize = 4;

/// At most this many characters of a field's path, which holds what the caller wrote.
const MAX_FIELD_CHARS: usize = 100;

/// At most this many characters of the description of what is right.
const MAX_RULE_CHARS: usize = 160;

/// What is wrong with a cursor.
const AHEAD: &str = "is ahead of what exists";
const EXPIRED: &str = "is older than what the log still holds";

/// The status of an error. Errors of the service itself are logged here, once.
pub fn to_status(error: &ServiceError) -> Status {
    let mut details = ErrorDetails::new();
    let mut metadata = HashMap::new();
    let grpc = match error {
        ServiceError::Invalid(Violations(violations)) => {
            for violation in violations.iter().take(MAX_VIOLATIONS) {
                details.add_bad_request_violation(
                    cut(&violation.field, MAX_FIELD_CHARS),
                    cut(&violation.description, MAX_RULE_CHARS),
                );
            }
            Grpc::InvalidArgument
        }
        ServiceError::NotFound { what, id } => {
            metadata.insert((*what).to_owned(), id.clone());
            details.set_resource_info(*what, id, "", "there is none");
            Grpc::NotFound
        }
        ServiceError::GateClosed { target, hold, left } => {
            tell_target(&mut metadata, target);
            if left.is_some() {
                details.set_retry_info(*left);
            }
            gate_closed(&mut details, &mut metadata, error.code(), target, hold)
        }
        ServiceError::NotBlocked { target } => {
            tell_target(&mut metadata, target);
            details.add_precondition_failure_violation(
                error.code().as_str(),
                target.to_string(),
                "GetTarget tells which gates are closed",
            );
            Grpc::FailedPrecondition
        }
        ServiceError::BlockChanged { target, blocking } => {
            tell_target(&mut metadata, target);
            metadata.insert("execution".to_owned(), blocking.to_string());
            details.set_resource_info("execution", blocking.to_string(), "", "blocks the target");
            Grpc::Aborted
        }
        ServiceError::RequestIdReused { request_id, field } => {
            metadata.insert("request_id".to_owned(), request_id.clone());
            metadata.insert("field".to_owned(), (*field).to_owned());
            details.add_bad_request_violation(
                *field,
                "differs from the request that was accepted under this request_id",
            );
            Grpc::AlreadyExists
        }
        ServiceError::RequestWithdrawn(withdrawal) => {
            withdrawn(&mut details, &mut metadata, withdrawal)
        }
        ServiceError::CursorExpired { oldest, .. } => {
            out_of_range(&mut details, &mut metadata, ("oldest", *oldest, EXPIRED))
        }
        ServiceError::CursorAhead { newest, .. } | ServiceError::LogCursorAhead { newest, .. } => {
            out_of_range(&mut details, &mut metadata, ("newest", *newest, AHEAD))
        }
        ServiceError::LogDamaged(_) => Grpc::DataLoss,
        ServiceError::NotAvailable { feature } => {
            metadata.insert("feature".to_owned(), (*feature).to_owned());
            Grpc::Unimplemented
        }
        ServiceError::StoreUnavailable(_)
        | ServiceError::ClusterUnavailable
        | ServiceError::Cluster(_)
        | ServiceError::AuditLagging { .. }
        | ServiceError::Access(AccessError::Unavailable(_)) => {
            let lagging = error.code() == Code::AuditLagging;
            details.set_retry_info(Some(if lagging { LAG_RETRY } else { RETRY }));
            Grpc::Unavailable
        }
        ServiceError::Draining { cursor } => {
            metadata.insert("cursor".to_owned(), cursor.to_string());
            details.set_retry_info(Some(RETRY));
            Grpc::Unavailable
        }
        ServiceError::Access(AccessError::Unauthenticated(_)) => Grpc::Unauthenticated,
        ServiceError::Access(AccessError::Denied { actor, verb, .. }) => {
            metadata.insert("user".to_owned(), cut(&actor.user, MAX_USER_CHARS));
            metadata.insert("verb".to_owned(), verb.as_str().to_owned());
            Grpc::PermissionDenied
        }
        ServiceError::Access(AccessError::NotTrusted { actor }) => {
            metadata.insert("user".to_owned(), cut(&actor.user, MAX_USER_CHARS));
            Grpc::PermissionDenied
        }
        ServiceError::Internal(_) => Grpc::Internal,
    };
    if grpc == Grpc::Internal || grpc == Grpc::DataLoss {
        tracing::error!(error = chain(error), "a call failed");
    } else if grpc == Grpc::Unavailable && error.code() != Code::Draining {
        tracing::warn!(error = chain(error), "a call was put off");
    }
    details.set_error_info(error.code().as_str(), ERROR_DOMAIN, metadata);
    Status::with_error_details(grpc, text(error), details)
}

fn withdrawn(
    details: &mut ErrorDetails,
    metadata: &mut HashMap<String, String>,
    withdrawal: &Withdrawal,
) -> Grpc {
    let Withdrawal { request_id, reason, actor, at } = withdrawal;
    metadata.insert("request_id".to_owned(), request_id.to_string());
    metadata.insert("withdraw_time".to_owned(), at.to_string());
    // Details travel in a header, where there is little room.
    let reason = cut(reason, MAX_REASON_CHARS);
    let description = format!("{} withdrew it: {reason}", actor.user);
    details.add_precondition_failure_violation("REQUEST", request_id.as_str(), description);
    Grpc::FailedPrecondition
}

/// A cursor leads to where nothing is; `bound` is the next one that would do.
fn out_of_range(
    details: &mut ErrorDetails,
    metadata: &mut HashMap<String, String>,
    (bound, place, problem): (&str, u64, &str),
) -> Grpc {
    metadata.insert(bound.to_owned(), place.to_string());
    details.add_bad_request_violation("after", problem);
    Grpc::OutOfRange
}

fn tell_target(metadata: &mut HashMap<String, String>, target: &TargetKey) {
    metadata.insert("target".to_owned(), target.target.to_string());
    metadata.insert("cluster_id".to_owned(), target.cluster.to_string());
}

fn gate_closed(
    details: &mut ErrorDetails,
    metadata: &mut HashMap<String, String>,
    code: Code,
    target: &TargetKey,
    hold: &Hold,
) -> Grpc {
    if let Some(holder) = hold.holder() {
        metadata.insert("holder".to_owned(), holder.to_string());
    }
    if let Some(cause) = hold.cause() {
        metadata.insert("execution".to_owned(), cause.to_string());
    }
    if let Some(until) = hold.until() {
        metadata.insert("until".to_owned(), until.to_string());
    }
    let (kind, name) = match hold.holder().or(hold.cause()) {
        Some(execution) => ("execution", execution.to_string()),
        None => ("pipelinerun", String::new()),
    };
    details.set_resource_info(kind, name, "", &hold.message);
    let advice = match hold.why {
        Closed::Lock { .. } => return Grpc::Aborted,
        Closed::Cooldown { .. } | Closed::Backoff { .. } => {
            "come back then, or ask with when_cooling = WAIT"
        }
        Closed::Block { .. } => {
            "look at the execution and its target, then ClearBlock with the reason why it is safe to go on"
        }
    };
    details.add_precondition_failure_violation(code.as_str(), target.to_string(), advice);
    Grpc::FailedPrecondition
}

/// The message: what a person reads who sees nothing else. Causes inside the service stay in its log.
fn text(error: &ServiceError) -> String {
    let ServiceError::Invalid(Violations(violations)) = error else {
        return error.to_string();
    };
    let told = violations.iter().take(MAX_VIOLATIONS_IN_TEXT);
    let mut parts: Vec<String> = told
        .map(|Violation { field, description }| {
            format!("{}: {}", cut(field, MAX_FIELD_CHARS), cut(description, MAX_RULE_CHARS))
        })
        .collect();
    if let more @ 1.. = violations.len().saturating_sub(MAX_VIOLATIONS_IN_TEXT) {
        parts.push(format!("and {more} more"));
    }
    parts.join("; ")
}

fn cut(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    text.chars().take(limit.saturating_sub(1)).chain(['…']).collect()
}

/// Explains a status that tonic made itself, which says what is wrong but not how it is called.
pub(super) fn explain(status: &Status) -> Option<Status> {
    if !status.details().is_empty() {
        return None;
    }
    let message = status.message();
    // tonic has no type for these, so its words are all there is; a test holds them.
    let code = if message.contains("message length too large") {
        Code::MessageTooLarge
    } else if message.contains("decode Protobuf") {
        Code::Malformed
    } else {
        return None;
    };
    let mut details = ErrorDetails::new();
    details.set_error_info(code.as_str(), ERROR_DOMAIN, HashMap::new());
    Some(Status::with_error_details(Grpc::InvalidArgument, message, details))
}
