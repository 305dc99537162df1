//! The server as a process that delivers: it is killed at any moment, and is started while nobody takes
//! what it has.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{BufRead as _, BufReader},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tonic::transport::{Channel, Endpoint};
use wfe_datastorage_receiver::{Database, Fault, Receiver, Settings, Timing};
use wfe_proto::v1::{self, execution_service_client::ExecutionServiceClient, start_request};
use wfe_runtime::clock::SystemClock;

/// Who waits looks this often.
const INTERVAL: Duration = Duration::from_millis(5);

/// How long a test waits for what has to happen.
const PATIENCE: Duration = Duration::from_mins(2);

type Client = ExecutionServiceClient<Channel>;

/// A server that runs; killed when dropped, as a crash does.
struct Running {
    child: Child,
    addresses: serde_json::Value,
}

impl Running {
    fn start(directory: &Path, url: &str, more: &[(&str, &str)]) -> Self {
        let any = "127.0.0.1:0";
        let mut child = Command::new(env!("CARGO_BIN_EXE_wfe-server"))
            .current_dir(directory)
            .env_clear()
            .env("WFE_ENGINE", "simulator")
            .env("WFE_SIMULATED_TASK", "1ms")
            .env("WFE_GATE_COOLDOWN", "off")
            .env("WFE_LOG_FORMAT", "json")
            .env("WFE_GRPC_ADDRESS", any)
            .env("WFE_HEALTH_ADDRESS", any)
            .env("WFE_METRICS_ADDRESS", any)
            .env("WFE_DATA_STORAGE_URL", url)
            .env("WFE_DATA_STORAGE_PATIENCE", "2s")
            .envs(more.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let mut line = String::new();
        let addresses = loop {
            line.clear();
            assert_ne!(log.read_line(&mut line).unwrap(), 0, "it ended");
            let entry: serde_json::Value = serde_json::from_str(&line).unwrap();
            if entry["message"] == "serving" {
                break entry;
            }
        };
        // Nobody reads the rest, and nobody is held up by that.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self { child, addresses }
    }

    fn address(&self, door: &str) -> &str {
        self.addresses[door].as_str().unwrap()
    }

    async fn client(&self) -> Client {
        let url = format!("http://{}", self.address("grpc"));
        ExecutionServiceClient::new(Endpoint::from_shared(url).unwrap().connect().await.unwrap())
    }

    async fn ready(&self) -> serde_json::Value {
        serde_json::from_str(&get(self.address("health"), "/ready").await).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One GET over HTTP/1.1; the body.
async fn get(address: &str, path: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

async fn eventually<T>(what: &str, mut so: impl AsyncFnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(value) = so().await {
            return value;
        }
        assert!(begin.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(INTERVAL).await;
    }
}

fn mk_start(n: usize) -> v1::StartRequest {
    let outcome = if n.is_multiple_of(3) { "step-exits-1" } else { "three-tasks-in-order" };
    v1::StartRequest {
        request_id: format!("r-{n}"),
        target: format!("default/pod/p-{n}"),
        correlation_id: format!("rr-{}", n % 7),
        workflow: Some(start_request::Workflow::Bundle(v1::BundleWorkflow {
            reference: format!("simulated.example/wfe/{outcome}:v1"),
            ..v1::BundleWorkflow::default()
        })),
        ..v1::StartRequest::default()
    }
}

/// Starts an execution, as a caller does who repeats the request until it is answered.
async fn start(running: &Running, n: usize) -> String {
    let mut client = running.client().await;
    let execution = eventually("the start is accepted", async || {
        client.start(mk_start(n)).await.ok()?.into_inner().execution
    });
    execution.await.id
}

/// The time of the lease passes in which a killed server cannot be told from a slow one.
async fn expire_lease(directory: &Path) {
    use sqlx::Connection as _;

    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(directory.join("wfe.db"));
    let mut database = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    sqlx::query("UPDATE leases SET until = 0").execute(&mut database).await.unwrap();
    database.close().await.unwrap();
}

/// A receiver that works its queue off within a second.
async fn mk_receiver() -> Receiver {
    let timing =
        Timing { poll: Duration::from_millis(100), waits: vec![Duration::from_millis(200); 100] };
    let settings = Settings { timing, freeze: Duration::from_millis(100), ..Settings::default() };
    Receiver::start(Arc::new(SystemClock), settings).await.unwrap()
}

/// Types of what arrived, for each correlation id, in order. None is there twice.
fn arrived(receiver: &Receiver) -> BTreeMap<String, Vec<String>> {
    let mut arrived: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut keys = BTreeSet::new();
    for event in receiver.stored() {
        let text = |name: &str| event[name].as_str().unwrap().to_owned();
        let key = (text("correlation_id"), text("event_timestamp"));
        assert!(keys.insert(key), "twice: {event}");
        arrived.entry(text("correlation_id")).or_default().push(text("event_type"));
    }
    arrived
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_at_any_moment_delivers_everything_once_and_in_order() {
    const EXECUTIONS: usize = 30;
    let receiver = mk_receiver().await;
    let directory = tempfile::tempdir().unwrap();
    let mut dice = StdRng::seed_from_u64(7);
    for round in 0..10 {
        let running = Running::start(directory.path(), &receiver.url(), &[]);
        for n in 0..EXECUTIONS / 10 {
            start(&running, round * EXECUTIONS / 10 + n).await;
        }
        match round {
            2 => receiver.set_database(Database::Down),
            3 => receiver.set_database(Database::Frozen),
            5 => receiver.script([Fault::CloseAfterStoring, Fault::LostCount(1)]),
            6 => receiver.script([Fault::ServiceUnavailable, Fault::CloseBeforeStoring]),
            _ => receiver.set_database(Database::Up),
        }
        // It is killed when the receiver has seen so many requests more, or a while later.
        let until = receiver.seen().len() + dice.random_range(0..6);
        let deadline = Instant::now() + Duration::from_millis(dice.random_range(0..1500));
        eventually("it is time", async || {
            (receiver.seen().len() >= until || Instant::now() > deadline).then_some(())
        })
        .await;
        drop(running);
        expire_lease(directory.path()).await;
    }
    receiver.set_database(Database::Up);
    let running = Running::start(directory.path(), &receiver.url(), &[]);
    let mut client = running.client().await;
    for n in 0..EXECUTIONS {
        let id = start(&running, n).await;
        eventually("it ends", async || {
            let key = Some(v1::get_request::Key::ExecutionId(id.clone()));
            let answer = client.get(v1::GetRequest { key }).await.ok()?.into_inner();
            let state = answer.execution?.state();
            matches!(state, v1::State::Succeeded | v1::State::Failed).then_some(())
        })
        .await;
    }
    eventually("everything has arrived", async || {
        (arrived(&receiver).values().map(Vec::len).sum::<usize>() >= EXECUTIONS * 3).then_some(())
    })
    .await;
    let arrived = arrived(&receiver);
    let of = |kind: &str| {
        let kinds = arrived.values().flatten();
        kinds.filter(|found| found.strip_prefix("workflowexecution.") == Some(kind)).count()
    };
    assert_eq!(of("selection.completed"), EXECUTIONS);
    assert_eq!(of("execution.started"), EXECUTIONS);
    assert_eq!(of("workflow.completed") + of("workflow.failed"), EXECUTIONS);
    for id in arrived.keys() {
        let verdict = receiver.verify(id);
        assert!(verdict.valid, "{id}: {verdict:?}");
    }
    eventually("readiness says that all is well", async || {
        (running.ready().await["data_storage"] == "ok").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_does_not_answer_at_the_start_holds_nobody_up() {
    // Somebody listens there and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = nobody.local_addr().unwrap();
    drop(nobody);
    for (url, said) in [
        (format!("http://{gone}"), Some("unavailable since")),
        (format!("http://{}", silent.local_addr().unwrap()), None),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let running = Running::start(directory.path(), &url, &[]);
        start(&running, 1).await;
        let ready = eventually("readiness tells of it", async || {
            let ready = running.ready().await;
            let told = ready["data_storage"].as_str().unwrap().to_owned();
            let fits = said.is_none_or(|said| told.contains(said));
            (fits && ready["ready"] == true).then_some(ready)
        })
        .await;
        assert_eq!(ready["ready"], true, "{ready}");
        eventually("events wait", async || {
            let metrics = get(running.address("metrics"), "/metrics").await;
            let lag = metrics.lines().find_map(|l| l.strip_prefix("wfe_delivery_lag_seconds "))?;
            (lag.parse::<f64>().unwrap() > 0.0).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_is_refused_while_delivery_is_too_far_behind_and_what_was_accepted_is_not() {
    use tonic_types::StatusExt as _;

    let receiver = mk_receiver().await;
    receiver.go_down();
    let directory = tempfile::tempdir().unwrap();
    let settings = [("WFE_AUDIT_BACKPRESSURE", "refuse"), ("WFE_AUDIT_MAX_LAG", "2500ms")];
    let running = Running::start(directory.path(), &receiver.url(), &settings);
    let first = start(&running, 1).await;
    let mut client = running.client().await;
    let mut n = 2;
    let refused = eventually("a start is refused", async || {
        n += 1;
        client.start(mk_start(n)).await.err()
    })
    .await;
    assert_eq!(refused.code(), tonic::Code::Unavailable, "{refused:?}");
    let details = refused.get_error_details();
    assert_eq!(details.error_info().unwrap().reason, "AUDIT_LAGGING");
    assert!(details.retry_info().unwrap().retry_delay.is_some());
    // The same request is answered as it was.
    assert_eq!(start(&running, 1).await, first);
    receiver.come_up().await.unwrap();
    start(&running, n).await;
}
