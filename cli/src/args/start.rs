//! Arguments of `wfe start`, and the request that they mean.

use std::{collections::HashMap, path::PathBuf};

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use wfe_proto::v1::{
    BundleWorkflow, DeclaredParameters, InlineWorkflow, StartRequest, WhenBlocked, WhenCooling,
    WhenLocked, start_request,
};

use super::RetryArgs;
use super::values::{Deadline, Parameter};

/// Arguments of `wfe start`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wfe start --bundle registry.example/restart:v1 --target default/deployment/api --wait
  wfe start --bundle registry.example/restart:v1 --target node/worker-1 -p GRACE=30s -p FORCE=no
  wfe start --bundle registry.example/restart:v1 --target node/worker-1 --when-locked wait
  wfe start --bundle registry.example/restart:v1 --target node/worker-1 --when-cooling wait
  wfe start --bundle registry.example/restart:v1 --target node/worker-1 --deadline 10m
  wfe start --bundle registry.example/restart:v1 --target node/worker-1 --validate-only
  wfe start --steps repair.yaml --target node/worker-1 -p GRACE=30s --wait

Answers as soon as the intent is stored; --wait then follows as `wfe watch` does. The request id is
printed on stderr. The same request with the same id never runs twice: when the answer is lost,
repeat the command with --request-id.")]
pub struct StartArgs {
    /// The workflow: OCI reference of a Tekton bundle
    #[arg(long, value_name = "REFERENCE", required_unless_present = "steps")]
    pub bundle: Option<String>,
    /// The workflow: a YAML or JSON file with its steps; - is standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["bundle", "digest", "pipeline"])]
    pub steps: Option<PathBuf>,
    /// Run exactly this content, `sha256:...`
    #[arg(long)]
    pub digest: Option<String>,
    /// Name of the pipeline in the bundle; `workflow` when absent
    #[arg(long, value_name = "NAME")]
    pub pipeline: Option<String>,
    /// What is remediated, `kind/name` or `namespace/kind/name`
    #[arg(long)]
    pub target: String,
    /// The cluster of the target; the local one when absent
    #[arg(long)]
    pub cluster: Option<String>,
    /// A parameter of the workflow; may be repeated
    #[arg(short, long = "parameter", value_name = "NAME=VALUE")]
    pub parameters: Vec<Parameter>,
    /// A YAML or JSON file with a mapping of parameter names to strings; -p goes before it
    #[arg(long, value_name = "FILE")]
    pub parameters_file: Option<PathBuf>,
    /// Name of a parameter whose value nobody may read; may be repeated
    #[arg(long = "sensitive", value_name = "NAME")]
    pub sensitive: Vec<String>,
    /// Pass on only the parameters with these names, and drop the others
    #[arg(long, value_name = "NAMES", value_delimiter = ',', conflicts_with = "declare_none")]
    pub declared: Option<Vec<String>>,
    /// Drop every parameter: the workflow declares none
    #[arg(long)]
    pub declare_none: bool,
    /// Kubernetes service account of the run; Tekton's default when absent
    #[arg(long, value_name = "NAME")]
    pub service_account: Option<String>,
    /// A secret given to the run as workspace secret-NAME; may be repeated
    #[arg(long = "secret", value_name = "NAME")]
    pub secrets: Vec<String>,
    /// A config map given to the run as workspace configmap-NAME; may be repeated
    #[arg(long = "config-map", value_name = "NAME")]
    pub config_maps: Vec<String>,
    /// Ties executions of one incident together
    #[arg(long, value_name = "ID")]
    pub correlation_id: Option<String>,
    /// When it must be over: a span from now such as 10m, or a time in RFC 3339
    #[arg(long, value_name = "SPAN|TIME")]
    pub deadline: Option<Deadline>,
    /// What to do when another execution holds the target
    #[arg(long, value_enum, default_value_t = WhenLockedArg::Reject)]
    pub when_locked: WhenLockedArg,
    /// What to do while the target rests after a success or after failures
    #[arg(long, value_enum, default_value_t = WhenCoolingArg::Reject)]
    pub when_cooling: WhenCoolingArg,
    /// What to do when the target is blocked until a person clears it
    #[arg(long, value_enum, default_value_t = WhenBlockedArg::Reject)]
    pub when_blocked: WhenBlockedArg,
    /// Identifies this request, so that it can be repeated; a new one when absent
    #[arg(long, value_name = "ID")]
    pub request_id: Option<String>,
    /// Check everything, gates included, and store nothing
    #[arg(long, conflicts_with = "wait")]
    pub validate_only: bool,
    /// Follow the execution to its end; the exit code tells how it ended
    #[arg(long)]
    pub wait: bool,
    /// How a lost connection is treated.
    #[command(flatten)]
    pub retry: RetryArgs,
}

/// What a start does when the target is locked, as it is written on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WhenLockedArg {
    /// Refuse, and name the holder
    Reject,
    /// Queue, and run when all that was accepted before has ended
    Wait,
    /// Answer with the execution that holds the target, and follow that one
    Attach,
}

/// What a start does while the target rests, as it is written on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WhenCoolingArg {
    /// Refuse, and say how long it lasts
    Reject,
    /// Queue, and run when it is over
    Wait,
}

/// What a start does when the target is blocked, as it is written on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WhenBlockedArg {
    /// Refuse, and name the execution that blocks it
    Reject,
    /// Queue, and run when a person has cleared the block
    Wait,
}

impl StartArgs {
    /// The request that these arguments mean. `from_file` are the parameters of the file, `steps` those of
    /// the file of steps.
    ///
    /// The error is a sentence about the arguments. What the service checks is left to the service.
    pub(crate) fn to_request(
        &self,
        from_file: HashMap<String, String>,
        steps: Option<InlineWorkflow>,
        request_id: String,
        now: Timestamp,
    ) -> Result<StartRequest, String> {
        let bundle = || {
            start_request::Workflow::Bundle(BundleWorkflow {
                reference: self.bundle.clone().unwrap_or_default(),
                digest: self.digest.clone().unwrap_or_default(),
                pipeline: self.pipeline.clone().unwrap_or_default(),
            })
        };
        Ok(StartRequest {
            request_id,
            workflow: Some(steps.map_or_else(bundle, start_request::Workflow::Inline)),
            target: self.target.clone(),
            cluster_id: self.cluster.clone().unwrap_or_default(),
            parameters: merge(from_file, &self.parameters)?,
            declared_parameters: self.declared_parameters(),
            service_account: self.service_account.clone().unwrap_or_default(),
            secrets: self.secrets.clone(),
            config_maps: self.config_maps.clone(),
            correlation_id: self.correlation_id.clone().unwrap_or_default(),
            deadline: self.deadline(now)?,
            when_locked: when_locked(self.when_locked).into(),
            when_cooling: when_cooling(self.when_cooling).into(),
            when_blocked: when_blocked(self.when_blocked).into(),
            validate_only: self.validate_only,
            sensitive_parameters: self.sensitive.clone(),
            ..StartRequest::default()
        })
    }

    fn declared_parameters(&self) -> Option<DeclaredParameters> {
        if self.declare_none {
            return Some(DeclaredParameters::default());
        }
        let names = self.declared.clone()?;
        Some(DeclaredParameters { names })
    }

    fn deadline(&self, now: Timestamp) -> Result<Option<prost_types::Timestamp>, String> {
        let Some(deadline) = self.deadline else {
            return Ok(None);
        };
        let time = deadline.resolve(now).ok_or("--deadline is further away than a time can be")?;
        Ok(Some(crate::render::time::to_proto(time)))
    }
}

fn when_locked(arg: WhenLockedArg) -> WhenLocked {
    match arg {
        WhenLockedArg::Reject => WhenLocked::Reject,
        WhenLockedArg::Wait => WhenLocked::Wait,
        WhenLockedArg::Attach => WhenLocked::Attach,
    }
}

fn when_cooling(arg: WhenCoolingArg) -> WhenCooling {
    match arg {
        WhenCoolingArg::Reject => WhenCooling::Reject,
        WhenCoolingArg::Wait => WhenCooling::Wait,
    }
}

fn when_blocked(arg: WhenBlockedArg) -> WhenBlocked {
    match arg {
        WhenBlockedArg::Reject => WhenBlocked::Reject,
        WhenBlockedArg::Wait => WhenBlocked::Wait,
    }
}

/// What is given on the command line goes before the file; twice on the command line is a mistake.
fn merge(
    mut from_file: HashMap<String, String>,
    given: &[Parameter],
) -> Result<HashMap<String, String>, String> {
    let mut merged: HashMap<String, String> = HashMap::new();
    for Parameter { name, value } in given {
        if merged.insert(name.clone(), value.clone()).is_some() {
            return Err(format!("the parameter {name} is given twice"));
        }
        from_file.remove(name);
    }
    merged.extend(from_file);
    Ok(merged)
}
