use super::*;

/// The step a minute after everything, with this key for seals.
fn step_with(object: &Object, record: &Record, seals: &Seals, refused: Option<&Refused>) -> Step {
    let situation = Situation { seals, refused, ..mk_situation(Some(object), record) };
    decide(&situation, &POLICY, at(60))
}

fn step(object: &Object, record: &Record) -> Step {
    step_with(object, record, &mk_seals(), None)
}

fn executed(state: State) -> Record {
    Record::Execution(Box::new(mk_execution(state, 5)))
}

/// A failed execution whose block was cleared by `user`, for `somebody`.
fn cleared(user: &str, somebody: Option<&str>, reason: &str) -> Record {
    let on_behalf_of =
        somebody.map(|name| v1::OnBehalfOf { user: name.to_owned(), ..v1::OnBehalfOf::default() });
    let actor = v1::Actor { user: user.to_owned(), on_behalf_of, ..v1::Actor::default() };
    Record::Execution(Box::new(Execution {
        clearance: Some(v1::Clearance {
            actor: Some(actor),
            clear_time: Some(prost_types::Timestamp { seconds: at(50).as_second(), nanos: 0 }),
            reason: reason.to_owned(),
            ticket: String::new(),
        }),
        ..mk_execution(State::Failed, 5)
    }))
}

/// The object as it shows this record, with a request.
fn shown(record: &Record, change: impl FnOnce(&mut WorkflowExecutionStatus)) -> Object {
    let Step::Show(mut status) = step(&mk_held(), record) else { panic!() };
    change(&mut status);
    Object { status: Ok(*status), ..mk_held() }
}

fn asking(request: BlockClearanceRequest) -> Object {
    shown(&executed(State::Failed), |status| status.block_clearance_request = Some(request))
}

fn why(step: &Step, wish: Wish) -> &str {
    match step {
        Step::Settle(settled, Outcome::Refused { why }) if *settled == wish => why,
        step => panic!("{step:?}"),
    }
}

#[test]
fn a_finished_object_with_a_request_needs_work() {
    assert!(needs_work(&asking(mk_sealed_clearance("e"))));
    assert!(needs_work(&asking(mk_forged_clearance())));
    let ended = shown(&executed(State::Failed), |status| {
        status.cancel_request = Some(mk_sealed_cancel());
    });
    assert!(needs_work(&ended));
    assert!(!needs_work(&shown(&executed(State::Failed), |_| {})));
}

#[test]
fn a_clearance_is_asked_of_the_service_in_the_name_of_the_person() {
    let object = asking(mk_sealed_clearance("e"));
    // What became of it is looked up first: another bridge may have asked.
    assert_eq!(step(&object, &Record::NotAsked), Step::Ask);
    let Step::Clear(request) = step(&object, &executed(State::Failed)) else { panic!() };
    assert_eq!(request.target, "default/deployment/api");
    assert_eq!(request.expected_execution_id, "e");
    assert_eq!(request.reason, "looked at it, all is well");
    let somebody = request.on_behalf_of.unwrap();
    assert_eq!((somebody.user.as_str(), &somebody.groups[..]), ("alice", &["sre".to_owned()][..]));
}

#[test]
fn a_clearance_is_shown_and_then_the_request_goes() {
    let object = asking(mk_sealed_clearance("e"));
    let record = cleared("bridge", Some("alice"), "looked at it, all is well");
    let Step::Show(status) = step(&object, &record) else { panic!() };
    assert_eq!(status.block_clearance.as_ref().unwrap().cleared_by, "alice");
    let request = object.status.unwrap().block_clearance_request;
    let showing = WorkflowExecutionStatus { block_clearance_request: request, ..*status };
    let object = Object { status: Ok(showing.clone()), ..mk_held() };
    let done = Outcome::Cleared { by: "alice".to_owned(), at: Some(at(50)) };
    assert_eq!(step(&object, &record), Step::Settle(Wish::Clearance, done));
    // A bridge that died in between begins anew.
    assert_eq!(step(&object, &Record::NotAsked), Step::Ask);
    let rest = WorkflowExecutionStatus { block_clearance_request: None, ..showing };
    let object = Object { status: Ok(rest), ..mk_held() };
    assert_eq!(step(&object, &record), Step::Done);
    assert!(!needs_work(&object));
}

#[test]
fn what_somebody_else_cleared_is_told_to_who_asks() {
    let words = "looked at it, all is well";
    for record in [
        cleared("bob", None, words),
        cleared("bridge", Some("bob"), words),
        cleared("bridge", Some("alice"), "other words"),
    ] {
        let object = shown(&record, |status| {
            status.block_clearance_request = Some(mk_sealed_clearance("e"));
        });
        let step = step(&object, &record);
        let why = why(&step, Wish::Clearance);
        assert!(why.contains("cleared the block at 20"), "{why}");
    }
}

#[test]
fn what_the_service_refuses_is_told_and_not_tried_again() {
    let object = asking(mk_sealed_clearance("e"));
    let seal = mk_sealed_clearance("e").seal.unwrap();
    let refused = Refused { seal, why: "nothing is blocked".to_owned() };
    let record = executed(State::Failed);
    let told = step_with(&object, &record, &mk_seals(), Some(&refused));
    assert_eq!(why(&told, Wish::Clearance), "nothing is blocked");
    // What was refused to one request is not refused to the next.
    let other = Refused { seal: "other".to_owned(), ..refused };
    let next = step_with(&object, &record, &mk_seals(), Some(&other));
    assert!(matches!(next, Step::Clear(_)), "{next:?}");
}

#[test]
fn what_is_not_sealed_for_this_execution_is_never_carried_out() {
    let of_another = mk_sealed_clearance("another");
    for request in [mk_forged_clearance(), of_another, BlockClearanceRequest::default()] {
        let object = asking(request);
        for record in [Record::NotAsked, executed(State::Failed)] {
            let step = step(&object, &record);
            assert!(why(&step, Wish::Clearance).contains("seal"), "{step:?}");
        }
    }
    let end = CancelRequest { reason: "another".to_owned(), ..mk_sealed_cancel() };
    let object = shown(&executed(State::Running), |status| status.cancel_request = Some(end));
    for record in [Record::NotAsked, executed(State::Running)] {
        let step = step(&object, &record);
        assert!(why(&step, Wish::Cancel).contains("seal"), "{step:?}");
    }
}

#[test]
fn without_a_webhook_nothing_is_carried_out_and_that_is_said() {
    let object = asking(mk_sealed_clearance("e"));
    let step = step_with(&object, &Record::NotAsked, &Seals::Off, None);
    assert!(why(&step, Wish::Clearance).contains("no webhook"), "{step:?}");
    let object =
        shown(&executed(State::Running), |status| status.cancel_request = Some(mk_sealed_cancel()));
    let step = step_with(&object, &executed(State::Running), &Seals::Off, None);
    assert!(why(&step, Wish::Cancel).contains("no webhook"), "{step:?}");
}

#[test]
fn before_the_key_is_known_a_request_waits_and_nothing_else_does() {
    let soon = Step::Rest(Some(at(61)));
    let object = asking(mk_sealed_clearance("e"));
    assert_eq!(step_with(&object, &Record::NotAsked, &Seals::Unknown, None), soon);
    let record = executed(State::Running);
    let object = shown(&record, |status| status.cancel_request = Some(mk_sealed_cancel()));
    assert_eq!(step_with(&object, &record, &Seals::Unknown, None), soon);
    let ended = executed(State::Succeeded);
    let shows = step_with(&object, &ended, &Seals::Unknown, None);
    assert!(matches!(shows, Step::Show(_)), "{shows:?}");
    let object = shown(&record, |_| {});
    assert_eq!(step_with(&object, &record, &Seals::Unknown, None), Step::Rest(None));
}

#[test]
fn a_clearance_of_what_is_not_on_record_is_refused() {
    let object = asking(mk_sealed_clearance("e"));
    let unrecorded = step(&object, &Record::None { version: 1 });
    let told = match &unrecorded {
        // What is lost is shown first.
        Step::Show(status) => {
            let request = object.status.clone().unwrap().block_clearance_request;
            let status =
                WorkflowExecutionStatus { block_clearance_request: request, ..(**status).clone() };
            let object = Object { status: Ok(status), ..mk_held() };
            step(&object, &Record::None { version: 1 })
        }
        step => step.clone(),
    };
    assert!(why(&told, Wish::Clearance).contains("no record"), "{told:?}");
}

#[test]
fn a_request_to_clear_is_left_alone_until_the_execution_is_over() {
    let record = executed(State::Running);
    let object =
        shown(&record, |status| status.block_clearance_request = Some(mk_forged_clearance()));
    assert_eq!(step(&object, &record), Step::Rest(None));
}

#[test]
fn an_end_is_asked_for_whatever_is_known_of_what_lives() {
    let object =
        shown(&executed(State::Running), |status| status.cancel_request = Some(mk_sealed_cancel()));
    let new = WorkflowExecutionStatus {
        cancel_request: Some(mk_sealed_cancel()),
        ..WorkflowExecutionStatus::default()
    };
    let new = Object { status: Ok(new), ..mk_object() };
    for (object, record) in [
        (&object, executed(State::Waiting)),
        (&object, executed(State::Starting)),
        (&object, executed(State::Running)),
        (&object, Record::NotAsked),
        (&object, Record::None { version: 1 }),
        (&new, Record::NotAsked),
    ] {
        let Step::Stop(request) = step(object, &record) else { panic!("{record:?}") };
        assert_eq!((request.request_id.as_str(), request.reason.as_str()), ("u", "parent ended"));
        assert_eq!(request.on_behalf_of.unwrap().user, "orchestrator");
    }
    // It was asked to stop: now it goes its way.
    for state in [State::Cancelling, State::Cancelled, State::Succeeded] {
        let next = step(&object, &executed(state));
        assert!(matches!(next, Step::Show(_) | Step::Rest(None)), "{next:?}");
    }
}

#[test]
fn a_request_for_an_end_goes_when_it_is_over() {
    for state in [State::Cancelled, State::Failed, State::Succeeded] {
        let record = executed(state);
        let object = shown(&record, |status| status.cancel_request = Some(mk_sealed_cancel()));
        for record in [Record::NotAsked, record] {
            assert_eq!(step(&object, &record), Step::Settle(Wish::Cancel, Outcome::Over));
        }
    }
}

#[test]
fn what_was_withdrawn_for_who_asked_is_shown_at_once() {
    let new = WorkflowExecutionStatus {
        cancel_request: Some(mk_sealed_cancel()),
        ..WorkflowExecutionStatus::default()
    };
    let object = Object { status: Ok(new), ..mk_held() };
    let situation =
        Situation { seals: &mk_seals(), ..mk_situation(Some(&object), &Record::Withdrawn) };
    let step = decide(&situation, &POLICY, at(0));
    assert!(matches!(step, Step::Show(_)), "{step:?}");
}

#[test]
fn an_end_that_the_service_refuses_is_told_and_the_run_goes_on() {
    let record = executed(State::Running);
    let object = shown(&record, |status| status.cancel_request = Some(mk_sealed_cancel()));
    let seal = mk_sealed_cancel().seal.unwrap();
    let refused = Refused { seal, why: "the bridge is not trusted".to_owned() };
    let told = step_with(&object, &record, &mk_seals(), Some(&refused));
    assert_eq!(why(&told, Wish::Cancel), "the bridge is not trusted");
}

#[test]
fn what_is_being_deleted_is_not_cleared_any_more() {
    let object = Object { deletion: Some(at(0)), ..asking(mk_sealed_clearance("e")) };
    assert_eq!(step(&object, &executed(State::Failed)), Step::Release(Released::Settled));
}
