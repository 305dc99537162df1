//! `cargo xtask bench`: the benchmark, built for speed, on a control plane that is taken down whatever happens. What is
//! measured, and how, is in the binary `bench` of the cluster tests.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};

use anyhow::{Context, Result, bail};
use clap::Args as ClapArgs;
use tokio::process::Command;

use crate::cargo;
use crate::control_plane;
use crate::interrupt::Interrupts;
use crate::lend::{Lend, environment, to_the_end};

/// The profile of what is measured.
const PROFILE: &str = "measured";

/// On what to measure, and what the page tells.
#[derive(ClapArgs)]
pub(crate) struct Args {
    #[command(flatten)]
    control_plane: Lend,
    /// The page that is written [default: docs/benchmarks.md]
    #[arg(long)]
    output: Option<PathBuf>,
    /// The date on the page [default: today, UTC]
    #[arg(long)]
    date: Option<String>,
    /// A sentence for the page: what else ran on the machine
    #[arg(long)]
    note: Option<String>,
}

/// Builds, measures, and writes the page.
pub(crate) async fn run(args: Args) -> Result<ExitCode> {
    let mut interrupts = Interrupts::catch()?;
    let mut build = cargo::command();
    build.args(["build", "--profile", PROFILE, "--features", "wfe-tests/e2e"]);
    build.args(["--package", "wfe-server", "--bin", "wfe-server"]);
    build.args(["--package", "wfe-tests", "--bin", "bench"]);
    if !to_the_end(&mut build, &mut interrupts).await?.success() {
        bail!("the benchmark was not built");
    }
    let work =
        async |dir: &Path, interrupts: &mut Interrupts| measure(dir, &args, interrupts).await;
    args.control_plane.to(&mut interrupts, work).await
}

async fn measure(dir: &Path, args: &Args, interrupts: &mut Interrupts) -> Result<ExitStatus> {
    let output = match &args.output {
        Some(output) => std::path::absolute(output)?,
        None => cargo::workspace().join("docs/benchmarks.md"),
    };
    let mut bench = Command::new(benchmark()?);
    bench.arg("--output").arg(output).envs(environment(dir)?);
    // A Tekton that was built here tells no version of its own.
    if let Some(version) = control_plane::tekton_version(dir)? {
        bench.args(["--tekton-version", &version]);
    }
    for (flag, value) in [("--date", &args.date), ("--note", &args.note)] {
        if let Some(value) = value {
            bench.args([flag, value]);
        }
    }
    to_the_end(&mut bench, interrupts).await
}

/// The binary, which cargo puts in the same target directory as this one.
fn benchmark() -> Result<PathBuf> {
    let this = env::current_exe()?;
    let target = this.parent().and_then(Path::parent).context("the target directory")?;
    let path = target.join(PROFILE).join("bench");
    if !path.is_file() {
        bail!("{} is missing", path.display());
    }
    Ok(path)
}
