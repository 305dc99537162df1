//! The rules of buf for the contract, with the buf that `tools/buf` pins.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use tokio::process::Command;

use super::{ask, run_tool};
use crate::{cache, cargo};

/// The part of `tools/buf/package.json` that says which buf is meant.
#[derive(Deserialize)]
struct Package {
    dependencies: Dependencies,
}

#[derive(Deserialize)]
struct Dependencies {
    #[serde(rename = "@bufbuild/buf")]
    buf: String,
}

pub(super) async fn lint() -> Result<()> {
    let buf = buf().await?;
    run_tool(Command::new(buf).arg("lint").current_dir(cargo::workspace().join("proto"))).await
}

/// A buf of the pinned version: from PATH, the cache, or the npm registry.
async fn buf() -> Result<OsString> {
    let source = cargo::workspace().join("tools/buf");
    let file = source.join("package.json");
    let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
    let package: Package =
        serde_json::from_str(&text).with_context(|| format!("read {}", file.display()))?;
    let version = package.dependencies.buf;
    if ask("buf", &["--version"]).await.is_some_and(|said| said.trim() == version) {
        return Ok("buf".into());
    }
    let cache = cache::root()?.join("buf");
    let home = cache.join(&version);
    let buf = home.join("node_modules/.bin/buf");
    let _lock = cache::lock(&cache, "buf").await?;
    if !buf.is_file() {
        install(&source, &home, &version).await?;
    }
    Ok(buf.into())
}

async fn install(source: &Path, home: &Path, version: &str) -> Result<()> {
    if ask("npm", &["--version"]).await.is_none() {
        bail!(
            "buf {version} lints the contract, and npm, which comes with Node.js \
             (https://nodejs.org), installs it; a buf {version} on PATH is taken too"
        );
    }
    println!("installing buf {version}");
    let new = home.with_file_name(format!("{version}.new"));
    if new.exists() {
        fs::remove_dir_all(&new)?;
    }
    fs::create_dir_all(&new).with_context(|| format!("create {}", new.display()))?;
    for file in ["package.json", "package-lock.json"] {
        fs::copy(source.join(file), new.join(file)).with_context(|| format!("copy {file}"))?;
    }
    let mut npm = Command::new("npm");
    npm.current_dir(&new)
        // The binary is in an optional package of its own; nothing needs to be run to install it.
        .args(["ci", "--include=optional", "--ignore-scripts", "--no-audit", "--no-fund"]);
    run_tool(&mut npm).await.context("npm ci")?;
    fs::rename(&new, home).with_context(|| format!("rename to {}", home.display()))
}
