//! Which right a call needs, and where: RBAC of Kubernetes on the resource `workflowexecutions`.
//!
//! A right in the whole cluster is enough for everything. Otherwise it is needed in the namespace of
//! the target, and to see or to cancel what a bridge asked for also the namespace of the object is
//! enough that the bridge acted for. Who has which right is for the API server to say.

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};

use crate::{
    actor::{Actor, AuthenticationMethod},
    audit::About,
    execution::Execution,
    request::Source,
    target::Target,
};

/// The API group of the resource.
pub const GROUP: &str = "kubernaut.ai";

/// The resource that rights are about.
pub const RESOURCE: &str = "workflowexecutions";

/// The calls of the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// Start.
    Start,
    /// Watch.
    Watch,
    /// Cancel.
    Cancel,
    /// ClearBlock.
    ClearBlock,
    /// Get.
    Get,
    /// List.
    List,
    /// GetTarget.
    GetTarget,
    /// ListEvents.
    ListEvents,
    /// ExportLog.
    ExportLog,
}

impl Method {
    /// Every call.
    pub const ALL: [Self; 9] = [
        Self::Start,
        Self::Watch,
        Self::Cancel,
        Self::ClearBlock,
        Self::Get,
        Self::List,
        Self::GetTarget,
        Self::ListEvents,
        Self::ExportLog,
    ];

    /// The name in the contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "Start",
            Self::Watch => "Watch",
            Self::Cancel => "Cancel",
            Self::ClearBlock => "ClearBlock",
            Self::Get => "Get",
            Self::List => "List",
            Self::GetTarget => "GetTarget",
            Self::ListEvents => "ListEvents",
            Self::ExportLog => "ExportLog",
        }
    }

    /// The right that the call needs.
    pub const fn verb(self) -> Verb {
        match self {
            Self::Start => Verb::Create,
            Self::Watch => Verb::Watch,
            Self::Cancel => Verb::Cancel,
            Self::ClearBlock => Verb::ClearBlock,
            Self::Get | Self::GetTarget | Self::ListEvents => Verb::Get,
            Self::List => Verb::List,
            Self::ExportLog => Verb::Audit,
        }
    }
}

/// What somebody may do with executions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Start one.
    Create,
    /// See one, its events, and its target.
    Get,
    /// See it in a list.
    List,
    /// Follow one.
    Watch,
    /// Ask one to stop.
    Cancel,
    /// Open the block of a target.
    ClearBlock,
    /// Export the log, always of the whole cluster.
    Audit,
}

impl Verb {
    /// The verb as RBAC writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Cancel => "cancel",
            Self::ClearBlock => "clearblock",
            Self::Audit => "audit",
        }
    }
}

/// Where a right holds.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scope {
    /// In the whole cluster: in every namespace, and for what is in none.
    Cluster,
    /// In a namespace.
    Namespace(String),
}

impl Scope {
    /// The namespace as a review of access writes it; empty for the whole cluster.
    pub fn namespace(&self) -> &str {
        match self {
            Self::Cluster => "",
            Self::Namespace(name) => name,
        }
    }

    /// Where a right is needed to act on a target.
    pub fn of_target(target: &Target) -> Self {
        match target.namespace() {
            None => Self::Cluster,
            Some(namespace) => Self::Namespace(namespace.to_owned()),
        }
    }

    /// Where a right is needed to see or to cancel an execution: in any of these.
    pub fn of_execution(execution: &Execution, bridges: &TrustedBridges) -> Vec<Self> {
        let mut scopes = vec![Self::of_target(&execution.request.target.target)];
        let source = execution.request.source.as_ref();
        let source = source.and_then(|source| Self::of_source(source, &execution.actor, bridges));
        scopes.extend(source.filter(|scope| !scopes.contains(scope)));
        scopes
    }

    /// Where a right is enough to see what `actor` asked for in the name of an object, if `actor` is
    /// believed.
    pub fn of_source(source: &Source, actor: &Actor, bridges: &TrustedBridges) -> Option<Self> {
        let believed = bridges.trust(actor) && !source.namespace.is_empty();
        believed.then(|| Self::Namespace(source.namespace.clone()))
    }

    /// Where a right is needed to see what a record concerned, as far as its target tells. Without one
    /// it is needed in the whole cluster.
    pub fn of_about(about: &About) -> Self {
        about.target_key().map_or(Self::Cluster, |key| Self::of_target(&key.target))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster => f.write_str("the whole cluster"),
            Self::Namespace(name) => write!(f, "namespace {name}"),
        }
    }
}

/// Identities whose word is believed: for whom they act, and which object asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TrustedBridges(BTreeSet<String>);

impl TrustedBridges {
    /// Whether the word of this actor is believed. A name that nobody checked is worth nothing.
    pub fn trust(&self, actor: &Actor) -> bool {
        match actor.method {
            AuthenticationMethod::Token | AuthenticationMethod::Certificate => {
                self.0.contains(&actor.user)
            }
            AuthenticationMethod::None | AuthenticationMethod::Service => false,
        }
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl FromIterator<String> for TrustedBridges {
    fn from_iter<I: IntoIterator<Item = String>>(names: I) -> Self {
        Self(names.into_iter().collect())
    }
}

#[cfg(test)]
mod tests;
