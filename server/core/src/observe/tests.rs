use super::*;
use crate::{facts::Child, failure::FailureReason, testing::at};

fn condition(status: Status, reason: &str) -> Condition {
    Condition { status, reason: reason.to_owned(), message: format!("about {reason}") }
}

fn mk_run(status: Status, reason: &str, tasks: &[&str]) -> RunFacts {
    RunFacts {
        name: "wfe-1".to_owned(),
        uid: "run".to_owned(),
        execution: None,
        target_hash: None,
        created_at: at(0),
        condition: Some(condition(status, reason)),
        started_at: Some(at(0)),
        completed_at: (status != Status::Unknown).then(|| at(30)),
        tasks: Some(tasks.iter().map(|t| (*t).to_owned()).collect()),
        children: Vec::new(),
        skipped: Vec::new(),
    }
}

fn mk_task(name: &str, status: Status, reason: &str, steps: Vec<StepFacts>) -> TaskRunFacts {
    TaskRunFacts {
        name: format!("wfe-1-{name}"),
        uid: format!("uid-{name}"),
        run_uid: "run".to_owned(),
        pipeline_task: name.to_owned(),
        condition: Some(condition(status, reason)),
        started_at: Some(at(1)),
        completed_at: (status != Status::Unknown).then(|| at(20)),
        steps,
        failed_attempts: 0,
        earlier_attempt_ran: false,
        stopped: false,
    }
}

fn ended(exit_code: i32, reason: &str) -> Vec<StepFacts> {
    vec![StepFacts {
        name: "s".to_owned(),
        state: ContainerState::Terminated {
            exit_code,
            reason: reason.to_owned(),
            started_at: Some(at(2)),
            ended_at: Some(at(3)),
        },
    }]
}

fn running() -> Vec<StepFacts> {
    vec![StepFacts {
        name: "s".to_owned(),
        state: ContainerState::Running { started_at: Some(at(2)) },
    }]
}

fn waiting(reason: &str) -> Vec<StepFacts> {
    let state = ContainerState::Waiting { reason: reason.to_owned(), message: String::new() };
    vec![StepFacts { name: "s".to_owned(), state }]
}

fn failure(run: &RunFacts, tasks: &[TaskRunFacts]) -> Failure {
    match observe(run, tasks, &Veil::none()).end {
        Some(RunEnd::Failed(failure)) => failure,
        other => panic!("{other:?}"),
    }
}

#[test]
fn progress_counts_every_task_of_the_pipeline_in_its_order() {
    let mut run = mk_run(Status::Unknown, "Running", &["a", "b", "c", "d"]);
    run.skipped = vec!["d".to_owned()];
    let tasks = [
        mk_task("b", Status::Unknown, "Running", running()),
        mk_task("a", Status::True, "Succeeded", ended(0, "Completed")),
    ];
    let progress = observe(&run, &tasks, &Veil::none()).progress;
    let states: Vec<_> = progress.tasks.iter().map(|t| (t.name.as_str(), t.state)).collect();
    assert_eq!(
        states,
        [
            ("a", TaskState::Succeeded),
            ("b", TaskState::Running),
            ("c", TaskState::Pending),
            ("d", TaskState::Skipped)
        ]
    );
    assert_eq!((progress.total, progress.succeeded, progress.skipped), (4, 1, 1));
    let step = &progress.tasks[0].steps[0];
    assert_eq!(
        (step.exit_code, step.started_at, step.ended_at),
        (Some(0), Some(at(2)), Some(at(3)))
    );
}

#[test]
fn the_total_is_unknown_until_the_pipeline_is_resolved() {
    let mut run = mk_run(Status::Unknown, "ResolvingPipelineRef", &[]);
    run.tasks = None;
    assert_eq!(observe(&run, &[], &Veil::none()).progress.total, 0);
}

#[test]
fn task_runs_of_another_run_of_the_same_name_are_not_counted() {
    let run = mk_run(Status::Unknown, "Running", &["a"]);
    let mut other = mk_task("a", Status::True, "Succeeded", Vec::new());
    other.run_uid = "an earlier run".to_owned();
    assert_eq!(observe(&run, &[other], &Veil::none()).progress.tasks[0].state, TaskState::Pending);
}

#[test]
fn only_the_status_says_that_a_run_is_over() {
    for reason in ["Failed", "Cancelled", "Succeeded", ""] {
        assert_eq!(
            observe(&mk_run(Status::Unknown, reason, &[]), &[], &Veil::none()).end,
            None,
            "{reason}"
        );
    }
    let mut fresh = mk_run(Status::Unknown, "", &[]);
    fresh.condition = None;
    assert_eq!(observe(&fresh, &[], &Veil::none()).end, None);
    let end = observe(&mk_run(Status::True, "Completed", &[]), &[], &Veil::none()).end;
    assert_eq!(end, Some(RunEnd::Succeeded { at: at(30) }));
}

#[test]
fn what_lives_on_after_a_cancelled_run_is_named() {
    let run = mk_run(Status::False, "Cancelled", &["a"]);
    let observation =
        observe(&run, &[mk_task("a", Status::Unknown, "Running", running())], &Veil::none());
    assert_eq!(observation.end, Some(RunEnd::Cancelled { ran: true }));
    assert_eq!(observation.live_task_runs, ["wfe-1-a"]);
}

#[test]
fn an_observation_is_complete_when_every_child_is_known_and_over() {
    let mut run = mk_run(Status::False, "Failed", &["a"]);
    let child = |kind: &str| Child {
        kind: kind.to_owned(),
        name: "wfe-1-a".to_owned(),
        pipeline_task: "a".to_owned(),
    };
    run.children = vec![child("TaskRun")];
    assert!(!observe(&run, &[], &Veil::none()).complete);
    assert!(
        !observe(&run, &[mk_task("a", Status::Unknown, "Running", running())], &Veil::none())
            .complete
    );
    assert!(
        observe(
            &run,
            &[mk_task("a", Status::False, "StepFailed", ended(1, "Error"))],
            &Veil::none()
        )
        .complete
    );
    run.children = vec![child("CustomRun")];
    assert!(observe(&run, &[], &Veil::none()).complete, "custom runs are not watched");
}

#[test]
fn evidence_decides_before_words() {
    let run = mk_run(Status::False, "Failed", &["a"]);
    let cases = [
        ("Failed", ended(137, "OOMKilled"), FailureReason::OomKilled, true),
        ("StepOOM", ended(137, "OOMKilled"), FailureReason::OomKilled, true),
        ("StepFailed", ended(3, "Error"), FailureReason::TaskFailed, true),
        ("Failed", ended(3, "Error"), FailureReason::TaskFailed, true),
        (
            "TaskRunImagePullFailed",
            waiting("ImagePullBackOff"),
            FailureReason::ImagePullBackOff,
            false,
        ),
        ("CreateContainerConfigError", Vec::new(), FailureReason::ConfigurationError, false),
        ("PodEvicted", running(), FailureReason::ResourceExhausted, true),
        ("TaskRunTimeout", running(), FailureReason::DeadlineExceeded, true),
        ("ANewReason", Vec::new(), FailureReason::Unknown, false),
    ];
    for (reason, steps, expected, ran) in cases {
        let failure = failure(&run, &[mk_task("a", Status::False, reason, steps)]);
        assert_eq!((failure.reason, failure.was_execution_failure), (expected, ran), "{reason}");
        assert_eq!((failure.task.as_deref(), failure.raw_reason.as_str()), (Some("a"), reason));
    }
}

#[test]
fn an_image_of_the_second_task_is_an_execution_failure_because_the_first_ran() {
    let run = mk_run(Status::False, "Failed", &["a", "b"]);
    let tasks = [
        mk_task("a", Status::True, "Succeeded", ended(0, "Completed")),
        mk_task("b", Status::False, "TaskRunImagePullFailed", waiting("ImagePullBackOff")),
    ];
    let failure = failure(&run, &tasks);
    assert_eq!(failure.reason, FailureReason::ImagePullBackOff);
    assert!(failure.was_execution_failure);
}

#[test]
fn a_run_that_never_launched_a_task_is_judged_by_its_own_reason() {
    let failure_of = |reason| failure(&mk_run(Status::False, reason, &[]), &[]);
    let missing = failure_of("CouldntGetPipeline");
    assert_eq!(missing.reason, FailureReason::ConfigurationError);
    assert!(!missing.was_execution_failure);
    assert_eq!(failure_of("PipelineRunTimeout").reason, FailureReason::DeadlineExceeded);
    assert_eq!(failure_of("SomethingNew").reason, FailureReason::Unknown);
}

#[test]
fn the_task_that_failed_by_itself_is_blamed_and_not_those_stopped_because_of_it() {
    let run = mk_run(Status::False, "Failed", &["a", "b"]);
    let mut stopped = mk_task("a", Status::False, "TaskRunCancelled", Vec::new());
    stopped.stopped = true;
    stopped.completed_at = Some(at(10));
    let failed = mk_task("b", Status::False, "StepFailed", ended(1, "Error"));
    assert_eq!(failure(&run, &[stopped, failed]).task.as_deref(), Some("b"));
}

#[test]
fn words_in_messages_and_names_decide_nothing() {
    let run = mk_run(Status::False, "Failed", &["oom-cleanup"]);
    let mut task = mk_task("oom-cleanup", Status::False, "StepFailed", ended(1, "Error"));
    if let Some(condition) = &mut task.condition {
        condition.message =
            "zoom: invalid configuration, forbidden, quota, timeout, OOMKilled".to_owned();
    }
    let failure = failure(&run, &[task]);
    assert_eq!(failure.reason, FailureReason::TaskFailed);
    assert_eq!(failure.step.as_deref(), Some("s"));
    assert_eq!(failure.exit_code, Some(1));
}

#[test]
fn what_a_run_says_is_told_without_sensitive_values_and_decided_with_them() {
    const SECRET: &str = "swordfish-and-more";
    let say = |condition: &mut Option<Condition>| {
        let condition = condition.as_mut().unwrap();
        // The beginning of the value stands where messages are cut.
        let fill = "x".repeat(MAX_MESSAGE_BYTES - 9);
        condition.message = format!("{fill} {SECRET}");
    };
    let mut run = mk_run(Status::False, "Failed", &["a"]);
    let mut task = mk_task("a", Status::False, "TaskRunImagePullFailed", ended(1, SECRET));
    say(&mut run.condition);
    say(&mut task.condition);
    let veil = Veil::over([SECRET, "Failed"]);
    let seen = observe(&run, &[task], &veil);
    let text = format!("{seen:?}");
    assert!(!text.contains("swordfi"), "{text}");
    let Some(RunEnd::Failed(failure)) = seen.end else { panic!("{text}") };
    assert_eq!(failure.reason, FailureReason::ImagePullBackOff);
    assert_eq!(failure.raw_reason, "TaskRunImagePull[sensitive]");
    assert_eq!(seen.progress.tasks[0].state, TaskState::Failed);
}
