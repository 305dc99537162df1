//! What the analysis makes of real objects. `record.yaml` says how each fixture came to be, and
//! `cargo xtask fixtures` records them again.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::PathBuf,
};

use expect_test::expect_file;
use serde_json::Value;
use wfe_core::{
    facts::{RunFacts, TaskRunFacts},
    failure::{Evidence, Failure, PIPELINE_RUN, TASK_RUN},
    observe::{RunEnd, observe},
    progress::{Progress, TaskProgress},
    veil::Veil,
};

use super::facts;

struct Fixture {
    name: String,
    raw: Value,
    run: RunFacts,
    task_runs: Vec<TaskRunFacts>,
}

fn home() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/tekton/fixtures")
}

fn all() -> Vec<Fixture> {
    let mut fixtures: Vec<Fixture> = fs::read_dir(home())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .map(|path| {
            let raw: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            let read =
                |value: &Value| facts::task_run(serde_json::from_value(value.clone()).unwrap());
            let run = facts::run(serde_json::from_value(raw["pipelineRun"].clone()).unwrap());
            Fixture {
                name: path.file_stem().unwrap().to_str().unwrap().to_owned(),
                run: run.unwrap().facts,
                task_runs: raw["taskRuns"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|value| read(value).unwrap().facts)
                    .collect(),
                raw,
            }
        })
        .collect();
    fixtures.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(!fixtures.is_empty());
    fixtures
}

fn failure_of(fixture: &Fixture) -> Option<Failure> {
    match observe(&fixture.run, &fixture.task_runs, &Veil::none()).end? {
        RunEnd::Failed(failure) => Some(failure),
        RunEnd::Succeeded { .. } | RunEnd::Cancelled { .. } => None,
    }
}

#[test]
fn every_recorded_run_is_understood_as_the_table_says() {
    let mut table = String::new();
    for fixture in all() {
        let edited = if fixture.raw["edited"].is_null() { "" } else { ", edited" };
        let seen = observe(&fixture.run, &fixture.task_runs, &Veil::none());
        writeln!(table, "# {} ({}{edited})", fixture.name, fixture.raw["tekton"].as_str().unwrap())
            .unwrap();
        for line in progress(&seen.progress) {
            writeln!(table, "{line}").unwrap();
        }
        match seen.end {
            None => match seen.wait {
                None => writeln!(table, "goes on").unwrap(),
                Some(wait) => {
                    writeln!(table, "stuck on {:?}: {}", wait.on, wait.sentence()).unwrap();
                }
            },
            Some(RunEnd::Succeeded { .. }) => writeln!(table, "succeeded").unwrap(),
            Some(RunEnd::Cancelled { ran }) => writeln!(table, "cancelled, ran: {ran}").unwrap(),
            Some(RunEnd::Failed(failure)) => failed(&mut table, &failure),
        }
        table.push('\n');
    }
    expect_file![home().join("table.txt")].assert_eq(&table);
}

fn progress(progress: &Progress) -> Vec<String> {
    let Progress { total, succeeded, failed, skipped, tasks, reason, .. } = progress;
    let mut lines = vec![format!("{reason}: {succeeded}+{failed}+{skipped} of {total}")];
    for TaskProgress { name, state, attempts, steps, reason, .. } in tasks {
        let steps = steps.iter().map(|step| {
            let code = step.exit_code.map_or(String::new(), |code| format!(" {code}"));
            format!(" {} {:?}{code} {}", step.name, step.state, step.reason)
        });
        let steps: Vec<String> = steps.collect();
        lines.push(format!("  {name} {state:?} x{attempts} {reason}:{}", steps.join(";")));
    }
    lines
}

fn failed(table: &mut String, failure: &Failure) {
    let Failure {
        reason,
        was_execution_failure,
        task,
        task_run,
        step,
        exit_code,
        attempt,
        raw_reason,
        message: _,
        summary,
        started_at: _,
        at: _,
        evidence,
        log_tail: _,
    } = failure;
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let kind = if *was_execution_failure { "while it ran" } else { "before anything ran" };
    let code = exit_code.map_or("-".to_owned(), |code| code.to_string());
    let attempt = attempt.map_or("-".to_owned(), |attempt| attempt.to_string());
    writeln!(
        table,
        "{} {kind}, raw {raw_reason}, task {}, TaskRun {}, step {}, exit code {code}, attempt {attempt}",
        reason.as_str(),
        text(task),
        text(task_run),
        text(step),
    )
    .unwrap();
    let Evidence { object, field, value } = &**evidence.as_ref().unwrap();
    writeln!(table, "  by {object}: {field} = {value}\n  {summary}").unwrap();
}

#[test]
fn every_reason_that_is_known_was_recorded() {
    let mut seen: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let reason = |value: &Value| {
        value["status"]["conditions"][0]["reason"].as_str().unwrap_or_default().to_owned()
    };
    for fixture in all() {
        seen.entry("run").or_default().insert(reason(&fixture.raw["pipelineRun"]));
        for task in fixture.raw["taskRuns"].as_array().unwrap() {
            seen.entry("task").or_default().insert(reason(task));
        }
    }
    let missing: Vec<&str> = (PIPELINE_RUN.iter().map(|(reason, _)| ("run", *reason)))
        .chain(TASK_RUN.iter().map(|(reason, _)| ("task", *reason)))
        .filter(|(kind, reason)| !seen[kind].contains(*reason))
        .map(|(_, reason)| reason)
        .collect();
    assert_eq!(missing, Vec::<&str>::new());
}

#[test]
fn a_name_or_a_message_with_the_words_of_another_failure_changes_nothing() {
    let words = [
        "oom",
        "zoom",
        "OOMKilled",
        "invalid",
        "forbidden",
        "is forbidden:",
        "exceeded quota",
        "connection refused",
        "timeout",
        "The node was low on resource",
        "timed out",
        "\nPrevious status: [PodEvicted] x",
    ];
    let by_words = [
        "task-1-9-",
        "-resolution",
        "run-resol",
        "run-registry",
        "run-bundle",
        "run-pipeline-not-found",
        "run-task-not-found",
        "run-create-",
        "run-volume",
        "run-affinity",
        "task-volume",
        "task-service-account",
        "task-pod-",
        "task-timeout-",
        "task-failed-for-no-reason",
    ];
    for fixture in all() {
        if by_words.iter().any(|name| fixture.name.contains(name)) {
            continue;
        }
        let Some(before) = failure_of(&fixture) else { continue };
        for word in words {
            let mut run = fixture.run.clone();
            let mut task_runs = fixture.task_runs.clone();
            for task in &mut task_runs {
                task.pipeline_task = format!("{}-{word}", task.pipeline_task);
                if let Some(condition) = &mut task.condition {
                    condition.message =
                        format!("{} {word} {}", condition.message, condition.message);
                }
            }
            if let Some(condition) = &mut run.condition {
                condition.message = format!("{word} {}", condition.message);
            }
            let Some(RunEnd::Failed(after)) = observe(&run, &task_runs, &Veil::none()).end else {
                panic!()
            };
            assert_eq!(
                (after.reason, after.was_execution_failure, after.exit_code, after.step),
                (
                    before.reason,
                    before.was_execution_failure,
                    before.exit_code,
                    before.step.clone()
                ),
                "{} with {word:?}",
                fixture.name
            );
        }
    }
}
