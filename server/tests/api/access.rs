//! Who is let in, what they may do, and what they can find out, with a reviewer that the test scripts.

use tonic::{Code, Status};
use wfe_proto::v1::{self, State};

use crate::{guarded::*, support::*};

pub(crate) fn by_id(id: &str) -> v1::GetRequest {
    v1::GetRequest { key: Some(v1::get_request::Key::ExecutionId(id.to_owned())) }
}

fn by_request(id: &str) -> v1::GetRequest {
    v1::GetRequest { key: Some(v1::get_request::Key::RequestId(id.to_owned())) }
}

fn mk_watch(id: &str) -> v1::WatchRequest {
    let scope = Some(v1::watch_request::Scope::ExecutionId(id.to_owned()));
    v1::WatchRequest { scope, after: None }
}

fn mk_cancel(execution_id: &str) -> v1::CancelRequest {
    v1::CancelRequest {
        execution_id: execution_id.to_owned(),
        reason: "a test".to_owned(),
        ..v1::CancelRequest::default()
    }
}

fn mk_events(id: &str) -> v1::ListEventsRequest {
    v1::ListEventsRequest { execution_id: id.to_owned(), ..v1::ListEventsRequest::default() }
}

fn mk_target(target: &str) -> v1::GetTargetRequest {
    v1::GetTargetRequest { target: target.to_owned(), cluster_id: String::new() }
}

fn mk_clear(target: &str) -> v1::ClearBlockRequest {
    v1::ClearBlockRequest {
        target: target.to_owned(),
        reason: "looked at it, it is fine".to_owned(),
        ..v1::ClearBlockRequest::default()
    }
}

/// Makes every call about an execution and its target, and answers how each went.
async fn every_call(caller: &mut Caller, id: &str, target: &str) -> Vec<(&'static str, Code)> {
    fn code<T>(answer: Result<T, Status>) -> Code {
        answer.map_or_else(|status| status.code(), |_| Code::Ok)
    }
    let start = v1::StartRequest { validate_only: true, ..mk_endless("another", target) };
    let mut went = vec![
        ("Start", code(caller.start(start).await)),
        ("Get", code(caller.get(by_id(id)).await)),
        ("GetTarget", code(caller.get_target(mk_target(target)).await)),
        ("ListEvents", code(caller.list_events(mk_events(id)).await)),
        ("Watch", code(caller.watch(mk_watch(id)).await)),
        ("ClearBlock", code(caller.clear_block(mk_clear(target)).await)),
        ("Cancel", code(caller.cancel(mk_cancel(id)).await)),
    ];
    let listed = caller.list(v1::ListRequest::default()).await;
    let listed = listed.map(|listed| listed.into_inner().executions.len());
    went.push((
        "List",
        match listed {
            Ok(0) => Code::NotFound,
            Ok(_) => Code::Ok,
            Err(status) => status.code(),
        },
    ));
    went
}

#[tokio::test]
async fn whoever_does_not_say_who_they_are_is_not_let_in_by_any_call() {
    let guarded = Guarded::start(&[]).await;
    let id = guarded.begin("root", mk_endless("r", "pay/deployment/api")).await.id;
    for authorization in [None, Some("Bearer made-up".to_owned()), Some("Basic YTpi".to_owned())] {
        let mut caller = guarded.with(authorization.clone()).await;
        for (call, code) in every_call(&mut caller, &id, "pay/deployment/api").await {
            assert_eq!(code, Code::Unauthenticated, "{call} with {authorization:?}");
        }
        refused(
            &caller.get(by_id(&id)).await.unwrap_err(),
            Code::Unauthenticated,
            "UNAUTHENTICATED",
        );
    }
    let text = String::from_utf8(guarded.stack.metrics.render().unwrap()).unwrap();
    let counted = "wfe_denials_total{code=\"UNAUTHENTICATED\",method=\"Cancel\"} 3";
    assert!(text.contains(counted), "{text}");
}

#[tokio::test]
async fn nothing_is_allowed_while_the_reviewer_is_away() {
    let guarded = Guarded::start(&[]).await;
    let id = guarded.begin("root", mk_endless("r", "pay/deployment/api")).await.id;
    guarded.edit(|script| script.away = true);
    let mut root = guarded.caller("root").await;
    eventually("what was believed is forgotten", async || root.get(by_id(&id)).await.err()).await;
    for (call, code) in every_call(&mut root, &id, "pay/deployment/api").await {
        assert_eq!(code, Code::Unavailable, "{call}");
    }
    let status = root.get(by_id(&id)).await.unwrap_err();
    refused(&status, Code::Unavailable, "AUTHENTICATION_UNAVAILABLE");
    guarded.edit(|script| script.away = false);
    root.get(by_id(&id)).await.unwrap();
}

#[tokio::test]
async fn each_call_needs_its_verb_where_the_target_is() {
    let allowed_by = |verb: &str| -> Vec<&'static str> {
        match verb {
            "create" => vec!["Start"],
            "get" => vec!["Get", "GetTarget", "ListEvents"],
            "list" => vec!["List"],
            "watch" => vec!["Watch"],
            "cancel" => vec!["Cancel"],
            "clearblock" => vec!["ClearBlock"],
            other => panic!("{other}"),
        }
    };
    for verb in ALL {
        let target = "pay/deployment/api";
        let guarded = Guarded::start(&[("alice", verb, "pay"), ("bob", verb, "other")]).await;
        let id = guarded.begin("root", mk_endless("r", target)).await.id;
        for user in ["alice", "bob"] {
            let mut caller = guarded.caller(user).await;
            for (call, code) in every_call(&mut caller, &id, target).await {
                let expected = match (user == "alice" && allowed_by(verb).contains(&call), call) {
                    // The target is taken, and clearing is not there yet: both were let through.
                    (true, "Start") => Code::Aborted,
                    (true, "ClearBlock") => Code::FailedPrecondition,
                    (true, _) => Code::Ok,
                    // A list holds what may be seen, which is nothing.
                    (false, "List") => Code::NotFound,
                    (false, _) => Code::PermissionDenied,
                };
                assert_eq!(code, expected, "{user} with {verb}: {call}");
            }
        }
    }
}

#[tokio::test]
async fn what_is_in_no_namespace_needs_the_right_in_the_whole_cluster() {
    let guarded = Guarded::start(&[("alice", "create", "pay"), ("alice", "get", "pay")]).await;
    let id = guarded.begin("root", mk_endless("r", "node/worker-1")).await.id;
    let mut alice = guarded.caller("alice").await;
    let status = alice.start(mk_endless("mine", "node/worker-1")).await.unwrap_err();
    refused(&status, Code::PermissionDenied, "PERMISSION_DENIED");
    let status = alice.get(by_id(&id)).await.unwrap_err();
    refused(&status, Code::PermissionDenied, "PERMISSION_DENIED");
    guarded.edit(|script| script.grants.extend([("alice", "get", "")]));
    eventually("the right is there", async || alice.get(by_id(&id)).await.ok()).await;
}

#[tokio::test]
async fn what_is_hidden_and_what_does_not_exist_get_the_same_answer() {
    let grants: Vec<Grant> = ALL.iter().map(|verb| ("alice", *verb, "other")).collect();
    let guarded = Guarded::start(&grants).await;
    let hidden = guarded.begin("root", mk_endless("r-hidden", "pay/deployment/api")).await.id;
    let absent = "01890a5d-ac96-774b-bcce-b302099a8057";
    let mut alice = guarded.caller("alice").await;
    let mut root = guarded.caller("root").await;

    // The ids are what the caller said; everything else must be equal.
    let said = |status: &Status, id: &str| {
        refused(status, Code::PermissionDenied, "PERMISSION_DENIED").replace(id, "<id>")
    };
    let details = |status: &Status| status.details().len();
    macro_rules! same {
        ($call:ident, $mk:expr, $hidden:expr, $absent:expr) => {
            let one = alice.$call($mk($hidden)).await.unwrap_err();
            let other = alice.$call($mk($absent)).await.unwrap_err();
            assert_eq!(said(&one, $hidden), said(&other, $absent));
            assert_eq!(details(&one) - $hidden.len(), details(&other) - $absent.len());
            let status = root.$call($mk($absent)).await.unwrap_err();
            refused(&status, Code::NotFound, "NOT_FOUND");
        };
    }
    same!(get, by_id, hidden.as_str(), absent);
    same!(watch, mk_watch, hidden.as_str(), absent);
    same!(list_events, mk_events, hidden.as_str(), absent);
    same!(cancel, mk_cancel, hidden.as_str(), absent);
    same!(get, by_request, "r-hidden", "r-none");

    // Withdrawing what was never accepted could be told from cancelling what is hidden.
    let by_request_id = |id: &str| v1::CancelRequest {
        execution_id: String::new(),
        request_id: id.to_owned(),
        ..mk_cancel("")
    };
    let one = alice.cancel(by_request_id("r-hidden")).await.unwrap_err();
    let other = alice.cancel(by_request_id("r-none")).await.unwrap_err();
    assert_eq!(said(&one, "r-hidden"), said(&other, "r-none"));
    assert_eq!(guarded.stack.store().count_by_state().await.unwrap().len(), 1, "nothing changed");
    let found = root.get(by_id(&hidden)).await.unwrap().into_inner().execution.unwrap();
    assert_ne!(found.state(), State::Cancelling);
}

#[tokio::test]
async fn pages_hold_only_what_may_be_seen_and_are_full() {
    let guarded = Guarded::start(&[("alice", "list", "pay"), ("alice", "list", "team")]).await;
    let mut expected = Vec::new();
    for n in 0..30 {
        let (user, request, seen) = match n % 3 {
            0 => ("root", mk_endless(&format!("r-{n}"), &format!("pay/pod/p-{n}")), true),
            1 => ("root", mk_endless(&format!("r-{n}"), &format!("other/pod/p-{n}")), false),
            // The bridge says for whom; anybody else may write the same and is not believed.
            _ if n % 2 == 0 => {
                (BRIDGE, mk_from("team", &format!("r-{n}"), &format!("pod/p-{n}")), true)
            }
            _ => ("root", mk_from("team", &format!("r-{n}"), &format!("pod/p-{n}")), false),
        };
        let id = guarded.begin(user, request).await.id;
        if seen {
            expected.insert(0, id);
        }
    }
    let mut alice = guarded.caller("alice").await;
    let (mut seen, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = v1::ListRequest { page_size: 4, page_token, ..v1::ListRequest::default() };
        let page = alice.list(request).await.unwrap().into_inner();
        let full = page.executions.len() == 4;
        seen.extend(page.executions.into_iter().map(|execution| execution.id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
        assert!(full, "only the last page may be short");
    }
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn what_a_bridge_asked_for_is_seen_and_cancelled_where_its_object_is() {
    let verbs = ["get", "watch", "cancel"];
    let grants: Vec<Grant> = verbs.iter().map(|verb| ("alice", *verb, "team")).collect();
    let guarded = Guarded::start(&grants).await;
    let bridged = guarded.begin(BRIDGE, mk_from("team", "bridged", "node/one")).await;
    assert_eq!(bridged.actor.unwrap().user, BRIDGE);
    let typed = guarded.begin("root", mk_from("team", "typed", "node/two")).await;
    let mut alice = guarded.caller("alice").await;
    alice.get(by_id(&bridged.id)).await.unwrap();
    alice.watch(mk_watch(&bridged.id)).await.unwrap();
    let cancelled = alice.cancel(mk_cancel(&bridged.id)).await.unwrap().into_inner();
    let actor = cancelled.execution.unwrap().cancellation.unwrap().actor.unwrap();
    assert_eq!((actor.user.as_str(), actor.method()), ("alice", v1::AuthenticationMethod::Token));
    assert_eq!((actor.uid.as_str(), actor.groups), ("uid-1", vec!["people".to_owned()]));
    let status = alice.get(by_id(&typed.id)).await.unwrap_err();
    refused(&status, Code::PermissionDenied, "PERMISSION_DENIED");
    let status = alice.get_target(mk_target("node/one")).await.unwrap_err();
    refused(&status, Code::PermissionDenied, "PERMISSION_DENIED");
}

#[tokio::test]
async fn a_watch_ends_when_the_right_or_the_token_is_gone() {
    let guarded = Guarded::start(&[("alice", "watch", "pay")]).await;
    let id = guarded.begin("root", mk_endless("r", "pay/deployment/api")).await.id;
    let mut alice = guarded.caller("alice").await;
    let ended = async |alice: &mut Caller, edit: fn(&mut Script)| {
        let mut open =
            eventually("it can be watched", async || alice.watch(mk_watch(&id)).await.ok())
                .await
                .into_inner();
        open.message().await.unwrap().unwrap();
        guarded.edit(edit);
        let end = async {
            loop {
                if let Err(status) = open.message().await {
                    return status;
                }
            }
        };
        tokio::time::timeout(PATIENCE, end).await.unwrap()
    };
    let status = ended(&mut alice, |script| {
        script.grants.remove(&("alice", "watch", "pay"));
    })
    .await;
    refused(&status, Code::PermissionDenied, "PERMISSION_DENIED");
    guarded.edit(|script| script.grants.extend([("alice", "watch", "pay")]));
    let status = ended(&mut alice, |script| {
        script.tokens.remove("token-of-alice");
    })
    .await;
    refused(&status, Code::Unauthenticated, "UNAUTHENTICATED");
    guarded
        .edit(|script| script.tokens.extend([("token-of-alice".to_owned(), "alice".to_owned())]));
    let status = ended(&mut alice, |script| script.away = true).await;
    refused(&status, Code::Unavailable, "AUTHENTICATION_UNAVAILABLE");
}

#[tokio::test]
async fn only_a_bridge_is_believed_for_whom_it_acts() {
    let guarded = Guarded::start(&[]).await;
    let somebody = || {
        let groups = vec!["sre".to_owned()];
        Some(v1::OnBehalfOf { user: "carol".to_owned(), uid: "c".to_owned(), groups })
    };
    let request = |id: &str| v1::StartRequest {
        on_behalf_of: somebody(),
        ..mk_endless(id, &format!("pay/pod/{id}"))
    };
    let started = guarded.begin(BRIDGE, request("one")).await;
    let actor = started.actor.unwrap();
    assert_eq!((actor.user.as_str(), actor.on_behalf_of), (BRIDGE, somebody()));

    let mut root = guarded.caller("root").await;
    let cancel = || v1::CancelRequest { on_behalf_of: somebody(), ..mk_cancel(&started.id) };
    let clear =
        v1::ClearBlockRequest { on_behalf_of: somebody(), ..mk_clear("pay/deployment/api") };
    for status in [
        root.start(request("two")).await.unwrap_err(),
        root.cancel(cancel()).await.unwrap_err(),
        root.clear_block(clear).await.unwrap_err(),
    ] {
        let said = refused(&status, Code::PermissionDenied, "PERMISSION_DENIED");
        assert!(said.contains("trusted_bridges"), "{said}");
    }
    let mut bridge = guarded.caller(BRIDGE).await;
    let cancelled = bridge.cancel(cancel()).await.unwrap().into_inner().execution.unwrap();
    assert_eq!(cancelled.cancellation.unwrap().actor.unwrap().on_behalf_of, somebody());
    let nobody = v1::OnBehalfOf::default();
    let request = v1::StartRequest { on_behalf_of: Some(nobody), ..mk_endless("x", "pod/x") };
    assert_eq!(violated(&bridge.start(request).await.unwrap_err()), ["on_behalf_of.user"]);
}

#[tokio::test]
async fn to_follow_the_holder_of_a_target_one_must_be_allowed_to_see_it() {
    let guarded = Guarded::start(&[("alice", "create", "pay")]).await;
    let held = guarded.begin("root", mk_endless("r", "pay/deployment/api")).await.id;
    let attach = || v1::StartRequest {
        when_locked: v1::WhenLocked::Attach.into(),
        ..mk_endless("mine", "pay/deployment/api")
    };
    let mut alice = guarded.caller("alice").await;
    let status = alice.start(attach()).await.unwrap_err();
    refused(&status, Code::PermissionDenied, "PERMISSION_DENIED");
    guarded.edit(|script| script.grants.extend([("alice", "get", "pay")]));
    let attached =
        eventually("the right is there", async || alice.start(attach()).await.ok()).await;
    assert_eq!(attached.into_inner().execution.unwrap().id, held);
}

#[tokio::test]
async fn the_log_is_for_those_who_may_audit_the_whole_cluster() {
    let guarded = Guarded::start(&[("alice", "audit", "default"), ("bob", "audit", "")]).await;
    let export = async |user: &str| {
        let mut caller = guarded.caller(user).await;
        caller.export_log(v1::ExportLogRequest { after: 0 }).await.map(drop).unwrap_err()
    };
    for user in ["alice", "root"] {
        let status = export(user).await;
        assert_eq!(status.code(), Code::PermissionDenied, "{status:?}");
        assert!(status.message().contains("the log needs the right in the whole cluster"));
    }
    // He is let through; there is no log here that is signed.
    assert_eq!(export("bob").await.code(), Code::Unimplemented);
}
