//! Whether an API server would take a status: the generated schema, applied by hand.

use std::collections::BTreeSet;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrArray,
};
use regex::Regex;
use serde_json::Value;
use wfe_crds::workflow_execution::{WorkflowExecutionStatus, crd};

/// What a request to an API server may have is 3 MiB, what etcd takes 1.5 MiB.
const MAX_BYTES: usize = 1 << 20;

/// The schema of a status.
pub(super) struct Schema(JSONSchemaProps);

impl Schema {
    pub(super) fn of_status() -> Self {
        let mut versions = crd().spec.versions;
        let schema = versions.remove(0).schema.unwrap().open_api_v3_schema.unwrap();
        Self(schema.properties.unwrap().remove("status").unwrap())
    }

    /// Fails when an API server would refuse `status`.
    pub(super) fn accept(&self, status: &WorkflowExecutionStatus) {
        let status = serde_json::to_value(status).unwrap();
        assert!(status.to_string().len() < MAX_BYTES);
        let mut wrong = Vec::new();
        check("status", &self.0, &status, &mut wrong);
        let types: Vec<&str> = status["conditions"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|condition| condition["type"].as_str().unwrap())
            .collect();
        if types.iter().collect::<BTreeSet<_>>().len() != types.len() {
            wrong.push(format!("conditions: a type is there twice: {types:?}"));
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}

fn check(path: &str, schema: &JSONSchemaProps, value: &Value, wrong: &mut Vec<String>) {
    let mut refuse = |what: &str| wrong.push(format!("{path}: {what}"));
    if let Some(allowed) = &schema.enum_
        && !allowed.iter().any(|allowed| allowed.0 == *value)
    {
        refuse(&format!("{value} is none of the values"));
    }
    match schema.type_.as_deref() {
        Some("string") => match value.as_str() {
            None => refuse("is no text"),
            Some(text) => text_rules(schema, text, &mut refuse),
        },
        Some("integer") => match value.as_i64() {
            None => refuse("is no whole number"),
            Some(number) => {
                // Limits of whole numbers are whole.
                #[expect(clippy::cast_precision_loss, reason = "the limits are small")]
                if schema.minimum.is_some_and(|minimum| (number as f64) < minimum) {
                    refuse("is too small");
                }
                if schema.format.as_deref() == Some("int32") && i32::try_from(number).is_err() {
                    refuse("does not fit into 32 bits");
                }
            }
        },
        Some("boolean") if !value.is_boolean() => refuse("is not true or false"),
        Some("array") => {
            let Some(JSONSchemaPropsOrArray::Schema(items)) = &schema.items else { return };
            for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                check(&format!("{path}[{index}]"), items, item, wrong);
            }
        }
        Some("object") => {
            let Some(fields) = value.as_object() else { return refuse("is no object") };
            for required in schema.required.iter().flatten() {
                if !fields.contains_key(required) {
                    refuse(&format!("{required} is required"));
                }
            }
            for (name, value) in fields {
                match schema.properties.as_ref().and_then(|properties| properties.get(name)) {
                    Some(schema) => check(&format!("{path}.{name}"), schema, value, wrong),
                    None => wrong.push(format!("{path}.{name}: is not known")),
                }
            }
        }
        Some(_) | None => {}
    }
}

fn text_rules(schema: &JSONSchemaProps, text: &str, refuse: &mut impl FnMut(&str)) {
    let length = i64::try_from(text.chars().count()).unwrap();
    if schema.max_length.is_some_and(|most| length > most) {
        refuse("is too long");
    }
    if schema.min_length.is_some_and(|least| length < least) {
        refuse("is too short");
    }
    if let Some(pattern) = &schema.pattern
        && !Regex::new(pattern).unwrap().is_match(text)
    {
        refuse(&format!("{text:?} has not the form {pattern}"));
    }
    if schema.format.as_deref() == Some("date-time") {
        // RFC 3339 has years of four digits.
        let years = text.find('-');
        if years != Some(4) || text.parse::<jiff::Timestamp>().is_err() {
            refuse(&format!("{text:?} is no time"));
        }
    }
}

#[test]
#[should_panic(expected = "status.conditions[0].reason: is too short")]
fn what_is_wrong_is_found() {
    let mut status = super::shown(&super::mk_execution(super::State::Running));
    status.conditions[0].reason = String::new();
    Schema::of_status().accept(&status);
}
