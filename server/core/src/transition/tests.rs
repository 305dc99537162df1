use proptest::prelude::*;

use super::*;
use crate::{
    execution::{CancelMode, Closed, EscalationCause},
    failure::FailureReason,
    progress::{StepProgress, TaskProgress, TaskState},
    stuck::StuckOn,
    testing::*,
};

const INPUTS: [&str; 12] = [
    "Admit",
    "Hold",
    "Obstruct",
    "Refuse",
    "RunExists",
    "Progress",
    "RunEnded",
    "RunLost",
    "Cancel",
    "Deadline",
    "OutOfPatience",
    "Quiet",
];

fn mk_input(name: &str) -> Input {
    match name {
        "Admit" => Input::Admit(mk_planned(7)),
        "Hold" => Input::Hold(Hold { why: Closed::Lock { holder: Some(mk_id(9)) }, ..mk_hold() }),
        "Obstruct" => Input::Obstruct("the API server is away".to_owned()),
        "Refuse" => Input::Refuse(mk_failure()),
        "RunExists" => Input::RunExists { uid: "uid-1".to_owned(), created_at: at(1) },
        "Progress" => Input::Progress(Progress { total: 3, ..Progress::default() }),
        "RunEnded" => {
            Input::RunEnded { end: RunEnd::Succeeded { at: at(5) }, progress: Progress::default() }
        }
        "RunLost" => Input::RunLost,
        "Cancel" => Input::Cancel(mk_cancellation()),
        "Deadline" => Input::Deadline(at(9)),
        "OutOfPatience" => Input::OutOfPatience(at(9)),
        "Quiet" => Input::Quiet { end: None, progress: None },
        other => panic!("no input {other}"),
    }
}

fn step(execution: &Execution, input: Input) -> Result<Step, IllegalTransition> {
    next(execution, input, &Actor::service(), at(10))
}

fn moved(execution: &Execution, input: Input) -> Change {
    match step(execution, input).unwrap() {
        Step::Changed(change) => *change,
        Step::Same => panic!("nothing changed"),
    }
}

/// The whole product of states and inputs; `same` is no change, `-` is illegal.
#[test]
fn every_state_answers_every_input_as_the_table_says() {
    use StateCode::{Cancelled, Cancelling, Failed, Running, Starting, Succeeded, Waiting};
    #[rustfmt::skip]
    let table = [
        // state       Admit       Hold       Obstruct      Refuse    RunExists  Progress      RunEnded     RunLost   Cancel        Deadline      OutOfPatience Quiet
        (Waiting,    ["starting", "waiting", "-",          "-",      "-",       "-",          "-",         "-",      "cancelled",  "failed",     "-",          "-"]),
        (Starting,   ["starting", "-",       "starting",   "failed", "running", "-",          "-",         "-",      "cancelling", "cancelling", "-",          "-"]),
        (Running,    ["-",        "-",       "-",          "-",      "-",       "running",    "succeeded", "failed", "cancelling", "cancelling", "same",       "-"]),
        (Cancelling, ["-",        "-",       "cancelling", "-",      "-",       "cancelling", "-",         "-",      "same",       "same",       "same",       "cancelled"]),
        (Succeeded,  ["-",        "-",       "-",          "-",      "-",       "-",          "-",         "-",      "same",       "-",          "-",          "-"]),
        (Failed,     ["-",        "-",       "-",          "-",      "-",       "-",          "-",         "-",      "same",       "-",          "-",          "-"]),
        (Cancelled,  ["-",        "-",       "-",          "-",      "-",       "-",          "-",         "-",      "same",       "-",          "-",          "-"]),
    ];
    assert_eq!(table.map(|(code, _)| code), StateCode::ALL);
    for (code, expected) in table {
        let before = mk_execution(1, mk_state(code));
        for (name, expected) in INPUTS.into_iter().zip(expected) {
            let got = match step(&before, mk_input(name)) {
                Err(illegal) => {
                    assert_eq!((illegal.state, illegal.input), (code, name));
                    "-"
                }
                Ok(Step::Same) => "same",
                Ok(Step::Changed(change)) => {
                    let [event] = change.events.as_slice() else { panic!("one event") };
                    assert_eq!(event.before, Some(code));
                    assert_eq!(event.after, change.execution.state.code());
                    assert_eq!(event.revision, before.revision.next());
                    assert_eq!(change.execution.revision, event.revision);
                    change.execution.state.code().as_str()
                }
            };
            assert_eq!(got, expected, "{code:?} {name}");
        }
    }
}

fn mk_cancelling(mode: CancelMode) -> Execution {
    let run = RunRef::Created(mk_created(1));
    let stop = Stop::Requested(mk_cancel(mode));
    mk_execution(1, State::Cancelling { run, stop, obstacle: None })
}

/// The mode and the last escalation of an execution that is cancelled.
fn stopped_how(execution: &Execution) -> (CancelMode, Option<EscalationCause>) {
    let Some(cancellation) = execution.state.cancellation() else { panic!("{execution:?}") };
    let last = cancellation.escalations.last().map(|escalation| escalation.cause.clone());
    (cancellation.mode, last)
}

/// The whole product of modes and of what can ask for more, while an execution is cancelled.
#[test]
fn a_cancel_becomes_stronger_by_a_stronger_one_a_deadline_or_the_end_of_patience() {
    for first in CancelMode::ALL {
        let before = mk_cancelling(first);
        let by = |mode| {
            let Cancellation { actor, reason, .. } = mk_cancel(mode);
            EscalationCause::Request { actor, reason }
        };
        let mut cases = vec![
            (mk_input("Deadline"), CancelMode::Immediate, EscalationCause::Deadline),
            (mk_input("OutOfPatience"), CancelMode::Immediate, EscalationCause::Patience),
        ];
        for mode in CancelMode::ALL {
            cases.push((Input::Cancel(mk_cancel(mode)), mode, by(mode)));
        }
        for (input, to, cause) in cases {
            let stronger = to > first;
            match step(&before, input).unwrap() {
                Step::Same => assert!(!stronger, "{first:?} {cause:?}"),
                Step::Changed(change) => {
                    assert!(stronger, "{first:?} {cause:?}");
                    assert_eq!(change.execution.state.code(), StateCode::Cancelling);
                    assert_eq!(stopped_how(&change.execution), (to, Some(cause)));
                    let [Event { kind: EventKind::CancelEscalated { cancellation }, .. }] =
                        change.events.as_slice()
                    else {
                        panic!("{:?}", change.events)
                    };
                    assert_eq!(change.execution.state.cancellation(), Some(cancellation));
                }
            }
        }
    }
}

#[test]
fn a_deadline_that_stops_an_execution_leaves_nothing_to_escalate() {
    let stopping =
        moved(&mk_execution(1, mk_state(StateCode::Running)), mk_input("Deadline")).execution;
    for mode in CancelMode::ALL {
        assert_eq!(step(&stopping, Input::Cancel(mk_cancel(mode))), Ok(Step::Same));
    }
    assert_eq!(step(&stopping, mk_input("OutOfPatience")), Ok(Step::Same));
}

#[test]
fn no_cancel_gives_more_time_than_the_deadline() {
    for code in [StateCode::Starting, StateCode::Running] {
        let mut execution = mk_execution(1, mk_state(code));
        for (deadline, until) in [(None, 100), (Some(50), 50), (Some(200), 100)] {
            execution.request.deadline = deadline.map(at);
            let cancel = Input::Cancel(mk_cancel(CancelMode::RunFinally));
            let cancelling = moved(&execution, cancel).execution;
            let cancellation = cancelling.state.cancellation().unwrap();
            assert_eq!(cancellation.escalate_at, Some(at(until)), "{code:?} {deadline:?}");
        }
    }
}

#[test]
fn while_it_waits_every_mode_cancels_at_once() {
    for mode in CancelMode::ALL {
        let waiting = mk_execution(1, mk_state(StateCode::Waiting));
        let cancelled = moved(&waiting, Input::Cancel(mk_cancel(mode))).execution;
        assert_eq!(cancelled.state.code(), StateCode::Cancelled);
        assert_eq!(stopped_how(&cancelled), (mode, None));
    }
}

#[test]
fn what_goes_on_while_time_is_given_is_named() {
    let cancelling = mk_cancelling(CancelMode::StopAndFinally);
    let task = |name: &str, state, task_run: Option<&str>| TaskProgress {
        name: name.to_owned(),
        state,
        task_run: task_run.map(ToOwned::to_owned),
        started_at: None,
        ended_at: None,
        attempts: 1,
        steps: Vec::new(),
        reason: String::new(),
    };
    let obstacle = |tasks: Vec<TaskProgress>| {
        let progress = Progress { total: 9, tasks, ..Progress::default() };
        let state = moved(&cancelling, Input::Progress(progress)).execution.state;
        let State::Cancelling { obstacle, .. } = state else { panic!("{state:?}") };
        obstacle
    };
    let running = || task("migrate", TaskState::Running, Some("run-migrate"));
    let later = || task("verify", TaskState::Pending, None);
    assert_eq!(obstacle(vec![running(), later()]).unwrap(), "task migrate still runs");
    let pending = task("notify", TaskState::Pending, Some("run-notify"));
    let both = obstacle(vec![running(), later(), pending]).unwrap();
    assert_eq!(both, "tasks still run: migrate, notify");
    assert_eq!(obstacle(vec![task("migrate", TaskState::Succeeded, Some("x")), later()]), None);
    let stuck = Some(Box::new(mk_stuck(StuckOn::ImagePull)));
    let progress = Progress { stuck, ..Progress::default() };
    assert!(progress.goes_on().unwrap().contains("image that cannot be pulled"));
}

#[test]
fn what_changes_nothing_gives_no_event() {
    let running = mk_execution(1, mk_state(StateCode::Running));
    assert_eq!(step(&running, Input::Progress(Progress::default())), Ok(Step::Same));

    let starting = mk_execution(1, mk_state(StateCode::Starting));
    let delayed = moved(&starting, mk_input("Obstruct")).execution;
    assert_eq!(step(&delayed, mk_input("Obstruct")), Ok(Step::Same));
    assert!(matches!(step(&delayed, Input::Obstruct("another".to_owned())), Ok(Step::Changed(_))));
}

#[test]
fn a_starting_execution_takes_another_name_only_with_a_later_epoch() {
    let starting = mk_execution(1, mk_state(StateCode::Starting));
    assert!(step(&starting, Input::Admit(mk_planned(1))).is_err());
    let change = moved(&starting, Input::Admit(mk_planned(2)));
    assert_eq!(change.execution.state.planned_run(), Some(&mk_planned(2)));
}

#[test]
fn a_run_that_was_cancelled_from_outside_is_not_over_before_it_is_quiet() {
    let running = mk_execution(1, mk_state(StateCode::Running));
    let end = RunEnd::Cancelled { ran: true };
    let change =
        moved(&running, Input::RunEnded { end: end.clone(), progress: Progress::default() });
    assert_eq!(change.execution.state.code(), StateCode::Cancelling);
    let quiet = Input::Quiet { end: Some(end), progress: None };
    let State::Cancelled { cancellation, .. } = moved(&change.execution, quiet).execution.state
    else {
        panic!("not cancelled")
    };
    assert_eq!(cancellation.actor, Actor::service());
}

#[test]
fn cancel_against_completion_ends_as_what_really_happened() {
    for mode in CancelMode::ALL {
        let cancelling = mk_cancelling(mode);
        let ends = [
            (Some(RunEnd::Succeeded { at: at(5) }), StateCode::Succeeded),
            (Some(RunEnd::Failed(mk_failure())), StateCode::Failed),
            (Some(RunEnd::Cancelled { ran: true }), StateCode::Cancelled),
            (None, StateCode::Cancelled),
        ];
        for (end, expected) in ends {
            let after = moved(&cancelling, Input::Quiet { end, progress: None }).execution.state;
            assert_eq!(after.code(), expected);
            assert_eq!(after.cancellation(), Some(&mk_cancel(mode)), "the request stays on record");
        }
    }
}

#[test]
fn a_passed_deadline_ends_as_deadline_exceeded_unless_the_run_had_succeeded() {
    for code in [StateCode::Starting, StateCode::Running] {
        let stopping = moved(&mk_execution(1, mk_state(code)), mk_input("Deadline")).execution;
        let ends =
            [Some(RunEnd::Failed(mk_failure())), Some(RunEnd::Cancelled { ran: false }), None];
        for end in ends {
            let quiet = Input::Quiet { end, progress: None };
            let State::Failed { failure, .. } = moved(&stopping, quiet).execution.state else {
                panic!("not failed")
            };
            assert_eq!(failure.reason, FailureReason::DeadlineExceeded);
        }
    }
    let running =
        moved(&mk_execution(1, mk_state(StateCode::Running)), mk_input("Deadline")).execution;
    let quiet = Input::Quiet { end: Some(RunEnd::Succeeded { at: at(5) }), progress: None };
    assert_eq!(moved(&running, quiet).execution.state.code(), StateCode::Succeeded);
}

#[test]
fn the_log_of_the_step_is_kept_with_whatever_its_failure_becomes() {
    let failed = || {
        let failure = Failure { reason: FailureReason::TaskFailed, ..mk_failure() };
        RunEnd::Failed(failure).with_log(Some("it broke".to_owned()))
    };
    let running = mk_execution(1, mk_state(StateCode::Running));
    let ended = Input::RunEnded { end: failed(), progress: Progress::default() };
    assert_eq!(failure_after(&running, ended).log_tail.as_deref(), Some("it broke"));
    for stop in ["Cancel", "Deadline"] {
        let stopping = moved(&running, mk_input(stop)).execution;
        let quiet = Input::Quiet { end: Some(failed()), progress: None };
        let failure = failure_after(&stopping, quiet);
        assert_eq!(failure.log_tail.as_deref(), Some("it broke"), "{stop}");
    }
    let succeeded = RunEnd::Succeeded { at: at(5) };
    assert_eq!(succeeded.clone().with_log(Some("done".to_owned())), succeeded);
}

fn mk_stuck_execution(on: StuckOn) -> Execution {
    let mut execution = mk_execution(1, mk_state(StateCode::Running));
    if let State::Running { run } = &mut execution.state {
        run.progress.stuck = Some(Box::new(mk_stuck(on)));
    }
    execution
}

fn failure_after(execution: &Execution, input: Input) -> Failure {
    let state = moved(execution, input).execution.state;
    let State::Failed { failure, .. } = state else { panic!("{state:?}") };
    failure
}

#[test]
fn what_was_stuck_for_too_long_fails_for_what_it_waited_for_unless_something_else_happened() {
    for on in StuckOn::ALL {
        let stuck = mk_stuck_execution(on);
        let stopping = moved(&stuck, mk_input("OutOfPatience")).execution;
        assert_eq!(stopping.state.code(), StateCode::Cancelling);
        let timed_out = Failure { reason: FailureReason::DeadlineExceeded, ..mk_failure() };
        let ends = [Some(RunEnd::Failed(timed_out)), Some(RunEnd::Cancelled { ran: true }), None];
        for end in ends {
            let failure = failure_after(&stopping, Input::Quiet { end, progress: None });
            assert_eq!(
                (failure.reason, failure.raw_reason.as_str(), failure.task.as_deref()),
                (on.failure(), "RawReason", Some("a"))
            );
            assert!(failure.summary.starts_with("It was stopped after 5 s: "), "{failure:?}");
        }
        let by_itself = Failure { reason: FailureReason::OomKilled, ..mk_failure() };
        let quiet = Input::Quiet { end: Some(RunEnd::Failed(by_itself)), progress: None };
        assert_eq!(failure_after(&stopping, quiet).reason, FailureReason::OomKilled);
        let quiet = Input::Quiet { end: Some(RunEnd::Succeeded { at: at(5) }), progress: None };
        assert_eq!(moved(&stopping, quiet).execution.state.code(), StateCode::Succeeded);
    }
}

#[test]
fn a_deadline_that_passes_while_it_is_stuck_fails_for_what_it_waited_for() {
    for (on, expected) in [
        (StuckOn::Quota, FailureReason::ResourceExhausted),
        (StuckOn::Resolution, FailureReason::DeadlineExceeded),
        (StuckOn::TaskStart, FailureReason::DeadlineExceeded),
    ] {
        let stopping = moved(&mk_stuck_execution(on), mk_input("Deadline")).execution;
        let end = Some(RunEnd::Cancelled { ran: false });
        let failure = failure_after(&stopping, Input::Quiet { end, progress: None });
        assert_eq!(failure.reason, expected);
        // Tekton's own time-out comes to the same.
        let timed_out = Failure {
            reason: FailureReason::DeadlineExceeded,
            task: Some("a".to_owned()),
            ..mk_failure()
        };
        let ended = |failure| Input::RunEnded {
            end: RunEnd::Failed(failure),
            progress: Progress::default(),
        };
        let failure = failure_after(&mk_stuck_execution(on), ended(timed_out.clone()));
        assert_eq!(failure.reason, expected);
        let elsewhere = Failure { task: Some("b".to_owned()), ..timed_out };
        let failure = failure_after(&mk_stuck_execution(on), ended(elsewhere));
        assert_eq!(failure.reason, FailureReason::DeadlineExceeded);
    }
}

#[test]
fn times_that_kubernetes_tells_in_seconds_never_run_backwards() {
    let half = at(10).checked_add(jiff::SignedDuration::from_millis(500)).unwrap();
    assert_eq!(precise(at(10), at(0), half), half, "within that second: now");
    assert_eq!(precise(at(8), at(0), half), at(8), "heard of later: as it was told");
    assert_eq!(precise(at(8), at(9), half), at(9), "never before what it follows");
    assert_eq!(precise(at(12), at(0), half), at(12), "clocks differ: as it was told");
}

#[test]
fn obstacles_are_shortened_and_free_of_control_characters() {
    let starting = mk_execution(1, mk_state(StateCode::Starting));
    let text = format!("a\u{1b}[31m\n{}", "é".repeat(100_000));
    let State::Starting { obstacle: Some(obstacle), .. } =
        moved(&starting, Input::Obstruct(text)).execution.state
    else {
        panic!("no obstacle")
    };
    assert!(obstacle.len() <= MAX_MESSAGE_BYTES && !obstacle.chars().any(char::is_control));
}

proptest! {
    #[test]
    fn any_history_keeps_the_invariants(
        inputs in proptest::collection::vec((0..INPUTS.len(), 0..CancelMode::ALL.len()), 0..40),
    ) {
        let mut execution = mk_execution(1, mk_state(StateCode::Waiting));
        for (name, mode) in inputs {
            let before = execution.clone();
            let input = match INPUTS[name] {
                "Cancel" => Input::Cancel(mk_cancel(CancelMode::ALL[mode])),
                name => mk_input(name),
            };
            match step(&before, input) {
                Ok(Step::Changed(change)) => {
                    prop_assert!(!before.state.code().is_terminal(), "terminal never changes");
                    prop_assert_eq!(change.execution.revision, before.revision.next());
                    prop_assert_eq!(change.events.len(), 1);
                    execution = change.execution;
                }
                Ok(Step::Same) | Err(_) => {}
            }
            prop_assert_eq!(execution.state.ended_at().is_some(), execution.state.code().is_terminal());
            if execution.state.code().holds_target() {
                prop_assert!(execution.state.planned_run().is_some());
            }
            if let (Some(old), Some(new)) = (before.state.cancellation(), execution.state.cancellation()) {
                prop_assert!(new.mode >= old.mode, "a cancel never becomes weaker");
                prop_assert_eq!((&new.actor, &new.reason), (&old.actor, &old.reason));
                prop_assert!(new.escalations.starts_with(&old.escalations));
                prop_assert!(new.escalations.len() <= 2);
                prop_assert_eq!(new.escalate_at.is_some(), new.mode.gives_time());
            }
            if let (Some(old), Some(new)) = (before.state.planned_run(), execution.state.planned_run()) {
                prop_assert!(new.epoch >= old.epoch);
            }
        }
    }
}

fn mk_task_progress(state: TaskState, started: bool) -> TaskProgress {
    TaskProgress {
        name: "a".to_owned(),
        state,
        task_run: Some("run-a".to_owned()),
        started_at: Some(at(2)),
        ended_at: None,
        attempts: 1,
        steps: vec![StepProgress {
            name: "main".to_owned(),
            state,
            started_at: started.then(|| at(3)),
            ended_at: None,
            exit_code: None,
            reason: String::new(),
        }],
        reason: String::new(),
    }
}

fn mk_progress(task: TaskProgress) -> Progress {
    Progress { total: 1, tasks: vec![task], ..Progress::default() }
}

/// As the task is seen when its TaskRun is gone.
fn mk_gone() -> TaskProgress {
    TaskProgress {
        task_run: None,
        attempts: 0,
        steps: Vec::new(),
        ..mk_task_progress(TaskState::Pending, false)
    }
}

fn progress_of(execution: &Execution) -> &Progress {
    &execution.state.created_run().unwrap().progress
}

#[test]
fn what_was_seen_to_run_did_run_whatever_was_deleted_since() {
    let running = mk_execution(1, mk_state(StateCode::Running));
    let ran = mk_progress(mk_task_progress(TaskState::Running, true));
    let running = moved(&running, Input::Progress(ran)).execution;
    // Its TaskRun is made again, and waits for its image now.
    let again = mk_progress(mk_task_progress(TaskState::Pending, false));
    let waits = moved(&running, Input::Progress(again.clone())).execution;
    assert!(progress_of(&waits).ran());
    assert_eq!(step(&waits, Input::Progress(again.clone())), Ok(Step::Same));

    let not_run = Failure { was_execution_failure: false, ..mk_failure() };
    let end = RunEnd::Failed(not_run);
    let failed = Input::RunEnded { end: end.clone(), progress: again.clone() };
    assert!(failure_after(&waits, failed).was_execution_failure);
    assert!(failure_after(&waits, Input::RunLost).was_execution_failure);
    for input in ["Cancel", "Deadline"] {
        let stopping = moved(&waits, mk_input(input)).execution;
        let quiet = Input::Quiet { end: Some(end.clone()), progress: Some(again.clone()) };
        assert!(failure_after(&stopping, quiet).was_execution_failure, "{input}");
    }
    let stopping = moved(&waits, mk_input("Deadline")).execution;
    for end in [Some(RunEnd::Cancelled { ran: false }), None] {
        let quiet = Input::Quiet { end, progress: Some(again.clone()) };
        assert!(failure_after(&stopping, quiet).was_execution_failure);
    }
}

#[test]
fn a_run_that_is_deleted_while_its_deadline_ends_it_says_both() {
    let running = mk_execution(1, mk_state(StateCode::Running));
    let stopping = moved(&running, mk_input("Deadline")).execution;
    let failure = failure_after(&stopping, mk_input("Quiet"));
    assert_eq!(
        (failure.reason, failure.message.as_str(), failure.was_execution_failure),
        (FailureReason::DeadlineExceeded, "deleted from outside (lock stolen)", false)
    );
}

#[test]
fn what_is_deleted_before_the_end_is_seen_stays_as_it_was_seen() {
    let ends = [
        (RunEnd::Succeeded { at: at(9) }, TaskState::Succeeded, (1, 0)),
        (RunEnd::Failed(mk_failure()), TaskState::Cancelled, (0, 1)),
    ];
    for (end, unseen, counts) in ends {
        for (before, after) in [
            (TaskState::Running, unseen),
            (TaskState::Pending, unseen),
            (TaskState::Failed, TaskState::Failed),
            (TaskState::Succeeded, TaskState::Succeeded),
        ] {
            let seen = mk_progress(mk_task_progress(before, true));
            let running = mk_execution(1, mk_state(StateCode::Running));
            let running = moved(&running, Input::Progress(seen)).execution;
            let ended = Input::RunEnded { end: end.clone(), progress: mk_progress(mk_gone()) };
            let last = progress_of(&moved(&running, ended).execution).clone();
            let task = &last.tasks[0];
            assert_eq!((task.state, task.steps[0].state), (after, after));
            assert_eq!(task.task_run.as_deref(), Some("run-a"));
            if before == TaskState::Running {
                assert_eq!((last.succeeded, last.failed), counts);
            }
            assert!(last.ran() && !last.ran_before);
        }
    }
}

#[test]
fn nothing_runs_in_a_run_that_is_over() {
    let running = mk_execution(1, mk_state(StateCode::Running));
    let runs = || mk_progress(mk_task_progress(TaskState::Running, true));
    for (end, unseen) in [
        (RunEnd::Succeeded { at: at(9) }, TaskState::Succeeded),
        (RunEnd::Failed(mk_failure()), TaskState::Cancelled),
    ] {
        let ended = Input::RunEnded { end, progress: runs() };
        let ended = moved(&running, ended).execution;
        let last = &progress_of(&ended).tasks[0];
        assert_eq!((last.state, last.steps[0].state), (unseen, unseen));
    }
}
