//! What is known of a target.

use std::num::NonZeroU32;

use wfe_core::{
    clear::{Attempt, Clearance, Outcome},
    gates::{Block, BlockReason, Mode, Policy, Success},
    workflow::WorkflowKey,
};
use wfe_proto::v1;

use super::{actor, execution, state_code, timestamp};
use crate::{service::TargetReport, store::TargetView};

/// A target. Gates that are off are not told.
pub(in super::super) fn target(report: &TargetReport) -> v1::Target {
    let TargetReport { view, foreign, attempts, policy, now } = report;
    let TargetView { state, holder: _, queue } = view;
    let history = &state.history;
    let queue = queue.iter().zip(1..).map(|(waits, position)| v1::QueueEntry {
        execution_id: waits.id.to_string(),
        position,
        create_time: Some(timestamp(waits.created_at)),
        waiting: execution(waits, "").waiting,
    });
    let cooldowns: Vec<v1::Cooldown> = match mode(policy.cooldown.mode) {
        Some(mode) => {
            let running = history.cooldowns(policy, *now).into_iter();
            running.map(|(workflow, success, end)| cooldown(workflow, success, end, mode)).collect()
        }
        None => Vec::new(),
    };
    v1::Target {
        target: state.key.target.to_string(),
        cluster_id: state.key.cluster.to_string(),
        lock: lock(view, foreign.as_deref()),
        queue: queue.collect(),
        cooldown: cooldowns.last().cloned(),
        backoff: backoff(report),
        block: history.block(policy).and_then(|block| told_block(&block, policy)),
        cooldowns,
        clearances: attempts.iter().map(attempt).collect(),
    }
}

fn lock(view: &TargetView, foreign: Option<&str>) -> Option<v1::Lock> {
    let Some(held) = view.state.holder else {
        return foreign.map(|run| v1::Lock { run: run.to_owned(), ..v1::Lock::default() });
    };
    let holder = view.holder.as_ref();
    let run = holder.and_then(|holder| holder.state.planned_run());
    Some(v1::Lock {
        execution_id: held.execution.to_string(),
        state: holder
            .map_or(v1::State::Unspecified, |holder| state_code(holder.state.code()))
            .into(),
        epoch: i64::try_from(view.state.epoch.0).unwrap_or(i64::MAX),
        since: Some(timestamp(held.since)),
        run: run.map(|run| run.name.to_string()).unwrap_or_default(),
    })
}

fn cooldown(
    workflow: &WorkflowKey,
    success: Success,
    end: jiff::Timestamp,
    mode: v1::GateMode,
) -> v1::Cooldown {
    v1::Cooldown {
        workflow: workflow.to_string(),
        end_time: Some(timestamp(end)),
        execution_id: success.execution.to_string(),
        mode: mode.into(),
    }
}

fn backoff(report: &TargetReport) -> Option<v1::Backoff> {
    let TargetReport { view, policy, .. } = report;
    let history = &view.state.history;
    let (failures, end) = (history.failures?, history.backoff_end(policy)?);
    Some(v1::Backoff {
        failures: i32::try_from(NonZeroU32::get(failures.count)).unwrap_or(i32::MAX),
        end_time: Some(timestamp(end)),
        execution_id: failures.execution.to_string(),
        mode: mode(policy.backoff.mode)?.into(),
    })
}

fn told_block(block: &Block, policy: &Policy) -> Option<v1::Block> {
    let Block { reason, execution, since } = block;
    Some(v1::Block {
        reason: block_reason(*reason).into(),
        execution_id: execution.to_string(),
        since: Some(timestamp(*since)),
        mode: mode(policy.mode_of(*reason))?.into(),
    })
}

/// Why a target is blocked.
pub(super) fn block_reason(reason: BlockReason) -> v1::BlockReason {
    match reason {
        BlockReason::PreviousExecutionFailed => v1::BlockReason::PreviousExecutionFailed,
        BlockReason::RetriesExhausted => v1::BlockReason::RetriesExhausted,
    }
}

/// `None` of a gate that is off.
fn mode(mode: Mode) -> Option<v1::GateMode> {
    match mode {
        Mode::Enforce => Some(v1::GateMode::Enforce),
        Mode::Observe => Some(v1::GateMode::Observe),
        Mode::Off => None,
    }
}

fn attempt(attempt: &Attempt) -> v1::ClearanceAttempt {
    let Attempt { clearance: by, outcome } = attempt;
    v1::ClearanceAttempt {
        clearance: Some(clearance(by)),
        outcome: match outcome {
            Outcome::Cleared(_) => v1::ClearanceOutcome::Cleared,
            Outcome::NotBlocked => v1::ClearanceOutcome::NotBlocked,
            Outcome::Stale(_) => v1::ClearanceOutcome::Stale,
        }
        .into(),
        execution_id: outcome.execution().map(|id| id.to_string()).unwrap_or_default(),
    }
}

/// How a block was cleared.
pub(super) fn clearance(clearance: &Clearance) -> v1::Clearance {
    let Clearance { actor: by, at, reason, ticket } = clearance;
    v1::Clearance {
        actor: Some(actor(by)),
        clear_time: Some(timestamp(*at)),
        reason: reason.to_string(),
        ticket: ticket.clone().unwrap_or_default(),
    }
}
