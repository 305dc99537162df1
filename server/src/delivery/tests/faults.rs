//! Whatever the receiver does, everything arrives once and in order.

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio_util::sync::CancellationToken;
use wfe_datastorage::Options;
use wfe_datastorage_receiver::{Account, Database, Fault, Queue, Settings};

use super::{super::Policy, support::World};
use crate::{
    clock::Clock as _,
    store::{Due, Outbox as _, StandingCode},
    testing::{run_failed, run_succeeded},
};

/// Three executions of two correlation ids, nine events.
async fn mk_history(world: &mut World) {
    world.life("rr-1", run_succeeded()).await;
    world.life("rr-2", run_failed()).await;
    world.life("rr-1", run_succeeded()).await;
}

#[tokio::test]
async fn what_is_in_the_log_arrives_in_order() {
    let mut world = World::new().await;
    mk_history(&mut world).await;
    world.until_delivered().await;
    assert_eq!(world.receiver.stored().len(), 9);
    world.assert_arrived().await;
    // What comes later is taken up where it was left.
    world.life("rr-2", run_succeeded()).await;
    world.until_delivered().await;
    assert_eq!(world.receiver.stored().len(), 12);
    world.assert_arrived().await;
    assert_eq!(world.status.problem(), None);
    assert!(world.metric("wfe_delivery_events_total 12"));
}

#[tokio::test]
async fn a_fault_of_any_kind_costs_nothing_and_doubles_nothing() {
    let faults = [
        Fault::RateLimited(3),
        Fault::LostCount(0),
        Fault::LostCount(1),
        Fault::LostCount(2),
        Fault::CloseAfterStoring,
        Fault::CloseBeforeStoring,
        Fault::ServiceUnavailable,
        Fault::AuthenticationUnavailable,
        Fault::UnreadableAfterStoring,
    ];
    for fault in faults {
        for before in 0..3 {
            let mut world = World::new().await;
            mk_history(&mut world).await;
            for _ in 0..before {
                world.turn().await;
            }
            world.receiver.script([fault]);
            world.until_delivered().await;
            assert_eq!(world.receiver.scripted(), 0, "{fault:?}");
            world.assert_arrived().await;
        }
    }
}

#[tokio::test]
async fn a_receiver_that_is_down_for_an_hour_gets_everything_afterwards() {
    let mut world = World::new().await;
    mk_history(&mut world).await;
    world.receiver.go_down();
    let end = world.clock.now() + Duration::from_hours(1);
    world.until("an hour passes", async |world| world.clock.now() >= end).await;
    assert_eq!(world.receiver.stored().len(), 0);
    let problem = world.status.problem().unwrap();
    assert!(problem.contains("unavailable since"), "{problem}");
    assert!(world.metric("wfe_delivery_trouble{trouble=\"unavailable\"} 1"));
    assert!(world.status.lag() >= Duration::from_hours(1));
    world.receiver.come_up().await.unwrap();
    world.until_delivered().await;
    world.assert_arrived().await;
    assert!(world.metric("wfe_delivery_trouble{trouble=\"unavailable\"} 0"));
    assert!(world.metric("wfe_delivery_lag_seconds 0"));
}

#[tokio::test]
async fn events_that_were_queued_arrive_later_and_nothing_overtakes_them() {
    for outage in [15, 150, 1500] {
        let mut world = World::new().await;
        mk_history(&mut world).await;
        world.receiver.set_database(Database::Down);
        let end = world.clock.now() + Duration::from_secs(outage);
        world.until("the outage is over", async |world| world.clock.now() >= end).await;
        // One of each correlation id was tried, and then it was waited.
        assert_eq!(world.count(StandingCode::Accepted).await, 2);
        assert_eq!(world.batches().len(), 1);
        world.receiver.set_database(Database::Up);
        world.until_delivered().await;
        world.assert_arrived().await;
    }
}

#[tokio::test]
async fn an_event_that_is_queued_and_never_stored_is_parked_and_its_neighbours_go_on() {
    let mut world = World::new().await;
    world.life("poison", run_succeeded()).await;
    mk_history(&mut world).await;
    world.receiver.poison("poison");
    world.until("the neighbours arrive", async |world| world.receiver.stored().len() == 9).await;
    assert_eq!(world.count(StandingCode::Accepted).await, 1);
    assert_eq!(world.count(StandingCode::Parked).await, 0);
    world.until_delivered().await;
    assert_eq!(world.count(StandingCode::Parked).await, 3);
    assert!(world.metric("wfe_delivery_parked_total{reason=\"never_stored\"} 3"));
    let problem = world.status.problem().unwrap();
    assert_eq!(problem, "3 events are parked: a person must look");
    let lost = [
        ("poison", "workflowexecution.selection.completed"),
        ("poison", "workflowexecution.execution.started"),
        ("poison", "workflowexecution.workflow.completed"),
    ];
    world.assert_arrived_but(&lost).await;
}

#[tokio::test]
async fn an_event_that_is_refused_is_found_by_splitting_and_its_neighbours_go_through() {
    let mut world = World::new().await;
    for n in 0..40 {
        world.life(&format!("rr-{n}"), run_succeeded()).await;
    }
    world.receiver.refuse("rr-13");
    world.until_delivered().await;
    assert_eq!(world.receiver.stored().len(), 39 * 3);
    assert_eq!(world.count(StandingCode::Parked).await, 3);
    assert!(world.metric("wfe_delivery_parked_total{reason=\"invalid\"} 3"));
    // Each of the three rounds: the whole, and then halves on the way to the one.
    assert!(world.batches().len() <= 3 * 13, "{}", world.batches().len());
}

#[tokio::test]
async fn what_is_parked_is_tried_again_when_a_person_wants_it() {
    let mut world = World::new().await;
    world.life("rr-1", run_succeeded()).await;
    world.receiver.refuse("rr-1");
    world.until_delivered().await;
    assert_eq!(world.count(StandingCode::Parked).await, 3);
    // The cause is removed: the receiver takes them now.
    let mut other = World::new().await;
    std::mem::swap(&mut other.receiver, &mut world.receiver);
    let options = Options::new(world.receiver.url());
    let policy = world.policy.clone();
    world.restart(policy, options);
    assert_eq!(world.store.retry_parked(world.clock.now()).await.unwrap(), 3);
    world.until_delivered().await;
    world.assert_arrived().await;
}

#[tokio::test]
async fn a_token_that_is_not_believed_is_read_again() {
    let mut world = World::new().await;
    mk_history(&mut world).await;
    let token_file = world.directory.path().join("token");
    std::fs::write(&token_file, "old").unwrap();
    let options = Options { token_file: Some(token_file.clone()), ..world.options.clone() };
    let policy = world.policy.clone();
    world.restart(policy, options);
    world.receiver.accounts([("new", Account::service("wfe-server"))]);
    for _ in 0..5 {
        world.turn().await;
    }
    assert!(world.metric("wfe_delivery_trouble{trouble=\"unauthorized\"} 1"));
    std::fs::write(&token_file, "new").unwrap();
    world.until_delivered().await;
    world.assert_arrived().await;
}

#[tokio::test]
async fn without_the_right_to_write_it_is_asked_once_a_minute() {
    let mut world = World::new().await;
    mk_history(&mut world).await;
    let token_file = world.directory.path().join("token");
    std::fs::write(&token_file, "reader").unwrap();
    let options = Options { token_file: Some(token_file.clone()), ..world.options.clone() };
    let policy = world.policy.clone();
    world.restart(policy, options);
    let reader = Account { writes: false, ..Account::service("reader") };
    world.receiver.accounts([("reader", reader), ("writer", Account::service("wfe-server"))]);
    let end = world.clock.now() + Duration::from_mins(10);
    world.until("ten minutes pass", async |world| world.clock.now() >= end).await;
    let asked = world.receiver.seen().len();
    assert!((9..=12).contains(&asked), "{asked}");
    assert!(world.metric("wfe_delivery_trouble{trouble=\"forbidden\"} 1"));
    std::fs::write(&token_file, "writer").unwrap();
    world.until_delivered().await;
    world.assert_arrived().await;
}

#[tokio::test]
async fn a_frozen_database_and_both_away_leave_no_gap_and_no_double() {
    for queue in [Queue::Up, Queue::Down] {
        let mut world = World::new().await;
        mk_history(&mut world).await;
        world.receiver.set_database(Database::Frozen);
        world.receiver.set_queue(queue);
        for _ in 0..10 {
            world.turn().await;
        }
        assert_eq!(world.receiver.stored().len(), 0);
        world.receiver.set_database(Database::Up);
        world.receiver.set_queue(Queue::Up);
        world.until_delivered().await;
        world.assert_arrived().await;
    }
}

#[tokio::test]
async fn a_receiver_that_does_not_answer_is_given_up_and_looked_at_again() {
    let mut world = World::with(Settings::default()).await;
    mk_history(&mut world).await;
    let options = Options { timeout: Duration::from_millis(3), ..world.options.clone() };
    let policy = world.policy.clone();
    world.restart(policy.clone(), options);
    world.receiver.set_database(Database::Frozen);
    for _ in 0..3 {
        world.turn().await;
    }
    assert!(
        world.count(StandingCode::Doubtful).await + world.count(StandingCode::Pending).await > 0
    );
    world.receiver.set_database(Database::Up);
    let options = world.options.clone();
    world.restart(policy, options);
    world.until_delivered().await;
    world.assert_arrived().await;
}

#[tokio::test]
async fn a_process_that_ends_anywhere_leaves_nothing_behind_and_nothing_twice() {
    let (mut cut, mut unheard) = (0, 0);
    // Where the process ends depends on how busy the machine is: until enough ends were met.
    let mut seeds = 0..500;
    while let Some(seed) = seeds.next()
        && (seed < 20 || cut <= 5 || unheard == 0)
    {
        let mut dice = StdRng::seed_from_u64(seed);
        let mut world = World::new().await;
        mk_history(&mut world).await;
        for life in 0..6 {
            let stored = world.receiver.stored().len();
            world.part_of_turn(dice.random_range(0..60)).await;
            // What was sent may arrive although nobody waits for the answer any more.
            let sending = world.rows(Due::Sending).await.len();
            if sending > 0 {
                cut += 1;
                for _ in 0..dice.random_range(0..20) {
                    tokio::task::yield_now().await;
                }
                unheard += usize::from(world.receiver.stored().len() > stored);
            }
            let policy = Policy { holder: format!("process-{life}"), ..world.policy.clone() };
            let options = world.options.clone();
            world.restart(policy, options);
            // The lease of the one before ends, most often.
            world.clock.advance(Duration::from_secs(dice.random_range(50..70)));
        }
        world.until_delivered().await;
        world.assert_arrived().await;
    }
    assert!(cut > 5 && unheard > 0, "{cut} during a request, {unheard} behind it");
}

#[tokio::test]
async fn any_sequence_of_faults_is_survived() {
    for seed in 0..10 {
        let mut dice = StdRng::seed_from_u64(seed);
        let mut world = World::new().await;
        for step in 0..40 {
            match dice.random_range(0..12) {
                0..=2 => {
                    let id = format!("rr-{}", dice.random_range(0..5));
                    world.life(&id, run_succeeded()).await;
                }
                3 => {
                    let faults = [
                        Fault::RateLimited(2),
                        Fault::LostCount(1),
                        Fault::CloseAfterStoring,
                        Fault::CloseBeforeStoring,
                        Fault::ServiceUnavailable,
                        Fault::UnreadableAfterStoring,
                    ];
                    world.receiver.script([faults[dice.random_range(0..faults.len())]]);
                }
                4 => world.receiver.set_database(Database::Down),
                5 => world.receiver.set_database(Database::Frozen),
                6 => world.receiver.restart(),
                7 => {
                    let policy =
                        Policy { holder: format!("process-{step}"), ..world.policy.clone() };
                    let options = world.options.clone();
                    world.restart(policy, options);
                }
                _ => world.receiver.set_database(Database::Up),
            }
            for _ in 0..dice.random_range(0..4) {
                world.turn().await;
            }
        }
        world.receiver.set_database(Database::Up);
        world.until_delivered().await;
        world.assert_arrived().await;
    }
}

#[tokio::test]
async fn one_of_two_processes_delivers_and_the_other_takes_over() {
    let mut world = World::new().await;
    mk_history(&mut world).await;
    world.turn().await;
    let sent = world.batches().len();
    let policy = Policy { holder: "two".to_owned(), ..world.policy.clone() };
    let options = world.options.clone();
    world.restart(policy, options);
    world.clock.advance(Duration::from_secs(10));
    world.courier.turn(&CancellationToken::new()).await;
    assert_eq!(world.batches().len(), sent, "the first one has the lease");
    assert!(world.status.lag() > Duration::ZERO, "who does not deliver knows how it goes too");
    world.until_delivered().await;
    world.assert_arrived().await;
    assert_eq!(world.rows(Due::Pending).await, []);
}
