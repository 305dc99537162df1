//! Why something failed.

use wfe_core::failure::{Evidence, Failure, FailureReason};
use wfe_proto::v1;

use super::count;

pub(super) fn failure(failure: &Failure) -> v1::Failure {
    let Failure {
        reason,
        was_execution_failure,
        task,
        task_run,
        step,
        exit_code,
        attempt,
        raw_reason,
        message,
        summary,
        started_at,
        at,
        evidence,
        log_tail,
    } = failure;
    v1::Failure {
        reason: failure_reason(*reason).into(),
        was_execution_failure: *was_execution_failure,
        task: task.clone().unwrap_or_default(),
        task_run: task_run.clone().unwrap_or_default(),
        step: step.clone().unwrap_or_default(),
        exit_code: *exit_code,
        message: message.clone(),
        summary: summary.clone(),
        raw_reason: raw_reason.clone(),
        time_until_failure: started_at.map(|start| {
            let took = at.duration_since(start);
            prost_types::Duration {
                seconds: took.as_secs().max(0),
                nanos: took.subsec_nanos().max(0),
            }
        }),
        attempt: attempt.map(count).unwrap_or_default(),
        log_tail: log_tail.clone().unwrap_or_default(),
        evidence: evidence.as_deref().map(|found| {
            let Evidence { object, field, value } = found;
            v1::Evidence { object: object.clone(), field: field.clone(), value: value.clone() }
        }),
    }
}

fn failure_reason(reason: FailureReason) -> v1::FailureReason {
    match reason {
        FailureReason::TaskFailed => v1::FailureReason::TaskFailed,
        FailureReason::OomKilled => v1::FailureReason::OomKilled,
        FailureReason::DeadlineExceeded => v1::FailureReason::DeadlineExceeded,
        FailureReason::Forbidden => v1::FailureReason::Forbidden,
        FailureReason::ResourceExhausted => v1::FailureReason::ResourceExhausted,
        FailureReason::ConfigurationError => v1::FailureReason::ConfigurationError,
        FailureReason::ImagePullBackOff => v1::FailureReason::ImagePullBackOff,
        FailureReason::Unknown => v1::FailureReason::Unknown,
    }
}
