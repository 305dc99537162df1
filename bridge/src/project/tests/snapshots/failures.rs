#![expect(clippy::needless_raw_string_hashes, reason = "expect-test writes them so")]

use expect_test::expect;
use wfe_proto::v1::State;

use super::{
    super::{Cause, Refusal, time},
    GENERATION, View, check, mk_execution, now, project, shown,
};

#[test]
fn failed() {
    check(
        &shown(&mk_execution(State::Failed)),
        &expect![[r#"
        observedGeneration: 1
        phase: Failed
        startTime: 2026-01-02T10:00:01Z
        completionTime: 2026-01-02T10:01:31Z
        duration: 1m30s
        executionRef:
          name: wfe-0a1b2c3d4e5f6071-3
        executionStatus:
          status: 'False'
          reason: Failed
          message: 'Tasks Completed: 2 (Failed: 1)'
          completedTasks: 1
          totalTasks: 2
          retryCount: 1
        failureReason: TaskFailed
        failureDetails:
          failedTaskIndex: 1
          failedTaskName: apply
          failedStepName: patch
          reason: TaskFailed
          message: '"step-patch" exited with code 3'
          exitCode: 3
          failedAt: 2026-01-02T10:01:31Z
          executionTimeBeforeFailure: 1m30s
          naturalLanguageSummary: |
            Workflow 'restart-v1' failed on target 'default/deployment/api'.
            Reason: TaskFailed
            Where: task apply, step patch, exit code 3, attempt 2
            What happened: The step patch of task apply exited with code 3. Read its log.
            Error: "step-patch" exited with code 3
            Failed after: 1m30s
            Side effects: steps had started, so the target may have been changed.
          wasExecutionFailure: true
        executionID: 0199c0de-7a3c-7bb0-9c11-000000000001
        executionRevision: 5
        conditions:
        - lastTransitionTime: 2026-01-02T10:00:00Z
          message: The step patch of task apply exited with code 3. Read its log.
          observedGeneration: 1
          reason: TaskFailed
          status: 'False'
          type: Ready
        - lastTransitionTime: 2026-01-02T10:01:31Z
          message: The step patch of task apply exited with code 3. Read its log.
          observedGeneration: 1
          reason: TaskFailed
          status: 'False'
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
          reason: TaskFailed
          status: 'False'
          type: ExecutionRunning
        - lastTransitionTime: 2026-01-02T10:01:31Z
          message: The step patch of task apply exited with code 3. Read its log.
          observedGeneration: 1
          reason: TaskFailed
          status: 'False'
          type: ExecutionComplete
        - lastTransitionTime: 2026-01-02T10:01:31Z
          message: The step patch of task apply exited with code 3. Read its log.
          observedGeneration: 1
          reason: TaskFailed
          status: 'True'
          type: Stalled
    "#]],
    );
}

#[test]
fn cancelled() {
    check(
        &shown(&mk_execution(State::Cancelled)),
        &expect![[r#"
            observedGeneration: 1
            phase: Failed
            startTime: 2026-01-02T10:00:01Z
            completionTime: 2026-01-02T10:01:31Z
            duration: 1m30s
            executionRef:
              name: wfe-0a1b2c3d4e5f6071-3
            executionStatus:
              status: 'False'
              reason: Cancelled
              message: PipelineRun was cancelled
              completedTasks: 1
              totalTasks: 2
              retryCount: 1
            failureReason: Unknown
            failureDetails:
              failedTaskIndex: 0
              failedTaskName: ''
              reason: Unknown
              message: 'alice cancelled it: wrong target.'
              failedAt: 2026-01-02T10:01:31Z
              executionTimeBeforeFailure: 1m30s
              naturalLanguageSummary: |
                Workflow 'restart-v1' was cancelled on target 'default/deployment/api'.
                What happened: alice cancelled it: wrong target.
                Stopped after: 1m30s
                Side effects: steps had started, so the target may have been changed.
              wasExecutionFailure: true
            executionID: 0199c0de-7a3c-7bb0-9c11-000000000001
            executionRevision: 5
            conditions:
            - lastTransitionTime: 2026-01-02T10:00:00Z
              message: 'alice cancelled it: wrong target.'
              observedGeneration: 1
              reason: Cancelled
              status: 'False'
              type: Ready
            - lastTransitionTime: 2026-01-02T10:01:31Z
              message: 'alice cancelled it: wrong target.'
              observedGeneration: 1
              reason: Cancelled
              status: 'False'
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
              reason: Cancelled
              status: 'False'
              type: ExecutionRunning
            - lastTransitionTime: 2026-01-02T10:01:31Z
              message: 'alice cancelled it: wrong target.'
              observedGeneration: 1
              reason: Cancelled
              status: 'False'
              type: ExecutionComplete
            - lastTransitionTime: 2026-01-02T10:01:31Z
              message: 'alice cancelled it: wrong target.'
              observedGeneration: 1
              reason: Cancelled
              status: 'True'
              type: Stalled
        "#]],
    );
}

#[test]
fn deduplicated() {
    let refusal = Refusal {
        cause: Cause::Deduplicated { by: Some("first".into()) },
        message: "WorkflowExecution demo/first acts on the target already: execution 0199 holds \
                  default/deployment/api since 2026-01-02T09:58:00.5Z"
            .into(),
    };
    let view = View::Refused { refusal: &refusal, at: time("10:00:00") };
    check(
        &project(&view, None, GENERATION, now()),
        &expect![[r#"
        observedGeneration: 1
        phase: Failed
        completionTime: 2026-01-02T10:00:00Z
        failureReason: Deduplicated
        failureDetails:
          failedTaskIndex: 0
          failedTaskName: ''
          reason: Deduplicated
          message: 'WorkflowExecution demo/first acts on the target already: execution 0199 holds default/deployment/api since 2026-01-02T09:58:00.5Z'
          failedAt: 2026-01-02T10:00:00Z
          naturalLanguageSummary: |
            The workflow was not started.
            Reason: Deduplicated
            What happened: WorkflowExecution demo/first acts on the target already: execution 0199 holds default/deployment/api since 2026-01-02T09:58:00.5Z
        deduplicatedBy: first
        conditions:
        - lastTransitionTime: 2026-01-02T10:00:00Z
          message: 'WorkflowExecution demo/first acts on the target already: execution 0199 holds default/deployment/api since 2026-01-02T09:58:00.5Z'
          observedGeneration: 1
          reason: Deduplicated
          status: 'False'
          type: Ready
        - lastTransitionTime: 2026-01-02T10:00:00Z
          message: 'WorkflowExecution demo/first acts on the target already: execution 0199 holds default/deployment/api since 2026-01-02T09:58:00.5Z'
          observedGeneration: 1
          reason: Deduplicated
          status: 'False'
          type: Succeeded
        - lastTransitionTime: 2026-01-02T10:00:00Z
          message: 'WorkflowExecution demo/first acts on the target already: execution 0199 holds default/deployment/api since 2026-01-02T09:58:00.5Z'
          observedGeneration: 1
          reason: ExecutionCreationFailed
          status: 'False'
          type: ExecutionCreated
        - lastTransitionTime: 2026-01-02T10:00:00Z
          message: No PipelineRun was ever created.
          observedGeneration: 1
          reason: ExecutionFailedToStart
          status: 'False'
          type: ExecutionRunning
        - lastTransitionTime: 2026-01-02T10:00:00Z
          message: 'WorkflowExecution demo/first acts on the target already: execution 0199 holds default/deployment/api since 2026-01-02T09:58:00.5Z'
          observedGeneration: 1
          reason: ExecutionFailed
          status: 'False'
          type: ExecutionComplete
        - lastTransitionTime: 2026-01-02T10:00:00Z
          message: 'WorkflowExecution demo/first acts on the target already: execution 0199 holds default/deployment/api since 2026-01-02T09:58:00.5Z'
          observedGeneration: 1
          reason: Deduplicated
          status: 'True'
          type: Stalled
    "#]],
    );
}
