//! Refusals, denials and cancels that make no difference are on record, once and then summed up.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tonic::Code;
use wfe_core::{
    actor::{Actor, AuthenticationMethod},
    audit::{Logged, MAX_SUBJECTS, Times, What},
    execution::Gate,
    gates::{Mode, Policy},
};
use wfe_proto::v1;
use wfe_server::{
    clock::{Clock as _, ManualClock},
    tekton::simulator::SimulatorConfig,
};

use crate::{access::by_id, guarded::*, support::*};

const TARGET: &str = "default/deployment/api";

/// A service whose clock stands until it is moved.
async fn stack() -> (Stack, ManualClock) {
    let clock = ManualClock::new(Timestamp::from_second(1_800_000_000).unwrap());
    let stack = Stack::with_gates(
        SimulatorConfig::default(),
        Policy::all(Mode::Off),
        Arc::new(clock.clone()),
    )
    .await;
    (stack, clock)
}

fn times(entry: &Logged) -> Times {
    entry.what.times().unwrap()
}

fn counts(entries: &[Logged]) -> Vec<u64> {
    entries.iter().map(|entry| times(entry).count).collect()
}

#[tokio::test]
async fn a_hundred_refusals_are_two_records_and_one_call_of_the_store_each() {
    let (stack, clock) = stack().await;
    let mut client = stack.client().await;
    let holder = start(&mut client, mk_start_of("never-ends", "first", TARGET)).await.id;
    let begin = clock.now();
    for n in 0..100 {
        clock.advance(Duration::from_millis(1));
        let request = v1::StartRequest {
            correlation_id: "incident-7".to_owned(),
            ..mk_start(&format!("again-{n}"), TARGET)
        };
        let status = client.start(request).await.unwrap_err();
        refused(&status, Code::Aborted, "TARGET_LOCKED");
    }
    let logged = stack.logged(&["refused"]).await;
    assert_eq!(counts(&logged), [1], "the first is there when it is answered");
    assert_eq!(stack.transactions("record"), 1, "what is repeated does not reach the store");
    clock.advance(Duration::from_mins(1));
    let logged = eventually("the sum is there", async || {
        Some(stack.logged(&["refused"]).await).filter(|logged| logged.len() > 1)
    })
    .await;
    assert_eq!(counts(&logged), [1, 99]);
    // A call is counted a moment after what it wrote can be read.
    eventually("the second call is counted", async || {
        (stack.transactions("record") > 1).then_some(())
    })
    .await;
    assert_eq!(stack.transactions("record"), 2);
    let [first, sum] = &logged[..] else { panic!("{logged:?}") };
    let at = |millis| begin + Duration::from_millis(millis);
    assert_eq!(times(sum), Times { count: 99, since: at(2), until: at(100) });
    assert_eq!((&first.stream, &sum.stream), (&sum.stream, &first.stream));
    assert_eq!(first.about.request_id.as_ref().unwrap().as_str(), "again-0");
    assert_eq!(sum.about.request_id, None, "they were different ones");
    for entry in [first, sum] {
        assert_eq!(entry.actor, Actor::anonymous(None));
        assert_eq!(entry.about.correlation_id.as_ref().unwrap().as_str(), "incident-7");
        assert_eq!(entry.about.target.as_ref().unwrap().name, TARGET);
        let What::Refused { code, hold: Some(hold), .. } = &entry.what else { panic!() };
        assert_eq!((&**code, hold.gate()), ("TARGET_LOCKED", Gate::Lock));
        assert_eq!(hold.holder().unwrap().to_string(), holder);
    }
}

#[tokio::test]
async fn what_decides_nothing_and_what_is_repeated_leaves_no_record() {
    let (stack, _clock) = stack().await;
    let mut client = stack.client().await;
    let request = mk_start_of("never-ends", "first", TARGET);
    start(&mut client, request.clone()).await;
    let before = stack.logged(&["transition", "refused"]).await.len();
    start(&mut client, request).await;
    let only = v1::StartRequest { validate_only: true, ..mk_start("second", TARGET) };
    refused(&client.start(only).await.unwrap_err(), Code::Aborted, "TARGET_LOCKED");
    assert_eq!(stack.logged(&["refused"]).await.len(), 0);
    assert!(stack.logged(&["transition"]).await.len() >= before);
    assert_eq!(stack.transactions("record"), 0);
}

#[tokio::test]
async fn a_withdrawn_and_a_reused_request_and_a_cancel_too_late_are_on_record() {
    let (stack, _clock) = stack().await;
    let mut client = stack.client().await;
    let id = start(&mut client, mk_start_of("never-ends", "first", TARGET)).await.id;
    let withdraw = v1::CancelRequest {
        request_id: "second".to_owned(),
        reason: "a test".to_owned(),
        ..v1::CancelRequest::default()
    };
    client.cancel(withdraw).await.unwrap();
    let status = client.start(mk_start("second", "pod/x")).await.unwrap_err();
    refused(&status, Code::FailedPrecondition, "REQUEST_WITHDRAWN");
    let status = client.start(mk_start("first", "pod/x")).await.unwrap_err();
    refused(&status, Code::AlreadyExists, "REQUEST_ID_REUSED");
    for _ in 0..3 {
        cancel(&mut client, &id).await;
    }
    let told: Vec<String> = stack
        .logged(&["refused", "cancel_ignored"])
        .await
        .iter()
        .map(|entry| {
            let stream = entry.stream.as_str();
            if let What::Refused { code, hold: None, .. } = &entry.what {
                return format!("{stream} {code}");
            }
            let What::CancelIgnored { reason, .. } = &entry.what else { panic!("{entry:?}") };
            assert_eq!(entry.about.execution.unwrap().to_string(), id);
            format!("{stream} {reason}")
        })
        .collect();
    let expected = [
        "requests/second REQUEST_WITHDRAWN".to_owned(),
        "requests/first REQUEST_ID_REUSED".to_owned(),
        format!("targets/{TARGET} a test"),
    ];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn who_hammers_many_targets_does_not_fill_the_log() {
    let (stack, clock) = stack().await;
    let mut client = stack.client().await;
    let many = MAX_SUBJECTS + 20;
    for n in 0..many {
        start(&mut client, mk_start_of("never-ends", &format!("holds-{n}"), &format!("pod/n{n}")))
            .await;
    }
    for round in 0..3 {
        for n in 0..many {
            let request = mk_start(&format!("again-{round}-{n}"), &format!("pod/n{n}"));
            client.start(request).await.unwrap_err();
        }
    }
    assert_eq!(stack.logged(&["refused"]).await.len(), MAX_SUBJECTS + 1);
    clock.advance(Duration::from_mins(1));
    let logged = eventually("the sums are there", async || {
        let logged = stack.logged(&["refused"]).await;
        Some(logged).filter(|logged| logged.len() == 2 * (MAX_SUBJECTS + 1))
    })
    .await;
    assert_eq!(counts(&logged).iter().sum::<u64>(), 3 * u64::try_from(many).unwrap());
}

#[tokio::test]
async fn a_refusal_names_for_whom_a_bridge_acted() {
    let guarded = Guarded::start(&[]).await;
    guarded.begin("root", mk_endless("first", TARGET)).await;
    let mut bridge = guarded.caller(BRIDGE).await;
    let carol = v1::OnBehalfOf {
        user: "carol".to_owned(),
        uid: "c".to_owned(),
        groups: vec!["sre".to_owned()],
    };
    let request =
        v1::StartRequest { on_behalf_of: Some(carol), ..mk_from("team", "second", TARGET) };
    bridge.start(request).await.unwrap_err();
    let [entry] = &guarded.stack.logged(&["refused"]).await[..] else { panic!() };
    let actor = &entry.actor;
    assert_eq!((actor.user.as_str(), actor.method), (BRIDGE, AuthenticationMethod::Token));
    assert_eq!((actor.uid.as_deref(), &actor.groups), (Some("uid-1"), &vec!["people".to_owned()]));
    let carol = actor.on_behalf_of.as_ref().unwrap();
    assert_eq!((carol.user.as_str(), carol.uid.as_deref()), ("carol", Some("c")));
    assert_eq!(carol.groups, ["sre"]);
    assert_eq!(entry.about.source.as_ref().unwrap().namespace, "team");
}

#[tokio::test]
async fn denials_are_on_record_in_a_stream_of_their_own() {
    let guarded = Guarded::start(&[("alice", "create", "other")]).await;
    let id = guarded.begin("root", mk_endless("r", "pay/deployment/api")).await.id;
    let mut alice = guarded.caller("alice").await;
    for _ in 0..3 {
        alice.get(by_id(&id)).await.unwrap_err();
    }
    alice.start(mk_endless("mine", "pay/deployment/api")).await.unwrap_err();
    let claim = v1::OnBehalfOf { user: "carol".to_owned(), ..v1::OnBehalfOf::default() };
    let claimed =
        v1::StartRequest { on_behalf_of: Some(claim), ..mk_endless("mine", "other/pod/x") };
    alice.start(claimed).await.unwrap_err();
    let mut nobody = guarded.with(None).await;
    nobody.get(by_id(&id)).await.unwrap_err();
    nobody.list(v1::ListRequest::default()).await.unwrap_err();

    let told: Vec<_> = guarded
        .stack
        .logged(&["denied"])
        .await
        .into_iter()
        .map(|entry| {
            assert_eq!(entry.stream.as_str(), "security");
            let What::Denied { method, code, verb, detail, times } = entry.what else { panic!() };
            assert_eq!(times.count, 1);
            let verb = verb.map(|verb| verb.to_string());
            (entry.actor.user, method.to_string(), code.to_string(), verb, detail)
        })
        .collect();
    let denied = |method: &str, verb: &str, what: String| {
        let detail = format!("alice may not {verb} workflowexecutions.kubernaut.ai: {what}");
        let code = "PERMISSION_DENIED".to_owned();
        ("alice".to_owned(), method.to_owned(), code, Some(verb.to_owned()), detail)
    };
    let expected = [
        denied("Get", "get", format!("execution {id} is hidden, or there is none")),
        denied("Start", "create", "pay/deployment/api needs the right in namespace pay".to_owned()),
        (
            "alice".to_owned(),
            "Start".to_owned(),
            "PERMISSION_DENIED".to_owned(),
            None,
            "alice may not act on behalf of others: it is none of trusted_bridges".to_owned(),
        ),
        (
            "unknown".to_owned(),
            "Get".to_owned(),
            "UNAUTHENTICATED".to_owned(),
            None,
            "who calls? Give a bearer token in `authorization`, or a client certificate".to_owned(),
        ),
    ];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn without_a_store_a_refusal_is_not_decided_and_a_denial_stays_one() {
    let guarded = Guarded::start(&[]).await;
    let id = guarded.begin("root", mk_endless("r", "pay/deployment/api")).await.id;
    let mut alice = guarded.caller("alice").await;
    guarded.stack.store().close().await;
    let status = alice.start(mk_endless("mine", "pay/deployment/api")).await.unwrap_err();
    refused(&status, Code::PermissionDenied, "PERMISSION_DENIED");
    let mut root = guarded.caller("root").await;
    let status = root.start(mk_endless("mine", "pay/deployment/api")).await.unwrap_err();
    refused(&status, Code::Unavailable, "STORE_UNAVAILABLE");
    let text = String::from_utf8(guarded.stack.metrics.render().unwrap()).unwrap();
    assert!(text.contains("wfe_unrecorded_total 1"), "{text}");
    assert!(!id.is_empty());
}
