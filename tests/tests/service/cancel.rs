//! Cancel on a real cluster: over only when nothing is alive.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::future::join_all;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use rand::RngExt as _;
use tonic_types::StatusExt as _;
use wfe_proto::v1::{self, StartOutcome, State};
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

/// Why a call was refused.
fn reason(status: &tonic::Status) -> String {
    status.get_error_details().error_info().map(|info| info.reason.clone()).unwrap_or_default()
}

#[tokio::test]
async fn of_a_start_and_a_cancel_of_its_request_at_the_same_moment_one_comes_first() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let never = bundles::never_ends(plane.registry()).await?.reference;
    with_server(&plane, async |namespace, server| {
        let mk = |n: usize| mk_start(&never, &format!("r-{n}"), &format!("default/pod/p-{n}"));
        // Two clients, as two copies of one that know nothing of each other.
        let (starts, cancels) = (server.client().await?, server.client().await?);
        let answers = join_all((0..50).map(|n| {
            let (mut starts, mut cancels) = (starts.clone(), cancels.clone());
            let request = v1::CancelRequest {
                request_id: format!("r-{n}"),
                reason: "a test".to_owned(),
                ..v1::CancelRequest::default()
            };
            let pause = |longest| Duration::from_millis(rand::rng().random_range(0..longest));
            let (before_start, before_cancel) = (pause(20), pause(40));
            let start = mk(n);
            async move {
                tokio::join!(
                    async {
                        tokio::time::sleep(before_start).await;
                        starts.start(start).await
                    },
                    async {
                        tokio::time::sleep(before_cancel).await;
                        cancels.cancel(request).await
                    }
                )
            }
        }))
        .await;
        let mut accepted = BTreeSet::new();
        for (n, (started, cancelled)) in answers.into_iter().enumerate() {
            match (started, cancelled?.into_inner().execution) {
                (Ok(started), Some(cancelled)) => {
                    let id = started.into_inner().execution.context("an execution")?.id;
                    assert_eq!(id, cancelled.id);
                    let done = follow(&mut starts.clone(), &id, 0).await?;
                    assert_eq!(done.state(), State::Cancelled, "{done:?}");
                    accepted.insert(id);
                }
                (Err(refused), None) => assert_eq!(reason(&refused), "REQUEST_WITHDRAWN"),
                both => bail!("r-{n}: {both:?}"),
            }
        }
        assert_eq!(alive(namespace).await?, Vec::<String>::new());
        let mut ran = BTreeSet::new();
        for run in namespace.runs().list(&kube::api::ListParams::default()).await? {
            let labels = run.metadata.labels.context("labels")?;
            ran.insert(labels["kubernaut.ai/execution-id"].clone());
        }
        assert_eq!(ran, accepted, "a withdrawn request has no run");

        // It stays as it is for who comes later.
        server.kill().await?;
        server.start_again().await?;
        server.until_ready().await?;
        let mut client = server.client().await?;
        let mut again = BTreeSet::new();
        for n in 0..50 {
            match client.start(mk(n)).await {
                Ok(answer) => {
                    let answer = answer.into_inner();
                    assert_eq!(answer.outcome(), StartOutcome::Repeated);
                    again.insert(answer.execution.context("an execution")?.id);
                }
                Err(refused) => assert_eq!(reason(&refused), "REQUEST_WITHDRAWN"),
            }
        }
        assert_eq!(again, accepted);
        Ok(())
    })
    .await
}
