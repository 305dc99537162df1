//! RemediationOrchestrator ends the executions of a remediation that is over by their phase.

use anyhow::{Context, Result};
use kube::ResourceExt;
use wfe_crds::workflow_execution::Phase;
use wfe_proto::v1::{self, State};
use wfe_tests::{ControlPlane, bundles};

use crate::support::*;

const TARGET: &str = "default/deployment/api";
/// As it writes it.
const CASCADE: &str =
    r#"{"status":{"phase":"Failed","failureReason":"Parent RR entered terminal phase: TimedOut"}}"#;

#[tokio::test]
async fn an_end_that_the_orchestrator_sets_ends_the_run_and_says_on_whose_account() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let never = bundles::never_ends(plane.registry()).await?.reference;
    with_webhook(&plane, async |setup| {
        setup.apply(&mk_object("x", &never, TARGET)).await?;
        setup.until_phase("x", Phase::Running).await?;
        let uid = setup.objects().get("x").await?.uid().context("a UID")?;
        // Others do not.
        let said = setup.refused(ALICE, "x", CASCADE, &[]).await?;
        assert!(said.contains("delete its WorkflowExecution"), "{said}");

        let orchestrator = setup.orchestrator();
        setup.service.point_to(None);
        setup.service.cut();
        let shown = ["-o", "jsonpath={.status.phase} {.status.failureReason}"];
        let stored = setup.patch(&orchestrator, "x", CASCADE, &shown).await?;
        assert_eq!(stored, "Running ", "the phase tells what is");
        let first = setup.status("x").await?.cancel_request.context("a request")?;
        assert_eq!(first.reason, "Parent RR entered terminal phase: TimedOut");
        // It writes that again each time that it looks.
        setup.patch(&orchestrator, "x", CASCADE, &[]).await?;
        assert_eq!(setup.status("x").await?.cancel_request, Some(first));
        setup.service.point_to(Some(setup.server.addresses().grpc));

        let status = setup.until_phase("x", Phase::Failed).await?;
        assert_eq!(condition(&status, "Succeeded").1, "Cancelled");
        assert!(condition(&status, "Succeeded").2.contains("Parent RR entered"), "{status:?}");
        setup.until("x", "asks no more", |status| status.cancel_request.is_none()).await?;
        let key = Some(v1::get_request::Key::RequestId(uid));
        let execution = setup.server.client().await?.get(v1::GetRequest { key }).await?;
        let execution = execution.into_inner().execution.context("an execution")?;
        assert_eq!(execution.state(), State::Cancelled);
        let actor = execution.cancellation.and_then(|cancelled| cancelled.actor);
        let somebody = actor.and_then(|actor| actor.on_behalf_of).context("somebody")?;
        assert_eq!(somebody.user, orchestrator);

        // What is over stays as it is, without an error for the orchestrator.
        let before = setup.status("x").await?;
        setup.patch(&orchestrator, "x", CASCADE, &[]).await?;
        assert_eq!(setup.status("x").await?, before);
        Ok(())
    })
    .await
}
