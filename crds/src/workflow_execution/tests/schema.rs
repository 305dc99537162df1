//! The generated definition is the one that other services of the platform know, and what was added.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::workflow_execution::crd;

/// Every field that other services of the platform know, and its type. `[]` is an item of a list, `*` a
/// value of a map.
const COMPATIBLE: &[(&str, &str)] = &[
    ("spec", "object"),
    ("spec.remediationRequestRef", "object"),
    ("spec.remediationRequestRef.apiVersion", "string"),
    ("spec.remediationRequestRef.fieldPath", "string"),
    ("spec.remediationRequestRef.kind", "string"),
    ("spec.remediationRequestRef.name", "string"),
    ("spec.remediationRequestRef.namespace", "string"),
    ("spec.remediationRequestRef.resourceVersion", "string"),
    ("spec.remediationRequestRef.uid", "string"),
    ("spec.workflowRef", "object"),
    ("spec.workflowRef.workflowId", "string"),
    ("spec.workflowRef.workflowName", "string"),
    ("spec.workflowRef.actionType", "string"),
    ("spec.workflowRef.version", "string"),
    ("spec.workflowRef.executionBundle", "string"),
    ("spec.workflowRef.executionBundleDigest", "string"),
    ("spec.workflowRef.executionEngine", "string"),
    ("spec.workflowRef.engineConfig", "any"),
    ("spec.workflowRef.serviceAccountName", "string"),
    ("spec.workflowRef.dependencies", "object"),
    ("spec.workflowRef.dependencies.secrets", "array"),
    ("spec.workflowRef.dependencies.secrets[]", "object"),
    ("spec.workflowRef.dependencies.secrets[].name", "string"),
    ("spec.workflowRef.dependencies.configMaps", "array"),
    ("spec.workflowRef.dependencies.configMaps[]", "object"),
    ("spec.workflowRef.dependencies.configMaps[].name", "string"),
    ("spec.workflowRef.resources", "object"),
    ("spec.workflowRef.resources.claims", "array"),
    ("spec.workflowRef.resources.claims[]", "object"),
    ("spec.workflowRef.resources.claims[].name", "string"),
    ("spec.workflowRef.resources.claims[].request", "string"),
    ("spec.workflowRef.resources.limits", "object"),
    ("spec.workflowRef.resources.limits.*", "int-or-string"),
    ("spec.workflowRef.resources.requests", "object"),
    ("spec.workflowRef.resources.requests.*", "int-or-string"),
    ("spec.workflowRef.declaredParameterNames", "object or null"),
    ("spec.workflowRef.declaredParameterNames.*", "boolean"),
    ("spec.targetResource", "string"),
    ("spec.clusterID", "string"),
    ("spec.parameters", "object"),
    ("spec.parameters.*", "string"),
    ("spec.confidence", "number"),
    ("spec.rationale", "string"),
    ("spec.timesOutAt", "date-time"),
    ("status", "object"),
    ("status.observedGeneration", "int64"),
    ("status.phase", "string"),
    ("status.startTime", "date-time"),
    ("status.completionTime", "date-time"),
    ("status.duration", "string"),
    ("status.executionRef", "object"),
    ("status.executionRef.name", "string"),
    ("status.executionStatus", "object"),
    ("status.executionStatus.status", "string"),
    ("status.executionStatus.reason", "string"),
    ("status.executionStatus.message", "string"),
    ("status.executionStatus.completedTasks", "int64"),
    ("status.executionStatus.totalTasks", "int64"),
    ("status.executionStatus.retryCount", "int32"),
    ("status.failureReason", "string"),
    ("status.failureDetails", "object"),
    ("status.failureDetails.failedAt", "date-time"),
    ("status.failureDetails.failedTaskIndex", "int64"),
    ("status.failureDetails.failedTaskName", "string"),
    ("status.failureDetails.failedStepName", "string"),
    ("status.failureDetails.message", "string"),
    ("status.failureDetails.naturalLanguageSummary", "string"),
    ("status.failureDetails.reason", "string"),
    ("status.failureDetails.exitCode", "int32"),
    ("status.failureDetails.executionTimeBeforeFailure", "string"),
    ("status.failureDetails.wasExecutionFailure", "boolean"),
    ("status.blockClearance", "object"),
    ("status.blockClearance.clearMethod", "string"),
    ("status.blockClearance.clearReason", "string"),
    ("status.blockClearance.clearedBy", "string"),
    ("status.blockClearance.clearedAt", "date-time"),
    ("status.ephemeralCredentialIDs", "array"),
    ("status.ephemeralCredentialIDs[]", "int64"),
    ("status.workflowName", "string"),
    ("status.deduplicatedBy", "string"),
    ("status.conditions", "array"),
    ("status.conditions[]", "object"),
    ("status.conditions[].type", "string"),
    ("status.conditions[].status", "string"),
    ("status.conditions[].observedGeneration", "int64"),
    ("status.conditions[].lastTransitionTime", "date-time"),
    ("status.conditions[].reason", "string"),
    ("status.conditions[].message", "string"),
];

const ADDED: &[(&str, &str)] = &[
    ("status.cooldownUntil", "date-time"),
    ("status.blockClearanceRequest", "object"),
    ("status.blockClearanceRequest.clearReason", "string"),
    ("status.blockClearanceRequest.ticket", "string"),
    ("status.blockClearanceRequest.requestedBy", "object"),
    ("status.blockClearanceRequest.requestedBy.username", "string"),
    ("status.blockClearanceRequest.requestedBy.uid", "string"),
    ("status.blockClearanceRequest.requestedBy.groups", "array"),
    ("status.blockClearanceRequest.requestedBy.groups[]", "string"),
    ("status.blockClearanceRequest.requestedAt", "date-time"),
    ("status.blockClearanceRequest.seal", "string"),
    ("status.cancelRequest", "object"),
    ("status.cancelRequest.reason", "string"),
    ("status.cancelRequest.requestedBy", "object"),
    ("status.cancelRequest.requestedBy.username", "string"),
    ("status.cancelRequest.requestedBy.uid", "string"),
    ("status.cancelRequest.requestedBy.groups", "array"),
    ("status.cancelRequest.requestedBy.groups[]", "string"),
    ("status.cancelRequest.requestedAt", "date-time"),
    ("status.cancelRequest.seal", "string"),
    ("status.executionID", "string"),
    ("status.executionRevision", "int64"),
];

/// What must be there when its parent is.
const REQUIRED: &[(&str, &[&str])] = &[
    ("spec", &["remediationRequestRef", "targetResource", "workflowRef"]),
    (
        "spec.workflowRef",
        &["actionType", "executionBundle", "version", "workflowId", "workflowName"],
    ),
    ("spec.workflowRef.dependencies.configMaps[]", &["name"]),
    ("spec.workflowRef.dependencies.secrets[]", &["name"]),
    ("spec.workflowRef.resources.claims[]", &["name"]),
    ("status.blockClearance", &["clearMethod", "clearReason", "clearedBy"]),
    ("status.blockClearanceRequest", &["clearReason"]),
    ("status.blockClearanceRequest.requestedBy", &["username"]),
    ("status.cancelRequest", &["reason"]),
    ("status.cancelRequest.requestedBy", &["username"]),
    ("status.conditions[]", &["lastTransitionTime", "message", "reason", "status", "type"]),
    ("status.executionStatus", &["status"]),
    (
        "status.failureDetails",
        &[
            "failedAt",
            "failedTaskIndex",
            "failedTaskName",
            "message",
            "naturalLanguageSummary",
            "reason",
        ],
    ),
];

fn version() -> Value {
    let crd = serde_json::to_value(crd()).unwrap();
    crd["spec"]["versions"][0].clone()
}

fn root() -> Value {
    version()["schema"]["openAPIV3Schema"].clone()
}

/// Every schema below the root, by its path.
fn fields() -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    collect("", &root(), &mut found);
    found
}

fn collect(path: &str, schema: &Value, found: &mut BTreeMap<String, Value>) {
    if !path.is_empty() {
        found.insert(path.to_owned(), schema.clone());
    }
    let dot = if path.is_empty() { "" } else { "." };
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        collect(&format!("{path}{dot}{name}"), property, found);
    }
    if schema["items"].is_object() {
        collect(&format!("{path}[]"), &schema["items"], found);
    }
    if schema["additionalProperties"].is_object() {
        collect(&format!("{path}{dot}*"), &schema["additionalProperties"], found);
    }
}

fn type_of(schema: &Value) -> String {
    let flag = |name: &str| schema[name] == json!(true);
    let plain = if flag("x-kubernetes-int-or-string") {
        "int-or-string"
    } else if flag("x-kubernetes-preserve-unknown-fields") {
        "any"
    } else {
        match schema["format"].as_str() {
            Some(format @ ("date-time" | "int32" | "int64")) => format,
            _ => schema["type"].as_str().unwrap_or("none"),
        }
    };
    if flag("nullable") { format!("{plain} or null") } else { plain.to_owned() }
}

#[test]
fn the_schema_has_the_compatible_fields_and_the_added_ones_and_no_others() {
    let expected: BTreeMap<String, String> =
        COMPATIBLE.iter().chain(ADDED).map(|(p, t)| ((*p).to_owned(), (*t).to_owned())).collect();
    let actual: BTreeMap<String, String> =
        fields().into_iter().map(|(path, schema)| (path, type_of(&schema))).collect();
    let differing: Vec<_> = expected
        .keys()
        .chain(actual.keys())
        .filter(|path| expected.get(*path) != actual.get(*path))
        .map(|path| (path, expected.get(path), actual.get(path)))
        .collect();
    assert!(differing.is_empty(), "(path, expected, actual): {differing:#?}");
}

#[test]
fn what_must_be_there_is_what_must_be_there_for_other_services() {
    let fields = fields();
    let required: Vec<(&str, Vec<&str>)> = fields
        .iter()
        .filter_map(|(path, schema)| {
            let names = schema["required"].as_array()?;
            Some((path.as_str(), names.iter().filter_map(Value::as_str).collect()))
        })
        .collect();
    let expected: Vec<(&str, Vec<&str>)> =
        REQUIRED.iter().map(|(path, names)| (*path, names.to_vec())).collect();
    assert_eq!(required, expected);
    assert_eq!(root()["required"], Value::Null, "objects without a spec exist");
}

#[test]
fn closed_sets_of_values_are_those_of_other_services() {
    let sets: BTreeMap<String, Value> = fields()
        .into_iter()
        .filter_map(|(path, schema)| Some((path, schema.get("enum")?.clone())))
        .collect();
    let truth = json!(["True", "False", "Unknown"]);
    let expected = [
        ("spec.workflowRef.executionEngine", json!(["tekton", "job", "ansible"])),
        ("status.blockClearance.clearMethod", json!(["Annotation", "APIEndpoint", "StatusField"])),
        ("status.conditions[].status", truth.clone()),
        ("status.executionStatus.status", truth),
        (
            "status.failureDetails.reason",
            json!([
                "OOMKilled",
                "DeadlineExceeded",
                "Forbidden",
                "ResourceExhausted",
                "ConfigurationError",
                "ImagePullBackOff",
                "TaskFailed",
                "UnsupportedEngine",
                "Unknown",
                "Deduplicated"
            ]),
        ),
        ("status.phase", json!(["Pending", "Running", "Completed", "Failed"])),
    ];
    assert_eq!(sets, expected.map(|(path, values)| (path.to_owned(), values)).into());
}

#[test]
fn the_api_server_writes_two_defaults_and_no_other() {
    let defaults: Vec<(String, Value)> = fields()
        .into_iter()
        .filter_map(|(path, schema)| Some((path, schema.get("default")?.clone())))
        .collect();
    let expected = [
        ("status".to_owned(), json!({ "observedGeneration": -1 })),
        ("status.executionRef.name".to_owned(), json!("")),
    ];
    assert_eq!(defaults, expected);
}

#[test]
fn every_text_that_is_stored_has_a_limit() {
    let unlimited: Vec<String> = fields()
        .into_iter()
        .filter(|(_, schema)| schema["type"] == "string" && schema["format"] != "date-time")
        .filter(|(_, s)| s["maxLength"].is_null() && s["enum"].is_null() && s["pattern"].is_null())
        .map(|(path, _)| path)
        .collect();
    assert!(unlimited.is_empty(), "{unlimited:?}");
}

#[test]
fn every_field_is_explained_in_one_line() {
    for (path, schema) in fields() {
        if path.ends_with(['*', ']']) {
            continue;
        }
        let text = schema["description"].as_str().unwrap_or_default();
        assert!(!text.is_empty() && !text.contains(['\n', '`']), "{path}: {text:?}");
    }
}

#[test]
fn a_spec_cannot_change_and_cannot_be_left_out() {
    let immutable =
        json!({ "rule": "self == oldSelf", "message": "spec is immutable after creation" });
    assert_eq!(fields()["spec"]["x-kubernetes-validations"], json!([immutable]));
    let rules = root()["x-kubernetes-validations"].clone();
    assert_eq!(
        rules,
        json!([
            {
                "rule": "has(self.spec) || oldSelf.hasValue()",
                "message": "spec is required",
                "optionalOldSelf": true,
            },
            {
                "rule": "has(self.spec) == has(oldSelf.spec)",
                "message": "spec is immutable after creation",
            },
        ])
    );
}

#[test]
fn conditions_are_kept_apart_by_their_type() {
    let conditions = &fields()["status.conditions"];
    assert_eq!(conditions["x-kubernetes-list-type"], "map");
    assert_eq!(conditions["x-kubernetes-list-map-keys"], json!(["type"]));
}

#[test]
fn references_are_replaced_as_a_whole() {
    let fields = fields();
    for path in ["spec.remediationRequestRef", "status.executionRef"] {
        assert_eq!(fields[path]["x-kubernetes-map-type"], "atomic", "{path}");
    }
}

#[test]
fn kubectl_get_shows_the_usual_columns_in_their_order() {
    let version = version();
    let columns: Vec<(&str, &str, &str, i64)> = version["additionalPrinterColumns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|column| {
            let text = |name: &str| column[name].as_str().unwrap();
            let priority = column["priority"].as_i64().unwrap_or(0);
            (text("name"), text("jsonPath"), text("type"), priority)
        })
        .collect();
    assert_eq!(
        columns,
        [
            ("Phase", ".status.phase", "string", 0),
            ("Workflow", ".spec.workflowRef.workflowName", "string", 0),
            ("WorkflowID", ".spec.workflowRef.workflowId", "string", 1),
            ("Target", ".spec.targetResource", "string", 0),
            ("Duration", ".status.duration", "string", 0),
            ("Reason", r#".status.conditions[?(@.type=="Ready")].reason"#, "string", 1),
            ("Age", ".metadata.creationTimestamp", "date", 0),
        ]
    );
}

#[test]
fn the_resource_goes_by_its_usual_names() {
    let crd = serde_json::to_value(crd()).unwrap();
    assert_eq!(crd["metadata"]["name"], "workflowexecutions.kubernaut.ai");
    let spec = &crd["spec"];
    assert_eq!((&spec["group"], &spec["scope"]), (&json!("kubernaut.ai"), &json!("Namespaced")));
    assert_eq!(
        spec["names"],
        json!({
            "kind": "WorkflowExecution",
            "plural": "workflowexecutions",
            "singular": "workflowexecution",
            "shortNames": ["wfe"],
        })
    );
    assert_eq!(spec["versions"].as_array().map(Vec::len), Some(1));
    let version = &spec["versions"][0];
    assert_eq!(version["name"], "v1alpha1");
    assert_eq!((&version["served"], &version["storage"]), (&json!(true), &json!(true)));
    assert_eq!(version["subresources"], json!({ "status": {} }));
    assert_eq!(
        version["selectableFields"],
        json!([{ "jsonPath": ".spec.remediationRequestRef.name" }])
    );
}
