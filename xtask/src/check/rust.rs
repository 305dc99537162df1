//! What cargo checks: format, lints, documentation.

use anyhow::Result;

use super::run_tool;
use crate::cargo;

pub(super) async fn format() -> Result<()> {
    run_tool(cargo::command().args(["fmt", "--all", "--check"])).await
}

pub(super) async fn lint() -> Result<()> {
    let everything = ["--workspace", "--all-targets", "--all-features", "--keep-going"];
    let mut clippy = cargo::command();
    run_tool(clippy.arg("clippy").args(everything).args(["--", "-D", "warnings"])).await
}

pub(super) async fn document() -> Result<()> {
    let mut doc = cargo::command();
    // With every feature, as the lints are, so that both stand on the same compiled dependencies.
    doc.args(["doc", "--workspace", "--no-deps", "--all-features", "--keep-going"]);
    run_tool(doc.env("RUSTDOCFLAGS", "-D warnings")).await
}
