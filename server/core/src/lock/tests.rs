use super::*;
use crate::testing::*;

#[test]
fn names_of_runs_in_the_cluster_are_not_used_again() {
    let foreign = ForeignRuns { live: None, last_epoch: Epoch(9) };
    assert_eq!(plan(&mk_held(1, 4), &foreign, at(1)).epoch, Epoch(10));
}

#[test]
fn a_lock_is_released_only_by_its_holder_under_its_epoch() {
    let target = mk_held(1, 4);
    assert_eq!(released(&target, mk_id(2), Epoch(4)), None);
    assert_eq!(released(&target, mk_id(1), Epoch(3)), None);
    let free = released(&target, mk_id(1), Epoch(4)).unwrap();
    assert_eq!((free.holder, free.epoch), (None, Epoch(4)));
}
