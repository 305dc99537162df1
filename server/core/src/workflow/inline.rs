//! A workflow of steps that are given in the request.
//!
//! Steps are checked here, and ordered so that no more run at once than wished; what becomes of them in
//! the cluster is made elsewhere.

use std::{collections::BTreeMap, time::Duration};

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use self::graph::Graph;
use super::WorkflowKey;

mod check;
mod graph;
mod lanes;
mod references;

pub use check::is_variable_name;
pub use references::Given;

/// At most this many steps.
pub const MAX_STEPS: usize = 100;
/// At most this many steps at once.
pub const MAX_PARALLEL: u32 = 100;
/// As many steps at once when the request does not say.
const DEFAULT_PARALLEL: u32 = 5;
/// At most this many further attempts of a step.
pub const MAX_RETRIES: u32 = 10;
/// The longest time that one attempt of a step may be given: a week.
pub const MAX_TIMEOUT: Duration = Duration::from_hours(7 * 24);
/// At most this many bytes in a script. It reaches its container as one argument in base64, and Linux
/// takes no argument of more than 128 KiB.
pub const MAX_SCRIPT_BYTES: usize = 64 * 1024;
/// At most this many bytes in the whole definition, as it is kept. The API server keeps it twice in an
/// object of at most 1.5 MiB.
pub const MAX_DEFINITION_BYTES: usize = 256 * 1024;

/// Steps, checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InlineWorkflow {
    steps: Vec<InlineStep>,
    max_parallel: u32,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InlineStep {
    /// Its name, a DNS label.
    pub name: String,
    /// Its container image.
    pub image: String,
    /// What it does.
    #[serde(flatten)]
    pub action: Action,
    /// Its own environment variables.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, String>,
    /// Names of the steps that must have succeeded before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<String>,
    /// How long one attempt may take, in milliseconds; `None` is as long as the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// How many times it is tried again after a failure.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retries: u32,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// A command and its arguments.
    Command(Vec<String>),
    /// A script, run by its shebang line.
    Script(String),
}

/// A step as a caller wrote it, unchecked. What is empty was not given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StepDraft {
    /// See [`InlineStep::name`].
    pub name: String,
    /// See [`InlineStep::image`].
    pub image: String,
    /// See [`Action::Command`].
    pub command: Vec<String>,
    /// See [`Action::Script`].
    pub script: String,
    /// See [`InlineStep::env`].
    pub env: BTreeMap<String, String>,
    /// See [`InlineStep::depends_on`].
    pub depends_on: Vec<String>,
    /// See [`InlineStep::timeout_ms`].
    pub timeout: Option<SignedDuration>,
    /// See [`InlineStep::retries`].
    pub retries: i32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference over")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl InlineStep {
    /// How long one attempt may take.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout_ms.map(Duration::from_millis)
    }
}

impl InlineWorkflow {
    /// The steps, in the order of the request.
    pub fn steps(&self) -> &[InlineStep] {
        &self.steps
    }

    /// How many run at once, at most.
    pub const fn max_parallel(&self) -> u32 {
        self.max_parallel
    }

    /// The definition as it is kept, shown and digested.
    pub fn definition(&self) -> String {
        // Nothing in it can fail to be written: names are texts, numbers are whole.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// `sha256:` and the digest of the definition in hex.
    pub fn digest(&self) -> String {
        format!("sha256:{}", self.hex())
    }

    /// By what it is told again: the beginning of its digest. Another definition is another workflow.
    pub fn key(&self) -> WorkflowKey {
        let hex = self.hex();
        WorkflowKey(format!("inline#{}", hex.get(..16).unwrap_or(&hex)))
    }

    fn hex(&self) -> String {
        hex::encode(Sha256::digest(self.definition()))
    }

    /// After which steps each step runs, in the order of the steps: what it depends on, and where else
    /// more could run at once than wished, one more.
    pub fn run_after(&self) -> Vec<Vec<&str>> {
        let graph = Graph::of(&self.steps);
        let lanes = lanes::lanes(&graph, self.max_parallel as usize);
        self.steps
            .iter()
            .enumerate()
            .map(|(index, step)| {
                let own = step.depends_on.iter().map(String::as_str);
                let lane = lanes.get(index).copied().flatten();
                let before = lane.and_then(|before| self.steps.get(before));
                own.chain(before.map(|step| step.name.as_str())).collect()
            })
            .collect()
    }
}

#[cfg(test)]
mod tests;
