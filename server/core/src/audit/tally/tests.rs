use proptest::prelude::*;

use super::*;
use crate::{
    actor::{AuthenticationMethod, OnBehalfOf},
    audit::{About, AboutTarget, Stream, Times, What},
    execution::StateCode,
    testing::*,
};

const INTERVAL: Duration = Duration::from_mins(1);

fn mk_tally() -> Tally {
    Tally::new(INTERVAL)
}

fn mk_caller(name: &str) -> Actor {
    Actor {
        user: name.to_owned(),
        uid: Some("uid-1".to_owned()),
        groups: vec!["people".to_owned()],
        method: AuthenticationMethod::Token,
        on_behalf_of: None,
        address: Some("192.0.2.1".to_owned()),
    }
}

fn mk_refusal(caller: &str, target: &str, second: i64) -> Try {
    let request = mk_request("request-1", target);
    Try::refused_at(&mk_hold(), "TARGET_LOCKED", &request, &mk_caller(caller), at(second))
}

fn mk_denial(actor: &Actor, method: &'static str, second: i64) -> Try {
    Try::denied(method, "UNAUTHENTICATED", None, "who calls?".to_owned(), actor, at(second))
}

/// The record that is to be written at once.
fn first(counted: Counted) -> Record {
    match counted {
        Counted::First(first) => first.record(),
        Counted::More => panic!("it was counted only"),
    }
}

fn assert_more(counted: &Counted) {
    assert!(matches!(counted, Counted::More), "{counted:?}");
}

fn times(record: &Record) -> Times {
    record.what.times().unwrap()
}

fn close(tally: &mut Tally, second: i64) -> Vec<Record> {
    tally.close(Due::Over, at(second)).iter().map(Sum::record).collect()
}

#[test]
fn the_first_is_told_at_once_and_the_others_once_more_when_the_interval_is_over() {
    let mut tally = mk_tally();
    let told = first(tally.count(mk_refusal("alice", "pod/a", 0)));
    assert_eq!(told, mk_refusal("alice", "pod/a", 0).into_record());
    assert_eq!(times(&told), Times::once(at(0)));
    for second in 1..=59 {
        assert_more(&tally.count(mk_refusal("alice", "pod/a", second)));
    }
    assert_eq!(close(&mut tally, 59), []);
    let [sum] = &close(&mut tally, 60)[..] else { panic!() };
    assert_eq!(times(sum), Times { count: 59, since: at(1), until: at(59) });
    assert_eq!((sum.at, &sum.actor, &sum.stream), (at(60), &told.actor, &told.stream));
    assert_eq!(sum.about, told.about);
    assert!(tally.is_empty());
}

#[test]
fn what_came_once_is_not_told_twice_and_the_next_one_is_a_first_again() {
    let mut tally = mk_tally();
    let _ = first(tally.count(mk_refusal("alice", "pod/a", 0)));
    assert_eq!(close(&mut tally, 60), []);
    let _ = first(tally.count(mk_refusal("alice", "pod/a", 61)));
}

#[test]
fn each_caller_target_and_code_is_told_apart() {
    let mut tally = mk_tally();
    let (request, actor) = (mk_request("request-1", "pod/a"), mk_caller("alice"));
    let for_bob = OnBehalfOf { user: "bob".to_owned(), uid: None, groups: Vec::new() };
    let execution = mk_execution(1, mk_state(StateCode::Succeeded));
    let other = mk_execution(2, mk_state(StateCode::Succeeded));
    let all = [
        mk_refusal("alice", "pod/a", 0),
        mk_refusal("alice", "pod/b", 0),
        mk_refusal("bob", "pod/a", 0),
        Try::refused_at(&mk_hold(), "COOLDOWN_ACTIVE", &request, &actor, at(0)),
        Try::refused_request("REQUEST_WITHDRAWN", &request, &actor, at(0)),
        Try::refused_at(
            &mk_hold(),
            "TARGET_LOCKED",
            &request,
            &Actor { on_behalf_of: Some(for_bob), ..actor.clone() },
            at(0),
        ),
        Try::cancel_ignored(&execution, "stop it", &actor, at(0)),
        Try::cancel_ignored(&other, "stop it", &actor, at(0)),
        mk_denial(&actor, "Start", 0),
        mk_denial(&actor, "Get", 0),
    ];
    for tried in &all {
        let _ = first(tally.count(tried.clone()));
    }
    for tried in all {
        assert_more(&tally.count(tried));
    }
    assert_eq!(close(&mut tally, 60).len(), 10);
}

#[test]
fn of_one_caller_so_many_targets_are_told_apart_and_the_others_together() {
    let mut tally = mk_tally();
    let targets = MAX_SUBJECTS + 100;
    let told = (0..targets).filter(|n| {
        let counted = tally.count(mk_refusal("alice", &format!("pod/n{n}"), 0));
        matches!(counted, Counted::First(_))
    });
    assert_eq!(told.count(), MAX_SUBJECTS + 1);
    assert_more(&tally.count(mk_refusal("alice", "pod/n0", 1)));
    // Somebody else is not concerned.
    let _ = first(tally.count(mk_refusal("bob", "pod/n99", 1)));
    let sums = close(&mut tally, 61);
    let [one, others] = &sums[..] else { panic!("{sums:?}") };
    assert_eq!(
        one.about.target,
        Some(AboutTarget {
            as_given: Some("pod/n0".to_owned()),
            ..AboutTarget::of(&mk_key("pod/n0"))
        })
    );
    assert_eq!(times(others).count, 99);
    assert_eq!((&others.stream, &others.about.target), (&Stream::security(), &None));
    assert_eq!(others.actor, mk_caller("alice"));
    let What::Refused { code, hold, .. } = &others.what else { panic!("{others:?}") };
    assert_eq!((&**code, hold), ("TARGET_LOCKED", &None));
}

#[test]
fn so_many_callers_are_told_apart_and_the_others_together() {
    let mut tally = mk_tally();
    for n in 0..MAX_CALLERS {
        let _ = first(tally.count(mk_refusal(&format!("user-{n}"), "pod/a", 0)));
    }
    let _ = first(tally.count(mk_refusal("one-more", "pod/a", 0)));
    assert_more(&tally.count(mk_refusal("another", "pod/a", 0)));
    assert_more(&tally.count(mk_refusal("and-another", "pod/a", 0)));
    // Who is known already is told apart, also with something else.
    let _ = first(tally.count(mk_refusal("user-7", "pod/b", 0)));
    let sums = close(&mut tally, 60);
    let [others] = &sums[..] else { panic!("{sums:?}") };
    assert_eq!((&others.actor, times(others).count), (&Actor::others(), 2));
}

#[test]
fn callers_whom_nobody_knows_cannot_crowd_out_those_who_are_known() {
    let mut tally = mk_tally();
    let mk_stranger = |n| mk_denial(&Actor::unknown(Some(format!("192.0.2.{n}"))), "Start", 0);
    for n in 0..2 * MAX_CALLERS {
        let _ = tally.count(mk_stranger(n));
    }
    assert_eq!(tally.len(), MAX_CALLERS + 1);
    let _ = first(tally.count(mk_refusal("alice", "pod/a", 0)));
    assert_eq!(close(&mut tally, 60).len(), 1);
}

#[test]
fn somebody_unknown_is_told_of_once_whatever_was_called() {
    let mut tally = mk_tally();
    let stranger = Actor::unknown(Some("192.0.2.1".to_owned()));
    let _ = first(tally.count(mk_denial(&stranger, "Start", 0)));
    assert_more(&tally.count(mk_denial(&stranger, "Start", 1)));
    assert_more(&tally.count(mk_denial(&stranger, "Get", 2)));
    let [sum] = &close(&mut tally, 60)[..] else { panic!() };
    let What::Denied { method, detail, times, .. } = &sum.what else { panic!("{sum:?}") };
    assert_eq!((&**method, &**detail, times.count), ("several", "who calls?", 2));
    assert_eq!(sum.actor, stranger);
}

#[test]
fn a_first_that_was_not_written_is_taken_back_or_counted() {
    let mut tally = mk_tally();
    let unwritten = |tally: &mut Tally, target, then| {
        let Counted::First(first) = tally.count(mk_refusal("alice", target, 0)) else { panic!() };
        // One more comes while it is tried to write the first.
        assert_more(&tally.count(mk_refusal("alice", target, 1)));
        tally.unwritten(*first, then);
    };
    unwritten(&mut tally, "pod/a", Unwritten::TakeBack);
    let _ = first(tally.count(mk_refusal("alice", "pod/a", 2)));
    assert_more(&tally.count(mk_refusal("alice", "pod/a", 3)));
    unwritten(&mut tally, "pod/b", Unwritten::Count);
    assert_more(&tally.count(mk_refusal("alice", "pod/b", 2)));
    let counts: Vec<u64> = close(&mut tally, 62).iter().map(|sum| times(sum).count).collect();
    assert_eq!(counts, [2, 3]);
    assert!(tally.is_empty());
}

#[test]
fn sums_that_were_not_written_are_counted_on() {
    let mut tally = mk_tally();
    for second in 0..3 {
        let _ = tally.count(mk_refusal("alice", "pod/a", second));
    }
    let sums = tally.close(Due::Over, at(60));
    let _ = first(tally.count(mk_refusal("alice", "pod/a", 60)));
    tally.reopen(sums, at(60));
    assert_more(&tally.count(mk_refusal("alice", "pod/a", 61)));
    let [sum] = &close(&mut tally, 120)[..] else { panic!() };
    assert_eq!(times(sum), Times { count: 3, since: at(1), until: at(61) });
}

#[test]
fn at_the_end_and_when_the_clock_was_set_back_nothing_stays_open() {
    for (due, second) in [(Due::All, 1), (Due::Over, -1)] {
        let mut tally = mk_tally();
        for _ in 0..2 {
            let _ = tally.count(mk_refusal("alice", "pod/a", 0));
        }
        assert_eq!(tally.close(due, at(second)).len(), 1);
        assert!(tally.is_empty());
    }
}

/// What a caller does.
#[derive(Debug, Clone)]
struct Step {
    caller: usize,
    target: usize,
    unknown: bool,
    pause: i64,
    /// Whether the store writes what it is asked to.
    writes: bool,
}

fn mk_step() -> impl Strategy<Value = Step> {
    let step = (0..3_usize, 0..40_usize, any::<bool>(), 0..20_i64, prop::bool::weighted(0.8));
    step.prop_map(|(caller, target, unknown, pause, writes)| Step {
        caller,
        target,
        unknown,
        pause,
        writes,
    })
}

proptest! {
    #[test]
    fn the_counts_add_up_to_the_tries_and_the_records_are_bounded(
        steps in prop::collection::vec(mk_step(), 1..400),
    ) {
        let mut tally = mk_tally();
        let (mut now, mut tried, mut written) = (0, 0, Vec::<Record>::new());
        for Step { caller, target, unknown, pause, writes } in steps {
            now += pause;
            let sums = tally.close(Due::Over, at(now));
            if writes {
                written.extend(sums.iter().map(Sum::record));
            } else {
                tally.reopen(sums, at(now));
            }
            let one = if unknown {
                mk_denial(&Actor::unknown(Some(format!("192.0.2.{caller}"))), "Start", now)
            } else {
                mk_refusal(&format!("user-{caller}"), &format!("pod/n{target}"), now)
            };
            tried += 1;
            match tally.count(one) {
                Counted::First(first) if writes => written.push(first.record()),
                Counted::First(first) => {
                    let then = if unknown { Unwritten::Count } else { Unwritten::TakeBack };
                    tried -= u64::from(then == Unwritten::TakeBack);
                    tally.unwritten(*first, then);
                }
                Counted::More => {}
            }
            prop_assert!(tally.len() <= 3 * (MAX_SUBJECTS + 1) + 3);
        }
        written.extend(tally.close(Due::All, at(now)).iter().map(Sum::record));
        prop_assert_eq!(written.iter().map(|record| times(record).count).sum::<u64>(), tried);
        prop_assert!(tally.is_empty());
        prop_assert!(tally.callers.is_empty() && tally.subjects.is_empty());
        prop_assert_eq!((tally.unknown, tally.order.len()), (0, 0));
        // In each interval a first and a sum of each that is told apart.
        let intervals = now / 60 + 2;
        let most = intervals * 2 * (3 * (i64::try_from(MAX_SUBJECTS).unwrap() + 1) + 3);
        prop_assert!(i64::try_from(written.len()).unwrap() <= most);
    }
}

#[test]
fn what_differs_between_two_tries_is_left_out_of_what_both_concern() {
    let about = |id: &str| About::of_request(&mk_request(id, "pod/a"));
    let both = about("request-1").common(&about("request-2"));
    assert_eq!(both, About { request_id: None, ..about("request-1") });
}
