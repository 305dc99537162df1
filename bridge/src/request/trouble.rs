//! Why a call could not be made now.

use std::{error::Error as _, fmt, time::Duration};

use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use wfe_proto::ERROR_DOMAIN;

use crate::text::fit;

/// At most this many characters of what was said are kept.
const MAX_MESSAGE_CHARS: usize = 1_024;

/// A call could not be made now. It is made again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What stands in the way.
    pub kind: TroubleKind,
    /// What was said about it. The same trouble says the same: it goes into statuses.
    pub message: String,
    /// How long the service asks to be left alone, when it does.
    pub retry_after: Option<Duration>,
}

/// What stands in the way of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TroubleKind {
    /// The service does not answer.
    Unreachable,
    /// The service does not accept this bridge: who it is, or what it may do.
    Refuses,
    /// What answers is not this service, or one of a version that does not understand the bridge.
    Incompatible,
    /// The service answers and cannot do it now, for example without its store.
    Busy,
}

impl Trouble {
    /// What a status says that is not an answer to what was asked.
    pub fn of_status(status: &Status) -> Self {
        let details = status.get_error_details();
        let ours = details.error_info().is_some_and(|info| info.domain == ERROR_DOMAIN);
        let kind = match status.code() {
            Code::Unauthenticated | Code::PermissionDenied => TroubleKind::Refuses,
            Code::Unimplemented => TroubleKind::Incompatible,
            _ if ours => TroubleKind::Busy,
            Code::ResourceExhausted => TroubleKind::Busy,
            // The service says more about these: something else is at its address.
            Code::InvalidArgument
            | Code::NotFound
            | Code::AlreadyExists
            | Code::FailedPrecondition
            | Code::Aborted
            | Code::OutOfRange => TroubleKind::Incompatible,
            Code::Ok
            | Code::Cancelled
            | Code::Unknown
            | Code::DeadlineExceeded
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss => TroubleKind::Unreachable,
        };
        let retry_after = details.retry_info().and_then(|info| info.retry_delay);
        Self { kind, message: fit(&said(status), MAX_MESSAGE_CHARS), retry_after }
    }

    /// The service does not understand a field that the bridge fills by itself.
    pub(super) fn incompatible(status: &Status) -> Self {
        Self { kind: TroubleKind::Incompatible, ..Self::of_status(status) }
    }

    /// Whether it concerns every call of the bridge, and not only the one that was made.
    pub fn is_about_the_bridge(&self) -> bool {
        match self.kind {
            TroubleKind::Unreachable | TroubleKind::Refuses | TroubleKind::Incompatible => true,
            TroubleKind::Busy => false,
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            TroubleKind::Unreachable => "the execution service cannot be reached",
            TroubleKind::Refuses => "the execution service does not accept this bridge",
            TroubleKind::Incompatible => "what answers is not an execution service of this version",
            TroubleKind::Busy => "the execution service cannot do it now",
        };
        write!(f, "{what}: {}", self.message)
    }
}

/// The message of a status, and its causes when it was made on this side.
fn said(status: &Status) -> String {
    let mut said = match status.message() {
        "" => status.code().description().to_owned(),
        message => message.to_owned(),
    };
    let mut cause = status.source();
    while let Some(error) = cause {
        let text = error.to_string();
        // Layers repeat each other.
        if !said.contains(&text) {
            said = format!("{said}: {text}");
        }
        cause = error.source();
    }
    said
}
