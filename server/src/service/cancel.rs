//! Cancel: asks an execution to stop.

use wfe_core::{
    actor::Actor,
    execution::{Cancellation, Execution},
    ids::ExecutionId,
    lock::ForeignRuns,
    settle::settle,
    transition::Input,
};

use super::Service;
use crate::error::ServiceError;

impl Service {
    /// Asks an execution to stop, and answers it as it is then. Of one that ended, or that was asked
    /// before, it changes nothing.
    pub async fn cancel(
        &self,
        id: ExecutionId,
        reason: String,
        actor: Actor,
    ) -> Result<Execution, ServiceError> {
        let now = self.clock.now();
        let input = Input::Cancel(Cancellation { reason, actor: actor.clone(), requested_at: now });
        // A cancel gives up a target only from WAITING, which holds none, so nobody is let in here.
        let foreign = ForeignRuns::default();
        let changed = self
            .ledger
            .settle("cancel", id, &|view| settle(view, input.clone(), &actor, &foreign, now))
            .await?;
        match changed {
            Some(execution) => Ok(execution),
            None => self.get(id).await,
        }
    }
}
