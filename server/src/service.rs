//! What callers can ask for, in the domain's words. One file per call that decides something; the
//! door in [`crate::grpc`] turns messages into these calls and back.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use wfe_core::{
    access::Method,
    actor::Actor,
    admit::{Admission, Circumstances, admit},
    audit::Try,
    clear::Attempt,
    event::Event,
    execution::{Execution, State},
    gates::Policy,
    ids::{ExecutionId, RequestId, Revision},
    lock::{ForeignRuns, TargetState},
    parameter::SensitiveNames,
    target::TargetKey,
};

use crate::{
    audit::Sealer,
    auth::AccessError,
    clock::{Clock, Ids},
    delivery::Backpressure,
    error::ServiceError,
    ledger::Ledger,
    metrics::Metrics,
    reconcile::foreign_runs,
    store::{Filter, Listed, Page, TargetView},
    tekton::Tekton,
    vault::Vault,
};

mod cancel;
mod clear;
mod export;
mod follow;
mod start;
mod watch;

pub use cancel::{Cancel, Cancelled};
pub use clear::ClearedBlock;
pub use follow::{News, Told};
pub use start::{Mode, Started};
pub use watch::Update;

/// So many attempts to clear a block are told of a target.
const TOLD_ATTEMPTS: u32 = 20;

/// What is known of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetReport {
    /// Who holds it, who waits for it, and what those before left behind.
    pub view: TargetView,
    /// A live run of somebody else, which holds it too.
    pub foreign: Option<String>,
    /// The newest attempts to clear a block, the newest first.
    pub attempts: Vec<Attempt>,
    /// What is done at each gate.
    pub policy: Policy,
    /// When that was so.
    pub now: Timestamp,
}

/// The execution service.
#[derive(Clone)]
pub struct Service {
    ledger: Ledger,
    tekton: Arc<dyn Tekton>,
    clock: Arc<dyn Clock>,
    ids: Arc<Ids>,
    metrics: Metrics,
    settings: Settings,
    backpressure: Option<Backpressure>,
    draining: CancellationToken,
    log: Option<Arc<Sealer>>,
}

/// What can be set about the service.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Namespace of the runs.
    pub namespace: String,
    /// A watch says that it is alive after this time of silence.
    pub heartbeat: Duration,
    /// Parameters that are sensitive whoever calls.
    pub sensitive: SensitiveNames,
    /// How long what still runs is given by a Cancel that gives time and does not say how much.
    pub finally_patience: Duration,
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
        Self {
            ledger,
            tekton,
            clock,
            ids: Arc::default(),
            metrics,
            settings,
            backpressure: None,
            draining,
            log: None,
        }
    }

    /// The same, which accepts nothing new while delivery is too far behind.
    #[must_use]
    pub fn with_backpressure(self, backpressure: Option<Backpressure>) -> Self {
        Self { backpressure, ..self }
    }

    /// The same with these ids.
    #[cfg(test)]
    pub(crate) fn with_ids(self, ids: Ids) -> Self {
        Self { ids: Arc::new(ids), ..self }
    }

    /// The same, with a log that is signed and can be exported.
    #[must_use]
    pub fn with_log(self, log: Arc<Sealer>) -> Self {
        Self { log: Some(log), ..self }
    }

    /// The namespace of the runs.
    pub fn namespace(&self) -> &str {
        &self.settings.namespace
    }

    /// Seals sensitive values.
    pub fn vault(&self) -> &Vault {
        self.ledger.vault()
    }

    /// Parameters that are sensitive whoever calls.
    pub fn sensitive(&self) -> &SensitiveNames {
        &self.settings.sensitive
    }

    /// What is measured.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Puts on record that somebody is not let in, or may not do something.
    pub async fn denied(&self, method: Method, denial: &AccessError, actor: &Actor) {
        let (code, at) = (denial.code().as_str(), self.clock.now());
        let verb = match denial {
            AccessError::Denied { verb, .. } => Some(verb.as_str()),
            AccessError::Unauthenticated(_)
            | AccessError::NotTrusted { .. }
            | AccessError::Unavailable(_) => None,
        };
        let detail = denial.to_string();
        let tried = Try::denied(method.as_str(), code, verb, detail, actor, at);
        self.ledger.tries().denied(tried).await;
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

    /// What is known of a target.
    pub async fn target(&self, key: &TargetKey) -> Result<TargetReport, ServiceError> {
        let mut view = self.ledger.store().target(key).await?;
        let foreign = self.foreign_beside(&view);
        let now = self.clock.now();
        let around = self.ledger.circumstances(foreign.as_ref(), now);
        for (ahead, waiting) in view.queue.iter_mut().enumerate() {
            tell_hold(waiting, &view.state, ahead, around);
        }
        let attempts = self.ledger.store().attempts(key, TOLD_ATTEMPTS).await?;
        let policy = self.ledger.policy().clone();
        Ok(TargetReport {
            view,
            foreign: foreign.and_then(|runs| runs.live),
            attempts,
            policy,
            now,
        })
    }

    /// The execution as it is shown: one that waits names what holds it now, not what held it when
    /// that was noted.
    async fn present(&self, mut execution: Execution) -> Result<Execution, ServiceError> {
        if matches!(execution.state, State::Waiting { .. }) {
            let key = execution.request.target.clone();
            let view = self.ledger.store().target(&key).await?;
            let foreign = self.foreign_beside(&view);
            let around = self.ledger.circumstances(foreign.as_ref(), self.clock.now());
            let ahead = view.queue.iter().position(|waiting| waiting.id == execution.id);
            if let Some(ahead) = ahead {
                tell_hold(&mut execution, &view.state, ahead, around);
            }
        }
        Ok(execution)
    }

    /// What else acts on a target; `None` while that is not known.
    async fn foreign_to(&self, key: &TargetKey) -> Result<Option<ForeignRuns>, ServiceError> {
        let hash = key.hash();
        let Some(foreign) = foreign_runs(&*self.tekton, &hash, &[]) else { return Ok(None) };
        if foreign.live.is_none() {
            return Ok(Some(foreign));
        }
        let holder = self.ledger.store().holder_of(key).await?;
        Ok(foreign_runs(&*self.tekton, &hash, holder.as_slice()))
    }

    /// The same, of a target that was read already. A run of an execution on record is no stranger's: the
    /// record says who holds the target.
    fn foreign_beside(&self, view: &TargetView) -> Option<ForeignRuns> {
        let holder = view.holder.as_ref().map(|holder| holder.id);
        foreign_runs(&*self.tekton, &view.state.key.hash(), holder.as_slice())
    }
}

fn tell_hold(
    execution: &mut Execution,
    target: &TargetState,
    ahead: usize,
    around: Circumstances<'_>,
) {
    let key = execution.request.workflow_key();
    if let State::Waiting { hold } = &mut execution.state
        && let Admission::Held { first, .. } = admit(target, &key, ahead, around)
    {
        *hold = first;
    }
}
