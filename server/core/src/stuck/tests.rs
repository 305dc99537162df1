use std::slice;

use super::*;
use crate::{
    facts::{Child, Condition, ContainerState, RunFacts, Status, StepFacts, Stopped, TaskRunFacts},
    observe::observe,
    testing::{at, mk_stuck},
    veil::Veil,
};

fn mk_run(reason: &str) -> RunFacts {
    RunFacts {
        name: "run".to_owned(),
        uid: "run".to_owned(),
        execution: None,
        target_hash: None,
        created_at: at(0),
        deleted_at: None,
        condition: Some(going(reason, "about the run")),
        started_at: Some(at(0)),
        completed_at: None,
        tasks: Some(vec!["a".to_owned(), "b".to_owned()]),
        children: Vec::new(),
        skipped: Vec::new(),
        stopping: None,
    }
}

fn mk_condition(status: Status, reason: &str, message: &str) -> Condition {
    Condition { status, reason: reason.to_owned(), message: message.to_owned() }
}

fn going(reason: &str, message: &str) -> Condition {
    mk_condition(Status::Unknown, reason, message)
}

fn mk_task(name: &str, condition: Condition, state: ContainerState) -> TaskRunFacts {
    TaskRunFacts {
        name: format!("run-{name}"),
        uid: name.to_owned(),
        run_uid: "run".to_owned(),
        pipeline_task: name.to_owned(),
        deleted_at: None,
        condition: Some(condition),
        started_at: Some(at(1)),
        completed_at: None,
        steps: vec![StepFacts { name: "main".to_owned(), state }],
        pod: None,
        failed_attempts: 0,
        earlier_attempt_ran: false,
        stopped: Stopped::No,
    }
}

fn mk_waiting(reason: &str) -> ContainerState {
    match reason {
        "" => ContainerState::Unknown,
        _ => ContainerState::Waiting { reason: reason.to_owned(), message: "why".to_owned() },
    }
}

#[test]
fn each_wait_is_recognised_by_reasons_and_never_by_words() {
    use StuckOn::{ContainerConfig, ImagePull, Quota, Resolution, Scheduling, TaskStart, Volume};
    let not_set_up = "pod status \"PodReadyToStartContainers\":\"False\"; message: \"\"";
    let unscheduled = "pod status \"PodScheduled\":\"False\"; message: \"0/1 nodes\"";
    let scheduler = |text| format!("{unscheduled}: {text}");
    let no_claim = scheduler("persistentvolumeclaim \\\"c\\\" not found. not found");
    let unbound = scheduler("pod has unbound immediate PersistentVolumeClaims. not found");
    let other_claim = scheduler("persistentvolumeclaim \\\"c\\\" is being deleted");
    // The TaskRun's reason and message, the reason for which its container waits, and what that is.
    let cases = [
        ("Pending", "Pending", "", Some((TaskStart, "Pending"))),
        ("Pending", "Pending", "PodInitializing", Some((TaskStart, "Pending"))),
        ("Pending", "Pending", "ContainerCreating", Some((TaskStart, "Pending"))),
        ("Pending", not_set_up, "PodInitializing", Some((TaskStart, "Pending"))),
        ("Pending", "the quota is exceeded, ErrImagePull", "", Some((TaskStart, "Pending"))),
        ("Started", "", "", Some((TaskStart, "Started"))),
        ("TaskRunPending", "on purpose", "", None),
        ("ToBeRetried", "failed", "", None),
        ("PullImageFailed", "m", "ErrImagePull", Some((ImagePull, "ErrImagePull"))),
        ("PullImageFailed", "m", "PodInitializing", Some((ImagePull, "PullImageFailed"))),
        ("Pending", "m", "ImagePullBackOff", Some((ImagePull, "ImagePullBackOff"))),
        ("Pending", "m", "InvalidImageName", Some((ImagePull, "InvalidImageName"))),
        ("ExceededResourceQuota", "m", "", Some((Quota, "ExceededResourceQuota"))),
        ("ExceededNodeResources", "m", "", Some((Scheduling, "ExceededNodeResources"))),
        ("Pending", unscheduled, "", Some((Scheduling, "Pending"))),
        ("Pending", &no_claim, "", Some((Volume, "Pending"))),
        ("Pending", &unbound, "", Some((Volume, "Pending"))),
        ("Pending", &other_claim, "", Some((Scheduling, "Pending"))),
        (
            "Pending",
            "m",
            "CreateContainerConfigError",
            Some((ContainerConfig, "CreateContainerConfigError")),
        ),
        ("ResolvingTaskRef", "m", "", Some((Resolution, "ResolvingTaskRef"))),
        ("ResolvingStepActionRef", "m", "", Some((Resolution, "ResolvingStepActionRef"))),
    ];
    for (reason, message, container, expected) in cases {
        let task = mk_task("a", going(reason, message), mk_waiting(container));
        let wait = observe(&mk_run("Running"), &[task], &Veil::none()).wait;
        let found = wait.as_ref().map(|wait| (wait.on, wait.raw_reason.as_str()));
        assert_eq!(found, expected, "{reason} {message} {container}");
        if let Some(wait) = wait {
            assert_eq!(
                (wait.task.as_deref(), wait.task_run.as_deref()),
                (Some("a"), Some("run-a"))
            );
            assert!(wait.sentence().starts_with("task a waits "), "{}", wait.sentence());
        }
    }
}

#[test]
fn a_run_waits_for_its_definition_until_it_is_there() {
    let on = |reason| {
        let run = RunFacts { tasks: None, ..mk_run(reason) };
        observe(&run, &[], &Veil::none()).wait.map(|wait| (wait.on, wait.task))
    };
    assert_eq!(on("ResolvingPipelineRef"), Some((StuckOn::Resolution, None)));
    assert_eq!(on("ResolvingTaskRef"), Some((StuckOn::Resolution, None)));
    assert_eq!(on("PipelineRunPending"), None);
}

#[test]
fn a_run_of_which_anything_runs_is_not_stuck() {
    let stuck = mk_task("a", going("ExceededResourceQuota", "m"), ContainerState::Unknown);
    let running = ContainerState::Running { started_at: Some(at(2)) };
    let running = mk_task("b", going("Running", "m"), running);
    let run = mk_run("Running");
    assert_eq!(observe(&run, &[stuck.clone(), running], &Veil::none()).wait, None);
    let done = mk_task("b", mk_condition(Status::True, "Succeeded", "m"), ContainerState::Unknown);
    assert!(observe(&run, &[stuck.clone(), done], &Veil::none()).wait.is_some());
    let child = Child {
        kind: "CustomRun".to_owned(),
        name: "run-b".to_owned(),
        pipeline_task: "b".to_owned(),
    };
    let run = RunFacts { children: vec![child], ..run };
    assert_eq!(
        observe(&run, &[stuck], &Veil::none()).wait,
        None,
        "nobody knows what a custom task does"
    );
}

#[test]
fn what_is_over_waits_for_nothing() {
    let pulling = mk_task("a", going("PullImageFailed", "m"), mk_waiting("ErrImagePull"));
    let over = mk_condition(Status::False, "Cancelled", "m");
    let run = RunFacts { condition: Some(over), ..mk_run("Cancelled") };
    assert_eq!(observe(&run, &[pulling], &Veil::none()).wait, None);
    let failed = mk_condition(Status::False, "TaskRunImagePullFailed", "m");
    let failed = mk_task("a", failed, mk_waiting("ImagePullBackOff"));
    let wait = observe(&mk_run("Running"), &[failed], &Veil::none()).wait;
    assert_eq!(wait.and_then(|wait| wait.task), None);
}

#[test]
fn a_wait_for_the_same_thing_goes_on_and_another_begins_anew() {
    let first = mk_stuck(StuckOn::ImagePull);
    let flapped = Wait { raw_reason: "ImagePullBackOff".to_owned(), ..first.wait.clone() };
    let noted = Stuck::noted(flapped.clone(), Some(&first), at(60));
    assert_eq!((noted.since, noted.wait.raw_reason.as_str()), (at(5), "ImagePullBackOff"));
    for other in [
        Wait { on: StuckOn::Quota, ..flapped.clone() },
        Wait { task: Some("b".to_owned()), ..flapped.clone() },
    ] {
        assert_eq!(Stuck::noted(other, Some(&first), at(60)).since, at(60));
    }
    assert_eq!(Stuck::noted(flapped, None, at(60)).since, at(60));
}

#[test]
fn each_kind_has_a_patience_of_its_own() {
    let patience = Patience {
        resolution: Duration::from_secs(1),
        image_pull: Duration::from_secs(2),
        quota: Duration::from_secs(3),
        scheduling: Duration::from_secs(4),
        volume: Duration::from_secs(5),
        container_config: Duration::from_secs(6),
        task_start: Duration::from_secs(7),
    };
    let ends = StuckOn::ALL.map(|on| patience.end(&mk_stuck(on)));
    assert_eq!(ends, [6, 7, 8, 9, 10, 11, 65, 12].map(at));
}

#[test]
fn a_sentence_says_what_is_waited_for_and_why() {
    assert_eq!(
        mk_stuck(StuckOn::Quota).wait.sentence(),
        "task a waits for room in a quota (RawReason: no room)"
    );
}

#[test]
fn a_run_whose_next_task_is_not_made_waits_for_it() {
    let waits = |run: &RunFacts, tasks: &[TaskRunFacts]| {
        let wait = observe(run, tasks, &Veil::none()).wait;
        wait.map(|wait| (wait.on, wait.task.clone(), wait.is_normal_until(run.created_at)))
    };
    let unseen = RunFacts { condition: None, ..mk_run("") };
    // The last one has its definition, whatever it says.
    for run in [unseen, mk_run("Started"), mk_run("Running"), mk_run("ResolvingPipelineRef")] {
        assert_eq!(waits(&run, &[]), Some((StuckOn::TaskStart, None, at(30))), "{run:?}");
    }
    // The next one is due since the last one ended.
    let done = mk_condition(Status::True, "Succeeded", "m");
    let done =
        TaskRunFacts { completed_at: Some(at(100)), ..mk_task("a", done, ContainerState::Unknown) };
    let run = mk_run("Running");
    assert_eq!(waits(&run, slice::from_ref(&done)), Some((StuckOn::TaskStart, None, at(130))));
    let next = mk_task("b", going("Pending", "Pending"), ContainerState::Unknown);
    let started = Some((StuckOn::TaskStart, Some("b".to_owned()), at(31)));
    assert_eq!(waits(&run, &[done, next]), started);
}

#[test]
fn what_is_told_of_one_task_is_told_before_that_another_does_not_start() {
    let silent = mk_task("a", going("Pending", "Pending"), ContainerState::Unknown);
    let quota = mk_task("b", going("ExceededResourceQuota", "m"), ContainerState::Unknown);
    let wait = observe(&mk_run("Running"), &[silent, quota], &Veil::none()).wait.unwrap();
    assert_eq!((wait.on, wait.task.as_deref()), (StuckOn::Quota, Some("b")));
}

#[test]
fn a_task_that_does_not_start_says_no_more_than_is_known() {
    let sentence = |message: &str| {
        let task = mk_task("a", going("Pending", message), mk_waiting("PodInitializing"));
        observe(&mk_run("Running"), &[task], &Veil::none()).wait.unwrap().sentence()
    };
    assert_eq!(
        sentence("pod status \"PodReadyToStartContainers\":\"False\"; message: \"\""),
        "task a waits for the volumes and the network of its pod (Pending: pod status \
         \"PodReadyToStartContainers\":\"False\"; message: \"\")"
    );
    assert_eq!(
        sentence("Pending"),
        "task a waits for its pod, of which no container has started (Pending)"
    );
    let unseen = RunFacts { condition: None, ..mk_run("") };
    assert_eq!(
        observe(&unseen, &[], &Veil::none()).wait.unwrap().sentence(),
        "the run waits for Tekton, which has not made its next task"
    );
}

fn mk_child(kind: &str, task: &str) -> Child {
    let name = format!("run-{task}");
    Child { kind: kind.to_owned(), name, pipeline_task: task.to_owned() }
}

#[test]
fn a_task_run_that_is_gone_for_good_is_waited_for() {
    let wait_of = |run: &RunFacts, tasks: &[TaskRunFacts]| observe(run, tasks, &Veil::none()).wait;
    let over = mk_task("b", mk_condition(Status::True, "Succeeded", ""), mk_waiting(""));
    let mut run = mk_run("Running");
    run.children = vec![mk_child("TaskRun", "a"), mk_child("TaskRun", "b")];
    let wait = wait_of(&run, std::slice::from_ref(&over)).unwrap();
    assert_eq!(
        (wait.on, wait.task.as_deref(), wait.task_run.as_deref()),
        (StuckOn::Deleted, Some("a"), Some("run-a"))
    );
    assert!(wait.sentence().contains("was deleted from outside"), "{}", wait.sentence());

    // As long as anything goes on, it is made again when that has ended.
    let goes_on = mk_task("b", going("Pending", ""), mk_waiting(""));
    let wait = wait_of(&run, &[goes_on]).unwrap();
    assert_eq!((wait.on, wait.task.as_deref()), (StuckOn::TaskStart, Some("b")));
    run.children.push(mk_child("CustomRun", "c"));
    assert_eq!(wait_of(&run, std::slice::from_ref(&over)), None);
    run.children.pop();
    let ended =
        RunFacts { condition: Some(mk_condition(Status::True, "Succeeded", "")), ..run.clone() };
    assert_eq!(wait_of(&ended, &[over]), None);
}

#[test]
fn a_task_run_that_finalizers_hold_is_waited_for_whatever_it_says_of_itself() {
    let running = ContainerState::Running { started_at: Some(at(2)) };
    let held = TaskRunFacts {
        deleted_at: Some(at(3)),
        ..mk_task("a", going("Running", "running"), running)
    };
    let wait = observe(&mk_run("Running"), &[held], &Veil::none()).wait.unwrap();
    assert_eq!((wait.on, wait.task.as_deref()), (StuckOn::Deleted, Some("a")));
    assert!(wait.message.contains("finalizers"), "{wait:?}");
}

#[test]
fn a_task_run_that_was_never_seen_was_not_deleted() {
    let run = RunFacts { children: vec![mk_child("TaskRun", "a")], ..mk_run("Running") };
    let unseen = observe(&run, &[], &Veil::none());
    let wait = unseen.wait.unwrap();
    assert!(!wait.is_certain(&Progress::default()));
    let pending = mk_task("a", going("Pending", ""), mk_waiting(""));
    let before = observe(&run, &[pending], &Veil::none()).progress;
    assert!(wait.is_certain(&before));
    // Once noted it stays certain, although the progress that was noted with it has no TaskRun.
    let stuck = Stuck { wait: wait.clone(), since: at(5) };
    let noted = Progress { stuck: Some(Box::new(stuck)), ..unseen.progress };
    assert!(wait.is_certain(&noted));
    assert!(mk_stuck(StuckOn::Quota).wait.is_certain(&Progress::default()));
}
