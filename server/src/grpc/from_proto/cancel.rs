//! A Cancel: which execution or request is meant, and why.

use wfe_core::invalid::{Invalid, Violations};
use wfe_proto::v1;

use super::{Key, known, not_available};
use crate::error::ServiceError;

/// At most this many characters in the reason of a Cancel.
const MAX_REASON_CHARS: usize = 2_000;

/// A Cancel.
pub(in super::super) fn cancel(message: v1::CancelRequest) -> Result<(Key, String), ServiceError> {
    let v1::CancelRequest { execution_id, reason, mode, on_behalf_of: _, request_id } = message;
    let mut wrong = Violations(Vec::new());
    let key = key(&mut wrong, &execution_id, &request_id);
    if reason.trim().is_empty() || reason.chars().count() > MAX_REASON_CHARS {
        wrong
            .0
            .push(Invalid::new("is required: say why, in at most 2,000 characters").at("reason"));
    }
    let mode = wrong.take("mode", known::<v1::CancelMode>(mode));
    let (Some(key), Some(mode), true) = (key, mode, wrong.0.is_empty()) else {
        return Err(wrong.into());
    };
    match mode {
        v1::CancelMode::Unspecified | v1::CancelMode::Immediate => {}
        v1::CancelMode::RunFinally => return Err(not_available("the cancel mode RUN_FINALLY")),
        v1::CancelMode::StopAndFinally => {
            return Err(not_available("the cancel mode STOP_AND_FINALLY"));
        }
    }
    Ok((key, reason))
}

/// Exactly one of the two. They are plain fields, since a field that was there before cannot become
/// part of a oneof.
fn key(wrong: &mut Violations, execution_id: &str, request_id: &str) -> Option<Key> {
    let rule = match (execution_id, request_id) {
        ("", "") => "is required: give execution_id or request_id",
        (id, "") => return wrong.take("execution_id", id.parse().map(Key::Execution)),
        ("", id) => return wrong.take("request_id", id.parse().map(Key::Request)),
        (_, _) => "cannot be together with the other: give execution_id or request_id",
    };
    for field in ["execution_id", "request_id"] {
        wrong.0.push(Invalid::new(rule).at(field));
    }
    None
}
