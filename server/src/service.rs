//! What callers can ask for, in the domain's words. One file per call that decides something; the
//! door in [`crate::grpc`] turns messages into these calls and back.

use std::{sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;
use wfe_core::{
    event::Event,
    execution::{Execution, State},
    ids::{ExecutionId, RequestId, Revision},
    lock::{Holder, held_message},
    target::TargetKey,
};

use crate::{
    clock::{Clock, Ids},
    error::ServiceError,
    ledger::Ledger,
    metrics::Metrics,
    store::{Filter, Listed, Page, TargetView},
    tekton::Tekton,
};

mod cancel;
mod start;
mod watch;

pub use cancel::Cancelled;
pub use start::{Mode, Started};
pub use watch::Update;

/// The execution service.
#[derive(Clone)]
pub struct Service {
    ledger: Ledger,
    tekton: Arc<dyn Tekton>,
    clock: Arc<dyn Clock>,
    ids: Arc<Ids>,
    metrics: Metrics,
    settings: Settings,
    draining: CancellationToken,
}

/// What can be set about the service.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Namespace of the runs.
    pub namespace: String,
    /// A watch says that it is alive after this time of silence.
    pub heartbeat: Duration,
}

impl Service {
    /// Puts the parts together. `draining` ends every watch with the cursor where to resume.
    pub fn new(
        ledger: Ledger,
        tekton: Arc<dyn Tekton>,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
        settings: Settings,
        draining: CancellationToken,
    ) -> Self {
        Self { ledger, tekton, clock, ids: Arc::default(), metrics, settings, draining }
    }

    /// The namespace of the runs.
    pub fn namespace(&self) -> &str {
        &self.settings.namespace
    }

    /// What is measured.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// One execution.
    pub async fn get(&self, id: ExecutionId) -> Result<Execution, ServiceError> {
        let execution = self.ledger.store().execution(id).await?;
        self.present(execution.ok_or_else(|| ServiceError::no_execution(id))?).await
    }

    /// The execution that a request got.
    pub async fn get_by_request(&self, id: &RequestId) -> Result<Execution, ServiceError> {
        let execution = self.ledger.store().execution_of_request(id).await?;
        let missing = || ServiceError::NotFound { what: "request", id: id.to_string() };
        self.present(execution.ok_or_else(missing)?).await
    }

    /// Executions, the newest first.
    pub async fn list(&self, filter: &Filter, page: Page) -> Result<Vec<Listed>, ServiceError> {
        Ok(self.ledger.store().list(filter, page).await?)
    }

    /// Events of an execution after a revision, the oldest first.
    pub async fn events(
        &self,
        id: ExecutionId,
        after: Revision,
        limit: u32,
    ) -> Result<Vec<Event>, ServiceError> {
        let events = self.ledger.store().events(id, after, limit).await?;
        if events.is_empty() && self.ledger.store().execution(id).await?.is_none() {
            return Err(ServiceError::no_execution(id));
        }
        Ok(events)
    }

    /// A target, who holds it and who waits for it.
    pub async fn target(&self, key: &TargetKey) -> Result<TargetView, ServiceError> {
        let mut view = self.ledger.store().target(key).await?;
        let holder = view.state.holder;
        for waiting in &mut view.queue {
            name_holder(waiting, holder.as_ref());
        }
        Ok(view)
    }

    /// The execution as it is shown: one that waits names who holds its target now, not who held it
    /// when it was accepted.
    async fn present(&self, mut execution: Execution) -> Result<Execution, ServiceError> {
        if matches!(execution.state, State::Waiting { .. }) {
            let view = self.ledger.store().target(&execution.request.target).await?;
            name_holder(&mut execution, view.state.holder.as_ref());
        }
        Ok(execution)
    }
}

fn name_holder(execution: &mut Execution, holder: Option<&Holder>) {
    let target = &execution.request.target;
    if let State::Waiting { hold } = &mut execution.state
        && let Some(holder) = holder
        && hold.holder != Some(holder.execution)
    {
        hold.holder = Some(holder.execution);
        hold.message = held_message(target, holder);
    }
}
