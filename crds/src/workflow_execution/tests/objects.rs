//! Objects are read whatever they hold, and written without what they do not hold.

use serde_json::{Value, json};

use crate::workflow_execution::{
    ClearMethod, ConditionStatus, FailureReason, Phase, WorkflowExecution, WorkflowExecutionSpec,
    WorkflowExecutionStatus,
};

fn read(object: Value) -> WorkflowExecution {
    serde_json::from_value(object).unwrap()
}

fn object(parts: &Value) -> Value {
    let mut object = json!({
        "apiVersion": "kubernaut.ai/v1alpha1",
        "kind": "WorkflowExecution",
        "metadata": { "name": "we", "namespace": "kubernaut-system" },
    });
    for (name, part) in parts.as_object().cloned().unwrap_or_default() {
        object[name] = part;
    }
    object
}

/// As kubernaut's orchestrator writes it: typed, with every field that it knows.
fn full_spec() -> Value {
    json!({
        "remediationRequestRef": {
            "apiVersion": "kubernaut.ai/v1alpha1",
            "kind": "RemediationRequest",
            "name": "rr-1",
            "namespace": "kubernaut-system",
            "uid": "9d3a4b0e-51a6-4a68-a0a7-3b8b3b1a0f00",
        },
        "workflowRef": {
            "workflowId": "0b1f0c9e-8a4e-4c58-93f5-0f0a7f7f0001",
            "workflowName": "restart-pod",
            "actionType": "RestartPod",
            "version": "1.2.0",
            "executionBundle": "registry.example/workflows/restart:v1",
            "executionBundleDigest":
                "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            "executionEngine": "tekton",
            "engineConfig": { "playbookPath": "site.yml", "nested": [1, { "deep": null }] },
            "serviceAccountName": "restarter",
            "dependencies": {
                "secrets": [{ "name": "token" }],
                "configMaps": [{ "name": "settings" }],
            },
            "resources": {
                "limits": { "memory": "64Mi" },
                "requests": { "cpu": "100m", "memory": "32Mi" },
            },
            "declaredParameterNames": { "REPLICAS": true, "GRACE": false },
        },
        "targetResource": "default/Deployment/api",
        "clusterID": "east-1",
        "parameters": { "REPLICAS": "3" },
        "confidence": 0.95,
        "rationale": "It helped before.",
        "timesOutAt": "2026-11-21T05:30:00Z",
    })
}

fn full_status() -> Value {
    json!({
        "observedGeneration": 1,
        "phase": "Failed",
        "startTime": "2026-11-21T05:20:00Z",
        "completionTime": "2026-11-21T05:21:30Z",
        "duration": "1m30s",
        "executionRef": { "name": "wfe-0123456789abcdef-1" },
        "executionStatus": {
            "status": "False",
            "reason": "Failed",
            "message": "Tasks Completed: 1 (Failed: 1, Cancelled 0), Skipped: 0",
            "completedTasks": 1,
            "totalTasks": 2,
            "retryCount": 1,
        },
        "failureReason": "TaskFailed",
        "failureDetails": {
            "failedTaskIndex": 0,
            "failedTaskName": "restart",
            "failedStepName": "apply",
            "reason": "TaskFailed",
            "message": "exit code 1",
            "exitCode": 1,
            "failedAt": "2026-11-21T05:21:30Z",
            "executionTimeBeforeFailure": "1m30s",
            "naturalLanguageSummary": "Task restart failed.",
            "wasExecutionFailure": true,
        },
        "blockClearance": {
            "clearedAt": "2026-11-21T06:00:00Z",
            "clearedBy": "alice",
            "clearReason": "looked at it, all is well",
            "clearMethod": "APIEndpoint",
        },
        "blockClearanceRequest": {
            "clearReason": "looked at it",
            "ticket": "OPS-1",
            "requestedBy": { "username": "alice", "uid": "1", "groups": ["sre"] },
            "requestedAt": "2026-11-21T05:59:59Z",
            "seal": "c2VhbA==",
        },
        "cancelRequest": {
            "reason": "parent ended",
            "requestedBy": { "username": "orchestrator" },
            "requestedAt": "2026-11-21T05:21:00Z",
            "seal": "c2VhbA==",
        },
        "cooldownUntil": "2026-11-21T05:26:30Z",
        "executionID": "0198c0de-0000-7000-8000-000000000001",
        "executionRevision": 7,
        "ephemeralCredentialIDs": [7, 11],
        "workflowName": "restart-pod",
        "deduplicatedBy": "we-other",
        "conditions": [{
            "type": "Ready",
            "status": "False",
            "observedGeneration": 1,
            "lastTransitionTime": "2026-11-21T05:21:30Z",
            "reason": "NotReady",
            "message": "it failed",
        }],
    })
}

#[test]
fn a_full_object_is_written_as_it_was_read() {
    let full = object(&json!({ "spec": full_spec(), "status": full_status() }));
    let read = read(full.clone());
    let status = read.status.as_ref().unwrap();
    assert_eq!(status.phase, Some(Phase::Failed));
    assert_eq!(status.failure_details.as_ref().unwrap().reason, FailureReason::TaskFailed);
    assert_eq!(status.block_clearance.as_ref().unwrap().clear_method, ClearMethod::ApiEndpoint);
    assert_eq!(status.execution_status.as_ref().unwrap().status, ConditionStatus::False);
    assert_eq!(serde_json::to_value(&read).unwrap(), full);
}

#[test]
fn a_minimal_object_is_written_as_it_was_read() {
    let minimal = object(&json!({ "spec": {
        "remediationRequestRef": {},
        "targetResource": "node/worker-1",
        "workflowRef": {
            "workflowId": "",
            "workflowName": "",
            "actionType": "",
            "version": "",
            "executionBundle": "registry.example/workflows/restart:v1",
        },
    } }));
    assert_eq!(serde_json::to_value(read(minimal.clone())).unwrap(), minimal);
}

#[test]
fn no_declared_names_and_null_are_no_filter_and_an_empty_map_is_one() {
    let declared = |workflow: Value| {
        read(object(&json!({ "spec": { "workflowRef": workflow } })))
            .spec
            .workflow_ref
            .declared_parameter_names
            .map(|names| names.into_keys().collect::<Vec<_>>())
    };
    assert_eq!(declared(json!({})), None);
    assert_eq!(declared(json!({ "declaredParameterNames": null })), None);
    assert_eq!(declared(json!({ "declaredParameterNames": {} })), Some(vec![]));
    // What the value says has no meaning: the name is declared.
    assert_eq!(
        declared(json!({ "declaredParameterNames": { "A": true, "B": false } })),
        Some(vec!["A".to_owned(), "B".to_owned()])
    );
}

#[test]
fn an_object_without_a_spec_has_an_empty_one() {
    for parts in [json!({}), json!({ "spec": null }), json!({ "spec": {} })] {
        assert_eq!(read(object(&parts)).spec, WorkflowExecutionSpec::default(), "{parts}");
    }
}

#[test]
fn an_object_of_an_earlier_version_is_read_with_the_fields_that_are_left() {
    let old = read(object(&json!({
        "spec": {
            "remediationRequestRef": { "name": "rr-old" },
            "workflowRef": { "workflowId": "w", "version": "v1", "containerImage": "x/y:v1" },
            "targetResource": "default/deployment/api",
            "executionConfig": { "timeout": "5m", "serviceAccountName": "sa" },
        },
        "status": {
            "phase": "Skipped",
            "skipDetails": { "reason": "ResourceBusy" },
            "failureDetails": { "failedAt": "2025-01-01T00:00:00Z", "reason": "RaceConditionError" },
            "blockClearance": { "clearMethod": "Telepathy" },
            "conditions": [{
                "type": "TektonPipelineComplete",
                "status": "False",
                "lastTransitionTime": "2025-01-01T00:00:00.123456Z",
                "reason": "",
                "message": "",
            }],
        },
    })));
    assert_eq!(old.spec.remediation_request_ref.name.as_deref(), Some("rr-old"));
    assert_eq!(old.spec.workflow_ref.workflow_id, "w");
    assert_eq!(old.spec.workflow_ref.execution_bundle, "");
    let status = old.status.unwrap();
    assert_eq!(status.phase, Some(Phase::Other("Skipped".to_owned())));
    let details = status.failure_details.unwrap();
    assert_eq!(details.reason.as_str(), "RaceConditionError");
    assert_eq!(details.failed_task_name, "");
    assert_eq!(status.block_clearance.unwrap().clear_method.as_str(), "Telepathy");
    assert_eq!(status.conditions[0].type_, "TektonPipelineComplete");
}

#[test]
fn an_engine_that_the_schema_does_not_know_is_read() {
    let read = read(object(&json!({ "spec": { "workflowRef": { "executionEngine": "argo" } } })));
    assert_eq!(read.spec.workflow_ref.execution_engine.as_deref(), Some("argo"));
}

#[test]
fn numbers_are_read_as_quantities() {
    let resources = json!({ "limits": { "cpu": 1, "memory": "64Mi" } });
    let read = read(object(&json!({ "spec": { "workflowRef": { "resources": resources } } })));
    let limits = read.spec.workflow_ref.resources.unwrap().limits.unwrap();
    assert_eq!((limits["cpu"].0.as_str(), limits["memory"].0.as_str()), ("1", "64Mi"));
}

#[test]
fn an_empty_status_names_no_field() {
    let status = WorkflowExecutionStatus::default();
    assert_eq!(serde_json::to_value(&status).unwrap(), json!({}));
}

#[test]
fn every_known_value_is_read_as_itself() {
    for text in Phase::KNOWN {
        let phase = Phase::from((*text).to_owned());
        assert_eq!((phase.as_str(), matches!(phase, Phase::Other(_))), (*text, false));
    }
    for text in FailureReason::KNOWN {
        let reason = FailureReason::from((*text).to_owned());
        assert_eq!((reason.as_str(), matches!(reason, FailureReason::Other(_))), (*text, false));
    }
}
