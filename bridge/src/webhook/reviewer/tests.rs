use axum::{
    Router,
    body::{Body, to_bytes},
    http::{Request, StatusCode},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use tower::ServiceExt as _;
use wfe_crds::workflow_execution::BlockClearanceRequest;
use wfe_runtime::{clock::SystemClock, cluster::testing::ApiServer};

use super::*;
use crate::{
    seal::{KEY_BYTES, SealKey},
    webhook::admission,
};

const RIGHTS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/n/events";
const BRIDGE: &str = "system:serviceaccount:kubernaut-system:wfe-bridge";

fn mk_key() -> SealKey {
    SealKey::new(&[7; KEY_BYTES]).unwrap()
}

fn mk_router(api_server: &ApiServer, seals: Seals) -> (Router, Metrics) {
    let metrics = Metrics::new().unwrap();
    let reviewer = Reviewer {
        client: api_server.client.clone(),
        cluster: Cluster::new(api_server.client.clone(), metrics.clone()),
        metrics: metrics.clone(),
        clock: Arc::new(SystemClock),
        instance: "i".to_owned(),
        seals: watch::channel(seals).1,
        cancellers: Users::new(),
        own_name: BRIDGE.to_owned(),
        notes: Arc::new(Semaphore::new(NOTES_AT_ONCE)),
    };
    (admission::router(vec![Arc::new(reviewer)], &metrics), metrics)
}

fn mk_object(status: &Value) -> Value {
    json!({
        "apiVersion": "kubernaut.ai/v1alpha1",
        "kind": "WorkflowExecution",
        "metadata": {"namespace": "n", "name": "a", "uid": "u", "resourceVersion": "7"},
        "spec": {"targetResource": "default/deployment/api"},
        "status": status,
    })
}

/// As the API server sends it when alice asks for a clearance for this reason.
fn mk_review(reason: &str) -> Value {
    let old = json!({"phase": "Failed", "executionID": "e"});
    let mut new = old.clone();
    new["blockClearanceRequest"] = json!({"clearReason": reason});
    let resource =
        json!({"group": "kubernaut.ai", "version": "v1alpha1", "resource": "workflowexecutions"});
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "review",
            "kind": {"group": "kubernaut.ai", "version": "v1alpha1", "kind": "WorkflowExecution"},
            "resource": resource,
            "subResource": "status",
            "requestResource": resource,
            "requestSubResource": "status",
            "name": "a",
            "namespace": "n",
            "operation": "UPDATE",
            "userInfo": {
                "username": "alice", "uid": "1", "groups": ["sre"], "extra": {"scope": ["x"]},
            },
            "object": mk_object(&new),
            "oldObject": mk_object(&old),
            "dryRun": false,
            "options": {"kind": "UpdateOptions", "apiVersion": "meta.k8s.io/v1"},
        },
    })
}

fn with(mut review: Value, change: &Value) -> Value {
    json_patch::merge(&mut review, change);
    review
}

async fn post(router: &Router, body: impl Into<Body>) -> (StatusCode, Value) {
    let request = Request::post(PATH).body(body.into()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let (status, body) =
        (response.status(), to_bytes(response.into_body(), usize::MAX).await.unwrap());
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

/// The response in the review that is answered.
async fn answered(router: &Router, review: &Value) -> Value {
    let (status, answer) = post(router, review.to_string()).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        (&answer["apiVersion"], &answer["kind"]),
        (&json!("admission.k8s.io/v1"), &json!("AdmissionReview"))
    );
    assert_eq!(answer["response"]["uid"], "review");
    answer["response"].clone()
}

async fn answer_about_the_right(api_server: &mut ApiServer, status: Value) -> Value {
    let asked = api_server.next().await;
    assert_eq!((asked.method.as_str(), asked.path.as_str()), ("POST", RIGHTS));
    let (question, mut answer) = (asked.body.clone(), asked.body.clone());
    answer["status"] = status;
    asked.answer(201, &answer);
    question
}

fn count(metrics: &Metrics, verdict: &str) -> u64 {
    let text = String::from_utf8(metrics.render().unwrap()).unwrap();
    let name = format!("wfe_bridge_webhook_review_seconds_count{{verdict=\"{verdict}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&name)).unwrap().parse().unwrap()
}

const REASON: &str = "looked at it: the disk was full";

#[tokio::test]
async fn a_person_with_the_right_is_stamped_on_by_the_smallest_patch() {
    let mut api_server = ApiServer::start().await;
    let (router, metrics) = mk_router(&api_server, Seals::Key(mk_key()));
    let review = mk_review(REASON);
    let asked = answer_about_the_right(&mut api_server, json!({"allowed": true}));
    let (answer, question) = tokio::join!(answered(&router, &review), asked);
    let expected = json!({
        "user": "alice", "uid": "1", "groups": ["sre"], "extra": {"scope": ["x"]},
        "resourceAttributes": {
            "group": "kubernaut.ai", "version": "v1alpha1", "resource": "workflowexecutions",
            "verb": "clearblock", "namespace": "n", "name": "a",
        },
    });
    assert_eq!(question["spec"], expected);
    assert_eq!((&answer["allowed"], &answer["patchType"]), (&json!(true), &json!("JSONPatch")));
    let patch: Vec<u8> = serde_json::from_value(answer["patch"].clone())
        .or_else(|_| STANDARD.decode(answer["patch"].as_str().unwrap()))
        .unwrap();
    let patch: json_patch::Patch = serde_json::from_slice(&patch).unwrap();
    for operation in &patch.0 {
        let changed = operation.path().to_string();
        assert!(changed.starts_with("/status/blockClearanceRequest/"), "{changed}");
    }
    let mut object = review["request"]["object"].clone();
    json_patch::patch(&mut object, &patch).unwrap();
    let request: BlockClearanceRequest =
        serde_json::from_value(object["status"]["blockClearanceRequest"].clone()).unwrap();
    assert!(mk_key().sealed_clearance("u", "e", &request));
    assert_eq!(request.requested_by.unwrap().username, "alice");
    assert_eq!(count(&metrics, "stamped"), 1);
}

#[tokio::test]
async fn a_person_without_the_right_is_refused_and_that_is_on_record() {
    let mut api_server = ApiServer::start().await;
    let (router, metrics) = mk_router(&api_server, Seals::Key(mk_key()));
    let (review, asked) =
        (mk_review(REASON), answer_about_the_right(&mut api_server, json!({"allowed": false})));
    let (answer, _) = tokio::join!(answered(&router, &review), asked);
    assert_eq!(answer["allowed"], false);
    assert_eq!(
        (&answer["status"]["code"], &answer["status"]["reason"]),
        (&json!(403), &json!("Forbidden"))
    );
    let message = answer["status"]["message"].as_str().unwrap();
    assert!(message.contains("alice may not clear blocks in the namespace n"), "{message}");
    assert_eq!(answer.get("patch"), None);
    let event = api_server.next().await;
    assert_eq!((event.method.as_str(), event.path.as_str()), ("POST", EVENTS));
    assert_eq!(
        (&event.body["type"], &event.body["reason"]),
        (&json!("Warning"), &json!("BlockClearanceRefused"))
    );
    assert_eq!(event.body["regarding"]["uid"], "u");
    assert!(
        event.body["note"].as_str().unwrap().starts_with("Refused to alice: "),
        "{}",
        event.body
    );
    assert_eq!(count(&metrics, "denied"), 1);
}

#[tokio::test]
async fn what_is_tried_only_is_answered_alike_and_leaves_nothing() {
    let mut api_server = ApiServer::start().await;
    let (router, _) = mk_router(&api_server, Seals::Key(mk_key()));
    let dry = with(mk_review("short"), &json!({"request": {"dryRun": true}}));
    assert_eq!(answered(&router, &dry).await["status"]["code"], 422);
    // The next thing that the API server hears of is this one.
    let real = with(mk_review("too short"), &json!({"request": {"userInfo": {"username": "bob"}}}));
    assert_eq!(answered(&router, &real).await["status"]["code"], 422);
    let event = api_server.next().await;
    assert!(event.body["note"].as_str().unwrap().starts_with("Refused to bob: "), "{}", event.body);
}

#[tokio::test]
async fn another_change_is_refused_without_a_question_and_told_as_such() {
    let mut api_server = ApiServer::start().await;
    let (router, _) = mk_router(&api_server, Seals::Key(mk_key()));
    let change = json!({"request": {"object": {"status": {"phase": "Completed"}}}});
    let mut review = with(mk_review(REASON), &change);
    review["request"]["object"]["status"]["blockClearanceRequest"] = Value::Null;
    let answer = answered(&router, &review).await;
    assert_eq!((&answer["allowed"], &answer["status"]["code"]), (&json!(false), &json!(403)));
    let event = api_server.next().await;
    assert_eq!(event.body["reason"], "StatusChangeRefused");
}

#[tokio::test]
async fn no_answer_about_the_right_is_never_a_yes() {
    let mut api_server = ApiServer::start().await;
    let (router, metrics) = mk_router(&api_server, Seals::Key(mk_key()));
    let review = mk_review(REASON);
    let refused = async |api_server: &mut ApiServer| {
        let asked = api_server.next().await;
        asked.refuse(503, "ServiceUnavailable", "no authorizer");
    };
    let (answer, ()) = tokio::join!(answered(&router, &review), refused(&mut api_server));
    assert_eq!((&answer["allowed"], &answer["status"]["code"]), (&json!(false), &json!(503)));
    for status in
        [json!({"allowed": false, "evaluationError": "the authorizer is away"}), Value::Null]
    {
        let asked = answer_about_the_right(&mut api_server, status);
        let (answer, _) = tokio::join!(answered(&router, &review), asked);
        assert_eq!((&answer["allowed"], &answer["status"]["code"]), (&json!(false), &json!(503)));
    }
    let denied = json!({"allowed": true, "denied": true});
    let asked = answer_about_the_right(&mut api_server, denied);
    let (answer, _) = tokio::join!(answered(&router, &review), asked);
    assert_eq!((&answer["allowed"], &answer["status"]["code"]), (&json!(false), &json!(403)));
    assert_eq!((count(&metrics, "unavailable"), count(&metrics, "stamped")), (3, 0));
}

#[tokio::test]
async fn without_a_key_for_seals_nothing_is_let_through_but_the_bridge() {
    let api_server = ApiServer::start().await;
    let (router, _) = mk_router(&api_server, Seals::Unknown);
    let answer = answered(&router, &mk_review(REASON)).await;
    assert_eq!((&answer["allowed"], &answer["status"]["code"]), (&json!(false), &json!(503)));
    let own = with(mk_review(REASON), &json!({"request": {"userInfo": {"username": BRIDGE}}}));
    let answer = answered(&router, &own).await;
    assert_eq!((&answer["allowed"], answer.get("patch")), (&json!(true), None));
}

#[tokio::test]
async fn a_body_that_is_no_review_of_this_is_answered_400() {
    let api_server = ApiServer::start().await;
    let (router, metrics) = mk_router(&api_server, Seals::Key(mk_key()));
    let wrong = |change: Value| with(mk_review(REASON), &change).to_string();
    let bodies = [
        String::new(),
        "nonsense".to_owned(),
        "{}".to_owned(),
        wrong(json!({"apiVersion": "admission.k8s.io/v1beta1"})),
        wrong(json!({"request": null})),
        wrong(json!({"request": {"userInfo": null}})),
        wrong(json!({"request": {"operation": "CREATE"}})),
        wrong(json!({"request": {"subResource": null}})),
        wrong(json!({"request": {"subResource": "scale"}})),
        wrong(json!({"request": {"oldObject": null}})),
        wrong(json!({"request": {"resource": {"resource": "remediationrequests"}}})),
        wrong(json!({"request": {"resource": {"group": "example.com"}}})),
    ];
    let many = u64::try_from(bodies.len()).unwrap();
    for body in bodies {
        let (status, _) = post(&router, body.clone()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
    }
    assert_eq!(count(&metrics, "malformed"), many);
    let (status, _) = post(&router, vec![b' '; 5 * 1024 * 1024]).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn two_objects_of_the_greatest_size_fit_into_a_review() {
    let api_server = ApiServer::start().await;
    let (router, _) = mk_router(&api_server, Seals::Key(mk_key()));
    let long = "x".repeat(1_500_000);
    let large = json!({"request": {
        "object": {"spec": {"rationale": long}}, "oldObject": {"spec": {"rationale": long}},
    }});
    let mut review = with(mk_review(REASON), &large);
    review["request"]["object"]["status"] = review["request"]["oldObject"]["status"].clone();
    assert_eq!(answered(&router, &review).await["allowed"], true);
}
