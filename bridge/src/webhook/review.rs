//! What becomes of a change of a status that is not the bridge's own. Pure.
//!
//! | who | changes | verdict |
//! |---|---|---|
//! | anybody | nothing | `Allow` |
//! | a canceller | sets the phase Failed while it lives | `Cancel`: all is put back, and `cancelRequest` is stamped |
//! | a canceller | the same, of one that is over, is being deleted, or was asked to end before | `Restore`: all is put back |
//! | anybody | `blockClearanceRequest` alone, of one that has failed | `IfMayClear`: stamped and sealed |
//! | who asked before | the same words again, without the stamp | `Restore` |
//! | anybody | takes `blockClearanceRequest` back | `IfMayClear` |
//! | anybody | the stamp of another one's request, or their words | `Deny` |
//! | anybody | anything else | `Deny` |

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Deserialize as _;
use serde_json::{Map, Value, json};
use wfe_crds::workflow_execution::{
    BlockClearanceRequest, CancelRequest, MAX_CANCEL_REASON_CHARS, MAX_CLEAR_REASON_CHARS,
    MAX_TICKET_CHARS, MIN_CLEAR_REASON_CHARS, Requester,
};

use crate::{
    seal::{Claim, SealKey},
    text::fit,
};

const REQUEST: &str = "blockClearanceRequest";
const CANCEL: &str = "cancelRequest";

/// Stands where a dry run would have a seal: what nobody does needs none.
pub const NO_SEAL: &str = "dry-run";

/// A change of the status of an object.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// UID of the object.
    pub object_uid: &'a str,
    /// Its deletion.
    pub deletion: Deletion,
    /// The status before; null when there was none.
    pub old: &'a Value,
    /// The status as it is to become.
    pub new: &'a Value,
    /// Who changes it.
    pub by: &'a Requester,
    /// Whether anything comes of it.
    pub run: Run,
}

/// The deletion of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletion {
    /// Nobody has asked for it.
    NotAsked,
    /// It is on its way.
    Asked,
}

/// Whether anything comes of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Run {
    /// It is stored when it is allowed.
    Real,
    /// It is only tried.
    Dry,
}

/// What a change is judged by.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// What seals are made with.
    pub key: &'a SealKey,
    /// Who may ask for the end of an execution by setting the phase.
    pub cancellers: &'a BTreeSet<String>,
}

/// What becomes of a change.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It is as good as none.
    Allow,
    /// The status stays as it was: this.
    Restore(Value),
    /// The end is asked for: the status becomes this.
    Cancel(Value),
    /// The status becomes this, if the person has the right to clear blocks.
    IfMayClear {
        /// The status.
        status: Value,
        /// What the person should know.
        warnings: Vec<String>,
    },
    /// It is refused.
    Deny(Denial),
}

/// Why a change is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// In which way.
    pub kind: DenialKind,
    /// For a person: what is wrong, and what to do instead.
    pub message: String,
}

/// In which way a change is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DenialKind {
    /// It may not be made by this person.
    Forbidden,
    /// It asks for what cannot be.
    Invalid,
    /// Somebody else was faster.
    Conflict,
}

impl Denial {
    fn forbidden(message: impl Into<String>) -> Self {
        Self { kind: DenialKind::Forbidden, message: message.into() }
    }

    fn invalid(message: impl Into<String>) -> Self {
        Self { kind: DenialKind::Invalid, message: message.into() }
    }

    fn conflict(message: impl Into<String>) -> Self {
        Self { kind: DenialKind::Conflict, message: message.into() }
    }
}

/// What becomes of a change. `now` is the time that is stamped on.
pub fn review(change: &Change<'_>, rules: &Rules<'_>, now: Timestamp) -> Verdict {
    let (old, new) = (fields(change.old), fields(change.new));
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let changed = |name: &&&String| old.get(**name) != new.get(**name);
    let (request, others): (Vec<&String>, Vec<&String>) =
        names.iter().filter(changed).copied().partition(|name| *name == REQUEST);
    let review = Review { change, rules, now: whole(now), old: &old };
    let is_end = new.get("phase").is_some_and(|phase| phase == "Failed");
    if others.is_empty() && request.is_empty() {
        Verdict::Allow
    } else if !others.is_empty() && is_end && rules.cancellers.contains(&change.by.username) {
        review.end(&new)
    } else if !others.is_empty() {
        Verdict::Deny(foreign(&others))
    } else {
        review.clearance(&new).unwrap_or_else(Verdict::Deny)
    }
}

struct Review<'a> {
    change: &'a Change<'a>,
    rules: &'a Rules<'a>,
    now: Timestamp,
    old: &'a Map<String, Value>,
}

impl Review<'_> {
    fn text(&self, field: &str) -> &str {
        self.old.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    /// Whoever ends an execution by its phase means its end, and not what else such a write may have lost.
    fn end(&self, new: &Map<String, Value>) -> Verdict {
        let asked = self.old.get(CANCEL).and_then(|asked| CancelRequest::deserialize(asked).ok());
        let asked =
            asked.is_some_and(|asked| self.rules.key.sealed_cancel(self.change.object_uid, &asked));
        let lives = matches!(self.text("phase"), "" | "Pending" | "Running");
        if asked || !lives || self.change.deletion == Deletion::Asked {
            return Verdict::Restore(status(self.old.clone()));
        }
        let reason = new.get("failureReason").and_then(Value::as_str).unwrap_or_default().trim();
        let reason = match reason {
            "" => "the phase was set to Failed".to_owned(),
            reason => fit(reason, MAX_CANCEL_REASON_CHARS),
        };
        let mut request = CancelRequest {
            reason,
            requested_by: Some(self.change.by.clone()),
            requested_at: Some(Time(self.now)),
            seal: None,
        };
        request.seal = self.seal(&Claim::cancel(self.change.object_uid, &request));
        let mut wanted = self.old.clone();
        wanted.insert(CANCEL.to_owned(), json!(request));
        Verdict::Cancel(status(wanted))
    }

    fn clearance(&self, new: &Map<String, Value>) -> Result<Verdict, Denial> {
        let change = self.change;
        let Some(typed) = new.get(REQUEST) else {
            return Ok(Verdict::IfMayClear { status: status(new.clone()), warnings: Vec::new() });
        };
        let typed = BlockClearanceRequest::deserialize(typed).map_err(|error| {
            Denial::invalid(format!("status.{REQUEST}: cannot be read: {error}"))
        })?;
        let with = |request: &BlockClearanceRequest| {
            let mut wanted = new.clone();
            wanted.insert(REQUEST.to_owned(), json!(request));
            status(wanted)
        };
        let execution_id = self.text("executionID");
        let before = self.old.get(REQUEST);
        let before =
            before.and_then(|before| BlockClearanceRequest::deserialize(before).ok()).filter(
                |before| self.rules.key.sealed_clearance(change.object_uid, execution_id, before),
            );
        let mut warnings = Vec::new();
        if let Some(before) = &before {
            if has_stamp(&typed) && stamp(&typed) != stamp(before) {
                return Err(Denial::forbidden(format!(
                    "status.{REQUEST}: requestedBy, requestedAt and seal are written by the webhook \
                     alone. Leave them as they are."
                )));
            }
            let owner = before.requested_by.clone().unwrap_or_default();
            if (&owner.username, &owner.uid) != (&change.by.username, &change.by.uid) {
                let at = before.requested_at.as_ref().map(|at| at.0.to_string());
                return Err(Denial::conflict(format!(
                    "status.{REQUEST}: {} asked for this at {} already, and that is being carried out. \
                     Look at the status and the events of the object in a moment.",
                    owner.username,
                    at.unwrap_or_default(),
                )));
            }
            if (&typed.clear_reason, &typed.ticket) == (&before.clear_reason, &before.ticket) {
                return Ok(Verdict::Restore(with(before)));
            }
        } else if has_stamp(&typed) {
            warnings.push(format!(
                "status.{REQUEST}: requestedBy, requestedAt and seal are written by the webhook; what \
                 was given is ignored"
            ));
        }
        self.may_be_cleared()?;
        let mut request = checked(&typed)?;
        if change.by.username.is_empty() {
            return Err(Denial::forbidden("a block is cleared by somebody who has a name"));
        }
        request.requested_by = Some(change.by.clone());
        request.requested_at = Some(Time(self.now));
        request.seal = self.seal(&Claim::clearance(change.object_uid, execution_id, &request));
        Ok(Verdict::IfMayClear { status: with(&request), warnings })
    }

    /// Whether the object is one whose failure may block a target.
    fn may_be_cleared(&self) -> Result<(), Denial> {
        if let Some(cleared) = self.old.get("blockClearance") {
            let part = |name: &str| cleared.get(name).and_then(Value::as_str).unwrap_or("?");
            return Err(Denial::conflict(format!(
                "status.{REQUEST}: {} has cleared the block at {} already",
                part("clearedBy"),
                part("clearedAt"),
            )));
        }
        match self.text("phase") {
            "Failed" => {}
            phase => {
                let phase = if phase.is_empty() { "new" } else { phase };
                return Err(Denial::invalid(format!(
                    "status.{REQUEST}: only the failure of an execution blocks its target, and this \
                     one is {phase}. The condition Blocked of what waits names the one that has failed."
                )));
            }
        }
        if self.text("executionID").is_empty() {
            return Err(Denial::invalid(format!(
                "status.{REQUEST}: this WorkflowExecution was never accepted for execution, so its \
                 failure blocks nothing"
            )));
        }
        if self.change.deletion == Deletion::Asked {
            return Err(Denial::invalid(format!(
                "status.{REQUEST}: this WorkflowExecution is being deleted, and what it asks for is \
                 not carried out any more. Use the call ClearBlock of the execution service."
            )));
        }
        Ok(())
    }

    fn seal(&self, claim: &Claim<'_>) -> Option<String> {
        match self.change.run {
            Run::Real => self.rules.key.seal(claim),
            Run::Dry => Some(NO_SEAL.to_owned()),
        }
    }
}

/// The words of a request, when they are long enough and not too long. Without a stamp.
fn checked(typed: &BlockClearanceRequest) -> Result<BlockClearanceRequest, Denial> {
    let BlockClearanceRequest { clear_reason, ticket, .. } = typed;
    let words = clear_reason.chars().filter(|c| !c.is_whitespace()).count();
    if words < MIN_CLEAR_REASON_CHARS {
        return Err(Denial::invalid(format!(
            "status.{REQUEST}.clearReason: must say why it is safe to go on, in at least \
             {MIN_CLEAR_REASON_CHARS} characters that are not space; it has {words}"
        )));
    }
    let long = clear_reason.chars().count();
    if long > MAX_CLEAR_REASON_CHARS {
        return Err(Denial::invalid(format!(
            "status.{REQUEST}.clearReason: has {long} characters; at most {MAX_CLEAR_REASON_CHARS} \
             are kept on record"
        )));
    }
    let long = ticket.as_deref().unwrap_or_default().chars().count();
    if long > MAX_TICKET_CHARS {
        return Err(Denial::invalid(format!(
            "status.{REQUEST}.ticket: has {long} characters; at most {MAX_TICKET_CHARS} are kept on \
             record"
        )));
    }
    Ok(BlockClearanceRequest {
        clear_reason: clear_reason.clone(),
        ticket: ticket.clone(),
        ..BlockClearanceRequest::default()
    })
}

fn foreign(names: &[&String]) -> Denial {
    let names: Vec<String> = names.iter().map(|name| format!("status.{name}")).collect();
    Denial::forbidden(format!(
        "{}: the status is written by the bridge alone, from the records of the execution service. To \
         stop an execution, delete its WorkflowExecution. To clear the block of its target after it has \
         failed, set status.{REQUEST}.clearReason and nothing else.",
        names.join(", "),
    ))
}

fn stamp(request: &BlockClearanceRequest) -> (Option<&Requester>, Option<&Time>, Option<&str>) {
    let BlockClearanceRequest { clear_reason: _, ticket: _, requested_by, requested_at, seal } =
        request;
    (requested_by.as_ref(), requested_at.as_ref(), seal.as_deref())
}

fn has_stamp(request: &BlockClearanceRequest) -> bool {
    stamp(request) != (None, None, None)
}

/// The fields of a status that are there. Null is the same as nothing.
fn fields(status: &Value) -> Map<String, Value> {
    match without_nulls(status.clone()) {
        Value::Object(fields) => fields,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Map::new()
        }
    }
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields = fields.into_iter().filter(|(_, value)| !value.is_null());
            fields.map(|(name, value)| (name, without_nulls(value))).collect()
        }
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}

fn status(fields: Map<String, Value>) -> Value {
    if fields.is_empty() { Value::Null } else { Value::Object(fields) }
}

/// Kubernetes keeps whole seconds.
fn whole(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

#[cfg(test)]
mod tests;
