//! What a service account may do, by the roles that are bound to it, beside what it did, by the API server's audit log.
//! What everybody may do who has a token (discovery, questions about oneself) is neither granted nor used here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

use anyhow::{Context, Result, bail};
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use k8s_openapi::api::rbac::v1::{
    ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, RoleRef, Subject,
};
use kube::api::{ListParams, PostParams};
use kube::{Api, Client};
use serde::Deserialize;
use wfe_control_plane::state::audit_log_path;

use crate::wait::{PATIENCE, eventually};
use crate::{Account, ControlPlane};

/// One verb on one kind of object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Permission {
    /// For example `patch`.
    pub verb: String,
    /// Plural, with the subresource: `workflowexecutions/status`. Of a request for no object its path.
    pub resource: String,
    /// Empty for the core group.
    pub group: String,
    /// `None` is all namespaces, and what is in none.
    pub namespace: Option<String>,
    /// `None` is every name, or a request that names none.
    pub name: Option<String>,
}

impl Permission {
    /// Whether whoever has this has the other one as well.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        (&self.verb, &self.resource, &self.group) == (&other.verb, &other.resource, &other.group)
            && (self.namespace.is_none() || self.namespace == other.namespace)
            && (self.name.is_none() || self.name == other.name)
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource)?;
        if !self.group.is_empty() {
            write!(f, " of {}", self.group)?;
        }
        if let Some(namespace) = &self.namespace {
            write!(f, " in {namespace}")?;
        }
        match &self.name {
            Some(name) => write!(f, " named {name}"),
            None => Ok(()),
        }
    }
}

/// What the roles bound to `account` grant.
///
/// # Errors
///
/// When the API server does not answer, and when a role grants what an audit log cannot prove to be needed: everything
/// (`*`), paths.
pub async fn granted(client: &Client, account: &Account) -> Result<BTreeSet<Permission>> {
    let everything = ListParams::default();
    let mut granted = BTreeSet::new();
    for binding in Api::<RoleBinding>::all(client.clone()).list(&everything).await? {
        if is_subject(account, binding.subjects.as_deref()) {
            let namespace = binding.metadata.namespace.context("a namespace")?;
            let rules = rules(client, &binding.role_ref, &namespace).await?;
            granted.extend(expand(&rules, Some(&namespace))?);
        }
    }
    for binding in Api::<ClusterRoleBinding>::all(client.clone()).list(&everything).await? {
        if is_subject(account, binding.subjects.as_deref()) {
            let rules = rules(client, &binding.role_ref, "").await?;
            granted.extend(expand(&rules, None)?);
        }
    }
    Ok(granted)
}

/// Waits until the API server allows all that was `granted`: it learns of new roles a moment after they are there.
///
/// # Errors
///
/// When something of it is not allowed within a minute.
pub async fn in_force(
    client: &Client,
    account: &Account,
    granted: &BTreeSet<Permission>,
) -> Result<()> {
    let reviews = Api::<SubjectAccessReview>::all(client.clone());
    for permission in granted {
        let (resource, subresource) = match permission.resource.split_once('/') {
            Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
            None => (permission.resource.as_str(), None),
        };
        let attributes = ResourceAttributes {
            verb: Some(permission.verb.clone()),
            group: Some(permission.group.clone()),
            resource: Some(resource.to_owned()),
            subresource,
            namespace: permission.namespace.clone(),
            name: permission.name.clone(),
            ..ResourceAttributes::default()
        };
        let spec = SubjectAccessReviewSpec {
            user: Some(account.username()),
            resource_attributes: Some(attributes),
            ..SubjectAccessReviewSpec::default()
        };
        let question = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
        eventually(PATIENCE, &format!("{permission}: in force"), async || {
            let answer = reviews.create(&PostParams::default(), &question).await;
            match answer.map(|answer| answer.status) {
                Ok(Some(status)) if status.allowed => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await?;
    }
    Ok(())
}

fn is_subject(account: &Account, subjects: Option<&[Subject]>) -> bool {
    subjects.unwrap_or_default().iter().any(|subject| {
        subject.kind == "ServiceAccount"
            && subject.name == account.name
            && subject.namespace.as_deref() == Some(&account.namespace)
    })
}

async fn rules(client: &Client, role: &RoleRef, namespace: &str) -> Result<Vec<PolicyRule>> {
    let rules = match role.kind.as_str() {
        "Role" => Api::<Role>::namespaced(client.clone(), namespace).get(&role.name).await?.rules,
        "ClusterRole" => Api::<ClusterRole>::all(client.clone()).get(&role.name).await?.rules,
        other => bail!("a role of the kind {other}"),
    };
    Ok(rules.unwrap_or_default())
}

fn expand(rules: &[PolicyRule], namespace: Option<&str>) -> Result<BTreeSet<Permission>> {
    let mut permissions = BTreeSet::new();
    for rule in rules {
        let (groups, resources) = (rule.api_groups.as_deref(), rule.resources.as_deref());
        let (groups, resources) = (groups.unwrap_or_default(), resources.unwrap_or_default());
        let is_open =
            [groups, resources, &rule.verbs].iter().any(|words| words.contains(&"*".to_owned()));
        if is_open || rule.non_resource_urls.is_some() {
            bail!("a rule that cannot be compared with what was used: {rule:?}");
        }
        let names: Vec<Option<&String>> = match &rule.resource_names {
            None => vec![None],
            Some(names) => names.iter().map(Some).collect(),
        };
        for (group, resource) in groups.iter().flat_map(|g| resources.iter().map(move |r| (g, r))) {
            for (verb, name) in rule.verbs.iter().flat_map(|v| names.iter().map(move |n| (v, n))) {
                permissions.insert(Permission {
                    verb: verb.clone(),
                    resource: resource.clone(),
                    group: group.clone(),
                    namespace: namespace.map(str::to_owned),
                    name: name.cloned(),
                });
            }
        }
    }
    Ok(permissions)
}

/// What an account asked of the API server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// What its own roles allowed.
    pub allowed: BTreeSet<Permission>,
    /// What it may not do.
    pub refused: BTreeSet<Permission>,
}

impl Usage {
    /// What `account` has asked since the control plane began.
    ///
    /// # Errors
    ///
    /// When the cluster has no audit log here: one that existed before has none.
    pub async fn of(plane: &ControlPlane, account: &Account) -> Result<Self> {
        let log = audit_log_path(plane.dir());
        // A request is written down after its answer. When this one is, all that were answered before it are.
        let marks = || marks(&read(&log)?, &account.username());
        let before = marks()?;
        let reviews = Api::<SelfSubjectReview>::all(account.client(plane).await?);
        reviews.create(&PostParams::default(), &SelfSubjectReview::default()).await?;
        eventually(PATIENCE, "the audit log", async || match marks() {
            Ok(now) if now > before => Ok(()),
            Ok(now) => Err(format!("{now} of {}", before + 1)),
            Err(error) => Err(format!("{error:#}")),
        })
        .await?;
        Self::in_log(&read(&log)?, &account.username())
    }

    /// What `username` asked, according to an audit log: one `audit.k8s.io/v1` event on each line.
    ///
    /// # Errors
    ///
    /// When a line is no event.
    pub fn in_log(log: &str, username: &str) -> Result<Self> {
        let mut usage = Self::default();
        for event in events(log, username)? {
            let annotation = |name: &str| {
                event.annotations.get(&format!("authorization.k8s.io/{name}")).map(String::as_str)
            };
            let by_its_role =
                || annotation("reason").is_some_and(|why| why.contains(" to ServiceAccount "));
            match annotation("decision") {
                Some("allow") if by_its_role() => usage.allowed.insert(event.permission()),
                Some("forbid") => usage.refused.insert(event.permission()),
                Some(_) | None => false,
            };
        }
        Ok(usage)
    }

    /// What of `granted` was never used.
    #[must_use]
    pub fn unused(&self, granted: &BTreeSet<Permission>) -> BTreeSet<Permission> {
        let is_used = |one: &Permission| self.allowed.iter().any(|used| one.covers(used));
        granted.iter().filter(|one| !is_used(one)).cloned().collect()
    }
}

fn read(log: &Path) -> Result<String> {
    std::fs::read_to_string(log)
        .with_context(|| format!("the API server's audit log, {}", log.display()))
}

fn marks(log: &str, username: &str) -> Result<usize> {
    let events = events(log, username)?.into_iter();
    Ok(events.filter(|event| event.permission().resource == "selfsubjectreviews").count())
}

/// An event of the audit log, as far as it matters here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    verb: String,
    #[serde(rename = "requestURI")]
    uri: String,
    user: User,
    object_ref: Option<Object>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Object {
    resource: String,
    subresource: String,
    api_group: String,
    namespace: Option<String>,
    name: Option<String>,
}

impl Event {
    fn permission(&self) -> Permission {
        let Some(object) = &self.object_ref else {
            let path = self.uri.split('?').next().unwrap_or_default().to_owned();
            return Permission {
                verb: self.verb.clone(),
                resource: path,
                group: String::new(),
                namespace: None,
                name: None,
            };
        };
        let resource = match object.subresource.as_str() {
            "" => object.resource.clone(),
            subresource => format!("{}/{subresource}", object.resource),
        };
        Permission {
            verb: self.verb.clone(),
            resource,
            group: object.api_group.clone(),
            namespace: object.namespace.clone(),
            name: object.name.clone(),
        }
    }
}

// A line without its end is still being written.
fn events(log: &str, username: &str) -> Result<Vec<Event>> {
    let lines = log.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    let events = lines.map(|line| {
        serde_json::from_str::<Event>(line).with_context(|| format!("an audit event: {line}"))
    });
    let events = events.collect::<Result<Vec<_>>>()?.into_iter();
    Ok(events.filter(|event| event.user.username == username).collect())
}

#[cfg(test)]
mod tests;
