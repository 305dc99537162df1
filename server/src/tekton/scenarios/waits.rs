//! What runs wait for without running.

use std::time::Duration;

use wfe_core::{
    execution::CancelMode,
    facts::RunFacts,
    failure::FailureReason,
    observe::RunEnd,
    progress::TaskState,
    stuck::{StuckOn, Wait},
};

use super::{Stage, require};

pub(super) async fn an_image_that_never_comes_is_told_as_what_the_run_waits_for(stage: &Stage) {
    let run = stage.start(&stage.bundles.image_never_comes).await;
    let wait = wait_of(stage, &run, StuckOn::ImagePull).await;
    assert_eq!((wait.raw_reason.as_str(), wait.step.as_deref()), ("ErrImagePull", Some("main")));
    assert!(wait.task.is_some() && wait.task_run.is_some(), "{wait:?}");
    stage.stop(&run).await;
}

pub(super) async fn a_pod_that_no_node_takes_is_told_as_what_the_run_waits_for(stage: &Stage) {
    let run = stage.start(&stage.bundles.no_node_has_room).await;
    let wait = wait_of(stage, &run, StuckOn::Scheduling).await;
    assert_eq!(wait.step, None);
    stage.stop(&run).await;
}

pub(super) async fn a_run_that_waits_is_cancelled_like_any_other(stage: &Stage) {
    let run = stage.start(&stage.bundles.image_never_comes).await;
    wait_of(stage, &run, StuckOn::ImagePull).await;
    stage.accept(stage.tekton.cancel(&run.name, &run.uid, CancelMode::Immediate).await);
    let (end, progress) = stage.until_over(&run.name).await;
    assert_eq!(end, RunEnd::Cancelled { ran: false });
    let task = require(progress.tasks.first(), "task");
    assert_eq!(task.state, TaskState::Cancelled);
    assert!(task.steps.iter().all(|step| step.exit_code.is_none()), "{task:?}");
}

pub(super) async fn a_deadline_ends_a_wait_for_its_own_reason(stage: &Stage) {
    let mut request = stage.request(&stage.bundles.image_never_comes);
    request.timeout = Some(Duration::from_secs(5));
    let run = stage.create(&request).await;
    wait_of(stage, &run, StuckOn::ImagePull).await;
    let (end, _) = stage.until_over(&run.name).await;
    let RunEnd::Failed(failure) = end else {
        panic!("{end:?}");
    };
    assert_eq!(
        (failure.reason, failure.was_execution_failure),
        (FailureReason::ImagePullBackOff, false),
        "{failure:?}"
    );
}

async fn wait_of(stage: &Stage, run: &RunFacts, on: StuckOn) -> Wait {
    let what = format!("waits for {on:?}");
    stage
        .until_seen(&run.name, &what, |_, seen| seen.wait.clone().filter(|wait| wait.on == on))
        .await
}
