//! A model of a store, and random calls that it must answer as the store does.

use std::{collections::BTreeMap, sync::Arc};

use proptest::{
    prelude::*,
    test_runner::{Config, TestCaseError, TestRunner},
};
use tokio::{runtime::Handle, task::block_in_place};
use wfe_core::{
    actor::Actor,
    clear::{self, Attempt, ClearDecision, ClearView, Outcome},
    event::Event,
    execution::{Execution, StateCode},
    failure::{Failure, FailureReason},
    ids::{Epoch, ExecutionId, RequestId, Revision},
    lock::{ForeignRuns, TargetState},
    observe::RunEnd,
    progress::Progress,
    request::{StartRequest, WhenLocked},
    settle::{Settlement, View, admit_head, rename, settle},
    start::{NewExecution, StartDecision, StartView, decide},
    target::TargetKey,
    transition::{Change, IllegalTransition, Input},
    withdraw::{Got, WithdrawDecision, WithdrawView, Withdrawal},
};

use super::{Backend, all, assert_sound};
use crate::{
    store::{ClearDecider, SettleDecider, SettleError, StartDecider, Store, WithdrawDecider},
    testing::{
        around, at, at_gates, cancel, mk_clearance, mk_id, mk_key, mk_new, mk_withdrawal, quiet,
        run_exists, run_failed, run_succeeded, vault, withdraw,
    },
};

/// What a store keeps, in the plainest way.
#[derive(Default)]
struct Model {
    executions: Vec<Execution>,
    events: BTreeMap<ExecutionId, Vec<Event>>,
    requests: BTreeMap<RequestId, (StartRequest, ExecutionId)>,
    withdrawals: BTreeMap<RequestId, Withdrawal>,
    targets: BTreeMap<TargetKey, TargetState>,
    attempts: BTreeMap<TargetKey, Vec<Attempt>>,
}

impl Model {
    fn target(&self, key: &TargetKey) -> TargetState {
        self.targets.get(key).cloned().unwrap_or_else(|| TargetState::unused(key.clone()))
    }

    fn waiting(&self, key: &TargetKey) -> Vec<&Execution> {
        let waits =
            |e: &&Execution| e.request.target == *key && e.state.code() == StateCode::Waiting;
        self.executions.iter().filter(waits).collect()
    }

    fn keep(&mut self, change: &Change) {
        let execution = change.execution.clone();
        self.events.entry(execution.id).or_default().extend(change.events.iter().cloned());
        match self.executions.iter_mut().find(|known| known.id == execution.id) {
            Some(known) => *known = execution,
            None => self.executions.push(execution),
        }
    }

    fn start(&mut self, request: &StartRequest, decide: &StartDecider<'_>) -> StartDecision {
        let accepted = self.requests.get(&request.request_id);
        let view = StartView {
            accepted: accepted.map(|(request, execution)| (request, *execution)),
            withdrawn: self.withdrawals.get(&request.request_id),
            target: &self.target(&request.target),
            waiting: self.waiting(&request.target).len(),
        };
        let decision = decide(view);
        let got = match &decision {
            StartDecision::Accept { change, target } => {
                self.keep(change);
                self.targets.extend(target.iter().map(|t| (t.key.clone(), t.clone())));
                change.execution.id
            }
            StartDecision::Attach(execution) => *execution,
            StartDecision::Repeat(_)
            | StartDecision::Refuse(_)
            | StartDecision::Withdrawn(_)
            | StartDecision::Reused { .. }
            | StartDecision::DeadlinePassed
            | StartDecision::ClusterUnknown => return decision,
        };
        self.requests.insert(request.request_id.clone(), (request.clone(), got));
        decision
    }

    fn withdraw(&mut self, id: &RequestId, decide: &WithdrawDecider<'_>) -> WithdrawDecision {
        let got = self.requests.get(id).map(|(_, got)| {
            let own = |e: &Execution| e.id == *got && e.request.request_id == *id;
            if self.executions.iter().any(own) { Got::Own(*got) } else { Got::Attached(*got) }
        });
        let decision = decide(WithdrawView { got, withdrawn: self.withdrawals.get(id) });
        if let WithdrawDecision::Withdraw(withdrawal) = &decision {
            self.withdrawals.insert(id.clone(), withdrawal.clone());
        }
        decision
    }

    fn settle(
        &mut self,
        id: ExecutionId,
        decide: &SettleDecider<'_>,
    ) -> Option<Result<Settlement, IllegalTransition>> {
        let execution = self.executions.iter().find(|execution| execution.id == id)?;
        let key = &execution.request.target;
        let head = self.waiting(key).first().copied();
        let settlement = decide(View { execution, target: &self.target(key), head });
        if let Ok(settlement) = &settlement {
            for change in &settlement.changes {
                self.keep(change);
            }
            self.targets.extend(settlement.target.iter().map(|t| (t.key.clone(), t.clone())));
        }
        Some(settlement)
    }
}

impl Model {
    fn clear(
        &mut self,
        key: &TargetKey,
        decide: &ClearDecider<'_>,
    ) -> Result<ClearDecision, IllegalTransition> {
        let head = self.waiting(key).first().copied().cloned();
        let decision = decide(ClearView { target: &self.target(key), head: head.as_ref() })?;
        for change in &decision.settlement.changes {
            self.keep(change);
        }
        let target = &decision.settlement.target;
        self.targets.extend(target.iter().map(|t| (t.key.clone(), t.clone())));
        let attempt = decision.attempt.clone();
        if let Outcome::Cleared(id) = attempt.outcome {
            let cleared = self.executions.iter_mut().find(|execution| execution.id == id);
            cleared.unwrap().clearance = Some(attempt.clearance.clone());
        }
        self.attempts.entry(key.clone()).or_default().push(attempt);
        Ok(decision)
    }
}

#[derive(Debug, Clone)]
enum Call {
    /// A Start of one of a few requests on one of a few targets.
    Start { request: u32, target: usize, when_locked: WhenLocked, late: bool, foreign: ForeignRuns },
    /// A Cancel of one of the requests.
    Withdraw { request: u32 },
    /// A change of the execution that was accepted so many places before the newest.
    Settle { age: usize, input: Box<Input>, foreign: ForeignRuns },
    /// The first in the queue of that execution's target is let in, when there is one.
    Admit { age: usize, foreign: ForeignRuns },
    /// Somebody clears a target's block, perhaps that of one execution only.
    Clear { target: usize, expected: Option<usize>, foreign: ForeignRuns },
    /// Its run gets another name.
    Rename { age: usize, foreign: ForeignRuns },
    /// The process is killed and started again.
    Reopen,
}

const TARGETS: [&str; 3] = ["pod/a", "default/pod/a", "default/deployment/a"];

fn foreign_runs() -> impl Strategy<Value = ForeignRuns> {
    let live = prop_oneof![9 => Just(None), 1 => Just(Some("wfe-other-1".to_owned()))];
    (live, 0..5_u64).prop_map(|(live, epoch)| ForeignRuns { live, last_epoch: Epoch(epoch) })
}

fn failure() -> Failure {
    let summary = "A step exited with 1.".to_owned();
    Failure::before_execution(FailureReason::TaskFailed, "Failed", "exit 1", summary, at(0))
}

fn inputs() -> impl Strategy<Value = Input> {
    let ended = |end| Input::RunEnded { end, progress: Progress::default() };
    let quiet_after = |end| Input::Quiet { end: Some(end), progress: None };
    let progress = |total| Input::Progress(Progress { total, ..Progress::default() });
    prop_oneof![
        4 => Just(run_exists()),
        3 => Just(run_succeeded()),
        2 => Just(cancel()),
        2 => Just(quiet()),
        2 => (1..3_u32).prop_map(progress),
        1 => Just(Input::Obstruct("the quota is used up".to_owned())),
        1 => Just(Input::Refuse(failure())),
        1 => Just(Input::RunLost),
        1 => Just(Input::Deadline(at(0))),
        1 => Just(ended(RunEnd::Failed(failure()))),
        1 => Just(run_failed()),
        1 => Just(ended(RunEnd::Cancelled { ran: true })),
        1 => Just(quiet_after(RunEnd::Cancelled { ran: false })),
        1 => Just(quiet_after(RunEnd::Failed(failure()))),
    ]
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let when_locked = prop_oneof![
        3 => Just(WhenLocked::Wait),
        1 => Just(WhenLocked::Reject),
        1 => Just(WhenLocked::Attach),
    ];
    let start = (0..20_u32, 0..TARGETS.len(), when_locked, prop::bool::weighted(0.05))
        .prop_flat_map(|(request, target, when_locked, late)| {
            foreign_runs().prop_map(move |foreign| Call::Start {
                request,
                target,
                when_locked,
                late,
                foreign,
            })
        });
    let age = || 0..6_usize;
    let call = prop_oneof![
        6 => start,
        1 => (0..20_u32).prop_map(|request| Call::Withdraw { request }),
        10 => (age(), inputs(), foreign_runs())
            .prop_map(|(age, input, foreign)| Call::Settle { age, input: Box::new(input), foreign }),
        2 => (age(), foreign_runs()).prop_map(|(age, foreign)| Call::Admit { age, foreign }),
        2 => (0..TARGETS.len(), prop::option::weighted(0.5, age()), foreign_runs())
            .prop_map(|(target, expected, foreign)| Call::Clear { target, expected, foreign }),
        1 => (age(), foreign_runs()).prop_map(|(age, foreign)| Call::Rename { age, foreign }),
        1 => Just(Call::Reopen),
    ];
    prop::collection::vec(call, 1..60)
}

/// Makes a change in both and compares what they answer.
async fn settle_both(
    store: &dyn Store,
    model: &mut Model,
    id: ExecutionId,
    decide: &SettleDecider<'_>,
) -> Result<(), TestCaseError> {
    let said = match store.settle("test", id, decide).await {
        Ok(settlement) => Some(Ok(settlement)),
        Err(SettleError::Illegal { source, .. }) => Some(Err(source)),
        Err(SettleError::NotFound(_)) => None,
        Err(SettleError::Store(error)) => return Err(TestCaseError::fail(format!("{error:?}"))),
    };
    prop_assert_eq!(said, model.settle(id, decide));
    Ok(())
}

/// Calls at targets that only their locks hold, or at which every gate does.
async fn compare<B: Backend>(enforced: bool, calls: Vec<Call>) -> Result<(), TestCaseError> {
    let around = if enforced { at_gates } else { around };
    let backend = B::create().await;
    let mut store = backend.open().await;
    let mut model = Model::default();
    for (n, call) in (1..).zip(calls) {
        let now = at(i64::from(n));
        let by_age = |model: &Model, age: usize| {
            let newest_first = model.executions.iter().rev().nth(age);
            newest_first.map_or(mk_id(99_999), |execution| execution.id)
        };
        match call {
            Call::Start { request, target, when_locked, late, foreign } => {
                let mut request = mk_new(request, TARGETS[target], when_locked).request;
                request.deadline = late.then_some(now);
                let actor = Actor::anonymous(None);
                let new = NewExecution { id: mk_id(n), request, actor, now };
                let decide =
                    |view: StartView<'_>| decide(view, &new, around(&foreign, new.now), vault());
                let said = store.start(&new, &decide).await;
                let said = said.map_err(|error| TestCaseError::fail(format!("{error:?}")))?;
                prop_assert_eq!(said, model.start(&new.request, &decide));
            }
            Call::Withdraw { request } => {
                let new = mk_withdrawal(request, i64::from(n));
                let decide = |view: WithdrawView<'_>| wfe_core::withdraw::decide(view, &new);
                let said = store.withdraw(&new.request_id, &decide).await;
                let said = said.map_err(|error| TestCaseError::fail(format!("{error:?}")))?;
                prop_assert_eq!(said, model.withdraw(&new.request_id, &decide));
            }
            Call::Settle { age, input, foreign } => {
                let decide = |view: View<'_>| {
                    settle(view, (*input).clone(), &Actor::service(), around(&foreign, now))
                };
                let id = by_age(&model, age);
                settle_both(&*store, &mut model, id, &decide).await?;
            }
            Call::Admit { age, foreign } => {
                let decide = |view: View<'_>| match view.head {
                    Some(head) => admit_head(head, view.target, around(&foreign, now)),
                    None => Ok(Settlement::default()),
                };
                let id = by_age(&model, age);
                settle_both(&*store, &mut model, id, &decide).await?;
            }
            Call::Clear { target, expected, foreign } => {
                let (key, clearance) = (mk_key(TARGETS[target]), mk_clearance(i64::from(n)));
                let expected = expected.map(|age| by_age(&model, age));
                let decide = |view: ClearView<'_>| {
                    clear::decide(view, &clearance, expected, around(&foreign, now))
                };
                let said = store.clear(&key, &decide).await;
                let said = said.map_err(|error| TestCaseError::fail(format!("{error:?}")))?;
                prop_assert_eq!(Ok(said), model.clear(&key, &decide));
            }
            Call::Rename { age, foreign } => {
                // Only who is starting has a name that can be taken.
                let decide = |view: View<'_>| {
                    let starting = view.execution.state.code() == StateCode::Starting;
                    if starting {
                        rename(view, &foreign, around(&foreign, now))
                    } else {
                        Ok(Settlement::default())
                    }
                };
                let id = by_age(&model, age);
                settle_both(&*store, &mut model, id, &decide).await?;
            }
            Call::Reopen => {
                drop(store);
                store = backend.open().await;
            }
        }
    }
    compare_contents(&store, &model).await
}

async fn compare_contents(store: &Arc<dyn Store>, model: &Model) -> Result<(), TestCaseError> {
    let kept: Vec<_> = all(&**store).await.into_iter().map(|listed| listed.execution).collect();
    prop_assert_eq!(&kept, &model.executions);
    for (id, events) in &model.events {
        let kept = store.events(*id, Revision(0), u32::MAX).await.unwrap();
        prop_assert_eq!(&kept, events);
    }
    for (id, (_, execution)) in &model.requests {
        let kept = store.execution_of_request(id).await.unwrap();
        prop_assert_eq!(kept.map(|execution| execution.id), Some(*execution));
    }
    for (id, kept) in &model.withdrawals {
        let other = Withdrawal { request_id: id.clone(), ..mk_withdrawal(0, 0) };
        let said = withdraw(&**store, &other).await.unwrap();
        prop_assert_eq!(said, WithdrawDecision::Withdrawn(kept.clone()));
    }
    for target in TARGETS {
        let key = mk_key(target);
        prop_assert_eq!(store.target(&key).await.unwrap().state, model.target(&key));
        let mut attempts = store.attempts(&key, u32::MAX).await.unwrap();
        attempts.reverse();
        prop_assert_eq!(attempts, model.attempts.get(&key).cloned().unwrap_or_default());
    }
    assert_sound(&**store).await;
    Ok(())
}

pub(crate) async fn any_sequence_of_calls_does_what_the_model_does<B: Backend>() {
    let config = Config { failure_persistence: None, ..Config::with_cases(64) };
    let handle = Handle::current();
    TestRunner::new(config)
        .run(&(any::<bool>(), calls()), |(enforced, calls)| {
            block_in_place(|| handle.block_on(compare::<B>(enforced, calls)))
        })
        .unwrap();
}
