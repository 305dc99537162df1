//! What a caller asks for: the request as it is kept, and how two requests are compared.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    ids::{CorrelationId, RequestId},
    invalid::{Invalid, Violation, Violations},
    parameter::{DigestValues, Parameter, are_same},
    target::TargetKey,
    workflow::{Workflow, WorkflowKey},
};

/// Name of the parameter that carries the target to the workflow.
pub const TARGET_PARAMETER: &str = "TARGET_RESOURCE";

/// At most this many parameters.
pub const MAX_PARAMETERS: usize = 256;
/// At most this many bytes in one parameter's value.
pub const MAX_PARAMETER_BYTES: usize = 32 * 1024;
/// At most this many bytes in the names and values of all parameters.
pub const MAX_PARAMETERS_BYTES: usize = 256 * 1024;
/// At most this many Secrets, and as many ConfigMaps.
pub const MAX_WORKSPACES: usize = 32;

/// A request to run a workflow on a target. What Start was given, checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartRequest {
    /// Identifies the request.
    pub request_id: RequestId,
    /// What to run.
    pub workflow: Workflow,
    /// What it is run on.
    pub target: TargetKey,
    /// The target as the caller wrote it.
    pub target_as_given: String,
    /// Parameters as the caller gave them, without [`TARGET_PARAMETER`]; sensitive ones sealed.
    pub parameters: BTreeMap<String, Parameter>,
    /// Names that the workflow declares; `None` passes every parameter on.
    pub declared: Option<BTreeSet<String>>,
    /// Service account of the run; `None` is Tekton's default.
    pub service_account: Option<String>,
    /// Secrets given as workspaces.
    pub secrets: Vec<String>,
    /// ConfigMaps given as workspaces.
    pub config_maps: Vec<String>,
    /// Ties executions of one incident together.
    pub correlation_id: Option<CorrelationId>,
    /// When the execution must be over.
    pub deadline: Option<Timestamp>,
    /// What to do when the target is locked.
    pub when_locked: WhenLocked,
    /// What to do when the target cools down or backs off.
    #[serde(default)]
    pub when_cooling: WhenCooling,
    /// What to do when the target is blocked.
    #[serde(default)]
    pub when_blocked: WhenBlocked,
    /// Which catalogue entry it is.
    pub identity: WorkflowIdentity,
    /// The Kubernetes object that asked.
    pub source: Option<Source>,
}

impl StartRequest {
    /// A request that gives what must be given and nothing else, and is refused where it would have to wait.
    pub fn new(
        request_id: RequestId,
        workflow: impl Into<Workflow>,
        target: TargetKey,
        target_as_given: impl Into<String>,
    ) -> Self {
        Self {
            request_id,
            workflow: workflow.into(),
            target,
            target_as_given: target_as_given.into(),
            parameters: BTreeMap::new(),
            declared: None,
            service_account: None,
            secrets: Vec::new(),
            config_maps: Vec::new(),
            correlation_id: None,
            deadline: None,
            when_locked: WhenLocked::Reject,
            when_cooling: WhenCooling::Reject,
            when_blocked: WhenBlocked::Reject,
            identity: WorkflowIdentity::default(),
            source: None,
        }
    }
}

/// What to do when another execution holds the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenLocked {
    /// Refuse and name the holder.
    Reject,
    /// Queue in order of acceptance.
    Wait,
    /// Answer with the holder.
    Attach,
}

/// What to do when the target cools down or backs off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenCooling {
    /// Refuse, and say how long it lasts.
    #[default]
    Reject,
    /// Queue until it is over.
    Wait,
}

/// What to do when the target is blocked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenBlocked {
    /// Refuse, and name the execution that blocks.
    #[default]
    Reject,
    /// Queue until a person clears the block.
    Wait,
}

/// Which entry of a workflow catalogue is run; for the record, and to tell a workflow again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkflowIdentity {
    /// Id in the catalogue.
    pub id: String,
    /// Name in the catalogue.
    pub name: String,
    /// Version in the catalogue.
    pub version: String,
}

/// The Kubernetes object on whose account a request is made; for the record only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Namespace of the object.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
    /// UID of the object.
    pub uid: String,
}

impl StartRequest {
    /// By what the workflow is told again: the id in the catalogue, else the bundle, of whatever version,
    /// or the steps.
    pub fn workflow_key(&self) -> WorkflowKey {
        match self.identity.id.as_str() {
            "" => self.workflow.key(),
            id => WorkflowKey::catalogued(id),
        }
    }

    /// The parameters that reach the run, without [`TARGET_PARAMETER`].
    pub fn effective_parameters(&self) -> impl Iterator<Item = (&str, &Parameter)> {
        self.parameters
            .iter()
            .filter(|(name, _)| self.declared.as_ref().is_none_or(|names| names.contains(*name)))
            .map(|(name, value)| (name.as_str(), value))
    }

    /// The first field, in the names of the contract, in which a repeated request differs from the
    /// accepted one. `None` when they are the same request. Of sensitive values the digests are compared.
    pub fn first_difference(
        &self,
        accepted: &Self,
        digests: &dyn DigestValues,
    ) -> Option<&'static str> {
        // Destructured in full, so that a new field cannot be forgotten.
        let Self {
            request_id,
            workflow,
            target,
            target_as_given: _,
            parameters,
            declared,
            service_account,
            secrets,
            config_maps,
            correlation_id,
            deadline,
            when_locked,
            when_cooling,
            when_blocked,
            identity,
            source,
        } = self;
        let differs = [
            ("request_id", *request_id != accepted.request_id),
            (workflow.field(), *workflow != accepted.workflow),
            ("target", target.target != accepted.target.target),
            ("cluster_id", target.cluster != accepted.target.cluster),
            ("parameters", !are_same(parameters, &accepted.parameters, digests)),
            ("declared_parameters", *declared != accepted.declared),
            ("service_account", *service_account != accepted.service_account),
            ("secrets", *secrets != accepted.secrets),
            ("config_maps", *config_maps != accepted.config_maps),
            ("correlation_id", *correlation_id != accepted.correlation_id),
            ("deadline", *deadline != accepted.deadline),
            ("when_locked", *when_locked != accepted.when_locked),
            ("when_cooling", *when_cooling != accepted.when_cooling),
            ("when_blocked", *when_blocked != accepted.when_blocked),
            ("workflow_identity", *identity != accepted.identity),
            ("source", *source != accepted.source),
        ];
        differs.into_iter().find_map(|(field, differs)| differs.then_some(field))
    }
}

/// Checks parameters, and takes [`TARGET_PARAMETER`] out when it says what `target_as_given` says.
pub fn check_parameters(
    mut parameters: BTreeMap<String, String>,
    target_as_given: &str,
) -> Result<BTreeMap<String, String>, Violations> {
    let mut wrong = Violations(Vec::new());
    if let Some(value) = parameters.remove(TARGET_PARAMETER)
        && value != target_as_given
    {
        let rule = "is set by the service from `target`: leave it out";
        wrong.0.push(violation(TARGET_PARAMETER, rule));
    }
    if parameters.len() > MAX_PARAMETERS {
        wrong.0.push(Invalid::new("must have at most 256 entries").at("parameters"));
    }
    let mut total = 0;
    let mut seen = BTreeMap::new();
    for (name, value) in &parameters {
        total += name.len() + value.len();
        if !is_parameter_name(name) {
            let rule =
                "a name has 1 to 253 characters of A-Z a-z 0-9 . _ - and starts with a letter or _";
            wrong.0.push(violation(name, rule));
        }
        if value.len() > MAX_PARAMETER_BYTES {
            wrong.0.push(violation(name, "a value has at most 32 KiB"));
        }
        if value.contains('\0') {
            wrong.0.push(violation(name, "a value must not hold a NUL character"));
        }
        // Tekton compares the names of a run's parameters without case.
        if let Some(twin) = seen.insert(name.to_ascii_lowercase(), name) {
            wrong.0.push(violation(name, &format!("differs from {twin} by case only")));
        }
    }
    if total > MAX_PARAMETERS_BYTES {
        wrong.0.push(Invalid::new("must have at most 256 KiB in all").at("parameters"));
    }
    wrong.into_result(parameters)
}

/// Checks the names that a caller marks as sensitive: each must be that of a parameter.
pub fn check_sensitive(
    marked: Vec<String>,
    parameters: &BTreeMap<String, String>,
) -> Result<BTreeSet<String>, Violations> {
    let mut wrong = Violations(Vec::new());
    for (index, name) in marked.iter().enumerate().take(MAX_PARAMETERS + 1) {
        let rule = if index == MAX_PARAMETERS {
            "must have at most 256 entries"
        } else if name == TARGET_PARAMETER {
            "is the target, which everybody may see: leave it out"
        } else if !parameters.contains_key(name) {
            "must be the name of a parameter of this request"
        } else {
            continue;
        };
        wrong.0.push(Invalid::new(rule).at(format!("sensitive_parameters[{index}]")));
    }
    wrong.into_result(marked.into_iter().collect())
}

fn violation(name: &str, rule: &str) -> Violation {
    let shown: String = name.chars().take(64).collect();
    Invalid::new(rule).at(format!("parameters[{shown:?}]"))
}

fn is_parameter_name(name: &str) -> bool {
    let first = |c: char| c.is_ascii_alphabetic() || c == '_';
    let rest = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    name.len() <= 253 && name.starts_with(first) && name.chars().all(rest)
}

#[cfg(test)]
mod tests;
