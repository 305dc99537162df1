//! Cancel on a real cluster: over only when nothing is alive.

use std::time::Duration;

use anyhow::Result;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use rand::RngExt as _;
use wfe_proto::v1::State;
use wfe_tests::{ControlPlane, bundles};

use crate::calls::*;

#[tokio::test]
async fn of_100_executions_cancelled_within_200_ms_nothing_is_alive_afterwards() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let never = bundles::never_ends(plane.registry()).await?.reference;
    with_server(&plane, async |namespace, server| {
        let client = server.client().await?;
        let ids: Vec<String> = stream::iter(0..100)
            .map(|n| {
                let (mut client, never) = (client.clone(), never.clone());
                async move {
                    let target = format!("default/pod/p-{n}");
                    let id = start(&mut client, mk_start(&never, &target, &target)).await?.id;
                    let pause = rand::rng().random_range(0..200);
                    tokio::time::sleep(Duration::from_millis(pause)).await;
                    cancel(&mut client, &id).await?;
                    anyhow::Ok(id)
                }
            })
            .buffer_unordered(8)
            .try_collect()
            .await?;
        for id in &ids {
            let done = follow(&mut client.clone(), id, 0).await?;
            assert_eq!(done.state(), State::Cancelled, "{done:?}");
        }
        assert_eq!(alive(namespace).await?, Vec::<String>::new());
        Ok(())
    })
    .await
}
