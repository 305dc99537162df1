//! The schema of the resource: what the Rust types cannot say by themselves.

use k8s_openapi::{
    apiextensions_apiserver::pkg::apis::apiextensions::v1::{
        CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray,
        JSONSchemaPropsOrBool,
    },
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::CustomResourceExt as _;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::{limits, spec::WorkflowExecution, status::ConditionStatus};

/// A status that shows an older revision of the same execution is refused, so that a late writer
/// cannot turn the status back.
pub(super) const REVISION_RULE: &str = "!has(self.executionID) || !has(oldSelf.executionID) || \
     self.executionID != oldSelf.executionID || !has(oldSelf.executionRevision) || \
     (has(self.executionRevision) && self.executionRevision >= oldSelf.executionRevision)";

/// The definition of the resource as it is applied to a cluster.
///
/// It is what `WorkflowExecution::crd()` says, less what schemars concludes from Rust and Kubernetes
/// would take otherwise: `nullable` for every `Option` (an API server would then store nulls that mean
/// nothing), and the defaults of reading (it would write them into every object).
/// `declaredParameterNames` alone may be null, because other services write it so. Two defaults are
/// there: the name in `executionRef`, because core's reference has it, and the status of what nobody
/// looked at yet, without which tools that follow kstatus would take a new object for a finished one.
pub fn crd() -> CustomResourceDefinition {
    let mut crd = WorkflowExecution::crd();
    for version in &mut crd.spec.versions {
        let Some(root) = version.schema.as_mut().and_then(|s| s.open_api_v3_schema.as_mut()) else {
            continue;
        };
        root.title = None;
        // An earlier schema let objects without a spec in. They must still be updated and deleted; the
        // rules of the root see to it that no other comes.
        root.required = None;
        tidy(root);
        if let Some(names) = at(root, &["spec", "workflowRef", "declaredParameterNames"]) {
            names.nullable = Some(true);
        }
        if let Some(name) = at(root, &["status", "executionRef", "name"]) {
            name.default = Some(JSON(json!("")));
        }
        if let Some(status) = at(root, &["status"]) {
            // Not 0, which Go programs leave out when they write the status back.
            status.default = Some(JSON(json!({ "observedGeneration": -1 })));
        }
    }
    crd
}

fn tidy(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    schema.default = None;
    if let Some(values) = &mut schema.enum_ {
        values.retain(|JSON(value)| !value.is_null());
    }
    // A comment in Markdown, wrapped, is one plain line of text.
    schema.description =
        schema.description.take().map(|text| text.replace('\n', " ").replace('`', ""));
    for property in schema.properties.iter_mut().flat_map(|properties| properties.values_mut()) {
        tidy(property);
    }
    match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(items)) => tidy(items),
        Some(JSONSchemaPropsOrArray::Schemas(items)) => items.iter_mut().for_each(tidy),
        None => {}
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        tidy(values);
    }
}

fn at<'a>(root: &'a mut JSONSchemaProps, path: &[&str]) -> Option<&'a mut JSONSchemaProps> {
    path.iter().try_fold(root, |schema, name| schema.properties.as_mut()?.get_mut(*name))
}

fn text(what: &str) -> Value {
    json!({ "type": "string", "maxLength": limits::MAX_NAME_CHARS, "description": what })
}

/// A reference to any object: core's `ObjectReference`. Its parts belong together.
pub(super) fn object_reference(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "x-kubernetes-map-type": "atomic",
        "properties": {
            "apiVersion": text("API version of the object."),
            "fieldPath": text("A part of the object."),
            "kind": text("Kind of the object."),
            "name": text("Name of the object."),
            "namespace": text("Namespace of the object."),
            "resourceVersion": text("Version of the object."),
            "uid": text("UID of the object."),
        },
    })
}

/// A reference to an object of a kind and namespace that are known: core's `LocalObjectReference`.
pub(super) fn local_object_reference(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "x-kubernetes-map-type": "atomic",
        "properties": { "name": text("Name of the object.") },
    })
}

pub(super) fn parameters(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": limits::MAX_PARAMETERS,
        "additionalProperties": { "type": "string", "maxLength": limits::MAX_PARAMETER_CHARS },
    })
}

/// Any JSON, kept as it is.
pub(super) fn opaque(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "x-kubernetes-preserve-unknown-fields": true })
}

/// Core's `ResourceRequirements`.
pub(super) fn resources(_: &mut SchemaGenerator) -> Schema {
    let quantities = |what: &str| {
        json!({
            "type": "object",
            "description": what,
            "additionalProperties": {
                "x-kubernetes-int-or-string": true,
                "pattern": QUANTITY_PATTERN,
            },
        })
    };
    json_schema!({
        "type": "object",
        "properties": {
            "claims": {
                "type": "array",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name"],
                "description": "Claims of the pod that the container uses.",
                "items": {
                    "type": "object",
                    "required": ["name"],
                    "properties": {
                        "name": text("Name of the claim."),
                        "request": text("The part of the claim. Empty is all of it."),
                    },
                },
            },
            "limits": quantities("The most that it may use."),
            "requests": quantities("What is kept for it."),
        },
    })
}

/// How Kubernetes writes quantities: a signed number and a suffix or an exponent.
const QUANTITY_PATTERN: &str = r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$";

/// Core's Condition with the limits that it has everywhere, in a list that different managers may own
/// parts of.
pub(super) fn conditions(generator: &mut SchemaGenerator) -> Schema {
    let time = generator.subschema_for::<Time>();
    let described = |mut schema: Value, what: &str| {
        schema["description"] = json!(what);
        schema
    };
    json_schema!({
        "type": "array",
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["lastTransitionTime", "message", "reason", "status", "type"],
            "properties": {
                "type": {
                    "type": "string",
                    "maxLength": 316,
                    "pattern": CONDITION_TYPE_PATTERN,
                    "description": "What it is about.",
                },
                "status": {
                    "type": "string",
                    "enum": ConditionStatus::KNOWN,
                    "description": "Whether it holds.",
                },
                "observedGeneration": {
                    "type": "integer",
                    "format": "int64",
                    "minimum": 0,
                    "description": "The generation of the spec that it is about.",
                },
                "lastTransitionTime": described(time.to_value(), "Since when it has this status."),
                "reason": {
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 1024,
                    "pattern": CONDITION_REASON_PATTERN,
                    "description": "Why, in one word.",
                },
                "message": {
                    "type": "string",
                    "maxLength": 32768,
                    "description": "Why, in words.",
                },
            },
        },
    })
}

/// A word, maybe qualified by a domain: `Ready`, `example.com/Ready`.
const CONDITION_TYPE_PATTERN: &str = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$";
const CONDITION_REASON_PATTERN: &str = "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$";
