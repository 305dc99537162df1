//! `cargo xtask e2e`: the cluster tests, on a control plane that is taken down whatever happens.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};

use anyhow::{Context, Result};
use clap::Args as ClapArgs;
use nix::sys::signal::Signal;
use tokio::process::Command;

use crate::cargo;
use crate::child::Group;
use crate::control_plane::{self, BIN, Outcome, Up, read_env};
use crate::interrupt::Interrupts;

/// What to test, and on what.
#[derive(ClapArgs)]
pub(crate) struct Args {
    /// The control plane's directory; one that runs there is used and left running [default: a temporary one]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Leave the control plane running
    #[arg(long)]
    keep: bool,
    /// How many tests run at once; they wait more than they compute
    #[arg(long, default_value_t = 4)]
    test_threads: usize,
    /// Arguments for the tests: a filter, --nocapture, …
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// Runs the tests; their exit code is the answer.
pub(crate) async fn run(args: Args) -> Result<ExitCode> {
    let mut interrupts = Interrupts::catch()?;
    let Some(dir) = &args.dir else {
        let temporary = tempfile::Builder::new().prefix("wfe-control-plane-").tempdir()?;
        let tested = up_test_down(temporary.path(), &args, &mut interrupts).await;
        if args.keep || !matches!(&tested, Ok(status) if status.success()) {
            say!("the control plane's directory, with its logs: {}", temporary.keep().display());
        }
        return Ok(exit_code(tested?));
    };
    let dir = std::path::absolute(dir)?;
    Ok(exit_code(up_test_down(&dir, &args, &mut interrupts).await?))
}

async fn up_test_down(dir: &Path, args: &Args, interrupts: &mut Interrupts) -> Result<ExitStatus> {
    let outcome = control_plane::up(&Up::in_directory(dir.to_owned()), interrupts).await?;
    let tested = test(dir, args, interrupts).await;
    if args.keep {
        say!("the control plane runs on");
    } else if outcome == Outcome::Started {
        control_plane::down(dir).await?;
    }
    tested
}

fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}

async fn test(dir: &Path, args: &Args, interrupts: &mut Interrupts) -> Result<ExitStatus> {
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths([dir.join(BIN)].into_iter().chain(env::split_paths(&path)))?;
    // The tests run the server and the command-line tool as processes of their own, so everything is
    // built first; always the whole workspace, for then `cargo test --workspace` has built most of it.
    let cargo = |run: &[&str]| {
        let mut cargo = cargo::command();
        cargo.args(["test", "--workspace", "--features", "wfe-tests/e2e"]).args(run);
        cargo
    };
    let built = to_the_end(&mut cargo(&["--no-run"]), interrupts).await?;
    if !built.success() {
        return Ok(built);
    }
    let mut test =
        cargo(&["--test", "control_plane", "--test", "engine", "--test", "service", "--"]);
    test.arg(format!("--test-threads={}", args.test_threads))
        .args(&args.arguments)
        .env("PATH", path)
        .envs(read_env(dir)?);
    to_the_end(&mut test, interrupts).await
}

async fn to_the_end(command: &mut Command, interrupts: &mut Interrupts) -> Result<ExitStatus> {
    let mut child = Group::spawn(command)?;
    tokio::select! {
        status = child.wait() => status.context("cargo"),
        interrupted = interrupts.next() => {
            child.signal(Signal::SIGKILL);
            child.wait().await?;
            Err(interrupted.into())
        }
    }
}
