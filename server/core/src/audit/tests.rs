use proptest::prelude::*;

use super::*;
use crate::{
    admit::Circumstances,
    clear::{Clearance, Outcome},
    execution::StateCode,
    gates::Policy,
    lock::{ForeignRuns, TargetState},
    parameter::DigestValues as _,
    settle::settle,
    start::{NewExecution, StartDecision, StartView, decide},
    testing::*,
    transition::Input,
};

fn accepted() -> Change {
    let mut request = mk_request("request-1", "shop/deployment/api");
    request.parameters.insert("REPLICAS".to_owned(), "3".into());
    let new = NewExecution {
        id: mk_id(1),
        request: StartRequest { correlation_id: Some("rr-7".parse().unwrap()), ..request },
        actor: Actor::anonymous(Some("127.0.0.1".to_owned())),
        now: at(0),
    };
    let target = TargetState::unused(new.request.target.clone());
    let view = StartView { accepted: None, withdrawn: None, target: &target, waiting: 0 };
    let policy = Policy::default();
    let foreign = ForeignRuns::default();
    let around = Circumstances { foreign: Some(&foreign), policy: &policy, now: at(0) };
    let decision = decide(view, &new, around, &Sha);
    let StartDecision::Accept { change, .. } = decision else { panic!("{decision:?}") };
    *change
}

#[test]
fn each_event_of_a_change_is_one_record_that_stands_for_itself() {
    let change = accepted();
    let records = Record::of_change(&change);
    assert_eq!(records.len(), change.events.len());
    for (record, event) in records.iter().zip(&change.events) {
        assert_eq!(record.stream.as_str(), format!("executions/{}", mk_id(1)));
        assert_eq!(record.numbering, Numbering::At(event.revision.0));
        let about = &record.about;
        assert_eq!(about.target_key(), Some(change.execution.request.target.clone()));
        assert_eq!(about.correlation_id.as_ref().map(CorrelationId::as_str), Some("rr-7"));
        let What::Transition { before, after, event: kind, asked } = &record.what else {
            panic!("{record:?}");
        };
        assert_eq!((*before, *after, kind), (event.before, event.after, &event.kind));
        assert_eq!(asked.is_some(), before.is_none(), "what was asked for is told once");
    }
}

#[test]
fn the_first_record_of_steps_has_all_of_them_and_every_one_has_their_digest() {
    let mut change = accepted();
    let inline = mk_inline("restart");
    change.execution.request.workflow = inline.clone().into();
    for (at, record) in Record::of_change(&change).iter().enumerate() {
        let workflow = record.about.workflow.as_ref().unwrap();
        assert_eq!(workflow.reference, inline.key().as_str());
        assert_eq!(workflow.digest, Some(inline.digest()));
        let What::Transition { asked, .. } = &record.what else { panic!("{record:?}") };
        let told = asked.as_ref().and_then(|asked| asked.inline.as_ref());
        assert_eq!(told, (at == 0).then_some(&inline));
        let text = serde_json::to_string(&record.what).unwrap();
        assert_eq!(serde_json::from_str::<What>(&text).unwrap(), record.what, "{text}");
    }
}

#[test]
fn an_entry_reads_back_as_what_was_recorded() {
    let key = mk_key("shop/deployment/api");
    let change = accepted();
    let clearance = Clearance {
        actor: Actor::anonymous(None),
        at: at(9),
        reason: "looked at by hand".parse().unwrap(),
        ticket: Some("OPS-7".to_owned()),
    };
    let attempt = Attempt { clearance, outcome: Outcome::Cleared(mk_id(1)) };
    let withdrawal = Withdrawal {
        request_id: "request-2".parse().unwrap(),
        reason: "not needed".to_owned(),
        actor: Actor::service(),
        at: at(3),
    };
    let request = mk_request("request-3", "shop/deployment/api");
    let records = Record::of_change(&change).into_iter().chain([
        Record::of_attempt(&key, &attempt, Some(&change.execution)),
        Record::of_withdrawal(&withdrawal),
        Record::of_attachment(&request, mk_id(1), &Actor::anonymous(None), at(4)),
    ]);
    let mut head = Head::empty(Hash([7; 32]));
    for record in records {
        let entry = head.append(&record, 5).unwrap();
        let read = entry.read().unwrap();
        assert_eq!(read.sequence, head.sequence.next());
        assert_eq!((&read.stream, read.revision), (&record.stream, 5));
        assert_eq!((read.at, &read.actor), (record.at, &record.actor));
        assert_eq!((&read.what, &read.about), (&record.what, &record.about));
        assert!(entry.text.contains(&format!("\"type\":\"{}\"", record.what.as_str())));
        assert_eq!(serde_json::to_string(&read).unwrap(), entry.text, "read is written the same");
        head = entry.head();
    }
    assert_eq!(head.sequence, Position(5));
}

#[test]
fn the_text_and_the_hash_of_an_entry_are_fixed() {
    let records = Record::of_change(&accepted());
    let first = Head::empty(Hash([7; 32])).append(&records[0], 1).unwrap();
    let text = concat!(
        r#"{"sequence":1,"stream":"executions/00000000-0000-0000-0000-000000000001","revision":1,"#,
        r#""at":"2027-01-15T08:00:00Z","#,
        r#""actor":{"user":"anonymous","method":"none","address":"127.0.0.1"},"#,
        r#""what":{"type":"transition","after":"waiting","event":{"type":"accepted"},"#,
        r#""asked":{"parameters":{"REPLICAS":"3"},"when_locked":"reject","when_cooling":"reject","#,
        r#""when_blocked":"reject"}},"#,
        r#""about":{"execution":"00000000-0000-0000-0000-000000000001","request_id":"request-1","#,
        r#""target":{"cluster":"","name":"shop/deployment/api","as_given":"shop/deployment/api"},"#,
        r#""workflow":{"reference":"registry.example/wfe/restart:v1","pipeline":"workflow"},"#,
        r#""correlation_id":"rr-7"}}"#,
    );
    assert_eq!(first.text, text);
    // Worked out by another program.
    assert_eq!(
        first.hash.to_string(),
        "0af29adaa588a5170f9d4a37a1d0a44977f5f084a0adc5ba8adf3f02ad8a17fb"
    );
}

#[test]
fn a_hash_has_one_spelling() {
    let hash = Hash([0xab; 32]);
    assert_eq!(hash.to_string().parse(), Ok(hash));
    for wrong in ["", "ab", &"AB".repeat(32), &"ab".repeat(33), &"xy".repeat(32)] {
        assert!(wrong.parse::<Hash>().is_err(), "{wrong}");
    }
}

proptest! {
    /// The chain notices any difference of any entry, and any other order.
    #[test]
    fn another_history_has_another_hash(
        texts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..8),
        others in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..8),
    ) {
        let chain = |texts: &[Vec<u8>]| {
            texts.iter().fold(Hash([1; 32]), |hash, text| hash.follow(text))
        };
        prop_assert_eq!(chain(&texts) == chain(&others), texts == others);
    }
}

#[test]
fn every_move_of_an_execution_is_recorded_once_whatever_happens_to_it() {
    let change = accepted();
    let mut execution = change.execution.clone();
    let mut recorded = Record::of_change(&change).len() as u64;
    let policy = Policy::default();
    let inputs = [
        Input::Obstruct("quota".to_owned()),
        Input::Obstruct("quota".to_owned()),
        Input::RunExists { uid: "u".to_owned(), created_at: at(1) },
        Input::Cancel(mk_cancellation()),
        Input::Cancel(mk_cancellation()),
        Input::Quiet { end: None, progress: None },
    ];
    for input in inputs {
        let target = crate::lock::held_by(
            &TargetState::unused(execution.request.target.clone()),
            execution.id,
            execution.state.planned_run().unwrap(),
        );
        let view = crate::settle::View { execution: &execution, target: &target, head: None };
        let around = Circumstances { foreign: None, policy: &policy, now: at(2) };
        let settlement = settle(view, input, &Actor::service(), around).unwrap();
        for change in &settlement.changes {
            recorded += Record::of_change(change).len() as u64;
            execution = change.execution.clone();
        }
        assert_eq!(recorded, execution.revision.0);
    }
    assert_eq!(execution.state.code(), StateCode::Cancelled);
}

#[test]
fn of_a_sensitive_parameter_the_digest_is_recorded_and_never_its_sealed_form() {
    let mut request = mk_request("request-1", "pod/x");
    request.parameters.insert("TOKEN".to_owned(), mk_sealed("TOKEN", "hunter2"));
    let asked = Asked::of(&request);
    assert_eq!(asked.parameters["TOKEN"], Sha.digest("TOKEN", "hunter2").to_string());
    assert!(!serde_json::to_string(&asked).unwrap().contains("c2VhbGVk"));
}
