use std::slice;

use uuid::Uuid;
use wfe_core::{
    actor::Actor,
    execution::{Cancellation, Closed, Hold, Stop},
    facts::{Condition, ContainerState, RunFacts, Status, StepFacts, Stopped, TaskRunFacts},
    ids::{Epoch, ExecutionId, Revision},
    progress::Progress,
    request::StartRequest,
    stuck::StuckOn,
};

use super::*;
use crate::testing::{mk_key, mk_minimal};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn id() -> ExecutionId {
    ExecutionId::new(Uuid::from_u128(1))
}

fn planned() -> PlannedRun {
    PlannedRun::new(&mk_key("pod/x"), Epoch(1), at(0))
}

fn created() -> CreatedRun {
    let progress = Progress::default();
    CreatedRun { planned: planned(), uid: "uid".to_owned(), created_at: at(1), progress }
}

fn mk(state: State) -> Execution {
    Execution {
        id: id(),
        request: StartRequest {
            deadline: Some(at(100)),
            ..mk_minimal("r", "pod/x", "registry.example/wfe/x:v1")
        },
        actor: Actor::anonymous(None),
        created_at: at(0),
        revision: Revision(2),
        updated_at: at(0),
        state,
        clearance: None,
    }
}

fn run(status: Status, reason: &str) -> RunFacts {
    RunFacts {
        name: planned().name.to_string(),
        uid: "uid".to_owned(),
        execution: Some(id()),
        target_hash: None,
        created_at: at(1),
        deleted_at: None,
        condition: Some(Condition { status, reason: reason.to_owned(), message: String::new() }),
        started_at: Some(at(1)),
        completed_at: (status != Status::Unknown).then(|| at(9)),
        tasks: None,
        children: Vec::new(),
        skipped: Vec::new(),
        stopping: None,
    }
}

fn task(status: Status) -> TaskRunFacts {
    TaskRunFacts {
        name: "task".to_owned(),
        uid: "task-uid".to_owned(),
        run_uid: "uid".to_owned(),
        pipeline_task: "a".to_owned(),
        deleted_at: None,
        condition: Some(Condition { status, reason: String::new(), message: String::new() }),
        started_at: None,
        completed_at: None,
        steps: Vec::new(),
        pod: None,
        failed_attempts: 0,
        earlier_attempt_ran: false,
        stopped: Stopped::No,
    }
}

fn present(run: RunFacts, task_runs: Vec<TaskRunFacts>) -> Seen {
    Seen::Present(Box::new(RunSnapshot { run, task_runs }))
}

fn decide(state: State, seen: Seen, now: Timestamp) -> Action {
    let known = Known { run: seen, foreign: Some(ForeignRuns::default()), veil: Veil::none() };
    plan(&mk(state), &known, &Policy::default(), now)
}

fn starting() -> State {
    State::Starting { run: planned(), obstacle: None }
}

fn running() -> State {
    State::Running { run: created() }
}

fn cancelling(run: RunRef) -> State {
    let cancellation = Cancellation::immediate("x".to_owned(), Actor::service(), at(2));
    State::Cancelling { run, stop: Stop::Requested(cancellation), obstacle: None }
}

/// Cancelled in a mode that gives time, until second 50.
fn given_time(mode: CancelMode, run: CreatedRun) -> State {
    let cancellation = Cancellation {
        mode,
        escalate_at: Some(at(50)),
        ..Cancellation::immediate("x".to_owned(), Actor::service(), at(2))
    };
    let stop = Stop::Requested(cancellation);
    State::Cancelling { run: RunRef::Created(run), stop, obstacle: None }
}

fn succeeded() -> State {
    State::Succeeded { run: created(), late_cancel: None, ended_at: at(9) }
}

#[test]
fn nothing_is_created_while_the_cluster_is_not_known() {
    assert_eq!(decide(starting(), Seen::NotSynced, at(1)), Action::AwaitSync);
    let known = Known { run: Seen::Absent, foreign: None, veil: Veil::none() };
    assert_eq!(plan(&mk(starting()), &known, &Policy::default(), at(1)), Action::AwaitSync);
}

#[test]
fn nothing_is_created_beside_a_strangers_live_run() {
    let foreign = ForeignRuns { live: Some("other".to_owned()), last_epoch: Epoch(0) };
    let known = Known { run: Seen::Absent, foreign: Some(foreign), veil: Veil::none() };
    let action = plan(&mk(starting()), &known, &Policy::default(), at(1));
    assert!(matches!(action, Action::Wait { obstacle } if obstacle.contains("other")));
}

#[test]
fn a_starting_execution_creates_adopts_or_takes_another_name() {
    assert_eq!(decide(starting(), Seen::Absent, at(1)), Action::Create(planned()));

    let own = present(run(Status::Unknown, "Running"), Vec::new());
    let exists = Input::RunExists { uid: "uid".to_owned(), created_at: at(1) };
    assert_eq!(decide(starting(), own, at(1)), Action::Apply(exists));

    let stranger = |status| RunFacts { execution: None, ..run(status, "") };
    let ended = decide(starting(), present(stranger(Status::True), Vec::new()), at(1));
    assert_eq!(ended, Action::Rename);
    let live = decide(starting(), present(stranger(Status::Unknown), Vec::new()), at(1));
    assert!(matches!(live, Action::Wait { .. }));
}

#[test]
fn a_deadline_ends_waiting_and_starting_but_not_a_run_that_is_there() {
    let hold = Hold { why: Closed::Lock { holder: None }, message: String::new() };
    let late = Action::Apply(Input::Deadline(at(100)));
    assert_eq!(decide(State::Waiting { hold: hold.clone() }, Seen::Absent, at(100)), late);
    let early = decide(State::Waiting { hold }, Seen::Absent, at(99));
    assert_eq!(early, Action::Admit { until: Some(at(100)) });
    assert_eq!(decide(starting(), Seen::Absent, at(100)), late);
    let own = present(run(Status::Unknown, "Running"), Vec::new());
    assert!(matches!(decide(starting(), own, at(100)), Action::Apply(Input::RunExists { .. })));
}

#[test]
fn creation_is_not_tried_for_ever_without_a_deadline() {
    let mut execution = mk(starting());
    execution.request.deadline = None;
    let known =
        Known { run: Seen::Absent, foreign: Some(ForeignRuns::default()), veil: Veil::none() };
    let patience = at(5 * 60);
    let action = plan(&execution, &known, &Policy::default(), patience);
    assert_eq!(action, Action::Apply(Input::Deadline(patience)));
}

#[test]
fn tekton_gets_a_moment_to_end_a_run_at_its_deadline_by_itself() {
    let task = running_task();
    let live = || present(run(Status::Unknown, "Running"), vec![task.clone()]);
    let seen = observe(&run(Status::Unknown, "Running"), slice::from_ref(&task), &Veil::none());
    let progress = seen.progress;
    let state = State::Running { run: CreatedRun { progress, ..created() } };
    assert_eq!(decide(state.clone(), live(), at(100)), Action::RestUntil(at(110)));
    assert_eq!(decide(state, live(), at(110)), Action::Apply(Input::Deadline(at(100))));
}

/// A task of which a step runs.
fn running_task() -> TaskRunFacts {
    let state = ContainerState::Running { started_at: Some(at(2)) };
    let steps = vec![StepFacts { name: "main".to_owned(), state }];
    TaskRunFacts { steps, ..task(Status::Unknown) }
}

/// A task that waits for room in a quota.
fn waiting_task() -> TaskRunFacts {
    let condition = Condition {
        status: Status::Unknown,
        reason: "ExceededResourceQuota".to_owned(),
        message: String::new(),
    };
    TaskRunFacts { condition: Some(condition), ..task(Status::Unknown) }
}

#[test]
fn a_run_that_is_stuck_is_noted_borne_for_its_patience_and_ended() {
    let seen = || present(run(Status::Unknown, "Running"), vec![waiting_task()]);
    let Action::Apply(Input::Progress(progress)) = decide(running(), seen(), at(2)) else {
        panic!("not noted")
    };
    let stuck = progress.stuck.clone().unwrap();
    assert_eq!((stuck.wait.on, stuck.since), (StuckOn::Quota, at(2)));
    let mut execution =
        mk(State::Running { run: CreatedRun { progress: progress.clone(), ..created() } });
    execution.request.deadline = None;
    let known = || Known { run: seen(), foreign: Some(ForeignRuns::default()), veil: Veil::none() };
    let decide = |execution: &Execution, known, second| {
        plan(execution, &known, &Policy::default(), at(second))
    };
    let end = at(2 + 600);
    assert_eq!(decide(&execution, known(), 3), Action::RestUntil(end));
    assert_eq!(decide(&execution, known(), 601), Action::RestUntil(end));
    assert_eq!(decide(&execution, known(), 602), Action::Apply(Input::OutOfPatience(end)));
    // A deadline that is sooner ends it as before.
    execution.request.deadline = Some(at(100));
    assert_eq!(decide(&execution, known(), 3), Action::RestUntil(at(110)));
    assert_eq!(decide(&execution, known(), 700), Action::Apply(Input::Deadline(at(100))));
    // What moves on is not stuck any more.
    execution.request.deadline = None;
    let on = Known {
        run: present(run(Status::Unknown, "Running"), vec![task(Status::True)]),
        foreign: Some(ForeignRuns::default()),
        veil: Veil::none(),
    };
    let Action::Apply(Input::Progress(progress)) = decide(&execution, on, 700) else {
        panic!("not noted")
    };
    assert_eq!(progress.stuck, None);
}

#[test]
fn fetching_the_definition_is_normal_for_some_seconds() {
    let seen = || present(run(Status::Unknown, "ResolvingPipelineRef"), Vec::new());
    let progress =
        observe(&run(Status::Unknown, "ResolvingPipelineRef"), &[], &Veil::none()).progress;
    let state = State::Running { run: CreatedRun { progress, ..created() } };
    assert_eq!(decide(state.clone(), seen(), at(3)), Action::RestUntil(at(11)));
    let Action::Apply(Input::Progress(progress)) = decide(state, seen(), at(11)) else {
        panic!("not noted")
    };
    assert_eq!(progress.stuck.map(|stuck| stuck.wait.on), Some(StuckOn::Resolution));
}

#[test]
fn a_task_may_take_half_a_minute_to_start() {
    let pending = Condition {
        status: Status::Unknown,
        reason: "Pending".to_owned(),
        message: "Pending".to_owned(),
    };
    let pending = TaskRunFacts {
        condition: Some(pending),
        started_at: Some(at(20)),
        ..task(Status::Unknown)
    };
    let seen = || present(run(Status::Unknown, "Running"), vec![pending.clone()]);
    let progress =
        observe(&run(Status::Unknown, "Running"), slice::from_ref(&pending), &Veil::none())
            .progress;
    let state = State::Running { run: CreatedRun { progress, ..created() } };
    assert_eq!(decide(state.clone(), seen(), at(21)), Action::RestUntil(at(50)));
    let Action::Apply(Input::Progress(progress)) = decide(state, seen(), at(50)) else {
        panic!("not noted")
    };
    let stuck = progress.stuck.clone().map(|stuck| (stuck.wait.on, stuck.since));
    assert_eq!(stuck, Some((StuckOn::TaskStart, at(50))));
    // One that started meanwhile is not late any more.
    let state = State::Running { run: CreatedRun { progress, ..created() } };
    let started = present(run(Status::Unknown, "Running"), vec![running_task()]);
    let Action::Apply(Input::Progress(progress)) = decide(state, started, at(51)) else {
        panic!("not noted")
    };
    assert_eq!(progress.stuck, None);
}

#[test]
fn a_run_that_is_not_seen_is_asked_for_before_it_is_called_lost() {
    assert_eq!(decide(running(), Seen::NotSynced, at(2)), Action::AwaitSync);
    assert_eq!(decide(running(), Seen::Absent, at(2)), Action::Verify(created()));
    let replaced = RunFacts { uid: "another".to_owned(), ..run(Status::True, "") };
    assert_eq!(decide(running(), present(replaced, Vec::new()), at(2)), Action::Verify(created()));
}

#[test]
fn an_end_is_believed_when_all_evidence_is_there_and_read_otherwise() {
    let ended = present(run(Status::True, "Succeeded"), Vec::new());
    assert!(matches!(decide(running(), ended, at(10)), Action::Apply(Input::RunEnded { .. })));

    let mut failed = run(Status::False, "Failed");
    failed.children = vec![wfe_core::facts::Child {
        kind: "TaskRun".to_owned(),
        name: "task".to_owned(),
        pipeline_task: "a".to_owned(),
    }];
    let behind = present(failed, vec![task(Status::Unknown)]);
    assert_eq!(decide(running(), behind, at(10)), Action::ReadEnd(created()));

    // A run that takes too long is over before what it created, which it may not even have noted.
    let alive = present(run(Status::False, "PipelineRunTimeout"), vec![task(Status::Unknown)]);
    assert_eq!(decide(running(), alive, at(10)), Action::ReadEnd(created()));
}

#[test]
fn a_cancelled_execution_takes_the_name_of_a_run_that_was_never_seen() {
    for seen in [Seen::NotSynced, Seen::Absent] {
        let action = decide(cancelling(RunRef::Planned(planned())), seen, at(3));
        assert_eq!(action, Action::Occupy(planned()));
    }
}

#[test]
fn a_live_run_is_cancelled_and_an_ended_one_is_swept() {
    let run_ref = || RunRef::Created(created());
    let live = present(run(Status::Unknown, "Running"), Vec::new());
    let cancel = Action::Cancel { run: created(), mode: CancelMode::Immediate };
    assert_eq!(decide(cancelling(run_ref()), live, at(3)), cancel);
    for seen in
        [present(run(Status::False, "Cancelled"), Vec::new()), Seen::Absent, Seen::NotSynced]
    {
        let sweep = Action::Sweep { run: run_ref(), mode: CancelMode::Immediate };
        assert_eq!(decide(cancelling(run_ref()), seen, at(3)), sweep);
    }
}

const GIVE_TIME: [CancelMode; 2] = [CancelMode::StopAndFinally, CancelMode::RunFinally];

/// A live run that is asked to stop in this way, while its task runs.
fn stopping(mode: Option<CancelMode>) -> Seen {
    let running = StepFacts {
        name: "main".to_owned(),
        state: ContainerState::Running { started_at: Some(at(2)) },
    };
    let task = TaskRunFacts { steps: vec![running], ..task(Status::Unknown) };
    present(RunFacts { stopping: mode, ..run(Status::Unknown, "Running") }, vec![task])
}

/// The run as it is on record once it was looked at.
fn noted(seen: &Seen) -> CreatedRun {
    let Seen::Present(snapshot) = seen else { panic!("not there") };
    let progress = observe(&snapshot.run, &snapshot.task_runs, &Veil::none()).progress;
    CreatedRun { progress, ..created() }
}

#[test]
fn a_run_is_asked_to_stop_until_it_is_asked_for_as_much() {
    for mode in GIVE_TIME {
        for asked in [None].into_iter().chain(CancelMode::ALL.map(Some)) {
            let action = decide(given_time(mode, created()), stopping(asked), at(3));
            let cancel = Action::Cancel { run: created(), mode };
            assert_eq!(action == cancel, asked < Some(mode), "{mode:?} {asked:?}: {action:?}");
        }
    }
}

#[test]
fn what_goes_on_is_told_and_waited_for_until_its_time_is_over() {
    for mode in GIVE_TIME {
        let seen = || stopping(Some(mode));
        let Action::Apply(Input::Progress(progress)) =
            decide(given_time(mode, created()), seen(), at(3))
        else {
            panic!("not told")
        };
        assert_eq!(progress.goes_on().as_deref(), Some("task a still runs"));

        // Tekton may say nothing new for long: then it is told as what is in the way.
        let mut state = given_time(mode, noted(&seen()));
        let text = "task a still runs".to_owned();
        let told = Action::Apply(Input::Obstruct(text.clone()));
        assert_eq!(decide(state.clone(), seen(), at(3)), told);
        if let State::Cancelling { obstacle, .. } = &mut state {
            *obstacle = Some(text);
        }
        assert_eq!(decide(state.clone(), seen(), at(49)), Action::RestUntil(at(50)));
        let over = Action::Apply(Input::OutOfPatience(at(50)));
        assert_eq!(decide(state, seen(), at(50)), over);
    }
}

#[test]
fn a_deadline_ends_the_time_that_is_given_after_a_moment_for_tekton() {
    let seen = stopping(Some(CancelMode::RunFinally));
    let mut execution = mk(given_time(CancelMode::RunFinally, noted(&seen)));
    if let State::Cancelling { obstacle, .. } = &mut execution.state {
        *obstacle = Some("task a still runs".to_owned());
    }
    execution.request.deadline = Some(at(50));
    let known = Known { run: seen, foreign: Some(ForeignRuns::default()), veil: Veil::none() };
    let decide = |second| plan(&execution, &known, &Policy::default(), at(second));
    assert_eq!(decide(50), Action::RestUntil(at(60)));
    assert_eq!(decide(60), Action::Apply(Input::Deadline(at(50))));
}

#[test]
fn a_run_that_tekton_cannot_stop_is_stopped_by_its_parts() {
    let stuck = |mode| {
        let facts = run(Status::Unknown, "PipelineRunCouldntCancel");
        present(RunFacts { stopping: Some(mode), ..facts }, Vec::new())
    };
    let (run, mode) = (created(), CancelMode::Immediate);
    let state = cancelling(RunRef::Created(run.clone()));
    assert_eq!(decide(state, stuck(mode), at(3)), Action::StopByParts { run, mode });
    for mode in GIVE_TIME {
        let action = decide(given_time(mode, created()), stuck(mode), at(3));
        assert_eq!(action, Action::StopByParts { run: created(), mode });
    }
}

#[test]
fn what_is_left_alive_of_an_ended_execution_is_stopped() {
    let stray = Action::StopStray { name: planned().name.to_string(), uid: "uid".to_owned() };
    assert_eq!(decide(succeeded(), present(run(Status::Unknown, ""), Vec::new()), at(10)), stray);
    let task_left = present(run(Status::False, "Cancelled"), vec![task(Status::Unknown)]);
    assert_eq!(decide(succeeded(), task_left, at(10)), stray);
    let strangers = RunFacts { execution: None, ..run(Status::Unknown, "") };
    assert_eq!(decide(succeeded(), present(strangers, Vec::new()), at(10)), Action::Rest);
}

#[test]
fn a_run_is_kept_for_its_time_and_then_deleted() {
    let ended = || present(run(Status::True, "Succeeded"), Vec::new());
    let day = 24 * 60 * 60;
    assert_eq!(decide(succeeded(), ended(), at(10)), Action::RestUntil(at(9 + day)));
    let delete = Action::Delete { name: planned().name.to_string(), uid: "uid".to_owned() };
    assert_eq!(decide(succeeded(), ended(), at(9 + day)), delete);
    assert_eq!(decide(succeeded(), Seen::Absent, at(9 + day)), Action::Rest);
}

#[test]
fn the_log_of_a_step_that_failed_is_read_before_the_end_is_recorded() {
    let state = ContainerState::Terminated {
        exit_code: 1,
        reason: "Error".to_owned(),
        started_at: Some(at(3)),
        ended_at: Some(at(8)),
    };
    let condition = Condition {
        status: Status::False,
        reason: "StepFailed".to_owned(),
        message: String::new(),
    };
    let failed = TaskRunFacts {
        condition: Some(condition),
        steps: vec![StepFacts { name: "main".to_owned(), state }],
        pod: Some("task-pod".to_owned()),
        ..task(Status::False)
    };
    let ended = |task| present(run(Status::False, "Failed"), vec![task]);
    let log = StepLog { pod: "task-pod".to_owned(), container: "step-main".to_owned() };
    let action = decide(running(), ended(failed.clone()), at(9));
    let Action::Conclude { end, log: found, .. } = action else { panic!("{action:?}") };
    assert_eq!(end.failure().and_then(|why| why.step.as_deref()), Some("main"));
    assert_eq!(found, log);
    let without = TaskRunFacts { pod: None, ..failed };
    let action = decide(running(), ended(without), at(9));
    let Action::Apply(Input::RunEnded { end, .. }) = action else { panic!("{action:?}") };
    assert!(end.failure().is_some(), "{end:?}");
}

fn abandoned(run: RunFacts) -> RunFacts {
    RunFacts { deleted_at: Some(at(5)), ..run }
}

#[test]
fn a_run_that_is_being_deleted_before_its_end_is_lost_although_it_is_there() {
    let dying = || abandoned(run(Status::Unknown, "Running"));
    let seen = || present(dying(), vec![task(Status::Unknown)]);
    assert_eq!(decide(running(), seen(), at(6)), Action::Verify(created()));
    let run_ref = RunRef::Created(created());
    let sweep = Action::Sweep { run: run_ref.clone(), mode: CancelMode::Immediate };
    assert_eq!(decide(cancelling(run_ref), seen(), at(6)), sweep);
    // Tekton does not look at it: only its TaskRuns can be stopped.
    let stray = Action::StopStray { name: planned().name.to_string(), uid: "uid".to_owned() };
    assert_eq!(decide(succeeded(), seen(), at(10)), stray);
    let alone = present(dying(), Vec::new());
    assert!(matches!(decide(succeeded(), alone, at(10)), Action::RestUntil(_)));
    // One that had ended is what it was.
    let ended = present(abandoned(run(Status::True, "Succeeded")), Vec::new());
    assert!(matches!(decide(running(), ended, at(10)), Action::Apply(Input::RunEnded { .. })));
}

#[test]
fn a_strangers_run_that_is_being_deleted_is_waited_for_while_its_task_runs_go_on() {
    let dying = || RunFacts { execution: None, ..abandoned(run(Status::Unknown, "Running")) };
    let goes_on = present(dying(), vec![task(Status::Unknown)]);
    assert!(matches!(decide(starting(), goes_on, at(2)), Action::Wait { .. }));
    let held = TaskRunFacts { deleted_at: Some(at(2)), ..task(Status::Unknown) };
    for left in [Vec::new(), vec![task(Status::False)], vec![held]] {
        assert_eq!(decide(starting(), present(dying(), left), at(2)), Action::Rename);
    }
}

#[test]
fn an_end_is_read_when_a_task_run_of_it_is_being_deleted() {
    let held = TaskRunFacts { deleted_at: Some(at(5)), ..task(Status::Unknown) };
    let seen = present(run(Status::False, "PipelineRunTimeout"), vec![held]);
    assert_eq!(decide(running(), seen, at(10)), Action::ReadEnd(created()));
}

#[test]
fn a_task_run_that_is_deleted_and_not_made_again_is_borne_for_a_while() {
    let child = wfe_core::facts::Child {
        kind: "TaskRun".to_owned(),
        name: "task".to_owned(),
        pipeline_task: "a".to_owned(),
    };
    let with_child = RunFacts { children: vec![child], ..run(Status::Unknown, "Running") };
    let whole = observe(&with_child, &[task(Status::True)], &Veil::none()).progress;
    let state = State::Running { run: CreatedRun { progress: whole, ..created() } };
    let gone = || present(with_child.clone(), Vec::new());
    let Action::Apply(Input::Progress(noted)) = decide(state, gone(), at(20)) else {
        panic!("not noted")
    };
    let stuck = noted.stuck.clone().unwrap();
    assert_eq!((stuck.wait.on, stuck.since), (StuckOn::Deleted, at(20)));
    let state = State::Running { run: CreatedRun { progress: noted, ..created() } };
    assert_eq!(decide(state.clone(), gone(), at(21)), Action::RestUntil(at(80)));
    assert_eq!(decide(state, gone(), at(80)), Action::Apply(Input::OutOfPatience(at(80))));
    // Of one that was never seen, the watch has only not told yet.
    let Action::Apply(Input::Progress(new)) = decide(running(), gone(), at(20)) else {
        panic!("not noted")
    };
    assert_eq!(new.stuck, None);
}
