//! What waits without running is told as such, and does not wait for ever.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use wfe_core::gates::{Mode, Policy};
use wfe_proto::v1::{self, EventType, FailureReason, State};
use wfe_server::{
    clock::ManualClock,
    tekton::{RunSnapshot, simulator::SimulatorConfig},
};

use crate::support::*;

/// A service whose clock stands until it is moved.
async fn standing() -> (Stack, ManualClock) {
    let clock = ManualClock::new(Timestamp::from_second(1_800_000_000).unwrap());
    let config =
        SimulatorConfig { task_time: Duration::from_millis(40), ..SimulatorConfig::default() };
    let stack = Stack::with_gates(config, Policy::all(Mode::Off), Arc::new(clock.clone())).await;
    (stack, clock)
}

#[tokio::test]
async fn a_wait_is_shown_while_it_lasts_and_ended_with_its_own_reason() {
    let cases = [
        ("image-never-comes", "waits for an image", 5, FailureReason::ImagePullBackOff),
        ("no-node-has-room", "waits for a node", 10, FailureReason::ResourceExhausted),
        ("quota-has-no-room", "waits for room in a quota", 10, FailureReason::ResourceExhausted),
        ("never-resolved", "waits until its definition", 5, FailureReason::Unknown),
        ("volume-never-comes", "waits for the volumes", 15, FailureReason::Unknown),
    ];
    for (bundle, words, minutes, reason) in cases {
        let (stack, clock) = standing().await;
        let mut client = stack.client().await;
        let id = start(&mut client, mk_start_of(bundle, "r", "pod/x")).await.id;
        until_state(&mut client, &id, State::Running).await;
        eventually("Tekton is at the place where it waits", async || {
            let waits = |seen: &RunSnapshot| {
                let resolving = bundle == "never-resolved" && seen.run.condition.is_some();
                resolving || seen.task_runs.iter().any(|task| task.condition.is_some())
            };
            stack.cluster.runs().iter().any(waits).then_some(())
        })
        .await;
        // Longer than what every run may take to begin.
        clock.advance(Duration::from_secs(31));
        let waiting = eventually(words, async || {
            let now = get(&mut client, &id).await;
            now.obstacle.contains(words).then_some(now)
        })
        .await;
        assert_eq!(waiting.state(), State::Running, "{bundle}");
        clock.advance(Duration::from_secs(minutes * 60 + 1));
        let done = until_terminal(&mut client, &id).await;
        assert_eq!((done.state(), done.obstacle.as_str()), (State::Failed, ""), "{bundle}");
        let failure = done.failure.unwrap();
        assert_eq!(failure.reason(), reason, "{bundle}: {failure:?}");
        assert!(!failure.was_execution_failure && failure.summary.contains(words), "{failure:?}");
        let events = events(&mut client, &id).await;
        let told = events.iter().filter(|event| event.message.contains(words));
        let kinds: Vec<EventType> = told.map(v1::ExecutionEvent::r#type).collect();
        assert!(kinds.contains(&EventType::Delayed), "{bundle}: {kinds:?}");
        assert_nothing_alive(&stack);
    }
}

#[tokio::test]
async fn patience_goes_on_over_a_restart() {
    let (mut stack, clock) = standing().await;
    let mut client = stack.client().await;
    let id = start(&mut client, mk_start_of("image-never-comes", "r", "pod/x")).await.id;
    eventually("it is stuck", async || {
        (!get(&mut client, &id).await.obstacle.is_empty()).then_some(())
    })
    .await;
    clock.advance(Duration::from_mins(4));
    stack.crash_and_restart().await;
    let mut client = stack.client().await;
    clock.advance(Duration::from_secs(61));
    let done = until_terminal(&mut client, &id).await;
    assert_eq!(done.failure.unwrap().reason(), FailureReason::ImagePullBackOff);
}

#[tokio::test]
async fn a_run_that_is_stopped_for_its_wait_says_so_until_it_has_stopped() {
    let (stack, clock) = standing().await;
    let mut client = stack.client().await;
    let id = start(&mut client, mk_start_of("no-node-has-room", "r", "pod/x")).await.id;
    eventually("it is stuck", async || {
        (!get(&mut client, &id).await.obstacle.is_empty()).then_some(())
    })
    .await;
    stack.cluster.take_api_server_away();
    clock.advance(Duration::from_secs(10 * 60 + 1));
    let stopping = until_state(&mut client, &id, State::Cancelling).await;
    assert!(stopping.stop_cause.starts_with("stuck since "), "{stopping:?}");
    assert!(stopping.stop_cause.contains("waits for a node"), "{stopping:?}");
    assert_eq!(stopping.cancellation, None);
    // Who follows by events knows the same.
    let mut followed = v1::Execution::default();
    for event in events(&mut client, &id).await {
        wfe_proto::apply(&mut followed, &event);
    }
    assert_eq!(followed.stop_cause, stopping.stop_cause);
    stack.cluster.bring_api_server_back();
    let done = until_terminal(&mut client, &id).await;
    assert_eq!(done.stop_cause, "");
}
