//! What can be put on record.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    clear::ClearReason,
    event::EventKind,
    execution::{Hold, StateCode},
    request::{StartRequest, WhenBlocked, WhenCooling, WhenLocked},
};

/// What happened or was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[expect(clippy::large_enum_variant, reason = "nearly every record is of a transition")]
pub enum What {
    /// An execution moved: one event of its life.
    Transition {
        /// The state before; absent for the first.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<StateCode>,
        /// The state after.
        after: StateCode,
        /// The event.
        event: EventKind,
        /// What was asked for, in the first event of an execution.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        asked: Option<Box<Asked>>,
    },
    /// A request follows the execution that holds its target.
    Attached {
        /// What was asked for.
        asked: Box<Asked>,
    },
    /// A request starts nothing any more.
    Withdrawn {
        /// Why, as the caller wrote it.
        reason: String,
    },
    /// Somebody asked an execution to stop, and it made no difference: it had ended, or was asked
    /// before.
    CancelIgnored {
        /// Where the execution stood.
        state: StateCode,
        /// Why, as the caller wrote it the last time.
        reason: String,
        /// How often.
        times: Times,
    },
    /// A Start was refused.
    Refused {
        /// The stable code of the error.
        code: Cow<'static, str>,
        /// The gate that was closed, with who closed it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hold: Option<Hold>,
        /// How often.
        times: Times,
    },
    /// A caller was not let in, or may not do what was asked for.
    Denied {
        /// The call.
        method: Cow<'static, str>,
        /// The stable code of the error.
        code: Cow<'static, str>,
        /// The right that was missing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        verb: Option<Cow<'static, str>>,
        /// What was missing or wrong, in a sentence.
        detail: String,
        /// How often.
        times: Times,
    },
    /// Somebody tried to clear the block of a target.
    ClearBlock {
        /// What came of it: `cleared`, `not_blocked` or `stale`.
        outcome: Cow<'static, str>,
        /// Why, as the person wrote it.
        reason: ClearReason,
        /// Reference of a ticket.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ticket: Option<String>,
    },
    /// From here on checkpoints are signed with another key.
    KeyRotated {
        /// Id of the key until here.
        from: String,
        /// Its public key: base64 of 32 bytes.
        from_public: String,
        /// Id of the key from here on.
        to: String,
        /// Its public key: base64 of 32 bytes.
        to_public: String,
        /// The old key over the new one: base64.
        signature: String,
    },
    /// Entries were deleted because they were old enough.
    Pruned {
        /// The last one that was deleted.
        through: u64,
        /// How many.
        entries: u64,
        /// Hash of the last one: hex.
        hash: String,
    },
}

/// How often something was tried, when it is told in one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// Times; 1 for the first.
    pub count: u64,
    /// The first of them.
    pub since: Timestamp,
    /// The last of them.
    pub until: Timestamp,
}

impl Times {
    /// Once.
    pub const fn once(at: Timestamp) -> Self {
        Self { count: 1, since: at, until: at }
    }

    /// These and others.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            count: self.count.saturating_add(other.count),
            since: self.since.min(other.since),
            until: self.until.max(other.until),
        }
    }
}

impl What {
    /// How often it was tried, of what can be tried again and again.
    pub const fn times(&self) -> Option<Times> {
        match self {
            Self::Refused { times, .. }
            | Self::CancelIgnored { times, .. }
            | Self::Denied { times, .. } => Some(*times),
            Self::Transition { .. }
            | Self::Attached { .. }
            | Self::Withdrawn { .. }
            | Self::ClearBlock { .. }
            | Self::KeyRotated { .. }
            | Self::Pruned { .. } => None,
        }
    }

    /// The name, as it stands in the text of an entry.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Transition { .. } => "transition",
            Self::Attached { .. } => "attached",
            Self::Withdrawn { .. } => "withdrawn",
            Self::CancelIgnored { .. } => "cancel_ignored",
            Self::Refused { .. } => "refused",
            Self::Denied { .. } => "denied",
            Self::ClearBlock { .. } => "clear_block",
            Self::KeyRotated { .. } => "key_rotated",
            Self::Pruned { .. } => "pruned",
        }
    }
}

/// What a request asked for, beside what every record of it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Parameters as the caller gave them; of sensitive ones the digests.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    /// Names that the workflow declares.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub declared: Option<BTreeSet<String>>,
    /// Service account of the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account: Option<String>,
    /// Secrets given as workspaces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// ConfigMaps given as workspaces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub config_maps: Vec<String>,
    /// When it must be over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// What to do when the target is locked.
    pub when_locked: WhenLocked,
    /// What to do when the target cools down or backs off.
    pub when_cooling: WhenCooling,
    /// What to do when the target is blocked.
    pub when_blocked: WhenBlocked,
}

impl Asked {
    /// What a request asked for.
    pub fn of(request: &StartRequest) -> Self {
        Self {
            parameters: request
                .parameters
                .iter()
                .map(|(name, value)| (name.clone(), value.shown()))
                .collect(),
            declared: request.declared.clone(),
            service_account: request.service_account.clone(),
            secrets: request.secrets.clone(),
            config_maps: request.config_maps.clone(),
            deadline: request.deadline,
            when_locked: request.when_locked,
            when_cooling: request.when_cooling,
            when_blocked: request.when_blocked,
        }
    }
}
