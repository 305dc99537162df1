//! The last lines of the step that made a run fail: read before its end is recorded, and never what an end
//! waits for.

use wfe_core::{
    execution::Execution,
    failure::log::{RawTail, StepLog},
    observe::RunEnd,
};
use wfe_runtime::error::chain;

use super::Reconciler;
use crate::tekton::{LogError, LogOutcome};

impl Reconciler {
    /// `end` with what can be read of `log`. Takes no longer than [`super::Policy::log_patience`].
    pub(super) async fn with_log(
        &self,
        execution: &Execution,
        end: RunEnd,
        log: Option<&StepLog>,
    ) -> RunEnd {
        let Some(log) = log else { return end };
        let reading = self.tekton.log_tail(log);
        let read = tokio::time::timeout(self.policy.log_patience, reading).await;
        let (outcome, tail) = match read {
            Ok(Ok(raw)) => self.told(execution, &raw),
            Ok(Err(error)) => {
                say(execution, log, &error);
                (error.outcome(), None)
            }
            Err(_) => {
                let patience = self.policy.log_patience;
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
