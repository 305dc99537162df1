//! Every event that can be built is what the description says, and is stored as it was sent.

use std::{net::IpAddr, time::Duration};

use proptest::{collection::btree_map, option, prelude::*};
use serde_json::{Value, json};
use wfe_datastorage::{
    Actor, ActorKind, Batch, Component, DurationMs, ErrorDetails, Event, EventData, EventType,
    Facts, FailureReason, Limits, Microsecond, Phase, Place, RetentionDays, SendOutcome, Text,
    Window,
};
use wfe_datastorage_receiver::Database;

use crate::support::*;

type Any = Text<0, { usize::MAX }>;

/// Text of all kinds, as long as a type lets it be and longer.
fn text<const MIN: usize, const MAX: usize>() -> impl Strategy<Value = Text<MIN, MAX>> {
    prop_oneof!["\\PC{1,40}", "[a-z<>&\u{0}\u{7f}\n]{1,20}", Just("ä".repeat(300))]
        .prop_map(|text| Text::fitted(&text).unwrap())
}

fn phase() -> impl Strategy<Value = Phase> {
    prop::sample::select(vec![Phase::Pending, Phase::Running, Phase::Completed, Phase::Failed])
}

fn reason() -> impl Strategy<Value = FailureReason> {
    use FailureReason::*;
    prop::sample::select(vec![
        OomKilled,
        DeadlineExceeded,
        Forbidden,
        ImagePullBackOff,
        ConfigurationError,
        ResourceExhausted,
        TaskFailed,
        UnsupportedEngine,
        Deduplicated,
        Unknown,
    ])
}

fn details() -> impl Strategy<Value = ErrorDetails> {
    (text(), text(), any::<bool>()).prop_map(|(message, code, retry_possible)| ErrorDetails {
        message,
        code,
        component: Component::WorkflowExecution,
        retry_possible,
    })
}

prop_compose! {
    fn workflow()(
        names in (text(), text(), text(), text(), text()),
        phase in phase(),
        options in (option::of(text()), option::of(text()), option::of(text()), option::of(text())),
        failure in (option::of(reason()), option::of(text()), option::of(details())),
        parameters in btree_map(text(), text(), 0..4),
        times in option::of(0_i64..4_000_000_000),
    ) -> wfe_datastorage::Workflow {
        let (workflow_id, workflow_version, target_resource, container_image, execution_name) = names;
        let (workflow_name, duration, failed_task_name, pipelinerun_name) = options;
        let (failure_reason, failure_message, error_details) = failure;
        let time = times.map(|micros| wfe_datastorage::Second::of(at(micros)));
        wfe_datastorage::Workflow {
            workflow_id, workflow_version, target_resource, phase, container_image, execution_name,
            workflow_name, started_at: time, completed_at: time, duration, failure_reason,
            failure_message, failed_task_name, error_details, pipelinerun_name, parameters,
        }
    }
}

fn data() -> impl Strategy<Value = EventData> {
    let of_workflow = (0..4_u8, workflow()).prop_map(|(kind, workflow)| {
        let workflow = Box::new(workflow);
        match kind {
            0 => EventData::SelectionCompleted(workflow),
            1 => EventData::ExecutionStarted(workflow),
            2 => EventData::WorkflowCompleted(workflow),
            _ => EventData::WorkflowFailed(workflow),
        }
    });
    prop_oneof![4 => of_workflow, 1 => "\\PC{10,60}".prop_map(|reason| mk_cleared(&reason))]
}

prop_compose! {
    fn event()(
        correlation_id in text(),
        actor in (any::<bool>(), text(), option::of(any::<IpAddr>())),
        resource in (text(), text()),
        place in (option::of(text()), option::of(text())),
        numbers in (option::of(any::<u64>()), option::of(1..=2555_u16)),
        micros in 0..3_000_000_000_i64,
        event_data in data(),
    ) -> Event {
        let (person, id, ip) = actor;
        let kind = if person { ActorKind::User } else { ActorKind::Service };
        let duration = numbers.0.map(Duration::from_millis);
        Facts {
            event_timestamp: Microsecond::of(at(micros)),
            correlation_id,
            actor: Actor { kind, id, ip },
            resource_type: resource.0,
            resource_id: resource.1,
            namespace: place.0,
            cluster_id: place.1,
            duration_ms: duration.and_then(DurationMs::of),
            retention_days: numbers.1.map(|days| RetentionDays::try_from(days).unwrap()),
            event_data,
        }
        .try_into()
        .unwrap()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn an_event_that_can_be_built_is_valid_is_stored_at_once_and_is_found_again(event in event()) {
        let body: Value = serde_json::from_str(Batch::of(&event).unwrap().body()).unwrap();
        prop_assert_eq!(breaks("Batch", &body), Vec::<String>::new());
        prop_assert!(!body.to_string().contains("null"));
        prop_assert_eq!(&body[0]["event_type"], &body[0]["event_data"]["event_type"]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let outcome = runtime.block_on(async {
            let (receiver, client, _clock) = mk_receiver().await;
            let missing = client.find(&event).await;
            let sent = client.send(&Batch::of(&event).unwrap()).await;
            let id = event.facts().correlation_id.as_str().to_owned();
            (missing, sent, client.find(&event).await, receiver.verify(&id))
        });
        prop_assert_eq!(outcome.0, Ok(wfe_datastorage::Found::Missing));
        prop_assert_eq!(outcome.1, SendOutcome::Stored);
        let stored = matches!(outcome.2, Ok(wfe_datastorage::Found::Stored { .. }));
        prop_assert!(stored, "{:?}", outcome.2);
        prop_assert!(outcome.3.valid && outcome.3.total == 1, "{:?}", outcome.3);
    }

    #[test]
    fn an_event_that_was_kept_is_read_as_it_was(event in event()) {
        let text = serde_json::to_string(&event).unwrap();
        prop_assert_eq!(serde_json::from_str::<Event>(&text).unwrap(), event);
    }
}

#[test]
fn the_types_of_events_are_those_of_the_description() {
    for kind in EventType::ALL {
        assert_eq!(breaks("EventType", &json!(kind.as_str())), Vec::<String>::new());
    }
    assert_eq!(breaks("EventType", &json!("workflowexecution.workflow.skipped")).len(), 1);
}

#[test]
fn the_description_refuses_what_the_table_cannot_hold() {
    let good = serde_json::to_value(mk_event("rr-1", 0)).unwrap();
    assert_eq!(breaks("Event", &good), Vec::<String>::new());
    let broken: [(&str, Value); 9] = [
        ("correlation_id", json!("")),
        ("correlation_id", json!("x".repeat(256))),
        ("actor_id", json!("a\u{0}b")),
        ("actor_ip", json!("localhost")),
        ("duration_ms", json!(2_147_483_648_u64)),
        ("retention_days", json!(2556)),
        ("event_timestamp", json!("2026-11-21T00:47:33Z")),
        ("namespace", Value::Null),
        ("trace_id", json!("dropped")),
    ];
    for (name, value) in broken {
        let mut event = good.clone();
        event[name] = value;
        assert!(!breaks("Event", &event).is_empty(), "{event}");
    }
}

#[test]
fn data_is_taken_up_to_the_last_byte_that_the_receiver_counts() {
    let empty = serde_json::to_string(&mk_cleared("")).unwrap().len();
    let room = 262_144 - empty;
    for (reason, fits) in [
        ("a".repeat(room), true),
        ("a".repeat(room + 1), false),
        ("<".repeat(room / 6), true),
        ("<".repeat(room / 6 + 1), false),
    ] {
        let built = Event::try_from(mk_facts("rr-1", 0, mk_cleared(&reason)));
        assert_eq!(built.is_ok(), fits, "{} characters", reason.len());
    }
}

#[tokio::test]
async fn the_largest_event_is_stored() {
    let empty = serde_json::to_string(&mk_cleared("")).unwrap().len();
    for reason in ["a".repeat(262_144 - empty), "<".repeat((262_144 - empty) / 6)] {
        let (_receiver, client, _clock) = mk_receiver().await;
        let event = Event::try_from(mk_facts("rr-1", 0, mk_cleared(&reason))).unwrap();
        assert_eq!(client.send(&mk_batch(&[event])).await, SendOutcome::Stored);
    }
}

#[tokio::test]
async fn what_is_in_the_window_is_taken_and_what_is_not_is_told_before() {
    let day = 24 * 60 * 60_000_000_i64;
    let minute = 60_000_000_i64;
    let (_receiver, client, _clock) = mk_receiver().await;
    let cases = [
        (-7 * day - minute, Window::TooOld),
        (-7 * day + 6 * minute, Window::Open),
        (0, Window::Open),
        (54 * minute, Window::Open),
        (61 * minute, Window::Ahead(at(6 * minute))),
    ];
    for (micros, window) in cases {
        let event = mk_event("rr-1", micros);
        assert_eq!(event.window(at(0)), window, "{micros}");
        let outcome = client.send(&mk_batch(&[event])).await;
        assert_eq!(outcome == SendOutcome::Stored, window == Window::Open, "{micros}: {outcome:?}");
    }
}

#[test]
fn a_batch_holds_one_event_of_a_correlation_id_and_no_more_than_is_taken() {
    let limits = Limits { events: 3, bytes: 10_000 };
    let mut batch = Batch::of(&mk_event("rr-1", 0)).unwrap();
    assert_eq!(batch.push(&mk_event("rr-1", 1), limits).unwrap(), Place::Behind);
    assert_eq!(batch.push(&mk_event("rr-2", 0), limits).unwrap(), Place::Taken);
    let large = mk_facts("rr-3", 0, mk_cleared(&"x".repeat(10_000))).try_into().unwrap();
    assert_eq!(batch.push(&large, limits).unwrap(), Place::Full);
    assert_eq!(batch.push(&mk_event("rr-3", 0), limits).unwrap(), Place::Taken);
    assert_eq!(batch.push(&mk_event("rr-4", 0), limits).unwrap(), Place::Full);
    let body: Vec<Value> = serde_json::from_str(batch.body()).unwrap();
    assert_eq!((batch.events(), body.len()), (3, 3));
}

#[tokio::test]
async fn the_client_takes_an_event_for_poison_before_the_receiver_does() {
    // What the types keep out is queued for ever by the receiver; the very same with one character less
    // is stored. So the limits here are neither too wide nor too narrow.
    let (receiver, client, _clock) = mk_receiver().await;
    let mut facts = mk_facts("rr-1", 0, mk_started());
    facts.namespace = Some("n".repeat(253).parse().unwrap());
    facts.resource_type = "t".repeat(100).parse().unwrap();
    facts.resource_id = "r".repeat(255).parse().unwrap();
    facts.cluster_id = Some("c".repeat(255).parse().unwrap());
    facts.actor.id = "a".repeat(255).parse().unwrap();
    let event: Event = facts.try_into().unwrap();
    assert_eq!(client.send(&mk_batch(&[event])).await, SendOutcome::Stored);
    assert!("n".repeat(254).parse::<Text<1, 253>>().is_err());
    receiver.set_database(Database::Down);
    let small = mk_event("rr-2", 0);
    assert_eq!(client.send(&mk_batch(&[small])).await, SendOutcome::Accepted);
    let _: Any = "".parse().unwrap();
}
