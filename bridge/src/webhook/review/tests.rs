use json_patch::{diff, patch};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::seal::KEY_BYTES;

const ALICE: &str = "alice";
const ORCHESTRATOR: &str = "system:serviceaccount:kubernaut-system:remediationorchestrator";
const REASON: &str = "looked at it: the disk was full";

fn now() -> Timestamp {
    "2026-01-02T03:04:05.6Z".parse().unwrap()
}

fn mk_key() -> SealKey {
    SealKey::new(&[7; KEY_BYTES]).unwrap()
}

fn mk_user(name: &str) -> Requester {
    Requester {
        username: name.to_owned(),
        uid: Some(format!("uid of {name}")),
        groups: vec!["system:authenticated".to_owned(), "sre".to_owned()],
    }
}

/// The status of an execution that failed, with every field that a status may have but the requests.
fn mk_failed() -> Value {
    json!({
        "observedGeneration": 1,
        "phase": "Failed",
        "startTime": "2026-01-02T03:00:00Z",
        "completionTime": "2026-01-02T03:01:00Z",
        "duration": "1m0s",
        "executionRef": {"name": "wfe-0-1"},
        "executionStatus": {"status": "False", "completedTasks": 1},
        "failureReason": "TaskFailed",
        "failureDetails": {"reason": "TaskFailed", "message": "exit code 1", "failedTaskIndex": 0},
        "cooldownUntil": "2026-01-02T03:05:00Z",
        "executionID": "e",
        "executionRevision": 5,
        "ephemeralCredentialIDs": [1],
        "workflowName": "w",
        "deduplicatedBy": "other",
        "conditions": [{"type": "Ready", "status": "False", "reason": "TaskFailed"}],
    })
}

fn with(status: &Value, change: &Value) -> Value {
    let mut status = status.clone();
    json_patch::merge(&mut status, change);
    status
}

fn mk_running() -> Value {
    with(
        &mk_failed(),
        &json!({
            "phase": "Running", "completionTime": null, "duration": null,
            "failureReason": null, "failureDetails": null,
        }),
    )
}

struct Case {
    by: Requester,
    deletion: Deletion,
    run: Run,
}

fn by(name: &str) -> Case {
    Case { by: mk_user(name), deletion: Deletion::NotAsked, run: Run::Real }
}

impl Case {
    fn judge(&self, old: &Value, new: &Value) -> Verdict {
        let key = mk_key();
        let cancellers = BTreeSet::from([ORCHESTRATOR.to_owned()]);
        let change = Change {
            object_uid: "u",
            deletion: self.deletion,
            old,
            new,
            by: &self.by,
            run: self.run,
        };
        let verdict = review(&change, &Rules { key: &key, cancellers: &cancellers }, now());
        // What is answered brings about what was decided, whatever was there.
        if let Verdict::Restore(status)
        | Verdict::Cancel(status)
        | Verdict::IfMayClear { status, .. } = &verdict
        {
            let (mut have, want) = (json!({"status": new}), json!({"status": status}));
            let change = diff(&have, &want);
            patch(&mut have, &change).unwrap();
            assert_eq!(have, want);
        }
        verdict
    }

    /// Asks for a clearance as `kubectl patch --type=merge` does.
    fn asks(&self, old: &Value, request: &Value) -> Verdict {
        self.judge(old, &with(old, &json!({"blockClearanceRequest": request})))
    }
}

/// The status after a clearance was asked for, and what the person is told.
fn stamped(verdict: Verdict) -> (Value, Vec<String>) {
    let Verdict::IfMayClear { status, warnings } = verdict else { panic!("{verdict:?}") };
    (status, warnings)
}

fn denied(verdict: Verdict) -> (DenialKind, String) {
    let Verdict::Deny(Denial { kind, message }) = verdict else { panic!("{verdict:?}") };
    (kind, message)
}

fn request(status: &Value) -> BlockClearanceRequest {
    serde_json::from_value(status["blockClearanceRequest"].clone()).unwrap()
}

#[test]
fn who_asks_for_a_clearance_is_stamped_on_and_sealed() {
    let old = mk_failed();
    let (status, warnings) =
        stamped(by(ALICE).asks(&old, &json!({"clearReason": REASON, "ticket": "OPS-1"})));
    let request = request(&status);
    assert_eq!((request.clear_reason.as_str(), request.ticket.as_deref()), (REASON, Some("OPS-1")));
    assert_eq!(request.requested_by, Some(mk_user(ALICE)));
    assert_eq!(status["blockClearanceRequest"]["requestedAt"], "2026-01-02T03:04:05Z");
    assert!(mk_key().sealed_clearance("u", "e", &request));
    assert!(!mk_key().sealed_clearance("u", "another", &request));
    assert_eq!(warnings, Vec::<String>::new());
    // Nothing else is touched.
    assert_eq!(with(&status, &json!({"blockClearanceRequest": null})), old);
}

#[test]
fn what_was_typed_as_a_stamp_is_replaced_with_a_warning() {
    for typed in [
        json!({"requestedBy": {"username": "root"}}),
        json!({"requestedAt": "2020-01-01T00:00:00Z"}),
        json!({"seal": "c2VhbA=="}),
    ] {
        let typed = with(&json!({"clearReason": REASON}), &typed);
        let (status, warnings) = stamped(by(ALICE).asks(&mk_failed(), &typed));
        assert_eq!(request(&status).requested_by, Some(mk_user(ALICE)));
        assert!(mk_key().sealed_clearance("u", "e", &request(&status)));
        assert!(warnings.len() == 1 && warnings[0].contains("ignored"), "{warnings:?}");
    }
}

#[test]
fn a_reason_has_a_length_that_counts_and_one_that_is_kept() {
    let long = "x".repeat(MAX_CLEAR_REASON_CHARS);
    for right in ["0123456789", "äöüäöüäöüä", "0 1 2 3 4 5 6 7 8 9", &long] {
        stamped(by(ALICE).asks(&mk_failed(), &json!({"clearReason": right})));
    }
    for wrong in ["", "012345678", "0 1 2 3 4 5 6 7 8 ", "          ", &format!("{long}x")] {
        let (kind, message) = denied(by(ALICE).asks(&mk_failed(), &json!({"clearReason": wrong})));
        assert_eq!(kind, DenialKind::Invalid);
        assert!(message.contains("clearReason"), "{message}");
    }
    for unreadable in [json!({"ticket": "OPS-1"}), json!({"clearReason": 7}), json!("because")] {
        let (kind, message) = denied(by(ALICE).asks(&mk_failed(), &unreadable));
        assert_eq!(kind, DenialKind::Invalid);
        assert!(message.contains("blockClearanceRequest"), "{message}");
    }
    let ticket = "x".repeat(MAX_TICKET_CHARS);
    let typed = |ticket: &str| json!({"clearReason": REASON, "ticket": ticket});
    stamped(by(ALICE).asks(&mk_failed(), &typed(&ticket)));
    let (_, message) = denied(by(ALICE).asks(&mk_failed(), &typed(&format!("{ticket}x"))));
    assert!(message.contains("ticket"), "{message}");
}

#[test]
fn only_what_has_failed_and_was_not_cleared_can_be_cleared() {
    let cleared = json!({"blockClearance": {
        "clearedBy": "bob", "clearedAt": "2026-01-02T03:03:00Z", "clearReason": "by bob", "clearMethod": "StatusField",
    }});
    for (old, kind, said) in [
        (mk_running(), DenialKind::Invalid, "Running"),
        (with(&mk_failed(), &json!({"phase": "Completed"})), DenialKind::Invalid, "Completed"),
        (with(&mk_failed(), &json!({"phase": null})), DenialKind::Invalid, "new"),
        (Value::Null, DenialKind::Invalid, "new"),
        (with(&mk_failed(), &json!({"executionID": null})), DenialKind::Invalid, "never accepted"),
        (with(&mk_failed(), &cleared), DenialKind::Conflict, "bob has cleared"),
    ] {
        let (got, message) = denied(by(ALICE).asks(&old, &json!({"clearReason": REASON})));
        assert_eq!(got, kind, "{message}");
        assert!(message.contains(said), "{message}");
    }
    let case = Case { deletion: Deletion::Asked, ..by(ALICE) };
    let (_, message) = denied(case.asks(&mk_failed(), &json!({"clearReason": REASON})));
    assert!(message.contains("being deleted"), "{message}");
    let nobody = Case { by: Requester::default(), ..by(ALICE) };
    let (kind, _) = denied(nobody.asks(&mk_failed(), &json!({"clearReason": REASON})));
    assert_eq!(kind, DenialKind::Forbidden);
}

#[test]
fn every_other_field_of_the_status_is_refused_to_everybody() {
    let others = json!({
        "observedGeneration": 2,
        "phase": "Completed",
        "startTime": "2020-01-01T00:00:00Z",
        "completionTime": "2020-01-01T00:00:00Z",
        "duration": "1s",
        "executionRef": {"name": "other"},
        "executionStatus": {"status": "True"},
        "failureReason": "other",
        "failureDetails": {"message": "other"},
        "cooldownUntil": "2020-01-01T00:00:00Z",
        "executionID": "other",
        "executionRevision": 4,
        "ephemeralCredentialIDs": [2],
        "workflowName": "other",
        "deduplicatedBy": "another",
        "conditions": [{"type": "Ready", "status": "True", "reason": "Ready"}],
        "blockClearance": {"clearedBy": "alice", "clearReason": REASON, "clearMethod": "StatusField"},
        "cancelRequest": {"reason": "because"},
    });
    let request = "blockClearanceRequest".to_owned();
    let named: BTreeSet<String> =
        others.as_object().unwrap().keys().cloned().chain([request]).collect();
    assert_eq!(named, known_fields(), "each field is tried");
    for (field, value) in others.as_object().unwrap() {
        for value in [value, &Value::Null] {
            for who in [ALICE, "system:admin", ORCHESTRATOR] {
                for old in [mk_failed(), mk_running()] {
                    let new = with(&old, &json!({field: value}));
                    if new == old || (who == ORCHESTRATOR && new["phase"] == "Failed") {
                        continue;
                    }
                    let (kind, message) = denied(by(who).judge(&old, &new));
                    assert_eq!(kind, DenialKind::Forbidden);
                    assert!(message.starts_with(&format!("status.{field}: ")), "{message}");
                }
            }
        }
    }
}

/// Every field that the resource has.
fn known_fields() -> BTreeSet<String> {
    let crd = serde_json::to_value(wfe_crds::workflow_execution::crd()).unwrap();
    let status = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"];
    status["properties"].as_object().unwrap().keys().cloned().collect()
}

#[test]
fn a_clearance_together_with_anything_else_is_refused() {
    let change = json!({"blockClearanceRequest": {"clearReason": REASON}, "phase": "Completed"});
    let (_, message) = denied(by(ALICE).judge(&mk_failed(), &with(&mk_failed(), &change)));
    assert!(message.starts_with("status.phase: "), "{message}");
    let typed = json!({
        "blockClearanceRequest": {"clearReason": REASON},
        "blockClearance": {"clearedBy": "alice"},
    });
    let (_, message) = denied(by(ALICE).judge(&mk_failed(), &with(&mk_failed(), &typed)));
    assert!(message.starts_with("status.blockClearance: "), "{message}");
}

#[test]
fn what_changes_nothing_is_allowed_to_everybody() {
    for (old, new) in [
        (Value::Null, Value::Null),
        (Value::Null, json!({})),
        (Value::Null, json!({"phase": null})),
        (mk_failed(), mk_failed()),
        (mk_running(), with(&mk_running(), &json!({}))),
    ] {
        assert_eq!(by(ALICE).judge(&old, &new), Verdict::Allow);
    }
    let (asked, _) = stamped(by(ALICE).asks(&mk_failed(), &json!({"clearReason": REASON})));
    assert_eq!(by("bob").judge(&asked, &asked), Verdict::Allow);
}

#[test]
fn a_request_that_is_repeated_keeps_its_stamp() {
    let words = json!({"clearReason": REASON, "ticket": "OPS-1"});
    let (asked, _) = stamped(by(ALICE).asks(&mk_failed(), &words));
    // A server-side apply of the same manifest, which does not name the stamp.
    let again = with(&mk_failed(), &json!({"blockClearanceRequest": words}));
    assert_eq!(by(ALICE).judge(&asked, &again), Verdict::Restore(asked));
}

#[test]
fn who_asked_may_say_it_in_other_words_and_is_stamped_anew() {
    let (asked, _) = stamped(by(ALICE).asks(&mk_failed(), &json!({"clearReason": REASON})));
    let (status, warnings) = stamped(
        by(ALICE).asks(&asked, &json!({"clearReason": "the disk was full, and now is not"})),
    );
    assert!(request(&status).clear_reason.contains("now is not"));
    assert!(mk_key().sealed_clearance("u", "e", &request(&status)));
    assert_eq!(warnings, Vec::<String>::new(), "the stamp was left as it was");
}

#[test]
fn a_stamp_cannot_be_changed_by_anybody() {
    let (asked, _) = stamped(by(ALICE).asks(&mk_failed(), &json!({"clearReason": REASON})));
    for stamp in [
        json!({"requestedBy": {"username": "bob"}}),
        json!({"requestedBy": {"groups": ["system:masters"]}}),
        json!({"requestedBy": null}),
        json!({"requestedAt": "2020-01-01T00:00:00Z"}),
        json!({"seal": null}),
        json!({"seal": "c2VhbA=="}),
    ] {
        for who in [ALICE, "bob"] {
            let (kind, message) = denied(by(who).asks(&asked, &stamp));
            assert_eq!(kind, DenialKind::Forbidden);
            assert!(message.contains("by the webhook alone"), "{message}");
        }
    }
}

#[test]
fn of_two_people_at_the_same_moment_the_second_one_is_told_of_the_first() {
    let (asked, _) = stamped(by(ALICE).asks(&mk_failed(), &json!({"clearReason": REASON})));
    let bobs = json!({"clearReason": "bob looked at it as well", "requestedBy": null, "requestedAt": null, "seal": null});
    for words in [bobs, json!({"clearReason": "bob looked at it as well"})] {
        let (kind, message) = denied(by("bob").asks(&asked, &words));
        assert_eq!(kind, DenialKind::Conflict);
        assert!(message.contains("alice asked for this at 2026-01-02T03:04:05Z"), "{message}");
    }
    // A name that another one had before is another person.
    let namesake = Requester { uid: Some("another".to_owned()), ..mk_user(ALICE) };
    let case = Case { by: namesake, ..by(ALICE) };
    let (kind, _) = denied(case.asks(&asked, &json!({"clearReason": "me again, after a while"})));
    assert_eq!(kind, DenialKind::Conflict);
}

#[test]
fn a_request_that_nobody_sealed_holds_nobody_up() {
    let typed = json!({"blockClearanceRequest": {
        "clearReason": REASON, "requestedBy": {"username": "root"}, "seal": "c2VhbA==",
    }});
    let old = with(&mk_failed(), &typed);
    let (status, _) = stamped(by(ALICE).asks(&old, &json!({"clearReason": "alice looked at it"})));
    assert_eq!(request(&status).requested_by, Some(mk_user(ALICE)));
}

#[test]
fn a_request_can_be_taken_back_by_who_may_clear() {
    let (asked, _) = stamped(by(ALICE).asks(&mk_failed(), &json!({"clearReason": REASON})));
    for who in [ALICE, "bob"] {
        assert_eq!(stamped(by(who).asks(&asked, &Value::Null)).0, mk_failed());
    }
}

#[test]
fn a_dry_run_is_judged_alike_and_gets_no_seal() {
    let dry = |name| Case { run: Run::Dry, ..by(name) };
    let (status, _) = stamped(dry(ALICE).asks(&mk_failed(), &json!({"clearReason": REASON})));
    assert_eq!(status["blockClearanceRequest"]["seal"], NO_SEAL);
    assert!(!mk_key().sealed_clearance("u", "e", &request(&status)));
    denied(dry(ALICE).asks(&mk_failed(), &json!({"clearReason": "short"})));
    let end = json!({"phase": "Failed", "failureReason": "parent ended"});
    let verdict = dry(ORCHESTRATOR).judge(&mk_running(), &with(&mk_running(), &end));
    let Verdict::Cancel(status) = verdict else { panic!("{verdict:?}") };
    assert_eq!(status["cancelRequest"]["seal"], NO_SEAL);
}

#[test]
fn a_canceller_that_sets_the_phase_asks_for_the_end_and_changes_nothing_else() {
    let lost = json!({"executionID": null, "executionRevision": null, "cooldownUntil": null});
    for old in [mk_running(), with(&mk_running(), &json!({"phase": "Pending"})), Value::Null] {
        let end = json!({"phase": "Failed", "failureReason": "parent ended"});
        // One that does not know our fields loses them when it writes the whole status.
        for new in [with(&old, &end), with(&with(&old, &end), &lost)] {
            let Verdict::Cancel(status) = by(ORCHESTRATOR).judge(&old, &new) else { panic!() };
            let request: CancelRequest =
                serde_json::from_value(status["cancelRequest"].clone()).unwrap();
            assert_eq!(request.reason, "parent ended");
            assert_eq!(request.requested_by, Some(mk_user(ORCHESTRATOR)));
            assert!(mk_key().sealed_cancel("u", &request));
            let rest = with(&status, &json!({"cancelRequest": null}));
            assert_eq!(rest, if old.is_null() { json!({}) } else { old.clone() });
            // And again: the first stamp stays.
            let again = with(&status, &end);
            assert_eq!(by(ORCHESTRATOR).judge(&status, &again), Verdict::Restore(status));
        }
        let (kind, _) = denied(by(ALICE).judge(&old, &with(&old, &end)));
        assert_eq!(kind, DenialKind::Forbidden, "alice is no canceller");
    }
}

#[test]
fn a_canceller_changes_nothing_of_what_is_over() {
    let end = json!({"phase": "Failed", "failureReason": "parent ended"});
    for phase in ["Completed", "Failed", "Skipped"] {
        let old = with(&mk_failed(), &json!({"phase": phase}));
        let verdict = by(ORCHESTRATOR).judge(&old, &with(&old, &end));
        assert_eq!(verdict, Verdict::Restore(old));
    }
    let case = Case { deletion: Deletion::Asked, ..by(ORCHESTRATOR) };
    let verdict = case.judge(&mk_running(), &with(&mk_running(), &end));
    assert_eq!(verdict, Verdict::Restore(mk_running()));
}

#[test]
fn an_end_without_words_has_some_and_a_long_story_is_cut() {
    for (given, kept) in [
        (Value::Null, "the phase was set to Failed".to_owned()),
        (json!("  "), "the phase was set to Failed".to_owned()),
        (json!("x".repeat(3_000)), "x".repeat(MAX_CANCEL_REASON_CHARS)),
    ] {
        let end = json!({"phase": "Failed", "failureReason": given});
        let verdict = by(ORCHESTRATOR).judge(&mk_running(), &with(&mk_running(), &end));
        let Verdict::Cancel(status) = verdict else { panic!("{verdict:?}") };
        assert_eq!(status["cancelRequest"]["reason"], kept);
    }
}

fn any_status() -> impl Strategy<Value = Value> {
    let words =
        prop::option::of(prop_oneof![Just(json!(REASON)), Just(json!("no")), Just(json!(7))]);
    let phase =
        prop::option::of(prop::sample::select(vec!["Pending", "Running", "Completed", "Failed"]));
    let id = prop::option::of(prop::sample::select(vec!["e", "f"]));
    (words, phase, id, any::<bool>()).prop_map(|(words, phase, id, cleared)| {
        let mut status = json!({"phase": phase, "executionID": id});
        if let Some(words) = words {
            status["blockClearanceRequest"] = json!({"clearReason": words, "seal": "c2VhbA=="});
        }
        if cleared {
            status["blockClearance"] = json!({"clearedBy": "bob"});
        }
        status
    })
}

proptest! {
    /// Whatever is changed by whomever: a seal is only on what has failed, and on nothing that was changed
    /// beside it; nobody but the bridge changes anything else.
    #[test]
    fn nothing_but_the_requests_ever_changes(old in any_status(), new in any_status(), canceller: bool) {
        let who = if canceller { ORCHESTRATOR } else { ALICE };
        let rest = |status: &Value| {
            let mut rest = fields(status);
            rest.remove(REQUEST);
            rest.remove(CANCEL);
            rest
        };
        match by(who).judge(&old, &new) {
            Verdict::Allow => prop_assert_eq!(fields(&old), fields(&new)),
            Verdict::Deny(_) => {}
            Verdict::Restore(status) | Verdict::Cancel(status) => {
                prop_assert!(canceller);
                prop_assert_eq!(rest(&old), rest(&status));
            }
            Verdict::IfMayClear { status, .. } => {
                prop_assert_eq!(rest(&old), rest(&status));
                if status.get(REQUEST).is_some() {
                    prop_assert_eq!(&old["phase"], "Failed");
                    prop_assert!(old.get("blockClearance").is_none());
                    let id = old["executionID"].as_str().unwrap();
                    prop_assert!(mk_key().sealed_clearance("u", id, &request(&status)));
                }
            }
        }
    }
}
