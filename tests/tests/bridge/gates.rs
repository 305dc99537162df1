//! Gates that the past of a target closes, as objects show them and wait at them.

use anyhow::{Context, Result};
use jiff::Timestamp;
use wfe_crds::workflow_execution::{Phase, WorkflowExecutionStatus};
use wfe_proto::v1;
use wfe_tests::{ControlPlane, bundles};

use crate::support::*;

const TARGET: &str = "default/deployment/api";

/// Every gate holds. The times are short, and long enough to apply the next object meanwhile on a machine that is slow.
const ENFORCED: &[&str] = &[
    "--gate-cooldown=enforce",
    "--gate-backoff=enforce",
    "--gate-block=enforce",
    "--cooldown-period=6s",
];

fn enforced(backoff_base: &'static str) -> Vec<&'static str> {
    [ENFORCED, &["--backoff-base", backoff_base]].concat()
}

/// Whether it waits at a gate with this reason.
fn waits(status: &WorkflowExecutionStatus, reason: &str) -> bool {
    let (blocked, said, _) = condition(status, "Blocked");
    status.phase == Some(Phase::Pending) && (blocked.as_str(), said.as_str()) == ("True", reason)
}

async fn target(setup: &Setup) -> Result<v1::Target> {
    let request = v1::GetTargetRequest { target: TARGET.to_owned(), ..Default::default() };
    let answer = setup.server.client().await?.get_target(request).await?;
    answer.into_inner().target.context("a target")
}

fn time(stamp: Option<&prost_types::Timestamp>) -> Result<Timestamp> {
    let stamp = stamp.context("a time")?;
    Ok(Timestamp::new(stamp.seconds, stamp.nanos)?)
}

/// Proves that what waited was let in when its gate was open, and not before. Answers the gates.
async fn began_in_time(setup: &Setup, name: &str) -> Result<Vec<v1::Gate>> {
    let execution_id = setup.status(name).await?.execution_id.context("an execution")?;
    let request = v1::ListEventsRequest { execution_id, ..Default::default() };
    let events = setup.server.client().await?.list_events(request).await?.into_inner().events;
    let admitted = events.iter().find(|event| event.run.is_some()).context("it was admitted")?;
    let held = || events.iter().filter_map(|event| event.waiting.as_ref());
    if let Some(until) = held().next_back().and_then(|waiting| waiting.until.as_ref()) {
        assert!(time(admitted.time.as_ref())? >= time(Some(until))?, "{events:#?}");
    }
    Ok(held().map(v1::Waiting::gate).collect())
}

#[tokio::test]
async fn failures_before_execution_make_the_next_wait_longer_until_one_succeeds() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let missing = bundles::missing(plane.registry());
    let succeeds = bundles::succeeds(plane.registry()).await?.reference;
    let arguments = Arguments { server: &enforced("6s"), ..Arguments::default() };
    with_arguments(&plane, &arguments, async |setup| {
        setup.apply(&mk_object("first", &missing, TARGET)).await?;
        let first = setup.until_phase("first", Phase::Failed).await?;
        assert!(!first.failure_details.context("details")?.was_execution_failure);
        for (n, name) in [(1, "second"), (2, "third")] {
            let before = target(setup).await?.backoff.context("a backoff")?;
            assert_eq!(before.failures, n);
            setup.apply(&mk_object(name, &missing, TARGET)).await?;
            let waiting = setup
                .until(name, "backs off or is over", |status| {
                    waits(status, "BackoffActive") || status.phase == Some(Phase::Failed)
                })
                .await?;
            if waiting.phase == Some(Phase::Pending) {
                let shown = waiting.cooldown_until.clone().context("cooldownUntil")?.0;
                // Whole seconds, and never earlier than the gate opens.
                let early = shown.duration_since(time(before.end_time.as_ref())?);
                assert!((0..1_000_000_000).contains(&early.as_nanos()), "{waiting:?}");
                assert_eq!(condition(&waiting, "Stalled").0, "", "it goes on by itself");
            }
            setup.until_phase(name, Phase::Failed).await?;
            assert_eq!(began_in_time(setup, name).await?, [v1::Gate::Backoff]);
        }
        setup.apply(&mk_object("fourth", &succeeds, TARGET)).await?;
        setup.until("fourth", "backs off", |status| waits(status, "BackoffActive")).await?;
        let fourth = setup.until_phase("fourth", Phase::Completed).await?;
        assert_eq!(fourth.cooldown_until, None);
        assert_eq!(began_in_time(setup, "fourth").await?, [v1::Gate::Backoff]);
        let known = target(setup).await?;
        assert_eq!(known.backoff, None, "a success resets it");

        // And then the target rests, for the same workflow.
        setup.apply(&mk_object("fifth", &succeeds, TARGET)).await?;
        setup.until_phase("fifth", Phase::Completed).await?;
        assert_eq!(began_in_time(setup, "fifth").await?, [v1::Gate::Cooldown]);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn too_many_failures_before_execution_need_a_person() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let missing = bundles::missing(plane.registry());
    let mut server = enforced("100ms");
    server.push("--backoff-limit=2");
    let arguments = Arguments { server: &server, ..Arguments::default() };
    with_arguments(&plane, &arguments, async |setup| {
        for name in ["first", "second"] {
            setup.apply(&mk_object(name, &missing, TARGET)).await?;
            setup.until_phase(name, Phase::Failed).await?;
        }
        setup.apply(&mk_object("third", &missing, TARGET)).await?;
        let third = setup
            .until("third", "needs a person", |status| waits(status, "ExhaustedRetries"))
            .await?;
        assert_eq!(condition(&third, "Stalled").0, "True");
        assert_eq!(third.cooldown_until, None);
        let block = target(setup).await?.block.context("a block")?;
        assert_eq!(block.reason(), v1::BlockReason::RetriesExhausted);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_execution_failure_blocks_the_target_until_it_is_cleared() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    let fails = bundles::step_exits_1(plane.registry()).await?.reference;
    let succeeds = bundles::succeeds(plane.registry()).await?.reference;
    let arguments = Arguments { server: &enforced("6s"), ..Arguments::default() };
    with_arguments(&plane, &arguments, async |setup| {
        setup.apply(&mk_object("first", &fails, TARGET)).await?;
        let first = setup.until_phase("first", Phase::Failed).await?;
        setup.apply(&mk_object("second", &succeeds, TARGET)).await?;
        let second = setup
            .until("second", "is blocked", |status| waits(status, "PreviousExecutionFailed"))
            .await?;
        assert_eq!(condition(&second, "Stalled").0, "True");
        let request = v1::ClearBlockRequest {
            target: TARGET.to_owned(),
            reason: "the deployment was looked at".to_owned(),
            expected_execution_id: first.execution_id.clone().context("an execution")?,
            ..Default::default()
        };
        setup.server.client().await?.clear_block(request).await?;
        setup.until_phase("second", Phase::Completed).await?;
        assert_eq!(began_in_time(setup, "second").await?, [v1::Gate::Block]);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn where_somebody_else_decides_about_retries_nothing_is_held() -> Result<()> {
    const OBSERVED: &[&str] =
        &["--gate-cooldown=observe", "--gate-backoff=observe", "--gate-block=observe"];
    let plane = ControlPlane::from_env()?;
    let fails = bundles::step_exits_1(plane.registry()).await?.reference;
    let succeeds = bundles::succeeds(plane.registry()).await?.reference;
    let missing = bundles::missing(plane.registry());
    let arguments = Arguments { server: OBSERVED, ..Arguments::default() };
    with_arguments(&plane, &arguments, async |setup| {
        for (name, bundle, phase) in [
            ("first", &succeeds, Phase::Completed),
            ("second", &missing, Phase::Failed),
            ("third", &fails, Phase::Failed),
            ("fourth", &succeeds, Phase::Completed),
        ] {
            setup.apply(&mk_object(name, bundle, TARGET)).await?;
            setup.until_phase(name, phase).await?;
            assert_eq!(began_in_time(setup, name).await?, [], "{name} was held");
        }
        let uid = setup.objects().get("fourth").await?.metadata.uid.context("a UID")?;
        let fourth = setup.execution(&uid).await?.context("an execution")?;
        let observed: Vec<_> = fourth.observed.iter().map(v1::Waiting::gate).collect();
        assert_eq!(observed, [v1::Gate::Block, v1::Gate::Cooldown]);
        Ok(())
    })
    .await
}
