use super::*;
use crate::{
    execution::Gate,
    gates::History,
    ids::{Epoch, RunName},
    testing::*,
};

fn key() -> WorkflowKey {
    mk_request("any", "pod/x").workflow_key()
}

fn admit_on(target: &TargetState, ahead: usize, foreign: Option<&ForeignRuns>) -> Admission {
    let policy = Policy::default();
    admit(target, &key(), ahead, Circumstances { foreign, policy: &policy, now: at(10) })
}

fn first(admission: Admission) -> Hold {
    match admission {
        Admission::Held { first, .. } => first,
        Admission::Admitted(run) => panic!("admitted as {}", run.name),
        Admission::Unknown => panic!("not known"),
    }
}

fn nobody() -> ForeignRuns {
    ForeignRuns::default()
}

#[test]
fn a_free_target_admits_under_the_next_epoch() {
    let target = TargetState { holder: None, ..mk_held(1, 4) };
    let Admission::Admitted(run) = admit_on(&target, 0, Some(&nobody())) else { panic!("held") };
    assert_eq!(run.epoch, Epoch(5));
    assert_eq!(run.name.as_str(), format!("wfe-{}-5", mk_key("pod/x").hash()));
    assert_eq!(RunName::epoch_of(run.name.as_str(), &mk_key("pod/x").hash()), Some(Epoch(5)));
}

#[test]
fn a_held_target_names_its_holder() {
    let hold = first(admit_on(&mk_held(1, 4), 0, Some(&nobody())));
    assert_eq!(hold.holder(), Some(mk_id(1)));
    assert!(hold.message.contains(&mk_id(1).to_string()) && hold.message.contains("pod/x"));
}

#[test]
fn a_live_run_of_somebody_else_holds_the_target_too() {
    let foreign = ForeignRuns { live: Some("wfe-other".to_owned()), last_epoch: Epoch(0) };
    let hold = first(admit_on(&TargetState::unused(mk_key("pod/x")), 0, Some(&foreign)));
    assert_eq!((hold.gate(), hold.holder()), (Gate::Lock, None));
    assert!(hold.message.contains("wfe-other"));
}

#[test]
fn a_newcomer_does_not_overtake_those_who_wait() {
    let free = TargetState::unused(mk_key("pod/x"));
    assert_eq!(first(admit_on(&free, 1, Some(&nobody()))).gate(), Gate::Lock);
}

#[test]
fn nobody_is_let_in_while_it_is_not_known_what_else_acts_on_the_target() {
    let free = TargetState::unused(mk_key("pod/x"));
    assert_eq!(admit_on(&free, 0, None), Admission::Unknown);
    assert_eq!(first(admit_on(&mk_held(1, 4), 0, None)).holder(), Some(mk_id(1)));
}

/// A target with a success, failures in a row and an execution failure, all of a moment ago.
fn with_past(target: TargetState) -> TargetState {
    use crate::gates::{ExecutionFailure, Failures, Success};
    let success = Success { execution: mk_id(7), at: at(5) };
    let history = History {
        successes: [(key(), success)].into(),
        failures: Some(Failures {
            count: std::num::NonZeroU32::MIN,
            execution: mk_id(8),
            at: at(6),
        }),
        blocked: Some(ExecutionFailure { execution: mk_id(9), at: at(7) }),
    };
    TargetState { history, ..target }
}

#[test]
fn the_block_is_told_first_then_the_lock_then_what_lasts_longest() {
    let Admission::Held { first, others } = admit_on(&with_past(mk_held(1, 4)), 0, None) else {
        panic!("not held")
    };
    let gates: Vec<Gate> = [first].iter().chain(&others).map(Hold::gate).collect();
    assert_eq!(gates, [Gate::Block, Gate::Lock, Gate::Cooldown, Gate::Backoff]);
}

#[test]
fn gates_that_are_observed_let_pass_and_say_so_and_gates_that_are_off_say_nothing() {
    let free = with_past(TargetState { holder: None, ..mk_held(1, 4) });
    let foreign = nobody();
    let mut policy = Policy::all(Mode::Observe);
    let decide = |policy: &Policy| {
        let around = Circumstances { foreign: Some(&foreign), policy, now: at(10) };
        match admit(&free, &key(), 0, around) {
            Admission::Admitted(run) => run.observed.iter().map(Hold::gate).collect::<Vec<_>>(),
            Admission::Held { .. } | Admission::Unknown => panic!("held"),
        }
    };
    assert_eq!(decide(&policy), [Gate::Block, Gate::Cooldown, Gate::Backoff]);
    policy.cooldown.mode = Mode::Off;
    assert_eq!(decide(&policy), [Gate::Block, Gate::Backoff]);
    assert_eq!(decide(&Policy::all(Mode::Off)), []);
}
