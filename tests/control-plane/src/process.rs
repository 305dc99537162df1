//! Processes that outlive whoever started them: spawn, recognise, signal, end. Knows nothing of what they are.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::wait::eventually;

/// A process, recognised by its number and the moment it began: the kernel gives numbers out again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// The process number.
    pub pid: i32,
    /// When it began, in clock ticks since the machine started (field 22 of `/proc/<pid>/stat`).
    pub began: u64,
}

impl ProcessId {
    /// The running process with this number, if there is one.
    #[must_use]
    pub fn of(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, in brackets, may itself hold spaces and brackets.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        // A zombie has ended; it only waits for its parent to look.
        if matches!(*fields.first()?, "Z" | "X") {
            return None;
        }
        let began = fields.get(19)?.parse().ok()?;
        Some(Self { pid, began })
    }

    /// Whether this very process still runs.
    #[must_use]
    pub fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Sends a signal; a process that has ended gets none.
    ///
    /// # Errors
    ///
    /// When the process belongs to somebody else.
    pub fn signal(self, signal: Signal) -> Result<()> {
        if !self.is_alive() {
            return Ok(());
        }
        match kill(Pid::from_raw(self.pid), signal) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(errno) => Err(errno).with_context(|| format!("send {signal} to {}", self.pid)),
        }
    }

    /// Ends the process: SIGTERM, and SIGKILL when it has not ended within `grace`.
    ///
    /// # Errors
    ///
    /// When it cannot be signalled, or does not even end on SIGKILL.
    pub async fn end(self, grace: Duration) -> Result<()> {
        self.signal(Signal::SIGTERM)?;
        // A stopped process would not see SIGTERM.
        self.signal(Signal::SIGCONT)?;
        let gone = async || {
            if self.is_alive() { Err("alive") } else { Ok(()) }
        };
        if eventually(grace, "the end of a process", gone).await.is_err() {
            self.signal(Signal::SIGKILL)?;
            eventually(Duration::from_secs(10), "the end of a killed process", gone).await?;
        }
        Ok(())
    }
}

/// A program with everything that it is started with, so that it can be started again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// The file to run.
    pub file: PathBuf,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its whole environment: nothing is inherited.
    pub env: BTreeMap<String, String>,
    /// Where its output is appended.
    pub log: PathBuf,
}

impl Program {
    /// Starts it in a process group of its own, so that a Ctrl-C meant for its parent does not reach it.
    ///
    /// # Errors
    ///
    /// When the log cannot be opened or the program cannot be run.
    pub fn spawn(&self) -> Result<ProcessId> {
        let log = open_log(&self.log).with_context(|| format!("open {}", self.log.display()))?;
        let mut child = Command::new(&self.file)
            .args(&self.args)
            .env_clear()
            .envs(&self.env)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .with_context(|| format!("run {}", self.file.display()))?;
        let id = i32::try_from(child.id()).ok().and_then(ProcessId::of);
        // As long as its parent lives, somebody has to collect the ended process.
        std::thread::spawn(move || child.wait());
        match id {
            Some(id) => Ok(id),
            None => bail!("{} ended at once{}", self.file.display(), log_tail(&self.log)),
        }
    }
}

fn open_log(path: &Path) -> io::Result<fs::File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// The last lines of a log, introduced by its path, to be put at the end of an error message.
#[must_use]
pub fn log_tail(path: &Path) -> String {
    const LINES: usize = 15;
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let tail = lines[lines.len().saturating_sub(LINES)..].join("\n  ");
    format!("\nthe end of {}:\n  {tail}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, dir: &Path) -> Program {
        Program {
            file: PathBuf::from("/bin/sh"),
            args: vec!["-c".to_owned(), script.to_owned()],
            env: BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]),
            log: dir.join("log"),
        }
    }

    async fn logged(program: &Program, text: &str) -> Result<()> {
        let log = || async { fs::read_to_string(&program.log).unwrap_or_default() };
        eventually(Duration::from_secs(10), "a line in the log", || async {
            let log = log().await;
            if log.contains(text) { Ok(()) } else { Err(log) }
        })
        .await
    }

    #[tokio::test]
    async fn a_number_that_was_given_out_again_is_another_process() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let process = shell("exec sleep 60", dir.path()).spawn()?;
        let earlier = ProcessId { began: process.began - 1, ..process };
        earlier.end(Duration::from_secs(10)).await?;
        assert!(process.is_alive(), "the wrong process was ended");
        process.end(Duration::from_secs(10)).await?;
        assert!(!process.is_alive());
        Ok(())
    }

    #[tokio::test]
    async fn a_process_that_does_not_listen_is_killed() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let program = shell("trap '' TERM; echo deaf; while :; do sleep 0.1; done", dir.path());
        let process = program.spawn()?;
        logged(&program, "deaf").await?;
        process.end(Duration::from_millis(100)).await?;
        assert!(!process.is_alive());
        Ok(())
    }

    #[tokio::test]
    async fn a_frozen_process_ends_in_its_own_way() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let script = "trap 'echo bye; exit' TERM; echo ready; while :; do sleep 0.05; done";
        let program = shell(script, dir.path());
        let process = program.spawn()?;
        logged(&program, "ready").await?;
        process.signal(Signal::SIGSTOP)?;
        process.end(Duration::from_secs(10)).await?;
        logged(&program, "bye").await
    }

    #[tokio::test]
    async fn a_process_inherits_nothing() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let program = shell("echo home=$HOME.", dir.path());
        program.spawn().ok();
        logged(&program, "home=.").await
    }

    #[test]
    fn the_tail_of_a_log_names_the_log_and_ends_with_its_last_line() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let log = dir.path().join("log");
        let lines: Vec<String> = (0..100).map(|line| format!("line {line}")).collect();
        fs::write(&log, lines.join("\n"))?;
        let tail = log_tail(&log);
        assert!(tail.contains("log:"), "{tail}");
        assert!(tail.ends_with("line 99"), "{tail}");
        assert!(!tail.contains("line 80"), "{tail}");
        Ok(())
    }
}
