use super::*;
use crate::{store::StandingCode, testing::at};

const PATIENCE: Duration = Duration::from_mins(15);

fn mk_wait(since: i64, well_since: Option<i64>) -> Wait {
    Wait { since: at(since), well_since: well_since.map(at), due: at(since) }
}

fn inputs() -> Vec<Input> {
    vec![
        Input::Begin,
        Input::TooOld,
        Input::Stored,
        Input::Queued,
        Input::NotStored,
        Input::Doubt,
        Input::Refused(ParkReason::Invalid, "no".to_owned()),
        Input::Found,
        Input::Missing { unanswered: None },
        Input::Unanswered,
    ]
}

fn standings() -> Vec<Standing> {
    vec![
        Standing::Queued,
        Standing::Pending { due: at(0) },
        Standing::Sending { since: at(0) },
        Standing::Accepted(mk_wait(0, None)),
        Standing::Doubtful(mk_wait(0, None)),
        Standing::Parked { reason: ParkReason::Invalid, problem: String::new(), since: at(0) },
    ]
}

fn shown(next: &Next) -> String {
    match next {
        Next::Same => "-".to_owned(),
        Next::To(standing) => standing.code().as_str().to_owned(),
        Next::Delivered => "delivered".to_owned(),
    }
}

#[test]
fn the_table_is_the_one_above() {
    let mut table = Vec::new();
    for from in standings() {
        for input in inputs() {
            let to = shown(&next(&from, input.clone(), PATIENCE, at(1)));
            if to != "-" {
                let name = format!("{input:?}");
                let name = name.split([' ', '(']).next().unwrap_or_default();
                table.push(format!("{} {name} {to}\n", from.code().as_str()));
            }
        }
    }
    expect_test::expect![[r"
        pending Begin sending
        pending TooOld parked
        sending Stored delivered
        sending Queued accepted
        sending NotStored pending
        sending Doubt doubtful
        sending Refused parked
        accepted Found delivered
        accepted Missing accepted
        accepted Unanswered accepted
        doubtful Found delivered
        doubtful Missing doubtful
        doubtful Unanswered doubtful
    "]]
    .assert_eq(&table.concat());
}

/// Looks again and again, each time when it is due, and answers how many seconds after it was sent the
/// wait is over, and what comes then.
fn waited(mut standing: Standing, mut now: i64) -> (i64, StandingCode) {
    let kind = standing.code();
    loop {
        let input = Input::Missing { unanswered: None };
        let Next::To(to) = next(&standing, input, PATIENCE, at(now)) else { panic!() };
        if to.code() != kind {
            return (now, to.code());
        }
        let (Standing::Accepted(wait) | Standing::Doubtful(wait)) = &to else { panic!() };
        let due = wait.due.duration_since(at(0)).as_secs();
        assert!(due > now && due <= now + 30, "looked at every half minute: {due}");
        (standing, now) = (to, due);
    }
}

#[test]
fn what_may_be_stored_is_waited_for_and_longer_after_a_longer_outage() {
    let accepted = |well| waited(Standing::Accepted(mk_wait(0, None)), well);
    let doubtful = |well| waited(Standing::Doubtful(mk_wait(0, None)), well);
    let patience = 15 * 60;
    assert_eq!(accepted(0), (patience, StandingCode::Parked));
    assert_eq!(doubtful(0), (patience, StandingCode::Pending));
    // The receiver tries after 1, 6, 21, 81, 321 and 1761 minutes: the next one is always waited for.
    for minute in [1, 6, 21, 81, 321] {
        let just_missed = minute * 60 + 1;
        let tries = [1, 6, 21, 81, 321, 1761];
        let again = tries.into_iter().find(|again| *again > minute).unwrap() * 60;
        let (over, _) = accepted(just_missed);
        assert!(over >= again + 5 * 60, "{minute}: {over} after {again}");
    }
}

#[test]
fn a_receiver_that_did_not_answer_meanwhile_begins_anew() {
    let standing = Standing::Doubtful(mk_wait(0, Some(10)));
    let look = |unanswered: Option<i64>| {
        let input = Input::Missing { unanswered: unanswered.map(at) };
        shown(&next(&standing, input, PATIENCE, at(10_000)))
    };
    assert_eq!(look(None), "pending");
    assert_eq!(look(Some(5)), "pending");
    assert_eq!(look(Some(500)), "doubtful");
    let Next::To(Standing::Doubtful(wait)) = next(&standing, Input::Unanswered, PATIENCE, at(20))
    else {
        panic!()
    };
    assert_eq!(wait.well_since, None);
}
