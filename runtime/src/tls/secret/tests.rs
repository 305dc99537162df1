use std::sync::Arc;

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::*;
use crate::{
    clock::{ManualClock, SystemClock},
    cluster::testing::{ApiServer, Asked, PATIENCE},
    tls::{Facts, LIFETIME},
};

const ALL: &str = "/api/v1/namespaces/n/secrets";
const ONE: &str = "/api/v1/namespaces/n/secrets/s";

fn mk_keeper(api: &ApiServer) -> SelfSigned {
    let names = vec!["wfe".to_owned(), "127.0.0.1".to_owned()];
    SelfSigned::new(api.client.clone(), "n/s".parse().unwrap(), names, &["seal.key"])
}

fn obtain(keeper: &SelfSigned, now: Timestamp) -> JoinHandle<Result<Kept, SecretError>> {
    let keeper = keeper.clone();
    tokio::spawn(async move { keeper.obtain(now).await })
}

async fn asked(api: &mut ApiServer, method: &str, path: &str) -> Asked {
    let asked = api.next().await;
    assert_eq!((asked.method.as_str(), asked.path.as_str()), (method, path));
    asked
}

fn absent(asked: Asked) {
    asked.refuse(404, "NotFound", "there is none");
}

/// The Secret as an API server keeps it.
fn stored(mut body: Value, version: &str) -> Value {
    body["metadata"]["resourceVersion"] = json!(version);
    body
}

/// What a process makes where nothing is.
async fn mk_stored(now: Timestamp) -> Value {
    let mut api = ApiServer::start().await;
    let making = obtain(&mk_keeper(&api), now);
    absent(asked(&mut api, "GET", ONE).await);
    let create = asked(&mut api, "POST", ALL).await;
    let secret = stored(create.body.clone(), "1");
    create.answer(201, &secret);
    asked(&mut api, "GET", ONE).await.answer(200, &secret);
    making.await.unwrap().unwrap();
    secret
}

#[tokio::test]
async fn a_missing_secret_is_made_with_what_a_server_needs() {
    let mut api = ApiServer::start().await;
    let making = obtain(&mk_keeper(&api), SystemClock.now());
    absent(asked(&mut api, "GET", ONE).await);
    let create = asked(&mut api, "POST", ALL).await;
    assert_eq!(create.body["type"], "kubernetes.io/tls");
    let secret = stored(create.body.clone(), "1");
    create.answer(201, &secret);
    asked(&mut api, "GET", ONE).await.answer(200, &secret);
    let kept = making.await.unwrap().unwrap();
    let facts = Facts::of_pem(&kept.server.certificate).unwrap();
    assert_eq!(facts.names, ["wfe", "127.0.0.1"]);
    assert_eq!(kept.random["seal.key"].len(), 32);
    assert_ne!(kept.random["seal.key"], vec![0; 32]);
}

#[tokio::test]
async fn of_two_replicas_one_makes_the_secret_and_the_other_takes_it() {
    let now = SystemClock.now();
    let others = mk_stored(now).await;
    let mut api = ApiServer::start().await;
    let making = obtain(&mk_keeper(&api), now);
    absent(asked(&mut api, "GET", ONE).await);
    asked(&mut api, "POST", ALL).await.refuse(409, "AlreadyExists", "it is there");
    asked(&mut api, "GET", ONE).await.answer(200, &others);
    let kept = making.await.unwrap().unwrap();
    let theirs: Secret = serde_json::from_value(others).unwrap();
    assert_eq!(kept.server.certificate, data(&theirs)["tls.crt"]);
}

#[tokio::test]
async fn a_renewal_keeps_random_entries_and_overwrites_nobody() {
    let begin = SystemClock.now();
    let before = mk_stored(begin).await;
    let later = begin.checked_add(LIFETIME).unwrap();
    let mut api = ApiServer::start().await;
    let renewing = obtain(&mk_keeper(&api), later);
    asked(&mut api, "GET", ONE).await.answer(200, &stored(before.clone(), "7"));
    let update = asked(&mut api, "PUT", ONE).await;
    assert_eq!(update.body["metadata"]["resourceVersion"], "7");
    assert_eq!(update.body["data"]["seal.key"], before["data"]["seal.key"]);
    assert_eq!(update.body["data"]["ca.crt"], before["data"]["ca.crt"]);
    assert_ne!(update.body["data"]["tls.crt"], before["data"]["tls.crt"]);
    let others = stored(update.body.clone(), "8");
    update.refuse(409, "Conflict", "it was changed");
    // Another replica was faster with the same: its certificate is taken.
    asked(&mut api, "GET", ONE).await.answer(200, &others);
    let kept = renewing.await.unwrap().unwrap();
    assert!(Facts::of_pem(&kept.server.certificate).unwrap().not_after > later);
}

#[tokio::test]
async fn a_secret_that_others_keep_is_never_written() {
    let begin = SystemClock.now();
    let mut secret = mk_stored(begin).await;
    secret["metadata"]["annotations"] = json!({});
    let mut api = ApiServer::start().await;
    let expired = begin.checked_add(LIFETIME * 2).unwrap();
    let using = obtain(&mk_keeper(&api), expired);
    asked(&mut api, "GET", ONE).await.answer(200, &secret);
    using.await.unwrap().unwrap();

    secret["data"]["tls.key"] = json!("AAAA");
    let refusing = obtain(&mk_keeper(&api), begin);
    asked(&mut api, "GET", ONE).await.answer(200, &secret);
    let refused = refusing.await.unwrap().unwrap_err();
    assert!(matches!(refused, SecretError::Foreign { .. }), "{refused:?}");
}

#[tokio::test]
async fn what_the_api_server_refuses_is_said_with_the_verb() {
    let mut api = ApiServer::start().await;
    let making = obtain(&mk_keeper(&api), SystemClock.now());
    absent(asked(&mut api, "GET", ONE).await);
    asked(&mut api, "POST", ALL).await.refuse(403, "Forbidden", "no");
    let refused = making.await.unwrap().unwrap_err();
    assert!(matches!(refused, SecretError::Call { verb: "create", .. }), "{refused:?}");
    assert_eq!(refused.to_string(), "Secret n/s: create");
}

#[tokio::test]
async fn a_renewed_certificate_is_told_while_the_process_runs() {
    let begin = SystemClock.now();
    let before = mk_stored(begin).await;
    let mut api = ApiServer::start().await;
    let keeper = mk_keeper(&api);
    let reading = obtain(&keeper, begin);
    asked(&mut api, "GET", ONE).await.answer(200, &before);
    let first = reading.await.unwrap().unwrap();

    let clock = ManualClock::new(begin.checked_add(LIFETIME).unwrap());
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    let stopping = CancellationToken::new();
    let changed = move |kept: &Kept| tell.send(kept.clone()).unwrap();
    let interval = Duration::from_millis(1);
    let keeping = tokio::spawn(keeper.keep(
        first.clone(),
        Arc::new(clock),
        interval,
        changed,
        stopping.clone(),
    ));
    asked(&mut api, "GET", ONE).await.answer(200, &before);
    let update = asked(&mut api, "PUT", ONE).await;
    let after = stored(update.body.clone(), "2");
    update.answer(200, &after);
    asked(&mut api, "GET", ONE).await.answer(200, &after);
    let renewed = tokio::time::timeout(PATIENCE, told.recv()).await.unwrap().unwrap();
    assert_ne!(renewed.server, first.server);
    assert_eq!(renewed.random, first.random);
    stopping.cancel();
    drop(api);
    keeping.await.unwrap();
}

#[test]
fn names_of_secrets_are_namespace_and_name() {
    for good in ["n/s", "kubernaut-system/wfe.tls", "a/b-1"] {
        assert_eq!(good.parse::<SecretName>().unwrap().to_string(), good);
    }
    for bad in ["", "s", "/s", "n/", "n/s/t", "N/s", "n.m/s", "-n/s", "n/s-", "n/ s"] {
        assert!(bad.parse::<SecretName>().is_err(), "{bad}");
    }
}
