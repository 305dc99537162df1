use wfe_crds::workflow_execution::FailureReason;
use wfe_proto::v1::{self, State};

use super::{condition, mk_execution, mk_failure, shown, time, without_run};

#[test]
fn every_failure_keeps_its_class() {
    use v1::FailureReason as Theirs;
    let rows = [
        (Theirs::TaskFailed, FailureReason::TaskFailed, "TaskFailed", "ExecutionCreationFailed"),
        (Theirs::OomKilled, FailureReason::OomKilled, "OOMKilled", "ExecutionCreationFailed"),
        (
            Theirs::DeadlineExceeded,
            FailureReason::DeadlineExceeded,
            "DeadlineExceeded",
            "ExecutionCreationFailed",
        ),
        (Theirs::Forbidden, FailureReason::Forbidden, "ExecutionFailed", "RBACDenied"),
        (
            Theirs::ResourceExhausted,
            FailureReason::ResourceExhausted,
            "ExecutionFailed",
            "QuotaExceeded",
        ),
        (
            Theirs::ConfigurationError,
            FailureReason::ConfigurationError,
            "ExecutionFailed",
            "ExecutionCreationFailed",
        ),
        (
            Theirs::ImagePullBackOff,
            FailureReason::ImagePullBackOff,
            "ExecutionFailed",
            "ImagePullFailed",
        ),
        (Theirs::Unknown, FailureReason::Unknown, "ExecutionFailed", "ExecutionCreationFailed"),
        (Theirs::Unspecified, FailureReason::Unknown, "ExecutionFailed", "ExecutionCreationFailed"),
    ];
    for (theirs, ours, complete, created) in rows {
        let mut execution = mk_execution(State::Failed);
        execution.failure = Some(mk_failure(theirs));
        let status = shown(&execution);
        let details = status.failure_details.as_ref().unwrap();
        assert_eq!(details.reason, ours);
        assert_eq!(status.failure_reason.as_deref(), Some(ours.as_str()));
        assert_eq!(condition(&status, "Succeeded"), format!("False:{ours}"));
        assert_eq!(condition(&status, "ExecutionComplete"), format!("False:{complete}"));
        let lines: Vec<&str> = details.natural_language_summary.lines().collect();
        assert_eq!(lines[0], "Workflow 'restart-v1' failed on target 'default/deployment/api'.");
        assert_eq!(lines[1], format!("Reason: {ours}"));
        let never_ran = shown(&without_run(execution));
        assert_eq!(condition(&never_ran, "ExecutionCreated"), format!("False:{created}"));
    }
}

#[test]
fn a_failure_tells_where_and_after_how_long() {
    let status = shown(&mk_execution(State::Failed));
    let details = status.failure_details.unwrap();
    assert_eq!((details.failed_task_index, details.failed_task_name.as_str()), (1, "apply"));
    assert_eq!((details.failed_step_name.as_deref(), details.exit_code), (Some("patch"), Some(3)));
    assert_eq!(details.execution_time_before_failure.as_deref(), Some("1m30s"));
    assert_eq!(details.failed_at.unwrap().0, time("10:01:31"));
    assert!(details.was_execution_failure);
    assert_eq!(details.message, "\"step-patch\" exited with code 3");
}

#[test]
fn a_failure_of_no_task_has_no_place() {
    let mut execution = without_run(mk_execution(State::Failed));
    execution.failure = Some(v1::Failure {
        summary: "The deadline passed while it still waited for its target.".into(),
        ..v1::Failure::default()
    });
    let status = shown(&execution);
    let details = status.failure_details.unwrap();
    assert_eq!((details.failed_task_index, details.failed_task_name.as_str()), (0, ""));
    assert_eq!((details.failed_step_name, details.exit_code), (None, None));
    assert_eq!(details.message, "The deadline passed while it still waited for its target.");
    assert!(!details.was_execution_failure);
    assert_eq!((status.start_time, status.duration, status.execution_status), (None, None, None));
    assert_eq!(status.execution_ref, None);
}

#[test]
fn a_cancelled_execution_says_who_stopped_it_and_whether_it_had_acted() {
    let mut execution = mk_execution(State::Cancelled);
    let details = shown(&execution).failure_details.unwrap();
    assert_eq!(details.reason, FailureReason::Unknown);
    assert_eq!(details.message, "alice cancelled it: wrong target.");
    assert!(details.was_execution_failure);
    for task in &mut execution.progress.as_mut().unwrap().tasks {
        for step in &mut task.steps {
            step.start_time = None;
        }
    }
    assert!(!shown(&execution).failure_details.unwrap().was_execution_failure);
    // Of what is gone, or was never looked into, the service knows more than its steps show.
    execution.progress.as_mut().unwrap().step_started = true;
    assert!(shown(&execution).failure_details.unwrap().was_execution_failure);
    let never_ran = shown(&without_run(mk_execution(State::Cancelled)));
    assert!(!never_ran.failure_details.unwrap().was_execution_failure);
}

#[test]
fn the_summary_ends_with_what_decided_and_with_the_log_of_the_step() {
    let mut execution = mk_execution(State::Failed);
    let failure = execution.failure.as_mut().unwrap();
    failure.evidence = Some(v1::Evidence {
        object: "TaskRun run-apply".into(),
        field: "status.steps[patch].terminated.exitCode".into(),
        value: "3".into(),
    });
    failure.log_tail = "patching\n\nerror: no such field\n".into();
    let summary = shown(&execution).failure_details.unwrap().natural_language_summary;
    let evidence = "Evidence: TaskRun run-apply status.steps[patch].terminated.exitCode = 3\n";
    assert!(summary.contains(evidence), "{summary}");
    let log = "Log of the failed step, its last lines:\npatching\n\nerror: no such field\n";
    assert!(summary.ends_with(log), "{summary}");
}

#[test]
fn of_a_log_that_is_too_long_the_end_is_shown() {
    let mut execution = mk_execution(State::Failed);
    execution.failure.as_mut().unwrap().log_tail = format!("{}the end", "é".repeat(100_000));
    let summary = shown(&execution).failure_details.unwrap().natural_language_summary;
    assert!(summary.ends_with("the end\n"), "{}", summary.len());
    assert!(summary.chars().count() < 6_000);
}
