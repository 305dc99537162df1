//! What steps refer to: `$(params.NAME)` and `$(workspaces.NAME.path)`, which Tekton puts in.
//!
//! A reference to what is not there stays in the text as it is, and a shell would take it for a command. So
//! it is refused.

use std::collections::{BTreeMap, BTreeSet};

use super::{Action, InlineWorkflow, is_variable_name};
use crate::{
    invalid::{Invalid, Violations},
    request::TARGET_PARAMETER,
};

/// At most this many bytes of parameters and workspaces in all steps together. Each step has its own copy of
/// them in the object that the API server keeps.
const MAX_COPIES_BYTES: usize = 256 * 1024;

/// What every step of a request is given.
#[derive(Debug, Clone, Copy)]
pub struct Given<'a> {
    /// The parameters that reach the run, without the target.
    pub parameters: &'a BTreeMap<&'a str, &'a str>,
    /// The workspaces.
    pub workspaces: &'a BTreeSet<String>,
}

/// What a text wants to have put in.
#[derive(Debug, PartialEq, Eq)]
enum Reference<'a> {
    Parameter(&'a str),
    /// A parameter with dots in its name, written as if it were a part of another one.
    Dotted(&'a str),
    Workspace {
        name: &'a str,
        part: &'a str,
    },
    /// Something that Tekton has in other pipelines.
    Elsewhere(&'a str),
}

impl InlineWorkflow {
    /// Checks the steps against what they are given. Violations name the fields of an inline workflow; what
    /// is too much for so many steps is named as `parameters`, a field of the request.
    pub fn check_use(&self, given: Given<'_>) -> Violations {
        let mut wrong = Violations(Vec::new());
        for (index, step) in self.steps.iter().enumerate() {
            let mut look = |field: String, text: &str| {
                let rules: BTreeSet<String> =
                    references(text).filter_map(|reference| refuse(&reference, given)).collect();
                let field = format!("steps[{index}].{field}");
                wrong.0.extend(rules.into_iter().map(|rule| Invalid::new(rule).at(field.as_str())));
            };
            match &step.action {
                Action::Script(script) => look("script".to_owned(), script),
                Action::Command(command) => {
                    for (index, argument) in command.iter().enumerate() {
                        look(format!("command[{index}]"), argument);
                    }
                }
            }
            for (name, value) in &step.env {
                look(format!("env[{name:?}]"), value);
            }
        }
        let bytes = self.steps.len().saturating_mul(copy_bytes(given));
        if bytes > MAX_COPIES_BYTES {
            let rule = format!(
                "each of the {} steps gets all of them: in all steps together they, secrets and config \
                 maps must have at most {} KiB, and have {} KiB",
                self.steps.len(),
                MAX_COPIES_BYTES / 1024,
                bytes.div_ceil(1024),
            );
            wrong.0.push(Invalid::new(rule).at("parameters"));
        }
        wrong
    }
}

/// How much of the object goes to what one step is given.
fn copy_bytes(given: Given<'_>) -> usize {
    let variables = given.parameters.iter().filter(|(name, _)| is_variable_name(name));
    let variables: usize = variables.map(|(name, value)| name.len() + value.len()).sum();
    // A workspace is named four times.
    let workspaces: usize = given.workspaces.iter().map(|name| 4 * name.len()).sum();
    variables + workspaces
}

fn refuse(reference: &Reference<'_>, given: Given<'_>) -> Option<String> {
    match reference {
        Reference::Parameter(name)
            if *name == TARGET_PARAMETER || given.parameters.contains_key(name) =>
        {
            None
        }
        Reference::Parameter(name) => {
            Some(format!("refers to the parameter {name:?}, which does not reach the run"))
        }
        Reference::Dotted(name) => Some(format!(
            "refers to params.{name}: write $(params[\"{name}\"]) for a name with dots"
        )),
        Reference::Workspace { name, part }
            if given.workspaces.contains(*name)
                && ["path", "bound", "claim", "volume"].contains(part) =>
        {
            None
        }
        Reference::Workspace { name, .. } => Some(format!(
            "refers to the workspace {name:?}: there are secret-NAME and configmap-NAME of what the \
             request names, and of each the .path"
        )),
        Reference::Elsewhere(text) => {
            Some(format!("refers to {text}, which the steps of a request do not have"))
        }
    }
}

fn references(text: &str) -> impl Iterator<Item = Reference<'_>> {
    text.match_indices("$(").filter_map(|(start, opening)| {
        let rest = text.get(start + opening.len()..)?;
        let inner = rest.get(..rest.find(')')?)?;
        if let Some(name) = inner.strip_prefix("params.") {
            return Some(if name.contains('.') {
                Reference::Dotted(name)
            } else {
                Reference::Parameter(name)
            });
        }
        if let Some(quoted) = inner.strip_prefix("params[") {
            let name = ["\"", "'"].into_iter().find_map(|quote| {
                quoted.strip_prefix(quote)?.strip_suffix(']')?.strip_suffix(quote)
            });
            return Some(Reference::Parameter(name.unwrap_or(quoted)));
        }
        if let Some(workspace) = inner.strip_prefix("workspaces.") {
            let (name, part) = workspace.rsplit_once('.').unwrap_or((workspace, ""));
            return Some(Reference::Workspace { name, part });
        }
        let elsewhere = ["tasks.", "finally.", "results.", "results[", "steps.", "step.results."];
        elsewhere
            .iter()
            .any(|prefix| inner.starts_with(prefix))
            .then_some(Reference::Elsewhere(inner))
    })
}
