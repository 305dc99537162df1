//! More than one object for a target, and many targets at once.

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use futures::future::try_join_all;
use kube::ResourceExt;
use kube::api::ListParams;
use wfe_crds::names::annotation::SOURCE_UID;
use wfe_crds::workflow_execution::{FailureReason, Phase, WorkflowExecutionStatus};
use wfe_tests::tekton::has_ended;
use wfe_tests::wait::{PATIENCE, eventually};
use wfe_tests::{ControlPlane, bundles};

use crate::support::*;

const TARGET: &str = "default/deployment/api";

/// Whether a status says that it waits for this object of the test's namespace, and since when that has the target.
fn waits_for(setup: &Setup, holder: &str, status: &WorkflowExecutionStatus) -> bool {
    let (blocked, reason, message) = condition(status, "Blocked");
    let who = format!("WorkflowExecution {}/{holder}", setup.namespace.name());
    status.phase == Some(Phase::Pending)
        && (blocked.as_str(), reason.as_str()) == ("True", "ResourceBusy")
        && message.split([':', ' ', ',']).collect::<Vec<_>>().join(" ").contains(&format!("{who} "))
        && message.contains(" since ")
}

async fn times_of_event(setup: &Setup, name: &str, reason: &str) -> Result<usize> {
    Ok(setup.events(name).await?.iter().filter(|(found, _)| found == reason).count())
}

/// The objects whose runs exist, by UID.
async fn who_has_a_run(setup: &Setup) -> Result<BTreeSet<String>> {
    let runs = setup.runs.runs().list(&ListParams::default()).await?;
    let source = |run: &kube::api::DynamicObject| run.annotations().get(SOURCE_UID).cloned();
    runs.iter().map(|run| source(run).context("a run without a source")).collect()
}

#[tokio::test]
async fn the_second_object_for_a_target_says_for_whom_it_waits_and_runs_after_it() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let never = bundles::never_ends(plane.registry()).await?.reference;
    let succeeds = bundles::succeeds(plane.registry()).await?.reference;
    with_bridge(&plane, &["--when-locked", "wait"], async |setup| {
        setup.apply(&mk_object("first", &never, TARGET)).await?;
        setup.until_phase("first", Phase::Running).await?;
        // The same target in another spelling.
        setup.apply(&mk_object("second", &succeeds, "default/Deployments/api")).await?;
        let waiting = setup
            .until("second", "waits for the first", |status| waits_for(setup, "first", status))
            .await?;
        assert_eq!(condition(&waiting, "Ready").0, "False");
        assert_eq!(condition(&waiting, "Reconciling").0, "True");
        assert_eq!(condition(&waiting, "Stalled").0, "");
        assert_eq!((waiting.start_time, waiting.execution_ref), (None, None));
        let first = setup.objects().get("first").await?.uid().context("a UID")?;
        assert_eq!(who_has_a_run(setup).await?, BTreeSet::from([first]));

        // A person stops the run of the first.
        let run = setup.status("first").await?.execution_ref.context("a run")?.name;
        let stop = r#"{"spec":{"status":"Cancelled"}}"#;
        setup.kubectl.run(&["patch", "pipelinerun", &run, "--type=merge", "-p", stop]).await?;
        let first = setup.until_phase("first", Phase::Failed).await?;
        let second = setup.until_phase("second", Phase::Completed).await?;
        assert!(first.completion_time <= second.start_time, "{first:?} {second:?}");
        assert_eq!(condition(&second, "Blocked").0, "", "{second:?}");
        let reasons: Vec<String> =
            setup.events("second").await?.into_iter().map(|(reason, _)| reason).collect();
        assert_eq!(reasons, ["ExecutionWaiting", "ExecutionCreated", "WorkflowCompleted"]);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn under_the_policy_reject_the_second_object_for_a_target_fails_and_names_the_first()
-> Result<()> {
    let plane = ControlPlane::from_env()?;
    let never = bundles::never_ends(plane.registry()).await?.reference;
    with_bridge(&plane, &["--when-locked", "reject"], async |setup| {
        setup.apply(&mk_object("first", &never, TARGET)).await?;
        setup.until_phase("first", Phase::Running).await?;
        setup.apply(&mk_object("second", &never, TARGET)).await?;
        let second = setup.until_phase("second", Phase::Failed).await?;
        let details = second.failure_details.clone().context("details")?;
        assert_eq!(details.reason, FailureReason::Deduplicated);
        assert_eq!(second.failure_reason.as_deref(), Some("Deduplicated"));
        assert_eq!(second.deduplicated_by.as_deref(), Some("first"));
        let holder = format!("WorkflowExecution {}/first ", setup.namespace.name());
        assert!(details.message.contains(&holder), "{details:?}");
        assert_eq!((&second.start_time, &second.execution_ref), (&None, &None));
        assert!(second.completion_time.is_some());
        assert_eq!(setup.warnings("second").await?, ["WorkflowFailed"]);
        assert_eq!(setup.events("second").await?.len(), 1);

        // It stays refused when the target is free, also for a bridge that knows nothing of it.
        setup.kubectl.run(&["delete", "wfe/first"]).await?;
        setup.bridge.kill().await?;
        setup.bridge.start_again().await?;
        setup.bridge.until_ready().await?;
        setup.until_nothing_is_followed().await?;
        assert_eq!(setup.status("second").await?, second);
        let first = setup.runs.runs().list(&ListParams::default()).await?.items;
        assert_eq!(first.len(), 1, "the run of the first alone");
        setup.until_nothing_is_alive().await
    })
    .await
}

#[tokio::test]
async fn twenty_targets_run_at_the_same_time() -> Result<()> {
    const TARGETS: usize = 20;
    let plane = ControlPlane::from_env()?;
    let never = bundles::never_ends(plane.registry()).await?.reference;
    with_bridge(&plane, &[], async |setup| {
        let here = &*setup;
        try_join_all((0..TARGETS).map(|n| {
            let object = mk_object(&format!("wfe-{n}"), &never, &format!("default/pod/p-{n}"));
            async move { here.apply(&object).await }
        }))
        .await?;
        eventually(PATIENCE, "all run", || async {
            let all = setup.objects().list(&ListParams::default()).await;
            let phases: Vec<Option<Phase>> = all
                .map_err(|error| error.to_string())?
                .into_iter()
                .map(|object| object.status.unwrap_or_default().phase)
                .collect();
            let running = phases.iter().filter(|phase| **phase == Some(Phase::Running)).count();
            if running == TARGETS { Ok(()) } else { Err(format!("{phases:?}")) }
        })
        .await?;
        let runs = setup.runs.runs().list(&ListParams::default()).await?.items;
        let alive = runs.iter().filter(|run| !has_ended(run)).count();
        assert_eq!((runs.len(), alive), (TARGETS, TARGETS));

        setup.kubectl.run(&["delete", "wfe", "--all"]).await?;
        assert!(setup.objects().list(&ListParams::default()).await?.items.is_empty());
        setup.until_nothing_is_alive().await
    })
    .await
}

#[tokio::test]
async fn who_waits_is_told_when_the_target_goes_to_another_one() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let never = bundles::never_ends(plane.registry()).await?.reference;
    with_bridge(&plane, &[], async |setup| {
        setup.apply(&mk_object("first", &never, TARGET)).await?;
        setup.until_phase("first", Phase::Running).await?;
        for name in ["second", "third"] {
            setup.apply(&mk_object(name, &never, TARGET)).await?;
            setup
                .until(name, "waits for the first", |status| waits_for(setup, "first", status))
                .await?;
        }
        setup.kubectl.run(&["delete", "wfe/first"]).await?;
        setup.until_phase("second", Phase::Running).await?;
        let third = setup
            .until("third", "waits for the second", |status| waits_for(setup, "second", status))
            .await?;
        assert!(!condition(&third, "Ready").2.contains("/first"), "{third:?}");
        setup.kubectl.run(&["delete", "wfe/second"]).await?;
        setup.until_phase("third", Phase::Running).await?;
        // Once when it came, and once when it was the next, behind another holder than at first.
        assert_eq!(times_of_event(setup, "third", "ExecutionWaiting").await?, 2);
        setup.kubectl.run(&["delete", "wfe/third"]).await?;
        setup.until_nothing_is_alive().await
    })
    .await
}
