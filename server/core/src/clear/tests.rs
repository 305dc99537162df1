use super::*;
use crate::{
    execution::{State, StateCode},
    gates::{ExecutionFailure, Policy},
    lock::ForeignRuns,
    testing::*,
};

fn mk_clearance() -> Clearance {
    Clearance {
        actor: Actor::anonymous(None),
        at: at(20),
        reason: "looked at it, it is fine".parse().unwrap(),
        ticket: Some("INC-1".to_owned()),
    }
}

fn blocked() -> TargetState {
    let mut target = TargetState::unused(mk_key("pod/x"));
    target.history.blocked = Some(ExecutionFailure { execution: mk_id(1), at: at(7) });
    target
}

fn clear(
    target: &TargetState,
    head: Option<&Execution>,
    expected: Option<ExecutionId>,
) -> ClearDecision {
    let (foreign, policy) = (ForeignRuns::default(), Policy::default());
    let around = Circumstances { foreign: Some(&foreign), policy: &policy, now: at(20) };
    decide(ClearView { target, head }, &mk_clearance(), expected, around).unwrap()
}

#[test]
fn a_clearance_opens_the_block_and_lets_in_who_waits() {
    let waiting = mk_execution(2, mk_state(StateCode::Waiting));
    let decision = clear(&blocked(), Some(&waiting), Some(mk_id(1)));
    assert_eq!(decision.attempt.outcome, Outcome::Cleared(mk_id(1)));
    assert_eq!(decision.attempt.clearance, mk_clearance());
    let target = decision.settlement.target.unwrap();
    assert_eq!(target.holder.map(|holder| holder.execution), Some(mk_id(2)));
    assert_eq!(target.history.blocked, None);
    assert!(matches!(decision.settlement.changes[0].execution.state, State::Starting { .. }));
}

#[test]
fn a_clearance_without_anybody_waiting_leaves_the_target_free_and_open() {
    let decision = clear(&blocked(), None, None);
    let target = decision.settlement.target.unwrap();
    assert_eq!((target.holder, target.history.blocked), (None, None));
    assert!(decision.settlement.changes.is_empty());
}

#[test]
fn a_clearance_while_one_runs_that_was_let_pass_lets_nobody_else_in() {
    let target = TargetState { history: blocked().history, ..mk_held(3, 4) };
    let waiting = mk_execution(2, mk_state(StateCode::Waiting));
    let decision = clear(&target, Some(&waiting), None);
    let after = decision.settlement.target.unwrap();
    assert_eq!((after.holder, after.history.blocked), (target.holder, None));
    assert!(decision.settlement.changes.is_empty());
}

#[test]
fn what_is_not_blocked_or_by_another_is_not_cleared_and_the_attempt_is_kept() {
    let free = TargetState::unused(mk_key("pod/x"));
    for (target, expected, outcome) in
        [(free, None, Outcome::NotBlocked), (blocked(), Some(mk_id(9)), Outcome::Stale(mk_id(1)))]
    {
        let decision = clear(&target, None, expected);
        let attempt = Attempt { clearance: mk_clearance(), outcome };
        assert_eq!(decision, ClearDecision { attempt, settlement: Settlement::default() });
    }
}

#[test]
fn a_reason_has_at_least_10_characters_that_are_not_space_and_at_most_2000() {
    let parse = |text: &str| text.parse::<ClearReason>().is_ok();
    let cases = [
        ("", false),
        ("         \t\n          ", false),
        ("a b c d e f g h i", false),
        ("a b c d e f g h i j", true),
        ("ä ö ü ß é è ê ë ñ ø", true),
    ];
    for (text, good) in cases {
        assert_eq!(parse(text), good, "{text:?}");
    }
    assert!(parse(&"x".repeat(2000)) && !parse(&"x".repeat(2001)));
}
