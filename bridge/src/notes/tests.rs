use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::api::{core::v1::ObjectReference, events::v1::Event};
use proptest::prelude::*;
use wfe_proto::v1::{self, EventType, State};

use super::{
    blocked_note, deleted_note, given_up_note, note, refusal_note, start_refused_note,
    unrecorded_note,
};
use crate::request::{Cause, Refusal};

const UID: &str = "5a6f1c0e-7d1f-4a55-9a52-0d8b2d1c9e11";

const TYPES: [EventType; 13] = [
    EventType::Unspecified,
    EventType::Accepted,
    EventType::Held,
    EventType::Admitted,
    EventType::Delayed,
    EventType::RunCreated,
    EventType::Progressed,
    EventType::CancelRequested,
    EventType::CancelEscalated,
    EventType::Succeeded,
    EventType::Failed,
    EventType::Cancelled,
    EventType::BlockCleared,
];

fn mk_object(name: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some("kubernaut.ai/v1alpha1".into()),
        kind: Some("WorkflowExecution".into()),
        namespace: Some("demo".into()),
        name: Some(name.into()),
        uid: Some(UID.into()),
        ..ObjectReference::default()
    }
}

fn at() -> Timestamp {
    "2026-01-02T10:01:31.25Z".parse().unwrap()
}

fn stamp(time: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: time.as_second(), nanos: time.subsec_nanosecond() }
}

fn mk_actor() -> v1::Actor {
    v1::Actor { user: "alice".into(), ..v1::Actor::default() }
}

fn mk_run() -> v1::Run {
    v1::Run {
        namespace: "kubernaut-workflows".into(),
        name: "wfe-1-3".into(),
        uid: "run-uid".into(),
        ..v1::Run::default()
    }
}

fn mk_execution() -> v1::Execution {
    v1::Execution {
        workflow_identity: Some(v1::WorkflowIdentity {
            id: "restart-v1".into(),
            ..v1::WorkflowIdentity::default()
        }),
        start_time: Some(stamp(at() - jiff::SignedDuration::from_secs(90))),
        run: Some(mk_run()),
        ..v1::Execution::default()
    }
}

fn mk_event(r#type: EventType) -> v1::ExecutionEvent {
    let mut event = v1::ExecutionEvent {
        revision: 4,
        time: Some(stamp(at())),
        message: "it says why".into(),
        ..v1::ExecutionEvent::default()
    };
    event.set_type(r#type);
    let cancellation = v1::Cancellation {
        reason: "wrong target".into(),
        actor: Some(mk_actor()),
        ..v1::Cancellation::default()
    };
    match r#type {
        EventType::Held => {
            event.waiting = Some(v1::Waiting {
                gate: v1::Gate::Lock.into(),
                holder_execution_id: "0199".into(),
                message: "execution 0199 holds it".into(),
                ..v1::Waiting::default()
            });
        }
        EventType::CancelRequested | EventType::Cancelled => {
            event.cancellation = Some(cancellation);
        }
        EventType::CancelEscalated => {
            let escalation = v1::Escalation {
                cause: v1::EscalationCause::Request.into(),
                actor: Some(mk_actor()),
                reason: "it takes too long".into(),
                ..v1::Escalation::default()
            };
            event.cancellation =
                Some(v1::Cancellation { escalations: vec![escalation], ..cancellation });
        }
        EventType::Succeeded => event.end_time = Some(stamp(at())),
        EventType::Failed => {
            event.failure = Some(v1::Failure {
                reason: v1::FailureReason::OomKilled.into(),
                summary: "It ran out of memory.".into(),
                ..v1::Failure::default()
            });
        }
        EventType::BlockCleared => {
            event.clearance = Some(v1::Clearance {
                actor: Some(mk_actor()),
                reason: "looked at it".into(),
                ..v1::Clearance::default()
            });
        }
        EventType::Unspecified
        | EventType::Accepted
        | EventType::Admitted
        | EventType::Delayed
        | EventType::RunCreated
        | EventType::Progressed => {}
    }
    event
}

fn mk_note(event: &v1::ExecutionEvent) -> Option<Event> {
    note(&mk_object("fix-api"), event, &mk_execution(), "bridge-0")
}

/// Type, reason, action and note in one line.
fn line(event: &Event) -> String {
    let parts = [&event.type_, &event.reason, &event.action, &event.note];
    parts.map(|part| part.clone().unwrap_or_default()).join(" | ")
}

#[test]
fn every_transition_that_people_care_for_has_one_event() {
    for r#type in TYPES {
        let expected = match r#type {
            EventType::Unspecified
            | EventType::Accepted
            | EventType::Admitted
            | EventType::Progressed => None,
            EventType::Held => Some(
                "Normal | ExecutionWaiting | Wait | Waits for execution 0199: execution 0199 holds it",
            ),
            EventType::RunCreated => Some(
                "Normal | ExecutionCreated | CreateRun | PipelineRun kubernaut-workflows/wfe-1-3 was \
                 created.",
            ),
            EventType::Delayed => Some(
                "Warning | ExecutionDelayed | CreateRun | Its run cannot be created yet, and is tried \
                 again: it says why",
            ),
            EventType::CancelRequested => {
                Some("Normal | CancelRequested | Cancel | alice asked it to stop: wrong target.")
            }
            EventType::CancelEscalated => Some(
                "Warning | CancelEscalated | Cancel | alice asked to stop it in a stronger way: it \
                 takes too long. It is being stopped.",
            ),
            EventType::Succeeded => {
                Some("Normal | WorkflowCompleted | Run | Workflow restart-v1 succeeded in 1m30s.")
            }
            EventType::Failed => Some(
                "Warning | WorkflowFailed | Run | Workflow restart-v1 failed: OOMKilled - It ran out of \
                 memory.",
            ),
            EventType::Cancelled => {
                Some("Warning | WorkflowCancelled | Run | alice cancelled it: wrong target.")
            }
            EventType::BlockCleared => Some(
                "Normal | BlockCleared | ClearBlock | alice cleared the block of its target: looked \
                 at it",
            ),
        };
        let told = mk_note(&mk_event(r#type)).as_ref().map(line);
        assert_eq!(told.as_deref(), expected, "{type:?}");
    }
}

#[test]
fn a_stop_that_nobody_asked_for_is_the_deadlines() {
    let mut event = mk_event(EventType::CancelRequested);
    event.cancellation = None;
    let told = line(&mk_note(&event).unwrap());
    assert!(told.starts_with("Warning | DeadlineExceeded | Cancel"), "{told}");
}

#[test]
fn a_stop_that_gives_time_says_until_when_and_what_goes_on_makes_no_event() {
    let mut event = mk_event(EventType::CancelRequested);
    let cancellation = event.cancellation.as_mut().unwrap();
    cancellation.set_mode(v1::CancelMode::RunFinally);
    cancellation.escalate_time = Some(stamp(at()));
    let told = line(&mk_note(&event).unwrap());
    assert!(told.contains("then its finally tasks run; everything is stopped at 2"), "{told}");

    let mut execution = mk_execution();
    execution.set_state(State::Cancelling);
    execution.cancellation.clone_from(&event.cancellation);
    let mut delayed = mk_event(EventType::Delayed);
    delayed.set_state(State::Cancelling);
    let told =
        |execution: &v1::Execution| note(&mk_object("fix-api"), &delayed, execution, "bridge-0");
    assert_eq!(told(&execution), None);
    execution.cancellation = Some(v1::Cancellation::default());
    assert!(told(&execution).is_some());
}

#[test]
fn a_stop_that_is_delayed_does_not_speak_of_a_creation() {
    let mut event = mk_event(EventType::Delayed);
    event.set_state(State::Cancelling);
    let told = line(&mk_note(&event).unwrap());
    assert!(
        told.starts_with("Warning | ExecutionDelayed | Cancel | It cannot be stopped"),
        "{told}"
    );
}

#[test]
fn an_event_is_about_the_object_and_names_the_run() {
    let event = mk_note(&mk_event(EventType::RunCreated)).unwrap();
    assert_eq!(event.regarding, Some(mk_object("fix-api")));
    assert_eq!(event.metadata.namespace.as_deref(), Some("demo"));
    assert_eq!(event.event_time.as_ref().map(|time| time.0), Some(at()));
    assert_eq!(event.reporting_controller.as_deref(), Some("kubernaut.ai/wfe-bridge"));
    assert_eq!(event.reporting_instance.as_deref(), Some("bridge-0"));
    let related = event.related.unwrap();
    assert_eq!(
        (related.kind.as_deref(), related.name.as_deref()),
        (Some("PipelineRun"), Some("wfe-1-3"))
    );
}

fn mk_time() -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: at().as_second(), nanos: 0 }
}

fn mk_block() -> v1::Block {
    v1::Block { since: Some(mk_time()), ..v1::Block::default() }
}

fn mk_decision(message: &str) -> v1::Decision {
    v1::Decision { time: Some(mk_time()), message: message.to_owned(), ..v1::Decision::default() }
}

#[test]
fn two_bridges_give_an_event_one_name_and_two_events_two() {
    let names = |instance: &str| {
        let object = mk_object("fix-api");
        let refusal = Refusal::withdrawn();
        let mut next = mk_event(EventType::Delayed);
        next.revision += 1;
        [
            note(&object, &mk_event(EventType::Delayed), &mk_execution(), instance).unwrap(),
            note(&object, &next, &mk_execution(), instance).unwrap(),
            refusal_note(&object, &refusal, at(), instance),
            unrecorded_note(&object, at(), instance),
            deleted_note(&object, at(), instance),
            given_up_note(&object, at(), instance),
            blocked_note(&object, &v1::Target::default(), &mk_block(), instance).unwrap(),
            start_refused_note(&object, &mk_decision("why"), 7, instance).unwrap(),
            start_refused_note(&object, &mk_decision("why"), 8, instance).unwrap(),
        ]
        .map(|event| event.metadata.name.unwrap())
    };
    let (one, other) = (names("one"), names("other"));
    assert_eq!(one, other);
    assert_eq!(one[0], format!("fix-api.{UID}.0000000004"));
    assert_eq!(BTreeSet::from(one).len(), 9);
}

#[test]
fn names_sort_as_it_happened() {
    let object = mk_object("fix-api");
    let noted = [1, 2, 9, 10, 11, 99, 100, 12_345].map(|revision| {
        let event = v1::ExecutionEvent { revision, ..mk_event(EventType::Delayed) };
        note(&object, &event, &mk_execution(), "one").unwrap()
    });
    let deleted = deleted_note(&object, at(), "one");
    let names = noted.into_iter().chain([deleted]).map(|event| event.metadata.name.unwrap());
    assert!(names.is_sorted());
}

#[test]
fn every_refusal_is_one_warning() {
    let mk = |cause| Refusal { cause, message: "why".into() };
    let rows = [
        (mk(Cause::UnsupportedEngine), "WorkflowValidationFailed"),
        (mk(Cause::Configuration { field: None }), "WorkflowValidationFailed"),
        (mk(Cause::DeadlinePassed), "WorkflowFailed"),
        (mk(Cause::Deduplicated { by: None }), "WorkflowFailed"),
        (mk(Cause::Withdrawn), "WorkflowCancelled"),
    ];
    for (refusal, reason) in rows {
        let event = refusal_note(&mk_object("fix-api"), &refusal, at(), "bridge-0");
        assert_eq!(line(&event), format!("Warning | {reason} | Start | why"));
    }
}

#[test]
fn a_deletion_says_whether_it_is_certain_that_nothing_runs() {
    let object = mk_object("fix-api");
    let certain = line(&deleted_note(&object, at(), "bridge-0"));
    assert!(certain.starts_with("Normal | WorkflowExecutionDeleted | Delete | "), "{certain}");
    let given_up = line(&given_up_note(&object, at(), "bridge-0"));
    assert!(given_up.starts_with("Warning | CleanupFailed | Delete | "), "{given_up}");
    let lost = line(&unrecorded_note(&object, at(), "bridge-0"));
    assert!(lost.starts_with("Warning | WorkflowFailed | Start | "), "{lost}");
}

/// Fails when an API server would refuse `event`: the rules of events.k8s.io/v1.
fn assert_accepted(event: &Event) {
    let name = event.metadata.name.as_deref().unwrap();
    let label = |label: &str| {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        !label.is_empty()
            && label.chars().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    assert!(name.len() <= 253 && name.split('.').all(label), "{name}");
    assert_eq!(event.metadata.namespace, event.regarding.as_ref().unwrap().namespace);
    let within = |text: &Option<String>, limit| {
        let length = text.as_ref().unwrap().len();
        assert!((1..=limit).contains(&length), "{length} of {limit}");
    };
    within(&event.reason, 128);
    within(&event.action, 128);
    within(&event.reporting_instance, 128);
    within(&event.note, 1_024);
    assert!(["Normal", "Warning"].contains(&event.type_.as_deref().unwrap()));
    assert!(event.event_time.is_some());
}

proptest! {
    #[test]
    fn any_event_is_one_that_an_api_server_takes(
        index in 0..TYPES.len(),
        name in "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?){0,3}",
        revision in any::<i64>(),
        texts in (".{0,9}", prop_oneof![".{0,99}", Just("ü".repeat(4_000))]),
        instance in prop_oneof![".{0,20}", Just("ü".repeat(300))],
    ) {
        let mut event = mk_event(TYPES[index]);
        event.revision = revision;
        event.message.clone_from(&texts.1);
        if let Some(failure) = &mut event.failure {
            failure.summary.clone_from(&texts.1);
        }
        if let Some(cancellation) = &mut event.cancellation {
            cancellation.reason.clone_from(&texts.1);
        }
        if let Some(waiting) = &mut event.waiting {
            waiting.message.clone_from(&texts.1);
        }
        let object = mk_object(&name);
        let mut execution = mk_execution();
        execution.workflow_identity.as_mut().unwrap().id.clone_from(&texts.0);
        if let Some(event) = note(&object, &event, &execution, &instance) {
            assert_accepted(&event);
        }
        let refusal = Refusal { cause: Cause::DeadlinePassed, message: format!("a{}", texts.1) };
        assert_accepted(&refusal_note(&object, &refusal, at(), &instance));
        let decision = mk_decision(&texts.1);
        assert_accepted(&start_refused_note(&object, &decision, revision, &instance).unwrap());
        let target = v1::Target { target: texts.1.clone(), ..v1::Target::default() };
        assert_accepted(&blocked_note(&object, &target, &mk_block(), &instance).unwrap());
    }
}

#[test]
fn a_long_name_is_cut_so_that_it_stays_a_name() {
    let long = format!("{}.b{}", "a".repeat(203), "-b".repeat(20));
    for length in 190..=long.len() {
        let object = mk_object(long[..length].trim_end_matches(['-', '.']));
        assert_accepted(&deleted_note(&object, at(), "bridge-0"));
    }
}

#[test]
fn an_event_without_a_time_is_not_made() {
    let mut event = mk_event(EventType::Failed);
    event.time = None;
    assert_eq!(mk_note(&event), None);
}
