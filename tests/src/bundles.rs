//! Bundles with a known fate, pushed on demand. Pushing the same one twice changes nothing.

use std::time::Duration;

use anyhow::Result;

pub use wfe_control_plane::bundle::{Fate, PIPELINE, Pushed, Task, Workflow, push, reference};

const TAG: &str = "v1";

/// One task that succeeds.
///
/// # Errors
///
/// When the registry does not take it, as for all that follow.
pub async fn succeeds(registry: &str) -> Result<Pushed> {
    one_task(registry, "succeeds", Task::new("only")).await
}

/// The tasks `a`, `b` and `c`, each after the one before.
pub async fn three_tasks_in_order(registry: &str) -> Result<Pushed> {
    let tasks = [Task::new("a"), Task::new("b").run_after("a"), Task::new("c").run_after("b")];
    push(registry, "three-tasks-in-order", TAG, &Workflow::new(tasks)).await
}

/// One task whose step exits 1.
pub async fn step_exits_1(registry: &str) -> Result<Pushed> {
    let task = Task::new("only").fate(Fate::Fail { exit_code: 1 });
    one_task(registry, "step-exits-1", task).await
}

/// One task whose step is killed for its memory.
pub async fn oom_killed(registry: &str) -> Result<Pushed> {
    one_task(registry, "oom-killed", Task::new("only").fate(Fate::OutOfMemory)).await
}

/// One task whose container never starts.
pub async fn image_cannot_be_pulled(registry: &str) -> Result<Pushed> {
    let task = Task::new("only").fate(Fate::ImageMissing).after(Duration::from_millis(1));
    one_task(registry, "image-cannot-be-pulled", task).await
}

/// One task whose image is tried to be pulled for ever.
pub async fn image_never_comes(registry: &str) -> Result<Pushed> {
    let task = Task::new("only").fate(Fate::ImagePulling).after(Duration::from_millis(1));
    one_task(registry, "image-never-comes", task).await
}

/// One task for which no node has room.
pub async fn no_node_has_room(registry: &str) -> Result<Pushed> {
    one_task(registry, "no-node-has-room", Task::new("only").fate(Fate::NoNodeHasRoom)).await
}

/// One task that runs until it is stopped.
pub async fn never_ends(registry: &str) -> Result<Pushed> {
    one_task(registry, "never-ends", Task::new("only").fate(Fate::Hang)).await
}

/// The reference of a bundle that nobody ever pushed.
#[must_use]
pub fn missing(registry: &str) -> String {
    reference(registry, "missing", TAG)
}

/// One task whose pod waits for its volumes for ever.
pub async fn volume_never_comes(registry: &str) -> Result<Pushed> {
    one_task(registry, "volume-never-comes", Task::new("only").fate(Fate::NoVolume)).await
}

async fn one_task(registry: &str, name: &str, task: Task) -> Result<Pushed> {
    push(registry, name, TAG, &Workflow::new([task])).await
}
