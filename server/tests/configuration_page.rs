//! The page of settings says what the program takes, and with which defaults.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which may panic")]

use std::{collections::BTreeSet, fs};

use clap::{CommandFactory as _, Parser as _};
use serde_json::Value;
use wfe_server::config::{Args, Config};

const PAGE: &str = include_str!("../../docs/configuration.md");

/// Rows of the page's tables with this many cells, without the code marks of all but the last cell.
fn rows(cells: usize) -> Vec<Vec<String>> {
    let split = |line: &str| -> Vec<String> {
        let inner = line.trim_matches('|').split('|');
        inner.map(|cell| cell.trim().trim_matches('`').to_owned()).collect()
    };
    let table = PAGE.lines().filter(|line| line.starts_with("| `")).map(split);
    table.filter(|row| row.len() == cells).collect()
}

/// Rows of settings: key, flag, environment, default, meaning.
fn settings() -> Vec<Vec<String>> {
    rows(5)
}

/// Reads settings from a file with this text.
fn load(text: &str) -> Config {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    let path = file.path().to_str().unwrap();
    Config::load(&Args::parse_from(["wfe-server", "--config", path])).unwrap()
}

/// The keys of a file, nested ones with a dot.
fn keys(value: &Value, path: &str) -> Vec<String> {
    let Some(map) = value.as_object() else { return vec![path.to_owned()] };
    let below = |(key, value): (&String, &Value)| match path {
        "" => keys(value, key),
        path => keys(value, &format!("{path}.{key}")),
    };
    map.iter().flat_map(below).collect()
}

#[test]
fn each_flag_is_on_the_page_with_its_variable() {
    let documented: BTreeSet<(String, String)> = settings()
        .into_iter()
        .map(|row| (row[1].clone(), row[2].clone()))
        .chain(rows(3).into_iter().map(|row| (row[0].clone(), row[1].clone())))
        .collect();
    let command = Args::command();
    let flags: BTreeSet<(String, String)> = command
        .get_arguments()
        .filter_map(|arg| {
            let variable = arg.get_env().map(|name| name.to_str().unwrap().to_owned());
            Some((format!("--{}", arg.get_long()?), variable.unwrap_or_default()))
        })
        .collect();
    assert_eq!(documented, flags);
}

#[test]
fn each_key_of_a_file_is_on_the_page() {
    let documented: BTreeSet<String> = settings().into_iter().map(|row| row[0].clone()).collect();
    let all = serde_json::to_value(Config::default()).unwrap();
    assert_eq!(documented, keys(&all, "").into_iter().collect());
}

#[test]
fn the_defaults_on_the_page_are_the_defaults() {
    for row in settings() {
        let (key, default) = (&row[0], &row[3]);
        // Not given is the one default that cannot be written down.
        let ungiven = [
            "kubeconfig",
            "tls_certificate",
            "tls_key",
            "tls_secret",
            "client_ca",
            "parameter_key",
            "audit_key",
            "audit_previous_key",
            "audit_lost_key",
            "audit_checkpoints",
            "audit_checkpoint_config_map",
            "data_storage_url",
            "data_storage_token_file",
            "data_storage_ca",
        ]
        .contains(&&**key);
        assert_eq!(default.is_empty(), ungiven, "{key}");
        if default.is_empty() {
            continue;
        }
        let text = match key.split_once('.') {
            Some((section, key)) => format!("{section}:\n  {key}: {default}\n"),
            None => format!("{key}: {default}\n"),
        };
        assert_eq!(load(&text), Config::default(), "{key}");
    }
}

#[test]
fn the_example_can_be_read() {
    let (_, rest) = PAGE.split_once("```yaml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    assert_ne!(load(example), Config::default());
}
