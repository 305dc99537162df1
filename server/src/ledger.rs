//! The store, and everybody who must hear of what was written to it.
//!
//! All writes go through here: what is committed is counted, those who follow are woken, and the
//! executions concerned are reconciled.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use wfe_core::{
    admit::Circumstances,
    audit::Try,
    clear::{self, ClearDecision, ClearView, Clearance},
    event::EventKind,
    execution::{Execution, StateCode},
    gates::Policy,
    ids::ExecutionId,
    lock::ForeignRuns,
    request::StartRequest,
    settle::Settlement,
    start::{NewExecution, StartDecision, StartView, decide},
    target::TargetKey,
    transition::Change,
    withdraw::{self, WithdrawDecision, WithdrawView, Withdrawal},
};
use wfe_runtime::error::chain;

use crate::{
    error::Code,
    metrics::Metrics,
    notify::Notifier,
    reconcile::Queue,
    store::{SettleDecider, SettleError, Store, StoreError},
    tekton::LogOutcome,
    vault::Vault,
};

mod tries;

pub use tries::Tries;

/// Tries are summed up after this time, unless something else is set.
pub const SUMMARY_INTERVAL: Duration = Duration::from_mins(1);

/// The store, and everybody who must hear of what was written to it.
#[derive(Clone)]
pub struct Ledger {
    store: Arc<dyn Store>,
    notifier: Arc<Notifier>,
    queue: Arc<Queue>,
    policy: Arc<Policy>,
    vault: Arc<Vault>,
    metrics: Metrics,
    tries: Arc<Tries>,
}

impl Ledger {
    /// Puts the parts together.
    pub fn new(
        store: Arc<dyn Store>,
        notifier: Arc<Notifier>,
        queue: Arc<Queue>,
        policy: Policy,
        vault: Arc<Vault>,
        metrics: Metrics,
    ) -> Self {
        let tries = Tries::new(
            Arc::clone(&store),
            Arc::clone(&notifier),
            metrics.clone(),
            SUMMARY_INTERVAL,
        );
        let (policy, tries) = (Arc::new(policy), Arc::new(tries));
        Self { store, notifier, queue, policy, vault, metrics, tries }
    }

    /// The same, with tries summed up after another time. Forgets what was counted so far.
    #[must_use]
    pub fn with_summary_interval(self, interval: Duration) -> Self {
        let (store, notifier) = (Arc::clone(&self.store), Arc::clone(&self.notifier));
        let tries = Tries::new(store, notifier, self.metrics.clone(), interval);
        Self { tries: Arc::new(tries), ..self }
    }

    /// What callers try again and again.
    pub fn tries(&self) -> &Tries {
        &self.tries
    }

    /// Seals and opens the sensitive values of what is stored.
    pub fn vault(&self) -> &Vault {
        &self.vault
    }

    /// What is done at each gate.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// What a decision at `now` rests on besides what is stored. `foreign` is what the cluster knows of
    /// the target; `None` when nobody may be let in.
    pub fn circumstances<'a>(
        &'a self,
        foreign: Option<&'a ForeignRuns>,
        now: Timestamp,
    ) -> Circumstances<'a> {
        Circumstances { foreign, policy: &self.policy, now }
    }

    /// For reading.
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// For following.
    pub fn notifier(&self) -> &Notifier {
        &self.notifier
    }

    /// Decides a Start and writes it. A refusal is on record before it is answered, or counted when the
    /// same was refused a short time ago.
    pub async fn start(
        &self,
        new: &NewExecution,
        foreign: Option<&ForeignRuns>,
    ) -> Result<StartDecision, StoreError> {
        let around = self.circumstances(foreign, new.now);
        let doubt = self.doubt(new.id);
        let decide = |view: StartView<'_>| decide(view, new, around, &*self.vault);
        let decision = self.store.start(new, &decide).await;
        // Were each that failed looked at, a store that is away would be asked for as many as wanted to
        // start meanwhile. Who hears of an error comes back with the same request, and that is looked at.
        doubt.dispel();
        let decision = decision?;
        match &decision {
            StartDecision::Accept { change, .. } => self.publish(change),
            StartDecision::Repeat(id) => self.queue.enqueue(*id),
            StartDecision::Attach(_) => self.notifier.recorded(),
            StartDecision::Refuse(hold) => {
                let code = Code::of_hold(hold).as_str();
                let tried = Try::refused_at(hold, code, &new.request, &new.actor, new.now);
                self.tries.decided(tried).await?;
            }
            StartDecision::Withdrawn(_) => {
                self.refused_request(Code::RequestWithdrawn, new).await?;
            }
            StartDecision::Reused { .. } => {
                self.refused_request(Code::RequestIdReused, new).await?;
            }
            // Nothing was decided.
            StartDecision::DeadlinePassed | StartDecision::ClusterUnknown => {}
        }
        Ok(decision)
    }

    async fn refused_request(&self, code: Code, new: &NewExecution) -> Result<(), StoreError> {
        let NewExecution { request, actor, now, .. } = new;
        let tried = Try::refused_request(code.as_str(), request, actor, *now);
        self.tries.decided(tried).await
    }

    /// Decides a Start and writes nothing.
    pub async fn validate_start(
        &self,
        new: &NewExecution,
        foreign: Option<&ForeignRuns>,
    ) -> Result<StartDecision, StoreError> {
        let request: &StartRequest = &new.request;
        let around = self.circumstances(foreign, new.now);
        let decide = |view: StartView<'_>| decide(view, new, around, &*self.vault);
        self.store.validate_start(request, &decide).await
    }

    /// Decides a Cancel by request id, and writes the withdrawal when it is one. Nobody is woken: nothing
    /// of such a request runs or is followed.
    pub async fn withdraw(&self, new: &Withdrawal) -> Result<WithdrawDecision, StoreError> {
        let decide = |view: WithdrawView<'_>| withdraw::decide(view, new);
        let decision = self.store.withdraw(&new.request_id, &decide).await?;
        if let WithdrawDecision::Withdraw(withdrawal) = &decision {
            self.notifier.recorded();
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
        let doubt = self.doubt(id);
        let settlement = self.store.settle(name, id, decide).await?;
        doubt.dispel();
        self.settled(&settlement).await;
        let changes = settlement.changes.into_iter();
        Ok(changes.map(|change| change.execution).find(|after| after.id == id))
    }

    /// The log of a failed step was asked for.
    pub(crate) fn log_read(&self, outcome: LogOutcome) {
        self.metrics.log_read(outcome);
    }

    /// Decides an attempt to clear the block of a target, and writes it.
    pub async fn clear(
        &self,
        key: &TargetKey,
        clearance: &Clearance,
        expected: Option<ExecutionId>,
        foreign: Option<&ForeignRuns>,
    ) -> Result<ClearDecision, SettleError> {
        let around = self.circumstances(foreign, clearance.at);
        let decide = |view: ClearView<'_>| clear::decide(view, clearance, expected, around);
        // Who waits first may be let in, also when the caller does not stay to hear of it.
        let doubt = self.store.head_of(&key.hash()).await?.map(|head| self.doubt(head));
        let decision = self.store.clear(key, &decide).await?;
        doubt.into_iter().for_each(Doubt::dispel);
        self.notifier.recorded();
        let outcome = decision.attempt.outcome;
        self.metrics.clearance(outcome);
        tracing::info!(
            target = %key,
            outcome = outcome.as_str(),
            execution.id = outcome.execution().map(tracing::field::display),
            actor = clearance.actor.user,
            on_behalf_of = clearance.actor.on_behalf_of.as_ref().map(|somebody| &somebody.user),
            "somebody asked to clear a block",
        );
        self.settled(&decision.settlement).await;
        Ok(decision)
    }

    /// Tells everybody concerned of what was written. Who waits first is looked at when the target
    /// changed, or when it became the first just now: another gate may hold it than before.
    async fn settled(&self, settlement: &Settlement) {
        let Settlement { changes, target } = settlement;
        for change in changes {
            self.publish(change);
        }
        let gave_up = changes.iter().find(|change| {
            let waited = change.events.first().and_then(|event| event.before);
            waited == Some(StateCode::Waiting) && change.execution.state.code().is_terminal()
        });
        let concerned = target.as_ref().map(|target| &target.key);
        let concerned = concerned.or(gave_up.map(|change| &change.execution.request.target));
        if let Some(key) = concerned {
            self.nudge_head(key).await;
        }
    }

    /// Has the first in the queue of a target looked at. What was written stays written when the store
    /// cannot say who that is; the reconciler looks at all who wait from time to time.
    async fn nudge_head(&self, key: &TargetKey) {
        match self.store.head_of(&key.hash()).await {
            Ok(head) => head.into_iter().for_each(|head| self.queue.enqueue(head)),
            Err(error) => {
                tracing::warn!(target = %key, error = chain(&error), "cannot look for who waits");
            }
        }
    }

    /// Has `id` looked at unless the doubt is dispelled: a caller who goes away while something is
    /// written, or does not hear what came of it, does not keep it from being written.
    fn doubt(&self, id: ExecutionId) -> Doubt<'_> {
        Doubt { queue: &self.queue, id: Some(id) }
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
        self.notifier.recorded();
        self.queue.enqueue(execution.id);
    }
}

/// Something is being written.
struct Doubt<'a> {
    queue: &'a Queue,
    id: Option<ExecutionId>,
}

impl Doubt<'_> {
    /// The store has answered.
    fn dispel(mut self) {
        self.id = None;
    }
}

impl Drop for Doubt<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.queue.enqueue(id);
        }
    }
}
