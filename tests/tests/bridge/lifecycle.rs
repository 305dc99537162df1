//! From `kubectl apply` to the end.

use anyhow::Result;
use wfe_crds::workflow_execution::Phase;
use wfe_tests::{ControlPlane, bundles};

use crate::support::*;

#[tokio::test]
async fn an_applied_object_runs_to_completed_and_says_so() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let bundle = bundles::three_tasks_in_order(plane.registry()).await?.reference;
    with_bridge(&plane, &[], async |setup| {
        setup.apply(&mk_object("minimal", &bundle, "default/deployment/api")).await?;
        let wait = ["wait", "--for=condition=Succeeded", "--timeout=60s", "wfe/minimal"];
        setup.kubectl.run(&wait).await?;
        let status = setup.until_phase("minimal", Phase::Completed).await?;
        let progress = status.execution_status.clone().unwrap_or_default();
        assert_eq!((progress.completed_tasks, progress.total_tasks), (Some(3), Some(3)));
        Ok(())
    })
    .await
}
