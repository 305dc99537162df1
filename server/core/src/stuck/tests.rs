use super::*;
use crate::{
    facts::{Child, Stopped},
    observe::observe,
    testing::{at, mk_stuck},
};

fn mk_run(reason: &str) -> RunFacts {
    RunFacts {
        name: "run".to_owned(),
        uid: "run".to_owned(),
        execution: None,
        target_hash: None,
        created_at: at(0),
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
        condition: Some(condition),
        started_at: Some(at(1)),
        completed_at: None,
        steps: vec![StepFacts { name: "main".to_owned(), state }],
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
    use StuckOn::{ContainerConfig, ImagePull, Quota, Resolution, Scheduling};
    let unscheduled = "pod status \"PodScheduled\":\"False\"; message: \"0/1 nodes\"";
    // The TaskRun's reason and message, the reason for which its container waits, and what that is.
    let cases = [
        ("Pending", "Pending", "", None),
        ("Pending", "Pending", "PodInitializing", None),
        ("Pending", "Pending", "ContainerCreating", None),
        ("Pending", "the quota is exceeded, ErrImagePull", "", None),
        ("TaskRunPending", "on purpose", "", None),
        ("ToBeRetried", "failed", "", None),
        ("PullImageFailed", "m", "ErrImagePull", Some((ImagePull, "ErrImagePull"))),
        ("PullImageFailed", "m", "PodInitializing", Some((ImagePull, "PullImageFailed"))),
        ("Pending", "m", "ImagePullBackOff", Some((ImagePull, "ImagePullBackOff"))),
        ("Pending", "m", "InvalidImageName", Some((ImagePull, "InvalidImageName"))),
        ("ExceededResourceQuota", "m", "", Some((Quota, "ExceededResourceQuota"))),
        ("ExceededNodeResources", "m", "", Some((Scheduling, "ExceededNodeResources"))),
        ("Pending", unscheduled, "", Some((Scheduling, "Pending"))),
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
    let on =
        |reason| observe(&mk_run(reason), &[], &Veil::none()).wait.map(|wait| (wait.on, wait.task));
    assert_eq!(on("ResolvingPipelineRef"), Some((StuckOn::Resolution, None)));
    assert_eq!(on("ResolvingTaskRef"), Some((StuckOn::Resolution, None)));
    assert_eq!(on("Running"), None);
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
    assert_eq!(observe(&mk_run("Running"), &[failed], &Veil::none()).wait, None);
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
        container_config: Duration::from_secs(5),
    };
    let ends = StuckOn::ALL.map(|on| patience.end(&mk_stuck(on)));
    assert_eq!(ends, [6, 7, 8, 9, 10].map(at));
}

#[test]
fn a_sentence_says_what_is_waited_for_and_why() {
    assert_eq!(
        mk_stuck(StuckOn::Quota).wait.sentence(),
        "task a waits for room in a quota (RawReason: no room)"
    );
}
