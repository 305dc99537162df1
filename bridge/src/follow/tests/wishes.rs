use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use tonic::{Code, Status};
use wfe_crds::workflow_execution::{BlockClearanceRequest, CancelRequest, Requester};
use wfe_proto::v1::{Actor, Clearance, OnBehalfOf};

use super::{
    service::{Answers, Serving, mk_error, serve},
    *,
};
use crate::{
    decide::{Outcome, Wish},
    seal::{Claim, KEY_BYTES, SealKey},
};

fn mk_key() -> SealKey {
    SealKey::new(&[7; KEY_BYTES]).unwrap()
}

fn mk_alice() -> Requester {
    Requester { username: "alice".to_owned(), uid: None, groups: vec!["sre".to_owned()] }
}

fn mk_clearance() -> BlockClearanceRequest {
    let mut request = BlockClearanceRequest {
        clear_reason: "looked at it, all is well".to_owned(),
        ticket: Some("OPS-1".to_owned()),
        requested_by: Some(mk_alice()),
        requested_at: Some(Time(Timestamp::UNIX_EPOCH)),
        seal: None,
    };
    request.seal = mk_key().seal(&Claim::clearance("u", "e", &request));
    request
}

fn mk_cancel() -> CancelRequest {
    let mut request = CancelRequest {
        reason: "parent ended".to_owned(),
        requested_by: Some(mk_alice()),
        requested_at: Some(Time(Timestamp::UNIX_EPOCH)),
        seal: None,
    };
    request.seal = mk_key().seal(&Claim::cancel("u", &request));
    request
}

pub(super) fn mk_failed(clearance: Option<Clearance>) -> Execution {
    Execution {
        id: "e".to_owned(),
        request_id: "u".to_owned(),
        target: "default/pod/a".to_owned(),
        state: State::Failed.into(),
        revision: 5,
        end_time: Some(prost_types::Timestamp { seconds: 9, nanos: 0 }),
        clearance,
        ..Execution::default()
    }
}

/// As the service keeps it when the bridge asks for alice.
pub(super) fn mk_kept() -> Clearance {
    let alice = OnBehalfOf { user: "alice".to_owned(), ..OnBehalfOf::default() };
    let actor = Actor { user: "bridge".to_owned(), on_behalf_of: Some(alice), ..Actor::default() };
    Clearance {
        actor: Some(actor),
        clear_time: Some(prost_types::Timestamp { seconds: 10, nanos: 0 }),
        reason: "looked at it, all is well".to_owned(),
        ticket: "OPS-1".to_owned(),
    }
}

/// A follower of an object that shows its failed execution and asks for a clearance.
async fn mk_asking(
    api_server: &ApiServer,
    answers: Answers,
) -> (Follower, watch::Sender<Sight>, Serving) {
    let serving = serve(answers).await;
    let shown = crate::project::project(
        &crate::project::View::Execution { execution: &mk_failed(None), holder: None },
        None,
        1,
        Timestamp::UNIX_EPOCH,
    );
    let status = WorkflowExecutionStatus { block_clearance_request: Some(mk_clearance()), ..shown };
    let (mut follower, sender) =
        mk_follower_of(api_server, mk_object(5, &json!(status)), &serving.1);
    follower.seals = Seals::Key(mk_key());
    (follower, sender, serving)
}

async fn ask_and_clear(follower: &mut Follower) {
    assert_eq!(next(follower), Step::Ask);
    follower.ask().await;
    let Step::Clear(request) = next(follower) else { panic!("{:?}", next(follower)) };
    follower.clear(*request).await;
}

fn answering(
    answer: impl Fn() -> Result<Option<Execution>, Status> + Send + Sync + 'static,
) -> Answers {
    Answers {
        get: Box::new(|_| Ok(Some(mk_failed(None)))),
        clear: Box::new(move |request| {
            let alice = request.on_behalf_of.unwrap();
            assert_eq!((alice.user.as_str(), &alice.groups), ("alice", &vec!["sre".to_owned()]));
            assert_eq!(
                (request.target.as_str(), request.ticket.as_str()),
                ("default/pod/a", "OPS-1")
            );
            assert_eq!(request.expected_execution_id, "e");
            answer()
        }),
        ..Answers::default()
    }
}

#[tokio::test]
async fn a_block_is_cleared_for_who_asked_and_that_is_shown() {
    let api_server = ApiServer::start().await;
    let answers = answering(|| Ok(Some(mk_failed(Some(mk_kept())))));
    let (mut follower, _objects, _serving) = mk_asking(&api_server, answers).await;
    ask_and_clear(&mut follower).await;
    let Step::Show(status) = next(&follower) else { panic!() };
    assert_eq!(status.block_clearance.unwrap().cleared_by, "alice");
}

#[tokio::test]
async fn who_finds_the_block_cleared_by_another_bridge_takes_it_for_done() {
    let api_server = ApiServer::start().await;
    let asked = std::sync::atomic::AtomicUsize::new(0);
    let answers = Answers {
        get: Box::new(move |_| {
            let first = asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0;
            Ok(Some(mk_failed((!first).then(mk_kept))))
        }),
        ..answering(|| Err(mk_error(Code::FailedPrecondition, "NOT_BLOCKED", "it is free")))
    };
    let (mut follower, _objects, _serving) = mk_asking(&api_server, answers).await;
    ask_and_clear(&mut follower).await;
    let Step::Show(status) = next(&follower) else { panic!() };
    let request = follower.object.status.clone().unwrap().block_clearance_request;
    let shown = WorkflowExecutionStatus { block_clearance_request: request, ..*status };
    follower.object.status = Ok(shown);
    let done = next(&follower);
    assert!(matches!(done, Step::Settle(Wish::Clearance, Outcome::Cleared { .. })), "{done:?}");
}

#[tokio::test]
async fn what_the_service_will_never_do_is_not_asked_again() {
    for (code, reason) in [
        (Code::FailedPrecondition, "NOT_BLOCKED"),
        (Code::Aborted, "BLOCK_CHANGED"),
        (Code::PermissionDenied, "PERMISSION_DENIED"),
        (Code::InvalidArgument, "INVALID_REQUEST"),
        (Code::Unimplemented, "NOT_AVAILABLE"),
    ] {
        let api_server = ApiServer::start().await;
        let answers = answering(move || Err(mk_error(code, reason, "no, because")));
        let (mut follower, _objects, _serving) = mk_asking(&api_server, answers).await;
        ask_and_clear(&mut follower).await;
        let refused = Outcome::Refused { why: "no, because".to_owned() };
        assert_eq!(next(&follower), Step::Settle(Wish::Clearance, refused), "{reason}");
    }
}

#[tokio::test]
async fn what_the_service_may_do_later_is_asked_again() {
    for error in [
        mk_error(Code::Unavailable, "STORE_UNAVAILABLE", "later"),
        Status::unavailable("nobody there"),
        Status::permission_denied("something between here and there"),
    ] {
        let api_server = ApiServer::start().await;
        let answers = answering(move || Err(error.clone()));
        let (mut follower, _objects, _serving) = mk_asking(&api_server, answers).await;
        ask_and_clear(&mut follower).await;
        let until = follower.server.until;
        let situation = follower.situation();
        assert_eq!(
            decide(&situation, &follower.around.policy, follower.recorded_at),
            Step::Rest(Some(until))
        );
        let again = decide(&situation, &follower.around.policy, until);
        assert!(matches!(again, Step::Clear(_)), "{again:?}");
    }
}

#[tokio::test]
async fn an_end_is_asked_for_in_the_name_of_who_asked() {
    let api_server = ApiServer::start().await;
    for (answer, expected) in [
        (Ok(None), Record::Withdrawn),
        (Ok(Some(mk_failed(None))), Record::Execution(Box::new(mk_failed(None)))),
    ] {
        let answers = Answers {
            cancel: Box::new(move |request| {
                assert_eq!(
                    (request.request_id.as_str(), request.reason.as_str()),
                    ("u", "parent ended")
                );
                assert_eq!(request.on_behalf_of.unwrap().user, "alice");
                answer.clone()
            }),
            ..Answers::default()
        };
        let serving = serve(answers).await;
        let object = mk_object(5, &json!({"phase": "Pending", "cancelRequest": mk_cancel()}));
        let (mut follower, _objects) = mk_follower_of(&api_server, object, &serving.1);
        follower.seals = Seals::Key(mk_key());
        let Step::Stop(request) = next(&follower) else { panic!() };
        follower.stop(*request).await;
        assert_eq!(follower.record, expected);
    }
}

#[tokio::test]
async fn an_end_that_is_refused_is_told_once() {
    let api_server = ApiServer::start().await;
    let answers = Answers {
        cancel: Box::new(|_| {
            Err(mk_error(Code::PermissionDenied, "PERMISSION_DENIED", "who are you"))
        }),
        ..Answers::default()
    };
    let serving = serve(answers).await;
    let object = mk_object(5, &json!({"phase": "Pending", "cancelRequest": mk_cancel()}));
    let (mut follower, _objects) = mk_follower_of(&api_server, object, &serving.1);
    follower.seals = Seals::Key(mk_key());
    let Step::Stop(request) = next(&follower) else { panic!() };
    follower.stop(*request).await;
    let refused = Outcome::Refused { why: "who are you".to_owned() };
    assert_eq!(next(&follower), Step::Settle(Wish::Cancel, refused));
}

#[tokio::test]
async fn a_request_is_taken_away_after_it_was_made_known_and_only_as_it_was_seen() {
    let mut api_server = ApiServer::start().await;
    let (mut follower, _objects, _serving) = mk_asking(&api_server, Answers::default()).await;
    let settling = async {
        let refused = Outcome::Refused { why: "nothing is blocked".to_owned() };
        follower.settle(Wish::Clearance, refused).await;
        follower
    };
    let answering = async {
        let event = api_server.next().await;
        is(&event, "POST", EVENTS);
        assert_eq!(event.body["reason"], "BlockClearanceRefused");
        assert_eq!(event.body["note"], "The block was not cleared: nothing is blocked.");
        let body = event.body.clone();
        event.answer(201, &body);
        let write = api_server.next().await;
        is(&write, "PATCH", STATUS);
        let expected = json!({
            "metadata": {"uid": "u", "resourceVersion": "5"},
            "status": {"blockClearanceRequest": null},
        });
        assert_eq!(write.body, expected);
        assert_eq!(write.param("fieldManager"), Some("wfe-bridge"));
        write.refuse(409, "Conflict", "the object has been modified");
        let read = api_server.next().await;
        is(&read, "GET", OBJECT);
        read.answer(200, &mk_json(9, &mk_shown(&Phase::Failed, 6)));
    };
    let (follower, ()) = tokio::join!(settling, answering);
    assert_eq!((follower.object.version, follower.writes.failures), (9, 0));
}

#[tokio::test]
async fn a_bridge_that_stops_takes_no_request_away_that_was_not_answered() {
    let mut api_server = ApiServer::start().await;
    let (mut follower, _objects, _serving) = mk_asking(&api_server, Answers::default()).await;
    let stopping = follower.around.stopping.clone();
    let settling = follower.settle(Wish::Clearance, Outcome::Refused { why: "x".to_owned() });
    let refusing = async {
        let create = api_server.next().await;
        is(&create, "POST", EVENTS);
        stopping.cancel();
        create.refuse(503, "", "not now");
        api_server.next().await;
    };
    let first = futures::future::select(Box::pin(settling), Box::pin(refusing)).await;
    assert!(matches!(first, futures::future::Either::Left(_)));
}
