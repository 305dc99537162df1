//! Times of an execution as a status tells them: in whole seconds.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use wfe_proto::v1;

use super::Frame;

/// The first second of the year 1: before that Kubernetes has no times.
const FIRST_SECOND: i64 = -62_135_596_800;

/// When the parts of a status came to be.
pub(super) struct Times {
    /// When the execution was accepted.
    pub(super) accepted: Timestamp,
    /// When its run was created.
    pub(super) started: Option<Timestamp>,
    /// When it ended; of one that has not ended, without a meaning.
    pub(super) ended: Timestamp,
    /// When its newest event happened.
    pub(super) updated: Timestamp,
}

impl Times {
    pub(super) fn of(execution: &v1::Execution, has_run: bool, frame: &Frame<'_>) -> Self {
        let at = |time: &Option<prost_types::Timestamp>| time.as_ref().and_then(moment);
        let created = execution.run.as_ref().and_then(|run| at(&run.create_time));
        let started = at(&execution.start_time).or(created).filter(|_| has_run);
        let updated = at(&execution.update_time);
        let accepted = at(&execution.create_time).or(started).or(updated);
        let ended = at(&execution.end_time).or(updated).or(accepted);
        Self {
            accepted: accepted.unwrap_or(frame.now),
            started,
            ended: ended.or_else(|| frame.shown_end()).unwrap_or(frame.now),
            updated: updated.or(accepted).unwrap_or(frame.now),
        }
    }

    /// All at once.
    pub(super) fn all(at: Timestamp) -> Self {
        Self { accepted: at, started: None, ended: at, updated: at }
    }
}

/// A time of the contract. `None` when it is none that Kubernetes can tell.
pub(crate) fn moment(time: &prost_types::Timestamp) -> Option<Timestamp> {
    if time.seconds < FIRST_SECOND || !(0..1_000_000_000).contains(&time.nanos) {
        return None;
    }
    Timestamp::new(time.seconds, time.nanos).ok()
}

/// A time in the whole second in which it was: what is read back must be equal.
pub(super) fn whole(time: Timestamp) -> Time {
    Time(Timestamp::from_second(time.as_second()).unwrap_or(time))
}

/// The first whole second that is not before it.
pub(super) fn whole_after(time: Timestamp) -> Time {
    let seconds = time.as_second() + i64::from(time.subsec_nanosecond() > 0);
    Time(Timestamp::from_second(seconds).unwrap_or(time))
}
