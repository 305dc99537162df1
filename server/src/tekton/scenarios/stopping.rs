//! How runs and TaskRuns are stopped.

use std::time::Duration;

use futures::future::join_all;
use wfe_core::{
    execution::CancelMode,
    facts::Stopped,
    observe::{RunEnd, observe},
    veil::Veil,
};

use super::{super::Birth, Stage, require};

pub(super) async fn a_running_run_is_cancelled_with_its_task_runs(stage: &Stage) {
    let run = stage.start(&stage.bundles.never_ends).await;
    stage.until_running(&run.name).await;
    stage.accept(stage.tekton.cancel(&run.name, &run.uid, CancelMode::Immediate).await);
    let (end, progress) = stage.until_over(&run.name).await;
    assert!(matches!(end, RunEnd::Cancelled { .. }), "{end:?}");
    assert_eq!(progress.failed, 1, "{progress:?}");
}

pub(super) async fn runs_cancelled_right_after_their_creation_leave_nothing_alive(stage: &Stage) {
    let stops = (0..8u32).map(|n| async move {
        let run = stage.start(&stage.bundles.never_ends).await;
        // A moment of its own for each, to meet Tekton at different points of its work.
        tokio::time::sleep(Duration::from_millis(25) * n).await;
        let stopped = stage.stop(&run).await;
        let end = observe(&stopped.run, &stopped.task_runs, &Veil::none()).end;
        assert!(matches!(end, Some(RunEnd::Cancelled { .. })), "{end:?}");
        run
    });
    let runs = join_all(stops).await;
    for run in runs {
        let now = require(stage.read(&run.name).await, "run");
        let alive: Vec<_> = now.task_runs.iter().filter(|t| t.is_live()).collect();
        assert!(alive.is_empty(), "{alive:?}");
    }
}

pub(super) async fn a_run_is_cancelled_only_under_its_uid(stage: &Stage) {
    let run = stage.start(&stage.bundles.three_tasks_in_order).await;
    let other = "00000000-0000-0000-0000-000000000000";
    stage.accept(stage.tekton.cancel(&run.name, other, CancelMode::Immediate).await);
    let (end, _) = stage.until_over(&run.name).await;
    assert!(matches!(end, RunEnd::Succeeded { .. }), "{end:?}");
}

pub(super) async fn stopping_what_has_ended_or_is_gone_has_no_effect(stage: &Stage) {
    let run = stage.start(&stage.bundles.succeeds).await;
    stage.until_over(&run.name).await;
    let before = require(stage.read(&run.name).await, "run");
    let task_run = require(before.task_runs.first(), "TaskRun");
    stage.accept(stage.tekton.cancel(&run.name, &run.uid, CancelMode::Immediate).await);
    stage.accept(stage.tekton.cancel_task_run(&task_run.name).await);
    // Tekton may still correct the times of what has ended, so they are not compared.
    let after = require(stage.read(&run.name).await, "run");
    assert_eq!(after.run.condition, before.run.condition);
    let untouched =
        after.task_runs.iter().all(|task| task.stopped == Stopped::No && !task.is_live());
    assert!(untouched, "{after:?}");
    stage.accept(
        stage.tekton.cancel("wfe-0000000000000000-1", &run.uid, CancelMode::Immediate).await,
    );
    stage.accept(stage.tekton.cancel_task_run("wfe-0000000000000000-1-main").await);
}

pub(super) async fn a_stopped_task_run_ends_its_run(stage: &Stage) {
    let run = stage.start(&stage.bundles.never_ends).await;
    stage.until_running(&run.name).await;
    let now = require(stage.read(&run.name).await, "run");
    for task in &now.task_runs {
        stage.accept(stage.tekton.cancel_task_run(&task.name).await);
    }
    let (end, _) = stage.until_over(&run.name).await;
    assert!(matches!(end, RunEnd::Cancelled { .. }), "{end:?}");
    let stopped = require(stage.read(&run.name).await, "run");
    assert!(stopped.task_runs.iter().all(|task| task.stopped == Stopped::Asked));
}

pub(super) async fn a_run_born_cancelled_never_creates_anything(stage: &Stage) {
    let mut request = stage.request(&stage.bundles.succeeds);
    request.birth = Birth::Cancelled;
    let run = stage.create(&request).await;
    let (end, progress) = stage.until_over(&run.name).await;
    assert_eq!(end, RunEnd::Cancelled { ran: false });
    assert!(progress.tasks.is_empty(), "{progress:?}");
    let read = require(stage.read(&run.name).await, "run");
    assert!(read.task_runs.is_empty() && read.run.children.is_empty());
}
