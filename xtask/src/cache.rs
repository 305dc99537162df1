//! Where tools that are built or installed stay: outside of checkouts, so that all of them share it.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

/// The directory that survives checkouts.
pub(crate) fn root() -> Result<PathBuf> {
    let base = match env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()) {
        Some(base) => PathBuf::from(base),
        None => env::home_dir().context("neither XDG_CACHE_HOME nor HOME is set")?.join(".cache"),
    };
    Ok(base.join("kubernaut-wfe"))
}

/// Waits until nobody else builds `what` in `directory`, and keeps others out until it is dropped.
pub(crate) async fn lock(directory: &Path, what: &str) -> Result<File> {
    fs::create_dir_all(directory).with_context(|| format!("create {}", directory.display()))?;
    let file = File::create(directory.join("lock"))?;
    if file.try_lock().is_err() {
        println!("waiting for another build of {what}");
        while file.try_lock().is_err() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    Ok(file)
}
