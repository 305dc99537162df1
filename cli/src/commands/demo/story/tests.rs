//! The story on a service that behaves as it says, and on services that do not.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use expect_test::expect;
use wfe_proto::{
    apply,
    v1::{
        Block, BlockReason, CancelResponse, Cancellation, ClearBlockRequest, ClearBlockResponse,
        Clearance, EventType, ExecutionEvent, Failure, Gate, GateMode, GetTargetResponse,
        ListResponse, Lock, Progress, QueueEntry, StartOutcome, Target, TaskState, Waiting,
        WatchRequest, execution,
    },
};

use super::*;
use crate::testing::{
    messages::{
        at, event, mk_event, mk_execution, mk_failure, mk_progress, mk_task, refusal, snapshot,
        terminal,
    },
    service::{Act, Service, serve},
    shell::Shell,
};

/// One execution of the little service: as it began, and what happens to it.
struct Kept {
    first: Execution,
    events: Vec<ExecutionEvent>,
}

impl Kept {
    fn after(&self, revision: i64) -> Execution {
        let mut seen = self.first.clone();
        for event in self.events.iter().filter(|event| event.revision <= revision) {
            apply(&mut seen, event);
            if event.r#type() == EventType::RunCreated {
                seen.start_time = event.time;
            }
            if render::execution::is_terminal(event.state()) {
                seen.end_time = event.time;
            }
        }
        seen
    }

    fn now(&self) -> Execution {
        self.after(i64::MAX)
    }

    fn then(&mut self, state: State, kind: EventType) -> &mut ExecutionEvent {
        let revision = self.now().revision + 1;
        self.events.push(mk_event(revision, state, kind));
        let last = self.events.len() - 1;
        &mut self.events[last]
    }
}

/// A service that knows the fates of the demo. The executions, the oldest first, by id.
#[derive(Clone, Default)]
struct World(Arc<Mutex<BTreeMap<String, Kept>>>);

impl World {
    fn executions(&self) -> MutexGuard<'_, BTreeMap<String, Kept>> {
        self.0.lock().unwrap()
    }

    /// Starts an execution whose fate is told by its bundle, unless `other_fate` knows better.
    fn start(
        &self,
        request: &StartRequest,
        other_fate: fn(&str) -> Option<&'static str>,
    ) -> Result<StartResponse, Status> {
        let mut executions = self.executions();
        let last = executions.values().rfind(|kept| kept.first.target == request.target);
        let last = last.map(Kept::now);
        let (workflow, reference) = match request.workflow.clone() {
            Some(start_request::Workflow::Bundle(bundle)) => {
                let reference = bundle.reference.clone();
                (execution::Workflow::Bundle(bundle), reference)
            }
            Some(start_request::Workflow::Inline(inline)) => {
                let reference = format!("{} steps", inline.steps.len());
                (execution::Workflow::Inline(inline), reference)
            }
            None => return Err(Status::invalid_argument("no workflow")),
        };
        let name = reference.trim_start_matches("registry.example/demo/");
        let name = name.trim_end_matches(":v1");
        let id = format!("e-{:02}", executions.len() + 1);
        let mut first = Execution {
            workflow: Some(workflow),
            target: request.target.clone(),
            ..mk_execution(&id, State::Starting, 1)
        };
        if let Some(last) = last {
            let waiting = closed(&last, request);
            if waiting.gate() == Gate::Lock && request.when_locked() != WhenLocked::Wait {
                let message = format!("{} is held by {}", request.target, last.id);
                return Err(refusal(Code::Aborted, "TARGET_LOCKED", &message));
            }
            first.state = State::Waiting.into();
            first.waiting = Some(waiting);
        }
        let mut kept = Kept { first: first.clone(), events: Vec::new() };
        live(&mut kept, other_fate(name).unwrap_or(name));
        executions.insert(id, kept);
        Ok(StartResponse { execution: Some(first), outcome: StartOutcome::Accepted.into() })
    }

    fn watch(&self, request: &WatchRequest) -> Result<Vec<Act>, Status> {
        let Some(wfe_proto::v1::watch_request::Scope::ExecutionId(id)) = &request.scope else {
            return Err(Status::invalid_argument("no execution"));
        };
        let executions = self.executions();
        let kept = &executions[id];
        let mut acts = Vec::new();
        let after = match request.after {
            None => {
                acts.push(Act::say(snapshot(kept.first.clone())));
                1
            }
            Some(0) => {
                let state = kept.first.state();
                acts.push(Act::say(event(mk_event(1, state, EventType::Accepted))));
                1
            }
            Some(after) => after,
        };
        let events = kept.events.iter().filter(|event| event.revision > after);
        acts.extend(events.map(|seen| Act::say(event(seen.clone()))));
        let now = kept.now();
        acts.push(if render::execution::is_terminal(now.state()) {
            Act::say(terminal(now))
        } else {
            Act::Hang
        });
        Ok(acts)
    }

    fn cancel(&self, request: CancelRequest) -> CancelResponse {
        let mut executions = self.executions();
        let kept = executions.get_mut(&request.execution_id).unwrap();
        kept.then(State::Cancelling, EventType::CancelRequested).cancellation =
            Some(Cancellation { reason: request.reason, ..Cancellation::default() });
        kept.then(State::Cancelled, EventType::Cancelled);
        CancelResponse { execution: Some(kept.now()) }
    }

    /// The target on which a workflow failed, and who waits there.
    fn target(&self, name: String) -> Target {
        let executions = self.executions();
        let failed = executions.values().find(|kept| kept.now().state() == State::Failed).unwrap();
        let waits = executions.values().rfind(|kept| kept.first.target == name).unwrap();
        Target {
            target: name,
            queue: vec![QueueEntry {
                execution_id: waits.first.id.clone(),
                position: 1,
                create_time: Some(at("10:09:59")),
                waiting: waits.first.waiting.clone(),
            }],
            block: Some(Block {
                reason: BlockReason::PreviousExecutionFailed.into(),
                execution_id: failed.first.id.clone(),
                since: Some(at("10:09:58")),
                mode: GateMode::Enforce.into(),
            }),
            ..Target::default()
        }
    }

    fn clear(&self, request: ClearBlockRequest) -> ClearBlockResponse {
        let clearance = Clearance {
            reason: request.reason,
            clear_time: Some(at("10:10:00")),
            ..Clearance::default()
        };
        let mut executions = self.executions();
        let failed = executions.get_mut(&request.expected_execution_id).unwrap();
        failed.first.clearance = Some(clearance);
        let execution = failed.now();
        let next = executions.values().rfind(|kept| kept.first.target == request.target).unwrap();
        let lock = Lock {
            execution_id: next.first.id.clone(),
            state: State::Starting.into(),
            ..Lock::default()
        };
        let target = Target { target: request.target, lock: Some(lock), ..Target::default() };
        ClearBlockResponse { target: Some(target), execution: Some(execution) }
    }

    fn list(&self) -> ListResponse {
        ListResponse {
            executions: self.executions().values().rev().map(Kept::now).collect(),
            next_page_token: String::new(),
        }
    }

    fn service(&self, other_fate: fn(&str) -> Option<&'static str>) -> Service {
        let [start, watch, cancel, list, target, clear] = std::array::from_fn(|_| self.clone());
        Service::default()
            .start(move |request| start.start(&request, other_fate))
            .watch(move |request| watch.watch(&request))
            .cancel(move |request| Ok(cancel.cancel(request)))
            .list(move |_| Ok(list.list()))
            .get_target(move |request| {
                Ok(GetTargetResponse { target: Some(target.target(request.target)) })
            })
            .clear_block(move |request| Ok(clear.clear(request)))
    }
}

/// The gate that the last execution on the target has closed: as if it still ran, unless it failed or the
/// request wants to wait for its cooldown.
fn closed(last: &Execution, request: &StartRequest) -> Waiting {
    let cools = request.when_cooling() == WhenCooling::Wait;
    let id = last.id.clone();
    match last.state() {
        State::Failed => Waiting {
            gate: Gate::Block.into(),
            message: format!("execution {id} failed; a person must look"),
            cause_execution_id: id,
            ..Waiting::default()
        },
        State::Succeeded if cools => Waiting {
            gate: Gate::Cooldown.into(),
            message: format!("execution {id} succeeded"),
            cause_execution_id: id,
            until: Some(at("10:10:02")),
            ..Waiting::default()
        },
        State::Succeeded
        | State::Unspecified
        | State::Waiting
        | State::Starting
        | State::Running
        | State::Cancelling
        | State::Cancelled => Waiting {
            gate: Gate::Lock.into(),
            message: format!("execution {id} holds the target"),
            holder_execution_id: id,
            ..Waiting::default()
        },
    }
}

/// Everything that happens to an execution of this fate without anybody's doing.
fn live(kept: &mut Kept, fate: &str) {
    if fate == "dies-early" {
        kept.then(State::Failed, EventType::Failed).failure = Some(mk_failure());
        return;
    }
    kept.then(State::Running, EventType::RunCreated);
    match fate {
        "three-tasks-in-order" => {
            for done in 1..=3 {
                kept.then(State::Running, EventType::Progressed).progress = Some(tasks(done));
            }
            kept.then(State::Succeeded, EventType::Succeeded);
        }
        "succeeds" => {
            kept.then(State::Succeeded, EventType::Succeeded);
        }
        "step-exits-1" => {
            kept.then(State::Failed, EventType::Failed).failure = Some(mk_failure());
        }
        "says-nothing" => {
            kept.then(State::Failed, EventType::Failed).failure =
                Some(Failure { summary: String::new(), ..mk_failure() });
        }
        "never-ends" => {}
        "4 steps" | "2 steps" | "1 steps" => {
            let count = fate[..1].parse().unwrap();
            let tasks = (0..count).map(|n| mk_task(&format!("s{n}"), TaskState::Succeeded, vec![]));
            kept.then(State::Running, EventType::Progressed).progress =
                Some(mk_progress(tasks.collect()));
            kept.then(State::Succeeded, EventType::Succeeded);
        }
        other => panic!("no such fate: {other}"),
    }
}

fn tasks(done: usize) -> Progress {
    let tasks = ["first", "second", "third"].into_iter().enumerate();
    mk_progress(
        tasks
            .map(|(index, name)| {
                let state = match index.cmp(&done) {
                    std::cmp::Ordering::Less => TaskState::Succeeded,
                    std::cmp::Ordering::Equal => TaskState::Running,
                    std::cmp::Ordering::Greater => TaskState::Pending,
                };
                let mut task = mk_task(name, state, vec![]);
                task.start_time = Some(at("10:00:01"));
                task
            })
            .collect(),
    )
}

/// Tells the story on a service: how it ended, and all that was written.
async fn told_on(service: Service) -> (Result<(), Error>, String) {
    let server = serve(service).await;
    let shell = Shell::at(&server.address());
    let limit = Duration::from_secs(5);
    let client = crate::connect(
        &server.address().parse().unwrap(),
        &crate::args::AccessArgs::default(),
        limit,
    )
    .unwrap();
    let mut context = shell.context();
    let told = Box::pin(Story::new(&mut context, client, limit).tell()).await;
    (told, shell.stdout())
}

#[expect(clippy::too_many_lines, reason = "the whole story is shown")]
#[tokio::test]
async fn the_story_is_told_to_its_end() {
    let (told, text) = told_on(World::default().service(|_| None)).await;
    told.unwrap();
    expect![[r#"
        wfe demo: a server in this process, on a simulated Tekton.

        1. A workflow runs to its end
        Three tasks in order. Every change of the execution comes in on one stream.
        $ wfe start --bundle registry.example/demo/three-tasks-in-order:v1 --target default/deployment/api
        2026-11-21T10:00:01.000Z     1  STARTING    message 1
        2026-11-21T10:00:02.000Z     2  RUNNING     message 2
        2026-11-21T10:00:03.000Z     3  RUNNING     second runs (1 of 3 tasks done)
        2026-11-21T10:00:04.000Z     4  RUNNING     third runs (2 of 3 tasks done)
        2026-11-21T10:00:05.000Z     5  RUNNING     every task has ended (3 of 3 tasks done)
        2026-11-21T10:00:06.000Z     6  SUCCEEDED   message 6
        e-01  default/deployment/api  SUCCEEDED after 4.0s: 3 of 3 tasks done

        2. A workflow fails
        A step exits with 1. The answer says what failed, and whether anything was changed.
        $ wfe start --bundle registry.example/demo/step-exits-1:v1 --target default/statefulset/db
        2026-11-21T10:00:01.000Z     1  STARTING    message 1
        2026-11-21T10:00:02.000Z     2  RUNNING     message 2
        2026-11-21T10:00:03.000Z     3  FAILED      message 3
        e-02  default/statefulset/db  FAILED after 1.0s: TASK_FAILED: Step apply of task restart exited with code 1. Look at its log.
          task restart, step apply, TaskRun wfe-1-restart, exit code 1
          evidence: TaskRun wfe-1-restart status.steps[apply].terminated.exitCode = 1
          Failed: "step-apply" exited with code 1
          A step had started: side effects may have happened.

        3. A failure blocks its target until a person has looked
        The next one waits and says why. A person says why it is safe to go on, and it runs.
        $ wfe start --bundle registry.example/demo/succeeds:v1 --target default/statefulset/db --when-blocked wait
        accepted: e-03  default/statefulset/db  WAITING: execution e-02 failed; a person must look
        $ wfe target default/statefulset/db
        Nothing holds default/statefulset/db, but gates are closed; see below.
        1 execution waits for it:
          1. e-03 since 2026-11-21T10:09:59.000Z (1.0s ago): BLOCK: execution e-02 failed; a person must look
        Gates:
          BLOCK (enforced) since 2026-11-21T10:09:58.000Z (2.0s ago): execution e-02 failed after it had begun to act.
            Look at it and at the target itself, then say why it is safe to go on:
              wfe get e-02
              wfe clear-block default/statefulset/db --execution e-02 --reason "..."
        $ wfe clear-block default/statefulset/db --execution e-02 --reason "looked at the database: nothing was changed"
        cleared: execution e-02, which stays FAILED, does not block default/statefulset/db any more
        on record: 2026-11-21T10:10:00.000Z: looked at the database: nothing was changed
        next: execution e-03 starts

        It waited for that, and runs:
        2026-11-21T10:00:01.000Z     1  WAITING     message 1
        2026-11-21T10:00:02.000Z     2  RUNNING     message 2
        2026-11-21T10:00:03.000Z     3  SUCCEEDED   message 3
        e-03  default/statefulset/db  SUCCEEDED after 1.0s

        4. A target rests after a success
        The same workflow again waits for the end of the cooldown, and then starts by itself.
        $ wfe start --bundle registry.example/demo/succeeds:v1 --target default/statefulset/db --when-cooling wait
        accepted: e-04  default/statefulset/db  WAITING: execution e-03 succeeded (2.0s left)
        2026-11-21T10:00:01.000Z     1  WAITING     message 1
        2026-11-21T10:00:02.000Z     2  RUNNING     message 2
        2026-11-21T10:00:03.000Z     3  SUCCEEDED   message 3
        e-04  default/statefulset/db  SUCCEEDED after 1.0s

        5. One execution per target
        While one runs, a second waits for the same target, and a third does not want to wait.
        $ wfe start --bundle registry.example/demo/three-tasks-in-order:v1 --target default/deployment/checkout
        $ wfe start --bundle registry.example/demo/succeeds:v1 --target default/deployment/checkout --when-locked wait
        $ wfe start --bundle registry.example/demo/succeeds:v1 --target default/deployment/checkout
        refused: ABORTED TARGET_LOCKED: default/deployment/checkout is held by e-06

        The second waits for e-05, then runs:
        2026-11-21T10:00:01.000Z     1  WAITING     message 1
        2026-11-21T10:00:02.000Z     2  RUNNING     message 2
        2026-11-21T10:00:03.000Z     3  SUCCEEDED   message 3
        e-06  default/deployment/checkout  SUCCEEDED after 1.0s

        6. A workflow that never ends is cancelled
        CANCELLED is said when nothing of its run is alive any more.
        $ wfe start --bundle registry.example/demo/never-ends:v1 --target node/worker-1
        2026-11-21T10:00:01.000Z     1  STARTING    message 1
        2026-11-21T10:00:02.000Z     2  RUNNING     message 2
        $ wfe cancel e-07 --reason "it takes too long"
        2026-11-21T10:00:03.000Z     3  CANCELLING  message 3
        2026-11-21T10:00:04.000Z     4  CANCELLED   message 4
        e-07  node/worker-1  CANCELLED after 2.0s: it takes too long

        7. A workflow of own steps needs no bundle
        Steps are containers in a file. Those that need not wait for each other run at once.
        $ wfe start --steps examples/diamond.yaml --target default/deployment/cart
        2026-11-21T10:00:01.000Z     1  STARTING    message 1
        2026-11-21T10:00:02.000Z     2  RUNNING     message 2
        2026-11-21T10:00:03.000Z     3  RUNNING     every task has ended (4 of 4 tasks done)
        2026-11-21T10:00:04.000Z     4  SUCCEEDED   message 4
        e-08  default/deployment/cart  SUCCEEDED after 2.0s: 4 of 4 tasks done
        $ wfe start --steps examples/retries.yaml --target node/worker-2
        2026-11-21T10:00:01.000Z     1  STARTING    message 1
        2026-11-21T10:00:02.000Z     2  RUNNING     message 2
        2026-11-21T10:00:03.000Z     3  RUNNING     every task has ended (2 of 2 tasks done)
        2026-11-21T10:00:04.000Z     4  SUCCEEDED   message 4
        e-09  node/worker-2  SUCCEEDED after 2.0s: 2 of 2 tasks done
        $ wfe start --steps examples/script.yaml --target default/deployment/search -p REPLICAS=5
        2026-11-21T10:00:01.000Z     1  STARTING    message 1
        2026-11-21T10:00:02.000Z     2  RUNNING     message 2
        2026-11-21T10:00:03.000Z     3  RUNNING     every task has ended (1 of 1 task done)
        2026-11-21T10:00:04.000Z     4  SUCCEEDED   message 4
        e-10  default/deployment/search  SUCCEEDED after 2.0s: 1 of 1 task done

        8. Everything is on record
        What was accepted is listed, with how it ended. What was refused was never accepted.
        $ wfe list
        ID    STATE      TARGET                       WORKFLOW                 AGE     DURATION  REASON
        e-10  SUCCEEDED  default/deployment/search    1 step                   10m 0s  2.0s
        e-09  SUCCEEDED  node/worker-2                2 steps                  10m 0s  2.0s
        e-08  SUCCEEDED  default/deployment/cart      4 steps                  10m 0s  2.0s
        e-07  CANCELLED  node/worker-1                never-ends:v1            10m 0s  2.0s      it takes too long
        e-06  SUCCEEDED  default/deployment/checkout  succeeds:v1              10m 0s  1.0s
        e-05  SUCCEEDED  default/deployment/checkout  three-tasks-in-order:v1  10m 0s  4.0s
        e-04  SUCCEEDED  default/statefulset/db       succeeds:v1              10m 0s  1.0s
        e-03  SUCCEEDED  default/statefulset/db       succeeds:v1              10m 0s  1.0s
        e-02  FAILED     default/statefulset/db       step-exits-1:v1          10m 0s  1.0s      TASK_FAILED in task restart, cleared
        e-01  SUCCEEDED  default/deployment/api       three-tasks-in-order:v1  10m 0s  4.0s

        All of this went as it says. Next:
          cargo run -- dev      serves the same until Ctrl-C, for wfe and grpcurl in another terminal
          cargo run -- --help   the other commands
          README.md             how to run it on a real cluster
    "#]].assert_eq(&text);
}

#[tokio::test]
async fn a_service_that_does_something_else_is_found_out() {
    type OtherFate = fn(&str) -> Option<&'static str>;
    let lies: [(OtherFate, &str); 5] = [
        (
            |name| (name == "three-tasks-in-order").then_some("succeeds"),
            "e-01 ran None tasks instead of 3 of 3",
        ),
        (
            |name| (name == "step-exits-1").then_some("succeeds"),
            "e-02 is SUCCEEDED instead of FAILED",
        ),
        (
            |name| (name == "step-exits-1").then_some("says-nothing"),
            "the failure of e-02 has no sentence for a person",
        ),
        (
            |name| (name == "succeeds").then_some("dies-early"),
            "e-03 is FAILED instead of SUCCEEDED",
        ),
        (|name| (name == "never-ends").then_some("dies-early"), "e-07 was never seen RUNNING"),
    ];
    for (other_fate, sentence) in lies {
        let (told, _) = told_on(World::default().service(other_fate)).await;
        let error = told.unwrap_err();
        assert_eq!(error.exit(), crate::Exit::Failed, "{error}");
        assert_eq!(error.to_string(), format!("the demo is not as it says: {sentence}"));
    }
}

#[tokio::test]
async fn a_service_without_a_lock_is_found_out() {
    let world = World::default();
    let start = world.clone();
    let service = world.service(|_| None).start(move |mut request| {
        if start.executions().len() == 6 && request.target == CONTESTED {
            request.target = "node/other".to_owned();
        }
        start.start(&request, |_| None)
    });
    let (told, _) = told_on(service).await;
    let error = told.unwrap_err().to_string();
    assert_eq!(error, "the demo is not as it says: e-07 was not refused");
}

#[tokio::test]
async fn a_service_that_forgets_is_found_out() {
    let service = World::default().service(|_| None).list(|_| Ok(ListResponse::default()));
    let (told, _) = told_on(service).await;
    let error = told.unwrap_err().to_string();
    assert_eq!(error, "the demo is not as it says: 0 executions are listed instead of 10");
}

#[tokio::test]
async fn a_service_without_gates_is_found_out() {
    for (before, sentence) in
        [(2, "e-03 is STARTING instead of WAITING"), (3, "e-04 is STARTING instead of WAITING")]
    {
        let world = World::default();
        let start = world.clone();
        let service = world.service(|_| None).start(move |mut request| {
            if start.executions().len() == before {
                request.target = "node/other".to_owned();
            }
            start.start(&request, |_| None)
        });
        let (told, _) = told_on(service).await;
        let error = told.unwrap_err().to_string();
        assert_eq!(error, format!("the demo is not as it says: {sentence}"));
    }
}

#[tokio::test]
async fn a_service_that_does_not_keep_why_a_block_was_cleared_is_found_out() {
    let world = World::default();
    let clear = world.clone();
    let service = world.service(|_| None).clear_block(move |request| {
        Ok(clear.clear(ClearBlockRequest { reason: "because".to_owned(), ..request }))
    });
    let (told, _) = told_on(service).await;
    let error = told.unwrap_err().to_string();
    let reason = "looked at the database: nothing was changed";
    assert_eq!(
        error,
        format!(
            "the demo is not as it says: the reason on record is \"because\" instead of {reason:?}"
        )
    );
}
