//! The server as a process: what it says when it cannot start, and how it stops.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tonic::{Code, transport::Endpoint};
use tonic_types::StatusExt as _;
use wfe_proto::v1::{
    self, execution_service_client::ExecutionServiceClient, start_request, watch_request,
};

/// How long a test waits for a process.
const PATIENCE: Duration = Duration::from_secs(20);

fn server(directory: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wfe-server"));
    let any = "127.0.0.1:0";
    command
        .current_dir(directory)
        .env_clear()
        .env("WFE_ENGINE", "simulator")
        .env("WFE_LOG_FORMAT", "json")
        .env("WFE_GRPC_ADDRESS", any)
        .env("WFE_HEALTH_ADDRESS", any)
        .env("WFE_METRICS_ADDRESS", any)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// Runs a server that must not start; answers its exit code and its one line on standard error.
fn refusal(command: &mut Command) -> (Option<i32>, String) {
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(text.lines().count(), 1, "one line: {text}");
    (output.status.code(), text)
}

#[test]
fn a_config_file_with_an_unknown_key_is_refused_in_one_line() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("wfe.yaml");
    fs::write(&file, "namespaces: x\n").unwrap();
    let (code, line) = refusal(server(directory.path()).arg("--config").arg(&file));
    assert_eq!(code, Some(2), "{line}");
    assert!(line.contains("namespaces"), "{line}");
    assert!(!directory.path().join("wfe.db").exists(), "nothing was opened");
}

#[test]
fn a_database_that_is_none_is_refused_in_one_line_before_any_port_is_bound() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(
        directory.path().join("wfe.db"),
        "this is not a database, and it is long enough".repeat(99),
    )
    .unwrap();
    // A port that is taken would be complained about if it were asked for first.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, line) = refusal(server(directory.path()).env("WFE_HEALTH_ADDRESS", address));
    assert_eq!(code, Some(2), "{line}");
    assert!(line.contains("wfe.db"), "{line}");
}

#[test]
fn a_directory_in_place_of_the_database_is_refused_in_one_line() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("wfe.db")).unwrap();
    let (code, line) = refusal(&mut server(directory.path()));
    assert_eq!(code, Some(2), "{line}");
    assert!(line.contains("wfe.db"), "{line}");
}

#[test]
fn a_port_that_is_taken_is_named_with_its_setting() {
    let directory = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, line) = refusal(server(directory.path()).env("WFE_METRICS_ADDRESS", &address));
    assert_eq!(code, Some(2), "{line}");
    assert!(line.contains("metrics_address") && line.contains(&address), "{line}");
}

#[test]
fn without_a_cluster_it_says_how_to_name_one() {
    let directory = tempfile::tempdir().unwrap();
    let mut command = server(directory.path());
    let (code, line) = refusal(command.env("WFE_ENGINE", "tekton"));
    assert_eq!(code, Some(2), "{line}");
    assert!(line.contains("KUBECONFIG"), "{line}");
}

#[test]
fn the_printed_settings_are_those_that_result() {
    let directory = tempfile::tempdir().unwrap();
    let output = server(directory.path())
        .env("WFE_NAMESPACE", "from-env")
        .arg("--print-config")
        .stdout(Stdio::piped())
        .output()
        .unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("namespace: from-env") && text.contains("engine: simulator"), "{text}");
}

/// A server that runs; killed when dropped.
struct Running {
    child: Child,
    addresses: serde_json::Value,
    log: BufReader<std::process::ChildStderr>,
}

impl Running {
    fn start(directory: &Path) -> Self {
        let mut child = server(directory).spawn().unwrap();
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
        Self { child, addresses, log }
    }

    fn url(&self, door: &str, path: &str) -> String {
        format!("http://{}{path}", self.addresses[door].as_str().unwrap())
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// Waits for the end; answers the exit code and the rest of the log.
    fn ended(mut self) -> (Option<i32>, String) {
        let begin = Instant::now();
        let mut rest = String::new();
        // Ends when the process closes its standard error.
        self.log.read_to_string(&mut rest).unwrap();
        let status = self.child.wait().unwrap();
        assert!(begin.elapsed() < PATIENCE, "{rest}");
        (status.code(), rest)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn health_readiness_and_metrics_answer() {
    let directory = tempfile::tempdir().unwrap();
    let running = Running::start(directory.path());
    let health = get(&running.url("health", "/health")).await;
    assert!(health.contains("ok"), "{health}");
    let begin = Instant::now();
    let ready = loop {
        let ready: serde_json::Value =
            serde_json::from_str(&get(&running.url("health", "/ready")).await).unwrap();
        if ready["ready"] == true || begin.elapsed() > PATIENCE {
            break ready;
        }
    };
    assert_eq!(ready["ready"], true, "{ready}");
    assert_eq!((&ready["store"], &ready["tekton"]), (&"ok".into(), &"ok".into()));
    let metrics = get(&running.url("metrics", "/metrics")).await;
    assert!(metrics.contains("wfe_tekton_watch_synced 1"), "{metrics}");
}

/// One GET over HTTP/1.1; the body.
async fn get(url: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let (address, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET /{path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_watches_with_a_cursor_and_the_process_with_0() {
    let directory = tempfile::tempdir().unwrap();
    let running = Running::start(directory.path());
    let mut client = ExecutionServiceClient::new(
        Endpoint::from_shared(running.url("grpc", "")).unwrap().connect().await.unwrap(),
    );
    let request = || v1::StartRequest {
        request_id: "r".to_owned(),
        target: "pod/x".to_owned(),
        workflow: Some(start_request::Workflow::Bundle(v1::BundleWorkflow {
            reference: "simulated.example/wfe/never-ends:v1".to_owned(),
            ..v1::BundleWorkflow::default()
        })),
        ..v1::StartRequest::default()
    };
    let begin = Instant::now();
    let id = loop {
        match client.start(request()).await {
            Ok(answer) => break answer.into_inner().execution.unwrap().id,
            Err(status) => assert!(begin.elapsed() < PATIENCE, "{status:?}"),
        }
    };
    let scope = Some(watch_request::Scope::ExecutionId(id));
    let mut stream =
        client.watch(v1::WatchRequest { scope, after: Some(0) }).await.unwrap().into_inner();
    let mut cursor = stream.message().await.unwrap().unwrap().cursor;
    running.signal(Signal::SIGTERM);
    let status = loop {
        match stream.message().await {
            Ok(Some(message)) => cursor = message.cursor,
            Ok(None) => panic!("ended as if all were well"),
            Err(status) => break status,
        }
    };
    assert_eq!(status.code(), Code::Unavailable);
    let details = status.get_error_details();
    assert_eq!(details.error_info().unwrap().metadata["cursor"], cursor.to_string());
    drop((stream, client));
    // The client's connection closes meanwhile, for which its runtime must not be blocked.
    let (code, log) = tokio::task::spawn_blocking(|| running.ended()).await.unwrap();
    assert_eq!(code, Some(0), "{log}");
}
