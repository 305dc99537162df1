//! What a run's name guarantees.

use wfe_core::observe::RunEnd;

use super::{
    super::{CreateError, Seen},
    Stage, present, require,
};

pub(super) async fn creating_a_run_again_shows_the_run_that_exists(stage: &Stage) {
    let request = stage.request(&stage.bundles.succeeds);
    let run = stage.create(&request).await;
    let again = stage.tekton.create(&request).await;
    let Err(CreateError::Exists(found)) = again else {
        panic!("{again:?}");
    };
    assert_eq!(
        (&found.name, &found.uid, found.execution),
        (&run.name, &run.uid, Some(request.execution))
    );
    let (end, _) = stage.until_over(&run.name).await;
    assert!(matches!(end, RunEnd::Succeeded { .. }), "{end:?}");
    // Also after its end: a name is never used again while the run is kept.
    let late = stage.tekton.create(&request).await;
    assert!(matches!(late, Err(CreateError::Exists(_))), "{late:?}");
}

pub(super) async fn a_name_that_another_execution_took_shows_its_owner(stage: &Stage) {
    let request = stage.request(&stage.bundles.succeeds);
    let run = stage.create(&request).await;
    let mut other = request.clone();
    other.execution = stage.ids.execution(stage.clock.now());
    let answer = stage.tekton.create(&other).await;
    let Err(CreateError::Exists(found)) = answer else {
        panic!("{answer:?}");
    };
    assert_eq!(
        (&found.uid, found.execution, found.target_hash.as_ref()),
        (&run.uid, Some(request.execution), Some(&request.request.target.hash()))
    );
}

pub(super) async fn a_deleted_run_disappears_with_its_task_runs(stage: &Stage) {
    let request = stage.request(&stage.bundles.never_ends);
    let run = stage.create(&request).await;
    stage.until_running(&run.name).await;
    stage.accept(stage.tekton.delete(&run.name, &run.uid).await);
    stage
        .until("the deleted run to be gone", || {
            (stage.tekton.seen(&run.name) == Seen::Absent).then_some(())
        })
        .await;
    assert_eq!(stage.read(&run.name).await, None);
    let of_target = stage.tekton.runs_of_target(&request.request.target.hash());
    assert_eq!(of_target, Some(Vec::new()));
    stage.accept(stage.tekton.delete(&run.name, &run.uid).await);
}

pub(super) async fn a_run_is_deleted_only_under_its_uid(stage: &Stage) {
    let run = stage.start(&stage.bundles.succeeds).await;
    let other = "00000000-0000-0000-0000-000000000000";
    stage.accept(stage.tekton.delete(&run.name, other).await);
    stage.until_over(&run.name).await;
    let read = require(stage.read(&run.name).await, "run");
    assert_eq!(read.run.uid, run.uid);
    assert!(present(stage.tekton.as_ref(), &run.name).is_some());
}
