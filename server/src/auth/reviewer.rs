//! Whoever says who somebody is and what they may do.

use std::sync::Arc;

use async_trait::async_trait;
use wfe_core::access::{Scope, Verb};
use wfe_runtime::cluster::CallError;

use super::Token;

/// Somebody who is known.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Name of the user or service.
    pub user: String,
    /// UID, when there is one.
    pub uid: Option<String>,
    /// Groups.
    pub groups: Vec<String>,
    /// What else the authenticator says, for the authorizer; by key.
    pub extra: Vec<(String, Vec<String>)>,
}

/// Who a token is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Authentication {
    /// For somebody.
    Known(Arc<Identity>),
    /// It is not known, has expired, or is for another audience.
    Unknown,
}

/// A right that somebody may have.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Right {
    /// To do what.
    pub verb: Verb,
    /// Where.
    pub scope: Scope,
}

/// Whether somebody has a right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Allowed,
    /// No.
    Denied,
}

/// The reviewer cannot be asked, or its answer cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{review} was not answered")]
pub struct ReviewError {
    /// What was asked.
    pub review: &'static str,
    /// Why there is no answer.
    #[source]
    pub source: CallError,
}

/// Says who somebody is and what they may do. Its answers are remembered elsewhere.
#[async_trait]
pub trait Reviewer: Send + Sync + 'static {
    /// Who this token is for.
    async fn authenticate(&self, token: &Token) -> Result<Authentication, ReviewError>;

    /// Whether somebody has a right.
    async fn authorize(&self, who: &Identity, right: &Right) -> Result<Verdict, ReviewError>;
}
