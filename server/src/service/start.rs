//! Start: accepts a request once, for ever.

use std::time::Duration;

use wfe_core::{
    actor::Actor,
    execution::Execution,
    invalid::Violations,
    request::StartRequest,
    start::{NewExecution, StartDecision},
};

use super::Service;
use crate::error::ServiceError;

/// The answer to a Start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Started {
    /// A new execution.
    Accepted(Execution),
    /// The execution that the same request got before.
    Repeated(Execution),
    /// The execution that holds the target, which the caller follows.
    Attached(Execution),
    /// Nothing was stored; this is what would have been.
    Validated(Execution),
}

/// Whether a Start is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It is.
    Store,
    /// Every check is made and nothing is stored.
    ValidateOnly,
}

impl Service {
    /// Accepts a request, or says why not.
    pub async fn start(
        &self,
        request: StartRequest,
        actor: Actor,
        mode: Mode,
    ) -> Result<Started, ServiceError> {
        let now = self.clock.now();
        let new = NewExecution { id: self.ids.execution(now), request, actor, now };
        let decision = self.decide_start(&new, mode).await?;
        match decision {
            StartDecision::Accept { change, .. } => Ok(match mode {
                Mode::Store => Started::Accepted(change.execution),
                Mode::ValidateOnly => Started::Validated(change.execution),
            }),
            StartDecision::Repeat(id) => Ok(Started::Repeated(self.get(id).await?)),
            StartDecision::Attach(id) => Ok(Started::Attached(self.get(id).await?)),
            StartDecision::Refuse(hold) => {
                // Counted, not logged line by line: who hammers a gate must not fill the log.
                self.metrics.refused(hold.gate());
                tracing::debug!(target = %new.request.target, gate = hold.gate().as_str(), "a start was refused");
                let left = hold.until().map(|until| until.duration_since(now));
                let left = left.map(|left| Duration::try_from(left).unwrap_or_default());
                let target = Box::new(new.request.target);
                Err(ServiceError::GateClosed { target, hold: Box::new(hold), left })
            }
            StartDecision::Withdrawn(withdrawal) => {
                Err(ServiceError::RequestWithdrawn(Box::new(withdrawal)))
            }
            StartDecision::Reused { field } => Err(ServiceError::RequestIdReused {
                request_id: new.request.request_id.to_string(),
                field,
            }),
            StartDecision::ClusterUnknown => Err(ServiceError::ClusterUnavailable),
            StartDecision::DeadlinePassed => {
                Err(Violations::one("deadline", format!("must be in the future; it is {now} now"))
                    .into())
            }
        }
    }

    async fn decide_start(
        &self,
        new: &NewExecution,
        mode: Mode,
    ) -> Result<StartDecision, ServiceError> {
        let foreign = self.foreign_to(&new.request.target).await?;
        if let Some((allowed, lag)) = self.lagging() {
            // What writes nothing is answered as ever.
            let decision = self.ledger.validate_start(new, foreign.as_ref()).await?;
            return match decision {
                StartDecision::Accept { .. } | StartDecision::Attach(_) => {
                    Err(ServiceError::AuditLagging { lag, allowed })
                }
                other @ (StartDecision::Repeat(_)
                | StartDecision::Refuse(_)
                | StartDecision::Withdrawn(_)
                | StartDecision::Reused { .. }
                | StartDecision::DeadlinePassed
                | StartDecision::ClusterUnknown) => Ok(other),
            };
        }
        Ok(match mode {
            Mode::Store => self.ledger.start(new, foreign.as_ref()).await?,
            Mode::ValidateOnly => self.ledger.validate_start(new, foreign.as_ref()).await?,
        })
    }

    /// How far delivery may be behind and is, when that is too far.
    fn lagging(&self) -> Option<(Duration, Duration)> {
        let backpressure = self.backpressure.as_ref()?;
        Some((backpressure.max_lag, backpressure.excess()?))
    }
}
