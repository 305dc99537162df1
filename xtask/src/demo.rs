//! `cargo xtask demo`: the whole on a real control plane, for people: WorkflowExecutions are applied, seen live, fail, wait
//! and are deleted, with the commands that anybody would type.
//!
//! Owns the control plane, the service and what is left behind. What is shown, and what must come out of it, is the story's.

mod service;
mod stage;
mod story;
mod workflows;

use std::fs::{File, TryLockError};
use std::path::Path;
use std::process::{ExitCode, ExitStatus};

use anyhow::{Result, bail};
use clap::Args as ClapArgs;

use crate::cargo;
use crate::control_plane;
use crate::interrupt::Interrupts;
use crate::lend::{Lend, to_the_end};

use service::Service;
use stage::Stage;
use story::Story;

/// On what to show it.
#[derive(ClapArgs)]
pub(crate) struct Args {
    #[command(flatten)]
    control_plane: Lend,
}

/// Builds `wfe` and tells the story. Fails with a sentence when something is not as it says.
pub(crate) async fn run(args: Args) -> Result<ExitCode> {
    let mut interrupts = Interrupts::catch()?;
    let mut build = cargo::command();
    build.args(["build", "--workspace", "--bin", "wfe"]);
    if !to_the_end(&mut build, &mut interrupts).await?.success() {
        bail!("wfe was not built");
    }
    args.control_plane.to(&mut interrupts, show).await
}

async fn show(dir: &Path, interrupts: &mut Interrupts) -> Result<ExitStatus> {
    if control_plane::tekton_version(dir)?.is_none() {
        bail!(
            "the pods of a cluster that existed before do not end as the demo says; unset WFE_TEST_KUBECONFIG"
        );
    }
    let _alone = alone(dir)?;
    let stage = Stage::set(dir)?;
    let shown = show_on(&stage, dir, interrupts).await;
    if shown.is_err() {
        let home = stage.keep();
        say!("\nThe files of the demo, with the log of the service: {}", home.display());
    }
    shown.map(|()| ExitStatus::default())
}

/// The bridge of the demo serves every namespace, so nobody else may be at work.
fn alone(dir: &Path) -> Result<File> {
    let claim = File::create(dir.join("tests.lock"))?;
    match claim.try_lock() {
        Ok(()) => Ok(claim),
        Err(TryLockError::WouldBlock) => {
            bail!("tests run on the control plane in {}; the demo must be alone", dir.display())
        }
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

async fn show_on(stage: &Stage, dir: &Path, interrupts: &mut Interrupts) -> Result<()> {
    let story = Story::open(stage, dir).await?;
    let mut service = tokio::select! {
        started = Service::start(stage) => started?,
        interrupted = interrupts.next() => return Err(interrupted.into()),
    };
    stage.reach(service.address());
    let told = tokio::select! {
        told = story.tell() => told,
        ended = service.ended() => Err(ended),
        interrupted = interrupts.next() => Err(interrupted.into()),
    };
    // Also when the story broke off: a control plane that stays must be as it was.
    let closed = story.close().await;
    let stopped = service.stop().await;
    told?;
    closed?;
    stopped?;
    say!(
        "
All of this went as it says. Next:
  cargo xtask control-plane up --dir D    a control plane that stays, to try things on
  cargo run -- dev --kubeconfig FILE      the service on it, or on any cluster with Tekton
  docs/workflow-execution.md              what can be asked for, and what the status says"
    );
    Ok(())
}
