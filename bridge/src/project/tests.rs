//! Split by what is looked at: `table`, `failures`, `unstarted` and `difference` at single values,
//! `snapshots` at whole statuses, `properties` at whatever a service may send.

mod difference;
mod failures;
mod kstatus;
mod properties;
mod schema;
mod snapshots;
mod table;
mod unstarted;

use jiff::Timestamp;
use wfe_crds::workflow_execution::WorkflowExecutionStatus;
use wfe_proto::v1::{self, State};

use super::{Difference, View, differs, project};
use crate::request::{Cause, Holder, Refusal, Trouble, TroubleKind};

/// Some generation of a spec.
const GENERATION: i64 = 1;

/// Every state that the contract has.
const STATES: [State; 7] = [
    State::Waiting,
    State::Starting,
    State::Running,
    State::Cancelling,
    State::Succeeded,
    State::Failed,
    State::Cancelled,
];

fn time(text: &str) -> Timestamp {
    format!("2026-01-02T{text}Z").parse().unwrap()
}

fn stamp(text: &str) -> prost_types::Timestamp {
    let time = time(text);
    prost_types::Timestamp { seconds: time.as_second(), nanos: time.subsec_nanosecond() }
}

/// Long after everything in these tests.
fn now() -> Timestamp {
    time("12:00:00")
}

/// An execution as the service tells it: accepted at 10:00:00.1, created at 10:00:01.2, and ended at
/// 10:01:31.3, as far as its state has come.
fn mk_execution(state: State) -> v1::Execution {
    let mut execution = v1::Execution {
        id: "0199c0de-7a3c-7bb0-9c11-000000000001".into(),
        request_id: "uid-1".into(),
        workflow: Some(v1::execution::Workflow::Bundle(v1::BundleWorkflow {
            reference: "registry.example/workflows/restart:v1".into(),
            ..v1::BundleWorkflow::default()
        })),
        target: "default/deployment/api".into(),
        workflow_identity: Some(v1::WorkflowIdentity {
            id: "restart-v1".into(),
            ..v1::WorkflowIdentity::default()
        }),
        revision: 2,
        create_time: Some(stamp("10:00:00.1")),
        update_time: Some(stamp("10:00:00.1")),
        ..v1::Execution::default()
    };
    execution.set_state(state);
    let planned = v1::Run {
        namespace: "kubernaut-workflows".into(),
        name: "wfe-0a1b2c3d4e5f6071-3".into(),
        epoch: 3,
        ..v1::Run::default()
    };
    match state {
        State::Unspecified => {}
        State::Waiting => execution.waiting = Some(mk_waiting(v1::Gate::Lock)),
        State::Starting => execution.run = Some(planned),
        State::Running
        | State::Cancelling
        | State::Succeeded
        | State::Failed
        | State::Cancelled => {
            execution.run = Some(v1::Run {
                uid: "run-uid".into(),
                create_time: Some(stamp("10:00:01.2")),
                ..planned
            });
            execution.start_time = Some(stamp("10:00:01.2"));
            execution.update_time = Some(stamp("10:00:31.2"));
            execution.progress = Some(mk_progress(state));
        }
    }
    match state {
        State::Succeeded | State::Failed | State::Cancelled => {
            execution.end_time = Some(stamp("10:01:31.3"));
            execution.update_time = Some(stamp("10:01:31.3"));
            execution.revision = 5;
        }
        State::Unspecified
        | State::Waiting
        | State::Starting
        | State::Running
        | State::Cancelling => {}
    }
    if state == State::Failed {
        execution.failure = Some(mk_failure(v1::FailureReason::TaskFailed));
    }
    if matches!(state, State::Cancelling | State::Cancelled) {
        execution.cancellation = Some(v1::Cancellation {
            reason: "wrong target".into(),
            actor: Some(v1::Actor { user: "alice".into(), ..v1::Actor::default() }),
            request_time: Some(stamp("10:00:30")),
            ..v1::Cancellation::default()
        });
    }
    execution
}

/// The same, stopped or failed before it had a run.
fn without_run(mut execution: v1::Execution) -> v1::Execution {
    execution.start_time = None;
    execution.progress = None;
    if let Some(run) = &mut execution.run {
        run.uid.clear();
        run.create_time = None;
    }
    execution
}

fn mk_waiting(gate: v1::Gate) -> v1::Waiting {
    let mut waiting = v1::Waiting { message: "it says why".into(), ..v1::Waiting::default() };
    waiting.set_gate(gate);
    match gate {
        v1::Gate::Lock => {
            waiting.holder_execution_id = "0199c0de-7a3c-7bb0-9c11-0000000000ff".into();
            waiting.message = "execution 0199c0de-7a3c-7bb0-9c11-0000000000ff holds \
                               default/deployment/api since 2026-01-02T09:58:00.5Z"
                .into();
        }
        v1::Gate::Cooldown | v1::Gate::Backoff => waiting.until = Some(stamp("10:05:00.1")),
        v1::Gate::Unspecified | v1::Gate::Block => {}
    }
    waiting
}

fn mk_progress(state: State) -> v1::Progress {
    let failed = matches!(state, State::Failed | State::Cancelled);
    let task = |name: &str, state: v1::TaskState, attempts| v1::TaskProgress {
        name: name.into(),
        state: state.into(),
        attempts,
        steps: vec![v1::StepProgress {
            name: "patch".into(),
            start_time: (attempts > 0).then(|| stamp("10:00:03")),
            ..v1::StepProgress::default()
        }],
        ..v1::TaskProgress::default()
    };
    let (second, reason, message) = match state {
        State::Succeeded => (v1::TaskState::Succeeded, "Succeeded", "Tasks Completed: 2"),
        State::Failed => (v1::TaskState::Failed, "Failed", "Tasks Completed: 2 (Failed: 1)"),
        State::Cancelled => (v1::TaskState::Cancelled, "Cancelled", "PipelineRun was cancelled"),
        State::Unspecified
        | State::Waiting
        | State::Starting
        | State::Running
        | State::Cancelling => {
            (v1::TaskState::Running, "Running", "Tasks Completed: 1, Incomplete: 1")
        }
    };
    v1::Progress {
        total: 2,
        succeeded: if second == v1::TaskState::Succeeded { 2 } else { 1 },
        failed: failed.into(),
        tasks: vec![task("check", v1::TaskState::Succeeded, 1), task("apply", second, 2)],
        reason: reason.into(),
        message: message.into(),
        ..v1::Progress::default()
    }
}

fn mk_failure(reason: v1::FailureReason) -> v1::Failure {
    v1::Failure {
        reason: reason.into(),
        was_execution_failure: true,
        task: "apply".into(),
        task_run: "wfe-0a1b2c3d4e5f6071-3-apply".into(),
        step: "patch".into(),
        exit_code: Some(3),
        message: "\"step-patch\" exited with code 3".into(),
        summary: "The step patch of task apply exited with code 3. Read its log.".into(),
        raw_reason: "Failed".into(),
        time_until_failure: Some(prost_types::Duration { seconds: 89, nanos: 900_000_000 }),
        attempt: 2,
        log_tail: String::new(),
        evidence: None,
    }
}

fn mk_holder() -> Holder {
    Holder {
        execution_id: "0199c0de-7a3c-7bb0-9c11-0000000000ff".into(),
        namespace: Some("demo".into()),
        name: Some("first".into()),
    }
}

fn mk_refusal() -> Refusal {
    Refusal {
        cause: Cause::Configuration { field: Some("spec.targetResource".into()) },
        message: "spec.targetResource: must be kind/name or namespace/kind/name".into(),
    }
}

fn mk_trouble(kind: TroubleKind) -> Trouble {
    Trouble { kind, message: "connection refused".into(), retry_after: None }
}

/// The status of an execution that nobody looked at before.
fn shown(execution: &v1::Execution) -> WorkflowExecutionStatus {
    project(&View::Execution { execution, holder: None }, None, GENERATION, now())
}

/// Status and reason of a condition, as `True:Reason`; empty when it is not there.
fn condition(status: &WorkflowExecutionStatus, type_: &str) -> String {
    let found = status.conditions.iter().find(|condition| condition.type_ == type_);
    found.map(|found| format!("{}:{}", found.status, found.reason)).unwrap_or_default()
}

const TYPES: [&str; 8] = [
    "Ready",
    "Succeeded",
    "ExecutionCreated",
    "ExecutionRunning",
    "ExecutionComplete",
    "Blocked",
    "Reconciling",
    "Stalled",
];

/// The conditions in one line, in the order of [`TYPES`]; `-` is one that is not there.
fn line(status: &WorkflowExecutionStatus) -> String {
    let short = |type_: &&str| match condition(status, type_) {
        none if none.is_empty() => "-".to_owned(),
        found => found,
    };
    TYPES.iter().map(short).collect::<Vec<_>>().join(" ")
}

/// When a condition got its status.
fn since(status: &WorkflowExecutionStatus, type_: &str) -> Timestamp {
    let found = status.conditions.iter().find(|condition| condition.type_ == type_);
    found.unwrap().last_transition_time.0
}

/// What an API server gives back of what was written.
fn read_back(status: &WorkflowExecutionStatus) -> WorkflowExecutionStatus {
    serde_json::from_str(&serde_json::to_string(status).unwrap()).unwrap()
}

fn assert_settled(view: &View<'_>, status: &WorkflowExecutionStatus) {
    let stored = read_back(status);
    let later = now() + jiff::SignedDuration::from_hours(5);
    let again = project(view, Some(&stored), GENERATION, later);
    assert_eq!(differs(Some(&stored), &again), Difference::None, "{view:?}");
}
