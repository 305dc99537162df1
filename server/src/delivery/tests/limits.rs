//! Sizes, ages and memory.

use std::time::Duration;

use wfe_core::{clear::Outcome, parameter::Parameter, request::WhenLocked};
use wfe_datastorage::Limits;
use wfe_datastorage_receiver::Settings;

use super::{super::Policy, support::World};
use crate::{
    clock::Clock as _,
    store::{StandingCode, Store as _},
    testing::{
        advance, at, mk_clearance, mk_key, mk_new, run_exists, run_failed, run_succeeded, start,
        vault,
    },
};

#[tokio::test]
async fn a_receiver_with_a_smaller_limit_gets_smaller_bodies() {
    let mut world = World::with(Settings { max_body: 2_500, ..Settings::default() }).await;
    for n in 0..20 {
        world.life(&format!("rr-{n}"), run_succeeded()).await;
    }
    world.until_delivered().await;
    world.assert_arrived().await;
}

#[tokio::test]
async fn an_event_that_is_larger_than_any_body_is_parked() {
    let mut world = World::with(Settings { max_body: 4_000, ..Settings::default() }).await;
    let mut new = mk_new(900, "pod/large", WhenLocked::Reject);
    new.request.correlation_id = Some("large".parse().unwrap());
    new.request.parameters.insert("TEXT".to_owned(), Parameter::Plain("x".repeat(8_000)));
    world.live(new, run_succeeded()).await;
    world.life("rr-1", run_succeeded()).await;
    world.until_delivered().await;
    let lost = [
        ("large", "workflowexecution.execution.started"),
        ("large", "workflowexecution.workflow.completed"),
    ];
    world.assert_arrived_but(&lost).await;
    assert!(world.metric("wfe_delivery_parked_total{reason=\"too_large\"} 2"));
}

#[tokio::test]
async fn parameters_that_are_too_large_are_left_out_and_said_to_be() {
    let mut world = World::new().await;
    let mut new = mk_new(900, "pod/large", WhenLocked::Reject);
    for n in 0..8 {
        new.request.parameters.insert(format!("P{n}"), Parameter::Plain("<".repeat(32 * 1024 - n)));
    }
    world.live(new, run_succeeded()).await;
    world.until_delivered().await;
    world.assert_arrived().await;
    let started = world.receiver.stored().remove(1);
    let parameters = started["event_data"]["parameters"].as_object().unwrap().clone();
    assert_eq!(parameters["P0"], "[left out: 32768 bytes]");
    assert_eq!(parameters["P7"].as_str().unwrap().len(), 32 * 1024 - 7);
}

#[tokio::test]
async fn what_has_waited_for_more_than_seven_days_is_parked_and_what_follows_arrives() {
    let mut world = World::new().await;
    world.life("rr-1", run_succeeded()).await;
    world.receiver.go_down();
    world.turn().await;
    world.clock.advance(Duration::from_hours(8 * 24));
    world.receiver.come_up().await.unwrap();
    world.life("rr-1", run_succeeded()).await;
    world.until_delivered().await;
    assert_eq!(world.count(StandingCode::Parked).await, 3);
    assert!(world.metric("wfe_delivery_parked_total{reason=\"too_old\"} 3"));
    assert_eq!(world.receiver.stored().len(), 3);
    assert!(world.receiver.verify("rr-1").valid);
}

#[tokio::test]
async fn the_first_delivery_begins_with_the_last_seven_days() {
    let mut world = World::new().await;
    for n in 0..30 {
        world.life(&format!("old-{n}"), run_succeeded()).await;
    }
    world.clock.advance(Duration::from_hours(8 * 24));
    for n in 0..3 {
        world.life(&format!("new-{n}"), run_succeeded()).await;
    }
    world.until_delivered().await;
    assert_eq!(world.receiver.stored().len(), 9);
    assert_eq!(world.count(StandingCode::Parked).await, 0);
}

#[tokio::test]
async fn events_of_one_moment_get_rising_times() {
    let mut world = World::new().await;
    // The clock stands, so that two executions of one incident happen at the same microseconds.
    for _ in 0..5 {
        world.life("rr-1", run_succeeded()).await;
    }
    world.until_delivered().await;
    world.assert_arrived().await;
    assert_eq!(world.receiver.stored().len(), 15);
}

#[tokio::test]
async fn a_clock_that_is_set_back_and_forth_changes_no_order() {
    let mut world = World::new().await;
    for second in [5_000, 2_000, 4_000] {
        world.clock.set(at(second));
        world.life("rr-1", run_succeeded()).await;
    }
    world.until_delivered().await;
    world.assert_arrived().await;
}

#[tokio::test]
async fn a_long_backlog_is_sent_in_pages_of_limited_size() {
    let mut world = World::new().await;
    let limits = Limits { events: 500, bytes: 64 * 1024 };
    let policy = Policy { limits, ..world.policy.clone() };
    let options = world.options.clone();
    world.restart(policy, options);
    world.receiver.go_down();
    for n in 0..300 {
        world.life(&format!("rr-{}", n % 150), run_succeeded()).await;
    }
    let end = world.clock.now() + Duration::from_mins(5);
    world.until("five minutes pass", async |world| world.clock.now() >= end).await;
    world.receiver.come_up().await.unwrap();
    world.until_delivered().await;
    world.assert_arrived().await;
    let largest = world.receiver.seen().iter().map(|seen| seen.bytes).max().unwrap();
    assert!(largest <= 64 * 1024, "{largest}");
    for batch in world.batches() {
        let mut ids: Vec<&str> =
            batch.iter().map(|event| event["correlation_id"].as_str().unwrap()).collect();
        let events = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), events, "one event of a correlation id in a batch");
    }
}

#[tokio::test]
async fn a_clearance_arrives_behind_the_failure_that_it_clears() {
    use wfe_core::{clear, lock::ForeignRuns, start::decide};

    let mut world = World::new().await;
    let mut new = mk_new(1, "pod/a", WhenLocked::Reject);
    new.request.correlation_id = Some("rr-1".parse().unwrap());
    let foreign = ForeignRuns::default();
    let around = crate::testing::at_gates(&foreign, new.now);
    world.store.start(&new, &|view| decide(view, &new, around, vault())).await.unwrap();
    advance(&*world.store, new.id, run_exists()).await.unwrap();
    advance(&*world.store, new.id, run_failed()).await.unwrap();
    let clearance = mk_clearance(50);
    let around = crate::testing::at_gates(&foreign, clearance.at);
    let clear = |view: clear::ClearView<'_>| clear::decide(view, &clearance, None, around);
    let cleared = world.store.clear(&mk_key("pod/a"), &clear).await.unwrap();
    assert_eq!(cleared.attempt.outcome, Outcome::Cleared(new.id));
    start(&*world.store, &mk_new(2, "pod/b", WhenLocked::Reject)).await.unwrap();
    world.until_delivered().await;
    world.assert_arrived().await;
    let stored = world.receiver.stored();
    let kinds: Vec<&str> = stored
        .iter()
        .filter(|event| event["correlation_id"] == "rr-1")
        .map(|event| event["event_type"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "workflowexecution.selection.completed",
            "workflowexecution.execution.started",
            "workflowexecution.workflow.failed",
            "workflowexecution.block.cleared",
        ]
    );
}
