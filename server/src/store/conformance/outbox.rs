//! What is on its way to Data Storage: taken up once, in order, one of a correlation id in flight.

use std::sync::Arc;

use jiff::Timestamp;
use wfe_core::{audit::Position, request::WhenLocked};
use wfe_datastorage::Event;

use super::Backend;
use crate::{
    delivery::event_of,
    store::{
        Due, LogScope, Move, Outbox, ParkReason, Row, Standing, StandingCode, Store, TakeUp,
        TakenUp, Wait,
    },
    testing::{at, mk_new, start},
};

/// An event of a correlation id.
async fn mk_event<B: Backend>(correlation_id: &str, second: i64) -> Event {
    let backend = B::create().await;
    let store: Arc<dyn Store> = backend.open().await;
    let mut new = mk_new(1, "pod/a", WhenLocked::Reject);
    new.request.correlation_id = Some(correlation_id.parse().unwrap());
    start(&*store, &new).await.unwrap();
    let entries = store.entries(&LogScope::Everything, Position(0), 9).await.unwrap();
    let mut logged = entries.iter().map(|entry| entry.read().unwrap());
    let event = logged.find_map(|logged| event_of(&logged, None).unwrap()).unwrap();
    event.at(wfe_datastorage::Microsecond::of(at(second)))
}

async fn mk_step<B: Backend>(from: Option<u64>, events: &[(u64, &str, i64)], to: u64) -> TakeUp {
    let mut taken = Vec::new();
    for (sequence, id, second) in events {
        taken.push((Position(*sequence), mk_event::<B>(id, *second).await));
    }
    let from = from.map(Position);
    TakeUp { from, to: Position(to), events: taken, now: at(0), forget: Timestamp::MIN }
}

/// Three events of rr-1 and one of rr-2.
async fn mk_outbox<B: Backend>() -> (B, Arc<dyn Outbox>) {
    let backend = B::create().await;
    let outbox = backend.open_outbox().await;
    let events = [(1, "rr-1", 10), (2, "rr-1", 11), (4, "rr-2", 12), (5, "rr-1", 13)];
    let step = mk_step::<B>(None, &events, 6).await;
    assert_eq!(outbox.take_up(&step).await.unwrap(), TakenUp::Now);
    (backend, outbox)
}

async fn due(outbox: &dyn Outbox, kind: Due, second: i64) -> Vec<Row> {
    outbox.due(kind, at(second), 10).await.unwrap()
}

async fn sequences(outbox: &dyn Outbox, kind: Due, second: i64) -> Vec<u64> {
    due(outbox, kind, second).await.iter().map(|row| row.sequence.0).collect()
}

async fn step(outbox: &dyn Outbox, row: &Row, to: Option<Standing>) {
    outbox.move_rows(&[Move::of(row, to)], at(20)).await.unwrap();
}

pub(crate) async fn entries_are_taken_up_once<B: Backend>() {
    let (backend, outbox) = mk_outbox::<B>().await;
    assert_eq!(outbox.taken_up().await.unwrap(), Some(Position(6)));
    let before = backend.dump().await;
    for from in [None, Some(5), Some(7)] {
        let late = mk_step::<B>(from, &[(7, "rr-1", 20)], 7).await;
        assert_eq!(outbox.take_up(&late).await.unwrap(), TakenUp::ByAnother, "{from:?}");
    }
    let nothing = mk_step::<B>(Some(6), &[], 6).await;
    outbox.take_up(&nothing).await.unwrap_err();
    assert_eq!(backend.dump().await, before);
}

pub(crate) async fn times_of_a_correlation_id_rise_whatever_clocks_do<B: Backend>() {
    let (_backend, outbox) = mk_outbox::<B>().await;
    let events =
        [(7, "rr-1", 13), (8, "rr-1", 2), (9, "rr-2", 2), (10, "rr-3", 2), (11, "rr-1", 30)];
    outbox.take_up(&mk_step::<B>(Some(6), &events, 11).await).await.unwrap();
    let mut times = Vec::new();
    loop {
        let rows = due(&*outbox, Due::Pending, 99).await;
        if rows.is_empty() {
            break;
        }
        for row in rows {
            let facts = row.event.facts();
            let micros = facts.event_timestamp.number() - at(0).as_microsecond();
            times.push((row.sequence.0, micros));
            outbox
                .move_rows(&[Move::of(&row, Some(Standing::Sending { since: at(20) }))], at(20))
                .await
                .unwrap();
        }
        for row in due(&*outbox, Due::Sending, 99).await {
            step(&*outbox, &row, None).await;
        }
    }
    times.sort_unstable();
    let second = 1_000_000;
    assert_eq!(
        times,
        [
            (1, 10 * second),
            (2, 11 * second),
            (4, 12 * second),
            (5, 13 * second),
            (7, 13 * second + 1),
            (8, 13 * second + 2),
            (9, 12 * second + 1),
            (10, 2 * second),
            (11, 30 * second),
        ]
    );
}

pub(crate) async fn of_a_correlation_id_one_is_in_flight<B: Backend>() {
    let (_backend, outbox) = mk_outbox::<B>().await;
    assert_eq!(sequences(&*outbox, Due::Pending, 0).await, [1, 4]);
    let first = due(&*outbox, Due::Pending, 0).await.remove(0);
    let wait = Wait { since: at(1), well_since: Some(at(2)), due: at(3) };
    let standings = [
        Standing::Sending { since: at(1) },
        Standing::Accepted(wait),
        Standing::Doubtful(Wait { well_since: None, ..wait }),
        Standing::Pending { due: at(5) },
    ];
    let mut row = first;
    for standing in standings {
        step(&*outbox, &row, Some(standing.clone())).await;
        let kind = match standing.code() {
            StandingCode::Sending => Due::Sending,
            StandingCode::Accepted | StandingCode::Doubtful => Due::Unsure,
            StandingCode::Queued | StandingCode::Pending | StandingCode::Parked => Due::Pending,
        };
        let rows = due(&*outbox, kind, 99).await;
        row = rows.into_iter().find(|row| row.sequence == Position(1)).unwrap();
        assert_eq!(row.standing, standing);
        let pending = sequences(&*outbox, Due::Pending, 99).await;
        assert!(!pending.contains(&2) && !pending.contains(&5), "{pending:?}");
    }
    // What is delivered or parked lets the next one through, and only that.
    step(&*outbox, &row, None).await;
    assert_eq!(sequences(&*outbox, Due::Pending, 20).await, [4, 2]);
    let second = due(&*outbox, Due::Pending, 20).await.remove(1);
    let (reason, problem) = (ParkReason::Invalid, "no".to_owned());
    step(&*outbox, &second, Some(Standing::Parked { reason, problem, since: at(20) })).await;
    assert_eq!(sequences(&*outbox, Due::Pending, 20).await, [4, 5]);
    let backlog = outbox.backlog().await.unwrap();
    assert_eq!(backlog.count(StandingCode::Parked), 1);
    assert_eq!(backlog.count(StandingCode::Pending), 2);
    assert_eq!((backlog.oldest, backlog.next_due), (Some(at(12)), Some(at(0))));
}

pub(crate) async fn rows_are_due_at_their_time_and_in_pages<B: Backend>() {
    let (_backend, outbox) = mk_outbox::<B>().await;
    let row = due(&*outbox, Due::Pending, 0).await.remove(0);
    step(&*outbox, &row, Some(Standing::Pending { due: at(7) })).await;
    assert_eq!(sequences(&*outbox, Due::Pending, 6).await, [4]);
    assert_eq!(sequences(&*outbox, Due::Pending, 7).await, [4, 1]);
    assert_eq!(outbox.due(Due::Pending, at(7), 1).await.unwrap().len(), 1);
    assert_eq!(due(&*outbox, Due::Unsure, 99).await, []);
}

pub(crate) async fn moves_are_made_all_or_none<B: Backend>() {
    let (backend, outbox) = mk_outbox::<B>().await;
    let rows = due(&*outbox, Due::Pending, 0).await;
    let before = backend.dump().await;
    let mut gone = Move::of(&rows[1], None);
    gone.from = StandingCode::Doubtful;
    let moves = [Move::of(&rows[0], None), gone];
    outbox.move_rows(&moves, at(20)).await.unwrap_err();
    assert_eq!(backend.dump().await, before);
}

pub(crate) async fn what_is_parked_is_tried_again_one_after_the_other<B: Backend>() {
    let (_backend, outbox) = mk_outbox::<B>().await;
    for (reason, count) in [(ParkReason::NeverStored, 1), (ParkReason::Invalid, 2)] {
        for _ in 0..count {
            let row = due(&*outbox, Due::Pending, 20).await;
            let row = row.into_iter().find(|row| row.correlation_id().as_str() == "rr-1").unwrap();
            let problem = "no".to_owned();
            step(&*outbox, &row, Some(Standing::Parked { reason, problem, since: at(20) })).await;
        }
    }
    assert_eq!(outbox.retry_parked(at(30)).await.unwrap(), 3);
    let unsure = due(&*outbox, Due::Unsure, 30).await;
    assert_eq!(unsure.len(), 1, "it may be stored by now");
    assert_eq!(unsure[0].sequence, Position(1));
    assert_eq!(sequences(&*outbox, Due::Pending, 30).await, [4]);
    step(&*outbox, &unsure[0], None).await;
    assert_eq!(sequences(&*outbox, Due::Pending, 30).await, [4, 2]);
    assert_eq!(outbox.retry_parked(at(31)).await.unwrap(), 0);
}

pub(crate) async fn clocks_that_nobody_needs_are_forgotten<B: Backend>() {
    let (_backend, outbox) = mk_outbox::<B>().await;
    let forget = TakeUp { forget: at(100), ..mk_step::<B>(Some(6), &[], 7).await };
    outbox.take_up(&forget).await.unwrap();
    outbox.take_up(&mk_step::<B>(Some(7), &[(8, "rr-2", 1)], 8).await).await.unwrap();
    let first = due(&*outbox, Due::Pending, 99).await.remove(1);
    step(&*outbox, &first, None).await;
    let rows = due(&*outbox, Due::Pending, 99).await;
    let again = rows.iter().find(|row| row.sequence == Position(8)).unwrap();
    assert_eq!(again.event.facts().event_timestamp.time(), at(1));
}
