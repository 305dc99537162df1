//! Watch of a target, of a correlation id and of everything: each entry that may be seen once, in the
//! order of the log.

use std::{collections::HashSet, sync::Arc, time::Duration};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt as _;
use wfe_core::{
    audit::{Logged, What},
    gates::{Mode, Policy},
};
use wfe_proto::v1::{
    self, DecisionType, EventType, WhenLocked, watch_request::Scope, watch_response::Update,
};
use wfe_server::{clock::SystemClock, tekton::simulator::SimulatorConfig};

use crate::{guarded::*, support::*};

const TARGETS: [&str; 3] = ["pay/deployment/api", "shop/deployment/api", "node/worker-1"];
const INCIDENT: &str = "incident-7";

/// A service with all gates, whose tasks are over at once.
async fn stack() -> Stack {
    let config =
        SimulatorConfig { task_time: Duration::from_millis(5), ..SimulatorConfig::default() };
    let policy = Policy {
        cooldown: wfe_core::gates::CooldownPolicy { mode: Mode::Off, ..Policy::default().cooldown },
        ..Policy::default()
    };
    Stack::with_gates(config, policy, Arc::new(SystemClock)).await
}

fn everything() -> Scope {
    Scope::Everything(v1::Everything {})
}

fn of_target(target: &str) -> Scope {
    Scope::Target(v1::TargetRef { target: target.to_owned(), cluster_id: String::new() })
}

fn of_incident() -> Scope {
    Scope::CorrelationId(INCIDENT.to_owned())
}

fn request(scope: Scope, after: Option<i64>) -> v1::WatchRequest {
    v1::WatchRequest { scope: Some(scope), after }
}

type Messages = Streaming<v1::WatchResponse>;

async fn open(client: &mut Client, scope: Scope, after: Option<i64>) -> Messages {
    client.watch(request(scope, after)).await.unwrap().into_inner()
}

async fn next(stream: &mut Messages) -> Result<v1::WatchResponse, Status> {
    let message = tokio::time::timeout(PATIENCE, stream.message()).await.expect("a message");
    message.map(|message| message.expect("such a watch has no end"))
}

/// What a message says, short; `None` of a heartbeat.
fn said(message: &v1::WatchResponse) -> Option<String> {
    Some(match message.update.as_ref().unwrap() {
        Update::Snapshot(execution) => format!("snapshot {}", execution.id),
        Update::Synced(_) => "synced".to_owned(),
        Update::Event(event) if event.r#type() == EventType::BlockCleared => {
            assert_eq!((event.revision, event.clearance.is_some()), (0, true));
            format!("cleared {}", event.execution_id)
        }
        Update::Event(event) => format!("event {} {}", event.execution_id, event.revision),
        Update::Decision(decision) => {
            assert!(decision.actor.is_some() && !decision.message.is_empty(), "{decision:?}");
            format!("decision {:?} {}", decision.r#type(), decision.request_id)
        }
        Update::Heartbeat(_) => return None,
        Update::Terminal(_) => panic!("such a watch has no terminal message"),
    })
}

/// What an entry of the log says to one who may see everything.
fn says(entry: &Logged) -> Option<String> {
    let id = entry.about.execution.map(|id| id.to_string()).unwrap_or_default();
    let request = entry.about.request_id.as_ref().map(ToString::to_string).unwrap_or_default();
    let decision = |kind: DecisionType| Some(format!("decision {kind:?} {request}"));
    match &entry.what {
        What::Transition { .. } => Some(format!("event {id} {}", entry.revision)),
        What::ClearBlock { outcome, .. } if outcome == "cleared" => Some(format!("cleared {id}")),
        What::ClearBlock { .. } => decision(DecisionType::ClearanceRefused),
        What::Refused { .. } if entry.stream.as_str() == "security" => None,
        What::Refused { .. } => decision(DecisionType::Refused),
        What::Attached { .. } => decision(DecisionType::Attached),
        What::Withdrawn { .. } => decision(DecisionType::Withdrawn),
        What::CancelIgnored { .. } => decision(DecisionType::CancelIgnored),
        What::Denied { .. } | What::KeyRotated { .. } | What::Pruned { .. } => None,
    }
}

async fn log(stack: &Stack) -> Vec<Logged> {
    let all = [
        "transition",
        "clear_block",
        "refused",
        "attached",
        "withdrawn",
        "cancel_ignored",
        "denied",
    ];
    stack.logged(&all).await
}

/// What the log says about a scope: places and words.
async fn expected(stack: &Stack, scope: &Scope) -> Vec<(i64, String)> {
    let concerns = |entry: &Logged| match scope {
        Scope::Everything(_) => true,
        Scope::Target(target) => {
            entry.about.target.as_ref().is_some_and(|about| about.name == target.target)
        }
        Scope::CorrelationId(id) => {
            entry.about.correlation_id.as_ref().is_some_and(|about| about.as_str() == id)
        }
        Scope::ExecutionId(_) => panic!("not of the log"),
    };
    let log = log(stack).await;
    let told = log.iter().filter(|entry| concerns(entry));
    let place = |entry: &Logged| i64::try_from(entry.sequence.0).unwrap();
    told.filter_map(|entry| Some((place(entry), says(entry)?))).collect()
}

/// Reads until the place is reached, which a heartbeat may tell.
async fn read_to(stream: &mut Messages, place: i64) -> Vec<(i64, String)> {
    let mut seen = Vec::new();
    loop {
        let message = next(stream).await.unwrap();
        seen.extend(said(&message).map(|said| (message.cursor, said)));
        if message.cursor >= place {
            return seen;
        }
    }
}

async fn head(stack: &Stack) -> i64 {
    i64::try_from(stack.store().log().await.unwrap().head.sequence.0).unwrap()
}

/// Does something to one of the targets.
async fn act(client: &mut Client, dice: &mut StdRng, n: usize) {
    let target = *TARGETS.choose(dice).unwrap();
    let bundle = *["succeeds", "step-exits-1", "never-ends"].choose(dice).unwrap();
    let correlation_id = if dice.random_bool(0.5) { INCIDENT.to_owned() } else { String::new() };
    let when = *[WhenLocked::Wait, WhenLocked::Attach, WhenLocked::Reject].choose(dice).unwrap();
    let request = v1::StartRequest {
        correlation_id,
        when_locked: when.into(),
        ..mk_start_of(bundle, &format!("r-{n}"), target)
    };
    let known = format!("r-{}", dice.random_range(0..=n));
    let cancel = v1::CancelRequest {
        request_id: known,
        reason: "a test".to_owned(),
        ..v1::CancelRequest::default()
    };
    let clear = v1::ClearBlockRequest {
        target: target.to_owned(),
        reason: "looked at it, it is fine".to_owned(),
        ..v1::ClearBlockRequest::default()
    };
    // Whatever the answer is: what counts is what the log says of it.
    match dice.random_range(0..10) {
        0..5 => drop(client.start(request).await),
        5..8 => drop(client.cancel(cancel).await),
        _ => drop(client.clear_block(clear).await),
    }
}

/// Waits until nothing happens any more, so that the log does not grow.
async fn until_quiet(stack: &Stack) {
    let mut before = (0, 0);
    eventually("nothing happens any more", async || {
        tokio::time::sleep(Duration::from_millis(40)).await;
        let now = head(stack).await;
        before = if before.0 == now { (now, before.1 + 1) } else { (now, 0) };
        (before.1 > 3).then_some(())
    })
    .await;
}

#[tokio::test]
async fn every_scope_tells_what_the_log_says_from_every_cursor() {
    let stack = stack().await;
    let mut client = stack.client().await;
    let mut dice = StdRng::seed_from_u64(7);
    start(&mut client, mk_start_of("never-ends", "holds", "pod/x")).await;
    let attach =
        v1::StartRequest { when_locked: WhenLocked::Attach.into(), ..mk_start("follows", "pod/x") };
    start(&mut client, attach).await;
    for n in 0..40 {
        act(&mut client, &mut dice, n).await;
    }
    until_quiet(&stack).await;
    let end = head(&stack).await;
    let kinds: HashSet<&str> = log(&stack).await.iter().map(|entry| entry.what.as_str()).collect();
    assert_eq!(kinds.len(), 6, "{kinds:?}");
    for scope in [everything(), of_target(TARGETS[0]), of_incident()] {
        let all = expected(&stack, &scope).await;
        for after in 0..=end {
            let rest: Vec<_> = all.iter().filter(|(place, _)| *place > after).cloned().collect();
            let mut stream = open(&mut client, scope.clone(), Some(after)).await;
            assert_eq!(read_to(&mut stream, end).await, rest, "{scope:?} after {after}");
        }
    }
}

#[tokio::test]
async fn readers_who_are_cut_at_random_miss_nothing_and_hear_nothing_twice() {
    for seed in 0..6 {
        let stack = stack().await;
        let mut dice = StdRng::seed_from_u64(seed);
        let mut acting = stack.client().await;
        let happens = async {
            for n in 0..40 {
                act(&mut acting, &mut dice, n).await;
            }
            until_quiet(&stack).await;
            head(&stack).await
        };
        let (done, is_done) = tokio::sync::watch::channel(None);
        let reads = [everything(), of_target(TARGETS[1]), of_incident()].map(|scope| {
            let is_done = is_done.clone();
            let stack = &stack;
            async move {
                let mut dice = StdRng::seed_from_u64(seed + 100);
                let (mut seen, mut cursor) = (Vec::new(), 0);
                while is_done.borrow().is_none_or(|end: i64| cursor < end) {
                    // A connection of its own each time, cut without a word.
                    let mut client = stack.client().await;
                    let mut stream = open(&mut client, scope.clone(), Some(cursor)).await;
                    for _ in 0..dice.random_range(1..9) {
                        let message = next(&mut stream).await.unwrap();
                        assert!(message.cursor >= cursor);
                        cursor = message.cursor;
                        seen.extend(said(&message).map(|said| (cursor, said)));
                    }
                }
                (scope, seen)
            }
        });
        let happens = async {
            let end = happens.await;
            done.send(Some(end)).unwrap();
        };
        let (read, ()) = tokio::join!(futures::future::join_all(reads), happens);
        for (scope, seen) in read {
            assert_eq!(seen, expected(&stack, &scope).await, "seed {seed}, {scope:?}");
        }
    }
}

#[tokio::test]
async fn snapshots_come_first_and_what_follows_brings_them_up_to_date() {
    let stack = stack().await;
    let mut client = stack.client().await;
    let over = start(&mut client, mk_start("over", TARGETS[1])).await.id;
    until_terminal(&mut client, &over).await;
    let mut live = Vec::new();
    for (n, target) in ["pod/a", "pod/b", "pod/b"].iter().enumerate() {
        let request = v1::StartRequest {
            when_locked: WhenLocked::Wait.into(),
            correlation_id: INCIDENT.to_owned(),
            ..mk_start_of("never-ends", &format!("r-{n}"), target)
        };
        live.push(start(&mut client, request).await.id);
    }
    for (scope, ids) in [
        (everything(), live.clone()),
        (of_target("pod/b"), live[1..].to_vec()),
        (of_incident(), live.clone()),
    ] {
        let mut stream = open(&mut client, scope.clone(), None).await;
        let mut copies = Vec::new();
        let synced = loop {
            let message = next(&mut stream).await.unwrap();
            match message.update.unwrap() {
                Update::Snapshot(execution) => {
                    assert_eq!(message.cursor, 0, "there is nothing to resume from yet");
                    copies.push(execution);
                }
                Update::Synced(_) => break message.cursor,
                other @ (Update::Event(_)
                | Update::Decision(_)
                | Update::Heartbeat(_)
                | Update::Terminal(_)) => panic!("{other:?}"),
            }
        };
        let told: HashSet<&String> = copies.iter().map(|copy| &copy.id).collect();
        assert_eq!(told, ids.iter().collect(), "{scope:?}");
        assert!(synced > 0);
        // Each event continues its snapshot, without gap or repeat.
        let id = ids[0].clone();
        let copy = copies.iter_mut().find(|copy| copy.id == id).unwrap();
        client
            .cancel(v1::CancelRequest {
                execution_id: id.clone(),
                reason: "a test".to_owned(),
                ..v1::CancelRequest::default()
            })
            .await
            .unwrap();
        while copy.state() != v1::State::Cancelled {
            let message = next(&mut stream).await.unwrap();
            if let Some(Update::Event(event)) = message.update
                && event.execution_id == id
            {
                assert!(wfe_proto::apply(copy, &event), "{event:?} after {}", copy.revision);
            }
        }
        assert_eq!(*copy, get(&mut client, &id).await);
        live.retain(|other| *other != id);
        if live.len() < 3 {
            break;
        }
    }
}

#[tokio::test]
async fn a_clearance_and_what_is_decided_are_told_to_those_who_watch_the_target() {
    let stack = stack().await;
    let mut client = stack.client().await;
    let target = "pay/deployment/api";
    let mut stream = open(&mut client, of_target(target), None).await;
    assert!(matches!(next(&mut stream).await.unwrap().update, Some(Update::Synced(_))));
    let failed = start(&mut client, mk_start_of("step-exits-1", "first", target)).await.id;
    until_terminal(&mut client, &failed).await;
    let status = client.start(mk_start("second", target)).await.unwrap_err();
    refused(&status, Code::FailedPrecondition, "PREVIOUS_EXECUTION_FAILED");
    let clearance = |reason: &str| v1::ClearBlockRequest {
        target: target.to_owned(),
        reason: reason.to_owned(),
        ticket: "INC-1".to_owned(),
        ..v1::ClearBlockRequest::default()
    };
    client.clear_block(clearance("looked at it, it is fine")).await.unwrap();
    client.clear_block(clearance("and once more, to be sure")).await.unwrap_err();

    let (mut decisions, mut cleared) = (Vec::new(), None);
    while decisions.len() < 2 {
        match next(&mut stream).await.unwrap().update.unwrap() {
            Update::Decision(decision) => decisions.push(decision),
            Update::Event(event) if event.r#type() == EventType::BlockCleared => {
                assert_eq!(decisions.len(), 1, "in the order in which it happened");
                cleared = Some(event);
            }
            Update::Snapshot(_)
            | Update::Synced(_)
            | Update::Event(_)
            | Update::Heartbeat(_)
            | Update::Terminal(_) => {}
        }
    }
    let cleared = cleared.unwrap();
    assert_eq!(cleared.execution_id, failed);
    assert_eq!((cleared.previous_state(), cleared.state()), (v1::State::Failed, v1::State::Failed));
    let told = cleared.clearance.unwrap();
    assert_eq!((told.reason.as_str(), told.ticket.as_str()), ("looked at it, it is fine", "INC-1"));
    assert_eq!(get(&mut client, &failed).await.clearance.unwrap(), told);

    let [refusal, attempt] = &decisions[..] else { panic!() };
    assert_eq!((refusal.r#type(), refusal.count), (DecisionType::Refused, 1));
    assert_eq!(refusal.code, "PREVIOUS_EXECUTION_FAILED");
    assert_eq!((refusal.execution_id.as_str(), refusal.request_id.as_str()), (&*failed, "second"));
    assert_eq!(refusal.waiting.as_ref().unwrap().gate(), v1::Gate::Block);
    assert_eq!((refusal.target.as_str(), refusal.time.is_some()), (target, true));
    assert_eq!(attempt.r#type(), DecisionType::ClearanceRefused);
    assert_eq!(attempt.clearance.as_ref().unwrap().reason, "and once more, to be sure");
}

#[tokio::test]
async fn a_slow_reader_misses_nothing() {
    let stack = stack().await;
    let mut client = stack.client().await;
    let mut stream = open(&mut client, everything(), Some(0)).await;
    for n in 0..60 {
        start(&mut client, mk_start(&format!("r-{n}"), &format!("pod/n{n}"))).await;
    }
    until_quiet(&stack).await;
    let end = head(&stack).await;
    assert!(end > 200, "{end}");
    let scope = everything();
    assert_eq!(read_to(&mut stream, end).await, expected(&stack, &scope).await);
}

#[tokio::test]
async fn what_another_process_wrote_is_told_at_the_next_heartbeat() {
    let stack = stack().await;
    let mut client = stack.client().await;
    let mut stream = open(&mut client, everything(), None).await;
    assert!(matches!(next(&mut stream).await.unwrap().update, Some(Update::Synced(_))));
    let before = head(&stack).await;
    stack.insert_entry(r#"{"type":"withdrawn","reason":"by another process"}"#).await;
    let seen = read_to(&mut stream, before + 1).await;
    assert_eq!(seen, [(before + 1, "decision Withdrawn ".to_owned())]);
}

#[tokio::test]
async fn an_entry_of_a_newer_version_ends_the_watch_and_is_not_passed_over() {
    let stack = stack().await;
    let mut client = stack.client().await;
    start(&mut client, mk_start_of("never-ends", "r", TARGETS[0])).await;
    until_quiet(&stack).await;
    stack.insert_entry(r#"{"type":"teleported","to":"mars"}"#).await;
    let mut stream = open(&mut client, everything(), Some(0)).await;
    let status = loop {
        if let Err(status) = next(&mut stream).await {
            break status;
        }
    };
    refused(&status, Code::Internal, "INTERNAL");
}

#[tokio::test]
async fn a_cursor_ahead_or_of_what_was_deleted_is_refused_with_the_way_out() {
    let stack = stack().await;
    let mut client = stack.client().await;
    start(&mut client, mk_start("r", TARGETS[0])).await;
    until_quiet(&stack).await;
    let end = head(&stack).await;
    for scope in [everything(), of_target(TARGETS[0]), of_incident()] {
        let ahead = client.watch(request(scope, Some(end + 1))).await.unwrap_err();
        refused(&ahead, Code::OutOfRange, "CURSOR_AHEAD");
        assert_eq!(metadata(&ahead, "newest"), end.to_string());
    }
    // A reader who is behind what is deleted meanwhile is told too.
    let mut behind = open(&mut client, of_incident(), Some(0)).await;
    stack.prune(3).await;
    let status = loop {
        match next(&mut behind).await {
            Ok(message) if message.cursor >= end => break None,
            Ok(_) => {}
            Err(status) => break Some(status),
        }
    };
    assert!(status.is_none_or(|status| metadata(&status, "oldest") == "3"));
    for scope in [everything(), of_target(TARGETS[0]), of_incident()] {
        let expired = client.watch(request(scope.clone(), Some(2))).await.unwrap_err();
        refused(&expired, Code::OutOfRange, "CURSOR_EXPIRED");
        assert_eq!(metadata(&expired, "oldest"), "3");
        let mut stream = open(&mut client, scope.clone(), Some(3)).await;
        assert_eq!(read_to(&mut stream, end).await, expected(&stack, &scope).await);
    }
}

fn metadata(status: &Status, key: &str) -> String {
    status.get_error_details().error_info().unwrap().metadata[key].clone()
}

#[tokio::test]
async fn a_server_that_shuts_down_tells_every_scope_where_to_resume() {
    let stack = stack().await;
    let mut client = stack.client().await;
    start(&mut client, mk_start_of("never-ends", "r", TARGETS[0])).await;
    until_quiet(&stack).await;
    let end = head(&stack).await;
    let mut streams = Vec::new();
    for scope in [everything(), of_target(TARGETS[0]), of_incident()] {
        let mut stream = open(&mut client, scope, Some(0)).await;
        read_to(&mut stream, end).await;
        streams.push(stream);
    }
    stack.drain();
    for mut stream in streams {
        let status = loop {
            if let Err(status) = next(&mut stream).await {
                break status;
            }
        };
        refused(&status, Code::Unavailable, "DRAINING");
        assert_eq!(metadata(&status, "cursor"), end.to_string());
    }
}

#[tokio::test]
async fn each_scope_is_checked_before_anything_is_told() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let wrong = async |client: &mut Client, scope: Option<Scope>, after| {
        let status = client.watch(v1::WatchRequest { scope, after }).await.unwrap_err();
        violated(&status)
    };
    let nothing = of_target("");
    assert_eq!(wrong(&mut client, Some(nothing), None).await, ["target"]);
    let long = Scope::CorrelationId("x".repeat(254));
    assert_eq!(wrong(&mut client, Some(long), None).await, ["correlation_id"]);
    let empty = Scope::CorrelationId(String::new());
    assert_eq!(wrong(&mut client, Some(empty), None).await, ["correlation_id"]);
    assert_eq!(wrong(&mut client, Some(everything()), Some(-1)).await, ["after"]);
    assert_eq!(wrong(&mut client, None, None).await, ["scope"]);
}

/// Everything that a caller is told up to a place, by ids of executions and types of decisions.
async fn told(caller: &mut Caller, scope: Scope, place: i64) -> Vec<String> {
    let mut stream = caller.watch(request(scope, Some(0))).await.unwrap().into_inner();
    let mut seen: Vec<String> =
        read_to(&mut stream, place).await.into_iter().map(|m| m.1).collect();
    for said in &mut seen {
        let mut words = said.split(' ');
        let (kind, what) = (words.next().unwrap(), words.next().unwrap());
        *said = format!("{kind} {what}");
    }
    seen.dedup();
    seen
}

#[tokio::test]
async fn each_reader_is_told_what_the_reader_may_see_and_no_more() {
    let guarded = Guarded::start(&[("alice", "watch", "pay"), ("bob", "watch", "team")]).await;
    let mine = guarded.begin("root", mk_endless("mine", "pay/deployment/api")).await.id;
    let hidden = guarded.begin("root", mk_endless("hidden", "shop/deployment/api")).await.id;
    let bridged = guarded.begin(BRIDGE, mk_from("team", "bridged", "node/one")).await.id;
    // Anybody may write where it comes from, and is not believed.
    guarded.begin("root", mk_from("team", "typed", "node/two")).await;
    let mut root = guarded.caller("root").await;
    root.start(mk_endless("refused", "pay/deployment/api")).await.unwrap_err();
    let mut bridge = guarded.caller(BRIDGE).await;
    bridge.start(mk_from("team", "refused-too", "shop/deployment/api")).await.unwrap_err();
    // Somebody else ends what the bridge began: it stays the bridge's.
    let cancel = v1::CancelRequest {
        execution_id: bridged.clone(),
        reason: "a test".to_owned(),
        ..v1::CancelRequest::default()
    };
    root.cancel(cancel).await.unwrap();
    until_quiet(&guarded.stack).await;
    let end = head(&guarded.stack).await;

    let (mut alice, mut bob) = (guarded.caller("alice").await, guarded.caller("bob").await);
    let seen = told(&mut alice, everything(), end).await;
    assert_eq!(seen, [format!("event {mine}"), "decision Refused".to_owned()]);
    let seen = told(&mut bob, everything(), end).await;
    let theirs = format!("event {bridged}");
    assert_eq!(seen, [theirs.clone(), "decision Refused".to_owned(), theirs]);
    assert!(told(&mut root, everything(), end).await.contains(&format!("event {hidden}")));

    // Snapshots likewise.
    let mut stream = alice.watch(request(everything(), None)).await.unwrap().into_inner();
    let first = next(&mut stream).await.unwrap();
    assert_eq!(said(&first).unwrap(), format!("snapshot {mine}"));
    assert_eq!(said(&next(&mut stream).await.unwrap()).unwrap(), "synced");

    // Who may see nothing of a target is told so; what an incident has to see is for each to see.
    let status = bob.watch(request(of_target("pay/deployment/api"), None)).await.unwrap_err();
    refused(&status, Code::PermissionDenied, "PERMISSION_DENIED");
    let status = alice.watch(request(of_target("node/one"), None)).await.unwrap_err();
    refused(&status, Code::PermissionDenied, "PERMISSION_DENIED");
    let nothing = told(&mut alice, of_incident(), end).await;
    assert_eq!(nothing, [""; 0]);
    let seen = told(&mut alice, of_target("pay/deployment/api"), end).await;
    assert_eq!(seen, [format!("event {mine}"), "decision Refused".to_owned()]);
}

#[tokio::test]
async fn a_right_that_is_taken_away_ends_what_it_allowed() {
    let guarded = Guarded::start(&[("alice", "watch", "pay")]).await;
    guarded.begin("root", mk_endless("first", "pay/deployment/api")).await;
    let mut alice = guarded.caller("alice").await;
    let mut all = alice.watch(request(everything(), None)).await.unwrap().into_inner();
    let scope = of_target("pay/deployment/api");
    let mut one = alice.watch(request(scope, None)).await.unwrap().into_inner();
    for stream in [&mut all, &mut one] {
        while said(&next(stream).await.unwrap()).as_deref() != Some("synced") {}
    }
    until_quiet(&guarded.stack).await;
    guarded.edit(|script| {
        script.grants.remove(&("alice", "watch", "pay"));
    });
    let status = loop {
        if let Err(status) = next(&mut one).await {
            break status;
        }
    };
    refused(&status, Code::PermissionDenied, "PERMISSION_DENIED");
    let before = head(&guarded.stack).await;
    guarded.begin("root", mk_endless("second", "pay/pod/other")).await;
    until_quiet(&guarded.stack).await;
    let end = head(&guarded.stack).await;
    assert!(end > before);
    // The cursor moves on past what is hidden.
    let after: Vec<_> = read_to(&mut all, end).await;
    assert!(after.iter().all(|(place, _)| *place <= before), "{after:?}");
    guarded.edit(|script| {
        script.tokens.remove("token-of-alice");
    });
    let status = loop {
        if let Err(status) = next(&mut all).await {
            break status;
        }
    };
    refused(&status, Code::Unauthenticated, "UNAUTHENTICATED");
}
