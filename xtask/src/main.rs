//! The words that CI and developers use. One module per word; none knows another's insides.

/// `println!` for progress: a reader that has gone away must not end a program that has processes to stop.
macro_rules! say {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stdout(), $($text)*);
    }};
}

mod bench;
mod cache;
mod cargo;
mod check;
mod child;
mod control_plane;
mod demo;
mod e2e;
mod fixtures;
mod generate;
mod interrupt;
mod lend;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::interrupt::Interrupted;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The words that CI and developers use")]
struct Cli {
    #[command(subcommand)]
    word: Word,
}

#[derive(Subcommand)]
enum Word {
    /// What must hold before a change is merged, short of tests
    Check(check::Args),
    /// Makes anew what is generated and committed: the manifests of the custom resources
    Gen,
    /// A real control plane without containers: start it, stop it, take parts of it away
    #[command(subcommand)]
    ControlPlane(control_plane::Command),
    /// Shows the whole on a control plane of its own, in about a minute: apply, live status, failure, queue, delete
    Demo(demo::Args),
    /// The cluster tests on a control plane of their own
    E2e(e2e::Args),
    /// Records again what Tekton says of runs that end in every way: the fixtures of the failure analysis
    Fixtures(fixtures::Args),
    /// The benchmark on a control plane of its own; writes docs/benchmarks.md
    Bench(bench::Args),
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Cli::parse().word {
        Word::Check(args) => check::run(args).await,
        Word::Gen => generate::run().await,
        Word::ControlPlane(command) => control_plane::run(command).await,
        Word::Demo(args) => demo::run(args).await,
        Word::E2e(args) => e2e::run(args).await,
        Word::Fixtures(args) => fixtures::run(args).await,
        Word::Bench(args) => bench::run(args).await,
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            error.downcast_ref().map_or(ExitCode::FAILURE, |i: &Interrupted| i.exit_code())
        }
    }
}
