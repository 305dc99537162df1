//! Every query in the pages asks for metrics, labels and values that exist, as the tables of the metrics tell. Those
//! tables are compared with the programs by tests of their own.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which may panic")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

const SERVER: &str = include_str!("../../docs/metrics.md");
const BRIDGE: &str = include_str!("../../docs/bridge.md");

/// What a row of a table says of a metric.
#[derive(Debug)]
struct Metric {
    kind: String,
    labels: BTreeSet<String>,
    meaning: String,
}

fn cells(line: &str) -> Vec<&str> {
    line.trim().trim_matches('|').split(" | ").map(str::trim).collect()
}

/// What is between backticks.
fn in_code(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn metrics() -> BTreeMap<String, Metric> {
    let rows = SERVER.lines().chain(BRIDGE.lines()).filter(|line| line.starts_with("| `wfe_"));
    let metric = |line: &str| {
        let cells: Vec<String> =
            line.trim_matches('|').split('|').map(|c| c.trim().to_owned()).collect();
        let [name, kind, labels, meaning] = cells.try_into().unwrap();
        let labels = in_code(&labels).map(ToOwned::to_owned).collect();
        (name.trim_matches('`').to_owned(), Metric { kind, labels, meaning })
    };
    rows.map(metric).collect()
}

/// The values of the labels that have the same ones everywhere.
fn values() -> BTreeMap<String, BTreeSet<String>> {
    let (_, table) = SERVER.split_once("## Values of labels").unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let row = |line: &str| {
        let cells = cells(line);
        let name = in_code(cells[0]).next().unwrap().to_owned();
        (name, in_code(cells[1]).map(ToOwned::to_owned).collect())
    };
    rows.map(row).collect()
}

/// Every page below `docs`.
fn pages(directory: &Path) -> Vec<PathBuf> {
    let mut pages = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            pages.extend(self::pages(&path));
        } else if path.extension().is_some_and(|extension| extension == "md") {
            pages.push(path);
        }
    }
    pages
}

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

/// The queries of a page, without their comments; where one ends and another begins does not matter.
fn queries(page: &str) -> String {
    let blocks = page.split("```promql\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let lines = blocks.flat_map(str::lines).filter(|line| !line.starts_with('#'));
    lines.collect::<Vec<_>>().join("\n")
}

/// A use of a metric: the name as it is written, what is around it, and its matchers.
#[derive(Debug)]
struct Use<'a> {
    name: &'a str,
    before: &'a str,
    matchers: Vec<(&'a str, Vec<&'a str>)>,
    after: &'a str,
}

fn uses(text: &str) -> Vec<Use<'_>> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut uses = Vec::new();
    let mut from = 0;
    while let Some(at) = text[from..].find("wfe_").map(|at| from + at) {
        let end = text[at..].find(|c| !word(c)).map_or(text.len(), |length| at + length);
        let rest = &text[end..];
        let (matchers, after) = match rest.strip_prefix('{') {
            Some(inner) => inner.split_once('}').unwrap(),
            None => ("", rest),
        };
        let matcher = |matcher: &'_ str| -> (usize, usize) {
            let label = matcher.find(|c| !word(c)).unwrap();
            (label, matcher.find('"').unwrap())
        };
        let matchers = matchers.split("\",").map(str::trim).filter(|m| !m.is_empty()).map(|text| {
            let (label, quote) = matcher(text);
            let operator = &text[label..quote];
            assert!(["=", "!=", "=~", "!~"].contains(&operator), "{text}");
            (&text[..label], text[quote..].trim_matches('"').split('|').collect())
        });
        uses.push(Use {
            name: &text[at..end],
            before: &text[..at],
            matchers: matchers.collect(),
            after,
        });
        from = end;
    }
    uses
}

/// What is wrong with a use; nothing when it is right.
fn wrong(
    found: &Use<'_>,
    metrics: &BTreeMap<String, Metric>,
    values: &BTreeMap<String, BTreeSet<String>>,
) -> Option<String> {
    let part = ["_bucket", "_sum", "_count"]
        .iter()
        .find_map(|part| found.name.strip_suffix(part).filter(|base| metrics.contains_key(*base)));
    let Some(metric) = metrics.get(part.unwrap_or(found.name)) else {
        return Some("there is no such metric".to_owned());
    };
    if (metric.kind == "histogram") != part.is_some() {
        return Some("a histogram is asked for by its parts, and nothing else is".to_owned());
    }
    let counts = metric.kind != "gauge";
    let function = found
        .before
        .trim_end_matches('(')
        .rsplit(|c: char| !c.is_alphanumeric() && c != '_')
        .next()
        .unwrap();
    let over_time = ["rate", "increase"].contains(&function);
    if counts != over_time
        || over_time != found.after.starts_with('[')
            && !["min_over_time", "deriv"].contains(&function)
    {
        return Some(format!("a {} in {function}(…)", metric.kind));
    }
    for (label, wanted) in &found.matchers {
        if !metric.labels.contains(*label) {
            return Some(format!("it has no label {label}"));
        }
        let everywhere = values.get(*label);
        for value in wanted {
            let own = in_code(&metric.meaning).any(|known| known == *value);
            let known = everywhere.is_some_and(|values| values.contains(*value));
            if !(own || known) {
                return Some(format!("{label} is never {value}"));
            }
        }
    }
    // What it is summed by is a label of it, or the bound of a bucket.
    let line = found.before.rsplit('\n').next().unwrap();
    if let Some((_, by)) = line.rsplit_once(" by (") {
        let names = by.split(')').next().unwrap().split(',').map(str::trim);
        let strange =
            names.into_iter().find(|name| *name != "le" && !metric.labels.contains(*name));
        return strange.map(|name| format!("it cannot be summed by {name}"));
    }
    None
}

#[test]
fn every_query_asks_for_what_is_exported() {
    let (metrics, values) = (metrics(), values());
    let mut asked = BTreeSet::new();
    for page in pages(&docs()) {
        let text = queries(&fs::read_to_string(&page).unwrap());
        for found in uses(&text) {
            let wrong = wrong(&found, &metrics, &values);
            assert_eq!(wrong, None, "{}: {}", page.display(), found.name);
            asked.insert(found.name.to_owned());
        }
    }
    assert!(asked.len() > 20, "{asked:?}");
}

#[test]
fn the_runbook_of_the_metrics_reads_every_one_of_them() {
    let page = fs::read_to_string(docs().join("runbooks/reading-the-metrics.md")).unwrap();
    let unread: Vec<String> = metrics().into_keys().filter(|name| !page.contains(name)).collect();
    assert_eq!(unread, Vec::<String>::new());
}

#[test]
fn a_query_that_is_wrong_is_noticed() {
    let (metrics, values) = (metrics(), values());
    for text in [
        "wfe_execution",
        "wfe_executions_total",
        "sum(rate(wfe_accepted_to_run_seconds[5m]))",
        "sum(wfe_refusals_total)",
        "rate(wfe_executions[5m])",
        "wfe_executions{gate=\"lock\"}",
        "wfe_executions{state=\"asleep\"}",
        "wfe_executions{state=~\"running|asleep\"}",
        "sum by (target) (wfe_executions)",
    ] {
        let uses = uses(text);
        assert!(uses.iter().any(|found| wrong(found, &metrics, &values).is_some()), "{text}");
    }
}
