//! Whether what is generated from other files, and committed, is what they give now.
//!
//! Code from the contract is not among it: the build makes it.

use std::process::Stdio;

use anyhow::{Context, Result, bail};

use super::run_tool;
use crate::cargo;

pub(super) async fn check() -> Result<()> {
    let mut metadata = cargo::command();
    metadata.args(["metadata", "--locked", "--format-version", "1"]).stdout(Stdio::null());
    run_tool(&mut metadata).await.context("Cargo.lock is not current: run cargo build")?;
    // Manifests of custom resources come from Rust types. Whoever commits the first one says here how
    // it is made, so that it cannot fall behind unseen.
    let manifests = cargo::workspace().join("deploy/crds");
    if manifests.exists() {
        bail!(
            "{} is there, and nothing here generates and compares it: add that to {}",
            manifests.display(),
            file!()
        );
    }
    Ok(())
}
