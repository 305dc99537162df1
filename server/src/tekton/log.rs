//! The log of a step, which may be gone or out of reach: nothing that anybody waits for depends on it.

use wfe_runtime::cluster::CallError;

/// What came of reading a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogOutcome {
    /// Lines were kept.
    Kept,
    /// Nothing was written.
    Empty,
    /// The pod or its container is gone.
    Gone,
    /// The service may not read logs.
    Forbidden,
    /// It did not come in time.
    Late,
    /// It could not be read.
    Failed,
}

impl LogOutcome {
    /// Every outcome, in the order of the pages.
    pub const ALL: [Self; 6] =
        [Self::Kept, Self::Empty, Self::Gone, Self::Forbidden, Self::Late, Self::Failed];

    /// The outcome as a label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Empty => "empty",
            Self::Gone => "gone",
            Self::Forbidden => "forbidden",
            Self::Late => "late",
            Self::Failed => "failed",
        }
    }
}

/// A log cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The pod or its container is gone.
    #[error("the pod is gone")]
    Gone,
    /// The service may not read logs.
    #[error("the service may not read the logs of pods: grant it `get` on `pods/log`")]
    Forbidden(#[source] CallError),
    /// More was sent than is worth reading for its end.
    #[error("its last lines are longer than {0} bytes")]
    TooLong(usize),
    /// It could not be asked for, or the answer broke off.
    #[error("it cannot be read")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl LogError {
    /// The outcome that it is.
    pub const fn outcome(&self) -> LogOutcome {
        match self {
            Self::Gone => LogOutcome::Gone,
            Self::Forbidden(_) => LogOutcome::Forbidden,
            Self::TooLong(_) | Self::Failed(_) => LogOutcome::Failed,
        }
    }
}

impl From<CallError> for LogError {
    fn from(error: CallError) -> Self {
        match error.code() {
            Some(404) => Self::Gone,
            Some(403) => Self::Forbidden(error),
            Some(_) | None => Self::Failed(error.into()),
        }
    }
}
