use expect_test::expect;
use wfe_proto::v1::{
    Actor, Backoff, Block, BlockReason, Cancellation, Cooldown, EventType, Execution, Lock,
    QueueEntry, Run, State, StepProgress, Target, TaskState, Waiting, WorkflowIdentity,
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
         e-3  CANCELLED  default/deployment/api in cluster prod  restart-pods 2  10m 0s  1m 13s    started by mistake, and then some more words that do not ...
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
                      Failed: "step-apply" exited with code 1
                      A step had started: side effects may have happened.
          log         line one
                      line  [31mtwo
    "#]]
    .assert_eq(&execution::describe(&failed(), now(), Colour::Off));
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
    .assert_eq(&execution::describe(&cancelled(), now(), Colour::Off));
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
        2026-11-21T10:00:04.000Z     4  RUNNING     message 4 (3 of 3 tasks done, 1 failed, 1 skipped)
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
            ..Cooldown::default()
        }),
        backoff: Some(Backoff {
            failures: 3,
            end_time: Some(at("10:10:40")),
            ..Backoff::default()
        }),
        block: Some(Block {
            reason: BlockReason::PreviousExecutionFailed.into(),
            execution_id: "e-1".to_owned(),
            since: Some(at("09:10:00")),
            ..Block::default()
        }),
        ..Target::default()
    };
    expect![[r"
        default/deployment/api in cluster prod is held by execution e-2 (RUNNING) since 2026-11-21T10:06:55.000Z (3m 5s ago). Its run is wfe-0123456789abcdef-4.
        2 executions wait for it, in this order:
          1. e-3 since 2026-11-21T10:08:00.000Z (2m 0s ago): execution e-2 holds the target
          2. e-4 since 2026-11-21T10:09:00.000Z (1m 0s ago)
        It cools down after registry.example/workflows/restart:v1 until 2026-11-21T10:14:03.000Z (in 4m 3s).
        It backs off after 3 failures in a row until 2026-11-21T10:10:40.000Z (in 40s).
        It is blocked since 2026-11-21T09:10:00.000Z (1h 0m ago) by execution e-1: an execution failed after it had started to act. A person must look at it and clear the block."]]
    .assert_eq(&target::sentences(&target, now()));
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
    let both = [free, foreign].map(|target| target::sentences(&target, now()));
    expect![[r"
        node/worker-1 is free: nothing holds it.
        Nothing waits for it.

        node/worker-1 is held by a run that is not of this service since 2026-11-21T10:09:58.500Z (1.5s ago). Its run is by-hand.
        1 execution waits for it:
          1. e-3 since 2026-11-21T10:09:59.000Z (1.0s ago)"]]
    .assert_eq(&both.join("\n\n"));
}

#[test]
fn colours_are_added_only_when_wanted() {
    let plain = paint_state(State::Failed, 8, Colour::Off);
    assert_eq!(plain, "FAILED  ");
    let painted = paint_state(State::Failed, 8, Colour::On);
    assert_eq!(painted, "\u{1b}[31mFAILED  \u{1b}[0m");
}

#[test]
fn every_status_code_has_the_name_of_the_documentation() {
    let names: std::collections::BTreeSet<&str> =
        (0..17).map(|n| code_name(Code::from_i32(n))).collect();
    assert_eq!(names.len(), 17);
    assert_eq!(code_name(Code::Aborted), "ABORTED");
}
