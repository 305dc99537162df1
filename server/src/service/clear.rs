//! ClearBlock: a person opens the block of a target.

use wfe_core::{
    actor::Actor,
    clear::{ClearReason, Clearance, Outcome},
    execution::Execution,
    ids::ExecutionId,
    target::TargetKey,
};

use super::{Service, TargetReport};
use crate::error::ServiceError;

/// The answer to a ClearBlock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClearedBlock {
    /// The target as it is then.
    pub target: TargetReport,
    /// The execution whose failure had blocked it, with the clearance.
    pub execution: Execution,
}

impl Service {
    /// Opens the block of a target. Each attempt is kept, also one that finds nothing to clear, or
    /// another execution in the way than `expected`.
    pub async fn clear_block(
        &self,
        key: &TargetKey,
        reason: ClearReason,
        ticket: Option<String>,
        expected: Option<ExecutionId>,
        actor: Actor,
    ) -> Result<ClearedBlock, ServiceError> {
        let foreign = self.foreign_to(key).await?;
        let clearance = Clearance { actor, at: self.clock.now(), reason, ticket };
        let decision = self.ledger.clear(key, &clearance, expected, foreign.as_ref()).await?;
        match decision.attempt.outcome {
            Outcome::Cleared(blocking) => Ok(ClearedBlock {
                target: self.target(key).await?,
                execution: self.get(blocking).await?,
            }),
            Outcome::NotBlocked => Err(ServiceError::NotBlocked { target: Box::new(key.clone()) }),
            Outcome::Stale(blocking) => {
                Err(ServiceError::BlockChanged { target: Box::new(key.clone()), blocking })
            }
        }
    }
}
