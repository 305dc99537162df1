//! Watch: every revision exactly once, in order, to the end.

use std::time::Duration;

use rand::RngExt as _;
use tonic::Code;
use tonic_types::StatusExt as _;
use wfe_proto::{
    apply,
    v1::{self, State, watch_response::Update},
};

use crate::support::*;

#[tokio::test]
async fn a_snapshot_then_every_event_then_the_end_and_nothing_after_it() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let id = start(&mut client, mk_start_of("three-tasks-in-order", "r", "pod/x")).await.id;
    let mut stream = watch(&mut client, &id, None).await.unwrap();
    let first = stream.message().await.unwrap().unwrap();
    let Some(Update::Snapshot(mut copy)) = first.update else { panic!("{first:?}") };
    assert_eq!(first.cursor, copy.revision);
    loop {
        let message = stream.message().await.unwrap().expect("a terminal message first");
        match message.update.unwrap() {
            Update::Event(event) => {
                assert_eq!(
                    (message.cursor, event.revision),
                    (copy.revision + 1, copy.revision + 1)
                );
                assert!(apply(&mut copy, &event));
                assert!(!apply(&mut copy, &event), "once");
            }
            Update::Heartbeat(_) => assert_eq!(message.cursor, copy.revision),
            Update::Terminal(execution) => {
                assert_eq!(message.cursor, execution.revision);
                assert_eq!(copy, execution, "the events add up to what is stored");
                break;
            }
            Update::Snapshot(_) | Update::Synced(_) | Update::Decision(_) => {
                panic!("not in the watch of one execution")
            }
        }
    }
    assert!(stream.message().await.unwrap().is_none());
}

/// Follows from `after`, drops the stream after `take` events, and answers the revisions seen and
/// whether the end was.
async fn follow(client: &mut Client, id: &str, after: i64, take: usize) -> (Vec<i64>, bool) {
    let mut stream = watch(client, id, Some(after)).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < take {
        match stream.message().await.unwrap().expect("a terminal message first").update.unwrap() {
            Update::Event(event) => seen.push(event.revision),
            Update::Heartbeat(_) => {}
            Update::Terminal(_) => return (seen, true),
            Update::Snapshot(_) | Update::Synced(_) | Update::Decision(_) => {
                panic!("not after a cursor of one execution")
            }
        }
    }
    (seen, false)
}

#[tokio::test]
async fn a_watcher_that_is_cut_at_random_points_sees_each_revision_once_and_in_order() {
    let stack = Stack::start().await;
    for round in 0..10 {
        let mut client = stack.client().await;
        let target = format!("default/pod/p-{round}");
        let request = mk_start_of("three-tasks-in-order", &format!("r-{round}"), &target);
        let id = start(&mut client, request).await.id;
        let mut seen: Vec<i64> = Vec::new();
        loop {
            let take = rand::rng().random_range(0..4);
            // A connection of its own each time, cut without a word.
            let mut client = stack.client().await;
            let after = seen.last().copied().unwrap_or(0);
            let (more, ended) = follow(&mut client, &id, after, take).await;
            seen.extend(more);
            if ended {
                break;
            }
        }
        let stored: Vec<i64> = events(&mut client, &id).await.iter().map(|e| e.revision).collect();
        assert_eq!(seen, stored);
        assert_eq!(seen, (1..=i64::try_from(seen.len()).unwrap()).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_finished_execution_is_told_from_any_cursor() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let id = start(&mut client, mk_start("r", "pod/x")).await.id;
    let done = until_terminal(&mut client, &id).await;
    for after in [0, 1, done.revision] {
        let (seen, ended) = follow(&mut client, &id, after, usize::MAX).await;
        assert!(ended);
        assert_eq!(seen, (after + 1..=done.revision).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn silence_is_filled_with_heartbeats() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let id = start(&mut client, mk_start_of("never-ends", "r", "pod/x")).await.id;
    until_state(&mut client, &id, State::Running).await;
    let mut stream = watch(&mut client, &id, None).await.unwrap();
    let mut heartbeats = 0;
    while heartbeats < 3 {
        let message = tokio::time::timeout(PATIENCE, stream.message()).await.unwrap();
        if let Some(Update::Heartbeat(v1::Heartbeat { time })) = message.unwrap().unwrap().update {
            assert!(time.is_some());
            heartbeats += 1;
        }
    }
}

#[tokio::test]
async fn a_server_that_shuts_down_tells_where_to_resume() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let id = start(&mut client, mk_start_of("never-ends", "r", "pod/x")).await.id;
    until_state(&mut client, &id, State::Running).await;
    let mut stream = watch(&mut client, &id, Some(0)).await.unwrap();
    let mut cursor = 0;
    let status = loop {
        if cursor >= 3 {
            stack.drain();
        }
        match tokio::time::timeout(Duration::from_secs(5), stream.message()).await.unwrap() {
            Ok(Some(message)) => cursor = message.cursor,
            Ok(None) => panic!("ended as if all were well"),
            Err(status) => break status,
        }
    };
    refused(&status, Code::Unavailable, "DRAINING");
    let details = status.get_error_details();
    assert_eq!(details.error_info().unwrap().metadata["cursor"], cursor.to_string());
    assert!(details.retry_info().unwrap().retry_delay.is_some());
}

#[tokio::test]
async fn a_cursor_from_the_future_is_out_of_range_and_says_how_far_it_is() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let id = start(&mut client, mk_start("r", "pod/x")).await.id;
    let done = until_terminal(&mut client, &id).await;
    let status = watch(&mut client, &id, Some(done.revision + 1)).await.unwrap_err();
    refused(&status, Code::OutOfRange, "CURSOR_AHEAD");
    let newest = status.get_error_details().error_info().unwrap().metadata["newest"].clone();
    assert_eq!(newest, done.revision.to_string());
}

#[tokio::test]
async fn open_watches_are_counted_and_forgotten() {
    let stack = Stack::start().await;
    let mut client = stack.client().await;
    let id = start(&mut client, mk_start_of("never-ends", "r", "pod/x")).await.id;
    let open = || {
        let text = String::from_utf8(stack.metrics.render().unwrap()).unwrap();
        let line = text.lines().find(|line| line.starts_with("wfe_watch_streams ")).unwrap();
        line.rsplit(' ').next().unwrap().to_owned()
    };
    let mut stream = watch(&mut client, &id, None).await.unwrap();
    stream.message().await.unwrap();
    assert_eq!(open(), "1");
    drop(stream);
    eventually("the watch is forgotten", async || (open() == "0").then_some(())).await;
}
