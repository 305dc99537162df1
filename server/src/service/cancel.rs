//! Cancel: asks an execution to stop, or makes sure that nothing of a request runs.

use std::time::Duration;

use wfe_core::{
    actor::Actor,
    audit::Try,
    execution::{CancelMode, Cancellation, Execution},
    gates::later,
    ids::{ExecutionId, RequestId},
    settle::settle,
    transition::Input,
    withdraw::{WithdrawDecision, Withdrawal},
};

use super::Service;
use crate::error::ServiceError;

/// How an execution is asked to stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cancel {
    /// Why.
    pub reason: String,
    /// How gently.
    pub mode: CancelMode,
    /// How long what goes on is given; `None` is as the service is set. Without a meaning for
    /// [`CancelMode::Immediate`].
    pub escalate_after: Option<Duration>,
}

/// The answer to a Cancel of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cancelled {
    /// The execution that was accepted for it, as it is now.
    Execution(Box<Execution>),
    /// Nothing was accepted for it, and nothing ever will be.
    Withdrawn,
}

impl Service {
    /// Makes sure that nothing of a request runs: stops its execution, or withdraws the request when it
    /// has none. Needs nothing of the cluster.
    pub async fn cancel_request(
        &self,
        id: RequestId,
        cancel: Cancel,
        actor: Actor,
    ) -> Result<Cancelled, ServiceError> {
        let at = self.clock.now();
        let reason = cancel.reason.clone();
        let new = Withdrawal { request_id: id, reason, actor: actor.clone(), at };
        match self.ledger.withdraw(&new).await? {
            // In a transaction of its own: an execution that was accepted stays the one of its request.
            WithdrawDecision::Stop(execution) => {
                let execution = self.cancel(execution, cancel, actor).await?;
                Ok(Cancelled::Execution(Box::new(execution)))
            }
            WithdrawDecision::Withdraw(_) | WithdrawDecision::Withdrawn(_) => {
                Ok(Cancelled::Withdrawn)
            }
        }
    }

    /// Asks an execution to stop, and answers it as it is then. Of one that ended, or that is stopped as
    /// strongly already, it changes nothing; that somebody asked is on record.
    pub async fn cancel(
        &self,
        id: ExecutionId,
        cancel: Cancel,
        actor: Actor,
    ) -> Result<Execution, ServiceError> {
        let now = self.clock.now();
        let Cancel { reason, mode, escalate_after } = cancel;
        let patience = escalate_after.unwrap_or(self.settings.finally_patience);
        let cancellation = Cancellation {
            mode,
            escalate_at: mode.gives_time().then(|| later(now, patience)),
            ..Cancellation::immediate(reason.clone(), actor.clone(), now)
        };
        let input = Input::Cancel(cancellation);
        // A cancel gives up a target only from WAITING, which holds none, so nobody is let in here.
        let around = self.ledger.circumstances(None, now);
        let changed = self
            .ledger
            .settle("cancel", id, &|view| settle(view, input.clone(), &actor, around))
            .await?;
        if let Some(execution) = changed {
            return Ok(execution);
        }
        let execution = self.get(id).await?;
        let tried = Try::cancel_ignored(&execution, &reason, &actor, now);
        self.ledger.tries().decided(tried).await?;
        Ok(execution)
    }
}
