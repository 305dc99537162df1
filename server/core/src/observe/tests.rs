use proptest::prelude::*;

use super::*;
use crate::{
    facts::{Child, Skipped, Stopped},
    failure::FailureReason,
    stuck::Stuck,
    testing::at,
};

mod foreign;

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
        deleted_at: None,
        condition: Some(condition(status, reason)),
        started_at: Some(at(0)),
        completed_at: (status != Status::Unknown).then(|| at(30)),
        tasks: Some(tasks.iter().map(|t| (*t).to_owned()).collect()),
        children: Vec::new(),
        skipped: Vec::new(),
        stopping: None,
    }
}

fn mk_task(name: &str, status: Status, reason: &str, steps: Vec<StepFacts>) -> TaskRunFacts {
    TaskRunFacts {
        name: format!("wfe-1-{name}"),
        uid: format!("uid-{name}"),
        run_uid: "run".to_owned(),
        pipeline_task: name.to_owned(),
        deleted_at: None,
        condition: Some(condition(status, reason)),
        started_at: Some(at(1)),
        completed_at: (status != Status::Unknown).then(|| at(20)),
        steps,
        pod: None,
        failed_attempts: 0,
        earlier_attempt_ran: false,
        stopped: Stopped::No,
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
    run.skipped = vec![Skipped { task: "d".to_owned(), reason: String::new() }];
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
    stopped.stopped = Stopped::Asked;
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
fn a_failure_that_is_ignored_is_not_blamed_for_the_one_that_is_not() {
    let run = mk_run(Status::False, "Failed", &["a", "b"]);
    let mut ignored = mk_task("a", Status::False, "FailureIgnored", ended(9, "Error"));
    ignored.completed_at = Some(at(2));
    let failed = mk_task("b", Status::False, "StepFailed", ended(4, "Error"));
    let failure = failure(&run, &[ignored, failed]);
    assert_eq!((failure.task.as_deref(), failure.exit_code), (Some("b"), Some(4)));
}

#[test]
fn of_two_that_failed_within_a_second_the_earlier_one_of_the_pipeline_is_blamed() {
    let run = mk_run(Status::False, "Failed", &["work", "report"]);
    let work = mk_task("work", Status::False, "StepFailed", ended(4, "Error"));
    let report = mk_task("report", Status::False, "StepFailed", ended(5, "Error"));
    assert_eq!(work.completed_at, report.completed_at);
    for tasks in [[work.clone(), report.clone()], [report.clone(), work.clone()]] {
        assert_eq!(failure(&run, &tasks).task.as_deref(), Some("work"));
    }
    // What really ended before comes first, wherever it stands.
    let earlier = TaskRunFacts { completed_at: Some(at(1)), ..report };
    assert_eq!(failure(&run, &[work, earlier]).task.as_deref(), Some("report"));
}

#[test]
fn what_decided_is_kept_with_the_failure() {
    let run = mk_run(Status::False, "Failed", &["a"]);
    let failure = failure(&run, &[mk_task("a", Status::False, "StepFailed", ended(3, "Error"))]);
    let evidence = failure.evidence.unwrap();
    assert_eq!(
        (evidence.object.as_str(), evidence.field.as_str(), evidence.value.as_str()),
        ("TaskRun wfe-1-a", "status.steps[s].terminated.exitCode", "3")
    );
}

#[test]
fn a_custom_task_is_as_far_as_the_counts_of_its_run_say() {
    let cases = [
        (
            Status::Unknown,
            "Running",
            "Tasks Completed: 1 (Failed: 0, Cancelled 0), Incomplete: 1, Skipped: 0",
            TaskState::Running,
        ),
        (
            Status::Unknown,
            "Running",
            "Tasks Completed: 2 (Failed: 0, Cancelled 0), Incomplete: 1, Skipped: 0",
            TaskState::Succeeded,
        ),
        (
            Status::Unknown,
            "Running",
            "Tasks Completed: 2 (Failed: 1, Cancelled 0), Incomplete: 1, Skipped: 0",
            TaskState::Failed,
        ),
        (Status::Unknown, "Running", "Tasks Completed: many", TaskState::Running),
        (
            Status::True,
            "Succeeded",
            "Tasks Completed: 2 (Failed: 0, Cancelled 0), Skipped: 0",
            TaskState::Succeeded,
        ),
        (
            Status::False,
            "Failed",
            "Tasks Completed: 2 (Failed: 1, Cancelled 0), Skipped: 0",
            TaskState::Failed,
        ),
        (Status::False, "Cancelled", "PipelineRun \"x\" was cancelled", TaskState::Cancelled),
        (Status::False, "PipelineRunTimeout", "", TaskState::Cancelled),
    ];
    for (status, reason, message, expected) in cases {
        let mut run = mk_run(status, reason, &["c", "a"]);
        run.condition.as_mut().unwrap().message = message.to_owned();
        run.children = vec![Child {
            kind: "CustomRun".to_owned(),
            name: "wfe-1-c".to_owned(),
            pipeline_task: "c".to_owned(),
        }];
        let tasks = [mk_task("a", Status::True, "Succeeded", ended(0, "Completed"))];
        let progress = observe(&run, &tasks, &Veil::none()).progress;
        assert_eq!(progress.tasks[0].state, expected, "{reason}: {message}");
    }
}

/// Text as a hostile or broken system may write it.
fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..64)
            .prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        any::<String>(),
        "(Tasks Completed: |\\[|\nPrevious status: |StepFailed|OOMKilled|\u{1b}\\[2J|\u{0}){0,6}",
        Just("\u{9b}x".repeat(50_000)),
    ]
}

fn any_reason() -> impl Strategy<Value = String> {
    let known = crate::failure::TASK_RUN.iter().chain(crate::failure::PIPELINE_RUN);
    let known: Vec<String> = known.map(|(reason, _)| (*reason).to_owned()).collect();
    prop_oneof![3 => proptest::sample::select(known), 1 => any_text()]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn no_text_breaks_what_is_told_of_a_run(
        (run_reason, task_reason) in (any_reason(), any_reason()),
        texts in proptest::collection::vec(any_text(), 6),
        code in any::<i32>(),
        attempts in any::<u32>(),
    ) {
        let mut run = mk_run(Status::False, &run_reason, &[&texts[0], &texts[1]]);
        run.name.clone_from(&texts[2]);
        run.condition.as_mut().unwrap().message.clone_from(&texts[3]);
        run.skipped = vec![Skipped { task: texts[1].clone(), reason: texts[4].clone() }];
        let mut task = mk_task(&texts[0], Status::False, &task_reason, ended(code, &texts[5]));
        task.failed_attempts = attempts;
        task.steps[0].name.clone_from(&texts[4]);
        task.condition.as_mut().unwrap().message.clone_from(&texts[3]);
        let seen = observe(&run, &[task], &Veil::none());
        let failure = match seen.end {
            Some(RunEnd::Failed(failure)) => Some(failure),
            Some(RunEnd::Cancelled { .. }) => None,
            Some(RunEnd::Succeeded { .. }) | None => panic!("it failed"),
        };
        let stored = serde_json::to_string(&(&failure, &seen.progress)).unwrap();
        prop_assert!(stored.len() < 20_000, "{} bytes", stored.len());
        let again: (Option<Failure>, Progress) = serde_json::from_str(&stored).unwrap();
        prop_assert_eq!(&again.0, &failure);
        if let Some(failure) = failure {
            let evidence = failure.evidence.unwrap();
            let mut told = vec![failure.summary, failure.message, failure.raw_reason];
            told.extend([evidence.object, evidence.field, evidence.value]);
            told.extend([failure.task, failure.task_run, failure.step].into_iter().flatten());
            for text in told {
                prop_assert!(!text.chars().any(char::is_control), "{text:?}");
                prop_assert!(text.len() <= MAX_MESSAGE_BYTES);
            }
        }
    }
}

const SECRET: &str = "swordfish-and-more";

/// A text whose value stands where it is cut.
fn say(beginning: &str, limit: usize) -> String {
    let fill = "x".repeat(limit - beginning.len() - 9);
    format!("{beginning}{fill} {SECRET}")
}

fn mk_saying(status: Status, reason: &str, beginning: &str) -> Condition {
    let message = say(beginning, MAX_MESSAGE_BYTES);
    Condition { status, reason: reason.to_owned(), message }
}

/// Runs that repeat a value, in everything that is told of them.
fn mk_runs_that_repeat_a_value() -> Vec<(RunFacts, Vec<TaskRunFacts>)> {
    let mk = |status, reason: &str, beginning: &str| {
        let mut run = mk_run(status, reason, &["a"]);
        run.condition = Some(mk_saying(status, reason, beginning));
        run
    };
    let of = |status, reason: &str, beginning: &str, steps| {
        let mut task = mk_task("a", status, reason, steps);
        task.condition = Some(mk_saying(status, reason, beginning));
        task
    };
    let failed = || mk(Status::False, "Failed", "");
    let goes_on = || mk(Status::Unknown, "Running", "");
    let mut late = failed();
    let reason = format!("{} timeout has been reached", say("", 300));
    late.skipped = vec![Skipped { task: "a".to_owned(), reason }];
    let mut foreign = mk(Status::Unknown, "Running", "Tasks Completed: 1 (Failed: 1, ");
    foreign.children = vec![Child {
        kind: "CustomRun".to_owned(),
        name: "wfe-1-a".to_owned(),
        pipeline_task: "a".to_owned(),
    }];
    let timed_out =
        of(Status::False, "TaskRunTimeout", "\nPrevious status: [ExceededNodeResources]", vec![]);
    let state = ContainerState::Waiting {
        reason: "ErrImagePull".to_owned(),
        message: say("", MAX_MESSAGE_BYTES),
    };
    let pulling = vec![StepFacts { name: "s".to_owned(), state }];
    let unscheduled = "pod status \"PodScheduled\":\"False\"; message: ";
    let refused = |beginning| of(Status::False, "PodCreationFailed", beginning, vec![]);
    vec![
        (failed(), vec![of(Status::False, "StepFailed", "", ended(1, SECRET))]),
        (failed(), vec![of(Status::False, SECRET, "", vec![])]),
        (failed(), vec![refused("exceeded quota: ")]),
        (failed(), vec![refused("pods \"x\" is forbidden: ")]),
        (failed(), vec![timed_out]),
        (mk(Status::False, SECRET, ""), vec![]),
        (mk(Status::False, "CouldntGetPipeline", "connection refused: "), vec![]),
        (late, vec![]),
        (foreign, vec![]),
        (goes_on(), vec![of(Status::Unknown, "Pending", "", pulling)]),
        (goes_on(), vec![of(Status::Unknown, "Pending", unscheduled, vec![])]),
        (goes_on(), vec![of(Status::Unknown, "ExceededResourceQuota", "", vec![])]),
        (mk(Status::Unknown, "ResolvingPipelineRef", ""), vec![]),
    ]
}

/// All that anybody is told, in every form.
fn told(seen: &Observation) -> String {
    let stuck = seen.wait.clone().map(|wait| {
        let sentence = wait.sentence();
        (sentence, Failure::stuck(&Stuck { wait, since: at(1) }, false, None, at(9)))
    });
    format!("{seen:?} {stuck:?}")
}

fn decided(seen: &Observation) -> impl PartialEq + std::fmt::Debug + use<> {
    let failure = match &seen.end {
        Some(RunEnd::Failed(failure)) => Some(failure.clone()),
        Some(RunEnd::Succeeded { .. } | RunEnd::Cancelled { .. }) | None => None,
    };
    let failure = failure.map(|failure| {
        let evidence = failure.evidence.map(|evidence| (evidence.object, evidence.field));
        (failure.reason, failure.task, failure.step, failure.exit_code, evidence)
    });
    let wait = seen.wait.clone().map(|wait| (wait.on, wait.task, wait.step));
    let tasks = seen.progress.tasks.iter().map(|task| {
        (task.name.clone(), task.state, task.steps.iter().map(|s| s.state).collect::<Vec<_>>())
    });
    (failure, wait, tasks.collect::<Vec<_>>(), seen.live_task_runs.clone(), seen.complete)
}

#[test]
fn what_a_run_says_is_told_without_sensitive_values_and_decided_with_them() {
    // Some values are words that decide.
    let words =
        ["Failed", "quota", "forbidden", "refused", "PodScheduled", "Pull", "Tasks Completed"];
    let words = [&words[..], &["Exceeded", "timeout has been", "Resolving", SECRET]].concat();
    let veils =
        [Veil::over([SECRET]), Veil::over(words), Veil::over(["x", "e"]), Veil::everything()];
    for (run, tasks) in mk_runs_that_repeat_a_value() {
        let plain = observe(&run, &tasks, &Veil::none());
        assert!(told(&plain).contains("swordfi"), "{plain:?}");
        for veil in &veils {
            let seen = observe(&run, &tasks, veil);
            let text = told(&seen);
            assert!(!text.contains("swordfi"), "{text}");
            assert_eq!(decided(&seen), decided(&plain));
        }
    }

    let mut run = mk_run(Status::False, "Failed", &["a"]);
    let mut task = mk_task("a", Status::False, "TaskRunImagePullFailed", ended(1, SECRET));
    run.condition = Some(mk_saying(Status::False, "Failed", ""));
    task.condition = Some(mk_saying(Status::False, "TaskRunImagePullFailed", ""));
    let seen = observe(&run, &[task], &Veil::over([SECRET, "Failed"]));
    let Some(RunEnd::Failed(failure)) = seen.end else { panic!("{seen:?}") };
    assert_eq!(failure.reason, FailureReason::ImagePullBackOff);
    assert_eq!(failure.raw_reason, "TaskRunImagePull[sensitive]");
    assert_eq!(failure.evidence.unwrap().value, "TaskRunImagePull[sensitive]");
    assert_eq!(seen.progress.tasks[0].state, TaskState::Failed);
}

#[test]
fn the_log_to_be_read_is_that_of_the_step_that_failed_when_it_ran() {
    let run = mk_run(Status::False, "Failed", &["a", "b"]);
    let log = |tasks: &[TaskRunFacts]| observe(&run, tasks, &Veil::none()).log;
    let in_pod = |task: TaskRunFacts, pod: &str| TaskRunFacts { pod: Some(pod.to_owned()), ..task };
    let fine = in_pod(mk_task("a", Status::True, "Succeeded", ended(0, "Completed")), "pod-a");
    let failed = mk_task("b", Status::False, "Failed", ended(3, "Error"));
    let expected = StepLog { pod: "pod-b-retry2".to_owned(), container: "step-s".to_owned() };
    let tasks = [fine.clone(), in_pod(failed.clone(), "pod-b-retry2")];
    assert_eq!(log(&tasks), Some(expected));
    assert_eq!(log(&[fine.clone(), failed]), None, "no pod");
    let reason = "TaskRunImagePullFailed";
    let pulling = mk_task("b", Status::False, reason, waiting("ImagePullBackOff"));
    assert_eq!(log(&[fine.clone(), in_pod(pulling, "pod-b")]), None, "it never ran");
    let made_up = ContainerState::Terminated {
        exit_code: 1,
        reason: "TaskRunTimeout".to_owned(),
        started_at: None,
        ended_at: Some(at(3)),
    };
    let steps = vec![StepFacts { name: "s".to_owned(), state: made_up }];
    let late = mk_task("b", Status::False, "TaskRunTimeout", steps);
    assert_eq!(log(&[fine, in_pod(late, "pod-b")]), None, "it never started");
    let run = mk_run(Status::True, "Succeeded", &["a"]);
    let task = in_pod(mk_task("a", Status::True, "Succeeded", ended(0, "Completed")), "pod-a");
    assert_eq!(observe(&run, &[task], &Veil::none()).log, None);
}

#[test]
fn a_task_run_that_is_being_deleted_is_not_stopped_and_nothing_is_complete_before_it_is_over() {
    let mut run = mk_run(Status::False, "PipelineRunTimeout", &["a", "b"]);
    let child = |name: &str| Child {
        kind: "TaskRun".to_owned(),
        name: format!("wfe-1-{name}"),
        pipeline_task: name.to_owned(),
    };
    run.children = vec![child("a"), child("b")];
    let over = mk_task("a", Status::True, "Succeeded", ended(0, "Completed"));
    let held = TaskRunFacts {
        deleted_at: Some(at(9)),
        ..mk_task("b", Status::Unknown, "Running", running())
    };
    let seen = observe(&run, &[over.clone(), held.clone()], &Veil::none());
    assert_eq!((seen.live_task_runs.len(), seen.complete), (0, false));
    // Nobody hears what becomes of it after the end of its run.
    let states = [seen.progress.tasks[1].state, seen.progress.tasks[1].steps[0].state];
    assert_eq!(states, [TaskState::Cancelled; 2]);
    assert_eq!(seen.progress.failed, 1);
    // Before, what it does counts.
    run.condition = Some(condition(Status::Unknown, "Running"));
    let seen = observe(&run, &[over.clone(), held], &Veil::none());
    assert_eq!(seen.progress.tasks[1].state, TaskState::Running);
    // One that was over when it was deleted is as good as any other.
    run.children.pop();
    let over = TaskRunFacts { deleted_at: Some(at(9)), ..over };
    assert!(observe(&run, &[over], &Veil::none()).complete);
}
