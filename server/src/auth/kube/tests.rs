use serde_json::{Value, json};
use wfe_core::access::{Scope, Verb};
use wfe_runtime::cluster::testing::ApiServer;

use super::*;

fn token_review(status: &Value) -> TokenReview {
    serde_json::from_value(json!({ "spec": {}, "status": status })).unwrap()
}

#[test]
fn a_token_is_accepted_when_it_is_good_and_meant_for_us() {
    let user =
        json!({ "username": "alice", "uid": "u-1", "groups": ["team"], "extra": { "k": ["v"] } });
    #[rustfmt::skip]
    let table = [
        (json!({ "authenticated": true, "user": user, "audiences": ["wfe"] }), Some("alice")),
        (json!({ "authenticated": true, "user": user, "audiences": ["x", "wfe"] }), Some("alice")),
        (json!({ "authenticated": true, "user": user, "audiences": ["api"] }), None),
        (json!({ "authenticated": true, "user": user, "audiences": [] }), None),
        (json!({ "authenticated": true, "user": user }), None),
        (json!({ "authenticated": false, "user": user, "audiences": ["wfe"] }), None),
        (json!({ "user": user, "audiences": ["wfe"] }), None),
        (json!({ "authenticated": true, "audiences": ["wfe"] }), None),
        (json!({ "authenticated": true, "user": { "username": "" }, "audiences": ["wfe"] }), None),
        (json!({ "error": "invalid bearer token" }), None),
        (json!(null), None),
    ];
    for (status, expected) in table {
        let user = match identity(token_review(&status), "wfe") {
            Authentication::Known(identity) => Some(identity.user.clone()),
            Authentication::Unknown => None,
        };
        assert_eq!(user.as_deref(), expected, "{status}");
    }
}

#[test]
fn a_right_is_had_only_by_a_plain_yes() {
    let table = [
        (json!({ "allowed": true }), Verdict::Allowed),
        (json!({ "allowed": true, "denied": false }), Verdict::Allowed),
        (json!({ "allowed": true, "denied": true }), Verdict::Denied),
        (json!({ "allowed": false }), Verdict::Denied),
        (json!({ "allowed": false, "evaluationError": "no such role" }), Verdict::Denied),
        (json!(null), Verdict::Denied),
    ];
    for (status, expected) in table {
        let review = json!({ "spec": {}, "status": status });
        assert_eq!(verdict(&serde_json::from_value(review).unwrap()), expected, "{status}");
    }
}

#[tokio::test]
async fn the_reviews_say_all_that_is_known_of_the_caller() {
    let mut api = ApiServer::start().await;
    let reviewer = Arc::new(KubeReviewer::new(api.client.clone(), "wfe".to_owned()));
    let asking = tokio::spawn({
        let reviewer = Arc::clone(&reviewer);
        async move { reviewer.authenticate(&Token::new("a-token")).await }
    });
    let asked = api.next().await;
    assert_eq!(asked.path, "/apis/authentication.k8s.io/v1/tokenreviews");
    assert_eq!(asked.body["spec"], json!({ "token": "a-token", "audiences": ["wfe"] }));
    let user =
        json!({ "username": "alice", "uid": "u", "groups": ["team"], "extra": { "k": ["v"] } });
    let status = json!({ "authenticated": true, "audiences": ["wfe"], "user": user });
    asked.answer(201, &json!({ "metadata": {}, "spec": {}, "status": status }));
    let Authentication::Known(alice) = asking.await.unwrap().unwrap() else { panic!("not known") };

    let right = Right { verb: Verb::Cancel, scope: Scope::Namespace("pay".to_owned()) };
    let asking = tokio::spawn(async move { reviewer.authorize(&alice, &right).await });
    let asked = api.next().await;
    assert_eq!(asked.path, "/apis/authorization.k8s.io/v1/subjectaccessreviews");
    let attributes = json!({
        "group": "kubernaut.ai", "resource": "workflowexecutions", "verb": "cancel",
        "namespace": "pay",
    });
    assert_eq!(
        asked.body["spec"],
        json!({ "user": "alice", "uid": "u", "groups": ["team"], "extra": { "k": ["v"] },
                "resourceAttributes": attributes })
    );
    asked.answer(201, &json!({ "metadata": {}, "spec": {}, "status": { "allowed": true } }));
    assert_eq!(asking.await.unwrap().unwrap(), Verdict::Allowed);
}

#[tokio::test]
async fn a_refusal_to_review_is_no_answer() {
    let mut api = ApiServer::start().await;
    let reviewer = KubeReviewer::new(api.client.clone(), "wfe".to_owned());
    let asking = tokio::spawn(async move { reviewer.authenticate(&Token::new("x")).await });
    api.next().await.refuse(403, "Forbidden", "may not create tokenreviews");
    let error = asking.await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "TokenReview was not answered");
}
