//! The directory of a control plane: whose it is, who works in it, what may lie in it.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::access::{BIN, ENV, HOME, KUBECONFIG, TOKENS};

const LOCK: &str = "lock";
const LOGS: &str = "logs";

// Anything else is not ours, and a directory with something else is not touched.
const CONTENT: [&str; 17] = [
    BIN,
    ENV,
    HOME,
    KUBECONFIG,
    LOCK,
    LOGS,
    TOKENS,
    "audit-policy.yaml",
    "certificates",
    "etcd",
    "pod-logs",
    "stages.yaml",
    "state.json",
    "state.json.new",
    "state.lock",
    "tekton.json",
    "tests.lock",
];

/// Creates the directory unless it is there, and makes sure that nobody else works in it while the answer lives.
pub(crate) fn claim(dir: &Path) -> Result<File> {
    create_private(dir)?;
    refuse_foreign(dir)?;
    lock(dir)
}

/// Makes sure that nobody else works in an existing directory while the answer lives.
pub(crate) fn lock(dir: &Path) -> Result<File> {
    let file = File::create(dir.join(LOCK))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            bail!("another up or down is at work in {}", dir.display())
        }
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

/// Makes the directory as a new control plane wants it.
pub(crate) fn prepare(dir: &Path) -> Result<()> {
    clear(dir)?;
    let logs = dir.join(LOGS);
    if logs.is_dir() {
        fs::remove_dir_all(logs)?;
    }
    for name in [LOGS, BIN, HOME] {
        create_private(&dir.join(name))?;
    }
    Ok(())
}

/// Removes everything but the logs.
pub(crate) fn clear(dir: &Path) -> Result<()> {
    for name in CONTENT.iter().filter(|name| ![LOCK, LOGS].contains(name)) {
        let path = dir.join(name);
        let removed =
            if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        match removed {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("remove {}", path.display()));
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

fn create_private(dir: &Path) -> Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(dir).with_context(|| format!("create {}", dir.display()))
}

fn refuse_foreign(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        if !CONTENT.iter().any(|ours| name == **ours) {
            bail!(
                "{} holds {}, which is not of a control plane; choose an empty or a new directory",
                dir.display(),
                name.display(),
            );
        }
    }
    Ok(())
}
