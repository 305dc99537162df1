//! The engine on real Tekton passes the same scenarios as the simulator, and is observed to do the same.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use expect_test::expect_file;
use futures::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::{Pod, ResourceQuota};
use kube::api::{DeleteParams, PostParams, PropagationPolicy};
use kube::{Api, Client};
use serde_json::json;
use wfe_crds::tekton::{PipelineRun, TaskRun};
use wfe_server::clock::SystemClock;
use wfe_server::tekton::Tekton;
use wfe_server::tekton::kube::KubeTekton;
use wfe_server::tekton::scenarios::table::{OBSERVED_FILE, ROWS, play};
use wfe_server::tekton::scenarios::{ALL, Bundles, Deletion, Ground, Outsider, Stage};
use wfe_tests::wait::PATIENCE;
use wfe_tests::{ControlPlane, Namespace, bundles};

async fn push(registry: &str) -> Result<Bundles> {
    let mut all = Bundles {
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
        of_rows: std::collections::BTreeMap::new(),
    };
    for row in ROWS {
        let reference = match bundles::of_row(row.bundle) {
            Some(workflow) => {
                let name = format!("row-{}", row.bundle);
                bundles::push(registry, &name, "v1", &workflow).await?.reference
            }
            None => bundles::missing(registry),
        };
        all.of_rows.insert(row.bundle, reference);
    }
    Ok(all)
}

/// Somebody with kubectl.
struct Somebody {
    client: Client,
    namespace: String,
}

#[async_trait]
impl Outsider for Somebody {
    async fn delete(&self, what: Deletion) {
        let background = DeleteParams::background();
        let alone = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Orphan),
            ..DeleteParams::default()
        };
        let (client, namespace) = (self.client.clone(), self.namespace.as_str());
        let runs = Api::<PipelineRun>::namespaced(client.clone(), namespace);
        let task_runs = Api::<TaskRun>::namespaced(client.clone(), namespace);
        let deleted = match &what {
            Deletion::Run(name) => runs.delete(name, &background).await.map(drop),
            Deletion::RunAlone(name) => runs.delete(name, &alone).await.map(drop),
            Deletion::TaskRun(name) => task_runs.delete(name, &background).await.map(drop),
            Deletion::PodOf(task_run) => {
                let pods = Api::<Pod>::namespaced(client, namespace);
                pods.delete(&format!("{task_run}-pod"), &background).await.map(drop)
            }
        };
        assert!(deleted.is_ok(), "{what:?}: {deleted:?}");
    }
}

async fn ground(plane: &ControlPlane, namespace: &Namespace) -> Result<Ground> {
    let client = KubeTekton::client(Some(plane.kubeconfig())).await?;
    let name = namespace.name().to_owned();
    let outsider = Arc::new(Somebody { client: plane.client().await?, namespace: name.clone() });
    let connect = move || -> Arc<dyn Tekton> { Arc::new(KubeTekton::new(client.clone(), &name)) };
    Ok(Ground { connect: Arc::new(connect), outsider })
}

#[tokio::test]
async fn every_scenario_plays_on_real_tekton_as_on_the_simulator() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let bundles = push(plane.registry()).await?;
    Namespace::with(plane.client().await?, async |namespace| {
        let ground = ground(&plane, namespace).await?;
        let failed: Vec<&str> = stream::iter(ALL)
            .map(|(title, scenario)| {
                let stage =
                    Stage::new(ground.clone(), bundles.clone(), PATIENCE, Arc::new(SystemClock));
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

/// With `UPDATE_EXPECT=1` what is observed is written down anew, and the simulator has to follow.
#[tokio::test]
async fn what_becomes_of_a_run_is_what_is_written_down_of_real_tekton() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let bundles = push(plane.registry()).await?;
    let observed = Namespace::with(plane.client().await?, async |namespace| {
        let quota = json!({
            "apiVersion": "v1",
            "kind": "ResourceQuota",
            "metadata": { "name": "rationed" },
            "spec": { "hard": { format!("requests.{}", bundles::RATIONED): "0" } },
        });
        let quotas = Api::<ResourceQuota>::namespaced(plane.client().await?, namespace.name());
        quotas.create(&PostParams::default(), &serde_json::from_value(quota)?).await?;
        let ground = ground(&plane, namespace).await?;
        let played: Vec<(&str, Result<String, _>)> = stream::iter(ROWS)
            .map(|row| {
                let stage =
                    Stage::new(ground.clone(), bundles.clone(), PATIENCE, Arc::new(SystemClock));
                async move { (row.name, tokio::spawn(play(*row, stage)).await) }
            })
            .buffered(4)
            .collect()
            .await;
        let failed: Vec<&str> =
            played.iter().filter_map(|(name, row)| row.is_err().then_some(*name)).collect();
        ensure!(failed.is_empty(), "failed: {failed:?}");
        Ok(played.into_iter().filter_map(|(_, row)| row.ok()).collect::<String>())
    })
    .await
    .context("the table")?;
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../server").join(OBSERVED_FILE);
    expect_file![file].assert_eq(&observed);
    Ok(())
}
