//! The policy in `deny.toml`, with a pinned cargo-deny.

use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result};
use tokio::process::Command;

use super::{ask, run_tool};
use crate::{cache, cargo};

/// The cargo-deny that `deny.toml` was written for.
const VERSION: &str = "0.20.2";

pub(super) async fn check() -> Result<()> {
    let mut deny = Command::new(cargo_deny().await?);
    deny.current_dir(cargo::workspace());
    deny.args(["check", "--hide-inclusion-graph", "bans", "licenses", "sources"]);
    run_tool(&mut deny).await
}

/// A cargo-deny of the pinned version: from PATH, the cache, or built.
async fn cargo_deny() -> Result<OsString> {
    let said = ask("cargo-deny", &["--version"]).await;
    if said.is_some_and(|said| said.split_whitespace().any(|word| word == VERSION)) {
        return Ok("cargo-deny".into());
    }
    let cache = cache::root()?.join("cargo-deny");
    let home = cache.join(VERSION);
    let binary = home.join("bin/cargo-deny");
    let _lock = cache::lock(&cache, "cargo-deny").await?;
    if !binary.is_file() {
        println!("building cargo-deny {VERSION}, which takes a few minutes");
        install(&home).await.context("cargo install cargo-deny")?;
    }
    Ok(binary.into())
}

async fn install(home: &Path) -> Result<()> {
    let mut install = cargo::command();
    install
        .args(["install", "cargo-deny", "--version", VERSION, "--locked", "--quiet"])
        // It runs for seconds; optimising it would take longer than it ever saves.
        .arg("--debug")
        .env("CARGO_PROFILE_DEV_DEBUG", "false")
        .arg("--root")
        .arg(home)
        .stdin(Stdio::null());
    run_tool(&mut install).await
}
