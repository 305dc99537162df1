//! Arguments of `wfe cancel`.

use clap::{Args, ValueEnum};

use super::Span;

/// Arguments of `wfe cancel`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  wfe cancel 0198c0de-7a3c-7bb0-9c11-000000000001 --reason \"started by mistake\"
  wfe cancel 0198c0de-7a3c-7bb0-9c11-000000000001 --reason late --mode run-finally
  wfe cancel --request-id nightly-restart-2026-11-21 --reason \"not needed any more\"

Answers at once. The execution is CANCELLING until nothing of its run is alive; `wfe watch` shows
the end. An execution that has ended stays as it is, which is not an error.

run-finally stops the tasks that run and then runs the finally tasks; stop-and-finally lets
the tasks that run end first. What takes longer than --escalate-after is stopped at once. A
second cancel counts when its mode is stronger (stop-and-finally, run-finally, immediate).
The execution ends as its run really did: FAILED when a task failed meanwhile.

A request for which nothing was started is withdrawn for ever: a start with its id that comes later
is refused.")]
pub struct CancelArgs {
    /// What is cancelled.
    #[command(flatten)]
    pub which: CancelKey,
    /// Why; kept on record
    #[arg(long)]
    pub reason: String,
    /// How the run is stopped
    #[arg(long, value_enum, default_value_t = CancelModeArg::Immediate)]
    pub mode: CancelModeArg,
    /// How long the tasks that still run and the finally tasks are given before everything is stopped at
    /// once, at most 24h; not with immediate [default: as the server is set]
    #[arg(long, value_name = "TIME")]
    pub escalate_after: Option<Span>,
}

/// What is cancelled: an execution, or a request.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct CancelKey {
    /// Id of the execution
    #[arg(value_name = "ID")]
    pub id: Option<String>,
    /// Instead of the id: the request, whether or not its start arrived
    #[arg(long, value_name = "ID")]
    pub request_id: Option<String>,
}

/// How a run is stopped, as it is written on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CancelModeArg {
    /// Stop what runs; no finally tasks
    Immediate,
    /// Stop what runs, then run the finally tasks
    RunFinally,
    /// Let running tasks end, start no others, then run the finally tasks
    StopAndFinally,
}
