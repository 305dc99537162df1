//! A Cancel: which execution or request is meant, why, and how gently.

use std::time::Duration;

use wfe_core::{
    execution::CancelMode,
    invalid::{Invalid, Violations},
};
use wfe_proto::v1;

use super::{Key, known};
use crate::{error::ServiceError, service::Cancel};

/// At most this many characters in the reason of a Cancel.
const MAX_REASON_CHARS: usize = 2_000;

/// At most so long what still runs may be given time.
const MAX_ESCALATE_AFTER: Duration = Duration::from_hours(24);

/// A Cancel.
pub(in super::super) fn cancel(message: v1::CancelRequest) -> Result<(Key, Cancel), ServiceError> {
    let v1::CancelRequest {
        execution_id,
        reason,
        mode,
        on_behalf_of: _,
        request_id,
        escalate_after,
    } = message;
    let mut wrong = Violations(Vec::new());
    let key = key(&mut wrong, &execution_id, &request_id);
    if reason.trim().is_empty() || reason.chars().count() > MAX_REASON_CHARS {
        wrong
            .0
            .push(Invalid::new("is required: say why, in at most 2,000 characters").at("reason"));
    }
    let mode = wrong.take("mode", known::<v1::CancelMode>(mode)).map(self::mode);
    let escalate_after = match (escalate_after, mode) {
        (None, _) => Some(None),
        (Some(_), Some(CancelMode::Immediate)) => {
            let rule = "is for RUN_FINALLY and STOP_AND_FINALLY: IMMEDIATE gives no time";
            wrong.take("escalate_after", Err(Invalid::new(rule)))
        }
        (Some(time), _) => wrong.take("escalate_after", duration(time).map(Some)),
    };
    match (key, mode, escalate_after, wrong.0.is_empty()) {
        (Some(key), Some(mode), Some(escalate_after), true) => {
            Ok((key, Cancel { reason, mode, escalate_after }))
        }
        _ => Err(wrong.into()),
    }
}

const fn mode(mode: v1::CancelMode) -> CancelMode {
    match mode {
        v1::CancelMode::Unspecified | v1::CancelMode::Immediate => CancelMode::Immediate,
        v1::CancelMode::RunFinally => CancelMode::RunFinally,
        v1::CancelMode::StopAndFinally => CancelMode::StopAndFinally,
    }
}

fn duration(time: prost_types::Duration) -> Result<Duration, Invalid> {
    Duration::try_from(time)
        .ok()
        .filter(|time| !time.is_zero() && *time <= MAX_ESCALATE_AFTER)
        .ok_or_else(|| Invalid::new("must be more than 0 and at most 24 hours"))
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
