//! What others write to an object, while it runs.

use anyhow::{Context, Result};
use kube::ResourceExt;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;
use wfe_crds::workflow_execution::{Phase, WorkflowExecutionStatus};
use wfe_proto::v1::State;
use wfe_tests::tekton::RUN_LABEL;
use wfe_tests::wait::{PATIENCE, eventually};
use wfe_tests::{ControlPlane, bundles};

use crate::support::*;

const TARGET: &str = "default/deployment/api";
/// As RemediationOrchestrator ends the objects of a remediation that timed out.
const CASCADE: &str =
    r#"{"status":{"phase":"Failed","failureReason":"parent RemediationRequest timed out"}}"#;

/// Lets a run that never ends succeed.
async fn let_it_succeed(setup: &Setup, run: &str) -> Result<()> {
    let pods = format!("--selector={RUN_LABEL}={run}");
    let selected = ListParams::default().labels(&format!("{RUN_LABEL}={run}"));
    eventually(PATIENCE, "the pod is there", || async {
        let pods = setup.runs.pods().list(&selected).await.map_err(|error| error.to_string())?;
        if pods.items.is_empty() { Err("no pod".to_owned()) } else { Ok(()) }
    })
    .await?;
    let fate = format!("{}=succeed", wfe_control_plane::bundle::OUTCOME);
    setup.kubectl.run(&["annotate", "--overwrite", "pod", &pods, &fate]).await.map(drop)
}

async fn until_running(setup: &Setup, name: &str) -> Result<String> {
    let status = setup.until_phase(name, Phase::Running).await?;
    Ok(status.execution_ref.context("a run")?.name)
}

async fn patch_status(setup: &Setup, name: &str, patch: &str) -> Result<String> {
    let what = format!("wfe/{name}");
    let arguments = ["patch", &what, "--subresource=status", "--type=merge", "-p", patch];
    setup.kubectl.run(&[&arguments[..], &["-o", "jsonpath={.status.phase}"]].concat()).await
}

fn assert_completed(status: &WorkflowExecutionStatus) {
    assert_eq!(status.phase, Some(Phase::Completed), "{status:?}");
    assert!(status.start_time.is_some() && status.completion_time.is_some(), "{status:?}");
    for kind in ["Ready", "Succeeded", "ExecutionCreated", "ExecutionComplete"] {
        assert_eq!(condition(status, kind).0, "True", "{kind}: {status:?}");
    }
    assert_eq!(condition(status, "ExecutionRunning").0, "False");
    for kind in ["Reconciling", "Stalled", "Blocked"] {
        assert_eq!(condition(status, kind).0, "", "{kind}: {status:?}");
    }
    assert_eq!(status.failure_details, None);
}

#[tokio::test]
async fn what_others_write_in_the_middle_of_a_run_is_there_at_its_end() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let never = bundles::never_ends(plane.registry()).await?.reference;
    with_bridge(&plane, &[], async |setup| {
        let mut manifest = mk_object("x", &never, TARGET);
        setup.apply(&manifest).await?;
        let run = until_running(setup, "x").await?;
        let objects = setup.objects();
        let running = objects.get("x").await?;

        // A controller that knows something about the object.
        let checked = json!({
            "apiVersion": "kubernaut.ai/v1alpha1",
            "kind": "WorkflowExecution",
            "status": { "conditions": [{
                "type": "example.com/Checked",
                "status": "True",
                "reason": "LooksGood",
                "message": "Somebody has checked it.",
                "lastTransitionTime": "2026-01-02T03:04:05Z",
            }] },
        });
        let controller = PatchParams::apply("example-controller");
        objects.patch_status("x", &controller, &Patch::Apply(&checked)).await?;
        // People.
        let clear = r#"{"status":{"blockClearanceRequest":{"clearReason":"checked by hand"}}}"#;
        patch_status(setup, "x", clear).await?;
        setup.kubectl.run(&["annotate", "wfe/x", "example.com/note=seen"]).await?;
        setup.kubectl.run(&["label", "wfe/x", "team=blue"]).await?;
        // GitOps.
        manifest["metadata"]["labels"] = json!({ "app": "api" });
        let said = setup.kubectl.apply(&manifest.to_string()).await?;
        assert!(said.contains("configured"), "{said}");
        let said = setup.kubectl.apply(&manifest.to_string()).await?;
        assert!(said.contains("unchanged"), "{said}");

        let middle = setup.status("x").await?;
        assert_eq!(middle.phase, Some(Phase::Running), "all that was in the middle of the run");
        let_it_succeed(setup, &run).await?;
        let status = setup.until_phase("x", Phase::Completed).await?;
        assert_completed(&status);
        let theirs =
            ("True".to_owned(), "LooksGood".to_owned(), "Somebody has checked it.".to_owned());
        assert_eq!(condition(&status, "example.com/Checked"), theirs);
        // Nobody can say who asks, so the answer is no.
        setup.until("x", "asks no more", |status| status.block_clearance_request.is_none()).await?;
        let refused = setup.warnings("x").await?;
        assert_eq!(refused, ["BlockClearanceRefused"]);

        let ended = objects.get("x").await?;
        assert_eq!(ended.annotations()["example.com/note"], "seen");
        assert_eq!(ended.labels()["team"], "blue");
        assert_eq!(ended.labels()["app"], "api");
        assert_eq!(ended.finalizers(), running.finalizers());
        assert_eq!((ended.metadata.generation, &ended.spec), (Some(1), &running.spec));
        let owned = |manager: &str| {
            let ours = ended.managed_fields().iter();
            let ours = ours.filter(|entry| entry.manager.as_deref() == Some(manager));
            let fields = ours.filter_map(|entry| entry.fields_v1.as_ref());
            fields.map(|fields| fields.0.to_string()).collect::<String>()
        };
        assert!(owned("example-controller").contains("example.com/Checked"));
        for field in
            ["f:spec", "f:labels", "f:annotations", "example.com", "f:blockClearanceRequest"]
        {
            assert!(!owned("wfe-bridge").contains(field), "{}", owned("wfe-bridge"));
        }
        assert_eq!(setup.runs.runs().list(&ListParams::default()).await?.items.len(), 1);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_status_that_others_turn_is_put_right_and_the_run_goes_on() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let never = bundles::never_ends(plane.registry()).await?.reference;
    with_bridge(&plane, &[], async |setup| {
        setup.apply(&mk_object("x", &never, TARGET)).await?;
        let run = until_running(setup, "x").await?;
        let uid = setup.objects().get("x").await?.uid().context("a UID")?;

        assert_eq!(patch_status(setup, "x", CASCADE).await?, "Failed");
        setup.until("x", "runs", |status| status.phase == Some(Phase::Running)).await?;
        patch_status(setup, "x", r#"{"status":{"conditions":null}}"#).await?;
        let status = setup
            .until("x", "has its conditions", |status| condition(status, "Ready").0 == "False")
            .await?;
        assert_eq!(status.phase, Some(Phase::Running));
        assert_eq!(condition(&status, "ExecutionRunning").0, "True");

        // The same while no bridge looks: what it finds is no end.
        setup.bridge.kill().await?;
        assert_eq!(patch_status(setup, "x", CASCADE).await?, "Failed");
        setup.bridge.start_again().await?;
        setup.until("x", "runs", |status| status.phase == Some(Phase::Running)).await?;
        let execution = setup.execution(&uid).await?.context("an execution")?;
        assert_eq!(execution.state(), State::Running, "nobody has stopped it");

        let_it_succeed(setup, &run).await?;
        let status = setup.until_phase("x", Phase::Completed).await?;
        assert_completed(&status);
        Ok(())
    })
    .await
}
