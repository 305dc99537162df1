//! A store that is slow, fails, and loses its answers.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use wfe_audit::checkpoint::Checkpoint;
use wfe_core::{
    audit::{Entry, Head, Position, Record},
    clear::{Attempt, ClearDecision},
    event::Event,
    execution::{Execution, StateCode},
    facts::RunFacts,
    ids::{ExecutionId, RequestId, Revision},
    request::StartRequest,
    settle::Settlement,
    start::{NewExecution, StartDecision},
    target::TargetKey,
    transition::Change,
    withdraw::WithdrawDecision,
};

use super::{executor::Owner, world::World};
use crate::store::{
    ClearDecider, Filter, Journal, Lease, LeaseWish, Listed, Log, LogScope, Page, Sealed, Seals,
    SettleDecider, SettleError, StartDecider, Store, StoreError, TargetView, Unfinished,
    WithdrawDecider, memory::MemoryStore,
};
use crate::{
    tekton::{Tekton as _, simulator::Simulator},
    vault::Fingerprint,
};

/// The store as one process sees it.
pub(super) struct TroubledStore {
    pub(super) inner: MemoryStore,
    /// What the same process knows of the cluster.
    pub(super) watches: Arc<Simulator>,
    pub(super) world: Arc<World>,
    pub(super) owner: Owner,
}

impl TroubledStore {
    fn away(operation: &'static str) -> StoreError {
        StoreError::Unavailable { operation, source: sqlx::Error::PoolTimedOut }
    }

    async fn before(&self, operation: &'static str) -> Result<(), StoreError> {
        self.world.pause().await;
        if self.world.hits(|weather| weather.store_refuses) {
            self.world.note(|| format!("  {operation} of {:?}: the store fails", self.owner));
            return Err(Self::away(operation));
        }
        Ok(())
    }

    async fn after<T, E: From<StoreError>>(
        &self,
        operation: &'static str,
        answer: Result<T, E>,
    ) -> Result<T, E> {
        self.world.pause().await;
        if self.world.hits(|weather| weather.store_loses_answer) {
            self.world.note(|| format!("  {operation} of {:?}: the answer is lost", self.owner));
            return Err(Self::away(operation).into());
        }
        answer
    }

    /// What this process knows that must keep everybody from being let in: what it decides now rests on
    /// that. Whether a run of ours is in the way is the record's to say.
    fn in_the_way(&self, key: &TargetKey) -> Option<String> {
        let Some(runs) = self.watches.runs_of_target(&key.hash()) else {
            return Some("the cluster is not known".to_owned());
        };
        let history = self.world.history();
        let on_record = |run: &RunFacts| run.execution.is_some_and(|id| history.knows(id));
        let foreign = |run: &&RunFacts| run.is_live() && !on_record(run);
        runs.iter().find(foreign).map(|run| format!("{} is seen alive", run.name))
    }

    /// Nobody is let in past what is in the way.
    fn check_admission(&self, in_the_way: Option<String>, changes: &[Change]) {
        let admitted = |change: &&Change| {
            let code = change.execution.state.code();
            let first = change.events.last().and_then(|event| event.before);
            code == StateCode::Starting && first == Some(StateCode::Waiting)
        };
        if let (Some(way), Some(change)) = (in_the_way, changes.iter().find(admitted)) {
            let broken = format!("I3: {} is let in, but {way}", change.execution.id);
            self.world.history().violation(broken);
        }
    }

    /// What contradicts itself is never the fault of the weather.
    fn blame(&self, error: &StoreError) {
        match error {
            StoreError::Unavailable { .. } => {}
            StoreError::Refused { .. }
            | StoreError::Inconsistent { .. }
            | StoreError::RowCount { .. } => {
                self.world.history().violation(format!("the store refused: {error:?}"));
            }
        }
    }

    async fn read<T>(
        &self,
        operation: &'static str,
        read: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        self.before(operation).await?;
        let answer = read.await;
        self.after(operation, answer).await
    }
}

#[async_trait]
impl Journal for TroubledStore {
    async fn record(&self, records: &[Record]) -> Result<Head, StoreError> {
        self.before("record").await?;
        let answer = self.inner.record(records).await;
        match &answer {
            Ok(_) => self.world.history().on_record.records(records),
            Err(error) => self.blame(error),
        }
        self.after("record", answer).await
    }

    async fn log(&self) -> Result<Log, StoreError> {
        self.read("log", self.inner.log()).await
    }

    async fn entries(
        &self,
        scope: &LogScope,
        after: Position,
        limit: u32,
    ) -> Result<Vec<Entry>, StoreError> {
        self.read("entries", self.inner.entries(scope, after, limit)).await
    }

    async fn lease(&self, wish: &LeaseWish<'_>) -> Result<Option<Lease>, StoreError> {
        self.read("lease", self.inner.lease(wish)).await
    }
}

#[async_trait]
impl Seals for TroubledStore {
    async fn sealed(&self, place: Position) -> Result<Sealed, StoreError> {
        self.read("sealed", self.inner.sealed(place)).await
    }

    async fn seal(&self, checkpoint: &Checkpoint) -> Result<Checkpoint, StoreError> {
        self.read("seal", self.inner.seal(checkpoint)).await
    }

    async fn checkpoints(&self, from: Position, limit: u32) -> Result<Vec<Checkpoint>, StoreError> {
        self.read("checkpoints", self.inner.checkpoints(from, limit)).await
    }

    async fn checkpoint_before(
        &self,
        at: Timestamp,
        place: Position,
    ) -> Result<Option<Checkpoint>, StoreError> {
        self.read("checkpoint_before", self.inner.checkpoint_before(at, place)).await
    }

    async fn prune(&self, through: Position, at: Timestamp) -> Result<Log, StoreError> {
        self.read("prune", self.inner.prune(through, at)).await
    }

    async fn sweep(&self, limit: u32) -> Result<u64, StoreError> {
        self.read("sweep", self.inner.sweep(limit)).await
    }
}

#[async_trait]
impl Store for TroubledStore {
    async fn start(
        &self,
        new: &NewExecution,
        decide: &StartDecider<'_>,
    ) -> Result<StartDecision, StoreError> {
        let request = &new.request;
        let in_the_way = self.in_the_way(&request.target);
        self.before("start").await?;
        // As a transaction that is repeated: what was decided first does not count.
        drop(self.inner.validate_start(request, decide).await);
        self.world.pause().await;
        let answer = self.inner.start(new, decide).await;
        match &answer {
            Ok(decision) => {
                if let StartDecision::Accept { change, .. } = decision {
                    self.check_admission(in_the_way, std::slice::from_ref(change));
                }
                self.world.history().started(self.owner, request, decision);
            }
            Err(error) => self.blame(error),
        }
        self.after("start", answer).await
    }

    async fn validate_start(
        &self,
        request: &StartRequest,
        decide: &StartDecider<'_>,
    ) -> Result<StartDecision, StoreError> {
        self.read("validate_start", self.inner.validate_start(request, decide)).await
    }

    async fn withdraw(
        &self,
        id: &RequestId,
        decide: &WithdrawDecider<'_>,
    ) -> Result<WithdrawDecision, StoreError> {
        self.before("withdraw").await?;
        let answer = self.inner.withdraw(id, decide).await;
        match &answer {
            Ok(decision) => self.world.history().withdrew(id, decision),
            Err(error) => self.blame(error),
        }
        self.after("withdraw", answer).await
    }

    async fn settle(
        &self,
        name: &'static str,
        id: ExecutionId,
        decide: &SettleDecider<'_>,
    ) -> Result<Settlement, SettleError> {
        let key = self.world.history().execution(id).map(|known| known.request.target.clone());
        let in_the_way = key.and_then(|key| self.in_the_way(&key));
        self.before(name).await?;
        let answer = self.inner.settle(name, id, decide).await;
        match &answer {
            Ok(settlement) => {
                self.check_admission(in_the_way, &settlement.changes);
                self.world.history().settled(self.owner, name, settlement);
            }
            Err(SettleError::Store(error)) => self.blame(error),
            Err(error @ (SettleError::Illegal { .. } | SettleError::NotFound(_))) => {
                self.world.history().violation(format!("{name}: {error:?}"));
            }
        }
        self.after(name, answer).await
    }

    async fn clear(
        &self,
        key: &TargetKey,
        decide: &ClearDecider<'_>,
    ) -> Result<ClearDecision, SettleError> {
        let in_the_way = self.in_the_way(key);
        self.before("clear").await?;
        let answer = self.inner.clear(key, decide).await;
        match &answer {
            Ok(decision) => {
                self.check_admission(in_the_way, &decision.settlement.changes);
                self.world.history().cleared(self.owner, key, decision);
            }
            Err(SettleError::Store(error)) => self.blame(error),
            Err(error @ (SettleError::Illegal { .. } | SettleError::NotFound(_))) => {
                self.world.history().violation(format!("clear: {error:?}"));
            }
        }
        self.after("clear", answer).await
    }

    async fn execution(&self, id: ExecutionId) -> Result<Option<Execution>, StoreError> {
        self.read("execution", self.inner.execution(id)).await
    }

    async fn execution_of_request(&self, id: &RequestId) -> Result<Option<Execution>, StoreError> {
        self.read("execution_of_request", self.inner.execution_of_request(id)).await
    }

    async fn list(&self, filter: &Filter, page: Page) -> Result<Vec<Listed>, StoreError> {
        self.read("list", self.inner.list(filter, page)).await
    }

    async fn events(
        &self,
        id: ExecutionId,
        after: Revision,
        limit: u32,
    ) -> Result<Vec<Event>, StoreError> {
        self.read("events", self.inner.events(id, after, limit)).await
    }

    async fn target(&self, key: &TargetKey) -> Result<TargetView, StoreError> {
        self.read("target", self.inner.target(key)).await
    }

    async fn attempts(&self, key: &TargetKey, limit: u32) -> Result<Vec<Attempt>, StoreError> {
        self.read("attempts", self.inner.attempts(key, limit)).await
    }

    async fn unfinished(&self) -> Result<Vec<Unfinished>, StoreError> {
        self.read("unfinished", self.inner.unfinished()).await
    }

    async fn holder_of(&self, key: &TargetKey) -> Result<Option<ExecutionId>, StoreError> {
        self.read("holder_of", self.inner.holder_of(key)).await
    }

    async fn head_of(&self, target_hash: &str) -> Result<Option<ExecutionId>, StoreError> {
        self.read("head_of", self.inner.head_of(target_hash)).await
    }

    async fn count_by_state(&self) -> Result<Vec<(StateCode, u64)>, StoreError> {
        self.read("count_by_state", self.inner.count_by_state()).await
    }

    async fn parameter_key(
        &self,
        ours: Option<&Fingerprint>,
    ) -> Result<Option<Fingerprint>, StoreError> {
        self.read("parameter_key", self.inner.parameter_key(ours)).await
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.read("check", self.inner.check()).await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}
