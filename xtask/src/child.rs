//! Child processes with children of their own (`go build`, `cargo test`): run in a process group that ends as a whole.

use std::process::ExitStatus;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

/// A running process group; what is left of it is killed when this is dropped.
pub(crate) struct Group {
    child: Child,
    leader: Option<Pid>,
}

impl Group {
    pub(crate) fn spawn(command: &mut Command) -> Result<Self> {
        let what = command.as_std().get_program().to_string_lossy().into_owned();
        let child = command.process_group(0).spawn().with_context(|| format!("run {what}"))?;
        let leader = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
        Ok(Self { child, leader })
    }

    /// Waits for its leader to end.
    pub(crate) async fn wait(&mut self) -> Result<ExitStatus> {
        let status = self.child.wait().await?;
        // From here on the number may be given to somebody else.
        self.leader = None;
        Ok(status)
    }

    /// Asks everything in it to end.
    pub(crate) fn signal(&self, signal: Signal) {
        if let Some(leader) = self.leader {
            // It fails only when the group has ended, which is what is wanted.
            let _ = killpg(leader, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}

/// Runs a tool that says itself what is wrong.
pub(crate) async fn run_tool(command: &mut Command) -> Result<()> {
    let what = command.as_std().get_program().to_string_lossy().into_owned();
    let status = Group::spawn(command)?.wait().await.with_context(|| format!("wait for {what}"))?;
    if !status.success() {
        bail!("{status}");
    }
    Ok(())
}
