//! `cargo xtask check`: what must hold before a change is merged, short of tests.
//!
//! Every check is made, also after one failed, so that one run tells all that is wrong. A check says
//! what is wrong on the terminal as the tool behind it does; nothing here changes a file.

mod contract;
mod dependencies;
mod generated;
mod length;
mod requirements;
mod rust;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::{Args as ClapArgs, ValueEnum};
use tokio::process::Command;

use crate::child::run_tool;
use crate::interrupt::Interrupts;

/// What to check.
#[derive(ClapArgs)]
pub(crate) struct Args {
    /// Which checks are made [default: all]
    #[arg(value_enum)]
    checks: Vec<Check>,
}

/// One check. The order is the order in which they are made: what is quick and often wrong comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Check {
    /// The code is formatted
    Rustfmt,
    /// The compiler and clippy have nothing to say
    Clippy,
    /// The documentation builds, and its links lead somewhere
    Rustdoc,
    /// The contract keeps the rules of buf STANDARD
    Contract,
    /// Dependencies are allowed: which ones, under which licenses, from where
    Dependencies,
    /// What is generated and committed is current
    Generated,
    /// No source file has grown too long
    Length,
    /// The tests that the requirements name exist
    Requirements,
}

/// Makes the checks; fails when one of them does.
pub(crate) async fn run(args: Args) -> Result<ExitCode> {
    let mut interrupts = Interrupts::catch()?;
    let wanted = |check: &Check| args.checks.is_empty() || args.checks.contains(check);
    let mut summary = Vec::new();
    for check in Check::value_variants().iter().copied().filter(wanted) {
        let name = check.name();
        println!("\n==> {name}");
        let began = Instant::now();
        let done = tokio::select! {
            done = check.make() => done,
            interrupted = interrupts.next() => return Err(interrupted.into()),
        };
        let took = began.elapsed();
        if let Err(error) = &done {
            println!("{name}: {error:#}");
        }
        summary.push((name, done.is_ok(), took));
    }
    println!();
    for (name, passed, took) in &summary {
        println!("{}", line(name, *passed, *took));
    }
    let passed = summary.iter().all(|(_, passed, _)| *passed);
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn line(name: &str, passed: bool, took: Duration) -> String {
    let verdict = if passed { "ok" } else { "FAILED" };
    format!("{name:<13}{verdict:<7}{:>7.1} s", took.as_secs_f64())
}

impl Check {
    fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    async fn make(self) -> Result<()> {
        match self {
            Self::Rustfmt => rust::format().await,
            Self::Clippy => rust::lint().await,
            Self::Rustdoc => rust::document().await,
            Self::Contract => contract::lint().await,
            Self::Dependencies => dependencies::check().await,
            Self::Generated => generated::check().await,
            Self::Length => length::check(),
            Self::Requirements => requirements::check(),
        }
    }
}

/// What a tool on PATH says when it is asked `arguments`; `None` when there is none, or it fails.
async fn ask(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).kill_on_drop(true).output().await.ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
