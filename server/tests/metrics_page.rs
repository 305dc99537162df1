//! The page of metrics says what a server exports: no metric is missing, and none is only on paper.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which may panic")]

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

use tokio::time::timeout;
use tonic::{Code, transport::Channel};
use wfe_proto::v1::{
    BundleWorkflow, ClearBlockRequest, StartRequest, WatchRequest,
    execution_service_client::ExecutionServiceClient, start_request, watch_request, watch_response,
};
use wfe_runtime::process::Serving as _;
use wfe_server::{
    Config, Server,
    config::{GateMode, Gates},
};

const PAGE: &str = include_str!("../../docs/metrics.md");

/// Longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(30);

/// A metric: its type and its labels.
type Families = BTreeMap<String, (String, BTreeSet<String>)>;

/// What the tables of the page say. Their rows begin with a name and a type.
fn documented() -> Families {
    let mut families = Families::new();
    for line in PAGE.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let ["", name, kind, labels, _, ""] = cells.as_slice() else { continue };
        let Some(name) = in_code(name).next().filter(|name| name.starts_with("wfe_")) else {
            continue;
        };
        let labels = in_code(labels).map(ToOwned::to_owned).collect();
        let before = families.insert(name.to_owned(), ((*kind).to_owned(), labels));
        assert_eq!(before, None, "{name} is there twice");
    }
    families
}

/// What is between backticks.
fn in_code(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// What an answer in the text format of Prometheus holds.
fn exported(text: &str) -> Families {
    let mut families = Families::new();
    for line in text.lines() {
        if let Some(family) = line.strip_prefix("# TYPE ") {
            let (name, kind) = family.split_once(' ').unwrap();
            families.insert(name.to_owned(), (kind.to_owned(), BTreeSet::new()));
        } else if let Some((sample, labels)) = line.split_once('{') {
            let suffixes = ["_bucket", "_sum", "_count"];
            let base = suffixes.iter().find_map(|suffix| sample.strip_suffix(suffix));
            let family = families.contains_key(sample).then_some(sample).or(base).unwrap();
            let (_, known) = families.get_mut(family).unwrap();
            let labels = labels.split_once('}').unwrap().0.split("\",");
            let names = labels.map(|label| label.split_once('=').unwrap().0.to_owned());
            known.extend(names.filter(|name| name != "le"));
        }
    }
    families
}

fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: wfe\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn start(request_id: &str, bundle: &str) -> StartRequest {
    StartRequest {
        request_id: request_id.to_owned(),
        workflow: Some(start_request::Workflow::Bundle(BundleWorkflow {
            reference: format!("registry.example/demo/{bundle}:v1"),
            ..BundleWorkflow::default()
        })),
        target: "default/deployment/api".to_owned(),
        ..StartRequest::default()
    }
}

/// Leaves a trace in every metric: an execution that fails, one that is refused, and a watch.
async fn use_everything(client: &mut ExecutionServiceClient<Channel>) {
    let accepted = client.start(start("first", "step-exits-1")).await.unwrap().into_inner();
    let refused = client.start(start("second", "succeeds")).await.unwrap_err();
    assert_eq!(refused.code(), Code::Aborted, "{refused}");
    let scope = Some(watch_request::Scope::ExecutionId(accepted.execution.unwrap().id));
    let request = WatchRequest { scope, after: None };
    let mut updates = client.watch(request).await.unwrap().into_inner();
    loop {
        let message = updates.message().await.unwrap().unwrap();
        if let Some(watch_response::Update::Terminal(_)) = message.update {
            break;
        }
    }
    // Its block is only observed, and lets the next one pass.
    client.start(start("third", "succeeds")).await.unwrap();
    let clearance = ClearBlockRequest {
        target: "default/deployment/api".to_owned(),
        reason: "the step was repaired".to_owned(),
        ..ClearBlockRequest::default()
    };
    client.clear_block(clearance).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_has_every_metric_that_a_server_exports_and_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let config = Config {
        grpc_address: free,
        health_address: free,
        metrics_address: free,
        simulated_task: Duration::from_millis(200),
        gates: Gates { block: GateMode::Observe, ..Gates::default() },
        ..Config::dev(directory.path())
    };
    let server = Server::start(config).await.unwrap();
    timeout(LIMIT, server.ready()).await.unwrap();
    let address = format!("http://{}", server.grpc_address());
    let channel = Channel::from_shared(address).unwrap().connect().await.unwrap();
    let mut client = ExecutionServiceClient::new(channel);
    timeout(LIMIT, use_everything(&mut client)).await.unwrap();

    let metrics = server.metrics_address();
    let answer = tokio::task::spawn_blocking(move || get(metrics, "/metrics")).await.unwrap();
    let (head, text) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert_eq!(documented(), exported(text));
    server.stop().await.unwrap();
}
