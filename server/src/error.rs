//! What the service can answer instead of what was asked, with stable codes.

use std::time::Duration;

use wfe_core::{
    execution::{Closed, Hold},
    gates::BlockReason,
    ids::ExecutionId,
    invalid::Violations,
    target::TargetKey,
    veil::Veil,
    withdraw::Withdrawal,
};

use crate::{
    audit::{Doubt, ExportError},
    auth::AccessError,
    store::{SettleError, StoreError},
    tekton::TektonError,
};

/// Why a call was not done.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// Fields of the request are wrong.
    #[error("the request is not valid")]
    Invalid(#[from] Violations),
    /// There is no such thing.
    #[error("there is no {what} {id}")]
    NotFound {
        /// What was looked for.
        what: &'static str,
        /// Its identifier.
        id: String,
    },
    /// A gate of the target is closed.
    #[error("target {target} {}: {}", closed(hold), hold.message)]
    GateClosed {
        /// The target.
        target: Box<TargetKey>,
        /// The gate, and what closed it.
        hold: Box<Hold>,
        /// How long until it opens by itself, when that is known.
        left: Option<Duration>,
    },
    /// There is no block to clear.
    #[error("target {target} is not blocked: there is nothing to clear")]
    NotBlocked {
        /// The target.
        target: Box<TargetKey>,
    },
    /// Another execution blocks the target than the caller looked at.
    #[error("target {target} is blocked by execution {blocking} now: look at that one first")]
    BlockChanged {
        /// The target.
        target: Box<TargetKey>,
        /// The execution that blocks it.
        blocking: ExecutionId,
    },
    /// The request id was used for another request.
    #[error("request_id {request_id} was used for a request with another {field}")]
    RequestIdReused {
        /// The request id.
        request_id: String,
        /// The first field that differs.
        field: &'static str,
    },
    /// The request was withdrawn, and starts nothing for ever.
    #[error("request_id {} was withdrawn at {}; nothing of it will ever run", .0.request_id, .0.at)]
    RequestWithdrawn(Box<Withdrawal>),
    /// A cursor is ahead of what exists.
    #[error(
        "execution {id} is at revision {newest}, so there is nothing after {asked} to wait for"
    )]
    CursorAhead {
        /// The execution.
        id: ExecutionId,
        /// The cursor that was given.
        asked: u64,
        /// The newest revision.
        newest: u64,
    },
    /// A place in the log is ahead of what exists.
    #[error("the log is at {newest}, so there is nothing after {asked} to wait for")]
    LogCursorAhead {
        /// The place that was given.
        asked: u64,
        /// The newest place.
        newest: u64,
    },
    /// A place in the log is older than what the log still holds.
    #[error("the log goes back to {oldest} only: what came after {asked} was deleted for its age")]
    CursorExpired {
        /// The place that was given.
        asked: u64,
        /// The oldest place from which everything is still there.
        oldest: u64,
    },
    /// The log is not the one that was signed.
    #[error("the log is not the one that was signed: {0}")]
    LogDamaged(Doubt),
    /// The contract has it, this server does not.
    #[error("{feature} is not available")]
    NotAvailable {
        /// What is not available.
        feature: &'static str,
    },
    /// The store cannot be reached.
    #[error("the store is not available; nothing was changed")]
    StoreUnavailable(#[source] StoreError),
    /// What exists in the cluster is not known, so that nothing may be started.
    #[error("the cluster's runs are not known yet; nothing was stored")]
    ClusterUnavailable,
    /// The API server could not be asked.
    #[error("the API server could not be asked")]
    Cluster(#[from] TektonError),
    /// Delivery of the log is further behind than it may be, and nothing new is accepted meanwhile.
    #[error(
        "the audit trail reaches Data Storage {} s late, and {} s are allowed; nothing was stored",
        lag.as_secs(),
        allowed.as_secs()
    )]
    AuditLagging {
        /// How far it is behind.
        lag: Duration,
        /// How far it may be.
        allowed: Duration,
    },
    /// The server is going away.
    #[error("the server is shutting down; resume after {cursor}")]
    Draining {
        /// Where to resume.
        cursor: u64,
    },
    /// The caller is not let in, or may not do this.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// The service contradicts itself.
    #[error("internal error")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The stable code of a [`ServiceError`]: `google.rpc.ErrorInfo.reason`, a label, and the name of a
/// page under `docs/errors`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// Fields of the request are wrong.
    InvalidRequest,
    /// There is no such execution or request.
    NotFound,
    /// The target is locked.
    TargetLocked,
    /// The target was remediated a short time ago.
    CooldownActive,
    /// The last ones failed before they executed anything, and the next try waits.
    BackoffActive,
    /// An execution failed, and a person must look first.
    PreviousExecutionFailed,
    /// Too many failed in a row, and a person must look first.
    RetriesExhausted,
    /// There is no block to clear.
    NotBlocked,
    /// Another execution blocks the target.
    BlockChanged,
    /// The request id was used for another request.
    RequestIdReused,
    /// The request was withdrawn.
    RequestWithdrawn,
    /// The cursor is ahead of what exists.
    CursorAhead,
    /// The cursor is older than what the log still holds.
    CursorExpired,
    /// The log is not the one that was signed.
    LogDamaged,
    /// The contract has it, this version does not.
    NotAvailable,
    /// The store cannot be reached.
    StoreUnavailable,
    /// The cluster cannot be reached.
    ClusterUnavailable,
    /// The audit trail is too far behind.
    AuditLagging,
    /// The server is going away.
    Draining,
    /// It is not known who calls.
    Unauthenticated,
    /// The caller may not do this.
    PermissionDenied,
    /// It cannot be asked who somebody is or what they may do.
    AuthenticationUnavailable,
    /// The service contradicts itself.
    Internal,
    /// The message is larger than the service takes.
    MessageTooLarge,
    /// The message is not what the contract says.
    Malformed,
}

impl Code {
    /// Every code.
    pub const ALL: [Self; 25] = [
        Self::InvalidRequest,
        Self::NotFound,
        Self::TargetLocked,
        Self::CooldownActive,
        Self::BackoffActive,
        Self::PreviousExecutionFailed,
        Self::RetriesExhausted,
        Self::NotBlocked,
        Self::BlockChanged,
        Self::RequestIdReused,
        Self::RequestWithdrawn,
        Self::CursorAhead,
        Self::CursorExpired,
        Self::LogDamaged,
        Self::NotAvailable,
        Self::StoreUnavailable,
        Self::ClusterUnavailable,
        Self::AuditLagging,
        Self::Draining,
        Self::Unauthenticated,
        Self::PermissionDenied,
        Self::AuthenticationUnavailable,
        Self::Internal,
        Self::MessageTooLarge,
        Self::Malformed,
    ];

    /// The code of a refusal at a gate.
    pub const fn of_hold(hold: &Hold) -> Self {
        match hold.why {
            Closed::Lock { .. } => Self::TargetLocked,
            Closed::Cooldown { .. } => Self::CooldownActive,
            Closed::Backoff { .. } => Self::BackoffActive,
            Closed::Block { reason: BlockReason::PreviousExecutionFailed, .. } => {
                Self::PreviousExecutionFailed
            }
            Closed::Block { reason: BlockReason::RetriesExhausted, .. } => Self::RetriesExhausted,
        }
    }

    /// The code as clients see it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "INVALID_REQUEST",
            Self::NotFound => "NOT_FOUND",
            Self::TargetLocked => "TARGET_LOCKED",
            Self::CooldownActive => "COOLDOWN_ACTIVE",
            Self::BackoffActive => "BACKOFF_ACTIVE",
            Self::PreviousExecutionFailed => "PREVIOUS_EXECUTION_FAILED",
            Self::RetriesExhausted => "RETRIES_EXHAUSTED",
            Self::NotBlocked => "NOT_BLOCKED",
            Self::BlockChanged => "BLOCK_CHANGED",
            Self::RequestIdReused => "REQUEST_ID_REUSED",
            Self::RequestWithdrawn => "REQUEST_WITHDRAWN",
            Self::CursorAhead => "CURSOR_AHEAD",
            Self::CursorExpired => "CURSOR_EXPIRED",
            Self::LogDamaged => "LOG_DAMAGED",
            Self::NotAvailable => "NOT_AVAILABLE",
            Self::StoreUnavailable => "STORE_UNAVAILABLE",
            Self::ClusterUnavailable => "CLUSTER_UNAVAILABLE",
            Self::AuditLagging => "AUDIT_LAGGING",
            Self::Draining => "DRAINING",
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::AuthenticationUnavailable => "AUTHENTICATION_UNAVAILABLE",
            Self::Internal => "INTERNAL",
            Self::MessageTooLarge => "MESSAGE_TOO_LARGE",
            Self::Malformed => "MALFORMED",
        }
    }
}

impl ServiceError {
    /// The stable code.
    pub fn code(&self) -> Code {
        match self {
            Self::Invalid(_) => Code::InvalidRequest,
            Self::NotFound { .. } => Code::NotFound,
            Self::GateClosed { hold, .. } => Code::of_hold(hold),
            Self::NotBlocked { .. } => Code::NotBlocked,
            Self::BlockChanged { .. } => Code::BlockChanged,
            Self::RequestIdReused { .. } => Code::RequestIdReused,
            Self::RequestWithdrawn(_) => Code::RequestWithdrawn,
            Self::CursorAhead { .. } | Self::LogCursorAhead { .. } => Code::CursorAhead,
            Self::CursorExpired { .. } => Code::CursorExpired,
            Self::LogDamaged(_) => Code::LogDamaged,
            Self::NotAvailable { .. } => Code::NotAvailable,
            Self::StoreUnavailable(_) => Code::StoreUnavailable,
            Self::ClusterUnavailable | Self::Cluster(_) => Code::ClusterUnavailable,
            Self::AuditLagging { .. } => Code::AuditLagging,
            Self::Draining { .. } => Code::Draining,
            Self::Access(refused) => refused.code(),
            Self::Internal(_) => Code::Internal,
        }
    }

    /// The same without what `veil` hides in what a cluster said.
    #[must_use]
    pub fn hide(self, veil: &Veil) -> Self {
        match self {
            Self::Cluster(error) => Self::Cluster(error.hide(veil)),
            other @ (Self::Invalid(_)
            | Self::NotFound { .. }
            | Self::GateClosed { .. }
            | Self::NotBlocked { .. }
            | Self::BlockChanged { .. }
            | Self::RequestIdReused { .. }
            | Self::RequestWithdrawn(_)
            | Self::CursorAhead { .. }
            | Self::LogCursorAhead { .. }
            | Self::CursorExpired { .. }
            | Self::LogDamaged(_)
            | Self::AuditLagging { .. }
            | Self::NotAvailable { .. }
            | Self::StoreUnavailable(_)
            | Self::ClusterUnavailable
            | Self::Draining { .. }
            | Self::Access(_)
            | Self::Internal(_)) => other,
        }
    }

    /// There is no execution of that id.
    pub fn no_execution(id: ExecutionId) -> Self {
        Self::NotFound { what: "execution", id: id.to_string() }
    }
}

fn closed(hold: &Hold) -> &'static str {
    match hold.why {
        Closed::Lock { .. } => "is locked",
        Closed::Cooldown { .. } => "cools down",
        Closed::Backoff { .. } => "backs off",
        Closed::Block { .. } => "is blocked",
    }
}

impl From<StoreError> for ServiceError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable { .. } => Self::StoreUnavailable(error),
            StoreError::Refused { .. }
            | StoreError::Inconsistent { .. }
            | StoreError::RowCount { .. } => Self::Internal(Box::new(error)),
        }
    }
}

impl From<ExportError> for ServiceError {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Expired { after, base } => {
                Self::CursorExpired { asked: after.0, oldest: base.0 }
            }
            ExportError::Ahead { after, head } => {
                Self::LogCursorAhead { asked: after.0, newest: head.0 }
            }
            ExportError::Doubt(doubt) => Self::LogDamaged(doubt),
            ExportError::Store(error) => error.into(),
            ExportError::Write(_) => Self::Internal(Box::new(error)),
        }
    }
}

impl From<SettleError> for ServiceError {
    fn from(error: SettleError) -> Self {
        match error {
            SettleError::NotFound(id) => Self::no_execution(id),
            SettleError::Store(error) => error.into(),
            SettleError::Illegal { .. } => Self::Internal(Box::new(error)),
        }
    }
}
