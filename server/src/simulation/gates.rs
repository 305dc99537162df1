//! What the ends of executions close on their target, computed anew from the ends alone.

use std::time::Duration;

use jiff::Timestamp;
use wfe_core::{
    execution::{Execution, State},
    gates::{CooldownScope, Mode, Policy},
    ids::ExecutionId,
    workflow::WorkflowKey,
};

/// The past of one target, as the rules of the gates see it.
#[derive(Debug, Default)]
pub(super) struct Past {
    successes: Vec<(WorkflowKey, Timestamp)>,
    /// Of executions in a row that failed before they executed anything: when, and which.
    failures: Vec<(Timestamp, ExecutionId)>,
    blocked: Option<ExecutionId>,
    /// The latest time at which anything was decided. A gate that was seen open may stay open when a
    /// clock is set back then.
    latest: Timestamp,
}

impl Past {
    /// Something was decided at this time.
    pub(super) fn decided(&mut self, at: Timestamp) {
        self.latest = self.latest.max(at);
    }

    /// An execution that had held the target ended, which was written at `at`.
    pub(super) fn ended(&mut self, execution: &Execution, at: Timestamp) {
        match &execution.state {
            State::Succeeded { ended_at, .. } => {
                let key = execution.request.workflow_key();
                self.successes.push((key, (*ended_at).min(at)));
                self.failures.clear();
                self.blocked = None;
            }
            State::Failed { failure, ended_at, .. } => {
                if failure.was_execution_failure {
                    self.failures.clear();
                    self.blocked = Some(execution.id);
                } else {
                    self.failures.push(((*ended_at).min(at), execution.id));
                }
            }
            State::Cancelled { .. }
            | State::Waiting { .. }
            | State::Starting { .. }
            | State::Running { .. }
            | State::Cancelling { .. } => {}
        }
    }

    /// The execution whose failure only a person may pass.
    pub(super) fn block(&self, policy: &Policy) -> Option<ExecutionId> {
        let exhausted = self.failures.len() >= policy.backoff.limit.get() as usize;
        let last = self.failures.last().filter(|_| exhausted).map(|(_, execution)| *execution);
        self.blocked.or(last)
    }

    /// A person opened the block.
    pub(super) fn cleared(&mut self) {
        self.blocked = None;
        self.failures.clear();
    }

    /// Which enforced gate is closed for a workflow at this time.
    pub(super) fn closed(
        &self,
        workflow: &WorkflowKey,
        policy: &Policy,
        at: Timestamp,
    ) -> Option<String> {
        let seen = at.max(self.latest);
        if let Some(execution) = self.blocked.filter(|_| policy.block == Mode::Enforce) {
            return Some(format!("blocked by {execution}"));
        }
        if policy.backoff.mode == Mode::Enforce {
            if let Some(execution) = self.block(policy).filter(|_| self.blocked.is_none()) {
                return Some(format!("retries are exhausted since {execution}"));
            }
            if let Some((last, execution)) = self.failures.last() {
                let mut wait = policy.backoff.base;
                for _ in 1..self.failures.len() {
                    wait = (wait * 2).min(policy.backoff.cap);
                }
                let until = *last + wait.min(policy.backoff.cap);
                // Failures are not forgotten with time: only the clock that decides counts.
                if at < until {
                    return Some(format!("backs off after {execution} until {until}"));
                }
            }
        }
        let cooling = |(key, succeeded): &&(WorkflowKey, Timestamp)| {
            let same = key == workflow || policy.cooldown.scope == CooldownScope::AnyWorkflow;
            same && seen < *succeeded + period(policy)
        };
        let cooldown = self.successes.iter().filter(|_| policy.cooldown.mode == Mode::Enforce);
        cooldown.clone().find(cooling).map(|(_, since)| format!("cools down since {since}"))
    }
}

fn period(policy: &Policy) -> Duration {
    policy.cooldown.period
}
