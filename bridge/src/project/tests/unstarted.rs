use jiff::SignedDuration;
use wfe_crds::workflow_execution::{FailureReason, Phase};
use wfe_proto::v1::State;

use super::{
    Cause, GENERATION, Refusal, TroubleKind, View, assert_settled, condition, line, mk_execution,
    mk_trouble, now, project, shown, time,
};

#[test]
fn every_trouble_has_its_reason_and_lets_the_object_wait() {
    let rows = [
        (TroubleKind::Unreachable, "ServerUnavailable"),
        (TroubleKind::Refuses, "ServerRefuses"),
        (TroubleKind::Incompatible, "ServerIncompatible"),
        (TroubleKind::Busy, "ServerBusy"),
    ];
    for (kind, reason) in rows {
        let trouble = mk_trouble(kind);
        let view = View::Unsent(&trouble);
        let status = project(&view, None, GENERATION, now());
        assert_eq!(status.phase, Some(Phase::Pending));
        assert_eq!(condition(&status, "Ready"), format!("False:{reason}"));
        assert_eq!(condition(&status, "Reconciling"), format!("True:{reason}"));
        assert_eq!(condition(&status, "Succeeded"), format!("Unknown:{reason}"));
        assert!(status.conditions[0].message.ends_with("connection refused"));
        assert_settled(&view, &status);
    }
}

#[test]
fn every_refusal_fails_with_its_class() {
    let mk = |cause| Refusal { cause, message: "why".into() };
    let rows = [
        (mk(Cause::UnsupportedEngine), "UnsupportedEngine", "UnsupportedEngine", None),
        (
            mk(Cause::Configuration { field: None }),
            "ConfigurationError",
            "ConfigurationError",
            None,
        ),
        (mk(Cause::DeadlinePassed), "DeadlineExceeded", "DeadlineExceeded", None),
        (
            mk(Cause::Deduplicated { by: Some("first".into()) }),
            "Deduplicated",
            "Deduplicated",
            Some("first"),
        ),
        (Refusal::withdrawn(), "Unknown", "Cancelled", None),
    ];
    for (refusal, class, reason, by) in rows {
        let at = time("10:00:00.9");
        let view = View::Refused { refusal: &refusal, at };
        let status = project(&view, None, GENERATION, now());
        assert_eq!(status.phase, Some(Phase::Failed));
        assert_eq!(status.failure_reason.as_deref(), Some(class));
        assert_eq!(condition(&status, "Succeeded"), format!("False:{reason}"));
        assert_eq!(condition(&status, "Stalled"), format!("True:{reason}"));
        assert_eq!(status.completion_time.as_ref().map(|time| time.0), Some(time("10:00:00")));
        assert_eq!((status.start_time.as_ref(), status.duration.as_ref()), (None, None));
        assert_eq!(status.deduplicated_by.as_deref(), by);
        let details = status.failure_details.as_ref().unwrap();
        assert_eq!((details.reason.as_str(), &details.message), (class, &refusal.message));
        assert!(!details.was_execution_failure);
        // Another bridge that is refused a little later has nothing to add.
        let later = View::Refused { refusal: &refusal, at: at + SignedDuration::from_secs(9) };
        assert_settled(&later, &status);
    }
}

#[test]
fn an_execution_that_is_not_on_record_keeps_what_is_known_of_its_run() {
    let before = shown(&mk_execution(State::Running));
    let view = View::Unrecorded;
    let status = project(&view, Some(&before), GENERATION, now());
    assert_eq!(status.phase, Some(Phase::Failed));
    assert_eq!(status.execution_ref, before.execution_ref);
    assert_eq!(status.start_time, before.start_time);
    assert_eq!(status.execution_id, before.execution_id);
    assert_eq!(status.execution_revision, before.execution_revision);
    assert_eq!(status.duration, None, "nobody knows when it ended");
    assert_eq!(
        line(&status),
        "False:RecordMissing False:RecordMissing True:ExecutionCreated Unknown:RecordMissing \
         False:ExecutionFailed - - True:RecordMissing"
    );
    let details = status.failure_details.as_ref().unwrap();
    assert_eq!(details.reason, FailureReason::Unknown);
    assert!(details.was_execution_failure, "it is not known that nothing ran");
    for part in ["wfe-0a1b2c3d4e5f6071-3", "not started a second time"] {
        assert!(details.message.contains(part), "{}", details.message);
    }
    assert_settled(&view, &status);
    let blank = project(&view, None, GENERATION, now());
    assert_eq!(condition(&blank, "ExecutionCreated"), "Unknown:RecordMissing");
}
