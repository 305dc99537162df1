//! `cargo xtask e2e`: the cluster tests, on a control plane that is taken down whatever happens.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};

use anyhow::{Context, Result};
use clap::Args as ClapArgs;
use nix::sys::signal::Signal;

use crate::child::{Group, cargo};
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
    let temporary = tempfile::Builder::new()
        .prefix("wfe-control-plane-")
        .tempdir()?;
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
        say!("the control plane runs on in {}", dir.display());
    } else {
        if outcome == Outcome::Started {
            control_plane::down(&dir).await?;
        }
        if args.dir.is_none() && !matches!(&tested, Ok(status) if status.success()) {
            say!(
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
    let mut cargo = cargo();
    cargo
        .args(["test", "--package", "wfe-tests", "--features", "e2e", "--"])
        .arg(format!("--test-threads={}", args.test_threads))
        .args(&args.arguments)
        .env("PATH", path)
        .envs(read_env(dir)?);
    let mut cargo = Group::spawn(&mut cargo)?;
    tokio::select! {
        status = cargo.wait() => status.context("cargo test"),
        interrupted = interrupts.next() => {
            cargo.signal(Signal::SIGKILL);
            cargo.wait().await?;
            Err(interrupted.into())
        }
    }
}
