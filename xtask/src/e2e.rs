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
    let temporary = tempfile::Builder::new().prefix("wfe-control-plane-").tempdir()?;
    let dir = match &args.dir {
        Some(dir) => std::path::absolute(dir)?,
        None => temporary.path().to_owned(),
    };
    let outcome = match control_plane::up(&Up::in_directory(dir.clone()), &mut interrupts).await {
        Ok(outcome) => outcome,
        Err(error) => {
            let _logs = temporary.keep();
            return Err(error);
        }
    };
    let tested = test(&dir, &args, &mut interrupts).await;
    if args.keep {
        let _running = temporary.keep();
        println!("the control plane runs on in {}", dir.display());
    } else {
        if outcome == Outcome::Started {
            control_plane::down(&dir).await?;
        }
        if args.dir.is_none() && !matches!(&tested, Ok(status) if status.success()) {
            println!(
                "the logs of the control plane are in {}",
                temporary.keep().join("logs").display()
            );
        }
    }
    let code = tested?.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
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
