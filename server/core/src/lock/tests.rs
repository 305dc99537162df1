use super::*;
use crate::testing::*;

fn held(n: u128, epoch: u64) -> TargetState {
    let holder = Some(Holder { execution: mk_id(n), since: at(0) });
    TargetState { key: mk_key("pod/x"), epoch: Epoch(epoch), holder }
}

fn hold(admission: Admission) -> Hold {
    match admission {
        Admission::Held(hold) => hold,
        Admission::Admitted(run) => panic!("admitted as {}", run.name),
    }
}

#[test]
fn a_free_target_admits_under_the_next_epoch() {
    let target = TargetState { holder: None, ..held(1, 4) };
    let Admission::Admitted(run) = admit(&target, 0, &ForeignRuns::default(), at(1)) else {
        panic!("held")
    };
    assert_eq!(run.epoch, Epoch(5));
    assert_eq!(run.name.as_str(), format!("wfe-{}-5", mk_key("pod/x").hash()));
    assert_eq!(RunName::epoch_of(run.name.as_str(), &mk_key("pod/x").hash()), Some(Epoch(5)));
}

#[test]
fn a_held_target_names_its_holder() {
    let hold = hold(admit(&held(1, 4), 0, &ForeignRuns::default(), at(1)));
    assert_eq!(hold.holder, Some(mk_id(1)));
    assert!(hold.message.contains(&mk_id(1).to_string()) && hold.message.contains("pod/x"));
}

#[test]
fn a_live_run_of_somebody_else_holds_the_target_too() {
    let foreign = ForeignRuns { live: Some("wfe-other".to_owned()), last_epoch: Epoch(0) };
    let hold = hold(admit(&TargetState::unused(mk_key("pod/x")), 0, &foreign, at(1)));
    assert_eq!(hold.holder, None);
    assert!(hold.message.contains("wfe-other"));
}

#[test]
fn a_newcomer_does_not_overtake_those_who_wait() {
    let free = TargetState::unused(mk_key("pod/x"));
    assert!(matches!(admit(&free, 1, &ForeignRuns::default(), at(1)), Admission::Held(_)));
}

#[test]
fn names_of_runs_in_the_cluster_are_not_used_again() {
    let foreign = ForeignRuns { live: None, last_epoch: Epoch(9) };
    assert_eq!(plan(&held(1, 4), &foreign, at(1)).epoch, Epoch(10));
}

#[test]
fn a_lock_is_released_only_by_its_holder_under_its_epoch() {
    let target = held(1, 4);
    assert_eq!(released(&target, mk_id(2), Epoch(4)), None);
    assert_eq!(released(&target, mk_id(1), Epoch(3)), None);
    let free = released(&target, mk_id(1), Epoch(4)).unwrap();
    assert_eq!((free.holder, free.epoch), (None, Epoch(4)));
}
