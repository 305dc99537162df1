//! What is heard of everything, and what comes of it at the API server.

use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;
use tonic::{Code, Status};
use wfe_proto::v1::{
    Actor, Block, BlockReason, Clearance, Decision, DecisionType, EventType, ExecutionEvent,
    GateMode, Source, Synced, Target, WatchRequest, watch_response::Update,
};

use super::{
    service::{Answers, Serving, mk_error, serve},
    wishes::{mk_failed, mk_kept},
    *,
};
use crate::{bridge::Watched, listen::Listener};

fn mk_source() -> Source {
    Source { namespace: "n".to_owned(), name: "a".to_owned(), uid: "u".to_owned() }
}

fn mk_now() -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: SystemClock.now().as_second(), nanos: 0 }
}

/// The failed execution of the object, as the service keeps it.
fn mk_ended(clearance: Option<Clearance>) -> Execution {
    Execution { source: Some(mk_source()), ..mk_failed(clearance) }
}

fn mk_event(kind: EventType) -> Update {
    let event =
        ExecutionEvent { execution_id: "e".to_owned(), time: Some(mk_now()), ..Default::default() };
    Update::Event(ExecutionEvent { r#type: kind.into(), ..event })
}

/// Says that the log is at 7, and then, to one who asks for what comes after, this.
fn says(update: Update) -> impl Fn(WatchRequest) -> Result<Vec<WatchResponse>, Status> {
    move |request| {
        let at = |cursor, update| vec![WatchResponse { update: Some(update), cursor }];
        Ok(match request.after {
            None => at(7, Update::Synced(Synced {})),
            Some(0) => at(8, update.clone()),
            Some(_) => Vec::new(),
        })
    }
}

/// A failed object that is not followed, and a bridge that listens.
async fn listening(api_server: &ApiServer, answers: Answers) -> (Value, Serving, JoinHandle<()>) {
    let serving = serve(answers).await;
    let shown = crate::project::project(
        &crate::project::View::Execution { execution: &mk_ended(None), holder: None },
        None,
        1,
        Timestamp::UNIX_EPOCH,
    );
    let object = mk_json(5, &serde_json::to_value(shown).unwrap());
    let raw: RawObject = serde_json::from_value(object.clone()).unwrap();
    let (follower, _sender) = mk_follower_of(api_server, Object::read(raw.clone()), &serving.1);
    let around = Arc::clone(&follower.around);
    let seen = around.desk.lock().unwrap().see(Object::read(raw));
    assert!(seen.is_none(), "it is finished, and nobody follows it");
    let listener = Listener::new(around, Arc::new(Watched::synced()), TaskTracker::new());
    (object, serving, tokio::spawn(listener.listen()))
}

#[tokio::test]
async fn a_clearance_that_is_heard_of_shows_on_the_object_and_as_a_kubernetes_event() {
    let mut api_server = ApiServer::start().await;
    let cleared = || {
        let actor = Actor { user: "carol".to_owned(), ..Actor::default() };
        let clearance = Clearance { actor: Some(actor), clear_time: Some(mk_now()), ..mk_kept() };
        mk_ended(Some(clearance))
    };
    let answers = Answers {
        watch: Box::new(says(mk_event(EventType::BlockCleared))),
        get: Box::new(move |_| Ok(Some(cleared()))),
        ..Answers::default()
    };
    let (mut object, _serving, listening) = listening(&api_server, answers).await;

    let asked = api_server.next().await;
    is(&asked, "POST", EVENTS);
    assert_eq!(asked.body["reason"], "BlockCleared");
    assert_eq!(asked.body["metadata"]["name"], "a.u.cleared");
    let note = asked.body["note"].as_str().unwrap().to_owned();
    assert_eq!(note, "carol cleared the block of its target: looked at it, all is well");
    asked.answer(201, &json!({"metadata": {"name": "x"}}));

    let asked = api_server.next().await;
    is(&asked, "GET", OBJECT);
    asked.answer(200, &object);

    let asked = api_server.next().await;
    is(&asked, "PATCH", STATUS);
    let shown = &asked.body["status"]["blockClearance"];
    assert_eq!(shown["clearedBy"], "carol");
    assert_eq!(shown["clearReason"], "looked at it, all is well");
    assert_eq!(shown["clearMethod"], "APIEndpoint");
    object["status"] = asked.body["status"].clone();
    object["metadata"]["resourceVersion"] = "6".into();
    asked.answer(200, &object);
    listening.abort();
}

#[tokio::test]
async fn a_failure_that_blocks_its_target_says_how_to_clear_it() {
    let mut api_server = ApiServer::start().await;
    let target = || Target {
        target: "default/pod/a".to_owned(),
        block: Some(Block {
            reason: BlockReason::PreviousExecutionFailed.into(),
            execution_id: "e".to_owned(),
            since: Some(mk_now()),
            mode: GateMode::Enforce.into(),
        }),
        ..Target::default()
    };
    let answers = Answers {
        watch: Box::new(says(mk_event(EventType::Failed))),
        get: Box::new(|_| Ok(Some(mk_ended(None)))),
        target: Box::new(target),
        ..Answers::default()
    };
    let (_object, _serving, listening) = listening(&api_server, answers).await;
    let asked = api_server.next().await;
    is(&asked, "POST", EVENTS);
    assert_eq!(
        (&asked.body["type"], &asked.body["reason"]),
        (&"Warning".into(), &"TargetBlocked".into())
    );
    assert_eq!(asked.body["metadata"]["name"], "a.u.blocked");
    let note = asked.body["note"].as_str().unwrap().to_owned();
    assert!(note.contains("blocks default/pod/a"), "{note}");
    assert!(note.contains("kubectl patch wfe a -n n --subresource=status"), "{note}");
    asked.answer(201, &json!({"metadata": {"name": "x"}}));
    listening.abort();
}

#[tokio::test]
async fn who_is_refused_because_of_an_object_is_told_of_there() {
    let mut api_server = ApiServer::start().await;
    let decision = Decision {
        r#type: DecisionType::Refused.into(),
        time: Some(mk_now()),
        actor: Some(Actor { user: "dave".to_owned(), ..Actor::default() }),
        target: "default/pod/a".to_owned(),
        execution_id: "e".to_owned(),
        code: "PREVIOUS_EXECUTION_FAILED".to_owned(),
        message: "execution e failed there".to_owned(),
        count: 12,
        ..Decision::default()
    };
    let answers = Answers {
        watch: Box::new(says(Update::Decision(decision))),
        get: Box::new(|_| Ok(Some(mk_ended(None)))),
        ..Answers::default()
    };
    let (_object, _serving, listening) = listening(&api_server, answers).await;
    let asked = api_server.next().await;
    is(&asked, "POST", EVENTS);
    assert_eq!(asked.body["reason"], "StartRefused");
    assert_eq!(asked.body["metadata"]["name"], "a.u.start-refused-0000000000000008");
    let note = asked.body["note"].as_str().unwrap().to_owned();
    assert_eq!(
        note,
        "dave was refused to start something on default/pod/a: execution e failed there \
         (PREVIOUS_EXECUTION_FAILED). That was so 12 times within a short time."
    );
    asked.answer(201, &json!({"metadata": {"name": "x"}}));
    listening.abort();
}

#[tokio::test]
async fn an_older_service_is_not_asked_again_and_again() {
    let api_server = ApiServer::start().await;
    let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let answers = Answers {
        watch: Box::new(move |_| {
            told.send(()).unwrap();
            Err(mk_error(Code::Unimplemented, "NOT_AVAILABLE", "a watch of everything"))
        }),
        ..Answers::default()
    };
    let (_object, _serving, listening) = listening(&api_server, answers).await;
    heard.recv().await.unwrap();
    tokio::time::timeout(std::time::Duration::from_millis(700), heard.recv()).await.unwrap_err();
    listening.abort();
}
