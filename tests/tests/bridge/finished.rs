//! What is finished costs nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use kube::ResourceExt;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use serde_json::json;
use wfe_crds::names::{BRIDGE_FIELD_MANAGER, FINALIZER};
use wfe_crds::workflow_execution::Phase;
use wfe_tests::wait::eventually;
use wfe_tests::{ControlPlane, bundles};

use crate::support::*;

const FINISHED: usize = 1_000;

/// How long the deletion of all of them may take on a busy machine.
const DELETION: Duration = Duration::from_mins(2);

/// The versions of the finished objects, by name.
async fn versions(setup: &Setup) -> Result<BTreeMap<String, String>> {
    let all = setup.objects().list(&ListParams::default().labels("test=finished")).await?;
    let version = |object: &wfe_crds::workflow_execution::WorkflowExecution| {
        Some((object.name_any(), object.resource_version()?))
    };
    all.iter().map(|object| version(object).context("a version")).collect()
}

/// Makes finished objects as a bridge leaves them, after the one with this name.
async fn leave_finished(setup: &Setup, like: &str) -> Result<()> {
    let (objects, model) = (setup.objects(), setup.objects().get(like).await?);
    let status = serde_json::to_value(model.status.context("a status")?)?;
    stream::iter(0..FINISHED)
        .map(|n| {
            let (objects, spec, mut status) = (objects.clone(), model.spec.clone(), status.clone());
            async move {
                let name = format!("finished-{n}");
                let object = json!({
                    "apiVersion": "kubernaut.ai/v1alpha1",
                    "kind": "WorkflowExecution",
                    "metadata": {
                        "name": name, "labels": { "test": "finished" }, "finalizers": [FINALIZER],
                    },
                    "spec": spec,
                });
                objects.create(&PostParams::default(), &serde_json::from_value(object)?).await?;
                status["executionID"] = json!(format!("01a1fcb1-0000-7000-8000-{n:012}"));
                let body = json!({
                    "apiVersion": "kubernaut.ai/v1alpha1",
                    "kind": "WorkflowExecution",
                    "status": status,
                });
                let bridge = PatchParams::apply(BRIDGE_FIELD_MANAGER);
                objects.patch_status(&name, &bridge, &Patch::Apply(body)).await?;
                anyhow::Ok(())
            }
        })
        .buffer_unordered(16)
        .try_collect()
        .await
}

#[tokio::test]
async fn a_thousand_finished_objects_cost_no_work_until_they_are_deleted() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let bundle = bundles::succeeds(plane.registry()).await?.reference;
    with_bridge(&plane, &[], async |setup| {
        setup.apply(&mk_object("model", &bundle, "default/deployment/model")).await?;
        setup.until_phase("model", Phase::Completed).await?;
        setup.bridge.kill().await?;
        leave_finished(setup, "model").await?;
        let before = versions(setup).await?;
        assert_eq!(before.len(), FINISHED);

        setup.bridge.start_again().await?;
        setup.bridge.until_ready().await?;
        let metrics = setup.bridge.metrics().await?;
        assert_eq!(sum_of(&metrics, "wfe_bridge_watch_synced", &[])?, 1);
        assert_eq!(sum_of(&metrics, "wfe_bridge_objects_followed", &[])?, 0);
        assert_eq!(sum_of(&metrics, "wfe_bridge_kubernetes_write_seconds_count", &[])?, 0);
        // It listens to everything by two watches, the first of which looks back, whatever the number of objects.
        let calls = sum_of(&metrics, "wfe_bridge_server_call_seconds_count", &[])?;
        assert!(calls <= 2, "{metrics}");

        // It does work, for what lives alone.
        setup.apply(&mk_object("alive", &bundle, "default/deployment/alive")).await?;
        setup.until_phase("alive", Phase::Completed).await?;
        setup.until_nothing_is_followed().await?;
        let metrics = setup.bridge.metrics().await?;
        let calls = |method: &str| {
            let method = format!("method=\"{method}\"");
            sum_of(&metrics, "wfe_bridge_server_call_seconds_count", &[&method])
        };
        assert_eq!(calls("Start")?, 1, "{metrics}");
        assert!((2..=3).contains(&calls("Watch")?), "{metrics}");
        assert_eq!((calls("Get")?, calls("Cancel")?), (0, 0), "{metrics}");
        let writes = sum_of(&metrics, "wfe_bridge_kubernetes_write_seconds_count", &[])?;
        assert!((3..10).contains(&writes), "{metrics}");
        assert_eq!(versions(setup).await?, before);
        for name in ["finished-0", "finished-999"] {
            assert_eq!(setup.events(name).await?, []);
        }

        setup.kubectl.run(&["delete", "wfe", "--selector=test=finished", "--wait=false"]).await?;
        eventually(DELETION, "the finished objects are gone", || async {
            let left = versions(setup).await.map_err(|error| error.to_string())?;
            if left.is_empty() { Ok(()) } else { Err(format!("{} left", left.len())) }
        })
        .await?;
        setup.until_nothing_is_followed().await?;
        let metrics = setup.bridge.metrics().await?;
        let released = |outcome: &str| {
            let outcome = format!("outcome=\"{outcome}\"");
            sum_of(&metrics, "wfe_bridge_finalizers_removed_total", &[&outcome])
        };
        assert_eq!((released("settled")?, released("given_up")?), (1_000, 0));
        assert_eq!(sum_of(&metrics, "wfe_bridge_events_lost_total", &[])?, 0);
        assert_eq!(setup.status("alive").await?.phase, Some(Phase::Completed));
        Ok(())
    })
    .await
}
