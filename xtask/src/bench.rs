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
    /// The page that is written [default: docs/benchmarks.md when everything is measured, else none]
    #[arg(long)]
    output: Option<PathBuf>,
    /// Measure only this and print it: service, load, bridge, concurrent, stress or verify; may be
    /// repeated
    #[arg(long = "section")]
    sections: Vec<String>,
    /// How long the section `stress` creates WorkflowExecutions, in seconds [default: 600]
    #[arg(long)]
    stress_seconds: Option<u64>,
    /// The date on the page [default: today, UTC]
    #[arg(long)]
    date: Option<String>,
    /// A sentence for the page: what else ran on the machine
    #[arg(long)]
    note: Option<String>,
}

impl Args {
    /// Whether it is what the page in `docs` is about.
    fn is_whole(&self) -> bool {
        self.sections.is_empty() && self.stress_seconds.is_none()
    }
}

/// Builds, measures, and writes the page.
pub(crate) async fn run(args: Args) -> Result<ExitCode> {
    let mut interrupts = Interrupts::catch()?;
    let mut build = cargo::command();
    build.args(["build", "--profile", PROFILE, "--features", "wfe-tests/e2e"]);
    build.args(["--package", "wfe-server", "--bin", "wfe-server"]);
    build.args(["--package", "wfe-bridge", "--bin", "wfe-bridge"]);
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
        Some(output) => Some(std::path::absolute(output)?),
        None if args.is_whole() => Some(cargo::workspace().join("docs/benchmarks.md")),
        None => None,
    };
    let mut bench = Command::new(benchmark()?);
    bench.envs(environment(dir)?);
    if let Some(output) = output {
        bench.arg("--output").arg(output);
    }
    for section in &args.sections {
        bench.args(["--section", section]);
    }
    if let Some(seconds) = args.stress_seconds {
        bench.args(["--stress-seconds", &seconds.to_string()]);
    }
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
