use std::{fs, path::PathBuf};

use expect_test::expect_file;
use serde_json::{Value, json};

use super::*;

fn wrong(text: &str) -> String {
    let Wrong { line, column, message } = parse(text).unwrap_err();
    format!("{line}:{column}: {message}")
}

const GOOD: &str = r#"
max_parallel: 2
steps:
  - name: look
    image: registry.example/tools/kubectl:1.34
    command: [kubectl, get, --output, json, 7]
  - name: repair
    image: registry.example/tools/kubectl:1.34
    script: |
      kubectl rollout restart "$KIND"
    env:
      VERSION: 1.10
      FORCE: yes
      EMPTY: ""
    depends_on: [look]
    timeout: 1m 30s
    retries: 2
"#;

#[test]
fn a_file_becomes_the_message_that_it_says() {
    let workflow = parse(GOOD).unwrap();
    assert_eq!(workflow.max_parallel, 2);
    let [look, repair] = workflow.steps.try_into().unwrap();
    assert_eq!(look.command, ["kubectl", "get", "--output", "json", "7"]);
    assert_eq!(repair.script, "kubectl rollout restart \"$KIND\"\n");
    let env = [("VERSION", "1.10"), ("FORCE", "yes"), ("EMPTY", "")];
    assert_eq!(repair.env, env.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    assert_eq!(repair.depends_on, ["look"]);
    assert_eq!(repair.timeout, Some(prost_types::Duration { seconds: 90, nanos: 0 }));
    assert_eq!(repair.retries, 2);
}

#[test]
fn json_is_read_as_well() {
    let text = r#"{"steps": [{"name": "a", "image": "busybox", "command": ["true"]}]}"#;
    assert_eq!(parse(text).unwrap().steps.len(), 1);
}

#[test]
fn every_mistake_is_told_with_its_place() {
    for (text, expected) in [
        ("steps:\n  - name: a\n    imag: b\n", "3:5: steps[0]: unknown field `imag`"),
        ("step: []\n", "1:1: unknown field `step`"),
        ("max_parallel: 2\n", "1:1: missing field `steps`"),
        ("steps:\n  - name: a\n", "2:5: steps[0]: missing field `image`"),
        ("steps: 7\n", "1:8: steps: invalid type: integer `7`, expected a sequence"),
        ("steps: []\nmax_parallel: many\n", "2:15: max_parallel: invalid type: string \"many\""),
        (
            "steps:\n  - name: a\n    image: b\n    timeout: 90\n",
            "4:14: steps[0].timeout: invalid value: string \"90\", expected a time with its unit",
        ),
        ("steps:\n  - name: a\n    image: b\n    timeout: soon\n", "4:14: steps[0].timeout"),
        ("steps:\n  - name: a\n    image: b\n    env: [A]\n", "4:10: steps[0].env: invalid type"),
        ("steps:\n  - name: a\n    image: b\n    env:\n      A: {B: c}\n", "5:10: steps[0].env.A"),
        ("steps:\n  - name: a\n    name: b\n", "2:5: steps[0]: duplicate entry with key \"name\""),
        ("steps:\n  - name: a\n   image: b\n", "3:4: did not find expected '-' indicator"),
        ("", "1:1: "),
        ("a: [", ""),
    ] {
        let told = wrong(text);
        assert!(told.starts_with(expected), "{text:?}: {told}");
        let mut place = told.split(':');
        let (line, column) = (place.next().unwrap(), place.next().unwrap());
        assert!(!told.contains(&format!(" at line {line} column {column}")), "{told}");
    }
}

#[test]
fn a_variable_without_a_value_is_a_mistake() {
    let told = wrong("steps:\n  - name: a\n    image: b\n    env:\n      A:\n");
    assert!(told.contains("expected a text; write \"\" for an empty one"), "{told}");
}

#[test]
fn the_place_of_a_field_is_found() {
    for (field, expected) in [
        ("steps", Some((4, 3))),
        ("max_parallel", Some((2, 15))),
        ("steps[0].name", Some((4, 11))),
        ("steps[1].depends_on[0]", Some((15, 18))),
        ("steps[1].env[\"FORCE\"]", Some((13, 14))),
        ("steps[0].command[4]", Some((6, 45))),
        ("steps[1].timeout", Some((16, 14))),
        // What is not there should be in its step.
        ("steps[0].script", Some((4, 5))),
        ("", Some((2, 1))),
        ("steps[", None),
    ] {
        assert_eq!(place::of(GOOD, field), expected, "{field}");
    }
}

fn below_the_workspace(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// The files in examples that hold steps.
fn examples() -> Vec<(PathBuf, String)> {
    let files = fs::read_dir(below_the_workspace("examples")).unwrap();
    let paths = files.map(|file| file.unwrap().path());
    let paths = paths.filter(|path| path.extension().is_some_and(|ext| ext == "yaml"));
    paths.map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

fn schema() -> Value {
    schemars::schema_for!(Document).to_value()
}

fn by_schema(text: &str) -> bool {
    let value: Value = serde_yaml_ng::from_str(text).unwrap();
    jsonschema::is_valid(&schema(), &value)
}

/// Written anew with `UPDATE_EXPECT=1`.
#[test]
fn the_schema_in_docs_is_what_is_read() {
    let text = serde_json::to_string_pretty(&schema()).unwrap();
    expect_file!["../../../docs/steps.schema.json"].assert_eq(&format!("{text}\n"));
}

#[test]
fn every_example_is_read_and_fits_the_schema() {
    let examples = examples();
    assert!(examples.len() >= 3);
    for (path, text) in examples {
        assert!(parse(&text).is_ok(), "{}: {}", path.display(), wrong(&text));
        assert!(by_schema(&text), "{}", path.display());
    }
}

#[test]
fn schema_and_reader_refuse_the_same() {
    let step = |change: Value| {
        let mut step = json!({ "name": "a", "image": "b", "script": "c" });
        for (field, value) in change.as_object().unwrap() {
            step[field] = value.clone();
        }
        json!({ "steps": [step] })
    };
    let cases = [
        (step(json!({})), true),
        (step(json!({ "env": { "A": 1, "B": true, "C": "d" } })), true),
        (step(json!({ "timeout": "1m 30s" })), true),
        (step(json!({ "timeout": null })), true),
        (step(json!({ "retries": 10 })), true),
        (step(json!({ "env": { "A": null } })), false),
        (step(json!({ "env": ["A"] })), false),
        (step(json!({ "timeout": "90" })), false),
        (step(json!({ "timeout": "soon" })), false),
        (step(json!({ "timeout": 90 })), false),
        (step(json!({ "retries": "two" })), false),
        (step(json!({ "depends_on": "a" })), false),
        (step(json!({ "other": 1 })), false),
        (step(json!({ "name": null })), false),
        (step(json!({ "image": 1.34 })), false),
        (step(json!({ "depends_on": [7] })), false),
        (json!({ "steps": [{ "name": "a", "script": "c" }] }), false),
        (json!({ "steps": {} }), false),
        (json!({ "other": 1, "steps": [] }), false),
        (json!([]), false),
    ];
    for (document, good) in cases {
        let text = document.to_string();
        assert_eq!(parse(&text).is_ok(), good, "the reader: {text}");
        assert_eq!(by_schema(&text), good, "the schema: {text}");
    }
}
