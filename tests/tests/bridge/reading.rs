//! What people and tools read: kubectl's columns, waits and descriptions, progress, failures, and the verdict of kstatus.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use wfe_crds::workflow_execution::{FailureReason, Phase, WorkflowExecutionStatus};
use wfe_tests::bundles::{Fate, Task, Workflow, push};
use wfe_tests::wait::{PATIENCE, eventually};
use wfe_tests::{ControlPlane, bundles, kstatus};

use crate::support::*;

/// The cells of a line, by column.
type Row = BTreeMap<String, String>;

/// A table of kubectl: its columns, and for each name the cells that say something.
fn table(text: &str) -> Result<(Vec<String>, BTreeMap<String, Row>)> {
    let mut lines = text.lines();
    let head = lines.next().context("a head")?;
    let columns: Vec<String> = head.split_whitespace().map(ToOwned::to_owned).collect();
    let starts = columns.iter().map(|column| head.find(column).context("a column"));
    let starts: Vec<usize> = starts.collect::<Result<_>>()?;
    let mut rows = BTreeMap::new();
    for line in lines {
        let ends = starts.iter().skip(1).copied().chain([line.len()]);
        let cells = starts.iter().zip(ends).zip(&columns).map(|((&start, end), column)| {
            let cell = line.get(start..end.min(line.len())).unwrap_or_default().trim();
            (column.clone(), cell.to_owned())
        });
        let row: Row = cells.filter(|(_, cell)| !cell.is_empty()).collect();
        rows.insert(row.get("NAME").cloned().unwrap_or_default(), row);
    }
    Ok((columns, rows))
}

/// Whether it is a time as kubectl and Go write it: `7s`, `1m30s`.
fn is_short_time(text: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
    let seconds = |text: &str| text.strip_suffix('s').is_some_and(number);
    match text.split_once('m') {
        Some((minutes, "")) => number(minutes),
        Some((minutes, rest)) => number(minutes) && seconds(rest),
        None => seconds(text),
    }
}

/// Four objects: `completed`, `failed`, `running`, and `waiting` for the target of `running`.
async fn one_of_each(setup: &Setup, plane: &ControlPlane) -> Result<()> {
    let succeeds = bundles::succeeds(plane.registry()).await?.reference;
    let fails = bundles::step_exits_1(plane.registry()).await?.reference;
    let hangs = bundles::never_ends(plane.registry()).await?.reference;
    setup.apply(&mk_object("completed", &succeeds, "default/deployment/one")).await?;
    setup.apply(&mk_object("failed", &fails, "default/deployment/two")).await?;
    setup.apply(&mk_object("running", &hangs, "default/deployment/three")).await?;
    setup.until_phase("running", Phase::Running).await?;
    setup.apply(&mk_object("waiting", &succeeds, "default/deploy/three")).await?;
    setup.until("waiting", "waits", |status| condition(status, "Blocked").0 == "True").await?;
    setup.until_phase("completed", Phase::Completed).await?;
    setup.until_phase("failed", Phase::Failed).await?;
    Ok(())
}

#[tokio::test]
async fn kubectl_get_tells_where_each_object_stands() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    with_bridge(&plane, &[], async |setup| {
        one_of_each(setup, &plane).await?;
        let (columns, rows) = table(&setup.kubectl.run(&["get", "wfe"]).await?)?;
        assert_eq!(columns, ["NAME", "PHASE", "WORKFLOW", "TARGET", "DURATION", "AGE"]);
        let expected = [
            ("completed", "Completed", "default/deployment/one"),
            ("failed", "Failed", "default/deployment/two"),
            ("running", "Running", "default/deployment/three"),
            ("waiting", "Pending", "default/deploy/three"),
        ];
        assert_eq!(rows.len(), expected.len());
        for (name, phase, target) in expected {
            let mut row = rows[name].clone();
            assert!(is_short_time(&row.remove("AGE").context("an age")?), "{rows:?}");
            // Only what ran and is over took a time.
            assert_eq!(row.remove("DURATION"), setup.status(name).await?.duration, "{name}");
            let cells =
                [("NAME", name), ("PHASE", phase), ("WORKFLOW", "restart"), ("TARGET", target)];
            let cells = cells.map(|(column, cell)| (column.to_owned(), cell.to_owned()));
            assert_eq!(row, BTreeMap::from(cells));
        }
        for (name, has_duration) in
            [("completed", true), ("failed", true), ("running", false), ("waiting", false)]
        {
            let duration = setup.status(name).await?.duration;
            assert_eq!(
                duration.as_deref().is_some_and(is_short_time),
                has_duration,
                "{duration:?}"
            );
        }

        let (columns, rows) = table(&setup.kubectl.run(&["get", "wfe", "-o", "wide"]).await?)?;
        let wide =
            ["NAME", "PHASE", "WORKFLOW", "WORKFLOWID", "TARGET", "DURATION", "REASON", "AGE"];
        assert_eq!(columns, wide);
        let reasons = [
            ("completed", "Ready"),
            ("failed", "TaskFailed"),
            ("running", "Running"),
            ("waiting", "ResourceBusy"),
        ];
        for (name, reason) in reasons {
            assert_eq!(rows[name]["REASON"], reason, "{name}");
            assert_eq!(rows[name]["WORKFLOWID"], "0b4a5a6e-0000-4000-8000-000000000001");
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn kubectl_wait_ends_with_the_execution() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let fails = Task::new("only").fate(Fate::Fail { exit_code: 3 }).after(Duration::from_secs(2));
    let fails = push(plane.registry(), "fails-after-2s", "v1", &Workflow::new([fails])).await?;
    with_bridge(&plane, &[], async |setup| {
        setup.apply(&mk_object("fails", &fails.reference, "default/deployment/api")).await?;
        setup.until_phase("fails", Phase::Running).await?;
        let wait = async |what: &str| {
            let what = format!("--for={what}");
            setup.kubectl.run(&["wait", &what, "--timeout=60s", "wfe/fails"]).await
        };
        let conditions = "jsonpath={.status.conditions[?(@.type==\"Succeeded\")].status}=False";
        let waits = tokio::try_join!(
            wait("condition=Succeeded=false"),
            wait("condition=Succeeded=Unknown"),
            wait("jsonpath={.status.phase}=Failed"),
            wait(conditions),
        )?;
        assert!(waits.0.contains("condition met"), "{waits:?}");
        assert_eq!(setup.status("fails").await?.phase, Some(Phase::Failed));
        let hopeless = ["wait", "--for=condition=Succeeded", "--timeout=1s", "wfe/fails"];
        let said = setup.kubectl.refused(&hopeless, "").await?;
        assert!(said.contains("timed out"), "{said}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn kubectl_describe_tells_the_history_in_its_order() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let slow = Task::new("only").after(Duration::from_secs(2));
    let slow = push(plane.registry(), "takes-2s", "v1", &Workflow::new([slow])).await?.reference;
    let tasks = bundles::three_tasks_in_order(plane.registry()).await?.reference;
    with_bridge(&plane, &[], async |setup| {
        setup.apply(&mk_object("first", &slow, "default/deployment/api")).await?;
        setup.until_phase("first", Phase::Running).await?;
        setup.apply(&mk_object("second", &tasks, "default/deployment/api")).await?;
        let status = setup.until_phase("second", Phase::Completed).await?;
        // So long a history that the numbers of its events have two digits.
        assert!(status.execution_revision >= Some(10), "{status:?}");

        let described = setup.kubectl.run(&["describe", "wfe", "second"]).await?;
        let events = described.split_once("\nEvents:").context("events")?.1;
        let lines: Vec<Vec<&str>> = events
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>())
            .filter(|words| matches!(words.first(), Some(&("Normal" | "Warning"))))
            .collect();
        let reasons: Vec<&str> = lines.iter().map(|words| words[1]).collect();
        assert_eq!(
            reasons,
            ["ExecutionWaiting", "ExecutionCreated", "WorkflowCompleted"],
            "{events}"
        );
        for line in &lines {
            assert_eq!(line[0], "Normal", "{events}");
            assert!(is_short_time(line[2]), "{events}");
            assert_eq!(line[3], "kubernaut.ai/wfe-bridge", "{events}");
        }
        assert!(events.contains(&status.execution_ref.context("a run")?.name), "{events}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn progress_is_seen_while_it_runs() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let tasks = [
        Task::new("quick"),
        Task::new("slow").run_after("quick").after(Duration::from_secs(3)),
        Task::new("hangs").run_after("slow").fate(Fate::Hang),
    ];
    let bundle = push(plane.registry(), "quick-slow-hangs", "v1", &Workflow::new(tasks)).await?;
    with_bridge(&plane, &[], async |setup| {
        setup.apply(&mk_object("steps", &bundle.reference, "default/deployment/api")).await?;
        let done = |status: &WorkflowExecutionStatus| {
            let progress = status.execution_status.clone().unwrap_or_default();
            (progress.completed_tasks, progress.total_tasks)
        };
        for count in [1, 2] {
            let what = format!("{count} of 3 tasks are done");
            let status =
                setup.until("steps", &what, |status| done(status).0 >= Some(count)).await?;
            assert_eq!(done(&status), (Some(count), Some(3)), "no step is left out");
            assert_eq!(status.phase, Some(Phase::Running));
            assert_eq!(condition(&status, "ExecutionRunning").0, "True");
            assert_eq!(status.completion_time, None);
            assert_eq!(kstatus::verdict(&setup.objects().get("steps").await?).await?, "InProgress");
        }
        Ok(())
    })
    .await
}

/// The reason of a failure, its task, its step, the exit code, and whether a step had started.
type Place<'a> = (FailureReason, &'a str, Option<&'a str>, Option<i32>, bool);

#[tokio::test]
async fn a_failure_tells_where_and_why_and_whether_something_ran() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let registry = plane.registry();
    let other = bundles::three_tasks_in_order(registry).await?.digest;
    let succeeds = bundles::succeeds(registry).await?;
    ensure!(other != succeeds.digest, "two contents");
    // Name, bundle, where and why.
    let cases: [(&str, String, Place<'_>); 4] = [
        (
            "exits",
            bundles::step_exits_1(registry).await?.reference,
            (FailureReason::TaskFailed, "only", Some("main"), Some(1), true),
        ),
        (
            "memory",
            bundles::oom_killed(registry).await?.reference,
            (FailureReason::OomKilled, "only", Some("main"), Some(137), true),
        ),
        (
            "image",
            bundles::image_cannot_be_pulled(registry).await?.reference,
            (FailureReason::ImagePullBackOff, "only", None, None, false),
        ),
        (
            "missing",
            bundles::missing(registry),
            (FailureReason::ConfigurationError, "", None, None, false),
        ),
    ];
    with_bridge(&plane, &[], async |setup| {
        for (name, bundle, _) in &cases {
            setup.apply(&mk_object(name, bundle, &format!("default/deployment/{name}"))).await?;
        }
        // The content at the tag is not the one that was asked for, which exists nowhere.
        let mut pinned = mk_object("digest", &succeeds.reference, "default/deployment/digest");
        pinned["spec"]["workflowRef"]["executionBundleDigest"] =
            format!("sha256:{}", "0".repeat(64)).into();
        setup.apply(&pinned).await?;

        let configuration = (FailureReason::ConfigurationError, "", None, None, false);
        let expected = cases.into_iter().map(|(name, _, place)| (name, place));
        for (name, expected) in expected.chain([("digest", configuration)]) {
            let status = setup.until_phase(name, Phase::Failed).await?;
            let details = status.failure_details.clone().context("details")?;
            let found = (
                details.reason.clone(),
                details.failed_task_name.as_str(),
                details.failed_step_name.as_deref(),
                details.exit_code,
                details.was_execution_failure,
            );
            assert_eq!(found, expected, "{name}: {details:#?}");
            assert!(!details.message.is_empty() && details.failed_at.is_some(), "{details:?}");
            let reason = details.reason.to_string();
            assert!(details.natural_language_summary.contains(&reason), "{details:?}");
            let (succeeded, why, text) = condition(&status, "Succeeded");
            assert_eq!((succeeded.as_str(), why.as_str()), ("False", reason.as_str()));
            assert_eq!(status.failure_reason.as_deref(), Some(reason.as_str()));
            let events = setup.events(name).await?;
            let last = events.last().context("an event")?;
            assert_eq!(last.0, "WorkflowFailed", "{events:?}");
            assert!(last.1.contains(&reason) && last.1.contains(&text), "{events:?}");
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn kstatus_computes_where_each_object_stands() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    with_bridge(&plane, &[], async |setup| {
        one_of_each(setup, &plane).await?;
        let verdict = async |name: &str| kstatus::verdict(&setup.objects().get(name).await?).await;
        let expected = [
            ("completed", "Current"),
            ("failed", "Failed"),
            ("running", "InProgress"),
            ("waiting", "InProgress"),
        ];
        for (name, expected) in expected {
            assert_eq!(verdict(name).await?, expected, "{name}");
        }

        setup.service.point_to(None);
        setup.service.cut();
        let bundle = bundles::succeeds(plane.registry()).await?.reference;
        setup.apply(&mk_object("unsent", &bundle, "default/deployment/four")).await?;
        let is_told =
            |status: &WorkflowExecutionStatus| condition(status, "Ready").1 == "ServerUnavailable";
        setup.until("unsent", "says that the server is away", is_told).await?;
        assert_eq!(verdict("unsent").await?, "InProgress");

        setup.kubectl.run(&["delete", "wfe/running", "--wait=false"]).await?;
        assert_eq!(verdict("running").await?, "Terminating");

        setup.bridge.kill().await?;
        setup.apply(&mk_object("unseen", &bundle, "default/deployment/five")).await?;
        assert_eq!(setup.status("unseen").await?.phase, None, "nobody looked at it");
        let verdict = kstatus::verdict(&setup.objects().get("unseen").await?).await?;
        assert_eq!(verdict, "InProgress");

        setup.service.point_to(Some(setup.server.addresses().grpc));
        setup.bridge.start_again().await?;
        for name in ["unsent", "unseen", "waiting"] {
            setup.until_phase(name, Phase::Completed).await?;
            eventually(PATIENCE, &format!("{name} is current"), async || {
                let object = setup.objects().get(name).await?;
                let verdict = kstatus::verdict(&object).await?;
                ensure!(verdict == "Current", "{verdict}");
                anyhow::Ok(())
            })
            .await?;
        }
        setup.until_gone("running").await
    })
    .await
}
