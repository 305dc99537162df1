//! The suite that every store passes.
//!
//! A store joins with one line in its own tests: `conformance::suite!(ItsBackend);`.

use std::{collections::BTreeMap, sync::Arc};

use wfe_core::{
    audit::{Logged, Position, Stream, What},
    event::Event,
    execution::{Execution, StateCode},
    ids::{ExecutionId, Revision},
    start::StartDecision,
};

use super::{Filter, Listed, LogScope, Outbox, Page, Store};

pub(crate) mod clear;
pub(crate) mod durability;
pub(crate) mod journal;
pub(crate) mod model;
pub(crate) mod outbox;
pub(crate) mod read;
pub(crate) mod seals;
pub(crate) mod settle;
pub(crate) mod start;
pub(crate) mod withdraw;

/// A database that is there for one test.
pub(crate) trait Backend: Sized {
    /// A new, empty database.
    async fn create() -> Self;

    /// Opens it; more than once gives several stores on the same database.
    async fn open(&self) -> Arc<dyn Store>;

    /// The same, for what is on its way to Data Storage.
    async fn open_outbox(&self) -> Arc<dyn Outbox>;

    /// Every row of every table as text, in an order that only their content decides.
    async fn dump(&self) -> Vec<String>;
}

/// Makes a test of every property.
macro_rules! suite {
    ($backend:ty) => {
        mod conformance {
            use super::*;
            use $crate::store::conformance as properties;

            properties::each!($backend; start:
                a_free_target_is_held_by_the_first;
                who_waits_queues_in_order_of_acceptance;
                a_hundred_starts_at_once_give_one_holder_and_a_queue;
                one_request_made_many_times_at_once_is_accepted_once;
                a_request_id_gets_the_same_answer_for_ever;
                an_attached_request_is_repeated_too;
                refusals_and_repetitions_write_nothing;
                a_validation_says_what_a_start_would_do_and_writes_nothing;
                every_field_of_a_request_comes_back;
                who_waits_for_a_foreign_run_waits_for_an_unused_target;
                targets_of_different_clusters_do_not_meet;
                a_repetition_with_a_sensitive_value_is_told_by_its_digest;
                the_first_key_of_sensitive_parameters_is_kept_for_ever;
            );
            properties::each!($backend; withdraw:
                a_withdrawn_request_is_refused_for_ever_whatever_it_asks_for;
                the_first_withdrawal_stands_and_a_second_writes_nothing;
                what_was_accepted_is_to_be_stopped_and_never_withdrawn;
                who_attached_is_withdrawn_and_what_it_followed_stays;
                of_50_starts_and_50_withdrawals_of_a_request_one_comes_first;
                each_of_50_requests_is_either_started_or_withdrawn;
                every_field_of_a_withdrawal_comes_back;
            );
            properties::each!($backend; settle:
                a_life_is_kept_with_its_history;
                the_end_of_one_lets_the_next_in_at_once;
                a_queue_is_served_in_order;
                an_illegal_move_writes_nothing;
                a_move_that_changes_nothing_writes_nothing;
                an_unknown_execution_is_not_found;
                a_change_of_an_older_revision_is_refused_whole;
                a_lock_is_not_released_under_an_old_epoch;
                a_second_holder_is_refused;
                changes_at_once_follow_each_other;
                another_run_moves_the_epoch_of_the_hold;
            );
            properties::each!($backend; clear:
                a_clearance_lets_in_who_waits_and_is_kept_with_the_failure;
                of_clearances_at_once_one_wins_and_all_are_kept;
                an_attempt_that_clears_nothing_changes_nothing_else;
                a_block_is_neither_forgotten_nor_made_up;
                a_refusal_at_a_gate_names_what_closed_it;
            );
            properties::each!($backend; read:
                what_is_not_there_is_not_found;
                events_come_in_order_after_a_revision;
                pages_neither_skip_nor_repeat_while_others_are_accepted;
                conditions_of_a_list_are_combined;
                a_target_shows_its_holder_and_its_queue;
                the_unfinished_come_in_order_of_acceptance;
                states_are_counted;
            );
            properties::each!($backend; journal:
                every_change_is_on_record_once_and_in_order;
                what_changes_nothing_is_on_record_when_it_is_told;
                records_that_break_a_rule_are_refused_whole;
                who_writes_at_once_gets_one_order;
                entries_are_found_by_target_and_correlation_id;
                a_lease_is_one_processs_at_a_time;
            );
            properties::each!($backend; seals:
                a_checkpoint_comes_back_as_it_was_signed;
                the_first_checkpoint_of_an_entry_stands;
                what_is_no_entry_of_the_log_is_not_signed;
                a_log_is_pruned_at_a_checkpoint_and_goes_on;
                what_was_pruned_is_deleted_piece_by_piece;
            );
            properties::each!($backend; durability:
                what_was_committed_is_there_after_a_kill;
                two_stores_on_one_database_agree;
                a_closed_store_refuses_and_its_data_stay;
                a_start_that_is_dropped_anywhere_is_all_or_nothing;
                a_withdrawal_that_is_dropped_anywhere_is_all_or_nothing;
                a_change_that_is_dropped_anywhere_is_all_or_nothing;
                callers_who_go_away_leave_a_sound_store;
            );
            properties::each!($backend; outbox:
                entries_are_taken_up_once;
                times_of_a_correlation_id_rise_whatever_clocks_do;
                of_a_correlation_id_one_is_in_flight;
                rows_are_due_at_their_time_and_in_pages;
                moves_are_made_all_or_none;
                what_is_parked_is_tried_again_one_after_the_other;
                clocks_that_nobody_needs_are_forgotten;
            );
            properties::each!($backend; model:
                any_sequence_of_calls_does_what_the_model_does;
            );
        }
    };
}
pub(crate) use suite;

macro_rules! each {
    ($backend:ty; $module:ident: $($property:ident;)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $property() {
                properties::$module::$property::<$backend>().await;
            }
        )*
    };
}
pub(crate) use each;

/// The execution of an accepted Start.
fn accepted(decision: StartDecision) -> Execution {
    let StartDecision::Accept { change, .. } = decision else {
        panic!("not accepted: {decision:?}");
    };
    change.execution
}

async fn stored(store: &dyn Store, id: ExecutionId) -> Execution {
    store.execution(id).await.unwrap().unwrap()
}

/// Every execution, in order of acceptance.
pub(crate) async fn all(store: &dyn Store) -> Vec<Listed> {
    let page = Page { before: None, limit: u32::MAX };
    let mut all = store.list(&Filter::default(), page).await.unwrap();
    all.reverse();
    all
}

/// The whole history of an execution, which must be sound.
async fn history(store: &dyn Store, execution: &Execution) -> Vec<Event> {
    let events = store.events(execution.id, Revision(0), u32::MAX).await.unwrap();
    let numbers: Vec<u64> = events.iter().map(|event| event.revision.0).collect();
    let expected: Vec<u64> = (1..=execution.revision.0).collect();
    assert_eq!(numbers, expected, "revisions of {}", execution.id);
    let mut before = None;
    for event in &events {
        assert_eq!((event.execution, event.before), (execution.id, before));
        before = Some(event.after);
    }
    let newest = events.last().unwrap();
    assert_eq!(
        (newest.after, newest.at),
        (execution.state.code(), execution.updated_at),
        "the newest event of {}",
        execution.id
    );
    events
}

/// Every entry of the log, which must be sound: one order, chained, each stream without gaps. Of a log
/// that was pruned a stream may begin later.
pub(crate) async fn sound_log(store: &dyn Store) -> Vec<Logged> {
    let log = store.log().await.unwrap();
    let entries = store.entries(&LogScope::Everything, log.base.sequence, u32::MAX).await.unwrap();
    let mut head = log.base;
    let mut streams: BTreeMap<Stream, u64> = BTreeMap::new();
    let mut logged = Vec::new();
    for entry in entries {
        let read = entry.read().unwrap();
        assert_eq!(entry.hash, head.hash.follow(entry.text.as_bytes()), "{}", entry.text);
        assert_eq!((entry.sequence, read.sequence), (head.sequence.next(), head.sequence.next()));
        let pruned = log.base.sequence > Position(0);
        let first = if pruned { read.revision - 1 } else { 0 };
        let number = streams.entry(read.stream.clone()).or_insert(first);
        *number += 1;
        assert_eq!(read.revision, *number, "{}", entry.text);
        head = entry.head();
        logged.push(read);
    }
    assert_eq!(head, log.head);
    logged
}

/// Checks that the log says of each execution what its history says: every event once, in order.
async fn assert_on_record(store: &dyn Store, all: &[Listed]) {
    let mut on_record: BTreeMap<ExecutionId, Vec<Event>> = BTreeMap::new();
    for entry in sound_log(store).await {
        let Logged { stream, revision, at, actor, what, about, .. } = entry;
        if let What::Transition { before, after, event: kind, asked } = what {
            let execution = about.execution.unwrap();
            assert_eq!(stream, Stream::execution(execution));
            assert_eq!(asked.is_some(), before.is_none());
            let revision = Revision(revision);
            let event = Event { execution, revision, at, actor, before, after, kind };
            on_record.entry(execution).or_default().push(event);
        }
    }
    for Listed { execution, .. } in all {
        let events = on_record.remove(&execution.id).unwrap_or_default();
        assert_eq!(events, history(store, execution).await, "the record of {}", execution.id);
    }
    assert!(on_record.is_empty(), "on record without an execution: {on_record:?}");
}

/// Checks that all that the store says fits together.
pub(crate) async fn assert_sound(store: &dyn Store) {
    let all = all(store).await;
    assert_on_record(store, &all).await;
    assert!(all.is_sorted_by(|a, b| a.sequence < b.sequence));
    let mut counts: BTreeMap<StateCode, u64> = BTreeMap::new();
    for Listed { execution, .. } in &all {
        *counts.entry(execution.state.code()).or_default() += 1;
        history(store, execution).await;
        assert_eq!(&stored(store, execution.id).await, execution);
        let request = &execution.request.request_id;
        let of_request = store.execution_of_request(request).await.unwrap();
        assert_eq!(of_request.as_ref(), Some(execution));

        let key = &execution.request.target;
        let of_target = |holds: bool| {
            let of_target = move |listed: &&Listed| {
                let code = listed.execution.state.code();
                &listed.execution.request.target == key
                    && (if holds { code.holds_target() } else { code == StateCode::Waiting })
            };
            all.iter().filter(of_target).map(|l| l.execution.clone()).collect::<Vec<_>>()
        };
        let target = store.target(key).await.unwrap();
        assert_eq!(target.holder.iter().cloned().collect::<Vec<_>>(), of_target(true));
        assert_eq!(target.queue, of_target(false));
        let holder = target.state.holder.map(|holder| holder.execution);
        assert_eq!(holder, target.holder.as_ref().map(|holder| holder.id));
        assert_eq!(store.holder_of(key).await.unwrap(), holder);
        assert_eq!(
            store.head_of(&key.hash()).await.unwrap(),
            target.queue.first().map(|first| first.id)
        );
        if let Some(run) = execution.state.planned_run() {
            assert!(run.epoch <= target.state.epoch);
        }
        if let Some(held) = &target.holder {
            let run = held.state.planned_run().unwrap();
            assert_eq!(run.epoch, target.state.epoch);
        }
    }
    let stored: BTreeMap<_, _> = store.count_by_state().await.unwrap().into_iter().collect();
    assert_eq!(stored, counts);
    let unfinished: Vec<_> = all
        .iter()
        .map(|listed| (listed.execution.id, listed.execution.state.code()))
        .filter(|(_, code)| !code.is_terminal())
        .collect();
    let listed = store.unfinished().await.unwrap();
    assert_eq!(listed.iter().map(|u| (u.id, u.state)).collect::<Vec<_>>(), unfinished);
}
