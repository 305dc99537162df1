//! `cargo xtask gen`: what is generated from Rust types and committed. Code from the contract is not
//! among it: the build makes it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use tokio::process::Command;

use crate::cargo;
use crate::child::run_tool;
use crate::interrupt::Interrupts;

/// Where the manifests of the custom resources are.
pub(crate) fn manifests() -> PathBuf {
    cargo::workspace().join("deploy/crds")
}

/// Makes it anew where it is committed.
pub(crate) async fn run() -> Result<ExitCode> {
    let mut interrupts = Interrupts::catch()?;
    let manifests = manifests();
    tokio::select! {
        done = write_manifests(&manifests) => done?,
        interrupted = interrupts.next() => return Err(interrupted.into()),
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds the generator and has it write into a directory.
pub(crate) async fn write_manifests(into: &Path) -> Result<()> {
    // As a part of the whole workspace, for then it shares what the tests are built from.
    let mut build = cargo::command();
    run_tool(build.args(["build", "--quiet", "--workspace", "--bin", "crdgen"])).await?;
    run_tool(Command::new(generator()?).arg(into)).await
}

/// The binary, which cargo puts beside this one.
fn generator() -> Result<PathBuf> {
    let this = env::current_exe()?;
    Ok(this.parent().context("the target directory")?.join("crdgen"))
}
