//! Why something failed is told with what decided it and with the last lines of the step, wherever one looks.

use anyhow::{Context, Result, ensure};
use tokio::process::Command;
use wfe_crds::workflow_execution::{FailureReason, Phase};
use wfe_tests::bundles::{self, HOSTILE_STEP, LAST_LINE, SILENT_STEP};
use wfe_tests::server::binary;
use wfe_tests::{ControlPlane, ServerProcess};

use crate::support::{mk_object, with_bridge};

async fn wfe_get(server: &ServerProcess, id: &str) -> Result<String> {
    let address = format!("http://{}", server.addresses().grpc);
    let mut wfe = Command::new(binary("wfe")?);
    let told = wfe.args(["get", id, "--server", &address]).output().await?;
    ensure!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    Ok(String::from_utf8(told.stdout)?)
}

#[tokio::test]
async fn the_last_lines_of_a_failed_step_are_told_by_get_by_the_tool_and_by_the_object()
-> Result<()> {
    let plane = ControlPlane::from_env()?;
    let bundle = bundles::step_exits_1(plane.registry()).await?.reference;
    with_bridge(&plane, &[], async |setup| {
        setup.apply(&mk_object("fails", &bundle, "default/deployment/api")).await?;
        let status = setup.until_phase("fails", Phase::Failed).await?;
        let details = status.failure_details.context("failure details")?;
        assert_eq!(details.reason, FailureReason::TaskFailed);
        let summary = details.natural_language_summary;
        let expected = format!("waiting for 3 of 3 replicas\n{LAST_LINE}\n");
        assert!(summary.ends_with(&expected), "{summary}");
        assert!(summary.contains("\nEvidence: TaskRun "), "{summary}");

        let uid = setup.objects().get("fails").await?.metadata.uid.context("a UID")?;
        let execution = setup.execution(&uid).await?.context("an execution")?;
        let failure = execution.failure.context("a failure")?;
        assert_eq!(failure.log_tail, format!("started\nwaiting for 3 of 3 replicas\n{LAST_LINE}"));
        let evidence = failure.evidence.context("evidence")?;
        assert_eq!(
            (evidence.field.as_str(), evidence.value.as_str()),
            ("status.steps[main].terminated.exitCode", "1")
        );

        let told = wfe_get(&setup.server, &execution.id).await?;
        let last = told.lines().find(|line| line.ends_with(LAST_LINE));
        assert_eq!(last, Some(format!("{:14}{LAST_LINE}", "").as_str()), "{told}");
        assert!(
            told.contains(&format!("evidence: {} {}", evidence.object, evidence.field)),
            "{told}"
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_log_that_tries_to_harm_who_reads_it_is_told_as_plain_lines() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let bundle = bundles::fails_with_log_of(plane.registry(), HOSTILE_STEP).await?.reference;
    with_bridge(&plane, &[], async |setup| {
        setup.apply(&mk_object("hostile", &bundle, "default/deployment/api")).await?;
        let status = setup.until_phase("hostile", Phase::Failed).await?;
        let uid = setup.objects().get("hostile").await?.metadata.uid.context("a UID")?;
        let execution = setup.execution(&uid).await?.context("an execution")?;
        let tail = execution.failure.context("a failure")?.log_tail;
        assert!(tail.len() <= 4096 && tail.len() > 4000, "{}", tail.len());
        assert!(tail.starts_with("line ") && tail.ends_with(LAST_LINE), "{tail}");
        let summary = status.failure_details.context("details")?.natural_language_summary;
        assert!(summary.contains(&tail), "{summary}");
        let told = wfe_get(&setup.server, &execution.id).await?;
        assert!(told.contains(" lines before these: "), "{told}");
        let harm = |c: char| c.is_control() && c != '\n' || matches!(c, '\u{202e}' | '\u{200b}');
        for text in [tail, summary, told] {
            assert!(!text.contains(harm), "{text:?}");
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_step_that_wrote_nothing_fails_like_any_other() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let bundle = bundles::fails_with_log_of(plane.registry(), SILENT_STEP).await?.reference;
    with_bridge(&plane, &[], async |setup| {
        setup.apply(&mk_object("silent", &bundle, "default/deployment/api")).await?;
        let status = setup.until_phase("silent", Phase::Failed).await?;
        let summary = status.failure_details.context("details")?.natural_language_summary;
        assert!(!summary.contains("Log of the failed step"), "{summary}");
        Ok(())
    })
    .await
}
