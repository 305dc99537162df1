use std::{
    pin::pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::StreamExt as _;
use tokio::time::timeout;
use tonic::{Code, Status};
use wfe_proto::v1::{
    Decision, DecisionType, EventType, GetResponse, Heartbeat, State, Synced, TargetRef,
    WatchRequest, WatchResponse, watch_request, watch_response,
};

use super::*;
use crate::{
    Exit,
    testing::{
        messages::{event, mk_event, mk_execution, mk_failure, refusal, snapshot, terminal},
        service::{Act, Running, Service, serve},
        shell::Shell,
    },
};

/// Revisions of the execution that is followed.
const LAST: i64 = 5;

/// The execution after a revision.
fn execution_at(revision: i64) -> wfe_proto::v1::Execution {
    let state = match revision {
        1 => State::Waiting,
        2 => State::Starting,
        LAST => State::Succeeded,
        _ => State::Running,
    };
    mk_execution("e-1", state, revision)
}

/// What a faithful service sends to a request: a snapshot when asked for one, the events, the end.
fn faithful(request: &WatchRequest, snapshot_at: i64) -> Vec<Act> {
    let mut acts = Vec::new();
    let first = if let Some(after) = request.after {
        after + 1
    } else {
        acts.push(Act::say(snapshot(execution_at(snapshot_at))));
        snapshot_at + 1
    };
    for revision in first..=LAST {
        let state = execution_at(revision).state();
        acts.push(Act::say(event(mk_event(revision, state, EventType::Progressed))));
    }
    acts.push(Act::say(terminal(execution_at(LAST))));
    acts
}

/// Serves these scripts one call after the other, then faithfully. Keeps the cursors asked for.
async fn serve_cut(
    breaks: Vec<(usize, Vec<Act>)>,
    snapshot_at: i64,
) -> (Running, Arc<Mutex<Vec<Option<i64>>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let kept = asked.clone();
    let mut breaks = breaks.into_iter();
    let service = Service::default().watch(move |request| {
        kept.lock().unwrap().push(request.after);
        let mut acts = faithful(&request, snapshot_at);
        if let Some((kept_messages, then)) = breaks.next() {
            acts.truncate(kept_messages);
            acts.extend(then);
        }
        Ok(acts)
    });
    (serve(service).await, asked)
}

fn impatient() -> Patience {
    Patience {
        retry_for: Duration::from_secs(20),
        first_pause: Duration::from_millis(1),
        longest_pause: Duration::from_millis(5),
        silence: Duration::from_secs(20),
        contact: Contact::Made,
    }
}

/// Follows to the end: what was seen, revision by revision, and how it ended.
async fn followed(
    server: &Running,
    after: Option<i64>,
    patience: Patience,
) -> (Vec<i64>, Result<State, crate::Error>) {
    let address = server.address().parse().unwrap();
    let client =
        crate::connect(&address, &crate::args::AccessArgs::default(), Duration::from_secs(5))
            .unwrap();
    let wish = Follow {
        subject: Subject::Execution("e-1".to_owned()),
        after,
        open_within: Duration::from_secs(5),
        patience,
    };
    let mut revisions = Vec::new();
    let mut end = Ok(State::Unspecified);
    let mut updates = pin!(follow(client, wish));
    let all = async {
        while let Some(update) = updates.next().await {
            match update {
                Ok(Update::Message(message)) => match message.update.unwrap() {
                    watch_response::Update::Snapshot(seen) => revisions.push(seen.revision),
                    watch_response::Update::Event(seen) => revisions.push(seen.revision),
                    watch_response::Update::Terminal(seen) => end = Ok(seen.state()),
                    watch_response::Update::Heartbeat(_)
                    | watch_response::Update::Synced(_)
                    | watch_response::Update::Decision(_) => panic!("this is no news"),
                },
                Ok(Update::Lost { .. }) => {}
                Err(error) => end = Err(error),
            }
        }
    };
    timeout(Duration::from_secs(20), all).await.expect("the watch does not end");
    (revisions, end)
}

/// Ways to break a stream before which revision `seen` was sent or known.
fn ways_to_break(seen: i64) -> Vec<(&'static str, Vec<Act>)> {
    let again = event(mk_event(seen, State::Waiting, EventType::Progressed));
    let going_away = refusal(Code::Unavailable, "STOPPING", "going away");
    vec![
        ("unavailable", vec![Act::Fail(going_away)]),
        ("the end of the stream", vec![]),
        ("a transport error", vec![Act::Fail(Status::unknown("h2 protocol error"))]),
        ("a repeated revision", vec![Act::say(again)]),
    ]
}

#[tokio::test]
async fn every_revision_is_seen_once_and_in_order_wherever_the_stream_is_cut() {
    let all: Vec<i64> = (1..=LAST).collect();
    let messages = all.len();
    for first in 0..=messages {
        for (name, how) in ways_to_break(i64::try_from(first).unwrap()) {
            for second in 0..=messages - first {
                let breaks = vec![(first, how.clone()), (second, how.clone())];
                let (server, asked) = serve_cut(breaks, 1).await;
                let (seen, end) = followed(&server, Some(0), impatient()).await;
                assert_eq!(seen, all, "{name} at {first} and {second}");
                assert_eq!(end.unwrap(), State::Succeeded, "{name} at {first} and {second}");
                assert_eq!(asked.lock().unwrap().len(), 3, "{name} at {first} and {second}");
            }
        }
    }
}

#[tokio::test]
async fn every_revision_is_seen_once_and_in_order_when_the_connection_breaks() {
    let all: Vec<i64> = (1..=LAST).collect();
    for at in 0..=all.len() {
        let cuts = vec![(at, vec![Act::Cut]), (0, vec![Act::Cut]), (1, vec![Act::Cut])];
        let (server, _) = serve_cut(cuts, 1).await;
        let (seen, end) = followed(&server, Some(0), impatient()).await;
        assert_eq!(seen, all, "cut at {at}");
        assert_eq!(end.unwrap(), State::Succeeded, "cut at {at}");
    }
}

#[tokio::test]
async fn a_snapshot_is_asked_for_until_one_was_seen() {
    let unavailable = Act::Fail(refusal(Code::Unavailable, "STOPPING", "going away"));
    let breaks = vec![
        (0, vec![unavailable.clone()]),
        (1, vec![unavailable.clone()]),
        (1, vec![unavailable]),
    ];
    let (server, asked) = serve_cut(breaks, 2).await;
    let (seen, end) = followed(&server, None, impatient()).await;
    assert_eq!(seen, [2, 3, 4, 5]);
    assert_eq!(end.unwrap(), State::Succeeded);
    assert_eq!(*asked.lock().unwrap(), [None, None, Some(2), Some(3)]);
}

#[tokio::test]
async fn a_stream_that_falls_silent_is_opened_again() {
    let (server, asked) = serve_cut(vec![(2, vec![Act::Hang])], 1).await;
    let patience = Patience { silence: Duration::from_millis(50), ..impatient() };
    let (seen, end) = followed(&server, Some(0), patience).await;
    assert_eq!(seen, [1, 2, 3, 4, 5]);
    assert_eq!(end.unwrap(), State::Succeeded);
    // On a slow machine the silence may begin before the second revision is through.
    assert!(asked.lock().unwrap().len() >= 2);
}

#[tokio::test]
async fn a_heartbeat_is_a_sign_of_life_and_no_news() {
    let beat = WatchResponse {
        update: Some(watch_response::Update::Heartbeat(Heartbeat::default())),
        cursor: 2,
    };
    let unavailable = Act::Fail(Status::unavailable("gone"));
    let breaks = vec![(2, vec![Act::say(beat), unavailable])];
    let (server, asked) = serve_cut(breaks, 1).await;
    let (seen, end) = followed(&server, Some(0), impatient()).await;
    assert_eq!(seen, [1, 2, 3, 4, 5]);
    assert_eq!(end.unwrap(), State::Succeeded);
    assert_eq!(*asked.lock().unwrap(), [Some(0), Some(2)]);
}

#[tokio::test]
async fn a_service_that_leaves_a_revision_out_is_asked_once_more_and_then_reported() {
    let calls = Arc::new(Mutex::new(0));
    let counted = calls.clone();
    let service = Service::default().watch(move |_| {
        *counted.lock().unwrap() += 1;
        Ok([1, 2, 4]
            .map(|revision| mk_event(revision, State::Running, EventType::Progressed))
            .map(|seen| Act::say(event(seen)))
            .to_vec())
    });
    let server = serve(service).await;
    let (seen, end) = followed(&server, Some(0), impatient()).await;
    assert_eq!(seen, [1, 2]);
    let error = end.unwrap_err();
    assert_eq!(error.status().unwrap().message(), "the server left out revision 3");
    assert_eq!(*calls.lock().unwrap(), 2);
}

#[tokio::test]
async fn a_server_that_stays_away_is_given_up_with_the_last_revision() {
    let calls = Arc::new(Mutex::new(0));
    let counted = calls.clone();
    let service = Service::default().watch(move |request| {
        let mut calls = counted.lock().unwrap();
        *calls += 1;
        if *calls > 1 {
            return Err(Status::unavailable("away"));
        }
        let mut acts = faithful(&request, 1);
        acts.truncate(3);
        Ok(acts)
    });
    let server = serve(service).await;
    let patience = Patience { retry_for: Duration::from_millis(50), ..impatient() };
    let (seen, end) = followed(&server, Some(0), patience).await;
    assert_eq!(seen, [1, 2, 3]);
    let error = end.unwrap_err();
    let crate::Error::WatchLost { subject, after, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!((subject.as_str(), after), ("e-1", Some(3)));
    assert!(*calls.lock().unwrap() >= 2);
}

#[tokio::test]
async fn what_no_repetition_can_change_ends_the_watch_at_once() {
    for (code, exit) in [
        (Code::NotFound, Exit::NotFound),
        (Code::OutOfRange, Exit::Usage),
        (Code::InvalidArgument, Exit::Usage),
        (Code::Internal, Exit::Unavailable),
        (Code::PermissionDenied, Exit::Unavailable),
    ] {
        let calls = Arc::new(Mutex::new(0));
        let counted = calls.clone();
        let service = Service::default().watch(move |_| {
            *counted.lock().unwrap() += 1;
            Err(refusal(code, "SOME_REASON", "no"))
        });
        let server = serve(service).await;
        let shell = Shell::at(&server.address());
        assert_eq!(shell.run("watch e-1").await, exit, "{code:?}");
        assert_eq!(*calls.lock().unwrap(), 1, "{code:?}");
        assert!(shell.err.text().contains("reason: SOME_REASON"), "{}", shell.err.text());
    }
}

#[tokio::test]
async fn a_watch_prints_a_line_per_event_and_ends_with_the_outcome() {
    let (server, _) = serve_cut(vec![(2, vec![Act::Fail(Status::unavailable("gone"))])], 1).await;
    let shell = Shell::at(&server.address());
    assert_eq!(shell.run("watch e-1").await, Exit::Ok);
    expect_test::expect![[r"
        2026-11-21T10:00:09.000Z     1  WAITING     a gate of its target is closed
        2026-11-21T10:00:02.000Z     2  STARTING    message 2
        2026-11-21T10:00:03.000Z     3  RUNNING     message 3
        2026-11-21T10:00:04.000Z     4  RUNNING     message 4
        2026-11-21T10:00:05.000Z     5  SUCCEEDED   message 5
        e-1  default/deployment/api  SUCCEEDED after 10m 0s
    "]]
    .assert_eq(&shell.stdout());
    expect_test::expect!["connection lost (gone); resuming after revision 2"].assert_eq(
        // The pause has jitter.
        shell.stderr().split(" in ").next().unwrap(),
    );
}

#[tokio::test]
async fn a_watch_in_json_prints_each_message_on_a_line() {
    let (server, _) = serve_cut(vec![(3, vec![])], 1).await;
    let shell = Shell::at(&server.address());
    assert_eq!(shell.run("watch e-1 --after 2 -o json").await, Exit::Ok);
    let lines: Vec<serde_json::Value> =
        shell.stdout().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let cursors: Vec<&str> = lines.iter().map(|line| line["cursor"].as_str().unwrap()).collect();
    assert_eq!(cursors, ["3", "4", "5", "5"]);
    assert_eq!(lines[0]["event"]["state"], "STATE_RUNNING");
    assert_eq!(lines[3]["terminal"]["state"], "STATE_SUCCEEDED");
}

#[tokio::test]
async fn the_exit_code_tells_how_the_execution_ended() {
    for (state, exit) in [
        (State::Succeeded, Exit::Ok),
        (State::Failed, Exit::Failed),
        (State::Cancelled, Exit::Cancelled),
    ] {
        let service = Service::default().watch(move |_| {
            let mut execution = mk_execution("e-1", state, 4);
            if state == State::Failed {
                execution.failure = Some(mk_failure());
            }
            Ok(vec![Act::say(terminal(execution))])
        });
        let server = serve(service).await;
        let shell = Shell::at(&server.address());
        assert_eq!(shell.run("watch e-1").await, exit, "{state:?}");
    }
}

#[tokio::test]
async fn an_interrupted_watch_says_how_to_resume() {
    let service = Service::default().watch(|request| {
        let mut acts = faithful(&request, 1);
        acts.truncate(2);
        acts.push(Act::Hang);
        Ok(acts)
    });
    let server = serve(service).await;
    let shell = Shell::at(&server.address());
    let (exit, ()) = tokio::join!(shell.run("watch e-1"), async {
        shell.out.until("message 2").await;
        shell.interrupt.cancel();
    });
    assert_eq!(exit, Exit::Interrupted);
    assert_eq!(
        shell.stderr(),
        "interrupted; the execution goes on. Resume: wfe watch e-1 --after 2 --server SERVER\n"
    );
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_at_once() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let shell = Shell::at(&address);
    assert_eq!(shell.run("watch e-1").await, Exit::Unavailable);
    assert!(shell.stderr().contains("`wfe dev` starts one"), "{}", shell.stderr());
    assert!(shell.stderr().contains("Connection refused"), "{}", shell.stderr());
}

/// A message of a watch of the log.
fn of_log(cursor: i64, update: watch_response::Update) -> Act {
    Act::say(WatchResponse { update: Some(update), cursor })
}

#[tokio::test]
async fn a_watch_of_the_log_prints_whose_line_it_is_and_goes_on_from_the_last_entry() {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let kept = asked.clone();
    let service = Service::default()
        .get(|_| {
            Ok(GetResponse { execution: Some(mk_execution("e-2-87654321", State::Running, 3)) })
        })
        .watch(move |request| {
            kept.lock().unwrap().push((request.scope, request.after));
            let mut event = mk_event(4, State::Running, EventType::Progressed);
            event.execution_id = "e-2-87654321".to_owned();
            let decision = Decision {
                target: "pod/x".to_owned(),
                message: "a Start was refused: it is held".to_owned(),
                count: 7,
                ..Decision::default()
            };
            let decision = Decision { r#type: DecisionType::Refused.into(), ..decision };
            let snapshot = mk_execution("e-1-12345678", State::Running, 3);
            Ok(match request.after {
                None => vec![
                    of_log(0, watch_response::Update::Snapshot(snapshot)),
                    of_log(41, watch_response::Update::Synced(Synced {})),
                    of_log(42, watch_response::Update::Event(event)),
                    Act::Fail(Status::unavailable("gone")),
                ],
                Some(_) => vec![
                    of_log(42, watch_response::Update::Event(event)),
                    of_log(44, watch_response::Update::Decision(decision)),
                    of_log(50, watch_response::Update::Heartbeat(Heartbeat::default())),
                    Act::Hang,
                ],
            })
        });
    let server = serve(service).await;
    let shell = Shell::at(&server.address());
    let (exit, ()) = tokio::join!(shell.run("watch --target pod/x"), async {
        shell.out.until("refused").await;
        shell.interrupt.cancel();
    });
    assert_eq!(exit, Exit::Interrupted);
    expect_test::expect![[r"
        12345678  default/deployment/api  2026-11-21T10:00:09.000Z     3  RUNNING     its run exists (e-1-12345678)
        87654321  default/deployment/api  2026-11-21T10:00:04.000Z     4  RUNNING     message 4
        -         pod/x  -                               REFUSED     a Start was refused: it is held (7 times since -)
    "]]
    .assert_eq(&shell.stdout());
    let told = shell.stderr();
    assert!(told.contains("resuming after entry 42"), "{told}");
    let resume = "Resume: wfe watch --target pod/x --after 44 --server SERVER";
    assert!(told.contains(resume), "{told}");
    let target = TargetRef { target: "pod/x".to_owned(), cluster_id: String::new() };
    let scope = Some(watch_request::Scope::Target(target));
    assert_eq!(*asked.lock().unwrap(), [(scope.clone(), None), (scope, Some(42))]);
}
