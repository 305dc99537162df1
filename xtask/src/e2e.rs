//! `cargo xtask e2e`: the cluster tests, on a control plane that is taken down whatever happens.

use std::path::Path;
use std::process::{ExitCode, ExitStatus};

use anyhow::Result;
use clap::Args as ClapArgs;

use crate::cargo;
use crate::interrupt::Interrupts;
use crate::lend::{Lend, environment, to_the_end};

/// The cluster tests.
const TESTS: [&str; 9] = [
    "access",
    "bridge",
    "clearance",
    "control_plane",
    "crd",
    "deploy",
    "engine",
    "failures",
    "service",
];

/// What to test, and on what.
#[derive(ClapArgs)]
pub(crate) struct Args {
    #[command(flatten)]
    control_plane: Lend,
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
    let tests = async |dir: &Path, interrupts: &mut Interrupts| test(dir, &args, interrupts).await;
    args.control_plane.to(&mut interrupts, tests).await
}

async fn test(dir: &Path, args: &Args, interrupts: &mut Interrupts) -> Result<ExitStatus> {
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
    let tests = TESTS.map(|name| ["--test", name]);
    let mut test = cargo(tests.as_flattened());
    test.arg("--");
    test.arg(format!("--test-threads={}", args.test_threads))
        .args(&args.arguments)
        .envs(environment(dir)?);
    to_the_end(&mut test, interrupts).await
}
