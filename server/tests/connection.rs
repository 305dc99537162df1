//! One connection of a server as it is run: a client may have 10,000 watches on it, and calls beside
//! them.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which may panic")]

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use futures::future::try_join_all;
use tokio::time::timeout;
use tonic::{Status, Streaming, transport::Channel};
use wfe_core::audit::{Position, What};
use wfe_proto::v1::{
    BundleWorkflow, CancelRequest, Execution, StartRequest, State, WatchRequest, WatchResponse,
    execution_service_client::ExecutionServiceClient, start_request, watch_request,
    watch_response::Update,
};
use wfe_runtime::process::Serving as _;
use wfe_server::{
    Config, Server,
    metrics::Metrics,
    store::{Journal as _, LogScope, Store as _, sqlite::SqliteStore},
};

type Client = ExecutionServiceClient<Channel>;

const WATCHES: usize = 10_000;

/// Longer than anything here takes.
const LIMIT: Duration = Duration::from_mins(2);

async fn start(client: &mut Client, request_id: &str, bundle: &str) -> Execution {
    let request = StartRequest {
        request_id: request_id.to_owned(),
        workflow: Some(start_request::Workflow::Bundle(BundleWorkflow {
            reference: format!("registry.example/demo/{bundle}:v1"),
            ..BundleWorkflow::default()
        })),
        target: format!("pod/{request_id}"),
        ..StartRequest::default()
    };
    client.start(request).await.unwrap().into_inner().execution.unwrap()
}

/// A watch that has told the execution as it is.
async fn watch(mut client: Client, id: String) -> Result<Streaming<WatchResponse>, Status> {
    let scope = Some(watch_request::Scope::ExecutionId(id));
    let mut stream = client.watch(WatchRequest { scope, after: None }).await?.into_inner();
    let first = stream.message().await?.unwrap().update;
    assert!(matches!(first, Some(Update::Snapshot(_))), "{first:?}");
    Ok(stream)
}

/// The last message of a watch.
async fn last(mut stream: Streaming<WatchResponse>) -> Result<Option<Update>, Status> {
    let mut last = None;
    while let Some(message) = stream.message().await? {
        last = message.update;
    }
    Ok(last)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_with_10000_watches_still_takes_calls() {
    let directory = tempfile::tempdir().unwrap();
    let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let config = Config {
        grpc_address: free,
        health_address: free,
        metrics_address: free,
        simulated_task: Duration::from_millis(50),
        ..Config::dev(directory.path())
    };
    let server = Server::start(config).await.unwrap();
    timeout(LIMIT, server.ready()).await.unwrap();
    let address = format!("http://{}", server.grpc_address());
    // A channel of tonic is one connection.
    let channel = Channel::from_shared(address).unwrap().connect().await.unwrap();
    let mut client = ExecutionServiceClient::new(channel);
    let id = start(&mut client, "watched", "never-ends").await.id;

    // All at once, as a client does that was started again.
    let opened = try_join_all((0..WATCHES).map(|_| watch(client.clone(), id.clone())));
    let watches = timeout(LIMIT, opened).await.unwrap().unwrap();

    timeout(LIMIT, start(&mut client, "other", "succeeds")).await.unwrap();

    // None was given up for it: each tells the end.
    let request =
        CancelRequest { execution_id: id, reason: "a test".to_owned(), ..CancelRequest::default() };
    timeout(LIMIT, client.cancel(request)).await.unwrap().unwrap();
    let ended = timeout(LIMIT, try_join_all(watches.into_iter().map(last))).await.unwrap().unwrap();
    assert_eq!(ended.len(), WATCHES);
    for last in ended {
        let Some(Update::Terminal(execution)) = last else { panic!("the last is {last:?}") };
        assert_eq!(execution.state(), State::Cancelled);
    }
    server.stop().await.unwrap();
}

/// A Start of something on a target that is taken.
async fn refused(client: &mut Client, n: u32) {
    let request = StartRequest {
        request_id: format!("again-{n}"),
        workflow: Some(start_request::Workflow::Bundle(BundleWorkflow {
            reference: "registry.example/demo/succeeds:v1".to_owned(),
            ..BundleWorkflow::default()
        })),
        target: "pod/taken".to_owned(),
        ..StartRequest::default()
    };
    client.start(request).await.unwrap_err();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_counted_is_on_record_when_the_server_has_stopped_with_where_it_came_from() {
    let directory = tempfile::tempdir().unwrap();
    let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let config = Config {
        grpc_address: free,
        health_address: free,
        metrics_address: free,
        ..Config::dev(directory.path())
    };
    let server = Server::start(config).await.unwrap();
    timeout(LIMIT, server.ready()).await.unwrap();
    let address = format!("http://{}", server.grpc_address());
    let channel = Channel::from_shared(address).unwrap().connect().await.unwrap();
    let mut client = ExecutionServiceClient::new(channel);
    start(&mut client, "taken", "never-ends").await;
    for n in 0..10 {
        refused(&mut client, n).await;
    }
    drop(client);
    server.stop().await.unwrap();

    let observer = Arc::new(Metrics::new().unwrap());
    let store = SqliteStore::open(&directory.path().join("wfe.db"), observer).await.unwrap();
    let entries = store.entries(&LogScope::Everything, Position(0), u32::MAX).await.unwrap();
    let entries = entries.iter().map(|entry| entry.read().unwrap());
    let told = entries.filter_map(|entry| match entry.what {
        What::Refused { times, .. } => Some((times.count, entry.actor.address)),
        What::Transition { .. }
        | What::Attached { .. }
        | What::Withdrawn { .. }
        | What::CancelIgnored { .. }
        | What::Denied { .. }
        | What::ClearBlock { .. }
        | What::KeyRotated { .. }
        | What::Pruned { .. } => None,
    });
    let from = Some("127.0.0.1".to_owned());
    assert_eq!(told.collect::<Vec<_>>(), [(1, from.clone()), (9, from)]);
    store.close().await;
}
