//! Who calls, and what they may do.
//!
//! [`Guard`] tells who a caller is, [`Access`] what the caller may do. Both ask a [`Reviewer`], which in
//! a cluster is the API server; what it said is believed for a short time. When it cannot be asked,
//! nothing is allowed. Which right a call needs is decided in [`wfe_core::access`].

use std::{fmt, sync::Arc, time::Duration};

use wfe_core::{
    access::{Method, Scope, TrustedBridges, Verb},
    actor::{Actor, AuthenticationMethod, OnBehalfOf},
    execution::Execution,
    target::TargetKey,
};
use wfe_runtime::tls::Facts;

use crate::clock::Clock;

mod bearer;
mod error;
pub mod kube;
mod reviewer;
mod reviews;
mod sight;

pub use bearer::{Authorization, Token};
pub use error::{AccessError, Subject, Unauthenticated};
pub use reviewer::{Authentication, Identity, ReviewError, Reviewer, Right, Verdict};
use reviews::Reviews;
pub use sight::{Scenes, Sight};

/// Kubernetes counts everybody whom it knows as a member of this group.
const AUTHENTICATED: &str = "system:authenticated";

/// What a caller shows. Nothing of it was checked, but the certificate by the handshake.
#[derive(Debug, Clone, Default)]
pub struct Shown {
    /// Network address of the caller, without the port.
    pub address: Option<String>,
    /// What the certificate of the client says.
    pub certificate: Option<Facts>,
    /// The `authorization` of the call.
    pub authorization: Authorization,
}

/// Tells who calls.
#[derive(Clone)]
pub struct Guard(Rule);

#[derive(Clone)]
enum Rule {
    /// Whoever comes may do everything.
    Open,
    /// Callers are told apart, and may do what the reviewer says.
    Reviewed(Arc<Reviewed>),
}

struct Reviewed {
    reviews: Reviews,
    bridges: TrustedBridges,
    clock: Arc<dyn Clock>,
}

impl Guard {
    /// Lets everybody do everything, as nobody in particular. For loopback addresses.
    pub const fn open() -> Self {
        Self(Rule::Open)
    }

    /// Lets callers do what `reviewer` says, which is asked again after `lifetime`.
    pub fn reviewed(
        reviewer: Arc<dyn Reviewer>,
        bridges: TrustedBridges,
        lifetime: Duration,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let reviews = Reviews::new(reviewer, lifetime);
        Self(Rule::Reviewed(Arc::new(Reviewed { reviews, bridges, clock })))
    }

    /// Who it is that shows this: by the certificate of the client, else by the token.
    pub async fn admit(&self, shown: Shown) -> Result<Access, AccessError> {
        let Shown { address, certificate, authorization } = shown;
        let Rule::Reviewed(reviewed) = &self.0 else {
            let actor = Actor::anonymous(address);
            return Ok(Access { actor, known: None });
        };
        let credential = match certificate {
            Some(facts) => Credential::Certificate(Box::new(facts)),
            None => Credential::Token(authorization.token()?),
        };
        let identity = reviewed.identify(&credential).await?;
        let actor = Actor {
            user: identity.user.clone(),
            uid: identity.uid.clone(),
            groups: identity.groups.clone(),
            method: credential.method(),
            on_behalf_of: None,
            address,
        };
        let known = Known { reviewed: Arc::clone(reviewed), credential, identity };
        Ok(Access { actor, known: Some(Arc::new(known)) })
    }
}

impl Reviewed {
    async fn identify(&self, credential: &Credential) -> Result<Arc<Identity>, AccessError> {
        match credential {
            Credential::Token(token) => Ok(self.reviews.authenticate(token).await?),
            Credential::Certificate(facts) => {
                // An open connection outlives the handshake that checked this.
                if self.clock.now() >= facts.not_after {
                    return Err(Unauthenticated::CertificateExpired.into());
                }
                let user = facts.common_name.clone().filter(|name| !name.is_empty());
                let mut groups = facts.organizations.clone();
                groups.push(AUTHENTICATED.to_owned());
                let user = user.ok_or(Unauthenticated::CertificateWithoutName)?;
                Ok(Arc::new(Identity { user, uid: None, groups, extra: Vec::new() }))
            }
        }
    }
}

/// By what a caller is known.
enum Credential {
    Token(Token),
    Certificate(Box<Facts>),
}

impl Credential {
    fn method(&self) -> AuthenticationMethod {
        match self {
            Self::Token(_) => AuthenticationMethod::Token,
            Self::Certificate(_) => AuthenticationMethod::Certificate,
        }
    }
}

/// A caller who is known, or need not be.
#[derive(Clone)]
pub struct Access {
    actor: Actor,
    known: Option<Arc<Known>>,
}

struct Known {
    reviewed: Arc<Reviewed>,
    credential: Credential,
    identity: Arc<Identity>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("actor", &self.actor).finish_non_exhaustive()
    }
}

impl Access {
    /// Who calls.
    pub const fn actor(&self) -> &Actor {
        &self.actor
    }

    /// Who calls, and for whom: that is believed of a trusted bridge alone. Where nobody is told apart,
    /// everybody is believed as much as the name `anonymous` is.
    pub fn acting_for(&self, somebody: Option<OnBehalfOf>) -> Result<Actor, AccessError> {
        let believed = match &self.known {
            None => true,
            Some(known) => known.reviewed.bridges.trust(&self.actor),
        };
        if somebody.is_some() && !believed {
            return Err(AccessError::NotTrusted { actor: Box::new(self.actor.clone()) });
        }
        Ok(Actor { on_behalf_of: somebody, ..self.actor.clone() })
    }

    /// Whether the caller may do this in the whole cluster, which is enough for everything.
    pub async fn everywhere(&self, verb: Verb) -> Result<Verdict, AccessError> {
        self.any(verb, &[]).await
    }

    /// Whether the caller may do this with an execution.
    pub async fn may(&self, verb: Verb, execution: &Execution) -> Result<Verdict, AccessError> {
        self.any(verb, &self.scopes(execution)).await
    }

    /// Refuses what the caller may not do in `scope`.
    pub async fn require(
        &self,
        verb: Verb,
        scope: Scope,
        subject: Subject,
    ) -> Result<(), AccessError> {
        match self.any(verb, std::slice::from_ref(&scope)).await? {
            Verdict::Allowed => Ok(()),
            Verdict::Denied => Err(self.denied(verb, subject)),
        }
    }

    /// The refusal. It is the same for what is hidden and for what does not exist.
    pub fn denied(&self, verb: Verb, subject: Subject) -> AccessError {
        AccessError::Denied { actor: Box::new(self.actor.clone()), verb, subject }
    }

    /// What lets a stream about `execution` go on for as long as the caller may have it.
    pub fn renewal(&self, method: Method, execution: &Execution) -> Renewal {
        let subject = Subject::Execution(execution.id);
        let topic = Some(Topic { scopes: self.scopes(execution), subject });
        Renewal { access: self.clone(), verb: method.verb(), topic }
    }

    /// The same, of a stream about a target.
    pub fn renewal_of_target(&self, method: Method, key: &TargetKey) -> Renewal {
        let subject = Subject::Target(Box::new(key.clone()));
        let topic = Some(Topic { scopes: vec![Scope::of_target(&key.target)], subject });
        Renewal { access: self.clone(), verb: method.verb(), topic }
    }

    /// The same, of a stream of which each message is looked at by itself: it goes on for as long as it
    /// is known who reads.
    pub fn renewal_of_caller(&self, method: Method) -> Renewal {
        Renewal { access: self.clone(), verb: method.verb(), topic: None }
    }

    /// Refuses when the caller is no longer known, or is somebody else.
    async fn still_known(&self) -> Result<(), AccessError> {
        if let Some(known) = &self.known {
            let now = known.reviewed.identify(&known.credential).await?;
            if now.user != known.identity.user {
                return Err(Unauthenticated::NotAccepted.into());
            }
        }
        Ok(())
    }

    /// What lets a stream of the log go on for as long as the caller may have it.
    pub fn renewal_of_log(&self, method: Method) -> Renewal {
        let topic = Some(Topic { scopes: vec![Scope::Cluster], subject: Subject::Log });
        Renewal { access: self.clone(), verb: method.verb(), topic }
    }

    fn scopes(&self, execution: &Execution) -> Vec<Scope> {
        match &self.known {
            None => Vec::new(),
            Some(known) => Scope::of_execution(execution, &known.reviewed.bridges),
        }
    }

    /// Whether the caller has the right in the whole cluster, or in one of `scopes`.
    async fn any(&self, verb: Verb, scopes: &[Scope]) -> Result<Verdict, AccessError> {
        let Some(known) = &self.known else { return Ok(Verdict::Allowed) };
        let narrower = scopes.iter().filter(|scope| **scope != Scope::Cluster);
        for scope in std::iter::once(&Scope::Cluster).chain(narrower) {
            let right = Right { verb, scope: scope.clone() };
            let verdict = known.reviewed.reviews.authorize(&known.identity, right).await?;
            if verdict == Verdict::Allowed {
                return Ok(verdict);
            }
        }
        Ok(Verdict::Denied)
    }
}

/// Lets a stream go on: looks again who reads it and whether they still may.
pub struct Renewal {
    access: Access,
    verb: Verb,
    topic: Option<Topic>,
}

/// What a stream is about as a whole.
struct Topic {
    scopes: Vec<Scope>,
    subject: Subject,
}

impl Renewal {
    /// Who reads the stream.
    pub const fn actor(&self) -> &Actor {
        self.access.actor()
    }

    /// Refuses when the caller is no longer known, is somebody else, or has lost the right.
    pub async fn check(&self) -> Result<(), AccessError> {
        self.access.still_known().await?;
        let Some(Topic { scopes, subject }) = &self.topic else { return Ok(()) };
        match self.access.any(self.verb, scopes).await? {
            Verdict::Allowed => Ok(()),
            Verdict::Denied => Err(self.access.denied(self.verb, subject.clone())),
        }
    }
}

#[cfg(test)]
mod tests;
