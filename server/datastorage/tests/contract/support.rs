//! Events, a receiver, and the description as a judge.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use serde_json::{Value, json};
use wfe_datastorage::{
    Actor, ActorKind, Batch, Clearance, Client, Event, EventData, Facts, Limits, Microsecond,
    Options, Phase, Second, Workflow,
};
use wfe_datastorage_receiver::{Receiver, Settings};
use wfe_runtime::clock::ManualClock;

pub(crate) fn at(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(1_800_000_000_000_000 + micros).unwrap()
}

pub(crate) fn mk_workflow(phase: Phase) -> Workflow {
    Workflow {
        workflow_id: "wf-1".parse().unwrap(),
        workflow_version: "1.0.0".parse().unwrap(),
        target_resource: "shop/deployment/cart".parse().unwrap(),
        phase,
        container_image: "reg/img:1".parse().unwrap(),
        execution_name: "wfe-7".parse().unwrap(),
        workflow_name: None,
        started_at: None,
        completed_at: None,
        duration: None,
        failure_reason: None,
        failure_message: None,
        failed_task_name: None,
        error_details: None,
        pipelinerun_name: None,
        parameters: BTreeMap::new(),
    }
}

pub(crate) fn mk_cleared(reason: &str) -> EventData {
    let (name, reason) = ("wfe-8".parse().unwrap(), reason.parse().unwrap());
    EventData::BlockCleared(Box::new(Clearance::new(name, reason, Second::of(at(0)))))
}

pub(crate) fn mk_started() -> EventData {
    EventData::ExecutionStarted(Box::new(mk_workflow(Phase::Pending)))
}

pub(crate) fn mk_facts(correlation_id: &str, micros: i64, data: EventData) -> Facts {
    Facts {
        event_timestamp: Microsecond::of(at(micros)),
        correlation_id: correlation_id.parse().unwrap(),
        actor: Actor { kind: ActorKind::Service, id: "wfe-server".parse().unwrap(), ip: None },
        resource_type: "WorkflowExecution".parse().unwrap(),
        resource_id: "wfe-7".parse().unwrap(),
        namespace: None,
        cluster_id: None,
        duration_ms: None,
        retention_days: None,
        event_data: data,
    }
}

pub(crate) fn mk_event(correlation_id: &str, micros: i64) -> Event {
    mk_facts(correlation_id, micros, mk_started()).try_into().unwrap()
}

pub(crate) fn mk_batch(events: &[Event]) -> Batch {
    let mut batch = Batch::of(&events[0]).unwrap();
    for event in &events[1..] {
        batch.push(event, Limits::default()).unwrap();
    }
    batch
}

/// A receiver whose clock stands at [`at`]`(0)`, and a client of it.
pub(crate) async fn mk_receiver() -> (Receiver, Client, ManualClock) {
    let clock = ManualClock::new(at(0));
    let settings = Settings { freeze: Duration::from_millis(20), ..Settings::default() };
    let receiver = Receiver::start(Arc::new(clock.clone()), settings).await.unwrap();
    let client = Client::new(Options::new(receiver.url())).unwrap();
    (receiver, client, clock)
}

/// Says what a value of a schema of the description breaks.
pub(crate) fn breaks(schema: &str, value: &Value) -> Vec<String> {
    let text = include_str!("../../openapi.yaml");
    let description: Value = serde_yaml_ng::from_str(text).unwrap();
    let root = json!({
        "$ref": format!("#/components/schemas/{schema}"),
        "components": description["components"],
    });
    let judge = jsonschema::options().should_validate_formats(true).build(&root).unwrap();
    judge.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect()
}
