use serde_json::{Value, json};
use wfe_core::{
    actor::OnBehalfOf,
    audit::{Numbering, Record, Stream, Times},
    clear::{Attempt, Outcome},
    lock::{ForeignRuns, TargetState},
    parameter::Parameter,
    request::{Source, WhenLocked, WorkflowIdentity},
    settle::{View, settle},
    start::{NewExecution, StartDecision, StartView, decide},
    transition::{Change, Input},
    workflow::{BundleWorkflow, InlineWorkflow, StepDraft},
};

use super::*;
use crate::testing::{
    around, at, cancel, mk_clearance, mk_key, mk_new, mk_sealed, quiet, run_exists, run_failed,
    run_succeeded, vault,
};

const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A request that says everything that can be said.
fn mk_full() -> NewExecution {
    let mut new = mk_new(1, "shop/deployment/cart", WhenLocked::Wait);
    new.actor = Actor {
        user: "system:serviceaccount:kubernaut-system:wfe-bridge".to_owned(),
        method: AuthenticationMethod::Token,
        on_behalf_of: Some(OnBehalfOf { user: "alice".to_owned(), uid: None, groups: Vec::new() }),
        ..new.actor
    };
    let request = &mut new.request;
    request.target_as_given = "shop/Deployment/cart".to_owned();
    request.workflow =
        BundleWorkflow::new("registry.example/wfe/restart:v1", DIGEST, "").unwrap().into();
    request.correlation_id = Some("rr-7".parse().unwrap());
    request.identity = WorkflowIdentity {
        id: "wf-1".to_owned(),
        name: "restart".to_owned(),
        version: "1.0.0".to_owned(),
    };
    request.source = Some(Source {
        namespace: "kubernaut-system".to_owned(),
        name: "wfe-7".to_owned(),
        uid: "5b2e".to_owned(),
    });
    new
}

/// The changes of a life, and the execution at its end.
fn mk_life(new: &NewExecution, inputs: &[Input]) -> (Vec<Change>, Execution) {
    let foreign = ForeignRuns::default();
    let mut target = TargetState::unused(new.request.target.clone());
    let view = StartView { accepted: None, withdrawn: None, target: &target, waiting: 0 };
    let decision = decide(view, new, around(&foreign, new.now), vault());
    let StartDecision::Accept { change, target: after } = decision else { panic!("{decision:?}") };
    target = after.unwrap();
    let mut execution = change.execution.clone();
    let mut changes = vec![*change];
    for input in inputs {
        let now = execution.updated_at + Duration::from_secs(1);
        let view = View { execution: &execution, target: &target, head: None };
        let settlement =
            settle(view, input.clone(), &Actor::service(), around(&foreign, now)).unwrap();
        target = settlement.target.unwrap_or(target);
        changes.extend(settlement.changes);
        execution = changes.last().unwrap().execution.clone();
    }
    (changes, execution)
}

fn mk_logged(record: &Record) -> Logged {
    let Record { stream, numbering, at, actor, what, about } = record.clone();
    let revision = match numbering {
        Numbering::At(revision) => revision,
        Numbering::Next => 1,
    };
    Logged { sequence: wfe_core::audit::Position(1), stream, revision, at, actor, what, about }
}

/// The events that a life becomes.
fn told(new: &NewExecution, inputs: &[Input]) -> Vec<Value> {
    let (changes, execution) = mk_life(new, inputs);
    let records = changes.iter().flat_map(Record::of_change);
    let events =
        records.filter_map(|record| event_of(&mk_logged(&record), Some(&execution)).unwrap());
    events.map(|event| serde_json::to_value(event).unwrap()).collect()
}

fn types(events: &[Value]) -> Vec<&str> {
    let types = events.iter().map(|event| event["event_type"].as_str().unwrap());
    types.map(|kind| kind.strip_prefix("workflowexecution.").unwrap()).collect()
}

#[test]
fn a_life_becomes_the_events_that_consumers_know() {
    let lives: [(&[Input], &[&str]); 5] = [
        (
            &[run_exists(), run_succeeded()],
            &["selection.completed", "execution.started", "workflow.completed"],
        ),
        (
            &[run_exists(), run_failed()],
            &["selection.completed", "execution.started", "workflow.failed"],
        ),
        (
            &[run_exists(), cancel(), quiet()],
            &["selection.completed", "execution.started", "workflow.failed"],
        ),
        (&[cancel(), quiet()], &["selection.completed", "workflow.failed"]),
        (&[], &["selection.completed"]),
    ];
    for (inputs, expected) in lives {
        let new = mk_new(1, "pod/x", WhenLocked::Wait);
        assert_eq!(types(&told(&new, inputs)), expected, "{inputs:?}");
    }
}

#[test]
fn every_field_of_a_start_is_where_consumers_look_for_it() {
    let events = told(&mk_full(), &[run_exists(), run_succeeded()]);
    assert_eq!(
        events[1],
        json!({
            "version": "1.0",
            "event_type": "workflowexecution.execution.started",
            "event_timestamp": "2027-01-15T08:00:02.000000Z",
            "event_category": "workflowexecution",
            "event_action": "started",
            "event_outcome": "success",
            "correlation_id": "rr-7",
            "actor_type": "service",
            "actor_id": "workflowexecution-controller",
            "resource_type": "WorkflowExecution",
            "resource_id": "wfe-7",
            "namespace": "kubernaut-system",
            "event_data": {
                "event_type": "workflowexecution.execution.started",
                "workflow_id": "wf-1",
                "workflow_version": "1.0.0",
                "workflow_name": "restart",
                "target_resource": "shop/Deployment/cart",
                "phase": "Running",
                "container_image": format!("registry.example/wfe/restart:v1@{DIGEST}"),
                "execution_name": "wfe-7",
                "pipelinerun_name": events[2]["event_data"]["pipelinerun_name"],
                "parameters": {"REASON": "a \"test\"\n"},
            },
        })
    );
    let selected = &events[0];
    assert_eq!(
        (&selected["actor_type"], &selected["actor_id"], &selected["actor_ip"]),
        (&json!("user"), &json!("alice"), &json!("192.0.2.1"))
    );
    assert_eq!(selected["event_data"]["phase"], "Pending");
    assert_eq!(selected["event_data"].get("parameters"), None);
}

#[test]
fn an_end_says_how_long_it_took_and_why_it_failed() {
    let events = told(&mk_full(), &[run_exists(), run_failed()]);
    let failed = &events[2];
    assert_eq!(
        (&failed["event_action"], &failed["event_outcome"]),
        (&json!("failed"), &json!("failure"))
    );
    let data = &failed["event_data"];
    assert_eq!(data["phase"], "Failed");
    assert_eq!(data["failure_reason"], "TaskFailed");
    assert_eq!(data["failure_message"], "exit 1");
    assert_eq!(data["started_at"], "2027-01-15T08:00:01Z");
    assert_eq!(data["completed_at"], "2027-01-15T08:00:01Z");
    assert_eq!(data["duration"], "0s");
    assert_eq!(
        data["error_details"],
        json!({
            "message": "A step exited with 1.",
            "code": "ERR_PIPELINE_FAILED",
            "component": "workflowexecution",
            "retry_possible": false,
        })
    );
}

#[test]
fn who_was_stopped_failed_for_unknown_reasons_and_says_who_stopped_it() {
    let events = told(&mk_full(), &[run_exists(), cancel(), quiet()]);
    let data = &events[2]["event_data"];
    assert_eq!(data["failure_reason"], "Unknown");
    assert_eq!(data["failure_message"], "cancelled by anonymous: not needed any more");
}

#[test]
fn without_a_catalogue_an_object_or_a_correlation_id_the_execution_stands_for_them() {
    let new = mk_new(1, "shop/deployment/cart", WhenLocked::Wait);
    let id = new.id.to_string();
    let event = &told(&new, &[])[0];
    assert_eq!(event["correlation_id"], id.as_str());
    assert_eq!(event["resource_id"], id.as_str());
    assert_eq!(event["namespace"], "shop");
    let data = &event["event_data"];
    assert_eq!(data["execution_name"], id.as_str());
    assert_eq!(data["workflow_id"], "registry.example/wfe/restart:v1");
    assert_eq!(data["workflow_version"], "");
    let mut named = mk_full();
    named.request.correlation_id = None;
    assert_eq!(told(&named, &[])[0]["correlation_id"], "wfe-7");
}

#[test]
fn a_clearance_is_told_when_it_cleared() {
    let (_, execution) = mk_life(&mk_full(), &[run_exists(), run_failed()]);
    let key = mk_key("shop/deployment/cart");
    let told = |outcome| {
        let attempt = Attempt { clearance: mk_clearance(50), outcome };
        let record = Record::of_attempt(&key, &attempt, Some(&execution));
        event_of(&mk_logged(&record), Some(&execution)).unwrap()
    };
    assert_eq!(told(Outcome::NotBlocked), None);
    assert_eq!(told(Outcome::Stale(execution.id)), None);
    let cleared = serde_json::to_value(told(Outcome::Cleared(execution.id)).unwrap()).unwrap();
    assert_eq!(cleared["event_action"], "block_cleared");
    assert_eq!(cleared["correlation_id"], "rr-7");
    assert_eq!(cleared["resource_id"], "5b2e");
    assert_eq!(
        cleared["event_data"],
        json!({
            "event_type": "workflowexecution.block.cleared",
            "workflow_name": "wfe-7",
            "clear_reason": "looked at it at \"50\"",
            "cleared_at": "2027-01-15T08:00:50Z",
            "previous_state": "Blocked",
            "new_state": "Running",
        })
    );
}

#[test]
fn what_the_contract_has_no_word_for_stays_in_the_log() {
    let whats = [
        What::Withdrawn { reason: "not needed".to_owned() },
        What::Refused { code: "TARGET_LOCKED".into(), hold: None, times: Times::once(at(0)) },
        What::Denied {
            method: "Start".into(),
            code: "PERMISSION_DENIED".into(),
            verb: None,
            detail: "no".to_owned(),
            times: Times::once(at(0)),
        },
        What::Pruned { through: 1, entries: 1, hash: String::new() },
    ];
    for what in whats {
        let record = Record {
            stream: Stream::security(),
            numbering: Numbering::Next,
            at: at(0),
            actor: Actor::anonymous(None),
            what,
            about: About::default(),
        };
        assert_eq!(event_of(&mk_logged(&record), None).unwrap(), None, "{record:?}");
    }
}

#[test]
fn durations_are_written_as_the_platform_does() {
    for (seconds, text) in [(0, "0s"), (59, "59s"), (90, "1m30s"), (3605, "1h0m5s")] {
        assert_eq!(spoken(Duration::from_secs(seconds)), text);
    }
}

#[test]
fn reasons_are_those_of_the_contract() {
    for mine in [
        FailureReason::TaskFailed,
        FailureReason::OomKilled,
        FailureReason::DeadlineExceeded,
        FailureReason::Forbidden,
        FailureReason::ResourceExhausted,
        FailureReason::ConfigurationError,
        FailureReason::ImagePullBackOff,
        FailureReason::Unknown,
    ] {
        let theirs = serde_json::to_value(reason(mine)).unwrap();
        assert_eq!(theirs, mine.as_str());
    }
}

#[test]
fn text_that_no_table_takes_is_made_fit() {
    let mut new = mk_full();
    new.actor.on_behalf_of = None;
    new.actor.user = "u".repeat(400);
    new.request.parameters.insert("NUL".to_owned(), Parameter::Plain("a\0b".to_owned()));
    let events = told(&new, &[run_exists()]);
    assert_eq!(events[0]["actor_id"].as_str().unwrap().len(), 255);
    assert_eq!(events[1]["event_data"]["parameters"]["NUL"], "a\u{fffd}b");
}

#[test]
fn a_sensitive_value_is_told_by_its_digest_alone() {
    let mut new = mk_full();
    let sealed = mk_sealed(&new.request.request_id, "PASSWORD", "swordfish");
    let Parameter::Sensitive(kept) = &sealed else { panic!("{sealed:?}") };
    let (digest, ciphertext) = (kept.digest.to_string(), kept.sealed.clone());
    new.request.parameters.insert("PASSWORD".to_owned(), sealed);
    for event in told(&new, &[run_exists(), run_failed()]) {
        let text = event.to_string();
        assert!(!text.contains("swordfish") && !text.contains(&ciphertext), "{text}");
        if let Some(parameters) = event["event_data"].get("parameters") {
            assert_eq!(parameters["PASSWORD"], digest.as_str());
        }
    }
}

#[test]
fn steps_are_delivered_with_their_digest_in_place_of_an_image() {
    let mut new = mk_full();
    let step = StepDraft {
        name: "restart".to_owned(),
        image: "registry.example/tools/kubectl:1.34".to_owned(),
        script: "true".to_owned(),
        ..StepDraft::default()
    };
    let inline = InlineWorkflow::new(vec![step], 0).unwrap();
    new.request.workflow = inline.clone().into();
    new.request.identity = WorkflowIdentity::default();
    let about = About::of_request(&new.request);
    let told = workflow(&about, None, Phase::Pending).unwrap();
    assert_eq!(told.workflow_id.as_str(), inline.key().as_str());
    assert_eq!(told.container_image.as_str(), format!("{}@{}", inline.key(), inline.digest()));
}
