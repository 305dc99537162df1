//! `table`: one situation, one step. `simulation`: two bridges, a service and an API server under random faults.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks for one step, and fails on every other"
)]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::{Value, json};
use wfe_crds::{
    names::FINALIZER,
    workflow_execution::{BlockClearanceRequest, CancelRequest, Phase, Requester},
};
use wfe_proto::v1;

use super::*;
use crate::{
    object::RawObject,
    request::{Cause, TroubleKind},
    seal::{Claim, KEY_BYTES, SealKey},
};

mod simulation;
mod table;
mod wishes;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

const POLICY: Policy =
    Policy { when_locked: WhenLocked::Wait, delete_timeout: Some(Duration::from_mins(10)) };

fn mk_spec() -> Value {
    json!({
        "remediationRequestRef": {"name": "rr"},
        "workflowRef": {
            "workflowId": "w", "workflowName": "restart", "actionType": "RestartPod", "version": "1",
            "executionBundle": "registry.example/wfe/x:v1", "executionEngine": "tekton",
        },
        "targetResource": "default/deployment/api",
    })
}

/// An object as it is created: no status, no finalizer.
fn mk_object() -> Object {
    let raw: RawObject = serde_json::from_value(json!({
        "metadata": {
            "namespace": "n", "name": "a", "uid": "u", "resourceVersion": "1", "generation": 1,
        },
        "spec": mk_spec(),
    }))
    .unwrap();
    Object::read(raw)
}

fn mk_held() -> Object {
    Object { finalizers: vec![FINALIZER.to_owned()], ..mk_object() }
}

fn mk_execution(state: State, revision: i64) -> Execution {
    let stamp =
        |seconds| Some(prost_types::Timestamp { seconds: at(seconds).as_second(), nanos: 0 });
    let over = matches!(state, State::Succeeded | State::Failed | State::Cancelled);
    let ran = !matches!(state, State::Waiting | State::Starting);
    let mut execution = Execution {
        id: "e".to_owned(),
        request_id: "u".to_owned(),
        target: "default/deployment/api".to_owned(),
        revision,
        create_time: stamp(0),
        update_time: stamp(revision),
        start_time: stamp(1).filter(|_| ran),
        end_time: stamp(revision).filter(|_| over),
        run: ran.then(|| v1::Run {
            name: "wfe-0-1".to_owned(),
            uid: "run".to_owned(),
            ..v1::Run::default()
        }),
        failure: (state == State::Failed).then(|| v1::Failure {
            reason: v1::FailureReason::TaskFailed.into(),
            message: "exit code 1".to_owned(),
            ..v1::Failure::default()
        }),
        waiting: (state == State::Waiting).then(|| v1::Waiting {
            gate: v1::Gate::Lock.into(),
            message: "execution other holds it".to_owned(),
            ..v1::Waiting::default()
        }),
        ..Execution::default()
    };
    execution.set_state(state);
    execution
}

fn mk_trouble() -> Trouble {
    Trouble { kind: TroubleKind::Unreachable, message: "refused".to_owned(), retry_after: None }
}

fn mk_key() -> SealKey {
    SealKey::new(&[7; KEY_BYTES]).unwrap()
}

fn mk_seals() -> Seals {
    Seals::Key(mk_key())
}

fn mk_requester(name: &str) -> Requester {
    Requester { username: name.to_owned(), uid: None, groups: vec!["sre".to_owned()] }
}

/// As the webhook writes it for alice.
fn mk_sealed_clearance(execution_id: &str) -> BlockClearanceRequest {
    let mut request = BlockClearanceRequest {
        clear_reason: "looked at it, all is well".to_owned(),
        ticket: None,
        requested_by: Some(mk_requester("alice")),
        requested_at: Some(Time(at(40))),
        seal: None,
    };
    request.seal = mk_key().seal(&Claim::clearance("u", execution_id, &request));
    request
}

/// As somebody may write it past the webhook.
fn mk_forged_clearance() -> BlockClearanceRequest {
    BlockClearanceRequest { requested_by: Some(mk_requester("root")), ..mk_sealed_clearance("e") }
}

/// As the webhook writes it for the orchestrator.
fn mk_sealed_cancel() -> CancelRequest {
    let mut request = CancelRequest {
        reason: "parent ended".to_owned(),
        requested_by: Some(mk_requester("orchestrator")),
        requested_at: Some(Time(at(40))),
        seal: None,
    };
    request.seal = mk_key().seal(&Claim::cancel("u", &request));
    request
}

fn mk_situation<'a>(object: Option<&'a Object>, record: &'a Record) -> Situation<'a> {
    let noted = match record {
        Record::Execution(execution) => execution.revision,
        Record::NotAsked | Record::None { .. } | Record::Refused { .. } | Record::Withdrawn => 0,
    };
    Situation {
        object,
        gone_since: object.is_none().then(|| at(0)),
        record,
        recorded_at: at(0),
        noted,
        following: matches!(record, Record::Execution(_)),
        holder: None,
        server: None,
        writes_from: None,
        shown_at: None,
        seals: &Seals::Off,
        refused: None,
    }
}
