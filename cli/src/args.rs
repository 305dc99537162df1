//! The command line: its words, its help, and nothing that acts.

mod audit;
mod cancel;
mod start;
mod values;

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use self::{
    audit::{AuditArgs, AuditCommand, EvidenceArgs, ExportArgs, KeygenArgs, TrustArgs, VerifyArgs},
    cancel::{CancelArgs, CancelKey, CancelModeArg},
    start::{StartArgs, WhenBlockedArg, WhenCoolingArg, WhenLockedArg},
    values::{Deadline, Moment, Parameter, Secret, Span},
};
use crate::client::ServerAddress;

/// Runs remediation workflows, one at a time per target, and follows them to their end.
#[derive(Debug, Parser)]
#[command(
    name = "wfe",
    version,
    max_term_width = 100,
    after_help = exit_codes(),
    after_long_help = format!("{MAIN_EXAMPLES}\n{}", exit_codes()),
)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const MAIN_EXAMPLES: &str = "\
Begin here:
  wfe demo
  wfe dev

With a server running:
  wfe start --bundle registry.example/demo/succeeds:v1 --target default/deployment/api --wait
  wfe list --state running
  wfe target default/deployment/api
";

fn exit_codes() -> String {
    let mut text = "Exit codes:\n".to_owned();
    for exit in crate::Exit::ALL {
        text = format!("{text}  {:>3}  {}\n", exit.code(), exit.meaning());
    }
    text
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Where the server listens
    #[arg(long, global = true, env = "WFE_SERVER", default_value = ServerAddress::DEFAULT, value_name = "http[s]://HOST:PORT")]
    pub server: ServerAddress,

    /// What is shown to the server, and what the server is known by.
    #[command(flatten)]
    pub access: AccessArgs,

    /// How answers and errors are printed: `text` for people; `json` for programs, one document per
    /// answer in the proto3 JSON mapping, errors as JSON on stderr
    #[arg(short, long, global = true, value_enum, default_value_t = Output::Text)]
    pub output: Output,

    /// How long one call may take
    #[arg(long, global = true, default_value = "10s", value_name = "DURATION")]
    pub timeout: Span,
}

/// What is shown to the server, and what the server is known by.
#[derive(Debug, Clone, Default, Args)]
pub struct AccessArgs {
    /// PEM file with the authorities of the server, for https://
    #[arg(long, global = true, env = "WFE_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,

    /// Token that says who calls, for example of `kubectl create token ACCOUNT --audience wfe`; better
    /// in the environment or in a file, for others see the arguments of a process
    #[arg(
        long,
        global = true,
        env = "WFE_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN",
        conflicts_with = "token_file"
    )]
    pub token: Option<Secret>,

    /// File with the token, read again for each call
    #[arg(long, global = true, env = "WFE_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

/// How answers are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve in this process, with a simulated Tekton and no cluster
    Dev(DevArgs),
    /// Show in a few seconds what the service does, in one process and a temporary directory
    Demo(DemoArgs),
    /// Ask for an execution of a workflow on a target
    Start(Box<StartArgs>),
    /// Show one execution
    Get(GetArgs),
    /// List executions, the newest first
    List(ListArgs),
    /// Follow an execution to its end
    Watch(WatchArgs),
    /// Ask an execution to stop, or make sure that nothing of a request runs
    Cancel(CancelArgs),
    /// Open the block of a target after somebody looked at the failure; who and why are kept
    ClearBlock(ClearBlockArgs),
    /// Tell why something waits on a target: its holder, its queue, its gates
    Target(TargetArgs),
    /// List the history of an execution, the oldest event first
    Events(EventsArgs),
    /// Prove what is on record: export the log, make keys, verify exports, put evidence together
    Audit(AuditArgs),
}

/// Arguments of `wfe dev`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wfe dev
  wfe dev --dir /tmp/wfe --grpc-addr 127.0.0.1:6000
  wfe dev --kubeconfig ~/.kube/config

With --kubeconfig workflows run by Tekton in that cluster, and WorkflowExecutions in it are served:
a bridge runs beside the server. What both need is applied first: the definition of
WorkflowExecution and the namespace of the runs.

Without it, the last part of a bundle's repository chooses how a simulated run ends:
  succeeds, three-tasks-in-order, step-exits-1, oom-killed, image-cannot-be-pulled, never-ends,
  missing; for example registry.example/demo/step-exits-1:v1

After a success a target rests for 10 seconds instead of 5 minutes. After a step that failed it is
blocked until `wfe clear-block`.

The log on stderr is chosen by RUST_LOG, for example RUST_LOG=debug. Ctrl-C ends it in order.
What was stored stays in the directory and is found again at the next start.")]
pub struct DevArgs {
    /// Where gRPC is served
    #[arg(long, default_value = "127.0.0.1:50051", value_name = "HOST:PORT")]
    pub grpc_addr: SocketAddr,
    /// Where /health and /ready are served
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "HOST:PORT")]
    pub health_addr: SocketAddr,
    /// Where /metrics is served
    #[arg(long, default_value = "127.0.0.1:9090", value_name = "HOST:PORT")]
    pub metrics_addr: SocketAddr,
    /// Directory of the database; made when it is missing
    #[arg(long, default_value = ".wfe", value_name = "DIRECTORY")]
    pub dir: PathBuf,
    /// Run workflows by Tekton in this cluster, and serve its WorkflowExecutions
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Namespace of the runs in the cluster; made when it is missing
    #[arg(long, default_value = "kubernaut-workflows", requires = "kubeconfig")]
    pub namespace: String,
    /// Where /health and /ready of the bridge are served
    #[arg(
        long,
        default_value = "127.0.0.1:8081",
        value_name = "HOST:PORT",
        requires = "kubeconfig"
    )]
    pub bridge_health_addr: SocketAddr,
    /// Where /metrics of the bridge is served
    #[arg(
        long,
        default_value = "127.0.0.1:9091",
        value_name = "HOST:PORT",
        requires = "kubeconfig"
    )]
    pub bridge_metrics_addr: SocketAddr,
}

/// Arguments of `wfe demo`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wfe demo
  wfe demo --fast

Ends with 0 when everything went as the text says, and with 1 and a sentence when not.")]
pub struct DemoArgs {
    /// Run the simulated tasks as fast as possible, instead of at a pace that can be read
    #[arg(long)]
    pub fast: bool,
}

/// Arguments of `wfe get`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wfe get 0198c0de-7a3c-7bb0-9c11-000000000001
  wfe get --request-id nightly-restart-2026-11-21
  wfe get 0198c0de-7a3c-7bb0-9c11-000000000001 -o json")]
#[group(required = true, multiple = false)]
pub struct GetArgs {
    /// Id of the execution
    #[arg(value_name = "ID")]
    pub id: Option<String>,
    /// Instead of the id: the request that started it, or that attached to it
    #[arg(long, value_name = "ID")]
    pub request_id: Option<String>,
}

/// Arguments of `wfe list`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wfe list
  wfe list --state waiting --state running
  wfe list --target default/deployment/api --limit 5
  wfe list --correlation-id rr-2026-0042 -o json

Filters are combined with and. When there are more, the command for the next page is on stderr.")]
pub struct ListArgs {
    /// Only those in this state; may be repeated
    #[arg(long, value_enum, value_name = "STATE")]
    pub state: Vec<StateArg>,
    /// Only those of this target, `kind/name` or `namespace/kind/name`
    #[arg(long)]
    pub target: Option<String>,
    /// The cluster of the target; the local one when absent
    #[arg(long, requires = "target")]
    pub cluster: Option<String>,
    /// Only those with this correlation id
    #[arg(long, value_name = "ID")]
    pub correlation_id: Option<String>,
    /// At most this many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(i32).range(1..=500))]
    pub limit: i32,
    /// Where the page before ended; the other options must be as they were then
    #[arg(long, value_name = "TOKEN")]
    pub page_token: Option<String>,
}

/// A state, as it is written on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[expect(missing_docs, reason = "documented in the contract")]
pub enum StateArg {
    Waiting,
    Starting,
    Running,
    Cancelling,
    Succeeded,
    Failed,
    Cancelled,
}

/// Arguments of `wfe watch`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wfe watch 0198c0de-7a3c-7bb0-9c11-000000000001
  wfe watch 0198c0de-7a3c-7bb0-9c11-000000000001 --after 0
  wfe watch 0198c0de-7a3c-7bb0-9c11-000000000001 -o json
  wfe watch --target default/deployment/api
  wfe watch --correlation-id rr-2026-0042
  wfe watch --all

A terminal shows the tasks and steps live. Otherwise, and with --after, each event is one line:
time, revision, state, message. A lost connection is taken up again after the last revision, so that
no revision is missed or printed twice. The exit code tells how the execution ended.

With --target, --correlation-id and --all the lines are about more than one execution, so each
begins with the end of its id and its target; what was refused is told too. Such a watch has no
end, and is taken up again after the last entry of the log.")]
pub struct WatchArgs {
    /// Id of the execution
    #[arg(value_name = "ID", required_unless_present_any = ["target", "correlation_id", "all"])]
    pub id: Option<String>,
    /// All of this target, `kind/name` or `namespace/kind/name`, and what is decided about it
    #[arg(long, conflicts_with_all = ["id", "correlation_id", "all"])]
    pub target: Option<String>,
    /// The cluster of the target; the local one when absent
    #[arg(long, requires = "target", conflicts_with_all = ["id", "correlation_id", "all"])]
    pub cluster: Option<String>,
    /// All with this correlation id
    #[arg(long, value_name = "ID", conflicts_with_all = ["id", "all"])]
    pub correlation_id: Option<String>,
    /// All that you may see
    #[arg(long, conflicts_with = "id")]
    pub all: bool,
    /// Begin after this revision, or entry of the log, instead of with the state of now; 0 is the whole
    /// history
    #[arg(long, value_name = "REVISION", value_parser = clap::value_parser!(i64).range(0..))]
    pub after: Option<i64>,
    /// How a lost connection is treated.
    #[command(flatten)]
    pub retry: RetryArgs,
}

/// How a lost connection is treated.
#[derive(Debug, Clone, Copy, Args)]
pub struct RetryArgs {
    /// How long to try to reach the server again after the connection was lost
    #[arg(long, default_value = "5m", value_name = "DURATION")]
    pub retry_for: Span,
}

/// Arguments of `wfe clear-block`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wfe clear-block default/deployment/api --reason \"rolled back by hand, 3 of 3 pods ready\"
  wfe clear-block node/worker-1 --reason \"the image is in the registry now\" --ticket OPS-4711
  wfe clear-block node/worker-1 --execution ID --reason \"it had changed nothing yet\"

`wfe target` names the execution that blocks, and prints this command with --execution: when another
one has failed since you looked, nothing is cleared. The failed execution stays FAILED, with the
clearance attached. Who waits first starts at once. Every attempt is kept with your name.

A cooldown and a backoff are no blocks: they end by themselves.")]
pub struct ClearBlockArgs {
    /// `kind/name` or `namespace/kind/name`
    #[arg(value_name = "TARGET")]
    pub target: String,
    /// The cluster of the target; the local one when absent
    #[arg(long)]
    pub cluster: Option<String>,
    /// Why it is safe to go on, in at least 10 characters that are not space; kept on record
    #[arg(long)]
    pub reason: String,
    /// Reference of a ticket; kept on record
    #[arg(long)]
    pub ticket: Option<String>,
    /// Id of the failed execution that was looked at; clear nothing when another one blocks
    #[arg(long, value_name = "ID")]
    pub execution: Option<String>,
}

/// Arguments of `wfe target`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wfe target default/deployment/api
  wfe target node/worker-1 --cluster prod-eu-1")]
pub struct TargetArgs {
    /// `kind/name` or `namespace/kind/name`
    #[arg(value_name = "TARGET")]
    pub target: String,
    /// The cluster of the target; the local one when absent
    #[arg(long)]
    pub cluster: Option<String>,
}

/// Arguments of `wfe events`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wfe events 0198c0de-7a3c-7bb0-9c11-000000000001
  wfe events 0198c0de-7a3c-7bb0-9c11-000000000001 -o json

Prints the whole history and ends; `wfe watch --after 0` prints it and goes on.")]
pub struct EventsArgs {
    /// Id of the execution
    #[arg(value_name = "ID")]
    pub id: String,
}

#[cfg(test)]
mod tests;
