//! The page of failures says what the code does.

#![expect(clippy::unwrap_used, reason = "helpers of tests, which may panic")]

use std::{collections::BTreeMap, fs};

use wfe_core::{
    failure::{Basis, FailureReason, PIPELINE_RUN, TASK_RUN},
    stuck::{Patience, StuckOn},
};

fn section(title: &str) -> Vec<Vec<String>> {
    let page =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/failures.md")).unwrap();
    let lines =
        page.lines().skip_while(|line| line.trim_start_matches('#').trim() != title).skip(1);
    let lines =
        lines.take_while(|line| !line.starts_with('#')).filter(|line| line.starts_with('|'));
    let cells =
        |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    lines.skip(2).map(cells).collect()
}

fn words(basis: Basis) -> String {
    match basis {
        Basis::Certain(reason) => format!("`{}`", reason.as_str()),
        Basis::Refusal(reason) => format!("what the refusal says, else `{}`", reason.as_str()),
        Basis::Resolution => {
            "`ConfigurationError`; `Unknown` when it could not be reached".to_owned()
        }
        Basis::Steps(reason) => format!("what its steps say, else `{}`", reason.as_str()),
        Basis::Stopped => "what stopped it".to_owned(),
        Basis::TimeOut => "`DeadlineExceeded`, or what it waited for".to_owned(),
        Basis::Ignored => "no failure".to_owned(),
    }
}

#[test]
fn the_tables_of_tektons_reasons_are_those_of_the_code() {
    for (title, table) in
        [("Reasons of a TaskRun", TASK_RUN), ("Reasons of a PipelineRun", PIPELINE_RUN)]
    {
        let written: BTreeMap<String, String> = section(title)
            .into_iter()
            .map(|row| (row[0].trim_matches('`').to_owned(), row[1].clone()))
            .collect();
        let known: BTreeMap<String, String> =
            table.iter().map(|(reason, basis)| ((*reason).to_owned(), words(*basis))).collect();
        assert_eq!(written, known, "{title}");
        assert_eq!(known.len(), table.len(), "a reason is there twice");
    }
}

#[test]
fn every_reason_says_what_it_means_and_what_to_do() {
    let rows = section("The reasons");
    let written: Vec<&str> = rows.iter().map(|row| row[0].trim_matches('`')).collect();
    assert_eq!(written, FailureReason::ALL.map(FailureReason::as_str));
    assert!(rows.iter().all(|row| row.len() == 3 && row.iter().all(|cell| !cell.is_empty())));
}

#[test]
fn every_wait_says_its_patience_and_its_reason() {
    let rows = section("Stuck is not running");
    assert_eq!(rows.len(), StuckOn::ALL.len());
    for (row, on) in rows.iter().zip(StuckOn::ALL) {
        let default = format!("{}m", Patience::default().with(on).as_secs() / 60);
        let reason = format!("`{}`", on.failure().as_str());
        assert_eq!(
            (row[3].as_str(), row[4].as_str()),
            (default.as_str(), reason.as_str()),
            "{on:?}"
        );
    }
}
