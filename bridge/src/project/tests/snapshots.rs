//! Whole statuses, as `kubectl get -o yaml` shows them.
#![expect(clippy::needless_raw_string_hashes, reason = "expect-test writes them so")]

mod failures;

use expect_test::{Expect, expect};
use wfe_proto::v1::State;

use super::{
    GENERATION, View, WorkflowExecutionStatus, mk_execution, mk_holder, now, project, shown,
};

fn check(status: &WorkflowExecutionStatus, expected: &Expect) {
    expected.assert_eq(&serde_yaml_ng::to_string(status).unwrap());
}

#[test]
fn waiting() {
    let (execution, holder) = (mk_execution(State::Waiting), mk_holder());
    let view = View::Execution { execution: &execution, holder: Some(&holder) };
    check(
        &project(&view, None, GENERATION, now()),
        &expect![[r#"
        observedGeneration: 1
        phase: Pending
        executionID: 0199c0de-7a3c-7bb0-9c11-000000000001
        executionRevision: 2
        conditions:
        - lastTransitionTime: 2026-01-02T10:00:00Z
          message: 'Waits for WorkflowExecution demo/first: execution 0199c0de-7a3c-7bb0-9c11-0000000000ff holds default/deployment/api since 2026-01-02T09:58:00.5Z'
          observedGeneration: 1
          reason: ResourceBusy
          status: 'False'
          type: Ready
        - lastTransitionTime: 2026-01-02T10:00:00Z
          message: 'Waits for WorkflowExecution demo/first: execution 0199c0de-7a3c-7bb0-9c11-0000000000ff holds default/deployment/api since 2026-01-02T09:58:00.5Z'
          observedGeneration: 1
          reason: ResourceBusy
          status: Unknown
          type: Succeeded
        - lastTransitionTime: 2026-01-02T10:00:00Z
          message: No PipelineRun exists yet.
          observedGeneration: 1
          reason: ResourceBusy
          status: Unknown
          type: ExecutionCreated
        - lastTransitionTime: 2026-01-02T10:00:00Z
          message: No PipelineRun exists yet.
          observedGeneration: 1
          reason: ResourceBusy
          status: 'False'
          type: ExecutionRunning
        - lastTransitionTime: 2026-01-02T10:00:00Z
          message: It has not ended yet.
          observedGeneration: 1
          reason: ResourceBusy
          status: Unknown
          type: ExecutionComplete
        - lastTransitionTime: 2026-01-02T10:00:00Z
          message: 'Waits for WorkflowExecution demo/first: execution 0199c0de-7a3c-7bb0-9c11-0000000000ff holds default/deployment/api since 2026-01-02T09:58:00.5Z'
          observedGeneration: 1
          reason: ResourceBusy
          status: 'True'
          type: Blocked
        - lastTransitionTime: 2026-01-02T10:00:00Z
          message: 'Waits for WorkflowExecution demo/first: execution 0199c0de-7a3c-7bb0-9c11-0000000000ff holds default/deployment/api since 2026-01-02T09:58:00.5Z'
          observedGeneration: 1
          reason: ResourceBusy
          status: 'True'
          type: Reconciling
    "#]],
    );
}

#[test]
fn running() {
    check(
        &shown(&mk_execution(State::Running)),
        &expect![[r#"
        observedGeneration: 1
        phase: Running
        startTime: 2026-01-02T10:00:01Z
        executionRef:
          name: wfe-0a1b2c3d4e5f6071-3
        executionStatus:
          status: Unknown
          reason: Running
          message: 'Tasks Completed: 1, Incomplete: 1'
          completedTasks: 1
          totalTasks: 2
          retryCount: 1
        executionID: 0199c0de-7a3c-7bb0-9c11-000000000001
        executionRevision: 2
        conditions:
        - lastTransitionTime: 2026-01-02T10:00:00Z
          message: PipelineRun kubernaut-workflows/wfe-0a1b2c3d4e5f6071-3 runs.
          observedGeneration: 1
          reason: Running
          status: 'False'
          type: Ready
        - lastTransitionTime: 2026-01-02T10:00:00Z
          message: PipelineRun kubernaut-workflows/wfe-0a1b2c3d4e5f6071-3 runs.
          observedGeneration: 1
          reason: Running
          status: Unknown
          type: Succeeded
        - lastTransitionTime: 2026-01-02T10:00:01Z
          message: PipelineRun kubernaut-workflows/wfe-0a1b2c3d4e5f6071-3 was created.
          observedGeneration: 1
          reason: ExecutionCreated
          status: 'True'
          type: ExecutionCreated
        - lastTransitionTime: 2026-01-02T10:00:01Z
          message: PipelineRun kubernaut-workflows/wfe-0a1b2c3d4e5f6071-3 runs.
          observedGeneration: 1
          reason: ExecutionStarted
          status: 'True'
          type: ExecutionRunning
        - lastTransitionTime: 2026-01-02T10:00:00Z
          message: It has not ended yet.
          observedGeneration: 1
          reason: Running
          status: Unknown
          type: ExecutionComplete
        - lastTransitionTime: 2026-01-02T10:00:00Z
          message: PipelineRun kubernaut-workflows/wfe-0a1b2c3d4e5f6071-3 runs.
          observedGeneration: 1
          reason: Running
          status: 'True'
          type: Reconciling
    "#]],
    );
}

#[test]
fn completed() {
    check(
        &shown(&mk_execution(State::Succeeded)),
        &expect![[r#"
        observedGeneration: 1
        phase: Completed
        startTime: 2026-01-02T10:00:01Z
        completionTime: 2026-01-02T10:01:31Z
        duration: 1m30s
        executionRef:
          name: wfe-0a1b2c3d4e5f6071-3
        executionStatus:
          status: 'True'
          reason: Succeeded
          message: 'Tasks Completed: 2'
          completedTasks: 2
          totalTasks: 2
          retryCount: 1
        executionID: 0199c0de-7a3c-7bb0-9c11-000000000001
        executionRevision: 5
        conditions:
        - lastTransitionTime: 2026-01-02T10:01:31Z
          message: PipelineRun kubernaut-workflows/wfe-0a1b2c3d4e5f6071-3 succeeded in 1m30s.
          observedGeneration: 1
          reason: Ready
          status: 'True'
          type: Ready
        - lastTransitionTime: 2026-01-02T10:01:31Z
          message: PipelineRun kubernaut-workflows/wfe-0a1b2c3d4e5f6071-3 succeeded in 1m30s.
          observedGeneration: 1
          reason: ExecutionSucceeded
          status: 'True'
          type: Succeeded
        - lastTransitionTime: 2026-01-02T10:00:01Z
          message: PipelineRun kubernaut-workflows/wfe-0a1b2c3d4e5f6071-3 was created.
          observedGeneration: 1
          reason: ExecutionCreated
          status: 'True'
          type: ExecutionCreated
        - lastTransitionTime: 2026-01-02T10:01:31Z
          message: PipelineRun kubernaut-workflows/wfe-0a1b2c3d4e5f6071-3 has ended.
          observedGeneration: 1
          reason: ExecutionSucceeded
          status: 'False'
          type: ExecutionRunning
        - lastTransitionTime: 2026-01-02T10:01:31Z
          message: PipelineRun kubernaut-workflows/wfe-0a1b2c3d4e5f6071-3 succeeded in 1m30s.
          observedGeneration: 1
          reason: ExecutionSucceeded
          status: 'True'
          type: ExecutionComplete
    "#]],
    );
}
