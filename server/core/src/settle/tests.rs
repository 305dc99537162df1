use super::*;
use crate::{
    event::EventKind,
    execution::{Gate, State, StateCode},
    gates::{Mode, Policy},
    ids::Epoch,
    lock::Holder,
    observe::RunEnd,
    progress::Progress,
    testing::*,
};

fn held_by_first() -> TargetState {
    mk_held(1, 1)
}

/// Only the lock holds anybody.
fn around<'a>(foreign: &'a ForeignRuns, policy: &'a Policy) -> Circumstances<'a> {
    Circumstances { foreign: Some(foreign), policy, now: at(10) }
}

fn admit_beside(foreign: &ForeignRuns, head: &Execution, target: &TargetState) -> Settlement {
    admit_head(head, target, around(foreign, &Policy::all(Mode::Off))).unwrap()
}

fn ended() -> Input {
    Input::RunEnded { end: RunEnd::Succeeded { at: at(5) }, progress: Progress::default() }
}

fn settle_simply(view: View<'_>, input: Input) -> Settlement {
    let (foreign, policy) = (ForeignRuns::default(), Policy::all(Mode::Off));
    settle(view, input, &Actor::service(), around(&foreign, &policy)).unwrap()
}

#[test]
fn the_end_of_the_holder_admits_the_next_in_the_same_settlement() {
    let (running, waiting) = (
        mk_execution(1, mk_state(StateCode::Running)),
        mk_execution(2, mk_state(StateCode::Waiting)),
    );
    let target = held_by_first();
    let view = View { execution: &running, target: &target, head: Some(&waiting) };
    let settlement = settle_simply(view, ended());
    let states: Vec<_> =
        settlement.changes.iter().map(|c| (c.execution.id, c.execution.state.code())).collect();
    assert_eq!(states, [(mk_id(1), StateCode::Succeeded), (mk_id(2), StateCode::Starting)]);
    let after = settlement.target.unwrap();
    assert_eq!((after.epoch, after.holder.map(|h| h.execution)), (Epoch(2), Some(mk_id(2))));
    assert!(matches!(settlement.changes[1].events[0].kind, EventKind::Admitted { .. }));
}

#[test]
fn without_anybody_waiting_the_target_is_free() {
    let running = mk_execution(1, mk_state(StateCode::Running));
    let target = held_by_first();
    let view = View { execution: &running, target: &target, head: None };
    assert_eq!(settle_simply(view, ended()).target.unwrap().holder, None);
}

#[test]
fn an_execution_that_does_not_hold_its_target_any_more_releases_nothing() {
    let running = mk_execution(1, mk_state(StateCode::Running));
    let waiting = mk_execution(3, mk_state(StateCode::Waiting));
    let holder = Some(Holder { execution: mk_id(2), since: at(0) });
    let target = TargetState { epoch: Epoch(2), holder, ..held_by_first() };
    let view = View { execution: &running, target: &target, head: Some(&waiting) };
    let settlement = settle_simply(view, ended());
    assert_eq!((settlement.changes.len(), settlement.target), (1, None));
}

#[test]
fn a_waiting_execution_that_gives_up_leaves_the_target_alone() {
    let waiting = mk_execution(2, mk_state(StateCode::Waiting));
    let target = held_by_first();
    let view = View { execution: &waiting, target: &target, head: Some(&waiting) };
    let settlement = settle_simply(view, Input::Cancel(mk_cancellation()));
    assert_eq!(settlement.changes[0].execution.state.code(), StateCode::Cancelled);
    assert_eq!((settlement.changes.len(), settlement.target), (1, None));
}

#[test]
fn the_next_is_not_admitted_while_a_foreign_run_is_alive_and_is_when_it_ended() {
    let waiting = mk_execution(2, mk_state(StateCode::Waiting));
    let free = TargetState { holder: None, ..held_by_first() };
    let alive = ForeignRuns { live: Some("other".to_owned()), last_epoch: Epoch(7) };
    let settlement = admit_beside(&alive, &waiting, &free);
    let code = settlement.changes[0].execution.state.code();
    assert_eq!((code, settlement.target), (StateCode::Waiting, None));
    let gone = ForeignRuns { live: None, ..alive };
    let settlement = admit_beside(&gone, &waiting, &free);
    assert_eq!(settlement.target.unwrap().epoch, Epoch(8));
}

#[test]
fn a_starting_execution_whose_name_was_taken_moves_the_epoch_of_its_target() {
    let starting = mk_execution(1, mk_state(StateCode::Starting));
    let target = held_by_first();
    let view = View { execution: &starting, target: &target, head: None };
    let taken = ForeignRuns { live: None, last_epoch: Epoch(4) };
    let settlement = rename(view, &taken, around(&taken, &Policy::default())).unwrap();
    let State::Starting { run, .. } = &settlement.changes[0].execution.state else { panic!() };
    assert_eq!(run.epoch, Epoch(5));
    let after = settlement.target.unwrap();
    assert_eq!((after.epoch, after.holder), (Epoch(5), target.holder));
}

#[test]
fn only_a_starting_execution_takes_another_name() {
    let target = held_by_first();
    for code in StateCode::ALL.into_iter().filter(|code| *code != StateCode::Starting) {
        let execution = mk_execution(1, mk_state(code));
        let view = View { execution: &execution, target: &target, head: None };
        let nobody = ForeignRuns::default();
        let settlement = rename(view, &nobody, around(&nobody, &Policy::default())).unwrap();
        assert_eq!(settlement, Settlement::default(), "{code:?}");
    }
}

#[test]
fn nothing_is_written_when_nothing_changes() {
    let done = mk_execution(1, mk_state(StateCode::Succeeded));
    let target = held_by_first();
    let view = View { execution: &done, target: &target, head: None };
    assert_eq!(settle_simply(view, Input::Cancel(mk_cancellation())), Settlement::default());
}

#[test]
fn a_success_closes_the_cooldown_for_the_next_in_the_same_settlement() {
    let (running, waiting) = (
        mk_execution(1, mk_state(StateCode::Running)),
        mk_execution(2, mk_state(StateCode::Waiting)),
    );
    let target = held_by_first();
    let view = View { execution: &running, target: &target, head: Some(&waiting) };
    let (foreign, policy) = (ForeignRuns::default(), Policy::default());
    let settlement = settle(view, ended(), &Actor::service(), around(&foreign, &policy)).unwrap();
    let State::Waiting { hold } = &settlement.changes[1].execution.state else { panic!() };
    assert_eq!(
        (hold.gate(), hold.until(), hold.cause()),
        (Gate::Cooldown, Some(at(5 + 300)), Some(mk_id(1)),)
    );
    let after = settlement.target.unwrap();
    assert_eq!((after.holder, after.history.successes.len()), (None, 1));
    // The same hold is not noted twice.
    let head = &settlement.changes[1].execution;
    let again = admit_head(head, &after, around(&foreign, &policy)).unwrap();
    assert_eq!(again, Settlement::default());
    let open = Circumstances { now: at(5 + 300), ..around(&foreign, &policy) };
    let settlement = admit_head(head, &after, open).unwrap();
    assert_eq!(settlement.changes[0].execution.state.code(), StateCode::Starting);
}
