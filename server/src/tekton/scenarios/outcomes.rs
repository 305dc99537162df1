//! How runs end.

use std::time::Duration;

use wfe_core::{
    failure::{Failure, FailureReason, log::StepLog},
    observe::{Observation, RunEnd},
    progress::{Progress, TaskState},
    veil::Veil,
};

use super::{
    super::{LogError, RunSnapshot},
    Stage, require,
};

pub(super) async fn a_run_that_succeeds_tells_its_steps(stage: &Stage) {
    let run = stage.start(&stage.bundles.succeeds).await;
    let (end, progress) = stage.until_over(&run.name).await;
    let RunEnd::Succeeded { at } = end else {
        panic!("{end:?}");
    };
    assert!(at >= run.created_at);
    assert_eq!((progress.total, progress.succeeded, progress.failed), (1, 1, 0));
    let task = require(progress.tasks.first(), "task");
    assert_eq!((task.state, task.attempts), (TaskState::Succeeded, 1));
    assert!(task.started_at.is_some() && task.ended_at >= task.started_at);
    let step = require(task.steps.first(), "step");
    assert_eq!(
        (step.name.as_str(), step.state, step.exit_code),
        ("main", TaskState::Succeeded, Some(0))
    );
    assert!(step.started_at.is_some() && step.ended_at >= step.started_at);
}

pub(super) async fn tasks_run_in_the_order_of_the_pipeline(stage: &Stage) {
    let run = stage.start(&stage.bundles.three_tasks_in_order).await;
    let mut seen: Vec<Progress> = Vec::new();
    let end = stage
        .until("the end of three tasks", || {
            let snapshot = super::present(stage.tekton.as_ref(), &run.name)?;
            let now = wfe_core::observe::observe(&snapshot.run, &snapshot.task_runs, &Veil::none());
            if seen.last() != Some(&now.progress) {
                seen.push(now.progress);
            }
            now.end
        })
        .await;
    assert!(matches!(end, RunEnd::Succeeded { .. }), "{end:?}");
    let over = |state| state == TaskState::Succeeded;
    for progress in &seen {
        let states: Vec<TaskState> = progress.tasks.iter().map(|task| task.state).collect();
        let in_order = states.windows(2).all(
            |pair| matches!(pair, [before, after] if over(*before) || *after == TaskState::Pending),
        );
        assert!(in_order, "{states:?}");
    }
    for n in 0..3 {
        assert!(
            seen.iter().any(|p| p.total == 3 && p.succeeded == n),
            "never seen with {n} of 3 tasks done"
        );
    }
    let (_, last) = stage.until_over(&run.name).await;
    let names: Vec<&str> = last.tasks.iter().map(|task| task.name.as_str()).collect();
    assert_eq!((names, last.succeeded), (vec!["a", "b", "c"], 3));
}

pub(super) async fn a_step_that_exits_1_fails_the_run(stage: &Stage) {
    let failure = failure_of(stage, &stage.bundles.step_exits_1).await;
    assert_eq!(
        (failure.reason, failure.was_execution_failure),
        (FailureReason::TaskFailed, true),
        "{failure:?}"
    );
    assert_eq!(
        (failure.step.as_deref(), failure.exit_code, failure.attempt),
        (Some("main"), Some(1), Some(1))
    );
    assert!(failure.task.is_some() && failure.task_run.is_some());
}

pub(super) async fn a_step_without_memory_fails_the_run(stage: &Stage) {
    let failure = failure_of(stage, &stage.bundles.oom_killed).await;
    assert_eq!(
        (failure.reason, failure.was_execution_failure),
        (FailureReason::OomKilled, true),
        "{failure:?}"
    );
    assert_eq!((failure.step.as_deref(), failure.exit_code), (Some("main"), Some(137)));
}

pub(super) async fn the_log_of_a_failed_step_is_there_to_be_read(stage: &Stage) {
    let run = stage.start(&stage.bundles.step_exits_1).await;
    stage.until_over(&run.name).await;
    let log = |_: &RunSnapshot, seen: &Observation| seen.log.clone();
    let log = stage.until_seen(&run.name, "says where its log is", log).await;
    let read = stage.tekton.log_tail(&log).await;
    let Ok(raw) = read else {
        panic!("{log:?}: {read:?}");
    };
    let told = require(raw.tell(&Veil::none()), "text in the log");
    assert!(told.ends_with("error: the rollout did not finish in time"), "{told}");
    // Who reads late finds none, and hears of it at once.
    let gone = StepLog { pod: format!("{}-gone", log.pod), ..log };
    let read = stage.tekton.log_tail(&gone).await;
    assert!(matches!(read, Err(LogError::Gone)), "{read:?}");
}

pub(super) async fn an_image_that_cannot_be_pulled_fails_before_anything_ran(stage: &Stage) {
    let failure = failure_of(stage, &stage.bundles.image_cannot_be_pulled).await;
    assert_eq!(
        (failure.reason, failure.was_execution_failure),
        (FailureReason::ImagePullBackOff, false),
        "{failure:?}"
    );
}

pub(super) async fn a_bundle_that_is_missing_fails_before_anything_ran(stage: &Stage) {
    let failure = failure_of(stage, &stage.bundles.missing).await;
    assert_eq!(
        (
            failure.reason,
            failure.was_execution_failure,
            failure.raw_reason.as_str(),
            failure.task_run.as_deref()
        ),
        (FailureReason::ConfigurationError, false, "CouldntGetPipeline", None),
        "{failure:?}"
    );
}

pub(super) async fn a_run_that_takes_too_long_is_stopped(stage: &Stage) {
    let mut request = stage.request(&stage.bundles.never_ends);
    request.timeout = Some(Duration::from_secs(3));
    let run = stage.create(&request).await;
    let (end, _) = stage.until_over(&run.name).await;
    let RunEnd::Failed(failure) = end else {
        panic!("{end:?}");
    };
    assert_eq!(
        (failure.reason, failure.raw_reason.as_str()),
        (FailureReason::DeadlineExceeded, "PipelineRunTimeout"),
        "{failure:?}"
    );
}

async fn failure_of(stage: &Stage, bundle: &str) -> Failure {
    let run = stage.start(bundle).await;
    match stage.until_over(&run.name).await {
        (RunEnd::Failed(failure), _) => failure,
        (end, _) => panic!("{bundle} ended as {end:?}"),
    }
}
