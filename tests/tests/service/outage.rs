//! The API server goes away and comes back.

use std::time::{Duration, Instant};

use anyhow::Result;
use wfe_proto::v1::State;
use wfe_tests::control_plane::API_SERVER;
use wfe_tests::server::Client;
use wfe_tests::wait::{PATIENCE, eventually};
use wfe_tests::{ControlPlane, bundles};

use crate::calls::*;

/// How long the API server is away.
const AWAY: Duration = Duration::from_secs(20);

/// Waits until Tekton has the pipeline of a run. One whose pipeline is not there within a minute is ended
/// by Tekton itself, and its resolvers may need longer than that to find their feet after an outage.
async fn until_resolved(client: &mut Client, id: &str) -> Result<()> {
    eventually(PATIENCE, &format!("the pipeline of {id} is resolved"), async || {
        let execution = get(&mut client.clone(), id).await.map_err(|error| format!("{error:#}"))?;
        let total = execution.progress.as_ref().map_or(0, |progress| progress.total);
        if total > 0 { Ok(()) } else { Err(format!("{execution:?}")) }
    })
    .await
}

#[tokio::test]
async fn the_service_outlives_an_api_server_that_is_away_for_20_s_and_catches_up() -> Result<()> {
    ControlPlane::alone(async |plane| {
        let bundle = bundles::three_tasks_in_order(plane.registry()).await?.reference;
        with_server(plane, async |_, server| {
            let mut client = server.client().await?;
            let mut ids = Vec::new();
            for n in 0..10 {
                let target = format!("default/pod/p-{n}");
                ids.push(start(&mut client, mk_start(&bundle, &target, &target)).await?.id);
            }
            for id in &ids {
                until_resolved(&mut client, id).await?;
            }
            plane.stop_component(API_SERVER).await?;
            let gone = Instant::now();
            eventually(AWAY, "readiness says what is missing", async || {
                let (ready, text) = server.ready().await.map_err(|error| error.to_string())?;
                if !ready && text.contains("tekton") { Ok(()) } else { Err(text) }
            })
            .await?;
            // The service goes on: it reads its records and accepts what it will do later.
            assert_eq!(get(&mut client, &ids[0]).await?.id, ids[0]);
            let late = start(&mut client, mk_start(&bundle, "late", "default/pod/late")).await?;
            ids.push(late.id);
            tokio::time::sleep(AWAY.saturating_sub(gone.elapsed())).await;
            plane.start_component(API_SERVER).await?;
            server.until_ready().await?;
            for id in &ids {
                let done = follow(&mut client, id, 0).await?;
                assert_eq!(done.state(), State::Succeeded, "{done:?}");
            }
            Ok(())
        })
        .await
    })
    .await
}
