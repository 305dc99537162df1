//! What tools that follow kstatus conclude, by its published rules for resources that it has no own
//! rules for.

use wfe_proto::v1::{self, State};

use super::{
    GENERATION, STATES, View, WorkflowExecutionStatus, mk_execution, mk_refusal, mk_trouble,
    mk_waiting, now, project, shown, without_run,
};
use crate::request::TroubleKind;

/// The verdict of kstatus on an object that is not being deleted.
pub(super) fn kstatus(generation: i64, status: &WorkflowExecutionStatus) -> &'static str {
    if status.observed_generation.is_some_and(|observed| observed != generation) {
        return "InProgress";
    }
    for condition in status.conditions.iter().filter(|condition| condition.status == "True") {
        match condition.type_.as_str() {
            "Reconciling" => return "InProgress",
            "Stalled" => return "Failed",
            _ => {}
        }
    }
    let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
    match ready.map(|ready| ready.status.as_str()) {
        None | Some("True") => "Current",
        Some(_) => "InProgress",
    }
}

#[test]
fn an_execution_is_current_only_after_it_succeeded() {
    for state in STATES {
        let expected = match state {
            State::Unspecified
            | State::Waiting
            | State::Starting
            | State::Running
            | State::Cancelling => "InProgress",
            State::Succeeded => "Current",
            State::Failed | State::Cancelled => "Failed",
        };
        assert_eq!(kstatus(GENERATION, &shown(&mk_execution(state))), expected, "{state:?}");
        let without = without_run(mk_execution(state));
        assert_eq!(kstatus(GENERATION, &shown(&without)), expected, "{state:?}, no run");
    }
}

#[test]
fn waiting_is_progress_unless_it_waits_for_a_person() {
    let cases = [
        (v1::Gate::Unspecified, "InProgress"),
        (v1::Gate::Lock, "InProgress"),
        (v1::Gate::Cooldown, "InProgress"),
        (v1::Gate::Backoff, "InProgress"),
        (v1::Gate::Block, "Failed"),
    ];
    for (gate, expected) in cases {
        let mut execution = mk_execution(State::Waiting);
        execution.waiting = Some(mk_waiting(gate));
        assert_eq!(kstatus(GENERATION, &shown(&execution)), expected, "{gate:?}");
    }
}

#[test]
fn what_the_service_has_no_execution_of_is_judged_too() {
    let (trouble, refusal) = (mk_trouble(TroubleKind::Refuses), mk_refusal());
    let cases = [
        (View::Unsent(&trouble), "InProgress"),
        (View::Refused { refusal: &refusal, at: now() }, "Failed"),
        (View::Unrecorded, "Failed"),
    ];
    for (view, expected) in cases {
        let status = project(&view, None, GENERATION, now());
        assert_eq!(kstatus(GENERATION, &status), expected, "{view:?}");
    }
}

#[test]
fn a_status_of_an_older_spec_is_progress() {
    let status = shown(&mk_execution(State::Succeeded));
    assert_eq!(kstatus(GENERATION + 1, &status), "InProgress");
}
