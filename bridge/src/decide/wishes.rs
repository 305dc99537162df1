//! What people ask for in a status, and what comes of it. Pure.
//!
//! | the request | what is known | step |
//! |---|---|---|
//! | for an end, while it lives | sealed | `Stop`, then it goes its way |
//! | for an end, when it is over | | `Settle`: there is nothing left to ask for |
//! | for a clearance, while it lives | | none yet |
//! | for a clearance, when it is over | sealed, not asked | `Ask`: another bridge may have cleared it |
//! | | sealed, not cleared | `Clear` |
//! | | cleared for this person | shown, then `Settle` |
//! | | cleared for another one, or refused | `Settle` with a warning |
//! | either | not sealed | `Settle` with a warning; nothing is done |

use std::time::Duration;

use jiff::Timestamp;
use wfe_crds::workflow_execution::{BlockClearanceRequest, Requester, WorkflowExecutionStatus};
use wfe_proto::v1::{self, CancelRequest, ClearBlockRequest, Execution};

use super::{Decision, Record, Step, is_over, may_run, until};
use crate::{
    object::Object,
    project::{moment, person},
    seal::{SealKey, Seals},
};

/// While the key of seals is not known, it is looked for again after this time.
const KEY_INTERVAL: Duration = Duration::from_secs(1);

/// Nobody can have sealed it.
const NO_WEBHOOK: &str = "this bridge has no webhook that could say who asks (setting \
                          webhook_address). Use the call of the execution service instead";
/// It was written past the webhook, or changed since, or the object shows another execution by now.
const NOT_SEALED: &str = "it does not bear the seal of the webhook, so it is not known who asks: it \
                          was written while the webhook was not in force, or for another execution. \
                          Ask once more";
/// The records of the service were lost, or are others.
const NO_RECORD: &str = "the execution service has no record of this execution";

/// What people ask for in a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// That the block is cleared: `blockClearanceRequest`.
    Clearance,
    /// That the execution ends: `cancelRequest`.
    Cancel,
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The block was cleared for this person.
    Cleared {
        /// Who asked.
        by: String,
        /// When it was cleared.
        at: Option<Timestamp>,
    },
    /// There is nothing left to ask for.
    Over,
    /// It was not carried out.
    Refused {
        /// Why, for a person.
        why: String,
    },
}

/// The service has refused what a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The seal of the request.
    pub seal: String,
    /// Why, for a person.
    pub why: String,
}

/// Whether a status asks for anything.
pub(super) fn asks(status: &WorkflowExecutionStatus) -> bool {
    status.block_clearance_request.is_some() || status.cancel_request.is_some()
}

impl Decision<'_> {
    /// What has to be done so that what lives ends, if somebody asks for that.
    pub(super) fn stop(&self, object: &Object) -> Option<Step> {
        let request = object.status.as_ref().ok()?.cancel_request.as_ref()?;
        let refused = |why: &str| Some(self.settle(Wish::Cancel, refused(why)));
        let key = match self.s.seals {
            Seals::Off => return refused(NO_WEBHOOK),
            Seals::Unknown => return None,
            Seals::Key(key) => key,
        };
        if !key.sealed_cancel(&object.uid, request) {
            return refused(NOT_SEALED);
        }
        if let Some(why) = self.refused(request.seal.as_deref()) {
            return refused(why);
        }
        let asks = match self.s.record {
            Record::NotAsked | Record::None { .. } => true,
            Record::Execution(execution) => may_run(execution),
            Record::Refused { .. } | Record::Withdrawn => false,
        };
        asks.then(|| {
            self.call(Step::Stop(Box::new(CancelRequest {
                request_id: object.uid.clone(),
                reason: request.reason.clone(),
                on_behalf_of: request.requested_by.as_ref().map(on_behalf_of),
                ..CancelRequest::default()
            })))
        })
    }

    /// Whether the end was asked for, so that a request that is withdrawn is so for that.
    pub(super) fn was_stopped(&self, object: &Object) -> bool {
        let request = object.status.as_ref().ok().and_then(|status| status.cancel_request.as_ref());
        match (self.s.seals, request) {
            (Seals::Key(key), Some(request)) => key.sealed_cancel(&object.uid, request),
            (Seals::Off | Seals::Unknown | Seals::Key(_), _) => false,
        }
    }

    /// What has to be done for what is over; `None` when nothing.
    pub(super) fn afterwards(&self, object: &Object) -> Option<Step> {
        let status = object.status.as_ref().ok()?;
        if status.cancel_request.is_some() {
            return Some(self.settle(Wish::Cancel, Outcome::Over));
        }
        let request = status.block_clearance_request.as_ref()?;
        Some(match self.s.seals {
            Seals::Off => self.settle(Wish::Clearance, refused(NO_WEBHOOK)),
            Seals::Unknown => Step::Rest(Some(self.now + KEY_INTERVAL)),
            Seals::Key(key) => self.clearance(object, status, request, key),
        })
    }

    /// No rest for longer than until the key of seals is looked for again, when there is a request that
    /// needs it.
    pub(super) fn until_key(&self, object: &Object, step: Step) -> Step {
        let asks = object.status.as_ref().is_ok_and(asks);
        match self.s.seals {
            Seals::Unknown if asks => until(Some(self.now + KEY_INTERVAL), step),
            Seals::Unknown | Seals::Off | Seals::Key(_) => step,
        }
    }

    fn clearance(
        &self,
        object: &Object,
        status: &WorkflowExecutionStatus,
        request: &BlockClearanceRequest,
        key: &SealKey,
    ) -> Step {
        let settle = |outcome| self.settle(Wish::Clearance, outcome);
        let id = status.execution_id.as_deref().unwrap_or_default();
        if !key.sealed_clearance(&object.uid, id, request) {
            return settle(refused(NOT_SEALED));
        }
        let execution = match self.s.record {
            Record::NotAsked => return self.call(Step::Ask),
            Record::Execution(execution) if execution.id == id && is_over(execution) => execution,
            Record::Execution(_)
            | Record::None { .. }
            | Record::Refused { .. }
            | Record::Withdrawn => return settle(refused(NO_RECORD)),
        };
        if let Some(clearance) = &execution.clearance {
            return settle(cleared(clearance, request));
        }
        match self.refused(request.seal.as_deref()) {
            Some(why) => settle(refused(why)),
            None => self.call(Step::Clear(Box::new(clear(execution, request)))),
        }
    }

    fn refused(&self, seal: Option<&str>) -> Option<&str> {
        let known = self.s.refused.filter(|known| Some(known.seal.as_str()) == seal)?;
        Some(&known.why)
    }

    fn settle(&self, wish: Wish, outcome: Outcome) -> Step {
        self.write(Step::Settle(wish, outcome))
    }
}

fn refused(why: &str) -> Outcome {
    Outcome::Refused { why: why.to_owned() }
}

/// What a clearance is for who asks. A bridge that died after its call, or was the second one to call,
/// finds what it asked for.
fn cleared(clearance: &v1::Clearance, request: &BlockClearanceRequest) -> Outcome {
    let actor = clearance.actor.clone().unwrap_or_default();
    let by = person(&actor).unwrap_or("somebody").to_owned();
    let at = clearance.clear_time.as_ref().and_then(moment);
    let asked = request.requested_by.as_ref().map(|asked| &asked.username);
    let same_words = clearance.reason.trim() == request.clear_reason.trim()
        && clearance.ticket == *request.ticket.as_ref().unwrap_or(&String::new());
    if actor.on_behalf_of.is_some() && asked == Some(&by) && same_words {
        return Outcome::Cleared { by, at };
    }
    let at = at.map(|at| format!(" at {at}")).unwrap_or_default();
    Outcome::Refused { why: format!("{by} cleared the block{at} already") }
}

fn clear(execution: &Execution, request: &BlockClearanceRequest) -> ClearBlockRequest {
    ClearBlockRequest {
        target: execution.target.clone(),
        cluster_id: execution.cluster_id.clone(),
        reason: request.clear_reason.clone(),
        ticket: request.ticket.clone().unwrap_or_default(),
        expected_execution_id: execution.id.clone(),
        on_behalf_of: request.requested_by.as_ref().map(on_behalf_of),
    }
}

fn on_behalf_of(by: &Requester) -> v1::OnBehalfOf {
    let Requester { username, uid, groups } = by.clone();
    v1::OnBehalfOf { user: username, uid: uid.unwrap_or_default(), groups }
}
