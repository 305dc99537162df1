//! The receiver behaves as the real one was seen to, line by line.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use reqwest::{Client, Method, StatusCode};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use serde_json::{Value, json};
use wfe_datastorage_receiver::{Account, Database, Fault, Queue, Receiver, Settings};
use wfe_runtime::clock::ManualClock;

const BATCH: &str = "/api/v1/audit/events/batch";
const EVENTS: &str = "/api/v1/audit/events";

/// What a request was answered with; `None` when the connection was closed.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: http::HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }

    fn detail(&self) -> String {
        self.json()["detail"].as_str().unwrap().to_owned()
    }

    fn kind(&self) -> String {
        self.json()["type"].as_str().unwrap().to_owned()
    }
}

struct Bench {
    receiver: Receiver,
    clock: ManualClock,
    http: Client,
}

impl Bench {
    async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    async fn with(settings: Settings) -> Self {
        let clock = ManualClock::new(now());
        let settings = Settings { freeze: Duration::from_millis(10), ..settings };
        let receiver = Receiver::start(Arc::new(clock.clone()), settings).await.unwrap();
        let tls = ClientConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let http = Client::builder().tls_backend_preconfigured(tls).build().unwrap();
        Self { receiver, clock, http }
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path}", self.receiver.url()))
    }

    async fn answer(request: reqwest::RequestBuilder) -> Option<Answer> {
        let answer = request.send().await.ok()?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        Some(Answer { status, headers, text: answer.text().await.unwrap() })
    }

    async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> Option<Answer> {
        let request = self.request(Method::POST, path).header("content-type", "application/json");
        Self::answer(request.body(body)).await
    }

    async fn send(&self, events: &[Value]) -> Answer {
        self.post(BATCH, Value::from(events).to_string()).await.unwrap()
    }

    async fn get(&self, path: &str) -> Answer {
        Self::answer(self.request(Method::GET, path)).await.unwrap()
    }

    async fn verify(&self, id: &str) -> Value {
        let body = json!({"correlation_id": id}).to_string();
        self.post("/api/v1/audit/verify-chain", body).await.unwrap().json()
    }

    fn correlation_ids(&self) -> Vec<String> {
        let stored = self.receiver.stored();
        stored.iter().map(|event| event["correlation_id"].as_str().unwrap().to_owned()).collect()
    }

    /// Time passes as it does, and the queue is looked at.
    fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
        self.receiver.queued();
    }
}

fn now() -> Timestamp {
    "2026-11-21T00:47:33Z".parse().unwrap()
}

fn mk_at(id: &str, time: &str) -> Value {
    json!({
        "version": "1.0", "event_type": "workflowexecution.execution.started",
        "event_timestamp": time, "event_category": "workflowexecution",
        "event_action": "execution.started", "event_outcome": "success", "correlation_id": id,
        "event_data": {
            "event_type": "workflowexecution.execution.started", "workflow_id": "wf-1",
            "workflow_version": "1.0.0", "target_resource": "shop/deployment/cart",
            "phase": "Running", "container_image": "reg/img:1", "execution_name": "wfe-7",
        },
    })
}

fn mk(id: &str) -> Value {
    mk_at(id, "2026-11-21T00:47:33.381810Z")
}

fn mk_cleared() -> Value {
    json!({
        "version": "1.0", "event_type": "workflowexecution.block.cleared",
        "event_timestamp": "2026-11-21T00:47:36.000001Z", "event_category": "workflowexecution",
        "event_action": "block_cleared", "event_outcome": "success", "correlation_id": "rr-8",
        "event_data": {
            "event_type": "workflowexecution.block.cleared", "workflow_name": "wfe-8",
            "clear_reason": "looked at by hand", "cleared_at": "2026-11-21T00:47:36Z",
            "previous_state": "Blocked", "new_state": "Running",
        },
    })
}

/// The sample with a member changed, at the top or in `event_data`.
fn mk_with(path: &str, value: Value) -> Value {
    let mut event = mk("rr-1");
    match path.strip_prefix("data.") {
        Some(name) => event["event_data"][name] = value,
        None => event[path] = value,
    }
    event
}

fn mk_without(path: &str) -> Value {
    let mut event = mk("rr-1");
    match path.strip_prefix("data.") {
        Some(name) => event["event_data"].as_object_mut().unwrap().remove(name),
        None => event.as_object_mut().unwrap().remove(path),
    };
    event
}

#[tokio::test]
async fn a_batch_is_stored_and_its_ids_come_in_order() {
    let bench = Bench::new().await;
    let answer = bench.send(&[mk("rr-7"), mk_cleared()]).await;
    assert_eq!(answer.status, 201);
    let body = answer.json();
    assert_eq!(body["message"], "2 audit events created successfully");
    let stored = bench.receiver.stored();
    let ids: Vec<&Value> = stored.iter().map(|event| &event["event_id"]).collect();
    assert_eq!(body["event_ids"].as_array().unwrap().iter().collect::<Vec<_>>(), ids);
    let single = bench.post(EVENTS, mk("rr-9").to_string()).await.unwrap();
    assert_eq!(single.status, 201);
    assert_eq!(single.json()["event_timestamp"], "2026-11-21T00:47:33Z");
    assert_eq!(bench.correlation_ids(), ["rr-7", "rr-8", "rr-9"]);
}

#[tokio::test]
async fn headers_methods_and_paths_are_looked_at() {
    let bench = Bench::new().await;
    let body = Value::from(vec![mk("rr-1")]).to_string();
    let plain = bench.request(Method::POST, BATCH).body(body.clone());
    assert_eq!(Bench::answer(plain).await.unwrap().status, 400);
    for (name, value, status) in [
        ("content-type", "text/plain", 400),
        ("content-type", "application/json; charset=utf-8", 201),
    ] {
        let request = bench.request(Method::POST, BATCH).header(name, value).body(body.clone());
        assert_eq!(Bench::answer(request).await.unwrap().status, status, "{value}");
    }
    let zipped = bench
        .request(Method::POST, BATCH)
        .header("content-type", "application/json")
        .header("content-encoding", "gzip")
        .body(body.clone());
    assert_eq!(Bench::answer(zipped).await.unwrap().status, 400);
    let slash = bench.post(&format!("{BATCH}/"), body).await.unwrap();
    assert_eq!(slash.status, 404);
    assert!(slash.headers["content-type"].to_str().unwrap().starts_with("text/plain"));
    let wrong = Bench::answer(bench.request(Method::PUT, BATCH)).await.unwrap();
    assert_eq!((wrong.status.as_u16(), wrong.text.as_str()), (405, ""));
    assert!(wrong.headers.contains_key("allow"));
}

#[tokio::test]
async fn every_member_of_the_samples_is_required() {
    let bench = Bench::new().await;
    let event = mk("rr-1");
    let top = event.as_object().unwrap().keys().cloned();
    let data = event["event_data"].as_object().unwrap().keys().map(|name| format!("data.{name}"));
    for path in top.chain(data) {
        let answer = bench.send(&[mk("rr-2"), mk_without(&path)]).await;
        assert_eq!(answer.status, 400, "{path}");
        let said = "The request did not pass OpenAPI schema validation";
        assert_eq!(answer.detail(), said, "it never says which one");
    }
    assert_eq!(bench.receiver.stored().len(), 0, "all or nothing");
}

#[tokio::test]
async fn values_are_taken_or_refused() {
    let long = |length: usize| json!("x".repeat(length));
    let cases = [
        ("version", json!(""), 400),
        ("event_type", json!(""), 400),
        ("event_category", json!(""), 400),
        ("event_action", json!(""), 400),
        ("correlation_id", json!(""), 400),
        ("correlation_id", json!(" "), 201),
        ("data.workflow_id", json!(""), 201),
        ("data.workflow_name", Value::Null, 400),
        ("event_type", long(100), 201),
        ("event_type", long(101), 400),
        ("event_action", long(50), 201),
        ("event_action", long(51), 400),
        ("correlation_id", long(255), 201),
        ("correlation_id", long(256), 400),
        ("event_category", json!("gateway"), 201),
        ("event_category", json!("unheard"), 400),
        ("event_outcome", json!("Success"), 400),
        ("event_outcome", json!("pending"), 201),
        ("event_type", json!("anything.else"), 201),
        ("data.event_type", json!("workflowexecution.workflow.skipped"), 400),
        ("data.event_type", json!("workflowexecution.workflow.started"), 201),
        ("data.phase", json!("Skipped"), 400),
        ("data.failure_reason", json!("TaskFailed"), 201),
        ("data.failure_reason", json!("Nothing"), 400),
        ("data.parameters", json!({"a": "b"}), 201),
        ("data.parameters", json!({"a": 1}), 400),
        ("data.parameters", json!({"a": {"b": "c"}}), 400),
        ("data.retry_count", json!(-1), 201),
        ("data.retry_count", json!("1"), 400),
        (
            "data.error_details",
            json!({"message": "m", "code": "c", "component": "workflowexecution",
                "retry_possible": true, "stack_trace": ["a"]}),
            201,
        ),
        (
            "data.error_details",
            json!({"message": "m", "code": "c", "component": "x", "retry_possible": true}),
            400,
        ),
        ("data.error_details", json!({"message": "m"}), 400),
        ("data.my_extra", json!("x"), 201),
        ("trace_id", json!("x"), 201),
        ("namespace", Value::Null, 201),
        ("duration_ms", Value::Null, 201),
        ("is_sensitive", Value::Null, 201),
        ("actor_type", Value::Null, 400),
        ("actor_id", Value::Null, 400),
        ("actor_ip", Value::Null, 400),
        ("resource_type", Value::Null, 400),
        ("parent_event_id", Value::Null, 400),
        ("parent_event_id", json!("no id"), 400),
        ("duration_ms", json!(1.5), 400),
        ("duration_ms", json!("1"), 400),
    ];
    let bench = Bench::new().await;
    for (path, value, status) in cases {
        let answer = bench.send(&[mk_with(path, value.clone())]).await;
        assert_eq!(answer.status, status, "{path}: {value}: {}", answer.text);
    }
}

#[tokio::test]
async fn times_have_one_spelling_and_a_window() {
    let bench = Bench::new().await;
    let cases = [
        ("2026-11-21T00:47:33Z", 201),
        ("2026-11-21T00:47:33.123456789Z", 201),
        ("2026-11-21T02:47:33+02:00", 201),
        ("2026-11-21T02:47:33+0200", 400),
        ("2026-11-21t00:47:33Z", 400),
        ("2026-11-21T00:47:33z", 400),
        ("2026-11-21 00:47:33Z", 400),
        ("2026-11-21T00:47:33", 400),
        ("2026-11-21", 400),
        ("2026-11-14T00:49:33Z", 201),
        ("2026-11-14T00:46:33Z", 400),
        ("2026-11-21T01:46:33Z", 201),
        ("2026-11-21T01:48:34Z", 400),
    ];
    for (time, status) in cases {
        let answer = bench.send(&[mk_at("rr-1", time)]).await;
        assert_eq!(answer.status, status, "{time}: {}", answer.text);
    }
    let number = bench.send(&[mk_with("event_timestamp", json!(1))]).await;
    assert_eq!(number.status, 400);
    let stored = bench.receiver.stored();
    assert_eq!(stored[1]["event_timestamp"], "2026-11-21T00:47:33.123456Z", "cut to microseconds");
    let late = bench.send(&[mk("a"), mk("b"), mk_at("c", "2026-11-01T00:00:00Z")]).await;
    assert!(late.detail().contains("event at index 2 failed validation"), "{}", late.text);
}

#[tokio::test]
async fn what_nobody_knows_vanishes_and_what_is_absent_has_a_default() {
    let bench = Bench::new().await;
    let mut event = mk_with("data.execution_engine", json!("tekton"));
    event["event_id"] = json!("mine");
    event["legal_hold"] = json!(true);
    event["duration_ms"] = json!(0);
    event["retention_days"] = json!(-5);
    event["event_data"]["started_at"] = json!("2026-11-21T00:47:36.999Z");
    assert_eq!(bench.send(&[event]).await.status, 201);
    let stored = bench.receiver.stored().remove(0);
    assert_eq!(stored["event_data"].get("execution_engine"), None);
    assert_eq!(stored["legal_hold"], false);
    assert_ne!(stored["event_id"], "mine");
    assert_eq!(stored.get("duration_ms"), None);
    assert_eq!(stored["event_data"]["started_at"], "2026-11-21T00:47:36Z", "in whole seconds");
    let defaults = [
        ("actor_type", json!("service")),
        ("actor_id", json!("workflowexecution-service")),
        ("resource_type", json!("workflowexecution")),
        ("resource_id", json!("rr-1")),
        ("severity", json!("info")),
        ("retention_days", json!(2555)),
        ("is_sensitive", json!(false)),
    ];
    for (name, value) in defaults {
        assert_eq!(stored[name], value, "{name}");
    }
}

#[tokio::test]
async fn the_actor_of_anybody_but_a_service_account_is_overwritten() {
    let bench = Bench::new().await;
    let alice = Account { user: "alice".to_owned(), ..Account::service("x") };
    bench.receiver.accounts([("service", Account::service("wfe")), ("alice", alice)]);
    for (token, actor) in [("service", "somebody"), ("alice", "alice")] {
        let body = Value::from(vec![mk_with("actor_id", json!("somebody"))]).to_string();
        let request = bench
            .request(Method::POST, BATCH)
            .header("content-type", "application/json")
            .bearer_auth(token)
            .body(body);
        assert_eq!(Bench::answer(request).await.unwrap().status, 201);
        assert_eq!(bench.receiver.stored().last().unwrap()["actor_id"], actor);
    }
}

#[tokio::test]
async fn a_parent_must_be_stored() {
    let bench = Bench::new().await;
    let missing = "00000000-0000-0000-0000-000000000001";
    let answer = bench.send(&[mk_with("parent_event_id", json!(missing))]).await;
    assert_eq!(answer.detail(), "event at index 0: parent event does not exist");
    let id = bench.send(&[mk("rr-1")]).await.json()["event_ids"][0].clone();
    assert_eq!(bench.send(&[mk_with("parent_event_id", id.clone())]).await.status, 201);
    bench.receiver.set_database(Database::Down);
    let answer = bench.send(&[mk_with("parent_event_id", id)]).await;
    assert_eq!(answer.status, 500);
    assert!(answer.kind().ends_with("/query-error"));
}

#[tokio::test]
async fn poison_is_accepted_and_never_stored_while_its_neighbour_is_rescued() {
    let long = |length: usize| json!("x".repeat(length));
    let poison = [
        ("version", long(11)),
        ("actor_type", long(51)),
        ("actor_id", long(256)),
        ("resource_type", long(101)),
        ("resource_id", long(256)),
        ("namespace", long(254)),
        ("cluster_id", long(256)),
        ("severity", long(21)),
        ("error_code", long(51)),
        ("actor_ip", json!("localhost")),
        ("retention_days", json!(2556)),
        ("event_action", json!("a\u{0}b")),
        ("correlation_id", json!("a\u{0}b")),
        ("data.workflow_id", json!("a\u{0}b")),
    ];
    for (path, value) in poison {
        let bench = Bench::new().await;
        let answer = bench.send(&[mk("good"), mk_with(path, value)]).await;
        assert_eq!(answer.status, 202, "{path}");
        let body = answer.json();
        assert_eq!((&body["status"], &body["count"]), (&json!("accepted"), &json!(2)));
        assert_eq!(body.get("event_ids"), None);
        bench.pass(59);
        assert_eq!(bench.correlation_ids(), Vec::<String>::new());
        bench.pass(90);
        assert_eq!(bench.correlation_ids(), ["good"], "{path}");
        bench.pass(40 * 3600);
        assert_eq!((bench.correlation_ids().len(), bench.receiver.dead()), (1, 1), "{path}");
    }
    let bench = Bench::new().await;
    let mut bytes = Value::from(vec![mk("rr-1")]).to_string().into_bytes();
    let at = bytes.windows(4).position(|part| part == b"wf-1").unwrap();
    bytes[at] = 0xff;
    assert_eq!(bench.post(BATCH, bytes).await.unwrap().status, 202, "not UTF-8");
    assert!(Bench::new().await.send(&[mk_with("version", long(10))]).await.status == 201);
}

#[tokio::test]
async fn what_the_queue_does_not_take_is_lost_in_an_outage() {
    let bench = Bench::new().await;
    let odd = [("actor_id", json!("")), ("resource_id", json!("")), ("retention_days", json!(0))];
    for (path, value) in odd {
        bench.receiver.set_database(Database::Up);
        assert_eq!(bench.send(&[mk_with(path, value.clone())]).await.status, 201, "{path}");
        bench.receiver.set_database(Database::Down);
        let answer = bench.send(&[mk("rr-1"), mk_with(path, value)]).await;
        assert_eq!(answer.status, 500, "{path}");
        let said = "Batch write failed; 1 of 2 events queued to DLQ, 1 lost";
        assert_eq!(answer.detail(), said);
    }
}

#[tokio::test]
async fn bodies_that_are_no_batch_are_refused() {
    let bench = Bench::new().await;
    let cases = [
        ("[]".to_owned(), "batch cannot be empty"),
        ("{}".to_owned(), "schema validation"),
        (mk("rr-1").to_string(), "schema validation"),
        ("null".to_owned(), "schema validation"),
        ("[1]".to_owned(), "schema validation"),
        ("[{".to_owned(), "schema validation"),
        (String::new(), "schema validation"),
        (
            Value::from(vec![mk("rr-1"); 501]).to_string(),
            "batch size 501 exceeds maximum allowed batch size of 500",
        ),
    ];
    for (body, said) in cases {
        let answer = bench.post(BATCH, body.clone()).await.unwrap();
        assert_eq!(answer.status, 400, "{body:.60}");
        assert!(answer.detail().contains(said), "{body:.60}: {}", answer.text);
    }
    assert_eq!(bench.send(&vec![mk("rr-1"); 500]).await.status, 201);
    let more = format!("{} and the rest", Value::from(vec![mk("rr-1")]));
    assert_eq!(bench.post(BATCH, more).await.unwrap().status, 201);
}

#[tokio::test]
async fn sizes_are_limited_and_some_characters_count_six() {
    let bench = Bench::with(Settings { max_body: 600_000, ..Settings::default() }).await;
    for (text, status) in [
        ("<".repeat(50_000), 400),
        ("<".repeat(43_000), 201),
        ("x".repeat(262_200), 400),
        ("x".repeat(261_000), 201),
    ] {
        let answer = bench.send(&[mk_with("data.workflow_id", json!(text))]).await;
        assert_eq!(answer.status, status, "{:.100}", answer.text);
        if status == 400 {
            assert!(answer.detail().starts_with("event at index 0: event_data exceeds size"));
        }
    }
    bench.receiver.accounts([]);
    let large = bench.post(BATCH, "x".repeat(600_001)).await.unwrap();
    assert_eq!(large.status, 413, "before anybody asks who sends");
    assert_eq!(large.headers["connection"], "close");
}

#[tokio::test]
async fn nothing_is_recognised_a_second_time() {
    let bench = Bench::new().await;
    bench.send(&[mk("rr-1"), mk("rr-1")]).await;
    bench.send(&[mk("rr-1")]).await;
    assert_eq!(bench.correlation_ids(), ["rr-1", "rr-1", "rr-1"]);
}

#[tokio::test]
async fn reading_back_is_newest_first_filtered_and_paged() {
    let bench = Bench::new().await;
    for second in 10..20 {
        bench.send(&[mk_at("rr-1", &format!("2026-11-21T00:47:{second}Z"))]).await;
    }
    bench.send(&[mk_cleared()]).await;
    let page = bench.get(&format!("{EVENTS}?correlation_id=rr-1&limit=4&offset=8")).await.json();
    assert_eq!(
        page["pagination"],
        json!({"limit": 4, "offset": 8, "total": 10, "has_more": false})
    );
    let times: Vec<&str> = page["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["event_timestamp"].as_str().unwrap())
        .collect();
    assert_eq!(times, ["2026-11-21T00:47:11Z", "2026-11-21T00:47:10Z"]);
    for (query, found) in [
        ("event_type=workflowexecution.block.cleared", 1),
        ("event_category=workflowexecution", 11),
        ("event_outcome=failure", 0),
        ("severity=info", 11),
        ("since=2026-11-21T00:47:18Z&correlation_id=rr-1", 2),
        ("until=2026-11-21T00:47:11Z", 2),
        ("since=20s", 8),
        ("detail_key=workflow_name&detail_value=wfe-8", 1),
        ("unheard=of", 11),
    ] {
        let page = bench.get(&format!("{EVENTS}?{query}")).await.json();
        assert_eq!(page["pagination"]["total"], found, "{query}");
    }
    for query in ["limit=0", "limit=1001", "offset=-1", "since=today", "detail_key=x"] {
        assert_eq!(bench.get(&format!("{EVENTS}?{query}")).await.status, 400, "{query}");
    }
    assert_eq!(
        bench.get(&format!("{EVENTS}?correlation_id=nobody")).await.json()["data"],
        json!([])
    );
}

#[tokio::test]
async fn the_check_of_a_chain_walks_by_time_and_so_complains_about_what_is_only_late() {
    let bench = Bench::new().await;
    let at = |n: u32| format!("2026-11-21T00:47:33.{n:06}Z");
    for n in 1..=5 {
        bench.send(&[mk_at("rising", &at(n)), mk_at("rising", &at(n + 100))]).await;
    }
    bench.send(&[mk_at("late", &at(2))]).await;
    bench.send(&[mk_at("late", &at(1))]).await;
    bench.send(&[mk_at("same", &at(1)), mk_at("same", &at(1))]).await;
    let serial: Vec<Value> = (1..=500).map(|n| mk_at("serial", &at(n))).collect();
    bench.send(&serial).await;
    assert_eq!(bench.verify("serial").await["is_valid"], true);
    assert_eq!(bench.verify("late").await["is_valid"], false);
    assert_eq!(bench.verify("same").await["is_valid"], false);
    assert_eq!(bench.verify("rising").await["is_valid"], false, "101 came before 2");
    let nobody = bench.verify("nobody").await;
    assert_eq!((&nobody["is_valid"], &nobody["total_events"]), (&json!(true), &json!(0)));
    let missing = bench.post("/api/v1/audit/verify-chain", "{}").await.unwrap();
    assert_eq!(missing.status, 400);
}

#[tokio::test]
async fn a_duration_that_wraps_looks_like_tampering() {
    let bench = Bench::new().await;
    let mut event = mk("rr-1");
    event["duration_ms"] = json!(2_147_483_648_u64);
    assert_eq!(bench.send(&[event]).await.status, 201);
    assert_eq!(bench.receiver.stored()[0]["duration_ms"], json!(-2_147_483_648_i64));
    assert_eq!(bench.verify("rr-1").await["is_valid"], false);
}

#[tokio::test]
async fn who_calls_is_asked_before_anything_else_under_the_api() {
    let bench = Bench::new().await;
    let reader = Account { writes: false, ..Account::service("reader") };
    let writer = Account { reads: false, ..Account::service("writer") };
    bench.receiver.accounts([("reader", reader), ("writer", writer)]);
    let cases = [
        (None, 401, "Missing Authorization header"),
        (Some("Basic x"), 401, "Invalid Authorization header format"),
        (Some("bearer reader"), 401, "Invalid Authorization header format"),
        (Some("Bearer garbage"), 401, "Invalid or expired token"),
        (Some("Bearer reader"), 403, "Insufficient permissions"),
        (Some("Bearer writer"), 403, "Insufficient permissions"),
    ];
    for (header, status, detail) in cases {
        for path in [BATCH, "/api/v1/unheard"] {
            let mut request = bench.request(Method::POST, path);
            if let Some(header) = header {
                request = request.header("authorization", header);
            }
            let answer = Bench::answer(request).await.unwrap();
            assert_eq!((answer.status.as_u16(), answer.detail().as_str()), (status, detail));
            assert_eq!(answer.kind(), "about:blank");
        }
    }
    let read = bench.request(Method::GET, EVENTS).bearer_auth("reader");
    assert_eq!(Bench::answer(read).await.unwrap().status, 200);
    assert_eq!(bench.get("/readyz").await.status, 200, "nobody is asked there");
}

#[tokio::test]
async fn an_outage_queues_and_the_queue_is_worked_off_slowly_and_out_of_order() {
    let bench = Bench::new().await;
    bench.receiver.set_database(Database::Down);
    assert_eq!(bench.get("/readyz").await.status, 503);
    assert_eq!(bench.get(EVENTS).await.status, 500);
    assert_eq!(bench.send(&[mk_without("version")]).await.status, 400);
    for n in 0..29 {
        assert_eq!(bench.send(&[mk(&format!("rr-{n:02}"))]).await.status, 202);
    }
    bench.pass(15);
    bench.receiver.set_database(Database::Up);
    assert_eq!(bench.send(&[mk("at-once")]).await.status, 201);
    bench.pass(45);
    assert!(bench.correlation_ids().len() > 1, "after a minute");
    bench.pass(60);
    let ids = bench.correlation_ids();
    assert_eq!(ids.len(), 30, "all after two minutes");
    assert!(!ids[1..].is_sorted(), "in no order: {ids:?}");
}

#[tokio::test]
async fn two_hundred_take_about_ten_minutes_and_a_longer_outage_waits_for_the_next_try() {
    let bench = Bench::new().await;
    bench.receiver.set_database(Database::Down);
    for n in 0..200 {
        bench.send(&[mk(&format!("rr-{n}"))]).await;
    }
    bench.receiver.set_database(Database::Up);
    bench.pass(65);
    assert_eq!(bench.correlation_ids().len(), 20);
    bench.pass(30);
    assert_eq!(bench.correlation_ids().len(), 30);
    bench.pass(600);
    assert_eq!(bench.correlation_ids().len(), 200);

    let bench = Bench::new().await;
    bench.receiver.set_database(Database::Down);
    bench.send(&[mk("rr-1")]).await;
    bench.pass(150);
    bench.receiver.set_database(Database::Up);
    bench.pass(180);
    assert_eq!(
        bench.correlation_ids().len(),
        0,
        "the first try failed, the next comes after 5 minutes"
    );
    bench.pass(60);
    assert_eq!(bench.correlation_ids().len(), 1);
}

#[tokio::test]
async fn a_restart_drains_the_queue_and_stores_nothing_twice() {
    let bench = Bench::new().await;
    bench.receiver.set_database(Database::Down);
    bench.send(&[mk("rr-1"), mk("rr-2")]).await;
    bench.receiver.set_database(Database::Up);
    bench.receiver.restart();
    assert_eq!(bench.correlation_ids().len(), 2);
    bench.pass(3600);
    assert_eq!((bench.correlation_ids().len(), bench.receiver.queued()), (2, 0));
}

#[tokio::test]
async fn without_the_queue_a_write_is_stored_and_without_both_it_is_lost() {
    let bench = Bench::new().await;
    bench.receiver.set_queue(Queue::Down);
    assert_eq!(bench.send(&[mk("rr-1")]).await.status, 201);
    let ready = bench.get("/readyz").await;
    assert!(ready.status == 503 && ready.text.contains("redis_unreachable"));
    bench.receiver.set_database(Database::Down);
    let lost = bench.send(&[mk("rr-2")]).await;
    assert_eq!(lost.status, 500);
    assert!(lost.kind().ends_with("/database-error"));
    assert_eq!(lost.detail(), "Batch write failed; 0 of 1 events queued to DLQ, 1 lost");
}

#[tokio::test]
async fn a_frozen_database_closes_the_connection_and_keeps_the_event() {
    let bench = Bench::new().await;
    bench.receiver.set_database(Database::Frozen);
    let body = Value::from(vec![mk("rr-1")]).to_string();
    assert!(bench.post(BATCH, body).await.is_none());
    assert_eq!(bench.post(EVENTS, mk("rr-2").to_string()).await.unwrap().status, 202);
    assert_eq!(bench.get(EVENTS).await.status, 500);
    bench.receiver.set_database(Database::Up);
    bench.pass(120);
    let mut ids = bench.correlation_ids();
    ids.sort();
    assert_eq!(ids, ["rr-1", "rr-2"]);
}

#[tokio::test]
async fn more_than_fifty_requests_a_second_are_refused_for_one_address() {
    let bench = Bench::with(Settings { rate_limit: true, ..Settings::default() }).await;
    let mut passed = 0;
    for _ in 0..150 {
        let answer = bench.get("/readyz").await;
        if answer.status == 200 {
            passed += 1;
        } else {
            assert_eq!(answer.status, 429);
            assert_eq!(answer.headers["retry-after"], "1");
            assert!(answer.kind().ends_with("/rate-limit-exceeded"));
        }
    }
    assert_eq!(passed, 100);
    let other = bench.request(Method::GET, "/readyz").header("x-forwarded-for", "192.0.2.1");
    assert_eq!(Bench::answer(other).await.unwrap().status, 200);
    bench.pass(1);
    assert_eq!(bench.get("/readyz").await.status, 200);
}

#[tokio::test]
async fn faults_happen_once_each_and_in_order() {
    let bench = Bench::new().await;
    let faults = [
        (Fault::RateLimited(7), Some(429), 0, 0),
        (Fault::LostCount(1), Some(500), 0, 1),
        (Fault::CloseAfterStoring, None, 2, 1),
        (Fault::CloseBeforeStoring, None, 2, 1),
        (Fault::ServiceUnavailable, Some(503), 2, 1),
        (Fault::AuthenticationUnavailable, Some(500), 2, 1),
        (Fault::UnreadableAfterStoring, Some(201), 4, 1),
    ];
    bench.receiver.script(faults.map(|(fault, ..)| fault));
    for (fault, status, stored, queued) in faults {
        let body = Value::from(vec![mk("rr-1"), mk("rr-2")]).to_string();
        let answer = bench.post(BATCH, body).await;
        assert_eq!(answer.map(|answer| answer.status.as_u16()), status, "{fault:?}");
        assert_eq!(
            (bench.receiver.stored().len(), bench.receiver.queued()),
            (stored, queued),
            "{fault:?}"
        );
    }
    assert_eq!(bench.receiver.scripted(), 0);
    assert_eq!(bench.send(&[mk("rr-1")]).await.status, 201);
}

#[tokio::test]
async fn who_goes_down_refuses_connections_until_it_is_up() {
    let bench = Bench::new().await;
    bench.receiver.go_down();
    let gone = async {
        while bench.post(BATCH, "[]").await.is_some() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.unwrap();
    bench.receiver.come_up().await.unwrap();
    assert_eq!(bench.send(&[mk("rr-1")]).await.status, 201);
}
