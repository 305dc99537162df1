//! Sensitive values are nowhere: in no file, line or answer of a server that writes as much as it can.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    fmt::Write as _,
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};
use wfe_proto::v1::{
    self, State, execution_service_client::ExecutionServiceClient, get_request, start_request,
    watch_request,
};

/// How long a test waits for a process.
const PATIENCE: Duration = Duration::from_mins(1);

/// Found by the pattern of its name. Looks otherwise in JSON, in Go and in base64.
const BY_PATTERN: &str = "corr\"ect<horse>\\battery\nstaple-6b1f";
/// Marked by the caller.
const MARKED: &str = "swordfish-and-more-77aa";
/// Sent under an id that was used with another value.
const OTHER: &str = "another-value-of-it-90cd";
/// In a request that is refused.
const REFUSED: &str = "never-accepted-value-12ef";

const SECRETS: [&str; 4] = [BY_PATTERN, MARKED, OTHER, REFUSED];

type Client = ExecutionServiceClient<Channel>;

/// A server whose output goes into files; killed when dropped.
struct Running {
    child: Child,
    grpc: String,
    metrics: String,
}

impl Running {
    /// The log of an earlier one stays.
    fn start(directory: &Path, log: &str) -> Self {
        let any = "127.0.0.1:0";
        let log = directory.join(log);
        let mut child = Command::new(env!("CARGO_BIN_EXE_wfe-server"))
            .current_dir(directory)
            .env_clear()
            .args(["--engine", "simulator", "--simulated-task", "40ms"])
            .args(["--grpc-address", any, "--health-address", any, "--metrics-address", any])
            .args(["--log", "trace", "--log-format", "json", "--backoff-base", "1s"])
            .stdin(Stdio::null())
            .stdout(fs::File::create(directory.join("stdout.log")).unwrap())
            .stderr(fs::File::create_new(&log).unwrap())
            .spawn()
            .unwrap();
        let begin = Instant::now();
        loop {
            let text = fs::read_to_string(&log).unwrap();
            let mut lines = text.lines().filter_map(|l| serde_json::from_str(l).ok());
            let serving = lines.rfind(|line: &serde_json::Value| line["message"] == "serving");
            if let Some(serving) = serving {
                let url = |door: &str| serving[door].as_str().unwrap().to_owned();
                return Self { child, grpc: url("grpc"), metrics: url("metrics") };
            }
            assert!(child.try_wait().unwrap().is_none(), "it ended: {text}");
            assert!(begin.elapsed() < PATIENCE, "{text}");
            std::thread::yield_now();
        }
    }

    async fn client(&self) -> Client {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.grpc)).unwrap();
        ExecutionServiceClient::new(endpoint.connect().await.unwrap())
    }

    fn stop(mut self) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn mk_start(bundle: &str, id: &str) -> v1::StartRequest {
    let mut parameters = vec![("DB_PASSWORD", BY_PATTERN), ("CODE", MARKED), ("REPLICAS", "3")];
    if bundle == "denied" {
        parameters.push(("SHORT_TOKEN", "q7"));
    }
    let parameters = parameters.into_iter().map(|(n, v)| (n.to_owned(), v.to_owned()));
    v1::StartRequest {
        request_id: id.to_owned(),
        target: format!("pod/{id}"),
        workflow: Some(start_request::Workflow::Bundle(v1::BundleWorkflow {
            reference: format!("simulated.example/wfe/{bundle}:v1"),
            ..v1::BundleWorkflow::default()
        })),
        parameters: parameters.collect(),
        sensitive_parameters: vec!["CODE".to_owned()],
        ..v1::StartRequest::default()
    }
}

/// Starts, while the server may not know the cluster yet.
async fn start(client: &mut Client, request: v1::StartRequest) -> Result<v1::Execution, Status> {
    let begin = Instant::now();
    loop {
        match client.start(request.clone()).await {
            Ok(answer) => return Ok(answer.into_inner().execution.unwrap()),
            Err(status) if status.code() == Code::Unavailable && begin.elapsed() < PATIENCE => {}
            Err(status) => return Err(status),
        }
    }
}

/// Follows an execution to its end; answers it with all that was told on the way.
async fn follow(client: &mut Client, id: &str) -> (v1::Execution, String) {
    let scope = Some(watch_request::Scope::ExecutionId(id.to_owned()));
    let request = v1::WatchRequest { scope, after: None };
    let mut stream = client.watch(request).await.unwrap().into_inner();
    let mut told = String::new();
    while let Some(message) = stream.message().await.unwrap() {
        writeln!(told, "{message:?}").unwrap();
    }
    let key = Some(get_request::Key::ExecutionId(id.to_owned()));
    let got = client.get(v1::GetRequest { key }).await.unwrap().into_inner();
    let events = v1::ListEventsRequest { execution_id: id.to_owned(), ..Default::default() };
    let events = client.list_events(events).await.unwrap().into_inner();
    let listed = client.list(v1::ListRequest::default()).await.unwrap().into_inner();
    let target = v1::GetTargetRequest {
        target: got.execution.clone().unwrap().target,
        ..v1::GetTargetRequest::default()
    };
    let target = client.get_target(target).await.unwrap().into_inner();
    writeln!(told, "{got:?}\n{events:?}\n{listed:?}\n{target:?}").unwrap();
    (got.execution.unwrap(), told)
}

/// How a value may be written.
fn forms(secret: &str) -> Vec<Vec<u8>> {
    let json = serde_json::to_string(secret).unwrap();
    let twice = serde_json::to_string(&json).unwrap();
    let hex = |upper: bool| {
        let digits = |byte: u8| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") };
        secret.bytes().map(digits).collect::<String>()
    };
    let mut forms = vec![
        secret.to_owned(),
        json.trim_matches('"').to_owned(),
        twice.trim_matches(['"', '\\']).to_owned(),
        format!("{secret:?}").trim_matches('"').to_owned(),
        STANDARD.encode(secret).trim_end_matches('=').to_owned(),
        hex(false),
        hex(true),
        // A line of it, a piece of it.
        secret.lines().next_back().unwrap().to_owned(),
        secret.chars().take(10).collect(),
    ];
    forms.dedup();
    forms.into_iter().map(String::into_bytes).collect()
}

fn assert_nowhere(place: &str, bytes: &[u8]) {
    for secret in SECRETS {
        for form in forms(secret) {
            let found = bytes.windows(form.len()).position(|window| window == form);
            if let Some(at) = found {
                let around = &bytes[at.saturating_sub(300)..(at + 100).min(bytes.len())];
                panic!("{secret:?} is in {place}: {}", String::from_utf8_lossy(around));
            }
        }
    }
}

/// Every file that was written, whatever it is.
fn assert_no_file_holds_one(directory: &Path) -> usize {
    let mut files = 0;
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files += assert_no_file_holds_one(&path);
        } else {
            assert_nowhere(&path.display().to_string(), &fs::read(&path).unwrap());
            files += 1;
        }
    }
    files
}

#[test]
fn the_search_finds_what_it_looks_for() {
    for secret in SECRETS {
        for text in [
            format!("x{secret}y"),
            serde_json::json!({ "a": secret }).to_string(),
            format!("{:?}", Some(secret)),
            STANDARD.encode(secret),
        ] {
            let search = || assert_nowhere("a text", text.as_bytes());
            assert!(std::panic::catch_unwind(search).is_err(), "{text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sensitive_values_are_in_no_file_no_line_and_no_answer() {
    let directory = tempfile::tempdir().unwrap();
    let running = Running::start(directory.path(), "first.log");
    let mut client = running.client().await;
    let mut told = String::new();

    for (bundle, end) in [
        ("succeeds", State::Succeeded),
        ("step-exits-1", State::Failed),
        ("denied", State::Failed),
        ("wrong-parameters", State::Failed),
    ] {
        let accepted = start(&mut client, mk_start(bundle, bundle)).await.unwrap();
        for (name, shown) in &accepted.parameters {
            if name == "REPLICAS" {
                assert_eq!(shown, "3");
                continue;
            }
            let digits = shown.strip_prefix("sensitive:hmac-sha256:").unwrap();
            assert!(digits.len() == 16 && digits.bytes().all(|b| b.is_ascii_hexdigit()), "{shown}");
        }
        let (ended, seen) = follow(&mut client, &accepted.id).await;
        assert_eq!(ended.state(), end, "{bundle}");
        write!(told, "{accepted:?}\n{seen}").unwrap();
        if let Some(failure) = ended.failure {
            let repeats = ["denied", "wrong-parameters"].contains(&bundle);
            assert_eq!(failure.message.contains("sensitive"), repeats, "{failure:?}");
            assert_eq!(failure.summary.contains("sensitive"), repeats, "{failure:?}");
        }
        // The same again, and with another value of a sensitive parameter.
        let again = start(&mut client, mk_start(bundle, bundle)).await.unwrap();
        assert_eq!(again.id, ended.id);
        let mut other = mk_start(bundle, bundle);
        other.parameters.insert("DB_PASSWORD".to_owned(), OTHER.to_owned());
        let status = start(&mut client, other).await.unwrap_err();
        assert_eq!(status.code(), Code::AlreadyExists);
        write!(told, "{status:?} {}", String::from_utf8_lossy(status.details())).unwrap();
    }

    // Refused: for its fields, and for the gate that the failure closed.
    let mut wrong = mk_start("succeeds", "wrong");
    wrong.parameters.insert("DB_PASSWORD".to_owned(), REFUSED.repeat(2000));
    wrong.parameters.insert("TARGET_RESOURCE".to_owned(), REFUSED.to_owned());
    wrong.parameters.insert("API_KEY".to_owned(), format!("{REFUSED}\0"));
    wrong.sensitive_parameters.push("NOT_THERE".to_owned());
    let status = start(&mut client, wrong).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("sensitive_parameters[1]"), "{status:?}");
    write!(told, "{status:?} {}", String::from_utf8_lossy(status.details())).unwrap();
    let mut blocked = mk_start("succeeds", "blocked");
    blocked.target = "pod/step-exits-1".to_owned();
    blocked.parameters.insert("DB_PASSWORD".to_owned(), REFUSED.to_owned());
    let status = start(&mut client, blocked).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    write!(told, "{status:?} {}", String::from_utf8_lossy(status.details())).unwrap();

    // Cancelled, and killed while it runs.
    let endless = start(&mut client, mk_start("never-ends", "endless")).await.unwrap();
    let cancel = v1::CancelRequest {
        execution_id: endless.id.clone(),
        reason: "a test".to_owned(),
        ..v1::CancelRequest::default()
    };
    client.cancel(cancel).await.unwrap();
    let (ended, seen) = follow(&mut client, &endless.id).await;
    assert_eq!(ended.state(), State::Cancelled);
    told += &seen;
    start(&mut client, mk_start("never-ends", "killed")).await.unwrap();
    let metrics = http_get(&running.metrics).await;
    assert!(metrics.contains("wfe_"), "{metrics}");
    assert_nowhere("the metrics", metrics.as_bytes());
    assert_nowhere("an answer", told.as_bytes());
    // With the log of the database beside it, as a kill leaves it.
    drop(running);
    assert!(directory.path().join("wfe.db-wal").exists());
    assert!(assert_no_file_holds_one(directory.path()) >= 5);

    // What is kept is enough to go on with, and an end in order writes nothing else.
    let running = Running::start(directory.path(), "second.log");
    let mut client = running.client().await;
    let again = start(&mut client, mk_start("succeeds", "succeeds")).await.unwrap();
    assert_eq!(again.state(), State::Succeeded);
    let key = Some(get_request::Key::RequestId("killed".to_owned()));
    let killed = client.get(v1::GetRequest { key }).await.unwrap().into_inner().execution.unwrap();
    let (_, seen) = follow(&mut client, &killed.id).await;
    assert_nowhere("an answer", seen.as_bytes());
    drop(client);
    tokio::task::spawn_blocking(|| running.stop()).await.unwrap();
    assert!(assert_no_file_holds_one(directory.path()) >= 4);
}

/// The body of `/metrics`.
async fn http_get(address: &str) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!("GET /metrics HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

/// Runs a server that must not start; answers its exit code and its one line on standard error.
fn refusal(directory: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let any = "127.0.0.1:0";
    let output = Command::new(env!("CARGO_BIN_EXE_wfe-server"))
        .current_dir(directory)
        .env_clear()
        .args(["--engine", "simulator", "--log", "error"])
        .args(["--grpc-address", any, "--health-address", any, "--metrics-address", any])
        .args(arguments)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(text.lines().count(), 1, "one line: {text}");
    (output.status.code(), text)
}

#[test]
fn a_missing_or_wrong_key_is_refused_in_one_line_that_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    drop(Running::start(directory.path(), "first.log"));
    let key = directory.path().join("wfe.parameter-key");
    let right = fs::read_to_string(&key).unwrap();

    fs::remove_file(&key).unwrap();
    let (code, line) = refusal(directory.path(), &[]);
    assert_eq!(code, Some(2), "{line}");
    assert!(line.contains("wfe.parameter-key") && line.contains("put the key file back"), "{line}");
    assert!(!key.exists(), "no other key is made");

    fs::write(&key, STANDARD.encode([1; 32])).unwrap();
    let (code, line) = refusal(directory.path(), &[]);
    assert_eq!(code, Some(2), "{line}");
    assert!(line.contains("is not the key"), "{line}");

    fs::write(&key, "nonsense").unwrap();
    let (code, line) = refusal(directory.path(), &[]);
    assert_eq!(code, Some(2), "{line}");
    assert!(line.contains("32 bytes in base64") && !line.contains("nonsense"), "{line}");

    let elsewhere = directory.path().join("elsewhere");
    fs::write(&elsewhere, &right).unwrap();
    fs::rename(&elsewhere, &key).unwrap();
    drop(Running::start(directory.path(), "second.log"));
}
