use jiff::Timestamp;
use wfe_core::{
    facts::{Condition, Status, Stopped},
    ids::ExecutionId,
};

use super::*;

fn mk_run(name: &str, uid: &str, reason: &str, version: Version) -> Versioned<RunFacts> {
    let facts = RunFacts {
        name: name.to_owned(),
        uid: uid.to_owned(),
        execution: None,
        target_hash: Some(format!("hash of {name}")),
        created_at: Timestamp::UNIX_EPOCH,
        condition: Some(Condition {
            status: if reason == "Succeeded" { Status::True } else { Status::Unknown },
            reason: reason.to_owned(),
            message: String::new(),
        }),
        started_at: None,
        completed_at: None,
        tasks: None,
        children: Vec::new(),
        skipped: Vec::new(),
        stopping: None,
    };
    Versioned { facts, version }
}

fn mk_task_run(
    name: &str,
    run_uid: &str,
    stopped: bool,
    version: Version,
) -> Versioned<TaskRunFacts> {
    let facts = TaskRunFacts {
        name: name.to_owned(),
        uid: format!("uid of {name}"),
        run_uid: run_uid.to_owned(),
        pipeline_task: "a".to_owned(),
        condition: None,
        started_at: None,
        completed_at: None,
        steps: Vec::new(),
        failed_attempts: 0,
        earlier_attempt_ran: false,
        stopped: if stopped { Stopped::Asked } else { Stopped::No },
    };
    Versioned { facts, version }
}

fn told(change: RunChange) -> String {
    change.target_hash.unwrap_or_default()
}

fn reason(cache: &Cache, name: &str) -> Option<String> {
    match cache.seen(name) {
        Seen::Present(seen) => seen.run.condition.map(|condition| condition.reason),
        Seen::Absent | Seen::NotSynced => None,
    }
}

fn mk_synced(version: Version) -> Cache {
    let mut cache = Cache::default();
    cache.replace_runs(Vec::new(), version);
    cache.replace_task_runs(Vec::new(), version);
    cache
}

#[test]
fn nothing_is_known_before_both_lists() {
    let mut cache = Cache::default();
    cache.replace_runs(vec![mk_run("r", "u", "Running", 5)], 7);
    assert_eq!(cache.seen("r"), Seen::NotSynced);
    assert_eq!(cache.runs_of_target("hash of r"), None);
    cache.replace_task_runs(Vec::new(), 7);
    assert_eq!(reason(&cache, "r").as_deref(), Some("Running"));
    assert_eq!(cache.seen("other"), Seen::Absent);
    assert_eq!(cache.runs_of_target("other"), Some(Vec::new()));
}

#[test]
fn an_older_state_never_replaces_a_newer_one() {
    let mut cache = mk_synced(10);
    assert!(cache.apply_run(mk_run("r", "u", "Running", 20)).is_some());
    assert_eq!(cache.apply_run(mk_run("r", "u", "Started", 15)), None);
    assert_eq!(reason(&cache, "r").as_deref(), Some("Running"));
    assert_eq!(cache.remove_run("r", 19), None);
    assert!(cache.remove_run("r", 21).is_some());
    assert_eq!(cache.seen("r"), Seen::Absent);
}

#[test]
fn a_state_that_tells_nothing_new_is_no_change() {
    let mut cache = mk_synced(10);
    assert!(cache.apply_run(mk_run("r", "u", "Running", 20)).is_some());
    assert_eq!(cache.apply_run(mk_run("r", "u", "Running", 22)), None);
    // And yet the version counts.
    assert_eq!(cache.apply_run(mk_run("r", "u", "Started", 21)), None);
}

#[test]
fn a_created_run_is_there_at_once_and_survives_a_list_that_cannot_know_it() {
    let mut cache = mk_synced(10);
    cache.answered(mk_run("r", "u", "", 30));
    assert!(matches!(cache.seen("r"), Seen::Present(_)));
    assert_eq!(cache.replace_runs(Vec::new(), 25), []);
    assert!(matches!(cache.seen("r"), Seen::Present(_)));
    let vanished = cache.replace_runs(Vec::new(), 35);
    assert_eq!(vanished.into_iter().map(told).collect::<Vec<_>>(), ["hash of r"]);
    assert_eq!(cache.seen("r"), Seen::Absent);
}

#[test]
fn an_answer_that_comes_after_the_watch_saw_the_deletion_brings_nothing_back() {
    let mut cache = mk_synced(10);
    cache.apply_run(mk_run("r", "u", "Running", 30));
    cache.remove_run("r", 40);
    cache.runs_are_known_to(40);
    cache.answered(mk_run("r", "u", "", 29));
    assert_eq!(cache.seen("r"), Seen::Absent);
}

#[test]
fn a_list_from_before_what_was_known_means_that_the_cluster_was_restored() {
    let mut cache = mk_synced(10);
    cache.apply_run(mk_run("kept", "u", "Running", 900));
    cache.apply_run(mk_run("lost", "v", "Running", 950));
    cache.apply_task_run(mk_task_run("t", "u", false, 960));
    cache.runs_are_known_to(1000);
    cache.task_runs_are_known_to(1000);
    cache.replace_runs(vec![mk_run("kept", "u", "Started", 80)], 100);
    cache.replace_task_runs(Vec::new(), 100);
    assert_eq!(reason(&cache, "kept").as_deref(), Some("Started"));
    assert_eq!(cache.seen("lost"), Seen::Absent);
    let Seen::Present(seen) = cache.seen("kept") else { panic!() };
    assert_eq!(seen.task_runs, []);
}

#[test]
fn a_change_of_a_task_run_is_a_change_of_its_run() {
    let mut cache = mk_synced(10);
    // Its run is not known yet; when it comes, it is told for itself.
    assert_eq!(cache.apply_task_run(mk_task_run("t", "u", false, 20)), None);
    assert!(cache.apply_run(mk_run("r", "u", "Running", 19)).is_some());
    let stopped = mk_task_run("t", "u", true, 22);
    assert_eq!(cache.apply_task_run(stopped.clone()).map(told).as_deref(), Some("hash of r"));
    assert_eq!(cache.apply_task_run(stopped), None);
    assert_eq!(cache.apply_task_run(mk_task_run("t", "u", false, 21)), None);
    assert!(cache.apply_task_run(mk_task_run("s", "other run", false, 23)).is_none());
    let Seen::Present(seen) = cache.seen("r") else { panic!() };
    let names: Vec<(&str, bool)> = seen
        .task_runs
        .iter()
        .map(|task| (task.name.as_str(), task.stopped != Stopped::No))
        .collect();
    assert_eq!(names, [("t", true)]);
    assert_eq!(cache.remove_task_run("t", 30).map(told).as_deref(), Some("hash of r"));
    let Seen::Present(seen) = cache.seen("r") else { panic!() };
    assert_eq!(seen.task_runs, []);
}

#[test]
fn a_run_made_anew_under_its_name_has_none_of_the_old_task_runs() {
    let mut cache = mk_synced(10);
    cache.apply_run(mk_run("r", "u1", "Running", 20));
    cache.apply_task_run(mk_task_run("t", "u1", false, 21));
    cache.apply_run(mk_run("r", "u2", "Running", 30));
    let Seen::Present(seen) = cache.seen("r") else { panic!() };
    assert_eq!((seen.run.uid.as_str(), seen.task_runs.len()), ("u2", 0));
    // What still happens to the old TaskRun is nobody's change.
    assert_eq!(cache.apply_task_run(mk_task_run("t", "u1", true, 31)), None);
    assert_eq!(cache.runs_of_target("hash of r").map(|runs| runs.len()), Some(1));
}

#[test]
fn whose_run_was_replaced_by_another_of_its_name_hears_of_it() {
    let mk = |uid: &str, owner: u128, version| {
        let mut run = mk_run("r", uid, "Running", version);
        run.facts.execution = Some(ExecutionId::new(uuid::Uuid::from_u128(owner)));
        run
    };
    let mut cache = mk_synced(10);
    cache.apply_run(mk("u1", 1, 20));
    let (first, second) = (mk("u1", 1, 20).facts.execution, mk("u2", 2, 30).facts.execution);
    let vanished = cache.replace_runs(vec![mk("u2", 2, 30)], 35);
    assert_eq!(vanished.iter().map(|change| change.execution).collect::<Vec<_>>(), [first]);
    assert_eq!(cache.remove_other("r", "u2", 40), None);
    assert_eq!(cache.remove_other("r", "u3", 40).map(|change| change.execution), Some(second));
}

#[test]
fn ended_runs_are_those_that_tekton_finished() {
    let mut cache = mk_synced(10);
    cache.apply_run(mk_run("live", "u", "Running", 20));
    cache.apply_run(mk_run("over", "v", "Succeeded", 21));
    let ended: Vec<String> = cache.ended_runs().into_iter().map(|run| run.name).collect();
    assert_eq!(ended, ["over"]);
    assert_eq!(cache.all().len(), 2);
}

#[test]
fn nothing_is_left_of_what_is_gone() {
    let mut cache = mk_synced(10);
    for n in 0..10 {
        cache.apply_run(mk_run(&format!("r{n}"), &format!("u{n}"), "Running", 20));
        cache.apply_task_run(mk_task_run(&format!("t{n}"), &format!("u{n}"), false, 20));
    }
    cache.replace_runs(Vec::new(), 30);
    cache.replace_task_runs(Vec::new(), 30);
    let left = [
        cache.runs.len(),
        cache.runs_by_uid.len(),
        cache.runs_by_target.len(),
        cache.task_runs.len(),
        cache.task_runs_by_run.len(),
    ];
    assert_eq!(left, [0; 5]);
}
