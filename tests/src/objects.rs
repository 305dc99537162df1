//! WorkflowExecutions as people write them, and what their conditions say.

use serde_json::{Value, json};
use wfe_crds::workflow_execution::WorkflowExecutionStatus;

/// The least that a person has to write.
#[must_use]
pub fn mk_object(name: &str, bundle: &str, target: &str) -> Value {
    json!({
        "apiVersion": "kubernaut.ai/v1alpha1",
        "kind": "WorkflowExecution",
        "metadata": { "name": name },
        "spec": {
            "remediationRequestRef": { "name": format!("rr-{name}") },
            "workflowRef": {
                "workflowId": "0b4a5a6e-0000-4000-8000-000000000001",
                "workflowName": "restart",
                "actionType": "RestartPod",
                "version": "1.0.0",
                "executionBundle": bundle,
                "executionEngine": "tekton",
            },
            "targetResource": target,
        },
    })
}

/// Status, reason and message of a condition; empty when there is none of this type.
#[must_use]
pub fn condition(status: &WorkflowExecutionStatus, kind: &str) -> (String, String, String) {
    let found = status.conditions.iter().find(|condition| condition.type_ == kind);
    found.map_or_else(Default::default, |condition| {
        (condition.status.clone(), condition.reason.clone(), condition.message.clone())
    })
}
