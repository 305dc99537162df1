//! kill -9 at any moment: everything is found again, runs once, and ends.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use rand::RngExt as _;
use wfe_proto::v1::{State, WhenLocked};
use wfe_tests::wait::eventually;
use wfe_tests::{ControlPlane, bundles};

use crate::calls::*;

#[tokio::test]
async fn kill_9_at_random_moments_while_50_executions_run_loses_and_repeats_nothing() -> Result<()>
{
    let plane = ControlPlane::from_env()?;
    let succeeds = bundles::succeeds(plane.registry()).await?.reference;
    with_server(&plane, async |namespace, server| {
        let mut ids = Vec::new();
        for n in 0..50 {
            let mut request =
                mk_start(&succeeds, &format!("r-{n}"), &format!("default/pod/p-{}", n % 25));
            request.when_locked = WhenLocked::Wait.into();
            // Repeated with the same request id until it is answered, as a client does.
            let answer = eventually(PATIENCE, "the start is accepted", async || {
                let mut client = server.client().await.map_err(|error| error.to_string())?;
                start(&mut client, request.clone()).await.map_err(|error| error.to_string())
            });
            ids.push(answer.await?.id);
            if n % 7 == 6 {
                let pause = rand::rng().random_range(0..400);
                tokio::time::sleep(Duration::from_millis(pause)).await;
                server.kill().await?;
                server.start_again().await?;
            }
        }
        let mut client = server.client().await?;
        for id in &ids {
            let done = follow(&mut client, id, 0).await?;
            assert_eq!(done.state(), State::Succeeded, "{done:?}");
        }
        let mut runs: BTreeMap<String, usize> = BTreeMap::new();
        for run in namespace.runs().list(&kube::api::ListParams::default()).await? {
            let labels = run.metadata.labels.context("labels")?;
            *runs.entry(labels["kubernaut.ai/execution-id"].clone()).or_default() += 1;
        }
        assert_eq!(runs.len(), 50);
        assert!(runs.values().all(|count| *count == 1), "{runs:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_repeated_request_gets_the_same_execution_after_a_restart() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let succeeds = bundles::succeeds(plane.registry()).await?.reference;
    with_server(&plane, async |_, server| {
        let request = || mk_start(&succeeds, "same", "default/pod/x");
        let mut client = server.client().await?;
        let id = start(&mut client, request()).await?.id;
        assert_eq!(start(&mut client, request()).await?.id, id, "during");
        follow(&mut client, &id, 0).await?;
        assert_eq!(start(&mut client, request()).await?.id, id, "after the end");
        server.kill().await?;
        server.start_again().await?;
        server.until_ready().await?;
        let mut client = server.client().await?;
        assert_eq!(start(&mut client, request()).await?.id, id, "after a restart");
        Ok(())
    })
    .await
}
