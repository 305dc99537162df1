//! The store, and everybody who must hear of what was written to it.
//!
//! All writes go through here: what is committed is counted, those who follow are woken, and the
//! executions concerned are reconciled.

use std::sync::Arc;

use wfe_core::{
    event::EventKind,
    execution::Execution,
    ids::ExecutionId,
    lock::ForeignRuns,
    request::StartRequest,
    settle::Settlement,
    start::{NewExecution, StartDecision, decide},
    transition::Change,
    withdraw::{self, WithdrawDecision, WithdrawView, Withdrawal},
};

use crate::{
    metrics::Metrics,
    notify::Notifier,
    reconcile::Queue,
    store::{SettleDecider, SettleError, Store, StoreError},
};

/// The store, and everybody who must hear of what was written to it.
#[derive(Clone)]
pub struct Ledger {
    store: Arc<dyn Store>,
    notifier: Arc<Notifier>,
    queue: Arc<Queue>,
    metrics: Metrics,
}

impl Ledger {
    /// Puts the parts together.
    pub fn new(
        store: Arc<dyn Store>,
        notifier: Arc<Notifier>,
        queue: Arc<Queue>,
        metrics: Metrics,
    ) -> Self {
        Self { store, notifier, queue, metrics }
    }

    /// For reading.
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// For following.
    pub fn notifier(&self) -> &Notifier {
        &self.notifier
    }

    /// Decides a Start and writes it.
    pub async fn start(
        &self,
        new: &NewExecution,
        foreign: &ForeignRuns,
    ) -> Result<StartDecision, StoreError> {
        let decision = self.store.start(&new.request, &|view| decide(view, new, foreign)).await?;
        if let StartDecision::Accept { change, .. } = &decision {
            self.publish(change);
        }
        Ok(decision)
    }

    /// Decides a Start and writes nothing.
    pub async fn validate_start(
        &self,
        new: &NewExecution,
        foreign: &ForeignRuns,
    ) -> Result<StartDecision, StoreError> {
        let request: &StartRequest = &new.request;
        self.store.validate_start(request, &|view| decide(view, new, foreign)).await
    }

    /// Decides a Cancel by request id, and writes the withdrawal when it is one. Nobody is woken: nothing
    /// of such a request runs or is followed.
    pub async fn withdraw(&self, new: &Withdrawal) -> Result<WithdrawDecision, StoreError> {
        let decide = |view: WithdrawView<'_>| withdraw::decide(view, new);
        let decision = self.store.withdraw(&new.request_id, &decide).await?;
        if let WithdrawDecision::Withdraw(withdrawal) = &decision {
            tracing::info!(request.id = %withdrawal.request_id, "request withdrawn");
        }
        Ok(decision)
    }

    /// Decides a change and writes it. Answers the execution after it, when it changed.
    pub async fn settle(
        &self,
        name: &'static str,
        id: ExecutionId,
        decide: &SettleDecider<'_>,
    ) -> Result<Option<Execution>, SettleError> {
        let Settlement { changes, target } = self.store.settle(name, id, decide).await?;
        for change in &changes {
            self.publish(change);
        }
        // A target that became free although somebody waits: what is in the way may be gone soon.
        if let Some(free) = target.filter(|target| target.holder.is_none())
            && let Some(head) = self.store.head_of(&free.key.hash()).await?
        {
            self.queue.enqueue(head);
        }
        Ok(changes.into_iter().map(|change| change.execution).find(|after| after.id == id))
    }

    fn publish(&self, change: &Change) {
        let Change { execution, events } = change;
        for event in events {
            self.metrics.event(execution, event);
            if let EventKind::RunCreated { run } = &event.kind {
                self.metrics.run_created(run.planned.since, event.at);
            }
            tracing::info!(
                execution.id = %event.execution,
                revision = event.revision.0,
                event = event.kind.as_str(),
                state = event.after.as_str(),
                target = %execution.request.target,
                correlation_id = execution.request.correlation_id.as_ref().map(tracing::field::display),
                "execution changed",
            );
        }
        self.notifier.notify(execution.id, execution.revision);
        self.queue.enqueue(execution.id);
    }
}
