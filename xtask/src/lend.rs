//! Work on a control plane that is started for it, or runs already, and is taken down whatever happens.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, ExitStatus};

use anyhow::{Context, Result};
use clap::Args as ClapArgs;
use nix::sys::signal::Signal;
use tokio::process::Command;

use crate::child::Group;
use crate::control_plane::{self, BIN, Outcome, Up, read_env};
use crate::interrupt::Interrupts;

/// Which control plane is used, and whether it stays.
#[derive(ClapArgs)]
pub(crate) struct Lend {
    /// The control plane's directory; one that runs there is used and left running [default: a temporary one]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Leave the control plane running
    #[arg(long)]
    keep: bool,
}

impl Lend {
    /// Does `work`; its exit code is the answer.
    pub(crate) async fn to(
        &self,
        interrupts: &mut Interrupts,
        work: impl AsyncFnOnce(&Path, &mut Interrupts) -> Result<ExitStatus>,
    ) -> Result<ExitCode> {
        let Some(dir) = &self.dir else {
            let temporary = tempfile::Builder::new().prefix("wfe-control-plane-").tempdir()?;
            let done = self.up_work_down(temporary.path(), interrupts, work).await;
            if self.keep || !matches!(&done, Ok(status) if status.success()) {
                say!(
                    "the control plane's directory, with its logs: {}",
                    temporary.keep().display()
                );
            }
            return Ok(exit_code(done?));
        };
        let dir = std::path::absolute(dir)?;
        Ok(exit_code(self.up_work_down(&dir, interrupts, work).await?))
    }

    async fn up_work_down(
        &self,
        dir: &Path,
        interrupts: &mut Interrupts,
        work: impl AsyncFnOnce(&Path, &mut Interrupts) -> Result<ExitStatus>,
    ) -> Result<ExitStatus> {
        let outcome = control_plane::up(&Up::in_directory(dir.to_owned()), interrupts).await?;
        let done = work(dir, interrupts).await;
        if self.keep {
            say!("the control plane runs on");
        } else if outcome == Outcome::Started {
            control_plane::down(dir).await?;
        }
        done
    }
}

fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    code.map_or(ExitCode::FAILURE, ExitCode::from)
}

/// Environment of a program that uses the control plane in `dir`.
pub(crate) fn environment(dir: &Path) -> Result<Vec<(OsString, OsString)>> {
    let path = env::var_os("PATH").unwrap_or_default();
    let path = env::join_paths([dir.join(BIN)].into_iter().chain(env::split_paths(&path)))?;
    let variables = read_env(dir)?.into_iter().map(|(name, value)| (name.into(), value.into()));
    Ok(variables.chain([("PATH".into(), path)]).collect())
}

/// Runs a program to its end, or kills it and all that it started when somebody asks to stop.
pub(crate) async fn to_the_end(
    command: &mut Command,
    interrupts: &mut Interrupts,
) -> Result<ExitStatus> {
    let what = command.as_std().get_program().to_string_lossy().into_owned();
    let mut child = Group::spawn(command)?;
    tokio::select! {
        status = child.wait() => status.context(what),
        interrupted = interrupts.next() => {
            child.signal(Signal::SIGKILL);
            child.wait().await?;
            Err(interrupted.into())
        }
    }
}
