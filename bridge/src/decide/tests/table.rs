use super::*;

/// No record, asked for because of the version that objects have here.
const NO_RECORD: Record = Record::None { version: 1 };

/// The step for an object that is seen for the first time a minute after everything.
fn step(object: &Object, record: &Record) -> Step {
    decide(&mk_situation(Some(object), record), &POLICY, at(60))
}

fn executed(state: State) -> Record {
    Record::Execution(Box::new(mk_execution(state, 5)))
}

fn shows(step: &Step) -> &WorkflowExecutionStatus {
    match step {
        Step::Show(status) => status,
        step => panic!("{step:?}"),
    }
}

/// The object after what the step shows was written.
fn shown(object: &Object, step: &Step) -> Object {
    Object { status: Ok(shows(step).clone()), version: object.version + 1, ..object.clone() }
}

fn with_status(status: Value) -> Object {
    Object {
        status: serde_json::from_value(status).map_err(|error| error.to_string()),
        ..mk_held()
    }
}

#[test]
fn a_new_object_is_held_and_then_started_without_a_question() {
    assert_eq!(step(&mk_object(), &Record::NotAsked), Step::AddFinalizer);
    let Step::Start(request) = step(&mk_held(), &Record::NotAsked) else { panic!() };
    assert_eq!((request.request_id.as_str(), request.when_locked()), ("u", WhenLocked::Wait));
}

#[test]
fn what_was_seen_before_is_asked_for_and_started_only_without_a_record() {
    let object = with_status(json!({"phase": "Pending"}));
    assert_eq!(step(&object, &Record::NotAsked), Step::Ask);
    assert!(matches!(step(&object, &NO_RECORD), Step::Start(_)));
}

#[test]
fn what_says_that_it_was_started_is_never_started_again() {
    for status in [
        json!({"phase": "Running"}),
        json!({"phase": "Pending", "executionID": "lost"}),
        json!({"phase": "Pending", "executionRef": {"name": "wfe-0-1"}}),
    ] {
        let object = with_status(status.clone());
        assert_eq!(step(&object, &Record::NotAsked), Step::Ask, "{status}");
        let step = step(&object, &NO_RECORD);
        assert_eq!(shows(&step).phase, Some(Phase::Failed), "{status}");
    }
    let unreadable = Object { status: Err("no status".to_owned()), ..mk_held() };
    assert_eq!(step(&unreadable, &Record::NotAsked), Step::Ask);
    assert_eq!(step(&unreadable, &NO_RECORD), Step::Done);
}

#[test]
fn a_finished_object_needs_nothing() {
    for phase in ["Completed", "Failed", "Skipped"] {
        let status = json!({"phase": phase, "completionTime": "2026-01-02T03:04:05Z"});
        let object = with_status(status);
        assert_eq!(step(&object, &Record::NotAsked), Step::Done);
        assert!(!needs_work(&object));
        assert!(!needs_work(&Object { finalizers: Vec::new(), ..object }));
    }
}

#[test]
fn a_phase_alone_is_not_believed_while_the_service_knows_better() {
    let object = with_status(json!({"phase": "Failed", "failureReason": "Parent RR ended"}));
    assert!(needs_work(&object));
    assert_eq!(step(&object, &Record::NotAsked), Step::Ask);
    let running = step(&object, &executed(State::Running));
    assert_eq!(shows(&running).phase, Some(Phase::Running));
    assert_eq!(step(&object, &NO_RECORD), Step::Done);
}

#[test]
fn what_can_never_run_is_shown_without_asking_and_without_holding() {
    let mut spec = mk_spec();
    spec["workflowRef"]["executionEngine"] = json!("ansible");
    let spec = serde_json::from_value(spec).map_err(|error| error.to_string());
    let object = Object { spec, ..mk_object() };
    let Step::Refuse(refusal) = step(&object, &Record::NotAsked) else { panic!() };
    let record = Record::Refused { refusal: *refusal, at: at(0) };
    let refused = step(&object, &record);
    assert_eq!(shows(&refused).failure_reason.as_deref(), Some("UnsupportedEngine"));
    assert_eq!(step(&shown(&object, &refused), &record), Step::Done);
}

#[test]
fn each_state_is_shown_once() {
    for state in [State::Waiting, State::Starting, State::Running, State::Cancelling] {
        let (object, record) = (mk_held(), executed(state));
        let first = step(&object, &record);
        assert_eq!(step(&shown(&object, &first), &record), Step::Rest(None), "{state:?}");
    }
    for state in [State::Succeeded, State::Failed, State::Cancelled] {
        let (object, record) = (mk_held(), executed(state));
        let first = step(&object, &record);
        assert_eq!(step(&shown(&object, &first), &record), Step::Done, "{state:?}");
    }
}

#[test]
fn nothing_is_shown_before_its_events_were_made_known() {
    let (object, record) = (mk_held(), executed(State::Succeeded));
    let situation = Situation { noted: 4, ..mk_situation(Some(&object), &record) };
    assert_eq!(decide(&situation, &POLICY, at(60)), Step::Rest(None));
    let cut = Situation { following: false, ..situation };
    assert_eq!(decide(&cut, &POLICY, at(60)), Step::Follow("e".to_owned()));
    let told = Situation { noted: 5, ..cut };
    assert!(matches!(decide(&told, &POLICY, at(60)), Step::Show(_)));
}

#[test]
fn a_start_that_takes_no_time_costs_no_write() {
    let (object, record) = (mk_held(), executed(State::Starting));
    let situation = mk_situation(Some(&object), &record);
    let Step::Rest(Some(until)) = decide(&situation, &POLICY, at(0)) else { panic!() };
    assert!(matches!(decide(&situation, &POLICY, until), Step::Show(_)));
}

#[test]
fn progress_alone_is_written_once_a_second_and_of_long_runs_more_seldom() {
    let record = executed(State::Running);
    let object = shown(&mk_held(), &step(&mk_held(), &record));
    let mut execution = mk_execution(State::Running, 6);
    execution.progress = Some(v1::Progress { total: 3, succeeded: 1, ..v1::Progress::default() });
    let progressed = Record::Execution(Box::new(execution));
    let ended = Record::Execution(Box::new(mk_execution(State::Succeeded, 7)));
    // The run began in second 1.
    for (shown, next) in [(2, 3), (5, 6), (25, 31), (60, 70), (1_000, 1_010)] {
        let shown_at = Some(at(shown));
        let situation = Situation { shown_at, ..mk_situation(Some(&object), &progressed) };
        assert_eq!(decide(&situation, &POLICY, at(shown)), Step::Rest(Some(at(next))), "{shown}");
        assert!(matches!(decide(&situation, &POLICY, at(next)), Step::Show(_)), "{shown}");
        // The end is not held back.
        let situation = Situation { shown_at, ..mk_situation(Some(&object), &ended) };
        assert!(matches!(decide(&situation, &POLICY, at(shown)), Step::Show(_)), "{shown}");
    }
}

#[test]
fn who_knows_less_than_is_shown_does_not_turn_it_back() {
    let later = Record::Execution(Box::new(mk_execution(State::Succeeded, 9)));
    let object = shown(&mk_held(), &step(&mk_held(), &later));
    assert_eq!(step(&object, &executed(State::Running)), Step::Rest(None));
}

#[test]
fn the_end_is_shown_also_when_the_records_of_the_service_were_set_back() {
    let before = Record::Execution(Box::new(mk_execution(State::Running, 9)));
    let object = shown(&mk_held(), &step(&mk_held(), &before));
    let end = step(&object, &executed(State::Succeeded));
    assert_eq!(shows(&end).phase, Some(Phase::Completed));
    // The schema lets no revision fall.
    assert_eq!(shows(&end).execution_revision, Some(9));
}

#[test]
fn a_finalizer_that_somebody_took_off_is_put_on_again_while_it_runs() {
    assert_eq!(step(&mk_object(), &executed(State::Running)), Step::AddFinalizer);
    assert!(matches!(step(&mk_object(), &executed(State::Succeeded)), Step::Show(_)));
}

#[test]
fn who_waits_learns_for_whom() {
    let mut execution = mk_execution(State::Waiting, 5);
    execution.waiting.as_mut().unwrap().holder_execution_id = "other".to_owned();
    let (object, record) = (mk_held(), Record::Execution(Box::new(execution)));
    assert_eq!(step(&object, &record), Step::FindHolder("other".to_owned()));
    let holder = Holder {
        execution_id: "other".to_owned(),
        namespace: Some("n".to_owned()),
        name: Some("first".to_owned()),
    };
    let situation = Situation { holder: Some(&holder), ..mk_situation(Some(&object), &record) };
    let step = decide(&situation, &POLICY, at(60));
    let blocked = shows(&step).conditions.iter().find(|condition| condition.type_ == "Blocked");
    assert!(blocked.unwrap().message.contains("n/first"), "{blocked:?}");
}

#[test]
fn who_waits_for_a_person_learns_where_the_block_is_cleared() {
    let mut execution = mk_execution(State::Waiting, 5);
    execution.waiting = Some(v1::Waiting {
        gate: v1::Gate::Block.into(),
        cause_execution_id: "failed".to_owned(),
        ..v1::Waiting::default()
    });
    let (object, record) = (mk_held(), Record::Execution(Box::new(execution)));
    assert_eq!(step(&object, &record), Step::FindHolder("failed".to_owned()));
}

#[test]
fn what_cannot_be_started_says_so_after_a_moment_and_stays_pending() {
    let (object, trouble) = (mk_held(), mk_trouble());
    let setback = Setback { trouble: &trouble, since: at(0), until: at(5) };
    let situation =
        Situation { server: Some(setback), ..mk_situation(Some(&object), &Record::NotAsked) };
    assert_eq!(decide(&situation, &POLICY, at(1)), Step::Rest(Some(at(2))));
    let said = decide(&situation, &POLICY, at(2));
    assert_eq!(shows(&said).phase, Some(Phase::Pending));
    let object = shown(&object, &said);
    let situation = Situation { object: Some(&object), ..situation };
    assert_eq!(decide(&situation, &POLICY, at(3)), Step::Rest(Some(at(5))));
    // It was seen before, so it is asked for.
    assert_eq!(decide(&situation, &POLICY, at(5)), Step::Ask);
}

#[test]
fn failed_writes_are_made_again_later() {
    let (object, record) = (mk_held(), executed(State::Running));
    let situation = Situation { writes_from: Some(at(62)), ..mk_situation(Some(&object), &record) };
    assert_eq!(decide(&situation, &POLICY, at(60)), Step::Rest(Some(at(62))));
    assert!(matches!(decide(&situation, &POLICY, at(62)), Step::Show(_)));
}

#[test]
fn a_deleted_object_is_let_go_when_nothing_of_it_can_run() {
    let object = Object { deletion: Some(at(0)), ..mk_held() };
    let refused = || Record::Refused {
        refusal: Refusal {
            cause: Cause::Configuration { field: None },
            message: "wrong".to_owned(),
        },
        at: at(0),
    };
    for record in [Record::NotAsked, NO_RECORD, refused(), executed(State::Running)] {
        assert_eq!(step(&object, &record), Step::Withdraw, "{record:?}");
    }
    for state in [State::Waiting, State::Starting] {
        assert_eq!(step(&object, &executed(state)), Step::Withdraw, "{state:?}");
    }
    assert_eq!(step(&object, &Record::Withdrawn), Step::Release(Released::Settled));
    let cancelling = executed(State::Cancelling);
    let running = shown(&object, &step(&object, &cancelling));
    assert_eq!(step(&running, &cancelling), Step::Rest(Some(at(600))));
    // The end is shown first: others may hold the object for longer.
    let cancelled = executed(State::Cancelled);
    let over = shown(&object, &step(&object, &cancelled));
    assert_eq!(step(&over, &cancelled), Step::Release(Released::Settled));
}

#[test]
fn a_deletion_is_bounded() {
    let object = Object { deletion: Some(at(0)), ..mk_held() };
    let trouble = mk_trouble();
    let setback = Setback { trouble: &trouble, since: at(0), until: at(700) };
    for record in [Record::NotAsked, executed(State::Running), executed(State::Cancelling)] {
        let situation = Situation { server: Some(setback), ..mk_situation(Some(&object), &record) };
        let given_up = Step::Release(Released::GivenUp);
        assert_ne!(decide(&situation, &POLICY, at(599)), given_up, "{record:?}");
        assert_eq!(decide(&situation, &POLICY, at(600)), given_up, "{record:?}");
        let for_ever = Policy { delete_timeout: None, ..POLICY };
        assert_ne!(decide(&situation, &for_ever, at(100_000)), given_up);
    }
}

#[test]
fn after_the_deadline_nobody_waits_for_what_others_still_hold() {
    let object = Object { deletion: Some(at(0)), finalizers: vec!["x".to_owned()], ..mk_held() };
    let trouble = mk_trouble();
    let setback = Setback { trouble: &trouble, since: at(0), until: at(700) };
    for state in [State::Waiting, State::Running, State::Cancelling] {
        let record = executed(state);
        let situation = Situation {
            server: Some(setback),
            following: false,
            ..mk_situation(Some(&object), &record)
        };
        assert_eq!(decide(&situation, &POLICY, at(599)), Step::Rest(Some(at(600))), "{state:?}");
        assert_eq!(decide(&situation, &POLICY, at(600)), Step::Done, "{state:?}");
    }
}

#[test]
fn what_others_still_hold_is_not_touched_after_it_was_let_go() {
    let object = Object { deletion: Some(at(0)), finalizers: vec!["x".to_owned()], ..mk_held() };
    for record in [Record::NotAsked, NO_RECORD, Record::Withdrawn] {
        assert_eq!(step(&object, &record), Step::Done, "{record:?}");
    }
    assert!(!needs_work(&object));
}

#[test]
fn what_is_gone_without_being_let_go_is_stopped() {
    let gone = |record: &Record, now| decide(&mk_situation(None, record), &POLICY, now);
    assert_eq!(gone(&executed(State::Running), at(1)), Step::Withdraw);
    assert_eq!(gone(&executed(State::Waiting), at(1)), Step::Withdraw);
    assert_eq!(gone(&executed(State::Cancelling), at(1)), Step::Done);
    assert_eq!(gone(&Record::NotAsked, at(1)), Step::Done);
    assert_eq!(gone(&executed(State::Running), at(601)), Step::Done);
}

#[test]
fn what_somebody_else_withdrew_is_shown_when_nobody_else_does() {
    let (object, record) = (mk_held(), Record::Withdrawn);
    let situation = mk_situation(Some(&object), &record);
    assert_eq!(decide(&situation, &POLICY, at(1)), Step::Rest(Some(at(5))));
    let step = decide(&situation, &POLICY, at(5));
    assert_eq!(shows(&step).phase, Some(Phase::Failed));
    let finished = shown(&object, &step);
    let situation = Situation { object: Some(&finished), ..situation };
    assert_eq!(decide(&situation, &POLICY, at(1)), Step::Done);
}

#[test]
fn who_was_refused_does_not_write_another_end_than_the_one_that_is_shown() {
    let withdrawn = decide(&mk_situation(Some(&mk_held()), &Record::Withdrawn), &POLICY, at(60));
    let object = shown(&mk_held(), &withdrawn);
    let cause = Cause::Deduplicated { by: Some("first".to_owned()) };
    let refusal = Refusal { cause, message: "n/first holds it".to_owned() };
    assert_eq!(step(&object, &Record::Refused { refusal, at: at(0) }), Step::Done);
}

#[test]
fn no_record_of_before_somebody_started_it_means_nothing() {
    let status = json!({"phase": "Pending", "executionID": "of another bridge"});
    let object = Object { version: 2, ..with_status(status) };
    assert_eq!(step(&object, &NO_RECORD), Step::Ask);
    assert!(matches!(step(&object, &Record::None { version: 2 }), Step::Show(_)));
}
