//! What was committed and what callers were told, and the rules that both must keep.
//!
//! Knows nothing of how the service decides: it follows the commits one by one and computes anew who
//! holds what.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash as _, Hasher as _},
};

use jiff::Timestamp;
use wfe_core::{
    clear::{ClearDecision, Outcome},
    event::Event,
    execution::{Execution, StateCode},
    gates::Policy,
    ids::{Epoch, ExecutionId, RequestId, RunName},
    lock::TargetState,
    request::StartRequest,
    settle::Settlement,
    start::StartDecision,
    target::TargetKey,
    transition::Change,
    withdraw::WithdrawDecision,
};

use super::{Trace, executor::Owner, gates::Past, record::OnRecord};

/// What happened so far.
#[derive(Debug)]
pub(super) struct History {
    policy: Policy,
    executions: BTreeMap<ExecutionId, Known>,
    requests: BTreeMap<RequestId, ExecutionId>,
    /// What callers were told.
    answers: BTreeMap<RequestId, ExecutionId>,
    withdrawn: BTreeSet<RequestId>,
    holds: BTreeMap<TargetKey, Hold>,
    pasts: BTreeMap<TargetKey, Past>,
    /// What must be on record.
    pub(super) on_record: OnRecord,
    /// What went wrong, the first first.
    pub(super) violations: Vec<String>,
    /// What happened, for a person; only when somebody wants to read it.
    pub(super) trace: Option<Vec<String>>,
    digest: DefaultHasher,
}

#[derive(Debug)]
struct Known {
    /// The order of acceptance.
    place: usize,
    execution: Execution,
    events: Vec<Event>,
}

/// Who holds a target, under which epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Hold {
    holder: Option<ExecutionId>,
    epoch: Epoch,
}

/// Shortens an id for a trace.
fn short(id: ExecutionId) -> String {
    id.to_string().split_off(24)
}

impl History {
    /// Nothing yet. The gates are to be kept as `policy` says.
    pub(super) fn new(policy: Policy, trace: Trace) -> Self {
        Self {
            policy,
            executions: BTreeMap::new(),
            requests: BTreeMap::new(),
            answers: BTreeMap::new(),
            withdrawn: BTreeSet::new(),
            holds: BTreeMap::new(),
            pasts: BTreeMap::new(),
            on_record: OnRecord::default(),
            violations: Vec::new(),
            trace: (trace == Trace::On).then(Vec::new),
            digest: DefaultHasher::new(),
        }
    }

    /// Notes something for a person, and for the comparison of two runs of one seed.
    pub(super) fn note(&mut self, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(what());
        }
    }

    /// Says that a rule was broken.
    pub(super) fn violation(&mut self, what: String) {
        self.note(|| format!("VIOLATION: {what}"));
        self.violations.push(what);
    }

    /// What two runs of one seed must have in common.
    pub(super) fn digest(&self) -> u64 {
        self.digest.finish()
    }

    /// How much was committed.
    pub(super) fn events(&self) -> usize {
        self.executions.values().map(|known| known.events.len()).sum()
    }

    pub(super) fn execution(&self, id: ExecutionId) -> Option<&Execution> {
        self.executions.get(&id).map(|known| &known.execution)
    }

    pub(super) fn executions(&self) -> impl Iterator<Item = &Execution> {
        self.executions.values().map(|known| &known.execution)
    }

    /// The history of an execution.
    pub(super) fn events_of(&self, id: ExecutionId) -> &[Event] {
        self.executions.get(&id).map_or(&[], |known| &known.events)
    }

    /// Whether an execution is on record.
    pub(super) fn knows(&self, id: ExecutionId) -> bool {
        self.executions.contains_key(&id)
    }

    /// The newest epoch of a target.
    pub(super) fn epoch(&self, key: &TargetKey) -> Epoch {
        self.holds.get(key).map_or(Epoch::default(), |hold| hold.epoch)
    }

    /// The targets that somebody holds.
    pub(super) fn held(&self) -> impl Iterator<Item = (&TargetKey, ExecutionId)> {
        self.holds.iter().filter_map(|(key, hold)| Some((key, hold.holder?)))
    }

    /// A Start was decided, and is durable.
    pub(super) fn started(&mut self, by: Owner, request: &StartRequest, said: &StartDecision) {
        let id = &request.request_id;
        match said {
            StartDecision::Accept { change, target } => {
                let execution = change.execution.id;
                if let Some(first) = self.requests.insert(id.clone(), execution) {
                    self.violation(format!("I2: {id} got {first} and then {execution}"));
                }
                if self.withdrawn.contains(id) {
                    self.violation(format!("I2: {id} was withdrawn and got {execution}"));
                }
                self.committed(by, "start", std::slice::from_ref(change), target.as_ref());
            }
            StartDecision::Attach(execution) => {
                self.on_record.attached(id);
                if let Some(first) = self.requests.insert(id.clone(), *execution) {
                    self.violation(format!(
                        "I2: {id} got {first} and then attached to {execution}"
                    ));
                }
            }
            StartDecision::Repeat(_)
            | StartDecision::Refuse(_)
            | StartDecision::Withdrawn(_)
            | StartDecision::Reused { .. }
            | StartDecision::DeadlinePassed
            | StartDecision::ClusterUnknown => {}
        }
    }

    /// A Cancel by request id was decided, and is durable.
    pub(super) fn withdrew(&mut self, id: &RequestId, said: &WithdrawDecision) {
        if let WithdrawDecision::Withdraw(_) = said {
            let own = self.requests.get(id).and_then(|got| self.execution(*got));
            if own.is_some_and(|execution| execution.request.request_id == *id) {
                self.violation(format!("I2: {id} has an execution and was withdrawn"));
            }
            self.withdrawn.insert(id.clone());
            self.on_record.withdrawn(id);
            self.note(|| format!("  committed: {id} withdrawn"));
        }
    }

    /// A change is durable.
    pub(super) fn settled(&mut self, by: Owner, name: &str, said: &Settlement) {
        if !said.changes.is_empty() || said.target.is_some() {
            self.committed(by, name, &said.changes, said.target.as_ref());
        }
    }

    /// An attempt to clear a block is durable. I8.
    pub(super) fn cleared(&mut self, by: Owner, key: &TargetKey, said: &ClearDecision) {
        self.on_record.attempt(key);
        let clearance = &said.attempt.clearance;
        let outcome = said.attempt.outcome;
        self.note(|| format!("  committed by {by:?} clear: {key} {outcome:?}"));
        let blocking = self.pasts.get(key).and_then(|past| past.block(&self.policy));
        let right = match outcome {
            Outcome::Cleared(execution) | Outcome::Stale(execution) => blocking == Some(execution),
            Outcome::NotBlocked => blocking.is_none(),
        };
        if !right {
            self.violation(format!("I8: {key} is blocked by {blocking:?}: {outcome:?}"));
        }
        let reason = clearance.reason.as_str();
        let words = reason.chars().filter(|c| !c.is_whitespace()).count();
        if words < 10 || reason.chars().count() > 2000 {
            self.violation(format!("I8: {key} was cleared for {reason:?}"));
        }
        if !clearance.actor.user.starts_with("person-") {
            self.violation(format!("I8: {key} was cleared by {:?}", clearance.actor));
        }
        if let Outcome::Cleared(_) = outcome {
            self.pasts.entry(key.clone()).or_default().cleared();
        } else if said.settlement != Settlement::default() {
            self.violation(format!("I8: {key} was not cleared and changed"));
        }
        self.settled(by, "clear", &said.settlement);
    }

    /// Whether somebody waits for a target.
    pub(super) fn is_waited_for(&self, key: &TargetKey) -> bool {
        let waits = |known: &Known| known.execution.state.code() == StateCode::Waiting;
        self.executions.values().any(|known| known.execution.request.target == *key && waits(known))
    }

    /// The execution that blocks a target.
    pub(super) fn blocking(&self, key: &TargetKey) -> Option<ExecutionId> {
        self.pasts.get(key).and_then(|past| past.block(&self.policy))
    }

    /// A caller was told which execution its request got.
    pub(super) fn told(&mut self, id: &RequestId, execution: &Execution) {
        let first = *self.answers.entry(id.clone()).or_insert(execution.id);
        let kept = self.requests.get(id).copied();
        if first != execution.id || kept != Some(execution.id) {
            self.violation(format!(
                "I2: {id} was told {}, before {first}; on record is {kept:?}",
                execution.id
            ));
        }
    }

    /// A caller was told that its request is withdrawn.
    pub(super) fn told_withdrawn(&mut self, id: &RequestId) {
        if !self.withdrawn.contains(id) {
            self.violation(format!("I2: {id} was told to be withdrawn and is not"));
        }
    }

    fn committed(
        &mut self,
        by: Owner,
        name: &str,
        changes: &[Change],
        target: Option<&TargetState>,
    ) {
        for Change { execution, events } in changes {
            for event in events {
                self.note(|| {
                    format!(
                        "  committed by {by:?} {name}: {} {} {} -> {} at {}",
                        short(execution.id),
                        event.revision,
                        event.kind.as_str(),
                        event.after.as_str(),
                        event.at,
                    )
                });
                let (revision, kind) = (event.revision.0, event.kind.as_str());
                (execution.id, revision, kind, event.at).hash(&mut self.digest);
            }
        }
        self.on_record.changes(changes);
        self.check_lock(changes, target);
        for Change { execution, events } in changes {
            self.check_history(execution, events);
            let place = self.executions.len();
            let known = self.executions.entry(execution.id).or_insert_with(|| Known {
                place,
                execution: execution.clone(),
                events: Vec::new(),
            });
            known.execution = execution.clone();
            known.events.extend(events.iter().cloned());
        }
    }

    /// I6, and that each change has its event.
    fn check_history(&mut self, after: &Execution, events: &[Event]) {
        let id = after.id;
        let known = self.executions.get(&id);
        let before = known.map(|known| known.execution.clone());
        let written = known.map_or(0, |known| known.events.len());
        if let Some(before) = &before {
            if before.state.code().is_terminal() {
                let code = before.state.code().as_str();
                self.violation(format!("I6: {id} was {code} and changed"));
            }
            if before.request != after.request || before.created_at != after.created_at {
                self.violation(format!("I6: what was accepted as {id} changed"));
            }
        }
        let mut code = before.map(|before| before.state.code());
        for (revision, event) in (written as u64 + 1..).zip(events) {
            if event.revision.0 != revision || event.before != code || event.execution != id {
                self.violation(format!("I4: {id} has {} where {revision} follows", event.revision));
            }
            code = Some(event.after);
        }
        let newest = (written + events.len()) as u64;
        if (code, newest) != (Some(after.state.code()), after.revision.0) || events.is_empty() {
            self.violation(format!("I4: {id} is not where its newest event says"));
        }
    }

    /// I7: who held the target gives it up itself, under its epoch, and the first in the queue gets it.
    fn check_lock(&mut self, changes: &[Change], target: Option<&TargetState>) {
        let keys: BTreeSet<&TargetKey> = changes
            .iter()
            .map(|change| &change.execution.request.target)
            .chain(target.map(|target| &target.key))
            .collect();
        for key in keys {
            let old = self.holds.get(key).copied().unwrap_or_default();
            let mut expected = old;
            for Change { execution: after, events } in changes {
                if after.request.target != *key {
                    continue;
                }
                let at = events.last().map_or(after.updated_at, |event| event.at);
                let epoch = |e: &Execution| e.state.planned_run().map(|run| run.epoch);
                let holding = after.state.code().holds_target();
                if holding && expected.holder == Some(after.id) {
                    // Another run under the same hold.
                    if epoch(after) < Some(expected.epoch) {
                        self.violation(format!("I7: the epoch of {} fell", after.id));
                    }
                    expected.epoch = epoch(after).unwrap_or(expected.epoch);
                } else if holding {
                    self.check_admission(after, expected, at);
                    expected.holder = Some(after.id);
                    expected.epoch = epoch(after).unwrap_or(expected.epoch);
                } else if expected.holder == Some(after.id) {
                    let under = self.execution(after.id).and_then(epoch);
                    if under != Some(expected.epoch) {
                        self.violation(format!(
                            "I7: {} released {key} under {under:?}, held under {}",
                            after.id, expected.epoch
                        ));
                    }
                    expected.holder = None;
                    self.pasts.entry(key.clone()).or_default().ended(after, at);
                }
                self.pasts.entry(key.clone()).or_default().decided(at);
            }
            let said = target.filter(|target| target.key == *key).map_or(old, |target| Hold {
                holder: target.holder.map(|holder| holder.execution),
                epoch: target.epoch,
            });
            if said != expected {
                self.violation(format!("I7: {key} is {said:?} and should be {expected:?}"));
            }
            self.holds.insert(key.clone(), said);
        }
    }

    fn check_admission(&mut self, after: &Execution, hold: Hold, at: Timestamp) {
        let id = after.id;
        let key = &after.request.target;
        if let Some(holder) = hold.holder {
            self.violation(format!("I1: {id} got {key}, which {holder} holds"));
        }
        let workflow = after.request.workflow_key();
        let past = self.pasts.get(key);
        if let Some(closed) = past.and_then(|past| past.closed(&workflow, &self.policy, at)) {
            self.violation(format!("I3: {id} got {key} at {at}, which is {closed}"));
        }
        let Some(run) = after.state.planned_run() else { return };
        if run.epoch <= hold.epoch || run.name != RunName::new(key, run.epoch) {
            self.violation(format!("I7: {id} got {key} as {} after {}", run.name, hold.epoch));
        }
        let place = self.executions.get(&id).map_or(usize::MAX, |known| known.place);
        let overtaken = self.executions.values().find(|known| {
            known.place < place
                && known.execution.request.target == *key
                && known.execution.state.code() == StateCode::Waiting
        });
        if let Some(first) = overtaken.map(|known| known.execution.id) {
            self.violation(format!("I3: {id} got {key} before {first}, which waits for longer"));
        }
    }
}
