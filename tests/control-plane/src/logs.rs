//! What the containers of the fake kubelet have written, chosen by the name of the step.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::json;

/// The last line of the log of every step that has no other one.
pub const LAST_LINE: &str = "error: the rollout did not finish in time";

/// The name of a step whose log tries to harm who reads it: longer than what is kept, with bytes that are no text,
/// escape sequences and characters that turn a text around.
pub const HOSTILE_STEP: &str = "hostile";

/// The name of a step that wrote nothing.
pub const SILENT_STEP: &str = "silent";

/// Writes the logs into `dir`, and returns what KWOK has to be told of them.
///
/// # Errors
///
/// When they cannot be written.
pub fn write(dir: &Path) -> Result<String> {
    fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
    let usual = format!("started\nwaiting for 3 of 3 replicas\n{LAST_LINE}\n");
    let logs = [
        (Some(HOSTILE_STEP), hostile()),
        (Some(SILENT_STEP), Vec::new()),
        (None, usual.into_bytes()),
    ];
    let mut told = Vec::new();
    for (step, text) in logs {
        let file = dir.join(format!("{}.log", step.unwrap_or("usual")));
        fs::write(&file, as_kept(&text)).with_context(|| format!("write {}", file.display()))?;
        let file = file.to_str().with_context(|| format!("{} is not UTF-8", file.display()))?;
        told.push(match step {
            Some(step) => json!({"containers": [format!("step-{step}")], "logsFile": file}),
            None => json!({"logsFile": file}),
        });
    }
    // JSON is YAML.
    let cluster_logs = json!({
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "ClusterLogs",
        "metadata": {"name": "steps"},
        "spec": {"logs": told},
    });
    Ok(format!("---\n{cluster_logs:#}\n"))
}

fn hostile() -> Vec<u8> {
    let mut text = Vec::new();
    for n in 0..2_000 {
        text.extend_from_slice(format!("line {n:04} of the log\n").as_bytes());
    }
    text.extend_from_slice(b"\x1b[31mred\x1b[0m \x9b2J \xff\xfe\x00 ");
    text.extend_from_slice("\u{202e}turned\u{202c} \u{200b}hidden\n".as_bytes());
    text.extend_from_slice(LAST_LINE.as_bytes());
    text.push(b'\n');
    text
}

/// In the form in which a container runtime keeps a log.
fn as_kept(text: &[u8]) -> Vec<u8> {
    let lines = text.split_inclusive(|byte| *byte == b'\n');
    lines.fold(Vec::new(), |mut kept, line| {
        kept.extend_from_slice(b"2026-01-02T03:04:05.000000000Z stdout F ");
        kept.extend_from_slice(line);
        kept
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_kept_with_its_time_and_stream() {
        let kept = as_kept(b"a\nb\n");
        let time = "2026-01-02T03:04:05.000000000Z stdout F";
        assert_eq!(String::from_utf8(kept).unwrap(), format!("{time} a\n{time} b\n"));
    }
}
