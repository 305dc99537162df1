//! The engine on real Tekton passes the same scenarios as the simulator.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use futures::{StreamExt as _, stream};
use wfe_server::clock::SystemClock;
use wfe_server::tekton::Tekton;
use wfe_server::tekton::kube::KubeTekton;
use wfe_server::tekton::scenarios::{ALL, Bundles, Stage};
use wfe_tests::wait::PATIENCE;
use wfe_tests::{ControlPlane, Namespace, bundles};

async fn push(registry: &str) -> Result<Bundles> {
    Ok(Bundles {
        succeeds: bundles::succeeds(registry).await?.reference,
        three_tasks_in_order: bundles::three_tasks_in_order(registry).await?.reference,
        step_exits_1: bundles::step_exits_1(registry).await?.reference,
        oom_killed: bundles::oom_killed(registry).await?.reference,
        image_cannot_be_pulled: bundles::image_cannot_be_pulled(registry).await?.reference,
        image_never_comes: bundles::image_never_comes(registry).await?.reference,
        no_node_has_room: bundles::no_node_has_room(registry).await?.reference,
        volume_never_comes: bundles::volume_never_comes(registry).await?.reference,
        never_ends: bundles::never_ends(registry).await?.reference,
        missing: bundles::missing(registry),
    })
}

#[tokio::test]
async fn every_scenario_plays_on_real_tekton_as_on_the_simulator() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let bundles = push(plane.registry()).await?;
    Namespace::with(plane.client().await?, async |namespace| {
        let client = KubeTekton::client(Some(plane.kubeconfig())).await?;
        let name = namespace.name().to_owned();
        let failed: Vec<&str> = stream::iter(ALL)
            .map(|(title, scenario)| {
                let (client, name) = (client.clone(), name.clone());
                let connect =
                    move || -> Arc<dyn Tekton> { Arc::new(KubeTekton::new(client.clone(), &name)) };
                let stage =
                    Stage::new(Arc::new(connect), bundles.clone(), PATIENCE, Arc::new(SystemClock));
                async move {
                    let played = tokio::spawn(scenario(stage)).await;
                    println!("{title}: {}", if played.is_ok() { "ok" } else { "FAILED" });
                    played.err().map(|_| *title)
                }
            })
            .buffer_unordered(4)
            .filter_map(async |failed| failed)
            .collect()
            .await;
        ensure!(failed.is_empty(), "failed: {failed:?}");
        Ok(())
    })
    .await
    .context("the scenarios")
}
