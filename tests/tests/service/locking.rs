//! Racing Starts on a real cluster.

use anyhow::{Context, Result};
use futures::future::{join_all, try_join_all};
use tonic_types::StatusExt as _;
use wfe_proto::v1::{self, StartOutcome, State, WhenLocked};
use wfe_tests::{ControlPlane, bundles};

use crate::calls::*;

#[tokio::test]
async fn of_100_starts_racing_for_a_target_exactly_one_runs() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let never = bundles::never_ends(plane.registry()).await?.reference;
    with_server(&plane, async |namespace, server| {
        let clients = try_join_all((0..5).map(|_| server.client())).await?;
        let race = async |when_locked: WhenLocked| {
            join_all((0..100).map(|n| {
                let mut client = clients[n % clients.len()].clone();
                let request = v1::StartRequest {
                    when_locked: when_locked.into(),
                    ..mk_start(&never, &format!("{when_locked:?}-{n}"), "default/pod/x")
                };
                async move { client.start(request).await }
            }))
            .await
        };
        let (accepted, refused): (Vec<_>, Vec<_>) =
            race(WhenLocked::Reject).await.into_iter().partition(Result::is_ok);
        assert_eq!((accepted.len(), refused.len()), (1, 99));
        let holder = accepted.into_iter().next().context("one")??.into_inner();
        let holder = holder.execution.context("an execution")?.id;
        for status in refused.into_iter().filter_map(Result::err) {
            let details = status.get_error_details();
            assert_eq!(details.error_info().context("ErrorInfo")?.reason, "TARGET_LOCKED");
            assert_eq!(details.resource_info().context("ResourceInfo")?.resource_name, holder);
        }
        for answer in race(WhenLocked::Attach).await {
            let answer = answer?.into_inner();
            assert_eq!(answer.outcome(), StartOutcome::Attached);
            assert_eq!(answer.execution.context("an execution")?.id, holder);
        }
        let mut client = clients[0].clone();
        until_state(&mut client, &holder, State::Running).await?;
        let runs = namespace.runs().list(&kube::api::ListParams::default()).await?;
        assert_eq!(runs.items.len(), 1);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn waiting_executions_run_one_after_the_other_in_order_of_acceptance() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let succeeds = bundles::succeeds(plane.registry()).await?.reference;
    with_server(&plane, async |namespace, server| {
        let clients = try_join_all((0..4).map(|_| server.client())).await?;
        try_join_all((0..15).map(|n| {
            let mut client = clients[n % clients.len()].clone();
            let request = v1::StartRequest {
                when_locked: WhenLocked::Wait.into(),
                ..mk_start(&succeeds, &format!("r-{n}"), "default/pod/x")
            };
            async move { start(&mut client, request).await }
        }))
        .await?;
        let mut client = clients[0].clone();
        let listed = client.list(v1::ListRequest::default()).await?.into_inner().executions;
        let mut before: Option<v1::Execution> = None;
        for (execution, epoch) in listed.into_iter().rev().zip(1..) {
            let done = follow(&mut client, &execution.id, 0).await?;
            assert_eq!(done.state(), State::Succeeded);
            assert_eq!(
                done.run.as_ref().map(|run| run.epoch),
                Some(epoch),
                "in order of acceptance"
            );
            if let Some(before) = &before {
                let (ended, started) =
                    (before.end_time.context("an end")?, done.start_time.context("a start")?);
                assert!((ended.seconds, ended.nanos) <= (started.seconds, started.nanos));
            }
            before = Some(done);
        }
        let runs = namespace.runs().list(&kube::api::ListParams::default()).await?;
        assert_eq!(runs.items.len(), 15);
        Ok(())
    })
    .await
}
