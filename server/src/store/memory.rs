//! A store in memory, for tests that need no database: the promises of [`Store`] in the plainest way.
//!
//! What the schema of a database would refuse is refused here too, so that a decision that breaks an
//! invariant cannot pass unseen. Several stores can be opened on one [`Database`], as replicas do.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use wfe_audit::checkpoint::Checkpoint;
use wfe_core::{
    audit::{Entry, Hash, Head, Numbering, Position, Record, Stream},
    clear::{Attempt, ClearDecision, ClearView, Clearance, Outcome},
    event::Event,
    execution::{Execution, StateCode},
    ids::{ExecutionId, RequestId, Revision},
    lock::TargetState,
    request::StartRequest,
    settle::{Settlement, View},
    start::{NewExecution, StartDecision, StartView},
    target::TargetKey,
    transition::Change,
    withdraw::{Got, WithdrawDecision, WithdrawView, Withdrawal},
};

use super::{
    ClearDecider, Filter, Journal, Lease, LeaseWish, Listed, Log, LogScope, Page, Sealed, Seals,
    Sequence, SettleDecider, SettleError, StartDecider, Store, StoreError, TargetView, Unfinished,
    WithdrawDecider,
};

use crate::vault::Fingerprint;

mod checks;
mod journal;
mod outbox;
mod seals;

/// What several stores keep together. Stays when all of them are gone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Database(Arc<Mutex<Tables>>);

/// A store on a [`Database`].
#[derive(Debug)]
pub(crate) struct MemoryStore {
    database: Database,
    closed: AtomicBool,
}

#[derive(Debug, Default)]
struct Tables {
    /// In order of acceptance.
    executions: Vec<Execution>,
    places: BTreeMap<ExecutionId, usize>,
    events: BTreeMap<ExecutionId, Vec<Event>>,
    requests: BTreeMap<RequestId, (StartRequest, ExecutionId)>,
    withdrawals: BTreeMap<RequestId, Withdrawal>,
    targets: BTreeMap<TargetKey, TargetState>,
    /// In the order in which they were made.
    attempts: Vec<(TargetKey, Attempt)>,
    /// Clearances of the blocks that these executions caused.
    cleared: BTreeMap<ExecutionId, Clearance>,
    /// All that was not deleted, in order.
    log: Vec<(Record, Entry)>,
    /// Where the log begins, when that is not the beginning.
    base: Option<Head>,
    checkpoints: BTreeMap<Position, Checkpoint>,
    /// The last number of each stream.
    streams: BTreeMap<Stream, u64>,
    leases: BTreeMap<&'static str, (String, Lease)>,
    parameter_key: Option<Fingerprint>,
    outbox: outbox::Waiting,
}

/// Every log in memory is this one.
const LOG: Hash = Hash([0x5a; 32]);

impl Database {
    /// A store on this database.
    pub(crate) fn open(&self) -> MemoryStore {
        MemoryStore { database: self.clone(), closed: AtomicBool::new(false) }
    }

    /// The log: its id, and what stands in it.
    pub(crate) fn log(&self) -> (Hash, Vec<Entry>) {
        (LOG, self.lock().log.iter().map(|(_, entry)| entry.clone()).collect())
    }

    /// Everything that is kept, as text.
    pub(crate) fn dump(&self) -> Vec<String> {
        vec![format!("{:#?}", self.lock())]
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MemoryStore {
    fn tables(&self, operation: &'static str) -> Result<MutexGuard<'_, Tables>, StoreError> {
        if self.closed.load(Ordering::Relaxed) {
            let source = sqlx::Error::PoolClosed;
            return Err(StoreError::Unavailable { operation, source });
        }
        Ok(self.database.lock())
    }
}

fn refused(operation: &'static str, rule: String) -> StoreError {
    StoreError::Refused { operation, source: sqlx::Error::Protocol(rule) }
}

impl Tables {
    fn execution(&self, id: ExecutionId) -> Option<&Execution> {
        self.places.get(&id).map(|place| &self.executions[*place])
    }

    /// An execution as it is read: with what became known of it after its end.
    fn shown(&self, execution: &Execution) -> Execution {
        let clearance = self.cleared.get(&execution.id).cloned();
        Execution { clearance, ..execution.clone() }
    }

    fn target(&self, key: &TargetKey) -> TargetState {
        self.targets.get(key).cloned().unwrap_or_else(|| TargetState::unused(key.clone()))
    }

    fn waiting(&self, key: &TargetKey) -> impl Iterator<Item = &Execution> {
        self.executions.iter().filter(move |execution| {
            execution.state.code() == StateCode::Waiting && execution.request.target == *key
        })
    }

    fn decide_start(&self, request: &StartRequest, decide: &StartDecider<'_>) -> StartDecision {
        let accepted = self.requests.get(&request.request_id);
        decide(StartView {
            accepted: accepted.map(|(request, execution)| (request, *execution)),
            withdrawn: self.withdrawals.get(&request.request_id),
            target: &self.target(&request.target),
            waiting: self.waiting(&request.target).count(),
        })
    }

    fn decide_withdrawal(&self, id: &RequestId, decide: &WithdrawDecider<'_>) -> WithdrawDecision {
        let got = self.requests.get(id).map(|(_, got)| {
            let own = self.execution(*got).is_some_and(|e| e.request.request_id == *id);
            if own { Got::Own(*got) } else { Got::Attached(*got) }
        });
        decide(WithdrawView { got, withdrawn: self.withdrawals.get(id) })
    }

    /// Writes all of it, or nothing when a rule is broken.
    fn write(
        &mut self,
        operation: &'static str,
        changes: &[Change],
        target: Option<&TargetState>,
        attempt: Option<(&TargetKey, &Attempt)>,
    ) -> Result<(), StoreError> {
        for change in changes {
            self.check_change(operation, change)?;
        }
        self.check_targets(operation, changes, target)?;
        if let Some(target) = target {
            self.check_block(operation, changes, target, attempt)?;
        }
        if let Some((key, attempt)) = attempt {
            if let Outcome::Cleared(execution) = attempt.outcome {
                if self.cleared.contains_key(&execution) {
                    return Err(refused(operation, format!("{execution} is cleared once")));
                }
                self.cleared.insert(execution, attempt.clearance.clone());
            }
            self.attempts.push((key.clone(), attempt.clone()));
            let blocking = attempt.outcome.execution().and_then(|id| self.execution(id));
            let record = Record::of_attempt(key, attempt, blocking);
            self.append(&[record])?;
        }
        for change in changes {
            self.append(&Record::of_change(change))?;
            let Change { execution, events } = change;
            self.events.entry(execution.id).or_default().extend(events.iter().cloned());
            if let Some(place) = self.places.get(&execution.id) {
                self.executions[*place] = execution.clone();
            } else {
                self.places.insert(execution.id, self.executions.len());
                self.executions.push(execution.clone());
            }
        }
        self.targets.extend(target.map(|target| (target.key.clone(), target.clone())));
        Ok(())
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn start(
        &self,
        new: &NewExecution,
        decide: &StartDecider<'_>,
    ) -> Result<StartDecision, StoreError> {
        let NewExecution { request, actor, now, .. } = new;
        let mut tables = self.tables("start")?;
        let decision = tables.decide_start(request, decide);
        let got = match &decision {
            StartDecision::Accept { change, target } => {
                if tables.execution(change.execution.id).is_some() {
                    return Err(refused("start", "an id is given once".to_owned()));
                }
                tables.write("start", std::slice::from_ref(change), target.as_ref(), None)?;
                change.execution.id
            }
            StartDecision::Attach(execution) => {
                tables.append(&[Record::of_attachment(request, *execution, actor, *now)])?;
                *execution
            }
            StartDecision::Repeat(_)
            | StartDecision::Refuse(_)
            | StartDecision::Withdrawn(_)
            | StartDecision::Reused { .. }
            | StartDecision::DeadlinePassed
            | StartDecision::ClusterUnknown => return Ok(decision),
        };
        tables.requests.insert(request.request_id.clone(), (request.clone(), got));
        Ok(decision)
    }

    async fn validate_start(
        &self,
        request: &StartRequest,
        decide: &StartDecider<'_>,
    ) -> Result<StartDecision, StoreError> {
        Ok(self.tables("start_view")?.decide_start(request, decide))
    }

    async fn withdraw(
        &self,
        id: &RequestId,
        decide: &WithdrawDecider<'_>,
    ) -> Result<WithdrawDecision, StoreError> {
        let mut tables = self.tables("withdraw")?;
        let decision = tables.decide_withdrawal(id, decide);
        if let WithdrawDecision::Withdraw(withdrawal) = &decision {
            if tables.withdrawals.contains_key(id) {
                return Err(refused("withdraw", format!("{id} is withdrawn once")));
            }
            tables.withdrawals.insert(id.clone(), withdrawal.clone());
            tables.append(&[Record::of_withdrawal(withdrawal)])?;
        }
        Ok(decision)
    }

    async fn settle(
        &self,
        name: &'static str,
        id: ExecutionId,
        decide: &SettleDecider<'_>,
    ) -> Result<Settlement, SettleError> {
        let mut tables = self.tables(name)?;
        let Some(execution) = tables.execution(id) else {
            return Err(SettleError::NotFound(id));
        };
        let key = &execution.request.target;
        let target = tables.target(key);
        let view = View { execution, target: &target, head: tables.waiting(key).next() };
        let settlement = decide(view).map_err(|source| SettleError::Illegal { id, source })?;
        tables.write(name, &settlement.changes, settlement.target.as_ref(), None)?;
        Ok(settlement)
    }

    async fn clear(
        &self,
        key: &TargetKey,
        decide: &ClearDecider<'_>,
    ) -> Result<ClearDecision, SettleError> {
        let mut tables = self.tables("clear")?;
        let target = tables.target(key);
        let head = tables.waiting(key).next();
        let decision = match (decide(ClearView { target: &target, head }), head) {
            (Ok(decision), _) => decision,
            (Err(source), Some(head)) => return Err(SettleError::Illegal { id: head.id, source }),
            (Err(source), None) => return Err(refused("clear", source.to_string()).into()),
        };
        let ClearDecision { attempt, settlement } = &decision;
        let (changes, after) = (&settlement.changes, settlement.target.as_ref());
        tables.write("clear", changes, after, Some((key, attempt)))?;
        Ok(decision)
    }

    async fn execution(&self, id: ExecutionId) -> Result<Option<Execution>, StoreError> {
        let tables = self.tables("execution")?;
        Ok(tables.execution(id).map(|execution| tables.shown(execution)))
    }

    async fn execution_of_request(&self, id: &RequestId) -> Result<Option<Execution>, StoreError> {
        let tables = self.tables("execution_of_request")?;
        let got = tables.requests.get(id).map(|(_, got)| *got);
        Ok(got.and_then(|got| tables.execution(got)).map(|execution| tables.shown(execution)))
    }

    async fn list(&self, filter: &Filter, page: Page) -> Result<Vec<Listed>, StoreError> {
        let tables = self.tables("list")?;
        let wanted = |execution: &Execution| {
            let Filter { states, target, correlation_id } = filter;
            (states.is_empty() || states.contains(&execution.state.code()))
                && target.as_ref().is_none_or(|key| *key == execution.request.target)
                && correlation_id
                    .as_ref()
                    .is_none_or(|id| Some(id) == execution.request.correlation_id.as_ref())
        };
        let numbered = (1..).map(Sequence).zip(&tables.executions);
        let listed: Vec<Listed> = numbered
            .filter(|(sequence, _)| page.before.is_none_or(|before| *sequence < before))
            .filter(|(_, execution)| wanted(execution))
            .map(|(sequence, execution)| Listed { sequence, execution: tables.shown(execution) })
            .collect();
        let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
        Ok(listed.into_iter().rev().take(limit).collect())
    }

    async fn events(
        &self,
        id: ExecutionId,
        after: Revision,
        limit: u32,
    ) -> Result<Vec<Event>, StoreError> {
        let tables = self.tables("events")?;
        let events = tables.events.get(&id).map_or(&[][..], Vec::as_slice);
        let later = events.iter().filter(|event| event.revision > after);
        Ok(later.take(usize::try_from(limit).unwrap_or(usize::MAX)).cloned().collect())
    }

    async fn target(&self, key: &TargetKey) -> Result<TargetView, StoreError> {
        let tables = self.tables("target")?;
        let state = tables.target(key);
        let holder = state.holder.and_then(|holder| tables.execution(holder.execution)).cloned();
        let queue = tables.waiting(key).cloned().collect();
        Ok(TargetView { state, holder, queue })
    }

    async fn attempts(&self, key: &TargetKey, limit: u32) -> Result<Vec<Attempt>, StoreError> {
        let tables = self.tables("attempts")?;
        let of_target = tables.attempts.iter().rev().filter(|(of, _)| of == key);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(of_target.take(limit).map(|(_, attempt)| attempt.clone()).collect())
    }

    async fn unfinished(&self) -> Result<Vec<Unfinished>, StoreError> {
        let tables = self.tables("unfinished")?;
        let all = tables.executions.iter().map(|e| Unfinished { id: e.id, state: e.state.code() });
        Ok(all.filter(|unfinished| !unfinished.state.is_terminal()).collect())
    }

    async fn holder_of(&self, key: &TargetKey) -> Result<Option<ExecutionId>, StoreError> {
        let holder = self.tables("holder_of")?.target(key).holder;
        Ok(holder.map(|holder| holder.execution))
    }

    async fn head_of(&self, target_hash: &str) -> Result<Option<ExecutionId>, StoreError> {
        let tables = self.tables("head_of")?;
        let mut waiting = tables.executions.iter().filter(|e| e.state.code() == StateCode::Waiting);
        Ok(waiting.find(|e| e.request.target.hash() == target_hash).map(|e| e.id))
    }

    async fn count_by_state(&self) -> Result<Vec<(StateCode, u64)>, StoreError> {
        let tables = self.tables("count_by_state")?;
        let mut counts: BTreeMap<StateCode, u64> = BTreeMap::new();
        for execution in &tables.executions {
            *counts.entry(execution.state.code()).or_default() += 1;
        }
        Ok(counts.into_iter().collect())
    }

    async fn parameter_key(
        &self,
        ours: Option<&Fingerprint>,
    ) -> Result<Option<Fingerprint>, StoreError> {
        let mut tables = self.tables("parameter_key")?;
        if tables.parameter_key.is_none() {
            tables.parameter_key = ours.cloned();
        }
        Ok(tables.parameter_key.clone())
    }

    async fn check(&self) -> Result<(), StoreError> {
        self.tables("check").map(drop)
    }

    async fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance::Backend;

    impl Backend for Database {
        async fn create() -> Self {
            Self::default()
        }

        async fn open(&self) -> Arc<dyn Store> {
            Arc::new(Self::open(self))
        }

        async fn open_outbox(&self) -> Arc<dyn crate::store::Outbox> {
            Arc::new(Self::open(self))
        }

        async fn dump(&self) -> Vec<String> {
            Self::dump(self)
        }
    }

    crate::store::conformance::suite!(Database);
}
