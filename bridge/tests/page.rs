//! The page of the bridge says what the program takes, with which defaults, and what it exports.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which may panic")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use clap::{CommandFactory as _, Parser as _};
use serde_json::Value;
use wfe_bridge::{
    Config,
    config::Args,
    metrics::{Metrics, Released, Reviewed, Write, Written},
};

const PAGE: &str = include_str!("../../docs/bridge.md");

/// Rows of the page's tables that begin with code and have this many cells, without code marks.
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

fn load(text: &str) -> Config {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    let path = file.path().to_str().unwrap();
    Config::load(&Args::parse_from(["wfe-bridge", "--config", path])).unwrap()
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
    let two_cells = |row: Vec<String>| (row[0].clone(), row[1].clone());
    let documented: BTreeSet<(String, String)> = settings()
        .into_iter()
        .map(|row| (row[1].clone(), row[2].clone()))
        .chain(rows(3).into_iter().map(two_cells))
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
fn each_key_of_a_file_is_on_the_page_with_its_default() {
    let all = serde_json::to_value(Config::default()).unwrap();
    let documented: BTreeSet<String> = settings().into_iter().map(|row| row[0].clone()).collect();
    assert_eq!(documented, keys(&all, "").into_iter().collect());
    for row in settings() {
        let (key, default) = (&row[0], &row[3]);
        let is_absent = all.pointer(&format!("/{}", key.replace('.', "/"))).unwrap().is_null();
        assert_eq!(default.is_empty(), is_absent, "{key}");
        if !is_absent {
            let text = match key.split_once('.') {
                Some((section, key)) => format!("{section}:\n  {key}: {default}\n"),
                None => format!("{key}: {default}\n"),
            };
            assert_eq!(load(&text), Config::default(), "{key}");
        }
    }
}

/// A metric: its type and its labels.
type Families = BTreeMap<String, (String, BTreeSet<String>)>;

fn documented_metrics() -> Families {
    let in_code = |text: &str| -> BTreeSet<String> {
        text.split('`')
            .map(str::trim)
            .filter(|part| !part.is_empty() && *part != ",")
            .map(ToOwned::to_owned)
            .collect()
    };
    let metrics = rows(4).into_iter().filter(|row| row[0].starts_with("wfe_bridge_"));
    metrics.map(|row| (row[0].clone(), (row[1].clone(), in_code(&row[2])))).collect()
}

#[test]
fn each_metric_is_on_the_page_with_its_labels() {
    let metrics = Metrics::new().unwrap();
    let text = String::from_utf8(metrics.render().unwrap()).unwrap();
    let mut exported = Families::new();
    for line in text.lines() {
        if let Some(family) = line.strip_prefix("# TYPE ") {
            let (name, kind) = family.split_once(' ').unwrap();
            exported.insert(name.to_owned(), (kind.to_owned(), BTreeSet::new()));
        } else if let Some((sample, labels)) = line.split_once('{') {
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .find_map(|suffix| {
                    exported
                        .contains_key(sample.strip_suffix(suffix)?)
                        .then(|| sample.strip_suffix(suffix).unwrap())
                })
                .unwrap_or(sample);
            let names =
                labels.split(',').filter_map(|label| label.split_once("=\"")).map(|(name, _)| name);
            let names = names.filter(|name| *name != "le").map(ToOwned::to_owned);
            exported.get_mut(family).unwrap().1.extend(names);
        }
    }
    assert_eq!(documented_metrics(), exported);
}

#[test]
fn the_values_of_labels_are_on_the_page() {
    let named = |value: &str| assert!(PAGE.contains(&format!("`{value}`")), "{value}");
    let writes = Write::ALL.map(Write::as_str).into_iter();
    let outcomes = Written::ALL.map(Written::as_str).into_iter();
    let released = Released::ALL.map(Released::as_str).into_iter();
    let reviewed = Reviewed::ALL.map(Reviewed::as_str).into_iter();
    for value in writes.chain(outcomes).chain(released).chain(reviewed) {
        named(value);
    }
}
