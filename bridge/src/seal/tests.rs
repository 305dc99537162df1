use jiff::Timestamp;
use proptest::prelude::*;

use super::*;

fn mk_key() -> SealKey {
    SealKey::new(&[7; KEY_BYTES]).unwrap()
}

fn mk_requester() -> impl Strategy<Value = Requester> {
    let groups = prop::collection::vec(".{0,8}", 0..3);
    (".{0,8}", prop::option::of(".{0,8}"), groups).prop_map(|(username, uid, groups)| Requester {
        username,
        uid,
        groups,
    })
}

fn mk_request() -> impl Strategy<Value = (String, String, BlockClearanceRequest)> {
    let ticket = prop::option::of(".{0,8}");
    (".{0,8}", ".{0,8}", ".{0,20}", ticket, mk_requester(), 0_i64..4_000_000_000).prop_map(
        |(uid, execution_id, clear_reason, ticket, by, second)| {
            let request = BlockClearanceRequest {
                clear_reason,
                ticket,
                requested_by: Some(by),
                requested_at: Some(Time(Timestamp::from_second(second).unwrap())),
                seal: None,
            };
            (uid, execution_id, request)
        },
    )
}

fn sealed(uid: &str, execution: &str, request: &BlockClearanceRequest) -> BlockClearanceRequest {
    let seal = mk_key().seal(&Claim::clearance(uid, execution, request));
    BlockClearanceRequest { seal: Some(seal.unwrap()), ..request.clone() }
}

proptest! {
    #[test]
    fn a_seal_holds_for_what_was_sealed_also_after_the_api_server_stored_it(
        (uid, execution, request) in mk_request(),
    ) {
        let request = sealed(&uid, &execution, &request);
        let stored = serde_json::to_value(&request).unwrap();
        let read = serde_json::from_value(stored).unwrap();
        prop_assert!(mk_key().sealed_clearance(&uid, &execution, &read));
        let other = SealKey::new(&[8; KEY_BYTES]).unwrap();
        prop_assert!(!other.sealed_clearance(&uid, &execution, &read));
    }

    #[test]
    fn a_seal_holds_for_nothing_else(one in mk_request(), other in mk_request()) {
        let (uid, execution, request) = &one;
        let seal = sealed(uid, execution, request).seal;
        let other_request = BlockClearanceRequest { seal, ..other.2.clone() };
        let is_same = one == other;
        prop_assert_eq!(mk_key().sealed_clearance(&other.0, &other.1, &other_request), is_same);
    }

    #[test]
    fn no_part_can_be_changed_alone((uid, execution, request) in mk_request(), more in ".{1,4}") {
        let sealed = sealed(&uid, &execution, &request);
        let longer = |text: &str| format!("{text}{more}");
        let key = mk_key();
        prop_assert!(!key.sealed_clearance(&longer(&uid), &execution, &sealed));
        prop_assert!(!key.sealed_clearance(&uid, &longer(&execution), &sealed));
        let by = sealed.requested_by.clone().unwrap();
        let at = sealed.requested_at.clone().unwrap().0;
        let later = at + jiff::SignedDuration::from_secs(1);
        let with = |requested_by: Requester| BlockClearanceRequest {
            requested_by: Some(requested_by),
            ..sealed.clone()
        };
        let changed = [
            BlockClearanceRequest { clear_reason: longer(&sealed.clear_reason), ..sealed.clone() },
            BlockClearanceRequest {
                ticket: Some(longer(sealed.ticket.as_deref().unwrap_or_default())),
                ..sealed.clone()
            },
            BlockClearanceRequest { requested_at: Some(Time(later)), ..sealed.clone() },
            BlockClearanceRequest { requested_at: None, ..sealed.clone() },
            BlockClearanceRequest { requested_by: None, ..sealed.clone() },
            BlockClearanceRequest { seal: None, ..sealed.clone() },
            BlockClearanceRequest { seal: sealed.seal.as_deref().map(longer), ..sealed.clone() },
            with(Requester { username: longer(&by.username), ..by.clone() }),
            with(Requester { uid: Some(longer(by.uid.as_deref().unwrap_or_default())), ..by.clone() }),
            with(Requester { groups: [by.groups.clone(), vec![more.clone()]].concat(), ..by.clone() }),
        ];
        for request in changed {
            prop_assert!(!key.sealed_clearance(&uid, &execution, &request), "{:?}", request);
        }
    }
}

#[test]
fn what_stands_side_by_side_cannot_be_moved_over() {
    let at = Some(Time(Timestamp::UNIX_EPOCH));
    let by = |groups: &[&str]| {
        let groups = groups.iter().map(|&group| group.to_owned()).collect();
        Some(Requester { username: "a".to_owned(), uid: None, groups })
    };
    let request = |reason: &str, ticket: Option<&str>, groups: &[&str]| BlockClearanceRequest {
        clear_reason: reason.to_owned(),
        ticket: ticket.map(str::to_owned),
        requested_by: by(groups),
        requested_at: at.clone(),
        seal: None,
    };
    let same = [
        request("a\",\"b", None, &["x", "y"]),
        request("a", Some("b"), &["x", "y"]),
        request("a", Some("b"), &["x\",\"y"]),
        request("a", None, &["b", "x", "y"]),
        request("a", Some(""), &["b", "x", "y"]),
    ];
    let seals: std::collections::BTreeSet<_> =
        same.iter().map(|request| mk_key().seal(&Claim::clearance("u", "e", request))).collect();
    assert_eq!(seals.len(), same.len());
}

#[test]
fn the_seal_of_an_end_is_none_of_a_clearance() {
    let (by, at) = (Some(Requester::default()), Some(Time(Timestamp::UNIX_EPOCH)));
    let cancel = CancelRequest {
        reason: "parent ended".to_owned(),
        requested_by: by.clone(),
        requested_at: at.clone(),
        seal: None,
    };
    let seal = mk_key().seal(&Claim::cancel("u", &cancel));
    let cancel = CancelRequest { seal: seal.clone(), ..cancel };
    assert!(mk_key().sealed_cancel("u", &cancel));
    assert!(!mk_key().sealed_cancel("v", &cancel));
    let other = CancelRequest { reason: "another".to_owned(), ..cancel };
    assert!(!mk_key().sealed_cancel("u", &other));
    let clearance = BlockClearanceRequest {
        clear_reason: "parent ended".to_owned(),
        ticket: None,
        requested_by: by,
        requested_at: at,
        seal,
    };
    assert!(!mk_key().sealed_clearance("u", "", &clearance));
}

#[test]
fn a_short_key_is_refused_and_no_key_is_printed() {
    assert_eq!(SealKey::new(&[1; 31]).unwrap_err(), KeyError(31));
    assert_eq!(format!("{:?}", mk_key()), "SealKey");
}
