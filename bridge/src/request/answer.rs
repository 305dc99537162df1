//! What an error of Start means for the object.

use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use wfe_proto::ERROR_DOMAIN;

use super::{Holder, Refusal, Trouble};
use crate::text::fit;

/// At most this many characters of what the service says are kept.
const MAX_MESSAGE_CHARS: usize = 1_024;

/// What an error of Start means for the object that it was made for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is refused for good.
    Refused(Refusal),
    /// Its request was accepted before, as it was then: the execution can be asked for.
    Reused,
    /// Its request was withdrawn: nothing of it ever runs.
    Withdrawn,
    /// It is not known yet: Start is called again.
    Trouble(Trouble),
}

impl Answer {
    /// What `status` means. `holder` is who was found behind [`Self::holder_id`], when it was looked
    /// for. Whatever is not certainly final is [`Self::Trouble`]: a refusal ends the object for ever.
    pub fn of_status(status: &Status, holder: Option<&Holder>) -> Self {
        let details = status.get_error_details();
        // Without this the error was made by something between here and the service.
        let Some(info) = details.error_info().filter(|info| info.domain == ERROR_DOMAIN) else {
            return Self::Trouble(Trouble::of_status(status));
        };
        match (info.reason.as_str(), status.code()) {
            ("TARGET_LOCKED", _) => {
                Self::Refused(Refusal::locked(&details, status.message(), holder))
            }
            ("REQUEST_ID_REUSED", _) => Self::Reused,
            ("REQUEST_WITHDRAWN", _) => Self::Withdrawn,
            ("INVALID_REQUEST", _) => match details.bad_request() {
                Some(wrong) if !wrong.field_violations.is_empty() => {
                    match Refusal::fields(&wrong.field_violations) {
                        Some(refusal) => Self::Refused(refusal),
                        None => Self::Trouble(Trouble::incompatible(status)),
                    }
                }
                Some(_) | None => Self::Refused(Refusal::message(status.message())),
            },
            // A service of another version may have more reasons to call a request wrong.
            ("MALFORMED" | "MESSAGE_TOO_LARGE" | "NOT_AVAILABLE", _)
            | (_, Code::InvalidArgument) => Self::Refused(Refusal::message(status.message())),
            _ => Self::Trouble(Trouble::of_status(status)),
        }
    }

    /// Why the service will not do what a person asks for, however often it is asked. `None` when it may do
    /// it later.
    pub fn refusal_of_wish(status: &Status) -> Option<String> {
        let info = status.get_details_error_info()?;
        let is_final = match (info.reason.as_str(), status.code()) {
            ("NOT_BLOCKED" | "BLOCK_CHANGED" | "NOT_AVAILABLE", _)
            | (_, Code::InvalidArgument | Code::PermissionDenied) => true,
            (_, _) => false,
        };
        (info.domain == ERROR_DOMAIN && is_final).then(|| fit(status.message(), MAX_MESSAGE_CHARS))
    }

    /// The id of the execution that holds the target, when `status` says so.
    pub fn holder_id(status: &Status) -> Option<String> {
        let info = status.get_details_error_info()?;
        let locked = info.domain == ERROR_DOMAIN && info.reason == "TARGET_LOCKED";
        info.metadata.get("holder").filter(|id| locked && !id.is_empty()).cloned()
    }
}
