//! What the watches know and tell.

use std::collections::BTreeSet;

use futures::future::join_all;

use super::{super::Seen, Stage, present, require};

pub(super) async fn the_watches_tell_of_every_run(stage: &Stage) {
    let requests: Vec<_> = (0..6).map(|_| stage.request(&stage.bundles.succeeds)).collect();
    let runs = join_all(requests.iter().map(|request| stage.create(request))).await;
    for (request, run) in requests.iter().zip(&runs) {
        stage.until_over(&run.name).await;
        let hash = request.request.target.hash();
        let told = stage.until("word of a run", || stage.told.of(request.execution)).await;
        assert_eq!(told, BTreeSet::from([Some(hash.clone())]));
        let of_target = require(stage.tekton.runs_of_target(&hash), "answer once synced");
        let names: Vec<&str> = of_target.iter().map(|run| run.name.as_str()).collect();
        assert_eq!(names, [run.name.as_str()]);
    }
    let ended = stage.tekton.ended_runs();
    let ended: BTreeSet<&str> = ended.iter().map(|run| run.name.as_str()).collect();
    assert!(runs.iter().all(|run| ended.contains(run.name.as_str())));
    let health = stage.tekton.health();
    assert!(health.synced && health.age < stage.patience, "{health:?}");
}

pub(super) async fn a_newcomer_sees_what_was_there_before(stage: &Stage) {
    let live = stage.request(&stage.bundles.never_ends);
    let (live, ended) = (stage.create(&live).await, stage.start(&stage.bundles.succeeds).await);
    stage.until_over(&ended.name).await;
    stage.until_running(&live.name).await;
    let newcomer = Stage::new(
        stage.ground.clone(),
        stage.bundles.clone(),
        stage.patience,
        stage.clock.clone(),
    );
    assert_eq!(newcomer.tekton.seen(&live.name), Seen::NotSynced);
    assert_eq!(newcomer.tekton.runs_of_target("0000000000000000"), None);
    newcomer.until_over(&ended.name).await;
    newcomer.until_running(&live.name).await;
    for run in [&live, &ended] {
        let execution = require(run.execution, "execution");
        let told = newcomer.until("word of a run", || newcomer.told.of(execution)).await;
        assert_eq!(told, BTreeSet::from([run.target_hash.clone()]));
    }
    newcomer.leave().await;
    stage.stop(&live).await;
}

pub(super) async fn what_the_watches_know_is_what_a_read_says(stage: &Stage) {
    let run = stage.start(&stage.bundles.three_tasks_in_order).await;
    stage.until_over(&run.name).await;
    let read = require(stage.read(&run.name).await, "run");
    let mut read_tasks = read.task_runs.clone();
    read_tasks.sort_by(|a, b| a.name.cmp(&b.name));
    // Tekton may still touch its objects after their end; the watches follow.
    let seen = stage
        .until("the watches to agree with a read", || {
            present(stage.tekton.as_ref(), &run.name).filter(|seen| seen.run == read.run)
        })
        .await;
    let mut seen_tasks = seen.task_runs;
    seen_tasks.sort_by(|a, b| a.name.cmp(&b.name));
    assert_eq!(seen_tasks, read_tasks);
}
