//! What callers can try again and again: refusals, cancels that make no difference, denials.

use std::borrow::Cow;

use jiff::Timestamp;

use super::{About, Actor, Numbering, Record, Stream, Times, What};
use crate::{
    execution::{Execution, Hold},
    request::StartRequest,
};

/// One try, as it would be on record if it stayed the only one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Try(Record);

/// What of a try is told apart from other tries of the same caller.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Matter {
    what: &'static str,
    code: Cow<'static, str>,
}

impl Try {
    /// A gate refused a Start. `code` is the stable code of the error.
    pub fn refused_at(
        hold: &Hold,
        code: &'static str,
        request: &StartRequest,
        actor: &Actor,
        at: Timestamp,
    ) -> Self {
        let stream = Stream::target(&request.target);
        Self::refused(stream, Some(hold.clone()), code, request, actor, at)
    }

    /// A Start was refused for what became of its request id before.
    pub fn refused_request(
        code: &'static str,
        request: &StartRequest,
        actor: &Actor,
        at: Timestamp,
    ) -> Self {
        Self::refused(Stream::request(&request.request_id), None, code, request, actor, at)
    }

    fn refused(
        stream: Stream,
        hold: Option<Hold>,
        code: &'static str,
        request: &StartRequest,
        actor: &Actor,
        at: Timestamp,
    ) -> Self {
        let what = What::Refused { code: code.into(), hold, times: Times::once(at) };
        Self::of(stream, actor, at, what, About::of_request(request))
    }

    /// A Cancel made no difference to an execution, which had ended or was asked before.
    pub fn cancel_ignored(
        execution: &Execution,
        reason: &str,
        actor: &Actor,
        at: Timestamp,
    ) -> Self {
        let (state, reason) = (execution.state.code(), reason.to_owned());
        let what = What::CancelIgnored { state, reason, times: Times::once(at) };
        let stream = Stream::target(&execution.request.target);
        Self::of(stream, actor, at, what, About::of_execution(execution))
    }

    /// A caller was not let in, or may not make a call. `verb` is the right that was missing, `detail` a
    /// sentence.
    pub fn denied(
        method: &'static str,
        code: &'static str,
        verb: Option<&'static str>,
        detail: String,
        actor: &Actor,
        at: Timestamp,
    ) -> Self {
        let what = What::Denied {
            method: method.into(),
            code: code.into(),
            verb: verb.map(Into::into),
            detail,
            times: Times::once(at),
        };
        Self::of(Stream::security(), actor, at, what, About::default())
    }

    fn of(stream: Stream, actor: &Actor, at: Timestamp, what: What, about: About) -> Self {
        let actor = actor.clone();
        Self(Record { stream, numbering: Numbering::Next, at, actor, what, about })
    }

    /// The record of this one try.
    pub fn into_record(self) -> Record {
        self.0
    }

    /// Who tried.
    pub(super) const fn actor(&self) -> &Actor {
        &self.0.actor
    }

    /// When.
    pub(super) const fn at(&self) -> Timestamp {
        self.0.at
    }

    pub(super) fn matter(&self) -> Matter {
        let code = match &self.0.what {
            What::Refused { code, .. } | What::Denied { code, .. } => code.clone(),
            What::CancelIgnored { .. }
            | What::Transition { .. }
            | What::Attached { .. }
            | What::Withdrawn { .. }
            | What::ClearBlock { .. }
            | What::KeyRotated { .. }
            | What::Pruned { .. } => Cow::Borrowed(""),
        };
        Matter { what: self.0.what.as_str(), code }
    }

    /// With what it was tried.
    pub(super) fn subject(&self) -> String {
        let stream = self.0.stream.as_str();
        match &self.0.what {
            What::Denied { method, verb, detail, .. } => {
                format!("{method} {} {detail}", verb.as_deref().unwrap_or_default())
            }
            What::CancelIgnored { .. } => {
                self.0.about.execution.map(|id| id.to_string()).unwrap_or_default()
            }
            What::Refused { .. }
            | What::Transition { .. }
            | What::Attached { .. }
            | What::Withdrawn { .. }
            | What::ClearBlock { .. }
            | What::KeyRotated { .. }
            | What::Pruned { .. } => stream.to_owned(),
        }
    }

    /// This one and more of the same matter, as one. What differs between them is left out.
    #[must_use]
    pub(super) fn and(self, more: Self) -> Self {
        let (mut one, more) = (self.0, more.0);
        if one.stream != more.stream {
            one.stream = Stream::security();
        }
        if one.actor != more.actor {
            one.actor = Actor::others();
        }
        let alike = one.about.target == more.about.target;
        one.about = one.about.common(&more.about);
        one.at = one.at.max(more.at);
        one.what = both(one.what, more.what, alike);
        Self(one)
    }

    /// As it is told at this time.
    #[must_use]
    pub(super) fn told(mut self, at: Timestamp) -> Self {
        self.0.at = at;
        self
    }
}

/// Stands where several tries differ.
const SEVERAL: &str = "several";

/// Two tries of the same matter as one. `alike`: both were about the same target.
fn both(one: What, more: What, alike: bool) -> What {
    match (one, more) {
        (What::Refused { code, times, .. }, What::Refused { hold, times: later, .. }) => {
            // The gate is the same; who closes it may have changed, and the newest is told.
            What::Refused { code, hold: hold.filter(|_| alike), times: times.and(later) }
        }
        (
            What::CancelIgnored { times, .. },
            What::CancelIgnored { state, reason, times: later },
        ) => What::CancelIgnored { state, reason, times: times.and(later) },
        (
            What::Denied { method, code, verb, detail, times },
            What::Denied { method: other, verb: right, detail: sentence, times: later, .. },
        ) => What::Denied {
            method: if method == other { method } else { SEVERAL.into() },
            code,
            verb: verb.filter(|verb| right.as_ref() == Some(verb)),
            detail: if detail == sentence { detail } else { SEVERAL.to_owned() },
            times: times.and(later),
        },
        // Of one matter both are of one kind.
        (one, _) => one,
    }
}
