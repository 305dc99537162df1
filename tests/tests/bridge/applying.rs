//! What people apply and what other services write: all of it runs, with exactly the parameters that it should.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use kube::ResourceExt;
use kube::api::{ApiResource, DynamicObject, PostParams};
use serde_json::{Value, json};
use wfe_control_plane::bundle::Pushed;
use wfe_crds::workflow_execution::{Phase, WorkflowExecution, crd as definition};
use wfe_proto::v1::{GetRequest, get_request};
use wfe_tests::{ControlPlane, bundles};

use crate::support::*;

fn texts(texts: &[(&str, &str)]) -> BTreeMap<String, String> {
    texts.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// The names of the properties below `path` in the definition.
fn properties(path: &[&str]) -> Result<Vec<String>> {
    let definition = definition();
    let version = definition.spec.versions.first().context("a version")?;
    let root = version.schema.as_ref().and_then(|schema| schema.open_api_v3_schema.as_ref());
    let mut schema = root.context("a schema")?;
    for name in path {
        let properties = schema.properties.as_ref().context("properties")?;
        schema = properties.get(*name).with_context(|| (*name).to_owned())?;
    }
    Ok(schema.properties.iter().flat_map(|properties| properties.keys().cloned()).collect())
}

fn keys(object: &Value) -> Vec<String> {
    object.as_object().into_iter().flat_map(|object| object.keys().cloned()).collect()
}

/// An object with every field of the spec.
fn mk_full(bundle: &Pushed) -> Value {
    let mut object = mk_object("full", &bundle.reference, "default/statefulset/db");
    object["metadata"]["labels"] = json!({ "app.kubernetes.io/part-of": "remediation" });
    object["spec"] = json!({
        "remediationRequestRef": {
            "apiVersion": "kubernaut.ai/v1alpha1",
            "kind": "RemediationRequest",
            "name": "rr-full",
            "namespace": "kubernaut-system",
            "uid": "7d2c4a52-0000-4000-8000-000000000007",
            "resourceVersion": "41",
            "fieldPath": "spec.signal",
        },
        "targetResource": "default/statefulset/db",
        "workflowRef": {
            "workflowId": "0b4a5a6e-0000-4000-8000-000000000002",
            "workflowName": "restart-statefulset",
            "actionType": "RestartStatefulSet",
            "version": "2.1.0",
            "executionBundle": bundle.reference,
            "executionBundleDigest": bundle.digest,
            "executionEngine": "tekton",
            "engineConfig": { "anything": ["that", { "is": 1 }] },
            "serviceAccountName": "remediator",
            "dependencies": {
                "secrets": [{ "name": "registry-login" }, { "name": "db-login" }],
                "configMaps": [{ "name": "drain-policy" }],
            },
            "resources": {
                "limits": { "memory": "128Mi" },
                "requests": { "cpu": "100m", "memory": 67_108_864 },
            },
            "declaredParameterNames": { "GRACE_PERIOD": true, "REASON": true, "NEVER_GIVEN": true },
        },
        "clusterID": "",
        "parameters": {
            "GRACE_PERIOD": "30s",
            "REASON": "two words, a \"quote\", $(params.X), ünïcode\nand a line",
            "UNDECLARED": "never arrives",
            "TARGET_RESOURCE": "default/statefulset/db",
        },
        "confidence": 0.875,
        "rationale": "The last three restarts of this kind have helped.",
        "timesOutAt": "2199-01-02T03:04:05Z",
    });
    object
}

#[tokio::test]
async fn an_object_with_every_field_runs_with_all_that_it_asks_for() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let bundle = bundles::succeeds(plane.registry()).await?;
    let object = mk_full(&bundle);
    assert_eq!(keys(&object["spec"]), properties(&["spec"])?);
    assert_eq!(keys(&object["spec"]["workflowRef"]), properties(&["spec", "workflowRef"])?);
    with_bridge(&plane, &[], async |setup| {
        setup.kubectl.run(&["create", "serviceaccount", "remediator"]).await?;
        for name in ["registry-login", "db-login"] {
            let secret = ["create", "secret", "generic", name, "--from-literal=token=x"];
            setup.kubectl.run(&secret).await?;
        }
        let map = ["create", "configmap", "drain-policy", "--from-literal=max=1"];
        setup.kubectl.run(&map).await?;

        setup.apply(&object).await?;
        let wait = ["wait", "--for=condition=Succeeded", "--timeout=60s", "wfe/full"];
        setup.kubectl.run(&wait).await?;
        let status = setup.until_phase("full", Phase::Completed).await?;

        let reason = object["spec"]["parameters"]["REASON"].as_str().context("a reason")?;
        let expected = texts(&[("GRACE_PERIOD", "30s"), ("REASON", reason)]);
        assert_eq!(setup.parameters_of_run("full").await?, expected);
        let run = setup.namespace.runs().get(&status.execution_ref.context("a run")?.name).await?;
        let spec = &run.data["spec"];
        let target = json!({ "name": "TARGET_RESOURCE", "value": "default/statefulset/db" });
        assert!(spec["params"].as_array().context("parameters")?.contains(&target), "{spec}");
        assert_eq!(spec["taskRunTemplate"]["serviceAccountName"], "remediator");
        let workspaces = json!([
            { "name": "secret-registry-login", "secret": { "secretName": "registry-login" } },
            { "name": "secret-db-login", "secret": { "secretName": "db-login" } },
            { "name": "configmap-drain-policy", "configMap": { "name": "drain-policy" } },
        ]);
        assert_eq!(spec["workspaces"], workspaces);
        let resolved = spec["pipelineRef"]["params"].as_array().context("resolver")?;
        let pinned = format!("{}@{}", bundle.reference, bundle.digest);
        assert!(resolved.iter().any(|param| param["value"] == pinned.as_str()), "{resolved:?}");

        // The spec is as it was applied, so that who applies it again changes nothing.
        let again = setup.kubectl.apply(&object.to_string()).await?;
        assert!(again.contains("unchanged"), "{again}");
        let read = setup.kubectl.run(&["get", "wfe/full", "-o", "json"]).await?;
        let read: Value = serde_json::from_str(&read)?;
        assert_eq!(read["spec"], object["spec"]);
        assert_eq!(read["metadata"]["generation"], 1);
        Ok(())
    })
    .await
}

/// Name, parameters, declared names, and what reaches the run.
type Case<'a> = (&'a str, Option<Value>, Option<Value>, &'a [(&'a str, &'a str)]);

#[tokio::test]
async fn each_way_to_write_parameters_passes_exactly_those_that_it_means() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let bundle = bundles::succeeds(plane.registry()).await?.reference;
    let given = json!({ "A": "1", "B": "two words", "C": "" });
    let all = [("A", "1"), ("B", "two words"), ("C", "")];
    let absent = || None;
    let cases: [Case<'_>; 9] = [
        ("nothing", absent(), absent(), &[]),
        ("no-parameters", Some(json!({})), absent(), &[]),
        ("declared-absent", Some(given.clone()), absent(), &all),
        ("declared-null", Some(given.clone()), Some(Value::Null), &all),
        ("declared-empty", Some(given.clone()), Some(json!({})), &[]),
        (
            "declared-some",
            Some(given.clone()),
            Some(json!({"A": true, "C": true})),
            &[all[0], all[2]],
        ),
        ("declared-more", Some(given.clone()), Some(json!({"B": true, "Z": true})), &[all[1]]),
        ("declared-false", Some(given.clone()), Some(json!({"A": false, "B": true})), &[all[1]]),
        ("only-declared", absent(), Some(json!({"A": true})), &[]),
    ];
    with_bridge(&plane, &[], async |setup| {
        for (name, parameters, declared, _) in &cases {
            let mut object = mk_object(name, &bundle, &format!("default/deployment/{name}"));
            if let Some(parameters) = parameters {
                object["spec"]["parameters"] = parameters.clone();
            }
            if let Some(declared) = declared {
                object["spec"]["workflowRef"]["declaredParameterNames"] = declared.clone();
            }
            setup.apply(&object).await?;
        }
        for (name, _, _, expected) in &cases {
            setup.until_phase(name, Phase::Completed).await?;
            assert_eq!(setup.parameters_of_run(name).await?, texts(expected), "{name}");
        }
        Ok(())
    })
    .await
}

/// Kubernetes' Go clients write every field that has no `omitempty`, also when it says nothing.
fn mk_orchestrated(name: &str, bundle: &str, owner: &DynamicObject) -> Value {
    let mut object = mk_object(name, bundle, "default/Deployment/api");
    object["metadata"]["creationTimestamp"] = Value::Null;
    object["metadata"]["labels"] = json!({ "kubernaut.ai/remediation-request": "rr" });
    object["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": owner.name_any(),
        "uid": owner.uid(),
        "controller": true,
        "blockOwnerDeletion": true,
    }]);
    object["spec"]["remediationRequestRef"]["namespace"] = json!("kubernaut-system");
    object["spec"]["workflowRef"]["declaredParameterNames"] = Value::Null;
    object["spec"]["parameters"] = json!({ "GRACE_PERIOD": "30s" });
    object["spec"]["confidence"] = json!(0.9);
    object["spec"]["timesOutAt"] = json!("2199-01-02T03:04:05Z");
    object["status"] = json!({});
    object
}

#[tokio::test]
async fn an_object_that_the_orchestrator_wrote_runs_and_may_be_applied_afterwards() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let bundle = bundles::succeeds(plane.registry()).await?.reference;
    with_bridge(&plane, &[], async |setup| {
        let client = setup.namespace.client().clone();
        let maps = kube::Api::<DynamicObject>::namespaced_with(
            client.clone(),
            setup.namespace.name(),
            &ApiResource::erase::<k8s_openapi::api::core::v1::ConfigMap>(&()),
        );
        let owner = json!({ "metadata": { "name": "rr" }, "data": {} });
        let owner = maps.create(&PostParams::default(), &serde_json::from_value(owner)?).await?;
        let object = mk_orchestrated("typed", &bundle, &owner);
        let raw = kube::Api::<DynamicObject>::namespaced_with(
            client,
            setup.namespace.name(),
            &ApiResource::erase::<WorkflowExecution>(&()),
        );
        let written = serde_json::from_value(object.clone())?;
        let created = raw.create(&PostParams::default(), &written).await?;
        let declared = created.data["spec"]["workflowRef"].get("declaredParameterNames");
        assert_eq!(declared, Some(&Value::Null), "the null is kept");

        let status = setup.until_phase("typed", Phase::Completed).await?;
        assert_eq!(setup.parameters_of_run("typed").await?, texts(&[("GRACE_PERIOD", "30s")]));
        let run = setup.namespace.runs().get(&status.execution_ref.context("a run")?.name).await?;
        let target = json!({ "name": "TARGET_RESOURCE", "value": "default/Deployment/api" });
        let given = run.data["spec"]["params"].as_array().context("parameters")?;
        assert!(given.contains(&target), "{given:?}");
        let key = get_request::Key::RequestId(created.uid().context("a UID")?);
        let mut service = setup.server.client().await?;
        let answer = service.get(GetRequest { key: Some(key) }).await?.into_inner();
        let execution = answer.execution.context("an execution")?;
        assert_eq!(execution.target, "default/deployment/api");

        // As it lies in a repository: without what only the API server may say.
        let mut manifest = object;
        let metadata = manifest["metadata"].as_object_mut().context("metadata")?;
        metadata.remove("creationTimestamp");
        manifest.as_object_mut().context("an object")?.remove("status");
        let before = raw.get("typed").await?;
        let with_null = manifest.to_string();
        let workflow = manifest["spec"]["workflowRef"].as_object_mut().context("a workflow")?;
        workflow.remove("declaredParameterNames").context("a null")?;
        for _ in 0..2 {
            setup.apply(&manifest).await?;
        }
        // kubectl takes a null for a wish to remove the field, which would change the spec; the API server does not.
        let said = setup.kubectl.refused(&["apply", "-f", "-"], &with_null).await?;
        assert!(said.contains("spec is immutable after creation"), "{said}");
        for _ in 0..2 {
            setup.kubectl.run_with(&["apply", "--server-side", "-f", "-"], &with_null).await?;
        }
        let after = raw.get("typed").await?;
        assert_eq!(after.data, before.data, "spec and status are as they were");
        assert_eq!(after.metadata.generation, Some(1));
        assert_eq!(after.metadata.owner_references, before.metadata.owner_references);
        let runs = setup.namespace.runs().list(&kube::api::ListParams::default()).await?;
        assert_eq!(runs.items.len(), 1);
        Ok(())
    })
    .await
}
