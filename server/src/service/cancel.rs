//! Cancel: asks an execution to stop, or makes sure that nothing of a request runs.

use wfe_core::{
    actor::Actor,
    audit::Try,
    execution::{Cancellation, Execution},
    ids::{ExecutionId, RequestId},
    settle::settle,
    transition::Input,
    withdraw::{WithdrawDecision, Withdrawal},
};

use super::Service;
use crate::error::ServiceError;

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
        reason: String,
        actor: Actor,
    ) -> Result<Cancelled, ServiceError> {
        let at = self.clock.now();
        let new = Withdrawal { request_id: id, reason: reason.clone(), actor: actor.clone(), at };
        match self.ledger.withdraw(&new).await? {
            // In a transaction of its own: an execution that was accepted stays the one of its request.
            WithdrawDecision::Stop(execution) => {
                let execution = self.cancel(execution, reason, actor).await?;
                Ok(Cancelled::Execution(Box::new(execution)))
            }
            WithdrawDecision::Withdraw(_) | WithdrawDecision::Withdrawn(_) => {
                Ok(Cancelled::Withdrawn)
            }
        }
    }

    /// Asks an execution to stop, and answers it as it is then. Of one that ended, or that was asked
    /// before, it changes nothing; that somebody asked is on record.
    pub async fn cancel(
        &self,
        id: ExecutionId,
        reason: String,
        actor: Actor,
    ) -> Result<Execution, ServiceError> {
        let now = self.clock.now();
        let cancellation =
            Cancellation { reason: reason.clone(), actor: actor.clone(), requested_at: now };
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
