mod hostile;

use expect_test::expect;
use wfe_proto::v1::{
    Actor, Backoff, Block, BlockReason, CancelMode, Cancellation, ClearBlockResponse, Clearance,
    ClearanceAttempt, ClearanceOutcome, Cooldown, Escalation, EscalationCause, EventType,
    Execution, ExecutionEvent, GateMode, Lock, OnBehalfOf, QueueEntry, Run, State, StepProgress,
    Target, TaskState, Waiting, WorkflowIdentity,
};

use super::*;
use crate::testing::messages::{at, mk_event, mk_execution, mk_failure, mk_progress, mk_task, now};

fn waiting(holder: &str) -> Waiting {
    Waiting {
        gate: Gate::Lock.into(),
        message: format!("execution {holder} holds the target"),
        holder_execution_id: holder.to_owned(),
        ..Waiting::default()
    }
}

fn step(name: &str, state: TaskState, exit_code: Option<i32>) -> StepProgress {
    StepProgress {
        name: name.to_owned(),
        state: state.into(),
        start_time: Some(at("10:00:02")),
        end_time: Some(at("10:00:03.5")),
        exit_code,
        ..StepProgress::default()
    }
}

fn failed() -> Execution {
    let mut prepare = mk_task("prepare", TaskState::Succeeded, vec![]);
    prepare.start_time = Some(at("10:00:01"));
    prepare.end_time = Some(at("10:00:02"));
    let mut restart = mk_task(
        "restart",
        TaskState::Failed,
        vec![
            step("read", TaskState::Succeeded, Some(0)),
            step("apply", TaskState::Failed, Some(1)),
        ],
    );
    restart.start_time = Some(at("10:00:02"));
    restart.end_time = Some(at("10:00:04"));
    restart.attempts = 2;
    restart.reason = "Failed".to_owned();
    let skipped = mk_task("verify-afterwards", TaskState::Skipped, vec![]);
    Execution {
        start_time: Some(at("10:00:01")),
        end_time: Some(at("10:00:04")),
        run: Some(Run {
            namespace: "kubernaut-workflows".to_owned(),
            name: "wfe-0123456789abcdef-4".to_owned(),
            epoch: 4,
            ..Run::default()
        }),
        progress: Some(mk_progress(vec![prepare, restart, skipped])),
        failure: Some(mk_failure()),
        parameters: [("B", "2"), ("A", "1")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        ..mk_execution("e-2", State::Failed, 9)
    }
}

fn cancelled() -> Execution {
    Execution {
        cluster_id: "prod".to_owned(),
        start_time: Some(at("10:00:01")),
        end_time: Some(at("10:01:14")),
        cancellation: Some(Cancellation {
            reason:
                "started by mistake, and then some more words that do not fit in a table at all"
                    .to_owned(),
            actor: Some(Actor { user: "alice".to_owned(), ..Actor::default() }),
            request_time: Some(at("10:01:00")),
            ..Cancellation::default()
        }),
        workflow_identity: Some(WorkflowIdentity {
            name: "restart-pods".to_owned(),
            version: "2".to_owned(),
            ..WorkflowIdentity::default()
        }),
        ..mk_execution("e-3", State::Cancelled, 6)
    }
}

fn mk_attempt(user: &str, outcome: ClearanceOutcome, execution: &str) -> ClearanceAttempt {
    ClearanceAttempt {
        clearance: Some(mk_clearance(user)),
        outcome: outcome.into(),
        execution_id: execution.to_owned(),
    }
}

fn mk_clearance(user: &str) -> Clearance {
    Clearance {
        actor: Some(Actor { user: user.to_owned(), ..Actor::default() }),
        clear_time: Some(at("10:09:30")),
        reason: "rolled back\nby hand".to_owned(),
        ticket: "OPS-4711".to_owned(),
    }
}

/// At a gate that the past of the target closed.
fn mk_waiting(gate: Gate, until: Option<&str>) -> Waiting {
    Waiting {
        gate: gate.into(),
        message: "execution e-1 closed it".to_owned(),
        until: until.map(at),
        cause_execution_id: "e-1".to_owned(),
        ..Waiting::default()
    }
}

fn mk_waits(gate: Gate, until: Option<&str>) -> Execution {
    Execution { waiting: Some(mk_waiting(gate, until)), ..mk_execution("e-4", State::Waiting, 2) }
}

#[test]
fn what_waits_is_described_with_its_gate_its_cause_and_what_to_do() {
    let blocked = mk_waits(Gate::Block, None);
    let cools =
        Execution { cluster_id: "prod".to_owned(), ..mk_waits(Gate::Cooldown, Some("10:14:03")) };
    let texts = [blocked, cools]
        .map(|waits| execution::describe(&waits, now(), " --server http://host:7", Colour::Off));
    expect![[r#"
        e-4  WAITING
          target      default/deployment/api
          request id  r-e-4
          workflow    registry.example/workflows/restart:v1
          pipeline    workflow
          accepted    2026-11-21T10:00:00.000Z, 10m 0s ago by anonymous
          revision    2
          waits       BLOCK: execution e-1 closed it
          because of  e-1
          to do       wfe get e-1 --server http://host:7
                      wfe clear-block default/deployment/api --execution e-1 --reason "..." --server http://host:7
        e-4  WAITING
          target      default/deployment/api in cluster prod
          request id  r-e-4
          workflow    registry.example/workflows/restart:v1
          pipeline    workflow
          accepted    2026-11-21T10:00:00.000Z, 10m 0s ago by anonymous
          revision    2
          waits       COOLDOWN: execution e-1 closed it (4m 3s left)
          because of  e-1
          until       2026-11-21T10:14:03.000Z
    "#]].assert_eq(&texts.join(""));
}

#[test]
fn a_gate_that_let_pass_and_a_clearance_are_described() {
    let observed = Execution {
        observed: vec![mk_waiting(Gate::Backoff, Some("10:00:30")), mk_waiting(Gate::Block, None)],
        ..mk_execution("e-5", State::Running, 3)
    };
    let cleared = Execution {
        clearance: Some(Clearance {
            actor: Some(Actor {
                user: "system:serviceaccount:kubernaut:bridge".to_owned(),
                on_behalf_of: Some(OnBehalfOf {
                    user: "alice".to_owned(),
                    ..OnBehalfOf::default()
                }),
                ..Actor::default()
            }),
            ..mk_clearance("")
        }),
        failure: Some(mk_failure()),
        ..mk_execution("e-2", State::Failed, 9)
    };
    let texts = [
        execution::describe(&observed, now(), "", Colour::Off),
        execution::describe(&cleared, now(), "", Colour::Off),
        execution::headline(&cleared, now(), Colour::Off),
    ];
    expect![[r#"
        e-5  RUNNING
          target      default/deployment/api
          request id  r-e-5
          workflow    registry.example/workflows/restart:v1
          pipeline    workflow
          accepted    2026-11-21T10:00:00.000Z, 10m 0s ago by anonymous
          revision    3
          let pass by BACKOFF: execution e-1 closed it
                      BLOCK: execution e-1 closed it

        e-2  FAILED
          target      default/deployment/api
          request id  r-e-2
          workflow    registry.example/workflows/restart:v1
          pipeline    workflow
          accepted    2026-11-21T10:00:00.000Z, 10m 0s ago by anonymous
          revision    9
          failure     TASK_FAILED: Step apply of task restart exited with code 1. Look at its log.
                      task restart, step apply, TaskRun wfe-1-restart, exit code 1
                      evidence: TaskRun wfe-1-restart status.steps[apply].terminated.exitCode = 1
                      Failed: "step-apply" exited with code 1
                      A step had started: side effects may have happened.
          log         line one
                      line  [31mtwo
          cleared     2026-11-21T10:09:30.000Z by alice (through system:serviceaccount:kubernaut:bridge): rolled back by hand (ticket OPS-4711)

        e-2  default/deployment/api  FAILED after 10m 0s: TASK_FAILED: Step apply of task restart exited with code 1. Look at its log.
          task restart, step apply, TaskRun wfe-1-restart, exit code 1
          evidence: TaskRun wfe-1-restart status.steps[apply].terminated.exitCode = 1
          Failed: "step-apply" exited with code 1
          A step had started: side effects may have happened.
          Its block was cleared 2026-11-21T10:09:30.000Z by alice (through system:serviceaccount:kubernaut:bridge): rolled back by hand (ticket OPS-4711)"#]].assert_eq(&texts.join("\n"));
}

#[test]
fn a_list_tells_the_gate_the_time_that_is_left_and_the_cause() {
    let id = "01a1fc00-9ee3-77e6-ae87-4d4f1d6de3bc";
    let by = |gate, until| {
        let mut waits = mk_waits(gate, until);
        if let Some(waiting) = &mut waits.waiting {
            waiting.cause_execution_id = id.to_owned();
        }
        waits
    };
    let cleared = Execution { clearance: Some(mk_clearance("alice")), ..failed() };
    let executions = [
        by(Gate::Cooldown, Some("10:59:59")),
        by(Gate::Backoff, Some("10:10:09")),
        by(Gate::Block, None),
        cleared,
    ];
    expect![[r"
        ID   STATE    TARGET                  WORKFLOW    AGE     DURATION  REASON
        e-4  WAITING  default/deployment/api  restart:v1  10m 0s  -         COOLDOWN 49m 59s left after 01a1fc00-9ee3-77e6-ae87-4d4f1d6de3bc
        e-4  WAITING  default/deployment/api  restart:v1  10m 0s  -         BACKOFF 9.0s left after 01a1fc00-9ee3-77e6-ae87-4d4f1d6de3bc
        e-4  WAITING  default/deployment/api  restart:v1  10m 0s  -         BLOCK by failure of 01a1fc00-9ee3-77e6-ae87-4d4f1d6de3bc
        e-2  FAILED   default/deployment/api  restart:v1  10m 0s  3.0s      TASK_FAILED in task restart, cleared"]].assert_eq(&list::table(&executions, now(), Colour::Off));
}

#[test]
fn an_event_tells_how_long_its_gate_lasts_from_then_on_and_which_let_it_pass() {
    let mut held = mk_event(2, State::Waiting, EventType::Held);
    held.waiting = Some(mk_waiting(Gate::Cooldown, Some("10:05:02")));
    let mut admitted = mk_event(3, State::Starting, EventType::Admitted);
    admitted.observed = vec![mk_waiting(Gate::Block, None)];
    let lines = [held, admitted].map(|event| event::line(&event, Colour::Off));
    expect![[r"
        2026-11-21T10:00:02.000Z     2  WAITING     message 2 (5m 0s left)
        2026-11-21T10:00:03.000Z     3  STARTING    message 3; let pass by BLOCK: execution e-1 closed it"]].assert_eq(&lines.join("\n"));
}

#[test]
fn a_clearance_tells_what_is_kept_and_who_is_next() {
    let target = Target { target: "default/deployment/api".to_owned(), ..Target::default() };
    let starts = Target {
        lock: Some(Lock {
            execution_id: "e-4".to_owned(),
            state: State::Starting.into(),
            ..Lock::default()
        }),
        ..target.clone()
    };
    let foreign = Target {
        lock: Some(Lock { run: "by-hand".to_owned(), ..Lock::default() }),
        ..target.clone()
    };
    let queue = vec![QueueEntry {
        execution_id: "e-4".to_owned(),
        position: 1,
        waiting: Some(mk_waiting(Gate::Cooldown, Some("10:14:03"))),
        ..QueueEntry::default()
    }];
    let waits = Target { queue, ..target.clone() };
    let texts = [target, starts, foreign, waits].map(|target| {
        let execution = Execution {
            clearance: Some(mk_clearance("alice")),
            ..mk_execution("e-2", State::Failed, 9)
        };
        let response = ClearBlockResponse { target: Some(target), execution: Some(execution) };
        clearance::cleared(&response, now())
    });
    expect![[r"
        cleared: execution e-2, which stays FAILED, does not block default/deployment/api any more
        on record: 2026-11-21T10:09:30.000Z by alice: rolled back by hand (ticket OPS-4711)
        next: nothing waits for the target

        cleared: execution e-2, which stays FAILED, does not block default/deployment/api any more
        on record: 2026-11-21T10:09:30.000Z by alice: rolled back by hand (ticket OPS-4711)
        next: execution e-4 starts

        cleared: execution e-2, which stays FAILED, does not block default/deployment/api any more
        on record: 2026-11-21T10:09:30.000Z by alice: rolled back by hand (ticket OPS-4711)
        next: PipelineRun by-hand, which is not on record here, acts on it

        cleared: execution e-2, which stays FAILED, does not block default/deployment/api any more
        on record: 2026-11-21T10:09:30.000Z by alice: rolled back by hand (ticket OPS-4711)
        next: execution e-4 still waits: COOLDOWN: execution e-1 closed it (4m 3s left)"]]
    .assert_eq(&texts.join("\n\n"));
}

#[test]
fn a_list_is_a_table() {
    let waits =
        Execution { waiting: Some(waiting("e-2")), ..mk_execution("e-4", State::Waiting, 2) };
    let succeeded = Execution {
        start_time: Some(at("10:00:01")),
        end_time: Some(at("10:00:02.25")),
        ..mk_execution("e-1", State::Succeeded, 5)
    };
    expect![[r"
        ID   STATE      TARGET                                  WORKFLOW        AGE     DURATION  REASON
        e-4  WAITING    default/deployment/api                  restart:v1      10m 0s  -         LOCK held by e-2
        e-3  CANCELLED  default/deployment/api in cluster prod  restart-pods 2  10m 0s  1m 13s    started by mistake, and then some more words that do not fit in a t...
        e-2  FAILED     default/deployment/api                  restart:v1      10m 0s  3.0s      TASK_FAILED in task restart
        e-1  SUCCEEDED  default/deployment/api                  restart:v1      10m 0s  1.2s"]]
    .assert_eq(&list::table(
        &[waits, cancelled(), failed(), succeeded],
        now(),
        Colour::Off,
    ));
}

#[test]
fn colours_do_not_move_the_columns_of_a_list() {
    let executions = [failed(), cancelled()];
    let plain = list::table(&executions, now(), Colour::Off);
    let coloured = list::table(&executions, now(), Colour::On);
    assert!(coloured.contains("\u{1b}[38;5;1m"), "{coloured:?}");
    let mut without = String::new();
    let mut rest = coloured.as_str();
    while let Some((before, escape)) = rest.split_once("\u{1b}[") {
        without.push_str(before);
        rest = escape.split_once('m').unwrap().1;
    }
    without.push_str(rest);
    let trimmed: Vec<&str> = without.lines().map(str::trim_end).collect();
    assert_eq!(trimmed, plain.lines().collect::<Vec<_>>());
}

#[test]
fn an_empty_list_has_its_header() {
    expect!["ID  STATE  TARGET  WORKFLOW  AGE  DURATION  REASON"].assert_eq(&list::table(
        &[],
        now(),
        Colour::Off,
    ));
}

#[test]
fn an_execution_is_described_with_its_failure() {
    expect![[r#"
        e-2  FAILED
          target      default/deployment/api
          request id  r-e-2
          workflow    registry.example/workflows/restart:v1
          pipeline    workflow
          parameters  A=1
                      B=2
          accepted    2026-11-21T10:00:00.000Z, 10m 0s ago by anonymous
          started     2026-11-21T10:00:01.000Z
          ended       2026-11-21T10:00:04.000Z after 3.0s
          revision    9
          run         kubernaut-workflows/wfe-0123456789abcdef-4 (hold 4)
          progress    3 of 3 tasks done, 1 failed, 1 skipped
                      prepare            SUCCEEDED  1.0s
                      restart            FAILED     2.0s  attempt 2  Failed
                        read             SUCCEEDED  1.5s
                        apply            FAILED     1.5s  exit code 1
                      verify-afterwards  SKIPPED
          failure     TASK_FAILED: Step apply of task restart exited with code 1. Look at its log.
                      task restart, step apply, TaskRun wfe-1-restart, exit code 1
                      evidence: TaskRun wfe-1-restart status.steps[apply].terminated.exitCode = 1
                      Failed: "step-apply" exited with code 1
                      A step had started: side effects may have happened.
          log         line one
                      line  [31mtwo
    "#]]
    .assert_eq(&execution::describe(&failed(), now(), "", Colour::Off));
}

#[test]
fn a_cancelled_execution_says_who_and_why() {
    expect![[r"
        e-3  CANCELLED
          target      default/deployment/api in cluster prod
          request id  r-e-3
          workflow    registry.example/workflows/restart:v1
          pipeline    workflow
          catalogue   restart-pods 2
          accepted    2026-11-21T10:00:00.000Z, 10m 0s ago by anonymous
          started     2026-11-21T10:00:01.000Z
          ended       2026-11-21T10:01:14.000Z after 1m 13s
          revision    6
          cancelled   2026-11-21T10:01:00.000Z by alice: started by mistake, and then some more words that do not fit in a table at all
    "]]
    .assert_eq(&execution::describe(&cancelled(), now(), "", Colour::Off));
}

#[test]
fn a_cancel_that_gives_time_says_how_until_when_and_what_made_it_stronger() {
    let escalation = Escalation {
        time: Some(at("10:00:30")),
        cause: EscalationCause::Request.into(),
        previous_mode: CancelMode::StopAndFinally.into(),
        actor: Some(Actor { user: "bob".to_owned(), ..Actor::default() }),
        reason: "it takes too long".to_owned(),
    };
    let cancellation = Cancellation {
        mode: CancelMode::RunFinally.into(),
        reason: "started by mistake".to_owned(),
        actor: Some(Actor { user: "alice".to_owned(), ..Actor::default() }),
        request_time: Some(at("10:00:00")),
        escalate_time: Some(at("10:05:00")),
        escalations: vec![escalation],
    };
    let stopping = Execution {
        obstacle: "task report still runs".to_owned(),
        cancellation: Some(cancellation.clone()),
        ..mk_execution("e-3", State::Cancelling, 6)
    };
    let mut event = ExecutionEvent {
        revision: 6,
        time: Some(at("10:00:30")),
        message: "what runs is stopped, then the finally tasks run: it takes too long".to_owned(),
        cancellation: Some(cancellation),
        ..ExecutionEvent::default()
    };
    event.set_type(EventType::CancelEscalated);
    event.set_state(State::Cancelling);
    let text = format!(
        "{}\n{}\n{}",
        execution::headline(&stopping, now(), Colour::Off),
        event::line(&event, Colour::Off),
        execution::describe(&stopping, now(), "", Colour::Off),
    );
    for line in [
        "CANCELLING: task report still runs (run-finally, at once from 2026-11-21T10:05:00.000Z)",
        "it takes too long (run-finally, at once from 2026-11-21T10:05:00.000Z)",
        "10:00:00.000Z by alice, run-finally, at once from 2026-11-21T10:05:00.000Z: started by mistake",
        "10:00:30.000Z by bob, before stop-and-finally: it takes too long",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[test]
fn headlines_tell_where_an_execution_stands() {
    let waits =
        Execution { waiting: Some(waiting("e-2")), ..mk_execution("e-4", State::Waiting, 2) };
    let starting = Execution {
        obstacle: "the webhook of Tekton does not answer; trying again".to_owned(),
        ..mk_execution("e-5", State::Starting, 3)
    };
    let running = Execution {
        progress: Some(mk_progress(vec![
            mk_task("a", TaskState::Succeeded, vec![]),
            mk_task("b", TaskState::Running, vec![]),
        ])),
        ..mk_execution("e-6", State::Running, 4)
    };
    let seen = [waits, starting, running, cancelled(), failed()];
    let lines = seen.map(|seen| execution::headline(&seen, now(), Colour::Off));
    expect![[r#"
        e-4  default/deployment/api  WAITING: execution e-2 holds the target
        e-5  default/deployment/api  STARTING: the webhook of Tekton does not answer; trying again
        e-6  default/deployment/api  RUNNING: 1 of 2 tasks done
        e-3  default/deployment/api in cluster prod  CANCELLED after 1m 13s by alice: started by mistake, and then some more words that do not fit in a table at all
        e-2  default/deployment/api  FAILED after 3.0s: TASK_FAILED: Step apply of task restart exited with code 1. Look at its log.
          task restart, step apply, TaskRun wfe-1-restart, exit code 1
          evidence: TaskRun wfe-1-restart status.steps[apply].terminated.exitCode = 1
          Failed: "step-apply" exited with code 1
          A step had started: side effects may have happened."#]]
    .assert_eq(&lines.join("\n"));
}

#[test]
fn events_are_lines_of_time_revision_state_and_message() {
    let mut progressed = mk_event(4, State::Running, EventType::Progressed);
    progressed.progress = failed().progress;
    let mut silent = mk_event(12, State::Succeeded, EventType::Succeeded);
    silent.message = String::new();
    let mut hostile = mk_event(13, State::Succeeded, EventType::Succeeded);
    hostile.message = "two\nlines and \u{1b}[2J".to_owned();
    let lines = [mk_event(1, State::Starting, EventType::Accepted), progressed, silent, hostile]
        .map(|event| event::line(&event, Colour::Off));
    let snapshot = event::snapshot_line(&failed(), now(), Colour::Off);
    expect![[r"
        2026-11-21T10:00:01.000Z     1  STARTING    message 1
        2026-11-21T10:00:04.000Z     4  RUNNING     restart has failed (3 of 3 tasks done, 1 failed, 1 skipped)
        2026-11-21T10:00:12.000Z    12  SUCCEEDED   succeeded
        2026-11-21T10:00:13.000Z    13  SUCCEEDED   two lines and  [2J
        2026-11-21T10:00:09.000Z     9  FAILED      after 3.0s: TASK_FAILED: Step apply of task restart exited with code 1. Look at its log."]]
    .assert_eq(&format!("{}\n{snapshot}", lines.join("\n")));
}

#[test]
fn a_target_tells_its_holder_its_queue_and_its_gates() {
    let target = Target {
        target: "default/deployment/api".to_owned(),
        cluster_id: "prod".to_owned(),
        lock: Some(Lock {
            execution_id: "e-2".to_owned(),
            state: State::Running.into(),
            epoch: 4,
            since: Some(at("10:06:55")),
            run: "wfe-0123456789abcdef-4".to_owned(),
        }),
        queue: vec![
            QueueEntry {
                execution_id: "e-3".to_owned(),
                position: 1,
                create_time: Some(at("10:08:00")),
                waiting: Some(waiting("e-2")),
            },
            QueueEntry {
                execution_id: "e-4".to_owned(),
                position: 2,
                create_time: Some(at("10:09:00")),
                waiting: None,
            },
        ],
        cooldown: Some(Cooldown {
            workflow: "registry.example/workflows/restart:v1".to_owned(),
            end_time: Some(at("10:14:03")),
            execution_id: "e-0".to_owned(),
            mode: GateMode::Enforce.into(),
        }),
        cooldowns: vec![
            Cooldown {
                workflow: "flush".to_owned(),
                end_time: Some(at("10:11:00")),
                execution_id: "e-8".to_owned(),
                mode: GateMode::Observe.into(),
            },
            Cooldown {
                workflow: "registry.example/workflows/restart#workflow".to_owned(),
                end_time: Some(at("10:14:03")),
                execution_id: "e-0".to_owned(),
                mode: GateMode::Enforce.into(),
            },
        ],
        clearances: vec![
            mk_attempt("bob", ClearanceOutcome::Stale, "e-1"),
            mk_attempt("alice", ClearanceOutcome::Cleared, "e-0"),
            mk_attempt("bob", ClearanceOutcome::NotBlocked, ""),
        ],
        backoff: Some(Backoff {
            failures: 3,
            end_time: Some(at("10:10:40")),
            execution_id: "e-9".to_owned(),
            mode: GateMode::Enforce.into(),
        }),
        block: Some(Block {
            reason: BlockReason::PreviousExecutionFailed.into(),
            execution_id: "e-1".to_owned(),
            since: Some(at("09:10:00")),
            mode: GateMode::Enforce.into(),
        }),
    };
    expect![[r#"
        default/deployment/api in cluster prod is held by execution e-2 (RUNNING) since 2026-11-21T10:06:55.000Z (3m 5s ago). Its run is wfe-0123456789abcdef-4 (hold 4).
        2 executions wait for it, in this order:
          1. e-3 since 2026-11-21T10:08:00.000Z (2m 0s ago): LOCK: execution e-2 holds the target
          2. e-4 since 2026-11-21T10:09:00.000Z (1m 0s ago)
        Gates:
          BLOCK (enforced) since 2026-11-21T09:10:00.000Z (1h 0m ago): execution e-1 failed after it had begun to act.
            Look at it and at the target itself, then say why it is safe to go on:
              wfe get e-1
              wfe clear-block default/deployment/api --cluster prod --execution e-1 --reason "..."
          BACKOFF (enforced) until 2026-11-21T10:10:40.000Z (40s left): 3 in a row failed before they did anything, the last is e-9.
          COOLDOWN (only observed, holds nobody) until 2026-11-21T10:11:00.000Z (1m 0s left): execution e-8 of flush succeeded.
          COOLDOWN (enforced) until 2026-11-21T10:14:03.000Z (4m 3s left): execution e-0 of registry.example/workflows/restart#workflow succeeded.
        Attempts to clear a block, the newest first:
          2026-11-21T10:09:30.000Z by bob: rolled back by hand (ticket OPS-4711) -> refused, by then e-1 blocked
          2026-11-21T10:09:30.000Z by alice: rolled back by hand (ticket OPS-4711) -> cleared the failure of e-0
          2026-11-21T10:09:30.000Z by bob: rolled back by hand (ticket OPS-4711) -> refused, nothing was blocked"#]]
    .assert_eq(&target::sentences(&target, now(), ""));
}

#[test]
fn a_target_may_be_free_or_held_by_a_stranger() {
    let free = Target { target: "node/worker-1".to_owned(), ..Target::default() };
    let foreign = Target {
        lock: Some(Lock {
            since: Some(at("10:09:58.5")),
            run: "by-hand".to_owned(),
            ..Lock::default()
        }),
        queue: vec![QueueEntry {
            execution_id: "e-3".to_owned(),
            position: 1,
            create_time: Some(at("10:09:59")),
            waiting: None,
        }],
        ..free.clone()
    };
    let both = [free, foreign].map(|target| target::sentences(&target, now(), ""));
    expect![[r"
        node/worker-1 is free: nothing holds it.
        Nothing waits for it.
        No other gate is closed.

        node/worker-1 is held since 2026-11-21T10:09:58.500Z (1.5s ago): PipelineRun by-hand, which is not on record here, acts on it.
          Find out whose it is before you end it:
            kubectl get pipelinerun --all-namespaces --field-selector metadata.name=by-hand
        1 execution waits for it:
          1. e-3 since 2026-11-21T10:09:59.000Z (1.0s ago)
        No other gate is closed."]]
    .assert_eq(&both.join("\n\n"));
}

#[test]
fn colours_are_added_only_when_wanted() {
    let plain = paint_state(State::Failed, 8, Colour::Off);
    assert_eq!(plain, "FAILED  ");
    let painted = paint_state(State::Failed, 8, Colour::On);
    assert_eq!(painted, "\u{1b}[31mFAILED  \u{1b}[0m");
}
