use super::*;
use crate::{ids::Epoch, lock::Holder, testing::*};

fn mk_new(n: u128, when_locked: WhenLocked) -> NewExecution {
    let mut request = mk_request(&format!("request-{n}"), "pod/x");
    request.when_locked = when_locked;
    NewExecution { id: mk_id(n), request, actor: Actor::anonymous(None), now: at(10) }
}

fn free() -> TargetState {
    TargetState::unused(mk_key("pod/x"))
}

fn held() -> TargetState {
    let holder = Some(Holder { execution: mk_id(1), since: at(0) });
    TargetState { key: mk_key("pod/x"), epoch: Epoch(1), holder }
}

fn decide_on(target: &TargetState, waiting: usize, new: &NewExecution) -> StartDecision {
    decide(
        StartView { accepted: None, withdrawn: None, target, waiting },
        new,
        &ForeignRuns::default(),
    )
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
    assert!(
        matches!(refused, StartDecision::Refuse(Hold { holder: Some(h), .. }) if h == mk_id(1))
    );

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
    let decision = decide(view, &mk_new(2, WhenLocked::Attach), &foreign);
    assert!(matches!(decision, StartDecision::Refuse(Hold { holder: None, .. })));
}

#[test]
fn a_repetition_gets_the_same_whatever_has_changed_since() {
    let mut new = mk_new(2, WhenLocked::Reject);
    new.request.deadline = Some(at(5));
    let accepted = new.request.clone();
    let accepted = Some((&accepted, mk_id(9)));
    let view = StartView { accepted, withdrawn: None, target: &held(), waiting: 3 };
    assert_eq!(decide(view, &new, &ForeignRuns::default()), StartDecision::Repeat(mk_id(9)));

    new.request.service_account = Some("other".to_owned());
    let decision = decide(view, &new, &ForeignRuns::default());
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
    assert_eq!(decide(view, &new, &ForeignRuns::default()), withdrawn);
    for when_locked in [WhenLocked::Reject, WhenLocked::Wait, WhenLocked::Attach] {
        new.request.when_locked = when_locked;
        let held = StartView { target: &held(), ..view };
        assert_eq!(decide(held, &new, &ForeignRuns::default()), withdrawn, "{when_locked:?}");
    }
    new.request.deadline = Some(at(5));
    assert_eq!(decide(view, &new, &ForeignRuns::default()), withdrawn);
    // It had attached before it was withdrawn.
    let accepted = new.request.clone();
    let attached = StartView { accepted: Some((&accepted, mk_id(9))), ..view };
    assert_eq!(decide(attached, &new, &ForeignRuns::default()), withdrawn);
}
