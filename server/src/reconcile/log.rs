//! The last lines of the step that made a run fail: read before its end is recorded, and never what an end
//! waits for.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use wfe_core::{
    execution::Execution,
    failure::log::{RawTail, StepLog},
    observe::RunEnd,
};
use wfe_runtime::error::chain;

use super::Reconciler;
use crate::tekton::{LogError, LogOutcome};

/// How patient to be with logs. While nodes do not answer, many ends would wait one behind the other, so
/// each log that is late halves the patience with the next ones, until one comes in time.
#[derive(Debug, Default)]
pub(super) struct LogPatience {
    late_in_a_row: AtomicU32,
}

/// It is halved this many times at most.
const HALVINGS: u32 = 5;

impl LogPatience {
    fn patience(&self, most: Duration) -> Duration {
        most / 2_u32.pow(self.late_in_a_row.load(Ordering::Relaxed).min(HALVINGS))
    }

    fn note(&self, in_time: bool) {
        if in_time {
            self.late_in_a_row.store(0, Ordering::Relaxed);
        } else {
            self.late_in_a_row.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Reconciler {
    /// `end` with what can be read of `log`. Takes no longer than [`super::Policy::log_patience`].
    pub(super) async fn with_log(
        &self,
        execution: &Execution,
        end: RunEnd,
        log: Option<&StepLog>,
    ) -> RunEnd {
        let Some(log) = log else { return end };
        let patience = self.logs.patience(self.policy.log_patience);
        let read = tokio::time::timeout(patience, self.tekton.log_tail(log)).await;
        self.logs.note(read.is_ok());
        let (outcome, tail) = match read {
            Ok(Ok(raw)) => self.told(execution, &raw),
            Ok(Err(error)) => {
                say(execution, log, &error);
                (error.outcome(), None)
            }
            Err(_) => {
                tracing::warn!(execution.id = %execution.id, log.pod, ?patience, "the log of a failed step did not come in time");
                (LogOutcome::Late, None)
            }
        };
        self.ledger.log_read(outcome);
        end.with_log(tail)
    }

    fn told(&self, execution: &Execution, raw: &RawTail) -> (LogOutcome, Option<String>) {
        match raw.tell(&self.sensitive(execution).veil) {
            Some(tail) => (LogOutcome::Kept, Some(tail)),
            None => (LogOutcome::Empty, None),
        }
    }
}

/// That a pod is gone is usual: Tekton deletes those of what it stops.
fn say(execution: &Execution, log: &StepLog, error: &LogError) {
    let (id, pod, error) = (execution.id, &log.pod, (error.outcome(), chain(error)));
    match error {
        (LogOutcome::Gone, error) => {
            tracing::info!(execution.id = %id, pod, error, "no log of a failed step");
        }
        (
            LogOutcome::Kept
            | LogOutcome::Empty
            | LogOutcome::Forbidden
            | LogOutcome::Late
            | LogOutcome::Failed,
            error,
        ) => {
            tracing::warn!(execution.id = %id, pod, error, "cannot read the log of a failed step");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_logs_that_never_come_hold_up_no_more_than_a_few() {
        let logs = LogPatience::default();
        let most = Duration::from_secs(3);
        let mut waited = Duration::ZERO;
        for _ in 0..1_000 {
            waited += logs.patience(most);
            logs.note(false);
        }
        assert!(waited < Duration::from_secs(100), "{waited:?} one after the other");
        logs.note(true);
        assert_eq!(logs.patience(most), most);
    }
}
