//! The WorkflowExecution resource on a real API server: what it accepts, what it refuses and how it says so, and what
//! people see of it.

#![expect(clippy::expect_used, reason = "helpers of tests, which may panic")]

use std::path::Path;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{
    ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams,
};
use kube::{Api, Resource as _, ResourceExt};
use serde_json::{Value, json};
use wfe_crds::names::{BRIDGE_FIELD_MANAGER, FINALIZER};
use wfe_crds::workflow_execution::{
    BlockClearance, BlockClearanceRequest, CancelRequest, ClearMethod, ConditionStatus,
    ExecutionStatus, FailureDetails, FailureReason, MAX_BUNDLE_CHARS, MAX_CLEAR_REASON_CHARS,
    MAX_DEPENDENCIES, MAX_NAME_CHARS, MAX_PARAMETER_CHARS, MAX_PARAMETERS, MAX_TARGET_CHARS, Phase,
    Requester, WorkflowExecution, WorkflowExecutionStatus, crd as definition,
};
use wfe_tests::wait::{PATIENCE, eventually};
use wfe_tests::{ControlPlane, Kubectl, Namespace, crd};

type Names = Option<Value>;

/// What a test needs: a namespace in which objects can be made, as they are and as Rust sees them.
struct Place {
    raw: Api<DynamicObject>,
    typed: Api<WorkflowExecution>,
    kubectl: Kubectl,
}

impl Place {
    async fn with<T>(test: impl AsyncFnOnce(&Self) -> Result<T>) -> Result<T> {
        let plane = ControlPlane::from_env()?;
        let client = plane.client().await?;
        crd::apply(&client).await?;
        Namespace::with(client.clone(), async |namespace| {
            let resource = ApiResource::erase::<WorkflowExecution>(&());
            test(&Self {
                raw: Api::namespaced_with(client.clone(), namespace.name(), &resource),
                typed: Api::namespaced(client.clone(), namespace.name()),
                kubectl: Kubectl::new(&plane, namespace.name()),
            })
            .await
        })
        .await
    }

    async fn create(&self, object: &Value) -> kube::Result<DynamicObject> {
        let object = serde_json::from_value(object.clone()).map_err(kube::Error::SerdeError)?;
        self.raw.create(&PostParams::default(), &object).await
    }

    async fn patch_metadata(&self, name: &str, patch: &Patch<Value>) -> kube::Result<()> {
        self.typed.patch_metadata(name, &PatchParams::default(), patch).await.map(drop)
    }

    async fn apply_status(
        &self,
        name: &str,
        manager: &str,
        status: &impl serde::Serialize,
    ) -> kube::Result<WorkflowExecution> {
        let body = json!({
            "apiVersion": WorkflowExecution::api_version(&()),
            "kind": WorkflowExecution::kind(&()),
            "status": status,
        });
        self.typed.patch_status(name, &PatchParams::apply(manager), &Patch::Apply(&body)).await
    }
}

fn minimal(name: &str) -> Value {
    json!({
        "apiVersion": "kubernaut.ai/v1alpha1",
        "kind": "WorkflowExecution",
        "metadata": { "name": name },
        "spec": {
            "remediationRequestRef": { "name": "rr-1" },
            "workflowRef": {
                "workflowId": "0b1f0c9e-8a4e-4c58-93f5-0f0a7f7f0001",
                "workflowName": "restart-pod",
                "actionType": "RestartPod",
                "version": "1.2.0",
                "executionBundle": "registry.example/workflows/restart:v1",
            },
            "targetResource": "default/deployment/api",
        },
    })
}

/// A minimal object with something else in it: pairs of a JSON pointer and a value.
fn with<const N: usize>(name: &str, changes: [(&str, Value); N]) -> Value {
    let mut object = minimal(name);
    for (pointer, value) in changes {
        let (parent, field) = pointer.rsplit_once('/').expect("a pointer");
        object.pointer_mut(parent).expect("a parent")[field] = value;
    }
    object
}

fn text(length: usize) -> String {
    "x".repeat(length)
}

/// What the API server says about an object that it refuses.
fn refusal(answer: kube::Result<impl std::fmt::Debug>) -> Result<String> {
    match answer {
        Err(kube::Error::Api(status)) if status.code == 422 => Ok(status.message.clone()),
        other => anyhow::bail!("not refused: {other:?}"),
    }
}

fn condition(kind: &str, status: &str, reason: &str) -> Value {
    json!({
        "type": kind,
        "status": status,
        "reason": reason,
        "message": "",
        "lastTransitionTime": "2026-11-21T05:20:00Z",
    })
}

#[tokio::test]
async fn the_committed_definition_is_established_and_applying_it_again_changes_nothing()
-> Result<()> {
    let plane = ControlPlane::from_env()?;
    let client = plane.client().await?;
    crd::apply(&client).await?;
    let kubectl = Kubectl::new(&plane, "default");
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/crds");
    let directory = directory.to_str().context("a path")?;
    kubectl.run(&["apply", "-f", directory]).await?;
    let again = kubectl.run(&["apply", "-f", directory]).await?;
    ensure!(again.trim().ends_with("unchanged"), "{again}");
    let definitions = Api::<CustomResourceDefinition>::all(client);
    let conditions: Vec<(String, String)> = definitions
        .get("workflowexecutions.kubernaut.ai")
        .await?
        .status
        .and_then(|status| status.conditions)
        .unwrap_or_default()
        .into_iter()
        .map(|condition| (condition.type_, condition.status))
        .collect();
    let has = |kind: &str, status: &str| conditions.contains(&(kind.to_owned(), status.to_owned()));
    assert!(has("Established", "True") && has("NamesAccepted", "True"), "{conditions:?}");
    assert!(!conditions.iter().any(|(kind, _)| kind == "NonStructuralSchema"), "{conditions:?}");
    Ok(())
}

#[tokio::test]
async fn what_the_service_accepts_is_accepted() -> Result<()> {
    let workflow = "/spec/workflowRef";
    let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
    let names = |prefix: &str| {
        let name = |i| json!({ "name": format!("{prefix}-{i}") });
        (0..MAX_DEPENDENCIES).map(name).collect::<Vec<_>>()
    };
    let mut parameters: serde_json::Map<String, Value> =
        (1..MAX_PARAMETERS).map(|i| (format!("P{i}"), json!("v"))).collect();
    parameters.insert("LONG".to_owned(), json!(text(MAX_PARAMETER_CHARS)));
    let longest = format!("{}/{}/{}", text(63), text(253), text(253));
    assert_eq!(longest.len(), MAX_TARGET_CHARS);
    let in_workflow = |field: &str| format!("{workflow}/{field}");
    let target = |target: &str| with("we", [("/spec/targetResource", json!(target))]);
    let objects = vec![
        minimal("we"),
        target("default/Deployment/api"),
        target("node/worker-1"),
        target("clusterrole/system:node"),
        target("default/deployments.apps/api"),
        target(&longest),
        // The service refuses it, and says why; the schema does not know about names.
        target("default/deployment/API_!"),
        with("we", [("/spec/parameters", json!({}))]),
        with("we", [("/spec/parameters", Value::Object(parameters))]),
        with("we", [("/spec/clusterID", json!(""))]),
        with("we", [("/spec/remediationRequestRef", json!({}))]),
        with("we", [("/spec/confidence", json!(7.5)), ("/spec/rationale", json!("because"))]),
        with("we", [("/spec/timesOutAt", json!("2030-01-01T00:00:00.5+02:00"))]),
        with("we", [(&in_workflow("executionEngine"), json!("ansible"))]),
        with("we", [(&in_workflow("executionBundle"), json!(text(MAX_BUNDLE_CHARS)))]),
        with("we", [(&in_workflow("executionBundleDigest"), json!(digest))]),
        with("we", [(&in_workflow("executionBundleDigest"), json!(""))]),
        with("we", [(&in_workflow("serviceAccountName"), json!(""))]),
        with("we", [(&in_workflow("engineConfig"), json!({ "any": [1, { "thing": null }] }))]),
        with(
            "we",
            [(
                &in_workflow("dependencies"),
                json!({ "secrets": names("secret"), "configMaps": names("config") }),
            )],
        ),
        with(
            "we",
            [(
                &in_workflow("resources"),
                json!({ "limits": { "cpu": 1, "memory": "64Mi" }, "claims": [{ "name": "gpu" }] }),
            )],
        ),
        with("we", [(&in_workflow("workflowId"), json!("")), (&in_workflow("version"), json!(""))]),
        with("we", [(&in_workflow("workflowName"), json!(text(MAX_NAME_CHARS)))]),
    ];
    Place::with(async |place| {
        for object in objects {
            let spec = object["spec"].clone();
            let created = place.create(&object).await.with_context(|| spec.to_string())?;
            assert_eq!(created.data["spec"], spec, "it is kept as it is");
            place.typed.get("we").await.with_context(|| spec.to_string())?;
            place.raw.delete("we", &DeleteParams::default()).await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_null_is_stored_where_it_has_a_meaning_and_nowhere_else() -> Result<()> {
    let names = "/spec/workflowRef/declaredParameterNames";
    let object = with(
        "we",
        [("/spec/parameters", Value::Null), ("/spec/clusterID", Value::Null), (names, Value::Null)],
    );
    Place::with(async |place| {
        let created = serde_json::to_value(place.create(&object).await?)?;
        assert_eq!(created.pointer(names), Some(&Value::Null));
        for field in ["parameters", "clusterID"] {
            assert_eq!(created["spec"].get(field), None, "{field}");
        }
        place.typed.get("we").await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn what_is_hopeless_is_refused_and_the_field_is_named() -> Result<()> {
    let cases = [
        ("/spec/targetResource", json!(""), "spec.targetResource in body should match"),
        ("/spec/targetResource", json!("api"), "spec.targetResource in body should match"),
        ("/spec/targetResource", json!("a/b/c/d"), "spec.targetResource in body should match"),
        ("/spec/targetResource", json!("default//api"), "spec.targetResource in body should match"),
        ("/spec/targetResource", json!("pod/my api"), "spec.targetResource in body should match"),
        (
            "/spec/targetResource",
            json!(format!("pod/{}", text(MAX_TARGET_CHARS))),
            "spec.targetResource: Too long: may not be more than 571",
        ),
        ("/spec/targetResource", json!(7), "spec.targetResource in body must be of type string"),
        ("/spec/clusterID", json!(text(254)), "spec.clusterID: Too long: may not be more than 253"),
        ("/spec/parameters", json!({ "A": 1 }), "spec.parameters.A in body must be of type string"),
        (
            "/spec/parameters",
            json!({ "A": text(MAX_PARAMETER_CHARS + 1) }),
            "spec.parameters.A: Too long: may not be more than 32768",
        ),
        (
            "/spec/parameters",
            (0..=MAX_PARAMETERS).map(|i| (format!("P{i}"), json!(""))).collect(),
            "spec.parameters: Too many: 258: must have at most 257 items",
        ),
        ("/spec/timesOutAt", json!("tomorrow"), "spec.timesOutAt"),
        (
            "/spec/remediationRequestRef/name",
            json!(text(254)),
            "spec.remediationRequestRef.name: Too long: may not be more than 253",
        ),
        (
            "/spec/workflowRef/executionEngine",
            json!("argo"),
            r#"spec.workflowRef.executionEngine: Unsupported value: "argo": supported values: "tekton", "job", "ansible""#,
        ),
        (
            "/spec/workflowRef/executionBundle",
            json!(""),
            "spec.workflowRef.executionBundle in body should be at least 1 chars long",
        ),
        (
            "/spec/workflowRef/executionBundle",
            json!(text(MAX_BUNDLE_CHARS + 1)),
            "spec.workflowRef.executionBundle: Too long: may not be more than 512",
        ),
        (
            "/spec/workflowRef/executionBundleDigest",
            json!("sha256:12"),
            "spec.workflowRef.executionBundleDigest in body should match",
        ),
        (
            "/spec/workflowRef/dependencies",
            json!({ "secrets": vec![json!({ "name": "a" }); 33] }),
            "spec.workflowRef.dependencies.secrets: Too many: 33: must have at most 32 items",
        ),
        (
            "/spec/workflowRef/dependencies",
            json!({ "configMaps": [{ "name": "" }] }),
            "spec.workflowRef.dependencies.configMaps[0].name in body should be at least 1 chars",
        ),
        (
            "/spec/workflowRef/declaredParameterNames",
            json!(["A"]),
            "spec.workflowRef.declaredParameterNames in body must be of type object",
        ),
        ("/spec/workflowRef", json!({}), "spec.workflowRef.executionBundle: Required value"),
        ("/spec", json!({}), "spec.targetResource: Required value"),
    ];
    Place::with(async |place| {
        for (pointer, value, expected) in cases {
            let answer = place.create(&with("we", [(pointer, value)])).await;
            let said = refusal(answer).with_context(|| format!("{pointer}: {expected}"))?;
            assert!(said.contains(expected), "{pointer}: {said}");
        }
        let mut without = minimal("we");
        without.as_object_mut().context("an object")?.remove("spec");
        let said = refusal(place.create(&without).await)?;
        assert!(said.contains("spec is required"), "{said}");
        Ok(())
    })
    .await
}

/// An object with declared parameter names, or without.
fn declaring(name: &str, names: &Names) -> Value {
    match names {
        Some(names) => with(name, [("/spec/workflowRef/declaredParameterNames", names.clone())]),
        None => minimal(name),
    }
}

fn all_names() -> [Names; 4] {
    [None, Some(Value::Null), Some(json!({})), Some(json!({ "REPLICAS": true }))]
}

#[tokio::test]
async fn a_spec_never_changes_whatever_it_holds() -> Result<()> {
    const IMMUTABLE: &str = "spec is immutable after creation";
    Place::with(async |place| {
        for (stored, before) in all_names().iter().enumerate() {
            let name = format!("we-{stored}");
            place.create(&declaring(&name, before)).await?;
            for (changed, after) in all_names().iter().enumerate() {
                let wanted = declaring(&name, after);
                let change = json!([{ "op": "replace", "path": "/spec", "value": wanted["spec"] }]);
                let change: Patch<()> = Patch::Json(serde_json::from_value(change)?);
                let answer = place.raw.patch(&name, &PatchParams::default(), &change).await;
                if stored == changed {
                    answer?;
                } else {
                    let said = refusal(answer)?;
                    assert!(said.contains(IMMUTABLE), "{before:?} to {after:?}: {said}");
                }
            }
            for change in [
                json!([{ "op": "replace", "path": "/spec/targetResource", "value": "node/a" }]),
                json!([{ "op": "add", "path": "/spec/parameters", "value": {} }]),
                json!([{ "op": "remove", "path": "/spec/remediationRequestRef/name" }]),
                json!([{ "op": "remove", "path": "/spec" }]),
            ] {
                let patch: Patch<()> = Patch::Json(serde_json::from_value(change.clone())?);
                let said = refusal(place.raw.patch(&name, &PatchParams::default(), &patch).await)?;
                assert!(said.contains(IMMUTABLE), "{change}: {said}");
            }
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_finalizer_comes_and_goes_and_the_spec_stays_as_it_was_written() -> Result<()> {
    Place::with(async |place| {
        for (index, names) in all_names().iter().enumerate() {
            let name = format!("we-{index}");
            let spec = declaring(&name, names)["spec"].clone();
            place.create(&declaring(&name, names)).await?;
            for finalizers in [json!([FINALIZER]), json!([])] {
                let patch = Patch::Merge(json!({ "metadata": { "finalizers": finalizers } }));
                place.patch_metadata(&name, &patch).await.with_context(|| format!("{names:?}"))?;
                assert_eq!(place.raw.get(&name).await?.data["spec"], spec, "{names:?}");
            }
            let read = place.typed.get(&name).await?.spec.workflow_ref.declared_parameter_names;
            let is_filter = names.as_ref().is_some_and(|names| !names.is_null());
            assert_eq!(read.is_some(), is_filter, "{names:?}");
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_file_that_is_applied_again_changes_nothing() -> Result<()> {
    Place::with(async |place| {
        for (index, names) in all_names().iter().enumerate() {
            for flags in [&["apply", "-f", "-"][..], &["apply", "--server-side", "-f", "-"]] {
                let name = format!("we-{index}-{}", flags.len());
                let file = serde_json::to_string(&declaring(&name, names))?;
                place.kubectl.run_with(flags, &file).await?;
                // What happens to an object in its life.
                place.kubectl.run(&["annotate", "wfe", &name, "example.com/note=seen"]).await?;
                let patch = Patch::Merge(json!({ "metadata": { "finalizers": [FINALIZER] } }));
                place.patch_metadata(&name, &patch).await?;
                let status =
                    WorkflowExecutionStatus { phase: Some(Phase::Running), ..Default::default() };
                place.apply_status(&name, BRIDGE_FIELD_MANAGER, &status).await?;
                let before = place.raw.get(&name).await?;
                place.kubectl.run_with(flags, &file).await.with_context(|| format!("{names:?}"))?;
                let after = place.raw.get(&name).await?;
                assert_eq!(before.resource_version(), after.resource_version(), "{names:?}");
                let patch = Patch::Merge(json!({ "metadata": { "finalizers": [] } }));
                place.patch_metadata(&name, &patch).await?;
            }
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn kubectl_get_reads_well() -> Result<()> {
    Place::with(async |place| {
        place.create(&minimal("we")).await?;
        let status: WorkflowExecutionStatus = serde_json::from_value(json!({
            "phase": "Completed",
            "duration": "1m30s",
            "conditions": [
                condition("Blocked", "False", "NotBlocked"),
                condition("Ready", "True", "Ready"),
            ],
        }))?;
        place.apply_status("we", BRIDGE_FIELD_MANAGER, &status).await?;
        let words = |table: &str| -> Vec<Vec<String>> {
            let line = |line: &str| line.split_whitespace().map(ToOwned::to_owned).collect();
            table.lines().map(line).collect()
        };
        let table = words(&place.kubectl.run(&["get", "wfe"]).await?);
        assert_eq!(table[0].join(" "), "NAME PHASE WORKFLOW TARGET DURATION AGE");
        let age = table[1].len() - 1;
        assert_eq!(
            table[1][..age].join(" "),
            "we Completed restart-pod default/deployment/api 1m30s"
        );
        let table = words(&place.kubectl.run(&["get", "wfe", "-o", "wide"]).await?);
        assert_eq!(
            table[0].join(" "),
            "NAME PHASE WORKFLOW WORKFLOWID TARGET DURATION REASON AGE"
        );
        let age = table[1].len() - 1;
        assert_eq!(
            table[1][..age].join(" "),
            "we Completed restart-pod 0b1f0c9e-8a4e-4c58-93f5-0f0a7f7f0001 default/deployment/api 1m30s Ready"
        );
        let explained = place.kubectl.run(&["explain", "wfe.spec.targetResource"]).await?;
        assert!(explained.contains("namespace/kind/name"), "{explained}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn objects_are_found_by_the_remediation_request_on_whose_account_they_exist() -> Result<()> {
    Place::with(async |place| {
        for (name, request) in [("a", "rr-1"), ("b", "rr-2"), ("c", "rr-1")] {
            let request = json!({ "name": request });
            place.create(&with(name, [("/spec/remediationRequestRef", request)])).await?;
        }
        let selector = "spec.remediationRequestRef.name=rr-1";
        let listed =
            place.kubectl.run(&["get", "wfe", "--field-selector", selector, "-o", "name"]).await?;
        assert_eq!(listed, "workflowexecution.kubernaut.ai/a\nworkflowexecution.kubernaut.ai/c\n");
        let listed = place.typed.list(&ListParams::default().fields(selector)).await?;
        assert_eq!(listed.iter().map(ResourceExt::name_any).collect::<Vec<_>>(), ["a", "c"]);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_full_status_is_accepted_and_read_back() -> Result<()> {
    let at = |text: &str| serde_json::from_value(json!(text));
    let requester = Requester {
        username: "system:serviceaccount:n:a".to_owned(),
        uid: Some("1".to_owned()),
        groups: vec!["sre".to_owned()],
    };
    let status = WorkflowExecutionStatus {
        observed_generation: Some(1),
        phase: Some(Phase::Failed),
        start_time: Some(at("2026-11-21T05:20:00Z")?),
        completion_time: Some(at("2026-11-21T05:21:30Z")?),
        duration: Some("1m30s".to_owned()),
        execution_ref: serde_json::from_value(json!({ "name": "wfe-0123456789abcdef-1" }))?,
        execution_status: Some(ExecutionStatus {
            status: ConditionStatus::False,
            reason: Some("Failed".to_owned()),
            message: Some(String::new()),
            completed_tasks: Some(1),
            total_tasks: Some(2),
            retry_count: Some(0),
        }),
        failure_reason: Some("TaskFailed".to_owned()),
        failure_details: Some(FailureDetails {
            failed_at: Some(at("2026-11-21T05:21:30Z")?),
            reason: FailureReason::TaskFailed,
            exit_code: Some(1),
            was_execution_failure: true,
            ..Default::default()
        }),
        block_clearance: Some(BlockClearance {
            cleared_at: Some(at("2026-11-21T06:00:00Z")?),
            cleared_by: "alice".to_owned(),
            clear_reason: "looked at it".to_owned(),
            clear_method: ClearMethod::StatusField,
        }),
        block_clearance_request: Some(BlockClearanceRequest {
            clear_reason: text(MAX_CLEAR_REASON_CHARS),
            ticket: Some("OPS-1".to_owned()),
            requested_by: Some(requester.clone()),
            requested_at: Some(at("2026-11-21T05:59:59Z")?),
            seal: Some("c2VhbA==".to_owned()),
        }),
        cancel_request: Some(CancelRequest {
            reason: "parent ended".to_owned(),
            requested_by: Some(requester),
            requested_at: Some(at("2026-11-21T05:21:00Z")?),
            seal: Some("c2VhbA==".to_owned()),
        }),
        cooldown_until: Some(at("2026-11-21T05:26:30Z")?),
        execution_id: Some("0198c0de-0000-7000-8000-000000000001".to_owned()),
        execution_revision: Some(7),
        ephemeral_credential_ids: vec![7],
        workflow_name: Some("restart-pod".to_owned()),
        deduplicated_by: Some("we-other".to_owned()),
        conditions: serde_json::from_value(json!([condition("Ready", "False", "NotReady")]))?,
    };
    Place::with(async |place| {
        place.create(&minimal("we")).await?;
        let written = place.apply_status("we", BRIDGE_FIELD_MANAGER, &status).await?;
        assert_eq!(written.status.as_ref(), Some(&status));
        assert_eq!(place.typed.get("we").await?.status, Some(status));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_status_that_means_nothing_is_refused_and_the_field_is_named() -> Result<()> {
    let cases = [
        (json!({ "phase": "Skipped" }), "status.phase: Unsupported value"),
        (json!({ "conditions": [condition("Ready", "true", "R")] }), "status.conditions[0].status"),
        (json!({ "conditions": [condition("Ready", "True", "")] }), "status.conditions[0].reason"),
        (json!({ "executionStatus": {} }), "status.executionStatus.status: Required value"),
        (
            json!({ "failureDetails": FailureDetails::default() }),
            "status.failureDetails.failedAt: Required value",
        ),
        (
            json!({ "blockClearanceRequest": { "clearReason": "because" } }),
            "clearReason in body should be at least 10 chars long",
        ),
        (json!({ "executionRevision": -1 }), "status.executionRevision"),
    ];
    Place::with(async |place| {
        place.create(&minimal("we")).await?;
        for (status, expected) in cases {
            let said = refusal(place.apply_status("we", BRIDGE_FIELD_MANAGER, &status).await)?;
            assert!(said.contains(expected), "{status}: {said}");
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_manager_that_applies_its_conditions_keeps_those_of_others() -> Result<()> {
    let kinds = |object: &WorkflowExecution| -> Vec<String> {
        let status = object.status.clone().unwrap_or_default();
        let mut kinds: Vec<String> = status
            .conditions
            .iter()
            .map(|condition| format!("{}={}", condition.type_, condition.status))
            .collect();
        kinds.sort();
        kinds
    };
    let with_conditions = |conditions: Value| json!({ "conditions": conditions });
    Place::with(async |place| {
        place.create(&minimal("we")).await?;
        let first = json!([
            condition("Ready", "False", "NotReady"),
            condition("Blocked", "True", "ResourceBusy"),
        ]);
        place.apply_status("we", BRIDGE_FIELD_MANAGER, &with_conditions(first)).await?;
        let foreign = json!([condition("AuditRecorded", "True", "AuditSucceeded")]);
        place.apply_status("we", "somebody-else", &with_conditions(foreign)).await?;
        let second = json!([condition("Ready", "True", "Ready")]);
        let object =
            place.apply_status("we", BRIDGE_FIELD_MANAGER, &with_conditions(second)).await?;
        assert_eq!(kinds(&object), ["AuditRecorded=True", "Ready=True"]);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_status_does_not_go_back_to_an_older_revision_of_its_execution() -> Result<()> {
    const FALLS: &str = "executionRevision must not fall while executionID stays";
    let at = |execution: &str, revision: Option<i64>| WorkflowExecutionStatus {
        execution_id: Some(execution.to_owned()),
        execution_revision: revision,
        ..Default::default()
    };
    Place::with(async |place| {
        place.create(&minimal("we")).await?;
        let apply = async |status: WorkflowExecutionStatus| {
            place.apply_status("we", BRIDGE_FIELD_MANAGER, &status).await
        };
        for revision in [5, 5, 6] {
            apply(at("a", Some(revision))).await?;
        }
        for revision in [Some(5), None] {
            let said = refusal(apply(at("a", revision)).await)?;
            assert!(said.contains(FALLS), "{said}");
        }
        apply(at("b", Some(1))).await?;
        // A service that does not know the two fields writes the status without them.
        apply(WorkflowExecutionStatus { phase: Some(Phase::Failed), ..Default::default() }).await?;
        apply(at("b", Some(1))).await?;
        Ok(())
    })
    .await
}

/// The definition under a group of its own, so that it can be changed while other tests run.
fn under(group: &str) -> CustomResourceDefinition {
    let mut definition = definition();
    definition.metadata.name = Some(format!("workflowexecutions.{group}"));
    group.clone_into(&mut definition.spec.group);
    // `kubectl get wfe` of other tests must not find these.
    definition.spec.names.short_names = None;
    definition
}

/// The definition without any rule, as an earlier one may have been.
fn lax(definition: &CustomResourceDefinition) -> Result<CustomResourceDefinition> {
    fn relax(value: &mut Value) {
        const RULES: [&str; 8] = [
            "maxLength",
            "minLength",
            "maxItems",
            "maxProperties",
            "pattern",
            "enum",
            "required",
            "x-kubernetes-validations",
        ];
        match value {
            Value::Object(fields) => {
                fields.retain(|name, _| !RULES.contains(&name.as_str()));
                fields.values_mut().for_each(relax);
            }
            Value::Array(items) => items.iter_mut().for_each(relax),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let mut definition = serde_json::to_value(definition)?;
    let schema = &mut definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    relax(schema);
    // The keys of a list-map are required by Kubernetes itself.
    schema["properties"]["status"]["properties"]["conditions"]["items"]["required"] =
        json!(["type"]);
    let resources =
        &mut schema["properties"]["spec"]["properties"]["workflowRef"]["properties"]["resources"];
    resources["properties"]["claims"]["items"]["required"] = json!(["name"]);
    Ok(serde_json::from_value(definition)?)
}

#[tokio::test]
async fn objects_that_an_earlier_schema_let_in_are_read_and_updated_and_go() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let client = plane.client().await?;
    let definitions = Api::<CustomResourceDefinition>::all(client.clone());
    Namespace::with(client.clone(), async |namespace| {
        // Every run has a group of its own.
        let strict = under(&format!("{}.example.com", namespace.name()));
        let resource = crd::resource(&strict)?;
        crd::apply_definition(&client, &lax(&strict)?).await?;
        let api =
            Api::<DynamicObject>::namespaced_with(client.clone(), namespace.name(), &resource);
        let tested = survive(&api, &resource, || crd::apply_definition(&client, &strict)).await;
        definitions.delete(&strict.name_any(), &DeleteParams::default()).await?;
        tested
    })
    .await
}

async fn survive<F: Future<Output = Result<()>>>(
    api: &Api<DynamicObject>,
    resource: &ApiResource,
    tighten: impl FnOnce() -> F,
) -> Result<()> {
    let status = json!({
        "phase": "Skipped",
        "failureDetails": { "reason": "RaceConditionError" },
        "blockClearanceRequest": { "clearReason": "short" },
    });
    let specs = [
        Value::Null,
        json!({}),
        json!({ "targetResource": "no target at all", "workflowRef": { "workflowId": "w" } }),
        json!({
            "targetResource": text(2_000),
            "workflowRef": { "executionEngine": "argo", "declaredParameterNames": null },
        }),
    ];
    let mut names = Vec::new();
    for (index, spec) in specs.iter().enumerate() {
        let name = format!("old-{index}");
        let mut object = DynamicObject::new(&name, resource);
        if !spec.is_null() {
            object.data = json!({ "spec": spec });
        }
        api.create(&PostParams::default(), &object).await?;
        let patch = Patch::Merge(json!({ "status": &status }));
        api.patch_status(&name, &PatchParams::default(), &patch).await?;
        names.push(name);
    }
    tighten().await?;
    eventually(PATIENCE, "the rules being in force", async || {
        let mut hopeless = DynamicObject::new("new", resource);
        hopeless.data = json!({ "spec": { "targetResource": "no target at all" } });
        let params = PostParams { dry_run: true, ..PostParams::default() };
        refusal(api.create(&params, &hopeless).await).map_err(|error| error.to_string())
    })
    .await?;
    try_join_all(names.iter().zip(&specs).map(async |(name, spec)| {
        let read: WorkflowExecution =
            serde_json::from_value(serde_json::to_value(api.get(name).await?)?)?;
        let phase = read.status.and_then(|status| status.phase);
        assert_eq!(phase, Some(Phase::Other("Skipped".to_owned())));
        let finalizers = |finalizers: Value| json!({ "metadata": { "finalizers": finalizers } });
        let params = PatchParams::default();
        let patch = Patch::Merge(finalizers(json!([FINALIZER])));
        api.patch_metadata(name, &params, &patch).await.with_context(|| spec.to_string())?;
        let mut body = serde_json::to_value(DynamicObject::new(name, resource))?;
        body["status"] = json!({ "conditions": [condition("Ready", "False", "NotReady")] });
        let params = PatchParams::apply(BRIDGE_FIELD_MANAGER);
        api.patch_status(name, &params, &Patch::Apply(&body))
            .await
            .with_context(|| spec.to_string())?;
        api.delete(name, &DeleteParams::default()).await?;
        let patch = Patch::Merge(finalizers(json!([])));
        api.patch_metadata(name, &PatchParams::default(), &patch)
            .await
            .with_context(|| spec.to_string())?;
        eventually(PATIENCE, "the object being gone", async || match api.get_opt(name).await {
            Ok(None) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await
    }))
    .await?;
    Ok(())
}
