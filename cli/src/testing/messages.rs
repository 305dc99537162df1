//! Messages as the service would send them.

use jiff::Timestamp;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};
use wfe_proto::v1::{
    Actor, BundleWorkflow, EventType, Evidence, Execution, ExecutionEvent, Failure, FailureReason,
    Progress, State, StepProgress, TaskProgress, TaskState, WatchResponse, execution::Workflow,
    watch_response::Update,
};

/// The time of now in tests.
pub(crate) fn now() -> Timestamp {
    "2026-11-21T10:10:00Z".parse().unwrap()
}

/// A time on the day of the tests, `HH:MM:SS` or finer.
pub(crate) fn at(time: &str) -> prost_types::Timestamp {
    let time: Timestamp = format!("2026-11-21T{time}Z").parse().unwrap();
    crate::render::time::to_proto(time)
}

pub(crate) fn mk_execution(id: &str, state: State, revision: i64) -> Execution {
    Execution {
        id: id.to_owned(),
        request_id: format!("r-{id}"),
        workflow: Some(Workflow::Bundle(BundleWorkflow {
            reference: "registry.example/workflows/restart:v1".to_owned(),
            pipeline: "workflow".to_owned(),
            ..BundleWorkflow::default()
        })),
        target: "default/deployment/api".to_owned(),
        target_as_given: "default/deployment/api".to_owned(),
        state: state.into(),
        revision,
        actor: Some(Actor { user: "anonymous".to_owned(), ..Actor::default() }),
        create_time: Some(at("10:00:00")),
        update_time: Some(at("10:00:09")),
        ..Execution::default()
    }
}

pub(crate) fn mk_event(revision: i64, state: State, kind: EventType) -> ExecutionEvent {
    ExecutionEvent {
        execution_id: "e-1".to_owned(),
        revision,
        time: Some(at(&format!("10:00:{:02}", revision % 60))),
        r#type: kind.into(),
        state: state.into(),
        message: format!("message {revision}"),
        ..ExecutionEvent::default()
    }
}

pub(crate) fn mk_task(name: &str, state: TaskState, steps: Vec<StepProgress>) -> TaskProgress {
    TaskProgress {
        name: name.to_owned(),
        state: state.into(),
        steps,
        attempts: 1,
        ..TaskProgress::default()
    }
}

pub(crate) fn mk_progress(tasks: Vec<TaskProgress>) -> Progress {
    let count = |state: TaskState| {
        let tasks = tasks.iter().filter(|task| task.state() == state).count();
        i32::try_from(tasks).unwrap()
    };
    Progress {
        total: i32::try_from(tasks.len()).unwrap(),
        succeeded: count(TaskState::Succeeded),
        failed: count(TaskState::Failed),
        skipped: count(TaskState::Skipped),
        tasks,
        ..Progress::default()
    }
}

pub(crate) fn mk_failure() -> Failure {
    Failure {
        reason: FailureReason::TaskFailed.into(),
        was_execution_failure: true,
        task: "restart".to_owned(),
        task_run: "wfe-1-restart".to_owned(),
        step: "apply".to_owned(),
        exit_code: Some(1),
        message: "\"step-apply\" exited with code 1".to_owned(),
        summary: "Step apply of task restart exited with code 1. Look at its log.".to_owned(),
        raw_reason: "Failed".to_owned(),
        attempt: 1,
        log_tail: "line one\nline \u{1b}[31mtwo\n".to_owned(),
        evidence: Some(Evidence {
            object: "TaskRun wfe-1-restart".to_owned(),
            field: "status.steps[apply].terminated.exitCode".to_owned(),
            value: "1".to_owned(),
        }),
        ..Failure::default()
    }
}

pub(crate) fn snapshot(execution: Execution) -> WatchResponse {
    WatchResponse { cursor: execution.revision, update: Some(Update::Snapshot(execution)) }
}

pub(crate) fn event(event: ExecutionEvent) -> WatchResponse {
    WatchResponse { cursor: event.revision, update: Some(Update::Event(event)) }
}

pub(crate) fn terminal(execution: Execution) -> WatchResponse {
    WatchResponse { cursor: execution.revision, update: Some(Update::Terminal(execution)) }
}

/// An error as the service sends it, with a reason.
pub(crate) fn refusal(code: Code, reason: &str, message: &str) -> Status {
    let details = ErrorDetails::with_error_info(reason, wfe_proto::ERROR_DOMAIN, []);
    Status::with_error_details(code, message, details)
}
