//! Cancel in every mode: what is stopped, what may end, what runs after it, and until when.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use wfe_core::facts::{Condition, Status};
use wfe_proto::v1::{
    self, CancelMode, EscalationCause, EventType, State, TaskState, WhenLocked, watch_response,
};
use wfe_server::tekton::simulator::SimulatorConfig;

use crate::support::*;

const GIVE_TIME: [CancelMode; 2] = [CancelMode::RunFinally, CancelMode::StopAndFinally];
const MODES: [CancelMode; 3] =
    [CancelMode::Immediate, CancelMode::RunFinally, CancelMode::StopAndFinally];

async fn stack(task_time: Duration) -> Stack {
    Stack::with(SimulatorConfig { task_time, ..SimulatorConfig::default() }).await
}

/// Starts it and waits until a step of it runs.
async fn until_it_runs(client: &mut Client, bundle: &str, target: &str) -> String {
    let id = start(client, mk_start_of(bundle, target, target)).await.id;
    eventually("a step runs", async || {
        let tasks = get(client, &id).await.progress?.tasks;
        tasks.iter().any(|task| task.state() == TaskState::Running).then_some(())
    })
    .await;
    id
}

/// How the tasks of an execution ended, by name.
fn tasks(execution: &v1::Execution) -> Vec<(&str, TaskState)> {
    let tasks = &execution.progress.as_ref().unwrap().tasks;
    tasks.iter().map(|task| (task.name.as_str(), task.state())).collect()
}

fn causes(execution: &v1::Execution) -> Vec<EscalationCause> {
    let cancellation = execution.cancellation.as_ref().unwrap();
    cancellation.escalations.iter().map(v1::Escalation::cause).collect()
}

#[tokio::test]
async fn run_finally_stops_what_runs_and_then_runs_the_finally_tasks() {
    let stack = stack(Duration::from_millis(300)).await;
    let mut client = stack.client().await;
    let id = until_it_runs(&mut client, "never-ends-and-finally", "pod/x").await;
    let answered = cancel_as(&mut client, &id, CancelMode::RunFinally, None).await;
    let cancellation = answered.cancellation.unwrap();
    assert_eq!(cancellation.mode(), CancelMode::RunFinally);
    let (asked, until) = (cancellation.request_time.unwrap(), cancellation.escalate_time.unwrap());
    let given = i64::try_from(FINALLY_PATIENCE.as_secs()).unwrap();
    assert_eq!((until.seconds - asked.seconds, until.nanos), (given, asked.nanos));

    let done = until_terminal(&mut client, &id).await;
    assert_eq!(done.state(), State::Cancelled);
    assert_eq!(
        tasks(&done),
        [("a", TaskState::Cancelled), ("b", TaskState::Skipped), ("report", TaskState::Succeeded)]
    );
    assert_eq!(causes(&done), []);
    assert_nothing_alive(&stack);
}

#[tokio::test]
async fn stop_and_finally_lets_what_runs_end_and_says_what_it_waits_for() {
    let stack = stack(Duration::from_millis(500)).await;
    let mut client = stack.client().await;
    let id = until_it_runs(&mut client, "finally-runs", "pod/x").await;
    cancel_as(&mut client, &id, CancelMode::StopAndFinally, None).await;
    let done = until_terminal(&mut client, &id).await;
    assert_eq!(done.state(), State::Cancelled);
    assert_eq!(
        tasks(&done),
        [("a", TaskState::Succeeded), ("b", TaskState::Skipped), ("report", TaskState::Succeeded)]
    );
    let told = events(&mut client, &id).await;
    let told = told.iter().filter(|event| event.r#type() == EventType::Delayed);
    let told: Vec<&str> = told.map(|event| event.message.as_str()).collect();
    assert!(told.contains(&"task a still runs"), "{told:?}");
    assert_nothing_alive(&stack);
}

#[tokio::test]
async fn what_does_not_end_in_its_time_is_stopped_at_once() {
    let stack = stack(Duration::from_millis(200)).await;
    let mut client = stack.client().await;
    for (bundle, mode) in [
        ("never-ends-and-finally", CancelMode::StopAndFinally),
        ("finally-never-ends", CancelMode::RunFinally),
    ] {
        let id = until_it_runs(&mut client, bundle, &format!("default/pod/{bundle}")).await;
        let time = Some(Duration::from_millis(1500));
        cancel_as(&mut client, &id, mode, time).await;
        let waits = eventually("says what it waits for", async || {
            Some(get(&mut client, &id).await).filter(|execution| !execution.obstacle.is_empty())
        })
        .await;
        assert_eq!(waits.state(), State::Cancelling);
        let done = until_terminal(&mut client, &id).await;
        assert_eq!(done.state(), State::Cancelled, "{done:?}");
        let cancellation = done.cancellation.clone().unwrap();
        assert_eq!(
            (cancellation.mode(), cancellation.escalate_time),
            (CancelMode::Immediate, None)
        );
        assert_eq!(causes(&done), [EscalationCause::Patience]);
        assert_eq!(cancellation.escalations[0].previous_mode(), mode);
        let escalated = events(&mut client, &id).await;
        let escalated =
            escalated.iter().find(|event| event.r#type() == EventType::CancelEscalated).unwrap();
        assert_eq!(escalated.actor.as_ref().unwrap().user, "wfe-server");
        assert_eq!(escalated.cancellation.as_ref(), Some(&cancellation));
        assert!(escalated.message.contains("its time to end is over"), "{}", escalated.message);
    }
    assert_nothing_alive(&stack);
}

#[tokio::test]
async fn a_stronger_cancel_counts_at_once_and_any_other_changes_nothing() {
    let stack = stack(Duration::from_millis(200)).await;
    let mut client = stack.client().await;
    let id = until_it_runs(&mut client, "finally-never-ends", "pod/x").await;
    let gently = cancel_as(&mut client, &id, CancelMode::StopAndFinally, None).await;
    let again = cancel_as(&mut client, &id, CancelMode::StopAndFinally, None).await;
    assert_eq!(again.cancellation, gently.cancellation);

    let request = v1::CancelRequest {
        execution_id: id.clone(),
        reason: "it takes too long".to_owned(),
        mode: CancelMode::RunFinally.into(),
        escalate_after: Some(prost_types::Duration { seconds: 100, nanos: 0 }),
        ..v1::CancelRequest::default()
    };
    let stronger = client.cancel(request).await.unwrap().into_inner().execution.unwrap();
    let cancellation = stronger.cancellation.clone().unwrap();
    assert_eq!(cancellation.mode(), CancelMode::RunFinally);
    assert_eq!(cancellation.reason, "a test", "the first request stays on record");
    let [escalation] = cancellation.escalations.as_slice() else { panic!("{cancellation:?}") };
    assert_eq!(escalation.cause(), EscalationCause::Request);
    assert_eq!(escalation.previous_mode(), CancelMode::StopAndFinally);
    assert_eq!(escalation.reason, "it takes too long");
    assert_eq!(escalation.actor.as_ref().unwrap().user, "anonymous");
    let until = cancellation.escalate_time.unwrap().seconds;
    assert!(until > gently.cancellation.unwrap().escalate_time.unwrap().seconds + 60);

    let weaker = cancel_as(&mut client, &id, CancelMode::StopAndFinally, None).await;
    assert_eq!(weaker.cancellation, Some(cancellation));
    eventually("the finally task runs", async || {
        let execution = get(&mut client, &id).await;
        let runs = tasks(&execution).contains(&("report", TaskState::Running));
        runs.then_some(())
    })
    .await;
    cancel(&mut client, &id).await;
    let done = until_terminal(&mut client, &id).await;
    assert_eq!(done.state(), State::Cancelled);
    assert_eq!(causes(&done), [EscalationCause::Request, EscalationCause::Request]);
    let ignored = stack.logged(&["cancel_ignored"]).await;
    assert!(!ignored.is_empty(), "a cancel without effect is on record");
    assert_nothing_alive(&stack);
}

#[tokio::test]
async fn a_finally_task_that_fails_after_a_cancel_is_what_really_happened() {
    let stack = stack(Duration::from_millis(300)).await;
    let mut client = stack.client().await;
    for mode in GIVE_TIME {
        let id = until_it_runs(
            &mut client,
            "finally-fails",
            &format!("default/pod/p-{mode:?}").to_lowercase(),
        )
        .await;
        cancel_as(&mut client, &id, mode, None).await;
        let done = until_terminal(&mut client, &id).await;
        assert_eq!(done.state(), State::Failed, "{done:?}");
        assert_eq!(done.failure.unwrap().task, "report");
        assert_eq!(done.cancellation.unwrap().mode(), mode);
    }
}

#[tokio::test]
async fn without_a_run_every_mode_cancels_without_finally_tasks() {
    let stack = stack(Duration::from_millis(100)).await;
    let mut client = stack.client().await;
    start(&mut client, mk_start_of("never-ends", "holder", "pod/x")).await;
    for mode in MODES {
        let request_id = format!("waits-{}", mode.as_str_name().to_lowercase());
        let request = v1::StartRequest {
            when_locked: WhenLocked::Wait.into(),
            ..mk_start_of("finally-runs", &request_id, "pod/x")
        };
        let id = start(&mut client, request).await.id;
        let cancelled = cancel_as(&mut client, &id, mode, None).await;
        assert_eq!((cancelled.state(), cancelled.run), (State::Cancelled, None));
        assert_eq!(cancelled.cancellation.unwrap().mode(), mode);
    }
}

/// What a run says of itself, as the execution must end.
fn end_of_run(condition: &Condition) -> State {
    match condition.status {
        Status::True => State::Succeeded,
        Status::False if condition.reason == "Cancelled" => State::Cancelled,
        Status::False => State::Failed,
        Status::Unknown => panic!("it is alive: {condition:?}"),
    }
}

const BUNDLES: [&str; 9] = [
    "succeeds",
    "three-tasks-in-order",
    "step-exits-1",
    "finally-runs",
    "finally-after-failure",
    "finally-fails",
    "never-ends-and-finally",
    "finally-never-ends",
    "retry-succeeds",
];
const CANCELS_PER_MODE: u64 = 200;
const AT_ONCE: usize = 60;

/// Runs one workflow, cancels it at some moment, and follows all of it. Answers the end.
async fn raced(mut client: Client, n: u64, mode: CancelMode, mut dice: StdRng) -> v1::Execution {
    let bundle = BUNDLES[dice.random_range(0..BUNDLES.len())];
    let name = format!("{}-{n}", mode.as_str_name().to_lowercase().replace('_', "-"));
    let started =
        start(&mut client, mk_start_of(bundle, &name, &format!("default/pod/{name}"))).await;
    let mut stream = watch(&mut client, &started.id, None).await.unwrap();
    let (seen, mut news) = tokio::sync::watch::channel(0);
    let following = async {
        // Dropped at the end, which the other side hears.
        let seen = seen;
        let mut copy: Option<v1::Execution> = None;
        while let Some(message) = stream.message().await.unwrap() {
            match (message.update.unwrap(), &mut copy) {
                (watch_response::Update::Snapshot(snapshot), None) => {
                    seen.send_replace(snapshot.revision);
                    copy = Some(snapshot);
                }
                (watch_response::Update::Event(event), Some(copy)) => {
                    assert!(wfe_proto::apply(copy, &event), "{name}: {event:?} after {copy:?}");
                    seen.send_replace(copy.revision);
                }
                (watch_response::Update::Terminal(end), Some(copy)) => {
                    assert_eq!(*copy, end, "{name}: what the events told is what it is");
                    return end;
                }
                (watch_response::Update::Heartbeat(_), Some(_)) => {}
                (other, copy) => panic!("{name}: {other:?} after {copy:?}"),
            }
        }
        panic!("{name}: the watch ended without a terminal message")
    };
    let mut caller = client.clone();
    let (id, pause, time) = (
        started.id.clone(),
        Duration::from_millis(dice.random_range(0..60)),
        Duration::from_millis(dice.random_range(50..1000)),
    );
    // A revision, since how fast a life goes depends on the machine.
    let moment = dice.random_range(1..=16);
    let again = dice.random_bool(0.2).then(|| Duration::from_millis(dice.random_range(0..300)));
    let cancelling = async {
        while *news.borrow_and_update() < moment {
            match tokio::time::timeout(Duration::from_millis(500), news.changed()).await {
                Ok(Ok(())) => {}
                // Nothing more will come, or nothing for long.
                Ok(Err(_)) | Err(_) => break,
            }
        }
        tokio::time::sleep(pause).await;
        let time = GIVE_TIME.contains(&mode).then_some(time);
        cancel_as(&mut caller, &id, mode, time).await;
        if let Some(pause) = again {
            tokio::time::sleep(pause).await;
            cancel(&mut caller, &id).await;
        }
    };
    let (end, ()) = tokio::join!(following, cancelling);
    assert_eq!(get(&mut client, &end.id).await, end, "{name}");
    end
}

/// Three times two hundred executions, cancelled at any moment of runs that end at any moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_the_moment_each_ends_as_what_really_happened_and_leaves_nothing_alive() {
    let config = SimulatorConfig {
        task_time: Duration::from_millis(120),
        orphan_window: Duration::from_millis(60),
        ..SimulatorConfig::default()
    };
    let stack = Stack::with(config).await;
    let client = stack.client().await;
    let all = MODES.into_iter().flat_map(|mode| (0..CANCELS_PER_MODE).map(move |n| (mode, n)));
    let raced = stream::iter(all).map(|(mode, n)| {
        let dice = StdRng::seed_from_u64(n * 3 + u64::try_from(i32::from(mode)).unwrap_or(0));
        let client = client.clone();
        async move { (mode, raced(client, n, mode, dice).await) }
    });
    let ended: Vec<(CancelMode, v1::Execution)> = raced.buffer_unordered(AT_ONCE).collect().await;
    assert_nothing_alive(&stack);

    let runs = stack.cluster.runs();
    let mut seen = std::collections::BTreeMap::<_, u32>::new();
    for (mode, end) in &ended {
        let name = &end.run.as_ref().unwrap().name;
        let run = &runs.iter().find(|snapshot| snapshot.run.name == *name).unwrap().run;
        let expected = end_of_run(run.condition.as_ref().unwrap());
        assert_eq!(end.state(), expected, "{end:?} {run:?}");
        *seen.entry((mode.as_str_name(), end.state().as_str_name())).or_default() += 1;
    }
    assert_eq!(ended.len(), 600);
    // Every race was won by either side, in every mode; else the moments say nothing.
    for mode in MODES {
        for state in [State::Succeeded, State::Failed, State::Cancelled] {
            assert!(seen.contains_key(&(mode.as_str_name(), state.as_str_name())), "{seen:?}");
        }
    }
}
