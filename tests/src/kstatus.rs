//! What tools that wait for what they apply make of an object, computed by the library that they share.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// The verdict of kstatus on an object: `Current`, `InProgress`, `Failed`, `Terminating`, …
///
/// # Errors
///
/// When the program that the control plane brings along is not there, or cannot read the object.
pub async fn verdict(object: &impl Serialize) -> Result<String> {
    let mut child = Command::new("kstatus")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("run kstatus")?;
    let mut stdin = child.stdin.take().context("its input")?;
    stdin.write_all(&serde_json::to_vec(object)?).await?;
    drop(stdin);
    let output = child.wait_with_output().await?;
    ensure!(output.status.success(), "kstatus: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
