//! Workflows: what is run.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Serialize};

mod bundle;
mod inline;
mod reference;

pub use bundle::{BundleWorkflow, DEFAULT_PIPELINE};
pub use inline::{
    Action, Given, InlineStep, InlineWorkflow, MAX_DEFINITION_BYTES, MAX_PARALLEL, MAX_RETRIES,
    MAX_SCRIPT_BYTES, MAX_STEPS, MAX_TIMEOUT, StepDraft, is_variable_name,
};

/// What is run. Kept without a tag: what was stored when there were only bundles stays readable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Workflow {
    /// A Tekton pipeline in an OCI bundle.
    Bundle(BundleWorkflow),
    /// Steps given in the request.
    Inline(InlineWorkflow),
}

/// Tells whether two requests are for the same workflow.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WorkflowKey(String);

impl WorkflowKey {
    /// The workflow of a catalogue.
    pub fn catalogued(id: &str) -> Self {
        Self(id.to_owned())
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WorkflowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Workflow {
    /// The field of the contract that carries it.
    pub const fn field(&self) -> &'static str {
        match self {
            Self::Bundle(_) => "bundle",
            Self::Inline(_) => "inline",
        }
    }

    /// By what the workflow is told again.
    pub fn key(&self) -> WorkflowKey {
        match self {
            Self::Bundle(bundle) => bundle.key(),
            Self::Inline(inline) => inline.key(),
        }
    }

    /// What names it on record: the reference of a bundle; of steps their key.
    pub fn reference(&self) -> Cow<'_, str> {
        match self {
            Self::Bundle(bundle) => Cow::Borrowed(bundle.reference()),
            Self::Inline(inline) => Cow::Owned(inline.key().0),
        }
    }

    /// The digest of what runs: of a bundle when it is known, of steps always.
    pub fn digest(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Bundle(bundle) => bundle.digest().map(Cow::Borrowed),
            Self::Inline(inline) => Some(Cow::Owned(inline.digest())),
        }
    }

    /// The pipeline in the bundle; steps have none.
    pub fn pipeline(&self) -> &str {
        match self {
            Self::Bundle(bundle) => bundle.pipeline(),
            Self::Inline(_) => "",
        }
    }

    /// The steps, when they were given in the request.
    pub const fn inline(&self) -> Option<&InlineWorkflow> {
        match self {
            Self::Bundle(_) => None,
            Self::Inline(inline) => Some(inline),
        }
    }
}

impl From<BundleWorkflow> for Workflow {
    fn from(bundle: BundleWorkflow) -> Self {
        Self::Bundle(bundle)
    }
}

impl From<InlineWorkflow> for Workflow {
    fn from(inline: InlineWorkflow) -> Self {
        Self::Inline(inline)
    }
}

#[cfg(test)]
mod tests;
