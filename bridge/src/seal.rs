//! The seal on what the webhook writes into a status: shows that the words, the person and the object
//! belong together, and that nobody has changed them since. Pure.
//!
//! HMAC-SHA256 over a text that no two different requests share. The key is in a Secret that only the
//! bridges read, so whoever may write a status cannot make a seal.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use ring::hmac;
use wfe_crds::workflow_execution::{BlockClearanceRequest, CancelRequest, Requester};

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;

/// What seals are made with.
#[derive(Clone)]
pub struct SealKey(hmac::Key);

/// What seals are checked with.
#[derive(Debug, Clone)]
pub enum Seals {
    /// There is no webhook, so nobody seals anything.
    Off,
    /// The key was not read yet.
    Unknown,
    /// This.
    Key(SealKey),
}

/// A key that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the key for seals has {0} bytes; at least {KEY_BYTES} are needed")]
pub struct KeyError(usize);

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey")
    }
}

/// What is sealed: what is asked for, of which object, by whom and when.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    what: What<'a>,
    object_uid: &'a str,
    by: Option<&'a Requester>,
    at: Option<&'a Time>,
}

#[derive(Debug, Clone, Copy)]
enum What<'a> {
    Clearance { execution_id: &'a str, reason: &'a str, ticket: Option<&'a str> },
    Cancel { reason: &'a str },
}

impl<'a> Claim<'a> {
    /// That the block is cleared which this execution of the object has caused.
    pub fn clearance(
        object_uid: &'a str,
        execution_id: &'a str,
        request: &'a BlockClearanceRequest,
    ) -> Self {
        let BlockClearanceRequest { clear_reason, ticket, requested_by, requested_at, seal: _ } =
            request;
        let (reason, ticket) = (clear_reason.as_str(), ticket.as_deref());
        Self {
            what: What::Clearance { execution_id, reason, ticket },
            object_uid,
            by: requested_by.as_ref(),
            at: requested_at.as_ref(),
        }
    }

    /// That whatever the object stands for ends. It may not be known to the service yet.
    pub fn cancel(object_uid: &'a str, request: &'a CancelRequest) -> Self {
        let CancelRequest { reason, requested_by, requested_at, seal: _ } = request;
        Self {
            what: What::Cancel { reason },
            object_uid,
            by: requested_by.as_ref(),
            at: requested_at.as_ref(),
        }
    }

    /// One text for one claim: JSON keeps apart what stands side by side. `None` without a person and a
    /// time.
    fn text(&self) -> Option<String> {
        let Requester { username, uid, groups } = self.by?;
        let second = self.at?.0.as_second();
        let (kind, execution_id, reason, ticket) = match self.what {
            What::Clearance { execution_id, reason, ticket } => {
                ("clearance", execution_id, reason, ticket)
            }
            What::Cancel { reason } => ("cancel", "", reason, None),
        };
        let parts = serde_json::json!([
            "kubernaut.ai/wfe-seal/1",
            kind,
            self.object_uid,
            execution_id,
            reason,
            ticket,
            username,
            uid,
            groups,
            second,
        ]);
        Some(parts.to_string())
    }
}

impl SealKey {
    /// A key of these bytes: 32 or more, from a good source of randomness.
    pub fn new(bytes: &[u8]) -> Result<Self, KeyError> {
        if bytes.len() < KEY_BYTES {
            return Err(KeyError(bytes.len()));
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, bytes)))
    }

    /// The seal of a claim. `None` when nobody makes it, or at no time.
    pub fn seal(&self, claim: &Claim<'_>) -> Option<String> {
        Some(STANDARD.encode(hmac::sign(&self.0, claim.text()?.as_bytes())))
    }

    /// Whether `seal` is that of the claim.
    pub fn holds(&self, claim: &Claim<'_>, seal: Option<&str>) -> bool {
        let seal = seal.and_then(|seal| STANDARD.decode(seal).ok());
        let both = claim.text().zip(seal);
        both.is_some_and(|(text, seal)| hmac::verify(&self.0, text.as_bytes(), &seal).is_ok())
    }

    /// Whether the webhook wrote this request, for this execution of this object.
    pub fn sealed_clearance(
        &self,
        object_uid: &str,
        execution_id: &str,
        request: &BlockClearanceRequest,
    ) -> bool {
        let claim = Claim::clearance(object_uid, execution_id, request);
        self.holds(&claim, request.seal.as_deref())
    }

    /// Whether the webhook wrote this request, for this object.
    pub fn sealed_cancel(&self, object_uid: &str, request: &CancelRequest) -> bool {
        self.holds(&Claim::cancel(object_uid, request), request.seal.as_deref())
    }
}

#[cfg(test)]
mod tests;
