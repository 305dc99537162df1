//! The page of WorkflowExecution names the fields and columns of the definition, and no others.

#![expect(clippy::expect_used, reason = "helpers of tests, which may panic")]

use std::collections::BTreeSet;

use serde_json::Value;
use wfe_crds::workflow_execution::crd;

const PAGE: &str = include_str!("../../docs/workflow-execution.md");

/// What is in these is Kubernetes' own, or as plain as their row says.
const NOT_OPENED: [&str; 3] = ["remediationRequestRef", "workflowRef.resources", "executionRef"];

/// The part of the page under a heading, up to the next one.
fn section(heading: &str) -> &'static str {
    let (_, rest) = PAGE.split_once(&format!("\n## {heading}\n")).expect("a section");
    rest.split("\n## ").next().expect("a part")
}

fn first_cells(section: &str) -> Vec<String> {
    let rows = section.lines().filter_map(|line| line.strip_prefix("| "));
    rows.filter_map(|row| row.split(" | ").next()).map(ToOwned::to_owned).collect()
}

fn documented(heading: &str) -> BTreeSet<String> {
    let cells = first_cells(section(heading));
    cells
        .iter()
        .filter_map(|cell| Some(cell.strip_prefix('`')?.trim_end_matches('`').to_owned()))
        .collect()
}

fn version() -> Value {
    serde_json::to_value(crd()).expect("a definition")["spec"]["versions"][0].clone()
}

fn defined(part: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    collect("", &version()["schema"]["openAPIV3Schema"]["properties"][part], &mut found);
    found
}

fn collect(path: &str, schema: &Value, found: &mut BTreeSet<String>) {
    if NOT_OPENED.contains(&path) {
        return;
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        collect(&path, property, found);
        found.insert(path);
    }
}

#[test]
fn each_field_of_the_spec_is_on_the_page() {
    assert_eq!(documented("Spec"), defined("spec"));
}

#[test]
fn each_field_of_the_status_is_on_the_page() {
    assert_eq!(documented("Status"), defined("status"));
}

#[test]
fn the_columns_are_on_the_page_in_their_order() {
    let version = version();
    let columns = version["additionalPrinterColumns"].as_array().expect("columns");
    let names: Vec<&str> = columns.iter().filter_map(|column| column["name"].as_str()).collect();
    assert_eq!(first_cells(section("What kubectl shows"))[1..], names);
}

#[test]
fn each_reason_of_a_failure_is_on_the_page() {
    for reason in wfe_crds::workflow_execution::FailureReason::KNOWN {
        assert!(section("Status").contains(&format!("`{reason}`")), "{reason}");
    }
}
