//! Each call needs its verb, in the namespace of the target or in the whole cluster.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tonic::Code;
use wfe_proto::v1;
use wfe_tests::wait::{PATIENCE, eventually};
use wfe_tests::{ControlPlane, Namespace, bundles};

use crate::support::{ALL, Guarded, Subject, call, let_through, mk_get, mk_start, mk_watch, start};

/// Which verb each call needs. Cancel is last, for it changes something.
const CALLS: [(&str, &str); 8] = [
    ("Start", "create"),
    ("Get", "get"),
    ("GetTarget", "get"),
    ("ListEvents", "get"),
    ("List", "list"),
    ("Watch", "watch"),
    ("ClearBlock", "clearblock"),
    ("Cancel", "cancel"),
];

#[tokio::test]
async fn each_call_needs_its_verb_where_its_target_is() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    Namespace::with(plane.client().await?, async |namespace| {
        let guarded = Guarded::start(&plane, namespace).await?;
        let bundle = bundles::never_ends(plane.registry()).await?.reference;
        let root = guarded.account("root").await?;
        let target = format!("{}/deployment/api", namespace.name());
        guarded
            .everywhere(&Subject::Account(root.clone()), &ALL, async || {
                let client = guarded.client_of(&root).await?;
                let request = mk_start(&bundle, "held", &target);
                let id = eventually(PATIENCE, "root may start", async || {
                    start(&mut client.clone(), request.clone())
                        .await
                        .map_err(|error| error.to_string())
                })
                .await?
                .id;
                // One account for each verb, and one with none: each cell of the table.
                for verb in ALL.into_iter().map(Some).chain([None]) {
                    let name = verb.unwrap_or("nothing");
                    let account = guarded.account(name).await?;
                    let verbs: Vec<&str> = verb.into_iter().collect();
                    let subject = Subject::Account(account.clone());
                    guarded.grant(namespace, &subject, &verbs).await.or_else(|error| {
                        // A role without verbs is refused, and needed by nobody.
                        if verb.is_none() { Ok(()) } else { Err(error) }
                    })?;
                    let client = guarded.client_of(&account).await?;
                    for (method, needed) in CALLS {
                        let expected = verb == Some(needed);
                        let what = format!("{name}: {method} let through: {expected}");
                        // A role counts a moment after it is there.
                        eventually(PATIENCE, &what, async || {
                            let code = call(&mut client.clone(), method, &id, &target).await;
                            if let_through(code) == expected { Ok(()) } else { Err(code) }
                        })
                        .await?;
                    }
                }
                Ok(())
            })
            .await
    })
    .await
}

#[tokio::test]
async fn a_right_does_not_reach_other_namespaces_nor_what_is_in_none() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    Namespace::with(plane.client().await?, async |namespace| {
        let guarded = Guarded::start(&plane, namespace).await?;
        let bundle = bundles::never_ends(plane.registry()).await?.reference;
        let (alice, root) = (guarded.account("alice").await?, guarded.account("root").await?);
        guarded.grant(namespace, &Subject::Account(alice.clone()), &ALL).await?;
        guarded
            .everywhere(&Subject::Account(root.clone()), &ALL, async || {
                let mut root = guarded.client_of(&root).await?;
                let mut alice = guarded.client_of(&alice).await?;
                let mine = format!("{}/deployment/api", namespace.name());
                eventually(PATIENCE, "alice may start in her namespace", async || {
                    let request = mk_start(&bundle, "mine", &mine);
                    start(&mut alice.clone(), request).await.map_err(|error| error.to_string())
                })
                .await?;
                for (n, target) in ["elsewhere/deployment/api", "node/of-nobody"].iter().enumerate()
                {
                    let request = mk_start(&bundle, &format!("hidden-{n}"), target);
                    let id = eventually(PATIENCE, "root may start", async || {
                        start(&mut root.clone(), request.clone())
                            .await
                            .map_err(|error| error.to_string())
                    })
                    .await?
                    .id;
                    for (method, _) in CALLS {
                        if method != "List" {
                            let code = call(&mut alice, method, &id, target).await;
                            assert_eq!(code, Code::PermissionDenied, "{method} on {target}");
                        }
                    }
                    let absent = alice.get(mk_get(ABSENT)).await.unwrap_err();
                    let hidden = alice.get(mk_get(&id)).await.unwrap_err();
                    assert_eq!(
                        hidden.message().replace(&id, ""),
                        absent.message().replace(ABSENT, "")
                    );
                }
                let listed = alice.list(v1::ListRequest::default()).await?.into_inner().executions;
                let targets: Vec<String> = listed.into_iter().map(|one| one.target).collect();
                assert_eq!(targets, [mine]);
                let status = root.get(mk_get(ABSENT)).await.unwrap_err();
                assert_eq!(status.code(), Code::NotFound);
                Ok(())
            })
            .await
    })
    .await
}

const ABSENT: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

#[tokio::test]
async fn a_right_that_is_taken_away_is_gone_at_once_also_from_an_open_watch() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    Namespace::with(plane.client().await?, async |namespace| {
        let guarded = Guarded::start_with(&plane, namespace, &["--heartbeat", "200ms"]).await?;
        let bundle = bundles::never_ends(plane.registry()).await?.reference;
        let alice = guarded.account("alice").await?;
        let subject = Subject::Account(alice.clone());
        guarded.grant(namespace, &subject, &ALL).await?;
        let mut client = guarded.client_of(&alice).await?;
        let target = format!("{}/deployment/api", namespace.name());
        let request = mk_start(&bundle, "mine", &target);
        let execution = eventually(PATIENCE, "alice may start", async || {
            start(&mut client.clone(), request.clone()).await.map_err(|error| error.to_string())
        })
        .await?;
        let mut open = client.watch(mk_watch(&execution.id)).await?.into_inner();
        open.message().await?.context("a snapshot")?;

        guarded.revoke(namespace, &subject).await?;
        let began = Instant::now();
        let ended = loop {
            if let Err(status) = open.message().await {
                break status;
            }
        };
        assert_eq!(ended.code(), Code::PermissionDenied, "{ended}");
        // The cache, a heartbeat, and the moment in which the API server itself learns of it.
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        let status = client.get(mk_get(&execution.id)).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied, "{status}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_bridge_is_believed_for_whom_it_acts_and_nobody_else_is() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    Namespace::with(plane.client().await?, async |namespace| {
        let guarded = Guarded::start(&plane, namespace).await?;
        let bundle = bundles::never_ends(plane.registry()).await?.reference;
        let somebody = v1::OnBehalfOf { user: "carol".to_owned(), ..v1::OnBehalfOf::default() };
        for (name, believed) in [("bridge", true), ("alice", false)] {
            let account = guarded.account(name).await?;
            guarded.grant(namespace, &Subject::Account(account.clone()), &ALL).await?;
            let mut client = guarded.client_of(&account).await?;
            let target = format!("{}/deployment/{name}", namespace.name());
            let plain = mk_start(&bundle, name, &target);
            eventually(PATIENCE, "the right is there", async || {
                let request = v1::StartRequest { validate_only: true, ..plain.clone() };
                client.clone().start(request).await.map_err(|status| status.to_string())
            })
            .await?;
            let request = v1::StartRequest { on_behalf_of: Some(somebody.clone()), ..plain };
            match client.start(request).await {
                Ok(started) => {
                    assert!(believed, "{name}");
                    let actor = started.into_inner().execution.and_then(|one| one.actor);
                    let actor = actor.context("an actor")?;
                    assert_eq!(actor.user, account.username());
                    assert_eq!(actor.on_behalf_of, Some(somebody.clone()));
                    assert_eq!(actor.method(), v1::AuthenticationMethod::Token);
                    assert_eq!(actor.address, "127.0.0.1");
                    assert!(actor.groups.contains(&"system:serviceaccounts".to_owned()));
                }
                Err(status) => {
                    assert!(!believed, "{name}: {status}");
                    assert_eq!(status.code(), Code::PermissionDenied, "{status}");
                }
            }
        }
        Ok(())
    })
    .await
}
