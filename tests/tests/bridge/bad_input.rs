//! What can never run ends Failed and says what is right. A server that refuses the bridge is another matter: nothing
//! of what waits for it is lost.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::events::v1::Event;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Status};
use wfe_crds::workflow_execution::Phase;
use wfe_proto::v1::CancelRequest;
use wfe_tests::wait::{PATIENCE, eventually};
use wfe_tests::{ControlPlane, bundles, kstatus};

use crate::support::*;

/// What is laid over a good object, the reason that it ends with, and what its message must tell.
struct Bad {
    name: &'static str,
    spec: Value,
    reason: &'static str,
    told: &'static [&'static str],
}

fn bad(
    name: &'static str,
    spec: Value,
    reason: &'static str,
    told: &'static [&'static str],
) -> Bad {
    Bad { name, spec, reason, told }
}

const WRONG: &str = "ConfigurationError";
const ENGINE: &str = "UnsupportedEngine";

fn workflow(field: &str, value: &Value) -> Value {
    json!({ "workflowRef": { field: value } })
}

/// All that the schema lets through and that can never run.
fn bad_objects() -> Vec<Bad> {
    let mut all = wrong_names();
    all.extend(wrong_combinations());
    all.extend(unsupported());
    all
}

/// Values that break the rule of their field.
fn wrong_names() -> Vec<Bad> {
    vec![
        bad(
            "name",
            json!({ "targetResource": "default/deployment/API_!" }),
            WRONG,
            &["spec.targetResource: ", "namespace/kind/name", "must be a DNS subdomain"],
        ),
        bad(
            "namespace",
            json!({ "targetResource": "De_fault/deployment/api" }),
            WRONG,
            &["spec.targetResource: ", "the namespace must be a DNS label"],
        ),
        bad(
            "kind",
            json!({ "targetResource": "default/deploy_ment/api" }),
            WRONG,
            &["spec.targetResource: ", "the kind must be a Kubernetes kind"],
        ),
        bad(
            "bundle",
            workflow("executionBundle", &json!("https://registry.example/restart")),
            WRONG,
            &["spec.workflowRef.executionBundle: ", "must be an OCI reference, for example"],
        ),
        bad(
            "account",
            workflow("serviceAccountName", &json!("Not_An_Account")),
            WRONG,
            &["spec.workflowRef.serviceAccountName: ", "must be"],
        ),
        bad(
            "secret",
            workflow(
                "dependencies",
                &json!({ "secrets": [{ "name": "good" }, { "name": "Bad_" }] }),
            ),
            WRONG,
            &["spec.workflowRef.dependencies.secrets[1].name: ", "must be"],
        ),
        bad(
            "config-map",
            workflow("dependencies", &json!({ "configMaps": [{ "name": "Bad_" }] })),
            WRONG,
            &["spec.workflowRef.dependencies.configMaps[0].name: ", "must be"],
        ),
    ]
}

/// Values that are wrong together, or too many.
fn wrong_combinations() -> Vec<Bad> {
    let digest = |digit: &str| format!("sha256:{}", digit.repeat(64));
    let names = (0..200).map(|n| (format!("bad name {n}"), json!("x")));
    let names: serde_json::Map<_, _> = names.collect();
    vec![
        bad(
            "two-digests",
            json!({ "workflowRef": {
                "executionBundle": format!("registry.example/wfe/restart@{}", digest("1")),
                "executionBundleDigest": digest("2"),
            } }),
            WRONG,
            &["spec.workflowRef.executionBundleDigest: ", "contradicts", "leave one of them out"],
        ),
        bad(
            "parameter-names",
            json!({ "parameters": names }),
            WRONG,
            &["spec.parameters", "bad name"],
        ),
        bad(
            "other-target",
            json!({ "parameters": { "TARGET_RESOURCE": "default/deployment/another" } }),
            WRONG,
            &["spec.parameters", "TARGET_RESOURCE", "leave it out"],
        ),
        bad(
            "two-faults",
            json!({
                "targetResource": "default/deployment/API_!",
                "workflowRef": { "executionBundle": "https://registry.example/restart" },
            }),
            WRONG,
            &["spec.targetResource: ", "spec.workflowRef.executionBundle: "],
        ),
    ]
}

/// What is right in itself, and not here or not now.
fn unsupported() -> Vec<Bad> {
    vec![
        bad(
            "cluster",
            json!({ "clusterID": "west" }),
            WRONG,
            &["spec.clusterID: is west", "Leave it out"],
        ),
        bad(
            "job",
            workflow("executionEngine", &json!("job")),
            ENGINE,
            &["spec.workflowRef.executionEngine: is job", "tekton is the only engine"],
        ),
        bad(
            "ansible",
            workflow("executionEngine", &json!("ansible")),
            ENGINE,
            &["spec.workflowRef.executionEngine: is ansible", "tekton is the only engine"],
        ),
        bad(
            "no-engine",
            workflow("executionEngine", &Value::Null),
            ENGINE,
            &["spec.workflowRef.executionEngine: is required", "must be tekton"],
        ),
        bad(
            "too-late",
            json!({ "timesOutAt": "2020-01-02T03:04:05Z" }),
            "DeadlineExceeded",
            &["spec.timesOutAt: passed", "with more time"],
        ),
    ]
}

/// Lays `over` over `object`, as a merge patch does.
fn merge(object: &mut Value, over: &Value) {
    match (object, over) {
        (Value::Object(object), Value::Object(over)) => {
            for (name, value) in over {
                if value.is_null() {
                    object.remove(name);
                } else {
                    merge(object.entry(name).or_insert(Value::Null), value);
                }
            }
        }
        (object, over) => *object = over.clone(),
    }
}

/// The events about an object: type, reason and note.
async fn typed_events(setup: &Setup, name: &str) -> Result<Vec<(String, String, String)>> {
    let client = setup.namespace.client().clone();
    let api = Api::<Event>::namespaced(client, setup.namespace.name());
    let events = api.list(&ListParams::default()).await?;
    let about = |event: &Event| {
        event.regarding.as_ref().and_then(|object| object.name.clone()).as_deref() == Some(name)
    };
    let told = events.into_iter().filter(about).map(|event| {
        let text = Option::unwrap_or_default;
        (text(event.type_), text(event.reason), text(event.note))
    });
    Ok(told.collect())
}

#[tokio::test]
async fn what_can_never_run_ends_failed_and_says_what_is_right() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let bundle = bundles::succeeds(plane.registry()).await?.reference;
    with_bridge(&plane, &[], async |setup| {
        for Bad { name, spec, .. } in bad_objects() {
            let mut object = mk_object(name, &bundle, &format!("default/deployment/{name}"));
            merge(&mut object["spec"], &spec);
            setup.apply(&object).await.with_context(|| name)?;
        }
        for Bad { name, reason, told, .. } in bad_objects() {
            let status = setup.until_phase(name, Phase::Failed).await?;
            let details = status.failure_details.clone().context("details")?;
            assert_eq!(details.reason.to_string(), reason, "{name}: {details:?}");
            assert!(!details.was_execution_failure, "{name}");
            let (ready, why, text) = condition(&status, "Ready");
            assert_eq!((ready.as_str(), why.as_str()), ("False", reason), "{name}");
            assert_eq!(condition(&status, "ExecutionCreated").0, "False", "{name}");
            assert_eq!(condition(&status, "Stalled").0, "True", "{name}");
            assert!(status.execution_id.is_none() && status.execution_ref.is_none(), "{status:?}");

            let events = typed_events(setup, name).await?;
            let [(kind, what, note)] = events.as_slice() else {
                anyhow::bail!("{name}: not one event: {events:?}");
            };
            assert_eq!(kind, "Warning", "{name}");
            let late = reason == "DeadlineExceeded";
            let expected = if late { "WorkflowFailed" } else { "WorkflowValidationFailed" };
            assert_eq!(what, expected, "{name}");
            for part in told {
                for text in [&details.message, &text, note] {
                    assert!(text.contains(part), "{name}: {part:?} is not in {text:?}");
                }
            }

            let object = setup.objects().get(name).await?;
            assert_eq!(kstatus::verdict(&object).await?, "Failed", "{name}");
        }
        let runs = setup.namespace.runs().list(&ListParams::default()).await?;
        assert!(runs.items.is_empty(), "nothing was started: {runs:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn what_was_withdrawn_before_it_was_started_never_runs_and_says_so() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let bundle = bundles::succeeds(plane.registry()).await?.reference;
    with_bridge(&plane, &[], async |setup| {
        setup.bridge.kill().await?;
        setup.apply(&mk_object("withdrawn", &bundle, "default/deployment/api")).await?;
        let request_id = setup.objects().get("withdrawn").await?.uid().context("a UID")?;
        let cancel = CancelRequest {
            request_id,
            reason: "the incident is over".to_owned(),
            ..CancelRequest::default()
        };
        let answer = setup.server.client().await?.cancel(cancel).await?.into_inner();
        assert_eq!(answer.execution, None, "it was not started");

        setup.bridge.start_again().await?;
        let status = setup.until_phase("withdrawn", Phase::Failed).await?;
        assert_eq!(condition(&status, "Ready").1, "Cancelled");
        let events = typed_events(setup, "withdrawn").await?;
        let [(kind, reason, note)] = events.as_slice() else {
            anyhow::bail!("not one event: {events:?}");
        };
        assert_eq!((kind.as_str(), reason.as_str()), ("Warning", "WorkflowCancelled"));
        assert!(note.contains("was withdrawn before it was accepted"), "{note}");
        let runs = setup.namespace.runs().list(&ListParams::default()).await?;
        assert!(runs.items.is_empty(), "nothing was started: {runs:?}");
        Ok(())
    })
    .await
}

/// A gRPC server that answers the same error to every call, as a proxy does that lets nobody through.
struct Refusing {
    address: SocketAddr,
    starts: Arc<AtomicUsize>,
    serving: JoinHandle<()>,
}

impl Refusing {
    fn start(code: Code, message: &'static str) -> Result<Self> {
        let starts = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&starts);
        let router = axum::Router::new().fallback(async move |call: axum::extract::Request| {
            if call.uri().path().ends_with("/Start") {
                counted.fetch_add(1, Ordering::Relaxed);
            }
            Status::new(code, message).into_http::<axum::body::Body>()
        });
        let incoming = TcpIncoming::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let address = incoming.local_addr()?;
        let serving = tokio::spawn(async move {
            let mut server = tonic::transport::Server::builder();
            // It ends with the test, which finds out what went wrong by what it waits for.
            let _ = server.add_routes(Routes::from(router)).serve_with_incoming(incoming).await;
        });
        Ok(Self { address, starts, serving })
    }
}

impl Drop for Refusing {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

#[tokio::test]
async fn while_the_server_refuses_the_bridge_objects_wait_and_nothing_is_lost() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let bundle = bundles::succeeds(plane.registry()).await?.reference;
    let hangs = bundles::never_ends(plane.registry()).await?.reference;
    let refusals = [
        (
            Code::Unauthenticated,
            "the token has expired",
            "ServerRefuses",
            "does not accept this bridge",
        ),
        (Code::PermissionDenied, "bridges may not", "ServerRefuses", "does not accept this bridge"),
        (Code::Unimplemented, "unknown service", "ServerIncompatible", "of this version"),
    ];
    with_bridge(&plane, &[], async |setup| {
        setup.apply(&mk_object("runs", &hangs, "default/deployment/runs")).await?;
        let running = setup.until_phase("runs", Phase::Running).await?;
        for (index, (code, message, reason, words)) in refusals.into_iter().enumerate() {
            let name = format!("refused-{index}");
            let refusing = Refusing::start(code, message)?;
            setup.service.point_to(Some(refusing.address));
            setup.service.cut();
            setup.apply(&mk_object(&name, &bundle, &format!("default/deployment/{name}"))).await?;
            let told =
                setup.until(&name, reason, |status| condition(status, "Ready").1 == reason).await?;
            assert_eq!(told.phase, Some(Phase::Pending), "{told:?}");
            assert_eq!(condition(&told, "Succeeded").0, "Unknown");
            let text = condition(&told, "Ready").2;
            assert!(text.contains(words) && text.contains(message), "{text}");
            assert!(refusing.starts.load(Ordering::Relaxed) > 0, "it was asked to start it");
            eventually(PATIENCE, "the bridge says that it is not ready", async || {
                let (ready, parts) = setup.bridge.ready().await?;
                let parts: Value = serde_json::from_str(&parts)?;
                let server = parts["server"].as_str().unwrap_or_default();
                ensure!(!ready && server.contains(words) && server.contains(message), "{parts}");
                ensure!(parts["kubernetes"] == "ok", "{parts}");
                anyhow::Ok(())
            })
            .await?;
            let metrics = setup.bridge.metrics().await?;
            assert!(metrics.contains("wfe_bridge_server_usable 0"), "{metrics}");
        }
        // It goes on running, and its status says so. How far it is could still be told before the refusals began.
        let still = setup.status("runs").await?;
        assert_eq!(still.phase, Some(Phase::Running), "{still:?}");
        assert_eq!(still.execution_ref, running.execution_ref);
        assert_eq!(still.start_time, running.start_time);
        let said = ["Ready", "Stalled", "Blocked"].map(|type_| condition(&still, type_).0);
        assert_eq!(said, ["False", "", ""], "{still:?}");

        setup.service.point_to(Some(setup.server.addresses().grpc));
        setup.service.cut();
        setup.bridge.until_ready().await?;
        for index in 0..refusals.len() {
            let name = format!("refused-{index}");
            let status = setup.until_phase(&name, Phase::Completed).await?;
            assert_eq!(condition(&status, "Ready").0, "True");
            let events = typed_events(setup, &name).await?;
            let mut reasons: Vec<&str> = events.iter().map(|(_, reason, _)| &**reason).collect();
            reasons.sort_unstable();
            assert_eq!(reasons, ["ExecutionCreated", "WorkflowCompleted"], "{name}");
        }
        let runs = setup.namespace.runs().list(&ListParams::default()).await?;
        assert_eq!(runs.items.len(), refusals.len() + 1, "one run each");
        setup.kubectl.run(&["delete", "wfe/runs"]).await?;
        setup.until_gone("runs").await
    })
    .await
}
