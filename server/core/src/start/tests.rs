use super::*;
use crate::{
    gates::{ExecutionFailure, Failures, Mode, Policy, Success},
    ids::Epoch,
    lock::ForeignRuns,
    testing::*,
};

fn mk_new(n: u128, when_locked: WhenLocked) -> NewExecution {
    let mut request = mk_request(&format!("request-{n}"), "pod/x");
    request.when_locked = when_locked;
    NewExecution { id: mk_id(n), request, actor: Actor::anonymous(None), now: at(10) }
}

fn free() -> TargetState {
    TargetState::unused(mk_key("pod/x"))
}

fn held() -> TargetState {
    mk_held(1, 1)
}

fn decide_beside(foreign: &ForeignRuns, view: StartView<'_>, new: &NewExecution) -> StartDecision {
    let policy = Policy::default();
    decide(view, new, Circumstances { foreign: Some(foreign), policy: &policy, now: new.now }, &Sha)
}

fn decide_simply(view: StartView<'_>, new: &NewExecution) -> StartDecision {
    decide_beside(&ForeignRuns::default(), view, new)
}

fn decide_on(target: &TargetState, waiting: usize, new: &NewExecution) -> StartDecision {
    decide_simply(StartView { accepted: None, withdrawn: None, target, waiting }, new)
}

#[test]
fn a_free_target_is_held_from_the_same_moment() {
    let new = mk_new(2, WhenLocked::Reject);
    let StartDecision::Accept { change, target: Some(target) } = decide_on(&free(), 0, &new) else {
        panic!("not accepted with the target")
    };
    assert_eq!(target.holder.map(|holder| holder.execution), Some(new.id));
    assert_eq!(change.execution.state.code(), StateCode::Starting);
    let revisions: Vec<u64> = change.events.iter().map(|event| event.revision.0).collect();
    assert_eq!((revisions, change.execution.revision.0), (vec![1, 2], 2));
}

#[test]
fn a_locked_target_refuses_queues_or_attaches_as_asked() {
    let refused = decide_on(&held(), 0, &mk_new(2, WhenLocked::Reject));
    assert!(matches!(refused, StartDecision::Refuse(hold) if hold.holder() == Some(mk_id(1))));

    let StartDecision::Accept { change, target: None } =
        decide_on(&held(), 0, &mk_new(2, WhenLocked::Wait))
    else {
        panic!("not queued")
    };
    assert_eq!(change.execution.state.code(), StateCode::Waiting);

    let attached = decide_on(&held(), 0, &mk_new(2, WhenLocked::Attach));
    assert_eq!(attached, StartDecision::Attach(mk_id(1)));
}

#[test]
fn there_is_nobody_to_attach_to_when_a_foreign_run_holds_the_target() {
    let foreign = ForeignRuns { live: Some("other".to_owned()), last_epoch: Epoch(0) };
    let view = StartView { accepted: None, withdrawn: None, target: &free(), waiting: 0 };
    let decision = decide_beside(&foreign, view, &mk_new(2, WhenLocked::Attach));
    assert!(matches!(
        decision,
        StartDecision::Refuse(Hold { why: Closed::Lock { holder: None }, .. })
    ));
}

#[test]
fn a_repetition_gets_the_same_whatever_has_changed_since() {
    let mut new = mk_new(2, WhenLocked::Reject);
    new.request.deadline = Some(at(5));
    let accepted = new.request.clone();
    let accepted = Some((&accepted, mk_id(9)));
    let view = StartView { accepted, withdrawn: None, target: &held(), waiting: 3 };
    assert_eq!(decide_simply(view, &new), StartDecision::Repeat(mk_id(9)));

    new.request.service_account = Some("other".to_owned());
    let decision = decide_simply(view, &new);
    assert_eq!(decision, StartDecision::Reused { field: "service_account" });
}

#[test]
fn a_deadline_must_be_in_the_future() {
    let mut new = mk_new(2, WhenLocked::Wait);
    new.request.deadline = Some(at(10));
    assert_eq!(decide_on(&free(), 0, &new), StartDecision::DeadlinePassed);
    new.request.deadline = Some(at(11));
    assert!(matches!(decide_on(&free(), 0, &new), StartDecision::Accept { .. }));
}

#[test]
fn a_withdrawn_request_starts_nothing_whatever_it_asks_for() {
    let mut new = mk_new(2, WhenLocked::Wait);
    let withdrawal = Withdrawal {
        request_id: new.request.request_id.clone(),
        reason: "not needed".to_owned(),
        actor: Actor::anonymous(None),
        at: at(5),
    };
    // A free target, a held one, one to follow, and a body that would be refused for itself.
    let free = free();
    let view =
        StartView { accepted: None, withdrawn: Some(&withdrawal), target: &free, waiting: 0 };
    let withdrawn = StartDecision::Withdrawn(withdrawal.clone());
    assert_eq!(decide_simply(view, &new), withdrawn);
    for when_locked in [WhenLocked::Reject, WhenLocked::Wait, WhenLocked::Attach] {
        new.request.when_locked = when_locked;
        let held = StartView { target: &held(), ..view };
        assert_eq!(decide_simply(held, &new), withdrawn, "{when_locked:?}");
    }
    new.request.deadline = Some(at(5));
    assert_eq!(decide_simply(view, &new), withdrawn);
    // It had attached before it was withdrawn.
    let accepted = new.request.clone();
    let attached = StartView { accepted: Some((&accepted, mk_id(9))), ..view };
    assert_eq!(decide_simply(attached, &new), withdrawn);
}

/// What a Start finds at a target with this past, for each answer to a gate that the caller can give.
fn at_closed_gates(
    past: impl Fn(&mut TargetState),
    mode: Mode,
) -> Vec<(WhenCooling, WhenBlocked, StartDecision)> {
    let mut target = free();
    past(&mut target);
    let (policy, foreign) = (Policy::all(mode), ForeignRuns::default());
    let mut answers = Vec::new();
    for when_cooling in [WhenCooling::Reject, WhenCooling::Wait] {
        for when_blocked in [WhenBlocked::Reject, WhenBlocked::Wait] {
            let mut new = mk_new(2, WhenLocked::Reject);
            (new.request.when_cooling, new.request.when_blocked) = (when_cooling, when_blocked);
            let view = StartView { accepted: None, withdrawn: None, target: &target, waiting: 0 };
            let around = Circumstances { foreign: Some(&foreign), policy: &policy, now: new.now };
            answers.push((when_cooling, when_blocked, decide(view, &new, around, &Sha)));
        }
    }
    answers
}

type Past = fn(&mut TargetState);

fn cooling(target: &mut TargetState) {
    let key = mk_request("any", "pod/x").workflow_key();
    target.history.successes.insert(key, Success { execution: mk_id(7), at: at(5) });
}

fn failed(target: &mut TargetState, times: u32) {
    let count = times.try_into().unwrap();
    target.history.failures = Some(Failures { count, execution: mk_id(8), at: at(9) });
}

fn blocked(target: &mut TargetState) {
    target.history.blocked = Some(ExecutionFailure { execution: mk_id(9), at: at(7) });
}

#[test]
fn each_gate_refuses_or_queues_as_asked_when_enforced_and_lets_pass_when_observed_or_off() {
    use crate::execution::Gate;
    let cases: [(Past, Gate); 4] = [
        (cooling, Gate::Cooldown),
        (|target| failed(target, 1), Gate::Backoff),
        (|target| failed(target, 5), Gate::Block),
        (blocked, Gate::Block),
    ];
    for (past, gate) in cases {
        for (when_cooling, when_blocked, decision) in at_closed_gates(past, Mode::Enforce) {
            // Who failed too often also backs off, so both must be allowed to wait.
            let exhausted = matches!(gate, Gate::Block);
            let waits = if exhausted {
                when_blocked == WhenBlocked::Wait
            } else {
                when_cooling == WhenCooling::Wait
            };
            match &decision {
                StartDecision::Refuse(hold) if !waits => assert_eq!(hold.gate(), gate),
                StartDecision::Refuse(hold) => {
                    assert_eq!((hold.gate(), when_cooling), (Gate::Backoff, WhenCooling::Reject));
                }
                StartDecision::Accept { change, target: None } if waits => {
                    let State::Waiting { hold } = &change.execution.state else { panic!() };
                    assert_eq!(hold.gate(), gate);
                }
                StartDecision::Accept { .. }
                | StartDecision::Repeat(_)
                | StartDecision::Attach(_)
                | StartDecision::Withdrawn(_)
                | StartDecision::Reused { .. }
                | StartDecision::DeadlinePassed
                | StartDecision::ClusterUnknown => {
                    panic!("{gate:?} {when_cooling:?} {when_blocked:?}: {decision:?}")
                }
            }
        }
        for (mode, seen) in [(Mode::Observe, true), (Mode::Off, false)] {
            for (.., decision) in at_closed_gates(past, mode) {
                let StartDecision::Accept { change, target: Some(_) } = decision else {
                    panic!("{gate:?} {mode:?}: {decision:?}")
                };
                let run = change.execution.state.planned_run().unwrap();
                assert_eq!(run.observed.iter().any(|hold| hold.gate() == gate), seen, "{gate:?}");
            }
        }
    }
}

#[test]
fn a_repetition_is_answered_also_when_the_cluster_is_not_known_and_a_new_request_is_not() {
    let new = mk_new(2, WhenLocked::Wait);
    let policy = Policy::default();
    let around = Circumstances { foreign: None, policy: &policy, now: new.now };
    let free = free();
    let view = StartView { accepted: None, withdrawn: None, target: &free, waiting: 0 };
    assert_eq!(decide(view, &new, around, &Sha), StartDecision::ClusterUnknown);
    let accepted = new.request.clone();
    let repeated = StartView { accepted: Some((&accepted, mk_id(9))), ..view };
    assert_eq!(decide(repeated, &new, around, &Sha), StartDecision::Repeat(mk_id(9)));
}
