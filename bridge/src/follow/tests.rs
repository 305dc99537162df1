use std::time::Duration;

use serde_json::{Value, json};
use wfe_crds::{names::FINALIZER, workflow_execution::Phase};
use wfe_proto::v1::{Execution, State, WhenLocked};
use wfe_runtime::{
    clock::SystemClock,
    cluster::testing::{ApiServer, Asked},
};

use super::*;
use crate::{
    config::{Config, ServerAccess},
    metrics::Released,
    object::RawObject,
};

mod listen;
mod service;
mod wishes;

const STATUS: &str = "/apis/kubernaut.ai/v1alpha1/namespaces/n/workflowexecutions/a/status";
const OBJECT: &str = "/apis/kubernaut.ai/v1alpha1/namespaces/n/workflowexecutions/a";
const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/n/events";

fn mk_json(version: u64, status: &Value) -> Value {
    json!({
        "apiVersion": "kubernaut.ai/v1alpha1",
        "kind": "WorkflowExecution",
        "metadata": {
            "namespace": "n", "name": "a", "uid": "u", "generation": 1,
            "resourceVersion": version.to_string(), "finalizers": [FINALIZER],
        },
        "spec": {
            "remediationRequestRef": {"name": "rr"},
            "targetResource": "default/pod/a",
            "workflowRef": {
                "workflowId": "w", "workflowName": "", "actionType": "", "version": "",
                "executionBundle": "registry.example/w:v1", "executionEngine": "tekton",
            },
        },
        "status": status,
    })
}

fn mk_object(version: u64, status: &Value) -> Object {
    let raw: RawObject = serde_json::from_value(mk_json(version, status)).unwrap();
    Object::read(raw)
}

fn mk_shown(phase: &Phase, revision: i64) -> Value {
    json!({"phase": phase, "executionID": "e", "executionRevision": revision})
}

fn mk_execution(state: State, revision: i64) -> Record {
    Record::Execution(Box::new(Execution {
        id: "e".to_owned(),
        request_id: "u".to_owned(),
        state: state.into(),
        revision,
        ..Execution::default()
    }))
}

/// A follower of an object, whose service is away, with what its watch of objects tells it.
fn mk_access(address: &str) -> ServerAccess {
    Config { server: address.parse().unwrap(), ..Config::default() }.access().unwrap()
}

fn mk_follower(api_server: &ApiServer, object: Object) -> (Follower, watch::Sender<Sight>) {
    mk_follower_of(api_server, object, &mk_access("http://127.0.0.1:1"))
}

/// The same, with a service.
fn mk_follower_of(
    api_server: &ApiServer,
    object: Object,
    server: &ServerAccess,
) -> (Follower, watch::Sender<Sight>) {
    let metrics = Metrics::new().unwrap();
    let around = Surroundings {
        link: Link::new(server, metrics.clone()),
        cluster: Cluster::new(api_server.client.clone(), metrics.clone()),
        metrics,
        policy: Policy { when_locked: WhenLocked::Wait, delete_timeout: None },
        clock: Arc::new(SystemClock),
        instance: "i".to_owned(),
        seals: watch::channel(Seals::Off).1,
        desk: Mutex::default(),
        stopping: CancellationToken::new(),
    };
    let (sender, sight) = watch::channel(Sight::Present(Arc::new(object)));
    (Follower::new(Arc::new(around), sight).unwrap(), sender)
}

fn next(follower: &Follower) -> Step {
    decide(&follower.situation(), &follower.around.policy, follower.recorded_at)
}

fn is(asked: &Asked, method: &str, path: &str) {
    assert_eq!((asked.method.as_str(), asked.path.as_str()), (method, path));
}

fn lost(follower: &Follower) -> bool {
    let metrics = String::from_utf8(follower.around.metrics.render().unwrap()).unwrap();
    !metrics.contains("wfe_bridge_events_lost_total 0")
}

fn mk_note(follower: &Follower) -> k8s_openapi::api::events::v1::Event {
    crate::notes::deleted_note(&follower.object.reference(), Timestamp::UNIX_EPOCH, "i")
}

#[tokio::test]
async fn what_another_bridge_started_is_asked_for_again_after_a_conflict_too() {
    let mut api_server = ApiServer::start().await;
    let (mut follower, _objects) =
        mk_follower(&api_server, mk_object(5, &json!({"phase": "Pending"})));
    follower.learn(Record::None { version: 5 });
    let showing = async {
        follower.show(&WorkflowExecutionStatus::default()).await;
        follower
    };
    let answering = async {
        let write = api_server.next().await;
        is(&write, "PATCH", STATUS);
        write.refuse(409, "Conflict", "the object has been modified");
        let read = api_server.next().await;
        is(&read, "GET", OBJECT);
        read.answer(200, &mk_json(7, &mk_shown(&Phase::Running, 4)));
    };
    let (follower, ()) = tokio::join!(showing, answering);
    assert_eq!(next(&follower), Step::Ask);
}

#[tokio::test]
async fn a_bridge_that_is_late_does_not_turn_the_status_back() {
    let mut api_server = ApiServer::start().await;
    let (mut follower, _objects) =
        mk_follower(&api_server, mk_object(5, &mk_shown(&Phase::Pending, 2)));
    follower.learn(mk_execution(State::Running, 4));
    follower.noted = 4;
    let late = WorkflowExecutionStatus {
        phase: Some(Phase::Running),
        execution_id: Some("e".to_owned()),
        execution_revision: Some(4),
        ..WorkflowExecutionStatus::default()
    };
    let showing = async {
        follower.show(&late).await;
        follower
    };
    let answering = async {
        let write = api_server.next().await;
        is(&write, "PATCH", STATUS);
        // Only the object as it was seen may be written to.
        assert_eq!(write.body["metadata"]["resourceVersion"], "5");
        assert_eq!(write.body["metadata"]["uid"], "u");
        write.refuse(409, "Conflict", "the object has been modified");
        let read = api_server.next().await;
        is(&read, "GET", OBJECT);
        read.answer(200, &mk_json(9, &mk_shown(&Phase::Running, 6)));
    };
    let (follower, ()) = tokio::join!(showing, answering);
    assert_eq!((follower.object.version, follower.writes.failures), (9, 0));
    // It waits for what the other one knows already.
    let following = Situation { following: true, ..follower.situation() };
    let step = decide(&following, &follower.around.policy, follower.recorded_at);
    assert_eq!(step, Step::Rest(None));
}

#[tokio::test]
async fn a_status_that_the_schema_calls_older_is_read_again() {
    let mut api_server = ApiServer::start().await;
    let (mut follower, _objects) =
        mk_follower(&api_server, mk_object(5, &mk_shown(&Phase::Running, 4)));
    follower.learn(mk_execution(State::Running, 4));
    let showing = async {
        follower.show(&WorkflowExecutionStatus::default()).await;
        follower
    };
    let answering = async {
        let write = api_server.next().await;
        write.refuse(422, "Invalid", "status: executionRevision must not fall while it stays");
        let read = api_server.next().await;
        is(&read, "GET", OBJECT);
        read.answer(200, &mk_json(9, &mk_shown(&Phase::Running, 6)));
    };
    let (follower, ()) = tokio::join!(showing, answering);
    assert_eq!((follower.object.version, follower.writes.failures), (9, 0));
}

#[tokio::test]
async fn an_event_that_the_api_server_cannot_take_now_is_offered_again() {
    let mut api_server = ApiServer::start().await;
    let (follower, _objects) = mk_follower(&api_server, mk_object(5, &Value::Null));
    let noting = follower.note(mk_note(&follower));
    let answering = async {
        for code in [503, 429, 500] {
            let create = api_server.next().await;
            is(&create, "POST", EVENTS);
            create.refuse(code, "", "not now");
        }
        api_server.next().await.answer(201, &json!(mk_note(&follower)));
    };
    tokio::join!(noting, answering);
    assert!(!lost(&follower));
}

#[tokio::test]
async fn an_event_that_is_refused_for_good_holds_nothing_up() {
    let mut api_server = ApiServer::start().await;
    let (follower, _objects) = mk_follower(&api_server, mk_object(5, &Value::Null));
    let noting = follower.note(mk_note(&follower));
    let answering = async { api_server.next().await.refuse(403, "Forbidden", "no") };
    tokio::join!(noting, answering);
    assert!(lost(&follower));
}

#[tokio::test]
async fn an_event_that_waits_does_not_hold_up_a_bridge_that_stops() {
    let mut api_server = ApiServer::start().await;
    let (follower, _objects) = mk_follower(&api_server, mk_object(5, &Value::Null));
    let noting = follower.note(mk_note(&follower));
    let stopping = async {
        follower.around.stopping.cancel();
        api_server.next().await.refuse(503, "", "not now");
    };
    let both = futures::future::join(noting, stopping);
    tokio::time::timeout(Duration::from_secs(5), both).await.unwrap();
    assert!(!lost(&follower), "the next start makes it known");
}

#[tokio::test]
async fn a_bridge_that_stops_lets_nothing_go_that_was_not_made_known() {
    let mut api_server = ApiServer::start().await;
    let (mut follower, _objects) = mk_follower(&api_server, mk_object(5, &Value::Null));
    let stopping = follower.around.stopping.clone();
    let releasing = follower.release(Released::Settled);
    let refusing = async {
        let create = api_server.next().await;
        is(&create, "POST", EVENTS);
        stopping.cancel();
        create.refuse(503, "", "not now");
        // The finalizer stays: nothing more is asked for.
        api_server.next().await;
    };
    let first = futures::future::select(Box::pin(releasing), Box::pin(refusing)).await;
    assert!(matches!(first, futures::future::Either::Left(_)));
}
