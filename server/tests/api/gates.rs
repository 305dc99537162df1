//! The gates that the past of a target closes: they refuse, queue, let pass or need a person.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::future::join_all;
use jiff::Timestamp;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use wfe_core::gates::{Mode, Policy};
use wfe_proto::v1::{
    self, BlockReason, ClearanceOutcome, Gate, GateMode, State, WhenBlocked, WhenCooling,
    WhenLocked,
};
use wfe_server::{clock::ManualClock, tekton::simulator::SimulatorConfig};

use crate::support::*;

const TARGET: &str = "default/deployment/api";

/// A service whose clock stands until it is moved, and whose runs are over soon.
async fn stack(policy: Policy) -> (Stack, ManualClock) {
    let clock = ManualClock::new(Timestamp::from_second(1_800_000_000).unwrap());
    let config =
        SimulatorConfig { task_time: Duration::from_millis(20), ..SimulatorConfig::default() };
    let stack = Stack::with_gates(config, policy, Arc::new(clock.clone())).await;
    (stack, clock)
}

/// A Start that waits at every gate.
fn waits(bundle: &str, request_id: &str, target: &str) -> v1::StartRequest {
    v1::StartRequest {
        when_locked: WhenLocked::Wait.into(),
        when_cooling: WhenCooling::Wait.into(),
        when_blocked: WhenBlocked::Wait.into(),
        ..mk_start_of(bundle, request_id, target)
    }
}

async fn run(client: &mut Client, bundle: &str, request_id: &str) -> v1::Execution {
    let id = start(client, mk_start_of(bundle, request_id, TARGET)).await.id;
    until_terminal(client, &id).await
}

fn clearance(reason: &str) -> v1::ClearBlockRequest {
    v1::ClearBlockRequest {
        target: TARGET.to_owned(),
        reason: reason.to_owned(),
        ticket: "INC-7".to_owned(),
        ..v1::ClearBlockRequest::default()
    }
}

async fn clear(client: &mut Client) -> v1::ClearBlockResponse {
    let request = clearance("the pod was looked at and is fine");
    client.clear_block(request).await.unwrap().into_inner()
}

/// How long a refusal says that it lasts.
fn left(status: &Status) -> Option<Duration> {
    status.get_error_details().retry_info().and_then(|info| info.retry_delay)
}

fn seconds_of(time: Option<prost_types::Timestamp>) -> i64 {
    time.unwrap().seconds - 1_800_000_000
}

#[tokio::test]
async fn failures_before_execution_back_off_longer_each_time_also_across_crashes_and_the_fifth_exhausts()
 {
    let (mut stack, clock) = stack(Policy::default()).await;
    let microsecond = Duration::from_micros(1);
    for (n, seconds) in [(1, 10), (2, 20), (3, 40), (4, 80)] {
        let mut client = stack.client().await;
        let failed = run(&mut client, "missing", &format!("fails-{n}")).await;
        assert!(!failed.failure.as_ref().unwrap().was_execution_failure);
        stack.crash_and_restart().await;
        let mut client = stack.client().await;
        let backoff = target(&mut client, TARGET).await.backoff.unwrap();
        assert_eq!((backoff.failures, backoff.mode()), (n, GateMode::Enforce));
        assert_eq!(backoff.execution_id, failed.id);

        let request = mk_start_of("missing", "refused", TARGET);
        let status = client.start(request.clone()).await.unwrap_err();
        refused(&status, Code::FailedPrecondition, "BACKOFF_ACTIVE");
        assert_eq!(left(&status), Some(Duration::from_secs(seconds)));
        clock.advance(Duration::from_secs(seconds).saturating_sub(microsecond));
        let status = client.start(request).await.unwrap_err();
        refused(&status, Code::FailedPrecondition, "BACKOFF_ACTIVE");
        assert_eq!(left(&status), Some(microsecond));
        clock.advance(microsecond);
    }
    let mut client = stack.client().await;
    let last = run(&mut client, "missing", "fails-5").await;
    clock.advance(Duration::from_hours(24));
    stack.crash_and_restart().await;
    let mut client = stack.client().await;
    let status = client.start(mk_start("r", TARGET)).await.unwrap_err();
    refused(&status, Code::FailedPrecondition, "RETRIES_EXHAUSTED");
    assert_eq!(left(&status), None, "no time opens it");
    let block = target(&mut client, TARGET).await.block.unwrap();
    assert_eq!((block.reason(), block.execution_id), (BlockReason::RetriesExhausted, last.id));

    // A person opens it, a success resets the count.
    clear(&mut client).await;
    assert_eq!(run(&mut client, "succeeds", "repaired").await.state(), State::Succeeded);
    assert_eq!(target(&mut client, TARGET).await.backoff, None);
}

#[tokio::test]
async fn a_success_cools_its_own_workflow_down_and_resets_the_failures() {
    let (stack, clock) = stack(Policy::default()).await;
    let mut client = stack.client().await;
    run(&mut client, "missing", "fails").await;
    clock.advance(Duration::from_secs(10));
    let first = run(&mut client, "succeeds", "first").await;
    let known = target(&mut client, TARGET).await;
    assert_eq!(known.backoff, None);
    let cooldown = known.cooldown.unwrap();
    assert_eq!(cooldown.workflow, "simulated.example/wfe/succeeds#workflow");
    assert_eq!((cooldown.execution_id.as_str(), known.cooldowns.len()), (first.id.as_str(), 1));
    assert_eq!(seconds_of(cooldown.end_time), 10 + 300);

    clock.advance(Duration::from_mins(1));
    let status = client.start(mk_start("again", TARGET)).await.unwrap_err();
    let message = refused(&status, Code::FailedPrecondition, "COOLDOWN_ACTIVE");
    assert!(message.contains(&first.id), "{message}");
    assert_eq!(left(&status), Some(Duration::from_mins(4)));
    // The same is told without a try, and another workflow may run.
    let asked = v1::StartRequest { validate_only: true, ..mk_start("asked", TARGET) };
    let status = client.start(asked).await.unwrap_err();
    refused(&status, Code::FailedPrecondition, "COOLDOWN_ACTIVE");
    let other = run(&mut client, "three-tasks-in-order", "other").await;
    assert_eq!(other.state(), State::Succeeded);

    let asked = v1::StartRequest { validate_only: true, ..waits("succeeds", "asked", TARGET) };
    let would = start(&mut client, asked).await;
    assert_eq!(would.waiting.unwrap().gate(), Gate::Cooldown);
    let waiting = start(&mut client, waits("succeeds", "waits", TARGET)).await;
    let why = waiting.waiting.unwrap();
    assert_eq!((why.gate(), why.cause_execution_id.as_str()), (Gate::Cooldown, first.id.as_str()));
    assert_eq!(seconds_of(why.until), 310);
    clock.advance(Duration::from_mins(4));
    assert_eq!(until_terminal(&mut client, &waiting.id).await.state(), State::Succeeded);
}

#[tokio::test]
async fn an_execution_failure_blocks_until_a_person_clears_it_and_who_waits_runs_then() {
    let (mut stack, clock) = stack(Policy::default()).await;
    let mut client = stack.client().await;
    let failed = run(&mut client, "step-exits-1", "fails").await;
    assert!(failed.failure.as_ref().unwrap().was_execution_failure);
    let second = start(&mut client, waits("succeeds", "second", TARGET)).await;
    let why = second.waiting.clone().unwrap();
    assert_eq!(why.gate(), Gate::Block);
    assert_eq!(why.block_reason(), BlockReason::PreviousExecutionFailed);
    assert_eq!((why.cause_execution_id.as_str(), why.until), (failed.id.as_str(), None));
    let status = client.start(mk_start("third", TARGET)).await.unwrap_err();
    refused(&status, Code::FailedPrecondition, "PREVIOUS_EXECUTION_FAILED");

    clock.advance(Duration::from_hours(1000));
    stack.crash_and_restart().await;
    let mut client = stack.client().await;
    assert_eq!(get(&mut client, &second.id).await.state(), State::Waiting, "no time opens it");
    let cleared = clear(&mut client).await;
    let known = cleared.target.unwrap();
    assert_eq!(known.lock.map(|lock| lock.execution_id).as_deref(), Some(second.id.as_str()));
    assert_eq!(known.block, None);
    assert_eq!(until_terminal(&mut client, &second.id).await.state(), State::Succeeded);

    // The failure stays as it was, with who cleared it and why.
    let after = get(&mut client, &failed.id).await;
    assert_eq!(Some(&after), cleared.execution.as_ref());
    let clearance = after.clearance.clone().unwrap();
    assert_eq!(clearance.reason, "the pod was looked at and is fine");
    assert_eq!(
        (clearance.ticket.as_str(), clearance.actor.unwrap().user),
        ("INC-7", "anonymous".to_owned())
    );
    assert_eq!(v1::Execution { clearance: None, ..after }, failed);
}

#[tokio::test]
async fn of_ten_clearances_at_once_one_wins_and_all_are_on_record() {
    let (stack, _clock) = stack(Policy::default()).await;
    let mut client = stack.client().await;
    let failed = run(&mut client, "step-exits-1", "fails").await;
    let answers = join_all((0..10).map(|n| {
        let mut client = client.clone();
        async move { client.clear_block(clearance(&format!("person {n} looked at it"))).await }
    }))
    .await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
    for status in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        refused(status, Code::FailedPrecondition, "NOT_BLOCKED");
    }
    let attempts = target(&mut client, TARGET).await.clearances;
    let outcomes: Vec<_> = attempts.iter().map(v1::ClearanceAttempt::outcome).collect();
    assert_eq!(outcomes.len(), 10);
    // The newest first: the one that cleared was the first.
    assert_eq!(outcomes[9], ClearanceOutcome::Cleared);
    assert!(outcomes[..9].iter().all(|outcome| *outcome == ClearanceOutcome::NotBlocked));
    assert_eq!(attempts[9].execution_id, failed.id);
    let kept = get(&mut client, &failed.id).await.clearance;
    assert_eq!(kept, attempts[9].clearance);
}

#[tokio::test]
async fn a_clearance_that_is_wrong_stale_or_of_nothing_clears_nothing() {
    let (stack, _clock) = stack(Policy::default()).await;
    let mut client = stack.client().await;
    let status = client.clear_block(clearance("nothing is blocked here")).await.unwrap_err();
    refused(&status, Code::FailedPrecondition, "NOT_BLOCKED");

    let failed = run(&mut client, "step-exits-1", "fails").await;
    let stale = v1::ClearBlockRequest {
        expected_execution_id: "01a1fc00-9ee3-77e6-ae87-4d4f1d6de3bc".to_owned(),
        ..clearance("looked at another one")
    };
    let status = client.clear_block(stale).await.unwrap_err();
    let message = refused(&status, Code::Aborted, "BLOCK_CHANGED");
    assert!(message.contains(&failed.id), "{message}");
    let wrong: [(v1::ClearBlockRequest, &[&str]); 6] = [
        (v1::ClearBlockRequest::default(), &["target", "reason"]),
        (clearance(""), &["reason"]),
        (clearance("  too    short  "), &["reason"]),
        (clearance(&"x".repeat(2001)), &["reason"]),
        (
            v1::ClearBlockRequest { ticket: "T".repeat(254), ..clearance("long enough, yes") },
            &["ticket"],
        ),
        (
            v1::ClearBlockRequest {
                expected_execution_id: "x".to_owned(),
                ..clearance("long enough, yes")
            },
            &["expected_execution_id"],
        ),
    ];
    for (request, fields) in wrong {
        assert_eq!(violated(&client.clear_block(request).await.unwrap_err()), fields);
    }
    let known = target(&mut client, TARGET).await;
    assert_eq!(known.block.map(|block| block.execution_id), Some(failed.id));
    // What was no request at all is no attempt.
    let outcomes: Vec<_> = known.clearances.iter().map(v1::ClearanceAttempt::outcome).collect();
    assert_eq!(outcomes, [ClearanceOutcome::Stale, ClearanceOutcome::NotBlocked]);
}

#[tokio::test]
async fn gates_that_are_observed_hold_nothing_and_say_so_and_gates_that_are_off_say_nothing() {
    for (mode, told) in [(Mode::Observe, true), (Mode::Off, false)] {
        let (stack, _clock) = stack(Policy::all(mode)).await;
        let mut client = stack.client().await;
        run(&mut client, "succeeds", "first").await;
        run(&mut client, "step-exits-1", "second").await;
        run(&mut client, "missing", "third").await;
        let known = target(&mut client, TARGET).await;
        let modes = [
            known.cooldown.map(|gate| gate.mode()),
            known.backoff.map(|gate| gate.mode()),
            known.block.map(|gate| gate.mode()),
        ];
        assert_eq!(modes, [told.then_some(GateMode::Observe); 3]);
        let passed = start(&mut client, mk_start("fourth", TARGET)).await;
        let expected: &[Gate] =
            if told { &[Gate::Block, Gate::Cooldown, Gate::Backoff] } else { &[] };
        let gates =
            |observed: &[v1::Waiting]| observed.iter().map(v1::Waiting::gate).collect::<Vec<_>>();
        assert_eq!(gates(&passed.observed), expected);
        let done = until_terminal(&mut client, &passed.id).await;
        assert_eq!((done.state(), gates(&done.observed)), (State::Succeeded, expected.to_vec()));
        let history = events(&mut client, &passed.id).await;
        assert_eq!(gates(&history[1].observed), expected);
        // The success after it is the previous execution now.
        let known = target(&mut client, TARGET).await;
        assert_eq!((known.backoff, known.block), (None, None));
    }
}

#[tokio::test]
async fn who_waits_is_told_by_events_which_gate_holds_it_next() {
    let (stack, clock) = stack(Policy::default()).await;
    let mut client = stack.client().await;
    let first = start(&mut client, mk_start_of("three-tasks-in-order", "first", TARGET)).await;
    let second = start(&mut client, waits("three-tasks-in-order", "second", TARGET)).await;
    let third = start(&mut client, waits("succeeds", "third", TARGET)).await;
    until_terminal(&mut client, &first.id).await;
    let held = eventually("the cooldown holds it", async || {
        let waiting = get(&mut client.clone(), &second.id).await.waiting?;
        (waiting.gate() == Gate::Cooldown).then_some(waiting)
    })
    .await;
    assert_eq!(held.cause_execution_id, first.id);
    // Order of acceptance: the third could run by itself, but is not the next.
    let waiting = get(&mut client, &third.id).await.waiting.unwrap();
    assert_eq!(
        (waiting.gate(), waiting.message.contains("1 accepted before it")),
        (Gate::Lock, true)
    );
    clock.advance(Duration::from_mins(5));
    until_terminal(&mut client, &second.id).await;
    until_terminal(&mut client, &third.id).await;
    let gates: Vec<_> = events(&mut client, &second.id)
        .await
        .iter()
        .filter_map(|event| event.waiting.as_ref().map(v1::Waiting::gate))
        .collect();
    assert_eq!(gates, [Gate::Lock, Gate::Cooldown]);
    let holders: Vec<_> = events(&mut client, &third.id)
        .await
        .iter()
        .filter_map(|event| Some(event.waiting.as_ref()?.holder_execution_id.clone()))
        .collect();
    assert_eq!(holders, [first.id, second.id], "it is told who holds its target now");
}

#[tokio::test]
async fn when_the_first_in_the_queue_gives_up_the_next_begins_when_the_gate_opens() {
    let (stack, clock) = stack(Policy::default()).await;
    let mut client = stack.client().await;
    run(&mut client, "succeeds", "first").await;
    let second = start(&mut client, waits("succeeds", "second", TARGET)).await;
    let late = Timestamp::from_second(1_800_000_000 + 400).unwrap();
    let deadline = prost_types::Timestamp { seconds: late.as_second(), nanos: 0 };
    let third = v1::StartRequest { deadline: Some(deadline), ..waits("succeeds", "third", TARGET) };
    let third = start(&mut client, third).await;
    cancel(&mut client, &second.id).await;
    clock.advance(Duration::from_mins(5));
    assert_eq!(until_terminal(&mut client, &third.id).await.state(), State::Succeeded);
    // The deadline of who waits at a gate is kept.
    let fourth =
        v1::StartRequest { deadline: Some(deadline), ..waits("succeeds", "fourth", TARGET) };
    let fourth = start(&mut client, fourth).await;
    clock.advance(Duration::from_secs(100));
    let failed = until_terminal(&mut client, &fourth.id).await;
    assert_eq!(failed.failure.unwrap().reason(), v1::FailureReason::DeadlineExceeded);
    // It never held the target, so the target has nothing to do with it.
    assert_eq!(target(&mut client, TARGET).await.backoff, None);
}

/// How many transactions and queries the store has made.
fn store_calls(stack: &Stack) -> u64 {
    let text = String::from_utf8(stack.metrics.render().unwrap()).unwrap();
    let counts = text.lines().filter(|line| line.starts_with("wfe_store_seconds_count"));
    counts.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

/// Waits until nothing runs and nothing is being decided, and answers how many store calls there were.
async fn settled(stack: &Stack) -> u64 {
    eventually("nothing is under way", async || {
        let counts = stack.store().count_by_state().await.ok()?;
        let live = |state: wfe_core::execution::StateCode| state.holds_target();
        if counts.iter().any(|(state, count)| live(*state) && *count > 0) {
            return None;
        }
        // The absence of work takes a while to see.
        let before = store_calls(stack);
        tokio::time::sleep(Duration::from_millis(150)).await;
        (store_calls(stack) == before).then_some(before)
    })
    .await
}

/// 100 targets, on each 10 that wait: a quarter of the targets is locked, cools down, backs off or is
/// blocked at first, and each success closes the cooldown for the next.
#[tokio::test]
async fn a_thousand_that_wait_at_mixed_gates_run_in_order_at_the_moment_and_the_service_is_idle_between()
 {
    let mut policy = Policy::default();
    policy.cooldown.period = Duration::from_secs(10);
    let (stack, clock) = stack(policy).await;
    let clients = join_all((0..4).map(|_| stack.client())).await;
    let name = |n: usize| format!("default/pod/p-{n}");
    let firsts =
        join_all(
            (0..100).map(|n| {
                let (mut client, bundle) = (
                    clients[n % 4].clone(),
                    ["never-ends", "succeeds", "missing", "step-exits-1"][n % 4],
                );
                async move {
                    start(&mut client, mk_start_of(bundle, &format!("f-{n}"), &name(n))).await.id
                }
            }),
        )
        .await;
    let mut client = clients[0].clone();
    for (n, id) in firsts.iter().enumerate() {
        if n % 4 != 0 {
            until_terminal(&mut client, id).await;
        }
    }
    let mut queues: Vec<Vec<String>> = vec![Vec::new(); 100];
    for round in 0..10 {
        let started = join_all((0..100).map(|n| {
            let mut client = clients[n % 4].clone();
            let request = waits("succeeds", &format!("w-{n}-{round}"), &name(n));
            async move { start(&mut client, request).await }
        }))
        .await;
        for (queue, execution) in queues.iter_mut().zip(started) {
            assert_eq!(execution.state(), State::Waiting);
            queue.push(execution.id);
        }
    }
    for n in (0..100).step_by(4) {
        cancel(&mut client, &firsts[n]).await;
    }
    let blocked =
        |n: usize| v1::ClearBlockRequest { target: name(n), ..clearance("it is all fine") };
    let mut moments = 0;
    for round in 0..12 {
        let idle = settled(&stack).await;
        let waiting = stack.store().unfinished().await.unwrap().len();
        if round == 1 {
            for n in (3..100).step_by(4) {
                client.clear_block(blocked(n)).await.unwrap();
            }
            continue;
        }
        if waiting == 0 {
            break;
        }
        // A microsecond before the gates open, nothing happens at all.
        clock.advance(Duration::from_micros(9_999_999));
        tokio::time::sleep(Duration::from_millis(150)).await;
        assert_eq!(store_calls(&stack), idle + 1, "the one is this test's own");
        assert_eq!(stack.store().unfinished().await.unwrap().len(), waiting);
        clock.advance(Duration::from_micros(1));
        moments += 1;
    }
    assert!(moments >= 9, "{moments}");
    assert_eq!(stack.store().unfinished().await.unwrap().len(), 0);

    for (n, queue) in queues.iter().enumerate() {
        let mut last_end = get(&mut client, &firsts[n]).await.end_time;
        let mut epochs = Vec::new();
        for (place, id) in queue.iter().enumerate() {
            let history = events(&mut client, id).await;
            let admitted = history.iter().find(|event| event.run.is_some()).unwrap();
            epochs.push(admitted.run.as_ref().unwrap().epoch);
            let rests = match (place, n % 4) {
                // The first waited for a cancel or a person, whose moments the test chose.
                (0, 0 | 3) => None,
                (_, _) => Some(10),
            };
            if let Some(rests) = rests {
                let ended = last_end.unwrap();
                let expected = prost_types::Timestamp { seconds: ended.seconds + rests, ..ended };
                assert_eq!(admitted.time, Some(expected), "{n} {place}: neither early nor late");
            }
            last_end = get(&mut client, id).await.end_time;
        }
        assert!(epochs.is_sorted_by(|a, b| a < b), "{n}: {epochs:?}");
    }
    let states: BTreeMap<_, _> =
        stack.store().count_by_state().await.unwrap().into_iter().collect();
    assert_eq!(states[&wfe_core::execution::StateCode::Succeeded], 1025);
}
