//! What the webhook lets nobody do, and what its absence stops.

use anyhow::{Context, Result};
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use wfe_crds::workflow_execution::Phase;
use wfe_tests::{ControlPlane, bundles};

use crate::support::*;

const TARGET: &str = "default/deployment/api";

#[tokio::test]
async fn who_may_not_clear_or_says_too_little_is_told_so_and_that_is_on_record() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let fails = bundles::step_exits_1(plane.registry()).await?.reference;
    let never = bundles::never_ends(plane.registry()).await?.reference;
    with_webhook(&plane, async |setup| {
        setup.apply(&mk_object("x", &fails, TARGET)).await?;
        let failed = setup.until_phase("x", Phase::Failed).await?;
        let typed = |status: Value| json!({ "status": status }).to_string();
        let clearance = json!({ "clearedBy": "alice", "clearReason": REASON, "clearMethod": "StatusField" });
        let refusals = [
            (CAROL, asking(&json!({ "clearReason": REASON })), "carol may not clear blocks", "BlockClearanceRefused"),
            (ALICE, asking(&json!({ "ticket": "OPS-1" })), "clearReason", "BlockClearanceRefused"),
            (ALICE, asking(&json!({ "clearReason": "  short   " })), "it has 5", "BlockClearanceRefused"),
            (BOB, typed(json!({ "blockClearance": clearance })), "by the bridge alone", "StatusChangeRefused"),
            (BOB, typed(json!({ "phase": "Completed" })), "status.phase", "StatusChangeRefused"),
            (BOB, typed(json!({ "cancelRequest": { "reason": "x" } })), "status.cancelRequest", "StatusChangeRefused"),
            (BOB, typed(json!({ "phase": "Running", "blockClearanceRequest": { "clearReason": REASON } })), "status.phase", "BlockClearanceRefused"),
        ];
        for (who, patch, words, reason) in &refusals {
            // Tried only, it is refused alike, and nobody hears of it.
            for more in [&["--dry-run=server"][..], &[]] {
                let said = setup.refused(who, "x", patch, more).await?;
                assert!(said.contains(words) && said.contains("admission webhook"), "{said}");
            }
            setup.until_event("x", reason, words).await?;
        }
        let on_record = setup.events("x", "BlockClearanceRefused").await?.len()
            + setup.events("x", "StatusChangeRefused").await?.len();
        assert_eq!(on_record, refusals.len());
        assert_eq!(setup.status("x").await?, failed, "nothing was changed");
        // What runs is not what has failed.
        setup.apply(&mk_object("y", &never, "default/deployment/other")).await?;
        setup.until_phase("y", Phase::Running).await?;
        let clear = asking(&json!({ "clearReason": REASON }));
        let said = setup.refused(ALICE, "y", &clear, &[]).await?;
        assert!(said.contains("only the failure of an execution"), "{said}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn every_way_of_asking_is_stamped_and_nobody_changes_the_stamp() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let fails = bundles::step_exits_1(plane.registry()).await?.reference;
    with_webhook(&plane, async |setup| {
        setup.apply(&mk_object("x", &fails, TARGET)).await?;
        setup.until_phase("x", Phase::Failed).await?;
        // While the service is away a request stays.
        setup.service.point_to(None);
        setup.service.cut();
        let request = json!({
            "clearReason": REASON, "requestedBy": { "username": "root" }, "seal": "bm9uZQ==",
        });
        setup.patch(ALICE, "x", &asking(&request), &[]).await?;
        let stamped = setup.status("x").await?.block_clearance_request.context("a request")?;
        let by = stamped.requested_by.clone().context("a person")?;
        assert_eq!((by.username.as_str(), stamped.clear_reason.as_str()), (ALICE, REASON));
        assert_ne!(stamped.seal.as_deref(), Some("bm9uZQ=="));
        assert!(by.groups.contains(&"system:authenticated".to_owned()), "{by:?}");
        // The fields are those of who asked.
        let object = setup.objects().get("x").await?;
        let owners: Vec<&str> = object
            .managed_fields()
            .iter()
            .filter(|entry| {
                let fields = entry.fields_v1.as_ref().map(|fields| fields.0.to_string());
                fields.is_some_and(|fields| fields.contains("f:blockClearanceRequest"))
            })
            .filter_map(|entry| entry.manager.as_deref())
            .collect();
        assert_eq!(owners, ["kubectl-patch"]);

        // Again in the same words: nothing is new.
        setup.patch(ALICE, "x", &asking(&json!({ "clearReason": REASON })), &[]).await?;
        assert_eq!(setup.status("x").await?.block_clearance_request.as_ref(), Some(&stamped));
        for (who, change, words) in [
            (ALICE, json!({ "requestedBy": { "username": "root" } }), "by the webhook alone"),
            (ALICE, json!({ "requestedAt": "2020-01-01T00:00:00Z" }), "by the webhook alone"),
            (ALICE, json!({ "seal": null }), "by the webhook alone"),
            (BOB, json!({ "clearReason": "bob has looked as well" }), "alice asked for this at"),
        ] {
            let said = setup.refused(who, "x", &asking(&change), &[]).await?;
            assert!(said.contains(words), "{said}");
        }

        // Taken back, and asked for by server-side apply, twice.
        setup.patch(BOB, "x", &asking(&Value::Null), &[]).await?;
        let manifest = json!({
            "apiVersion": "kubernaut.ai/v1alpha1",
            "kind": "WorkflowExecution",
            "metadata": { "name": "x", "namespace": setup.namespace.name() },
            "status": { "blockClearanceRequest": { "clearReason": "by server-side apply", "ticket": "OPS-1" } },
        })
        .to_string();
        let apply = ["--as", BOB, "apply", "--server-side", "--subresource=status", "-f", "-"];
        setup.kubectl.run_with(&apply, &manifest).await?;
        let applied = setup.status("x").await?.block_clearance_request.context("a request")?;
        assert_eq!(applied.requested_by.as_ref().map(|by| by.username.as_str()), Some(BOB));
        setup.kubectl.run_with(&apply, &manifest).await?;
        assert_eq!(setup.status("x").await?.block_clearance_request, Some(applied));

        // The whole object, as kubectl edit and programs write it.
        let mut object = setup.objects().get("x").await?;
        let status = object.status.as_mut().context("a status")?;
        let request = status.block_clearance_request.as_mut().context("a request")?;
        request.clear_reason = "by a replace of all".to_owned();
        let whole = serde_json::to_string(&object)?;
        let replace = ["--as", BOB, "replace", "--subresource=status", "-f", "-"];
        setup.kubectl.run_with(&replace, &whole).await?;
        let replaced = setup.status("x").await?.block_clearance_request.context("a request")?;
        assert_eq!(replaced.clear_reason, "by a replace of all");

        // A dry run shows what would be, with a seal that is good for nothing.
        setup.patch(BOB, "x", &asking(&Value::Null), &[]).await?;
        let dry = ["--dry-run=server", "-o", "jsonpath={.status.blockClearanceRequest.seal}"];
        let seal = setup.patch(BOB, "x", &asking(&json!({ "clearReason": REASON })), &dry).await?;
        assert_eq!(seal, "dry-run");
        assert_eq!(setup.status("x").await?.block_clearance_request, None);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_bridge_does_not_ask_itself() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let succeeds = bundles::succeeds(plane.registry()).await?.reference;
    with_webhook(&plane, async |setup| {
        let reviewed = async |setup: &Setup| -> Result<u64> {
            Ok(setup.reviews("allowed").await? + setup.reviews("restored").await?)
        };
        setup.apply(&mk_object("x", &succeeds, TARGET)).await?;
        setup.until_phase("x", Phase::Completed).await?;
        assert_eq!(reviewed(setup).await?, 0, "it has written statuses, and answered for none");
        // Were nothing counted, the line above would show nothing.
        setup.patch(CAROL, "x", r#"{"status":{"phase":"Completed"}}"#, &[]).await?;
        assert_eq!(reviewed(setup).await?, 1);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn without_the_webhook_executions_go_on_and_nobody_clears_anything() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let succeeds = bundles::succeeds(plane.registry()).await?.reference;
    let fails = bundles::step_exits_1(plane.registry()).await?.reference;
    with_webhook(&plane, async |setup| {
        setup.apply(&mk_object("x", &fails, TARGET)).await?;
        setup.until_phase("x", Phase::Failed).await?;
        setup.point_the_webhook_to("https://127.0.0.1:1/nobody").await?;
        setup.until_refused_by("failed calling webhook").await?;
        setup.apply(&mk_object("y", &succeeds, "default/deployment/other")).await?;
        setup.until_phase("y", Phase::Completed).await?;
        let said =
            setup.refused(ALICE, "x", &asking(&json!({ "clearReason": REASON })), &[]).await?;
        assert!(said.contains("failed calling webhook"), "{said}");

        // Out of the way altogether, what is written is not believed.
        setup.remove_the_webhook().await?;
        let forged = json!({
            "clearReason": REASON,
            "requestedBy": { "username": ALICE },
            "requestedAt": "2026-01-02T03:04:05Z",
            "seal": "bm9uZQ==",
        });
        let objects = setup.objects();
        let patch = Patch::Merge(json!({ "status": { "blockClearanceRequest": forged } }));
        objects.patch_status("x", &PatchParams::default(), &patch).await?;
        let status = setup
            .until("x", "taken away", |status| status.block_clearance_request.is_none())
            .await?;
        assert_eq!(status.block_clearance, None);
        setup.until_event("x", "BlockClearanceRefused", "does not bear the seal").await?;
        objects.delete("x", &DeleteParams::default()).await?;
        Ok(())
    })
    .await
}
