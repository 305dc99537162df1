use std::sync::Arc;

use serde_json::{Value, json};
use tokio::task::JoinHandle;
use wfe_core::{failure::FailureReason, ids::Epoch, lock::ForeignRuns};

use wfe_runtime::cluster::testing::{ApiServer, Asked};

use super::*;
use crate::{reconcile::foreign_runs, testing::mk_run_request};

/// A PipelineRun as the API server shows it.
fn mk_object(name: &str, version: u64, reason: &str) -> Value {
    let status = if matches!(reason, "Succeeded") { "True" } else { "Unknown" };
    json!({
        "apiVersion": "tekton.dev/v1",
        "kind": "PipelineRun",
        "metadata": {
            "name": name, "uid": format!("uid of {name}"), "resourceVersion": version.to_string(),
            "creationTimestamp": "2026-01-02T03:04:05Z",
            "labels": {"kubernaut.ai/target-hash": format!("hash of {name}")},
        },
        "spec": {},
        "status": {"conditions": [{"type": "Succeeded", "status": status, "reason": reason}]},
    })
}

fn mk_request() -> RunRequest {
    mk_run_request("pod/x", "registry.example/wfe/restart:v1")
}

const RUNS: &str = "/apis/tekton.dev/v1/namespaces/n/pipelineruns";
const PODS: &str = "/api/v1/namespaces/n/pods";
const TASK_RUNS: &str = "/apis/tekton.dev/v1/namespaces/n/taskruns";

async fn start() -> (ApiServer, Arc<KubeTekton>) {
    let server = ApiServer::start().await;
    let tekton = Arc::new(KubeTekton::new(server.client.clone(), "n"));
    (server, tekton)
}

fn create(tekton: &Arc<KubeTekton>) -> JoinHandle<Result<RunFacts, CreateError>> {
    let tekton = Arc::clone(tekton);
    tokio::spawn(async move { tekton.create(&mk_request()).await })
}

fn cancel(tekton: &Arc<KubeTekton>) -> JoinHandle<Result<(), TektonError>> {
    let tekton = Arc::clone(tekton);
    tokio::spawn(async move { tekton.cancel("a", "uid of a", CancelMode::Immediate).await })
}

fn is(asked: &Asked, method: &str, path: &str) {
    assert_eq!((asked.method.as_str(), asked.path.as_str()), (method, path));
}

fn mk_list(items: &[Value], token: &str) -> Value {
    let metadata = json!({"resourceVersion": "50", "continue": token});
    json!({"apiVersion": "tekton.dev/v1", "kind": "List", "metadata": metadata, "items": items})
}

#[tokio::test]
async fn a_create_is_strict_and_its_answer_is_known_at_once() {
    let (mut server, tekton) = start().await;
    tekton.cache().replace_runs(Vec::new(), 10);
    tekton.cache().replace_task_runs(Vec::new(), 10);
    let creating = create(&tekton);
    let asked = server.next().await;
    is(&asked, "POST", RUNS);
    assert_eq!(asked.param("fieldValidation"), Some("Strict"));
    assert_eq!(asked.param("fieldManager"), Some("wfe-server"));
    let name = mk_request().run.name;
    assert_eq!(asked.body["metadata"]["name"], name.as_str());
    let mut created = asked.body.clone();
    created["metadata"]["uid"] = json!("u1");
    created["metadata"]["resourceVersion"] = json!("12");
    created["metadata"]["creationTimestamp"] = json!("2026-01-02T03:04:05Z");
    asked.answer(201, &created);
    let facts = creating.await.unwrap().unwrap();
    assert_eq!(facts.uid, "u1");
    assert_eq!(facts.target_hash, Some(mk_request().request.target.hash()));
    let Seen::Present(seen) = tekton.seen(name.as_str()) else { panic!() };
    assert_eq!(seen.run, facts);
}

#[tokio::test]
async fn a_create_of_a_name_that_exists_shows_who_has_it() {
    let (mut server, tekton) = start().await;
    let creating = create(&tekton);
    server.next().await.refuse(409, "AlreadyExists", "pipelineruns \"x\" already exists");
    let asked = server.next().await;
    is(&asked, "GET", &format!("{RUNS}/{}", mk_request().run.name));
    asked.answer(200, &mk_object("a", 7, "Running"));
    match creating.await.unwrap() {
        Err(CreateError::Exists(facts)) => assert_eq!(facts.uid, "uid of a"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_create_that_meets_a_name_given_free_meanwhile_is_for_later() {
    let (mut server, tekton) = start().await;
    let creating = create(&tekton);
    server.next().await.refuse(409, "AlreadyExists", "");
    server.next().await.refuse(404, "NotFound", "");
    let answer = creating.await.unwrap();
    assert!(matches!(answer, Err(CreateError::Later { .. })), "{answer:?}");
}

#[tokio::test]
async fn an_overloaded_api_server_is_left_alone_for_as_long_as_it_asks() {
    let (mut server, tekton) = start().await;
    let creating = create(&tekton);
    let text = "Too many requests, please try again later.\n".to_owned();
    server.next().await.reply(429, &[("retry-after", "3")], text);
    let answer = creating.await.unwrap();
    let Err(CreateError::Later { retry_after, .. }) = answer else { panic!("{answer:?}") };
    assert_eq!(retry_after, Some(Duration::from_secs(3)));
}

#[tokio::test]
async fn a_create_that_is_refused_is_not_made_again() {
    let (mut server, tekton) = start().await;
    let creating = create(&tekton);
    server.next().await.refuse(403, "Forbidden", "User \"alice\" cannot create");
    match creating.await.unwrap() {
        Err(CreateError::Refused { reason, raw_reason, message }) => {
            assert_eq!((reason, raw_reason.as_str()), (FailureReason::Forbidden, "Forbidden"));
            assert!(message.contains("alice"), "{message}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn an_api_server_that_is_not_there_is_for_later() {
    let (server, tekton) = start().await;
    drop(server);
    let answer = create(&tekton).await.unwrap();
    let Err(CreateError::Later { message, .. }) = answer else { panic!("{answer:?}") };
    assert!(message.starts_with("the API server cannot be reached: "), "{message}");
    let error = tekton.read("a").await.unwrap_err();
    assert_eq!(error.to_string(), "read PipelineRun a");
}

#[tokio::test]
async fn a_cancel_means_one_run_and_no_other_of_its_name() {
    let (mut server, tekton) = start().await;
    let cancelling = cancel(&tekton);
    let asked = server.next().await;
    is(&asked, "PATCH", &format!("{RUNS}/a"));
    assert_eq!(
        asked.body,
        json!({"metadata": {"uid": "uid of a"}, "spec": {"status": "Cancelled"}})
    );
    asked.answer(200, &mk_object("a", 8, "Running"));
    cancelling.await.unwrap().unwrap();

    let cancelling = cancel(&tekton);
    server.next().await.refuse(422, "Invalid", "metadata.uid: field is immutable");
    let mut other = mk_object("a", 8, "Running");
    other["metadata"]["uid"] = json!("another");
    server.next().await.answer(200, &other);
    cancelling.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_cancel_of_what_has_ended_or_is_gone_is_no_error() {
    let (mut server, tekton) = start().await;
    let cancelling = cancel(&tekton);
    server.next().await.refuse(404, "NotFound", "");
    cancelling.await.unwrap().unwrap();

    let cancelling = cancel(&tekton);
    server.next().await.refuse(400, "BadRequest", "denied the request");
    server.next().await.answer(200, &mk_object("a", 9, "Succeeded"));
    cancelling.await.unwrap().unwrap();

    let cancelling = cancel(&tekton);
    server.next().await.refuse(400, "BadRequest", "denied the request");
    server.next().await.answer(200, &mk_object("a", 9, "Running"));
    let error = cancelling.await.unwrap().unwrap_err();
    assert!(error.source.to_string().contains("denied the request"), "{:?}", error.source);
}

fn cancel_as(tekton: &Arc<KubeTekton>, mode: CancelMode) -> JoinHandle<Result<(), TektonError>> {
    let tekton = Arc::clone(tekton);
    tokio::spawn(async move { tekton.cancel("a", "uid of a", mode).await })
}

/// A run that is alive and asked for this.
fn mk_asked(wish: Option<&str>) -> Value {
    let mut object = mk_object("a", 8, "Running");
    object["spec"]["status"] = json!(wish);
    object
}

/// What runs are asked for, from nothing to the most.
const WISHES: [(Option<&str>, Option<CancelMode>); 4] = [
    (None, None),
    (Some("StoppedRunFinally"), Some(CancelMode::StopAndFinally)),
    (Some("CancelledRunFinally"), Some(CancelMode::RunFinally)),
    (Some("Cancelled"), Some(CancelMode::Immediate)),
];

#[tokio::test]
async fn a_cancel_that_gives_time_is_only_ever_made_stronger() {
    let (mut server, tekton) = start().await;
    for (before, asked_before) in WISHES {
        for (wish, mode) in WISHES.into_iter().skip(1).take(2) {
            let cancelling = cancel_as(&tekton, mode.unwrap());
            let asked = server.next().await;
            is(&asked, "GET", &format!("{RUNS}/a"));
            asked.answer(200, &mk_asked(before));
            if asked_before < mode {
                // Only what was seen is replaced: somebody else may ask for more at the same moment.
                let asked = server.next().await;
                is(&asked, "PATCH", &format!("{RUNS}/a"));
                let patch = json!([
                    {"op": "test", "path": "/metadata/uid", "value": "uid of a"},
                    {"op": "test", "path": "/spec/status", "value": before},
                    {"op": "add", "path": "/spec/status", "value": wish},
                ]);
                assert_eq!(asked.body, patch);
                asked.answer(200, &mk_asked(wish));
            }
            cancelling.await.unwrap().unwrap();
        }
    }
}

#[tokio::test]
async fn a_cancel_that_gives_time_and_comes_second_is_no_error() {
    let (mut server, tekton) = start().await;
    for (now, settled) in WISHES.into_iter().zip([false, false, true, true]) {
        let cancelling = cancel_as(&tekton, CancelMode::RunFinally);
        server.next().await.answer(200, &mk_asked(None));
        server.next().await.refuse(422, "Invalid", "the server rejected our request");
        server.next().await.answer(200, &mk_asked(now.0));
        assert_eq!(cancelling.await.unwrap().is_ok(), settled, "{now:?}");
    }
    let mut other = mk_asked(None);
    other["metadata"]["uid"] = json!("another");
    for answer in [&mk_object("a", 9, "Succeeded"), &other] {
        let cancelling = cancel_as(&tekton, CancelMode::StopAndFinally);
        server.next().await.answer(200, answer);
        cancelling.await.unwrap().unwrap();
    }
    let cancelling = cancel_as(&tekton, CancelMode::StopAndFinally);
    server.next().await.refuse(404, "NotFound", "");
    cancelling.await.unwrap().unwrap();
}

#[tokio::test]
async fn pipelines_inside_of_a_run_are_stopped_one_inside_of_the_other() {
    let (mut server, tekton) = start().await;
    let stopping = tokio::spawn({
        let tekton = Arc::clone(&tekton);
        async move { tekton.stop_child_runs("a", "uid of a").await }
    });
    let below = |asked: &Asked, kind: &str, of: &str| {
        is(asked, "GET", kind);
        let selector = format!("tekton.dev%2FpipelineRunUID%3Duid+of+{of}");
        assert_eq!(asked.param("labelSelector"), Some(selector.as_str()));
    };
    let asked = server.next().await;
    below(&asked, RUNS, "a");
    asked.answer(
        200,
        &mk_list(&[mk_object("a-c", 9, "Running"), mk_object("a-d", 9, "Succeeded")], ""),
    );
    let asked = server.next().await;
    is(&asked, "PATCH", &format!("{RUNS}/a-c"));
    assert_eq!(
        asked.body,
        json!({"metadata": {"uid": "uid of a-c"}, "spec": {"status": "Cancelled"}})
    );
    asked.answer(200, &mk_object("a-c", 10, "Running"));

    // One that is over may have left a TaskRun behind.
    let asked = server.next().await;
    below(&asked, TASK_RUNS, "a-d");
    let mut left = mk_object("a-d-t", 9, "Running");
    left["metadata"]["labels"] = json!({"tekton.dev/pipelineRunUID": "uid of a-d"});
    asked.answer(200, &mk_list(&[left], ""));
    let asked = server.next().await;
    is(&asked, "PATCH", &format!("{TASK_RUNS}/a-d-t"));
    asked.answer(200, &mk_object("a-d-t", 10, "Running"));

    for of in ["a-c", "a-d"] {
        let asked = server.next().await;
        below(&asked, RUNS, of);
        asked.answer(200, &mk_list(&[], ""));
    }
    assert_eq!(stopping.await.unwrap().unwrap(), ["a-c", "a-d-t"]);
}

/// Tekton gives a pipeline inside of a run the labels of the run.
#[tokio::test]
async fn a_pipeline_inside_of_a_run_belongs_to_its_execution_and_is_not_its_run() {
    let (_server, tekton) = start().await;
    let RunRequest { run, execution, request, .. } = mk_request();
    let (hash, name) = (request.target.hash(), run.name.to_string());
    let mk = |name: &str| {
        let mut object = mk_object(name, 9, "Running");
        object["metadata"]["labels"] = json!({
            "kubernaut.ai/target-hash": hash, "kubernaut.ai/execution-id": execution.to_string(),
        });
        facts::run(serde_json::from_value(object).unwrap()).unwrap()
    };
    // Even a task that is called by a number makes no name of a run.
    let (child, numbered) = (format!("{name}-verify"), format!("{name}-7"));
    tekton.cache().replace_runs(vec![mk(&name), mk(&child), mk(&numbered)], 10);
    tekton.cache().replace_task_runs(Vec::new(), 10);
    let Seen::Present(seen) = tekton.seen(&name) else { panic!("not there") };
    assert_eq!(seen.run.name, name);

    let foreign = foreign_runs(&*tekton, &hash, &[execution]).unwrap();
    assert_eq!(foreign, ForeignRuns { live: None, last_epoch: Epoch(1) });
    // When its execution is over, what it left behind holds the target as anybody's run does.
    let other = foreign_runs(&*tekton, &hash, &[]).unwrap();
    assert!(other.live.is_some(), "{other:?}");
}

#[tokio::test]
async fn a_read_shows_the_run_and_every_page_of_its_task_runs() {
    let (mut server, tekton) = start().await;
    let reading = tokio::spawn({
        let tekton = Arc::clone(&tekton);
        async move { tekton.read("a").await }
    });
    let task_run = |name: &str| {
        let mut object = mk_object(name, 9, "Running");
        object["metadata"]["labels"] = json!({
            "tekton.dev/pipelineRunUID": "uid of a", "tekton.dev/pipelineTask": name,
        });
        object
    };
    server.next().await.answer(200, &mk_object("a", 8, "Running"));
    let asked = server.next().await;
    is(&asked, "GET", TASK_RUNS);
    assert_eq!(asked.param("labelSelector"), Some("tekton.dev%2FpipelineRunUID%3Duid+of+a"));
    asked.answer(200, &mk_list(&[task_run("one")], "more"));
    let asked = server.next().await;
    assert_eq!(asked.param("continue"), Some("more"));
    asked.answer(200, &mk_list(&[task_run("two")], ""));
    let read = reading.await.unwrap().unwrap().unwrap();
    let tasks: Vec<&str> = read.task_runs.iter().map(|t| t.pipeline_task.as_str()).collect();
    assert_eq!((read.run.uid.as_str(), tasks), ("uid of a", vec!["one", "two"]));
}

#[tokio::test]
async fn a_delete_means_one_run_and_takes_what_it_created_along() {
    let (mut server, tekton) = start().await;
    let deleting = tokio::spawn({
        let tekton = Arc::clone(&tekton);
        async move { tekton.delete("a", "uid of a").await }
    });
    let asked = server.next().await;
    is(&asked, "DELETE", &format!("{RUNS}/a"));
    assert_eq!(asked.body["preconditions"]["uid"], "uid of a");
    assert_eq!(asked.body["propagationPolicy"], "Background");
    asked.refuse(409, "Conflict", "the UID in the precondition does not match");
    let mut other = mk_object("a", 8, "Running");
    other["metadata"]["uid"] = json!("another");
    server.next().await.answer(200, &other);
    deleting.await.unwrap().unwrap();
}

#[tokio::test]
async fn only_pods_that_are_alive_and_that_nobody_stops_are_deleted() {
    let (mut server, tekton) = start().await;
    let stopping = {
        let tekton = Arc::clone(&tekton);
        tokio::spawn(async move { tekton.stop_pods("a", "uid of a").await })
    };
    let asked = server.next().await;
    assert_eq!((asked.method.as_str(), asked.path.as_str()), ("GET", PODS));
    assert_eq!(asked.param("labelSelector"), Some("tekton.dev%2FpipelineRunUID%3Duid+of+a"));
    let fields = asked.param("fieldSelector").unwrap().replace("%21", "!").replace("%3D", "=");
    assert_eq!(fields.replace("%2C", ","), "status.phase!=Succeeded,status.phase!=Failed");
    let pod = |name: &str, deletion: Value| json!({"metadata": {"name": name, "uid": name, "deletionTimestamp": deletion}});
    let pods = [
        pod("left", Value::Null),
        pod("stopping", json!("2026-01-02T03:04:05Z")),
        pod("gone-since", Value::Null),
    ];
    asked.answer(200, &mk_list(&pods, ""));
    let deleting = server.next().await;
    assert_eq!(deleting.method, "DELETE");
    assert_eq!(deleting.path, format!("{PODS}/left"));
    assert_eq!(deleting.body["preconditions"]["uid"], "left");
    deleting.answer(200, &json!({"kind": "Status", "status": "Success"}));
    let deleting = server.next().await;
    assert_eq!(deleting.path, format!("{PODS}/gone-since"));
    deleting.refuse(404, "NotFound", "");
    stopping.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_missing_namespace_is_named_with_what_to_do() {
    let (mut server, tekton) = start().await;
    let checking = tokio::spawn({
        let tekton = Arc::clone(&tekton);
        async move { tekton.check_namespace().await }
    });
    let asked = server.next().await;
    is(&asked, "GET", "/api/v1/namespaces/n");
    asked.refuse(404, "NotFound", "namespaces \"n\" not found");
    assert_eq!(
        checking.await.unwrap().unwrap_err().to_string(),
        "namespace n does not exist in the cluster; create it with `kubectl create namespace n` \
         or set --namespace"
    );
}

#[tokio::test]
async fn who_may_not_look_at_namespaces_may_still_run_in_one() {
    let (mut server, tekton) = start().await;
    let checking = tokio::spawn({
        let tekton = Arc::clone(&tekton);
        async move { tekton.check_namespace().await }
    });
    server.next().await.refuse(403, "Forbidden", "");
    checking.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_cluster_without_tekton_is_told_from_one_that_is_away() {
    let (mut server, tekton) = start().await;
    let ask = || {
        let tekton = Arc::clone(&tekton);
        tokio::spawn(async move { tekton.check_tekton().await })
    };
    let resource = |name: &str| json!({"name": name, "singularName": "", "namespaced": true, "kind": "K", "verbs": []});
    let listing = |names: &[&str]| {
        let resources: Vec<Value> = names.iter().map(|name| resource(name)).collect();
        json!({"kind": "APIResourceList", "groupVersion": "tekton.dev/v1", "resources": resources})
    };
    let answer = ask();
    server.next().await.answer(200, &listing(&["pipelineruns", "taskruns", "pipelineruns/status"]));
    answer.await.unwrap().unwrap();
    let answer = ask();
    server.next().await.answer(200, &listing(&["tasks"]));
    assert!(matches!(answer.await.unwrap(), Err(ConnectError::NoTekton)));
    let answer = ask();
    server.next().await.reply(404, &[], "404 page not found".to_owned());
    assert!(matches!(answer.await.unwrap(), Err(ConnectError::NoTekton)));
    let answer = ask();
    server.next().await.refuse(503, "ServiceUnavailable", "");
    assert!(matches!(answer.await.unwrap(), Err(ConnectError::Unanswered(_))));
}

fn log_tail(tekton: &Arc<KubeTekton>) -> JoinHandle<Result<RawTail, LogError>> {
    let tekton = Arc::clone(tekton);
    let log = StepLog { pod: "p".to_owned(), container: "step-main".to_owned() };
    tokio::spawn(async move { tekton.log_tail(&log).await })
}

#[tokio::test]
async fn a_log_is_asked_for_by_its_last_lines_and_any_bytes_are_taken() {
    let (mut server, tekton) = start().await;
    let reading = log_tail(&tekton);
    let asked = server.next().await;
    is(&asked, "GET", &format!("{PODS}/p/log"));
    assert_eq!(asked.param("container"), Some("step-main"));
    assert_eq!(asked.param("tailLines"), Some("500"));
    assert_eq!(asked.param("limitBytes"), None, "it would keep the first bytes");
    asked.reply_bytes(200, b"one\n\xff\x1b[0mtwo\n".to_vec());
    let raw = reading.await.unwrap().unwrap();
    assert_eq!((raw.bytes.as_slice(), raw.cut), (&b"one\n\xff\x1b[0mtwo\n"[..], false));
}

#[tokio::test]
async fn a_log_that_cannot_be_read_says_why() {
    let (mut server, tekton) = start().await;
    let reading = log_tail(&tekton);
    server.next().await.refuse(404, "NotFound", "pods \"p\" not found");
    assert!(matches!(reading.await.unwrap(), Err(LogError::Gone)));
    let reading = log_tail(&tekton);
    server.next().await.refuse(403, "Forbidden", "cannot get resource \"pods/log\"");
    assert!(matches!(reading.await.unwrap(), Err(LogError::Forbidden(_))));
    let reading = log_tail(&tekton);
    let kubelet =
        "Get \"https://10.0.0.1:10250/containerLogs/n/p/step-main\": dial tcp: i/o timeout";
    server.next().await.refuse(500, "InternalError", kubelet);
    let error = reading.await.unwrap().unwrap_err();
    assert!(wfe_runtime::error::chain(&error).contains("i/o timeout"), "{error:?}");
    let reading = log_tail(&tekton);
    let lost = b"unable to retrieve container logs for containerd://5f3a".to_vec();
    server.next().await.reply_bytes(200, lost);
    assert!(matches!(reading.await.unwrap(), Err(LogError::Gone)));
}
