//! Why somebody is not let in, or may not do what they asked for.

use std::{fmt, sync::Arc};

use wfe_core::{
    access::{GROUP, RESOURCE, Scope, Verb},
    actor::Actor,
    ids::{ExecutionId, RequestId},
    target::TargetKey,
};

use super::ReviewError;
use crate::error::Code;

/// A caller is not let in, or may not do this.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AccessError {
    /// It is not known who calls.
    #[error(transparent)]
    Unauthenticated(#[from] Unauthenticated),
    /// The caller may not do this.
    #[error("{} may not {} {RESOURCE}.{GROUP}: {subject}", actor.user, verb.as_str())]
    Denied {
        /// Who calls.
        actor: Box<Actor>,
        /// What they may not do.
        verb: Verb,
        /// With what.
        subject: Subject,
    },
    /// The caller says to act for somebody, and is none whose word is believed.
    #[error("{} may not act on behalf of others: it is none of trusted_bridges", actor.user)]
    NotTrusted {
        /// Who calls.
        actor: Box<Actor>,
    },
    /// It cannot be asked who somebody is or what they may do.
    #[error("it cannot be checked who calls and what they may do; nothing was done")]
    Unavailable(#[source] Arc<ReviewError>),
}

impl AccessError {
    /// The stable code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Unauthenticated(_) => Code::Unauthenticated,
            Self::Denied { .. } | Self::NotTrusted { .. } => Code::PermissionDenied,
            Self::Unavailable(_) => Code::AuthenticationUnavailable,
        }
    }
}

/// Why it is not known who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unauthenticated {
    /// The caller shows nothing.
    #[error("who calls? Give a bearer token in `authorization`, or a client certificate")]
    Nothing,
    /// What stands in `authorization` is no bearer token.
    #[error("`authorization` must be `Bearer` and one token")]
    Malformed,
    /// Nobody knows the token.
    #[error("the token is not accepted: it has expired, is for another audience, or is not known")]
    NotAccepted,
    /// The certificate was good when the connection was opened.
    #[error("the client certificate has expired")]
    CertificateExpired,
    /// The certificate does not say who it is for.
    #[error("the client certificate has no common name, which would be the user")]
    CertificateWithoutName,
}

/// What somebody may not do something with. Tells nothing that the caller has not said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// An execution, which may not exist.
    Execution(ExecutionId),
    /// A request, which may not have an execution.
    Request(RequestId),
    /// A target.
    Target(Box<TargetKey>),
    /// The log.
    Log,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Execution(id) => write!(f, "execution {id} is hidden, or there is none"),
            Self::Request(id) => write!(f, "request {id} is hidden, or there is none"),
            Self::Log => write!(f, "the log needs the right in {}", Scope::Cluster),
            Self::Target(key) => {
                write!(f, "{key} needs the right in {}", Scope::of_target(&key.target))
            }
        }
    }
}
