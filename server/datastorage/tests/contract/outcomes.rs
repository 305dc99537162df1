//! What the client says is certain, for each thing that a receiver does; and the receiver's answers
//! against the description.

use std::time::Duration;

use serde_json::Value;
use wfe_datastorage::{Client, Event, FindError, Found, Options, SendOutcome};
use wfe_datastorage_receiver::{Account, Database, Fault, Queue, Receiver, Settings};
use wfe_runtime::clock::ManualClock;

use crate::support::*;

/// Holds each answer that was given to the description.
fn assert_described(receiver: &Receiver) {
    for seen in receiver.seen() {
        let Some(status) = seen.status else { continue };
        let schema = match status {
            200 => "Page",
            201 => "Created",
            202 => "Accepted",
            _ => "Problem",
        };
        // What was cut off on purpose is nothing that can be described.
        let Ok(answer) = serde_json::from_str::<Value>(&seen.answer) else { continue };
        assert_eq!(breaks(schema, &answer), Vec::<String>::new(), "{status}: {answer}");
    }
}

fn three() -> Vec<Event> {
    (1..=3).map(|n| mk_event(&format!("rr-{n}"), 0)).collect()
}

#[tokio::test]
async fn what_happens_to_a_batch_is_told_by_what_is_certain_afterwards() {
    let (receiver, client, _clock) = mk_receiver().await;
    let cases = [
        (None, "Stored", 3),
        (Some(Fault::RateLimited(7)), "RateLimited { after: 7s }", 0),
        (Some(Fault::LostCount(2)), "Doubtful", 0),
        (Some(Fault::CloseAfterStoring), "Doubtful", 3),
        (Some(Fault::CloseBeforeStoring), "Doubtful", 0),
        (Some(Fault::ServiceUnavailable), "Unavailable", 0),
        (Some(Fault::AuthenticationUnavailable), "Unavailable", 0),
        (Some(Fault::UnreadableAfterStoring), "Doubtful", 3),
    ];
    for (fault, expected, stored) in cases {
        let before = receiver.stored().len();
        receiver.script(fault);
        let outcome = format!("{:?}", client.send(&mk_batch(&three())).await);
        assert!(outcome.starts_with(expected), "{fault:?}: {outcome}");
        assert_eq!(receiver.stored().len() - before, stored, "{fault:?}");
    }
    assert_described(&receiver);
}

#[tokio::test]
async fn a_database_that_is_down_queues_and_one_that_is_frozen_leaves_a_doubt() {
    let (receiver, client, clock) = mk_receiver().await;
    receiver.set_database(Database::Down);
    assert_eq!(client.send(&mk_batch(&three())).await, SendOutcome::Accepted);
    receiver.set_database(Database::Frozen);
    let outcome = client.send(&mk_batch(&[mk_event("rr-4", 0)])).await;
    assert!(matches!(outcome, SendOutcome::Doubtful(_)), "{outcome:?}");
    let unanswered = client.find(&mk_event("rr-4", 0)).await;
    assert!(matches!(unanswered, Err(FindError::Unanswered(_))), "{unanswered:?}");
    receiver.set_database(Database::Up);
    assert_eq!(client.find(&mk_event("rr-4", 0)).await, Ok(Found::Missing));
    clock.advance(Duration::from_mins(2));
    let found = client.find(&mk_event("rr-4", 0)).await;
    assert!(matches!(found, Ok(Found::Stored { .. })), "{found:?}");
    assert_described(&receiver);
}

#[tokio::test]
async fn with_database_and_queue_away_nothing_is_certain() {
    let (receiver, client, _clock) = mk_receiver().await;
    receiver.set_database(Database::Down);
    receiver.set_queue(Queue::Down);
    let outcome = client.send(&mk_batch(&three())).await;
    let SendOutcome::Doubtful(said) = outcome else { panic!("{outcome:?}") };
    assert!(said.contains("3 lost"), "{said}");
    assert_described(&receiver);
}

#[tokio::test]
async fn a_receiver_that_does_not_listen_has_stored_nothing() {
    let (receiver, client, _clock) = mk_receiver().await;
    receiver.go_down();
    let gone = async {
        loop {
            let outcome = client.send(&mk_batch(&three())).await;
            // The port is let go a moment later.
            if matches!(outcome, SendOutcome::Unavailable(_)) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.unwrap();
    assert_eq!(receiver.stored().len(), 0);
    receiver.come_up().await.unwrap();
    assert_eq!(client.send(&mk_batch(&three())).await, SendOutcome::Stored);
}

#[tokio::test]
async fn one_wrong_event_refuses_the_batch_and_is_named_when_the_receiver_knows_it() {
    let (receiver, client, _clock) = mk_receiver().await;
    receiver.refuse("rr-2");
    let outcome = client.send(&mk_batch(&three())).await;
    assert!(matches!(outcome, SendOutcome::Invalid { index: None, .. }), "{outcome:?}");
    let old = mk_event("rr-9", -8 * 24 * 3_600_000_000);
    let outcome = client.send(&mk_batch(&[mk_event("rr-1", 0), old])).await;
    assert!(matches!(outcome, SendOutcome::Invalid { index: Some(1), .. }), "{outcome:?}");
    assert_eq!(receiver.stored().len(), 0);
    assert_described(&receiver);
}

#[tokio::test]
async fn a_token_is_read_for_each_request() {
    let (receiver, _, _clock) = mk_receiver().await;
    let directory = tempfile::tempdir().unwrap();
    let token_file = directory.path().join("token");
    let options = Options { token_file: Some(token_file.clone()), ..Options::new(receiver.url()) };
    let client = Client::new(options).unwrap();
    let reader = Account { writes: false, ..Account::service("reader") };
    receiver.accounts([("good", Account::service("wfe-server")), ("reader", reader)]);
    let outcome = client.send(&mk_batch(&three())).await;
    assert!(matches!(outcome, SendOutcome::Unavailable(_)), "no file: {outcome:?}");
    assert_eq!(receiver.seen().len(), 0);
    let cases = [("old\n", "Unauthorized"), ("reader\n", "Forbidden"), ("good\n", "Stored")];
    for (token, expected) in cases {
        std::fs::write(&token_file, token).unwrap();
        let outcome = format!("{:?}", client.send(&mk_batch(&three())).await);
        assert!(outcome.starts_with(expected), "{token}: {outcome}");
    }
    assert_described(&receiver);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_told() {
    let clock = ManualClock::new(at(0));
    let settings = Settings { max_body: 600, ..Settings::default() };
    let receiver = Receiver::start(std::sync::Arc::new(clock), settings).await.unwrap();
    let client = Client::new(Options::new(receiver.url())).unwrap();
    assert_eq!(client.send(&mk_batch(&three())).await, SendOutcome::TooLarge);
    assert_described(&receiver);
}

#[tokio::test]
async fn a_silent_receiver_is_given_up_and_leaves_a_doubt() {
    let clock = ManualClock::new(at(0));
    let receiver = Receiver::start(std::sync::Arc::new(clock), Settings::default()).await.unwrap();
    let options = Options { timeout: Duration::from_millis(50), ..Options::new(receiver.url()) };
    receiver.set_database(Database::Frozen);
    let outcome = Client::new(options).unwrap().send(&mk_batch(&three())).await;
    assert!(matches!(outcome, SendOutcome::Doubtful(_)), "{outcome:?}");
}

#[tokio::test]
async fn an_event_is_found_behind_pages_of_others() {
    let (receiver, client, _clock) = mk_receiver().await;
    let first = mk_event("rr-1", 0);
    assert_eq!(client.send(&mk_batch(std::slice::from_ref(&first))).await, SendOutcome::Stored);
    for n in 1..=60 {
        assert_eq!(client.send(&mk_batch(&[mk_event("rr-1", n)])).await, SendOutcome::Stored);
    }
    let before = receiver.seen().len();
    assert!(matches!(client.find(&first).await, Ok(Found::Stored { .. })));
    assert_eq!(receiver.seen().len() - before, 2, "pages");
    // Another event of the same type and time is not this one.
    let mut other = first.facts().clone();
    other.resource_id = "wfe-8".parse().unwrap();
    assert_eq!(client.find(&other.try_into().unwrap()).await, Ok(Found::Missing));
    assert_described(&receiver);
}

#[test]
fn addresses_that_are_none_and_https_without_authorities_are_refused() {
    for url in ["", "data-storage", "ftp://x", "unix:/x", "https://data-storage:8443"] {
        assert!(Client::new(Options::new(url)).is_err(), "{url:?}");
    }
    let ca = Some("/ca.crt".into());
    let options = Options { ca, ..Options::new("https://data-storage:8443") };
    assert!(Client::new(options).is_ok());
}
