//! The schema of WorkflowExecution limits its fields as the service does: it never refuses what the
//! service accepts, and lets nothing much longer through.

use std::collections::BTreeMap;

use wfe_core::ids::{ClusterId, CorrelationId};
use wfe_core::request::{
    MAX_PARAMETER_BYTES, MAX_PARAMETERS, MAX_WORKSPACES, TARGET_PARAMETER, check_parameters,
};
use wfe_core::target::Target;
use wfe_core::workflow::BundleWorkflow;
use wfe_crds::workflow_execution as limits;

#[test]
fn the_longest_target_of_the_service_is_the_longest_of_the_schema() {
    let target = |name| format!("{}/{}/{}", "n".repeat(63), "k".repeat(253), "a".repeat(name));
    let longest = target(253);
    assert_eq!(longest.len(), limits::MAX_TARGET_CHARS);
    longest.parse::<Target>().unwrap();
    target(254).parse::<Target>().unwrap_err();
}

#[test]
fn the_longest_bundle_of_the_service_is_the_longest_of_the_schema() {
    let max = limits::MAX_BUNDLE_CHARS;
    let bundle = |length: usize| {
        // Of a repository 255 characters are allowed, of a tag 128; the registry takes the rest.
        let tail = format!("/{}:{}", "r".repeat(180), "t".repeat(128));
        let registry = format!("{}.example", "h".repeat(length - tail.len() - ".example".len()));
        BundleWorkflow::new(&format!("{registry}{tail}"), "", "")
    };
    bundle(max).unwrap();
    bundle(max + 1).unwrap_err();
}

#[test]
fn as_many_parameters_of_the_same_size_pass_the_service_and_the_schema() {
    let max = limits::MAX_PARAMETERS;
    assert_eq!(max, MAX_PARAMETERS + 1, "{TARGET_PARAMETER} may be repeated among them");
    assert_eq!(limits::MAX_PARAMETER_CHARS, MAX_PARAMETER_BYTES);
    let target = "default/deployment/api";
    let mut parameters: BTreeMap<String, String> =
        (1..max).map(|i| (format!("P{i}"), String::new())).collect();
    parameters.insert(TARGET_PARAMETER.to_owned(), target.to_owned());
    assert_eq!(parameters.len(), max);
    check_parameters(parameters.clone(), target).unwrap();
    parameters.insert("ONE_MORE".to_owned(), String::new());
    check_parameters(parameters, target).unwrap_err();
}

#[test]
fn as_many_dependencies_pass_the_service_and_the_schema() {
    assert_eq!(limits::MAX_DEPENDENCIES, MAX_WORKSPACES);
}

#[test]
fn the_longest_names_of_the_service_are_the_longest_of_the_schema() {
    let name = |length| "n".repeat(length);
    let max = limits::MAX_NAME_CHARS;
    name(max).parse::<ClusterId>().unwrap();
    name(max + 1).parse::<ClusterId>().unwrap_err();
    name(max).parse::<CorrelationId>().unwrap();
    name(max + 1).parse::<CorrelationId>().unwrap_err();
}
