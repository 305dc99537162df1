//! What becomes of a deletion that takes longer than it may.

use serde_json::json;
use wfe_crds::names::FINALIZER;

use super::super::*;
use crate::{object::RawObject, request::TroubleKind};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn mk_deleted(finalizers: &[&str]) -> Object {
    let raw: RawObject = serde_json::from_value(json!({
        "metadata": {
            "namespace": "n", "name": "a", "uid": "u", "resourceVersion": "1", "generation": 1,
            "finalizers": finalizers, "deletionTimestamp": at(0).to_string(),
        },
    }))
    .unwrap();
    Object::read(raw)
}

#[test]
fn after_the_deadline_a_deletion_is_let_go_once_and_nobody_waits_for_it_any_more() {
    let policy =
        Policy { when_locked: WhenLocked::Wait, delete_timeout: Some(Duration::from_secs(600)) };
    let trouble =
        Trouble { kind: TroubleKind::Unreachable, message: "away".to_owned(), retry_after: None };
    for state in [State::Waiting, State::Running, State::Cancelling] {
        let record =
            Record::Execution(Box::new(Execution { state: state.into(), ..Execution::default() }));
        let step = |object: &Object, now| {
            let situation = Situation {
                object: Some(object),
                gone_since: None,
                record: &record,
                recorded_at: at(0),
                noted: 0,
                following: false,
                holder: None,
                // The service does not answer, and is asked again later.
                server: Some(Setback { trouble: &trouble, since: at(0), until: at(700) }),
                writes_from: None,
                shown_at: None,
            };
            decide(&situation, &policy, now)
        };
        let (held, of_others) = (mk_deleted(&[FINALIZER, "x"]), mk_deleted(&["x"]));
        assert_eq!(step(&held, at(599)), Step::Rest(Some(at(600))), "{state:?}");
        assert_eq!(step(&held, at(600)), Step::Release(Released::GivenUp), "{state:?}");
        assert_eq!(step(&of_others, at(599)), Step::Rest(Some(at(600))), "{state:?}");
        assert_eq!(step(&of_others, at(600)), Step::Done, "{state:?}");
    }
}
