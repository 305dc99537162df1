//! A block is cleared with kubectl.

use anyhow::{Context, Result, ensure};
use futures::future::join_all;
use wfe_crds::workflow_execution::{ClearMethod, Phase};
use wfe_proto::v1::{self, ClearanceOutcome};
use wfe_tests::wait::{PATIENCE, eventually};
use wfe_tests::{ControlPlane, bundles};

use crate::support::*;

const TARGET: &str = "default/deployment/api";

/// The attempts that the service has on record, the newest first.
async fn attempts(setup: &Setup) -> Result<Vec<v1::ClearanceAttempt>> {
    let request = v1::GetTargetRequest { target: TARGET.to_owned(), ..Default::default() };
    let answer = setup.server.client().await?.get_target(request).await?.into_inner();
    Ok(answer.target.context("a target")?.clearances)
}

fn user(attempt: &v1::ClearanceAttempt) -> String {
    let actor = attempt.clearance.clone().and_then(|clearance| clearance.actor);
    actor.and_then(|actor| actor.on_behalf_of).map(|somebody| somebody.user).unwrap_or_default()
}

/// Two objects: the first fails, the second waits for a person.
async fn blocked(setup: &Setup, plane: &ControlPlane) -> Result<()> {
    let fails = bundles::step_exits_1(plane.registry()).await?.reference;
    let succeeds = bundles::succeeds(plane.registry()).await?.reference;
    setup.apply(&mk_object("first", &fails, TARGET)).await?;
    setup.until_phase("first", Phase::Failed).await?;
    setup.apply(&mk_object("second", &succeeds, TARGET)).await?;
    let waits = setup
        .until("second", "waits for a person", |status| condition(status, "Blocked").0 == "True")
        .await?;
    let (stalled, reason, message) = condition(&waits, "Stalled");
    assert_eq!((stalled.as_str(), reason.as_str()), ("True", "PreviousExecutionFailed"));
    let command = format!("kubectl patch wfe first -n {}", setup.namespace.name());
    ensure!(message.contains(&command), "{message}");
    Ok(())
}

#[tokio::test]
async fn a_block_that_a_person_clears_lets_the_next_one_run_and_the_failure_stays() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    with_webhook(&plane, async |setup| {
        blocked(setup, &plane).await?;
        let failed = setup.status("first").await?;
        let request = asking(&serde_json::json!({ "clearReason": REASON, "ticket": "OPS-1" }));
        setup.patch(ALICE, "first", &request, &[]).await?;
        setup.until_phase("second", Phase::Completed).await?;
        let first = setup
            .until("first", "shows who cleared it", |status| {
                status.block_clearance.is_some() && status.block_clearance_request.is_none()
            })
            .await?;
        let clearance = first.block_clearance.clone().context("a clearance")?;
        assert_eq!(
            (clearance.cleared_by.as_str(), clearance.clear_reason.as_str()),
            (ALICE, REASON)
        );
        assert_eq!(clearance.clear_method, ClearMethod::StatusField);
        assert!(clearance.cleared_at.is_some());
        assert_eq!(
            (first.phase, first.failure_details),
            (Some(Phase::Failed), failed.failure_details)
        );
        let events = setup.events("first", "BlockCleared").await?;
        assert_eq!(events, [format!("Normal: alice cleared the block of its target: {REASON}")]);
        assert_eq!(setup.events("first", "BlockClearanceRefused").await?, Vec::<String>::new());

        let attempts = attempts(setup).await?;
        assert_eq!(attempts.iter().map(user).collect::<Vec<_>>(), [ALICE]);
        assert_eq!(attempts[0].outcome(), ClearanceOutcome::Cleared);
        let ticket = attempts[0].clearance.as_ref().map(|clearance| clearance.ticket.as_str());
        assert_eq!(ticket, Some("OPS-1"));

        // It does not come back, and nobody asks twice.
        let said = setup.refused(BOB, "first", &request, &[]).await?;
        assert!(said.contains("alice has cleared the block"), "{said}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_clearance_by_grpc_shows_on_the_object_at_once() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    with_webhook(&plane, async |setup| {
        blocked(setup, &plane).await?;
        let failed = setup.status("first").await?;
        eventually(PATIENCE, "the failed object says what it blocks", async || {
            let events = setup.events("first", "TargetBlocked").await;
            let events = events.map_err(|error| format!("{error:#}"))?;
            match &events[..] {
                [event] if event.contains(TARGET) && event.contains("kubectl patch wfe first") => {
                    Ok(())
                }
                _ => Err(format!("{events:#?}")),
            }
        })
        .await?;
        let request = v1::ClearBlockRequest {
            target: TARGET.to_owned(),
            reason: REASON.to_owned(),
            expected_execution_id: failed.execution_id.clone().unwrap_or_default(),
            ..v1::ClearBlockRequest::default()
        };
        setup.server.client().await?.clear_block(request).await?;
        let first = setup
            .until("first", "shows who cleared it", |status| status.block_clearance.is_some())
            .await?;
        let clearance = first.block_clearance.clone().context("a clearance")?;
        assert_eq!(
            (clearance.clear_reason.as_str(), clearance.clear_method),
            (REASON, ClearMethod::ApiEndpoint)
        );
        assert_eq!(
            (first.phase, first.failure_details),
            (Some(Phase::Failed), failed.failure_details)
        );
        let events = setup.events("first", "BlockCleared").await?;
        ensure!(events.len() == 1 && events[0].contains(REASON), "{events:#?}");
        setup.until_phase("second", Phase::Completed).await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn of_ten_people_who_ask_at_once_one_clears_and_all_are_on_record() -> Result<()> {
    let plane = ControlPlane::from_env()?;
    with_webhook(&plane, async |setup| {
        blocked(setup, &plane).await?;
        let people: Vec<String> = (0..10).map(person).collect();
        let ask = async |who: &String| {
            let reason = format!("{who} looked at it by hand");
            let request = asking(&serde_json::json!({ "clearReason": reason }));
            setup.patch(who, "first", &request, &[]).await
        };
        let answers = join_all(people.iter().map(ask)).await;
        setup.until_phase("second", Phase::Completed).await?;
        let first = setup
            .until("first", "shows who cleared it", |status| {
                status.block_clearance.is_some() && status.block_clearance_request.is_none()
            })
            .await?;
        let winner = first.block_clearance.context("a clearance")?.cleared_by;
        let attempts = attempts(setup).await?;
        let cleared = attempts.iter().filter(|one| one.outcome() == ClearanceOutcome::Cleared);
        assert_eq!(cleared.map(user).collect::<Vec<_>>(), [winner.as_str()]);
        for (who, answer) in people.iter().zip(answers) {
            if *who == winner {
                answer?;
                continue;
            }
            // Refused by the webhook, or later by the service.
            eventually(PATIENCE, &format!("{who} is on record"), async || {
                let events = setup.events("first", "BlockClearanceRefused").await;
                let events = events.map_err(|error| format!("{error:#}"))?;
                let by_the_webhook = events.iter().any(|note| note.contains(&format!("to {who}:")));
                let by_the_service = attempts.iter().any(|attempt| user(attempt) == *who);
                if by_the_webhook || by_the_service { Ok(()) } else { Err(format!("{events:#?}")) }
            })
            .await?;
        }
        Ok(())
    })
    .await
}
