//! A way to the API server that is slow, fails, loses answers and delivers late.

use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use wfe_core::{
    execution::CancelMode,
    facts::{RunFacts, TaskRunFacts},
    failure::{
        FailureReason,
        log::{RawTail, StepLog},
    },
    ids::ExecutionId,
};

use super::{
    callers::{NEVER_TOLD, SENSITIVE},
    executor::Owner,
    world::World,
};
use crate::tekton::{
    Birth, CreateError, LogError, RunChange, RunRequest, RunSnapshot, Seen, Tekton, TektonError,
    WatchHealth, simulator::Simulator,
};

/// Bundles of which no run may be created, whoever asks and when.
pub(super) const REFUSED: &str = "registry.example/wfe/refused:v1";

/// The engine as one process sees it.
pub(super) struct TroubledTekton {
    /// With the watches of this process.
    pub(super) inner: Arc<Simulator>,
    pub(super) world: Arc<World>,
    pub(super) owner: Owner,
}

#[derive(Debug, thiserror::Error)]
#[error("the simulated network is in trouble")]
struct Trouble;

impl TroubledTekton {
    fn trouble(operation: &'static str, name: &str) -> TektonError {
        TektonError { operation, name: name.to_owned(), source: Box::new(Trouble) }
    }

    async fn call<T>(
        &self,
        operation: &'static str,
        name: &str,
        call: impl Future<Output = Result<T, TektonError>> + Send,
    ) -> Result<T, TektonError> {
        self.world.pause().await;
        if self.world.hits(|weather| weather.api_refuses) {
            self.world.note(|| format!("  {operation} {name} by {:?} fails", self.owner));
            return Err(Self::trouble(operation, name));
        }
        let answer = call.await;
        let said = if answer.is_ok() { "done" } else { "no answer" };
        self.world.note(|| format!("  {operation} {name} by {:?}: {said}", self.owner));
        self.world.pause().await;
        if self.world.hits(|weather| weather.api_loses_answer) {
            return Err(Self::trouble(operation, name));
        }
        answer
    }

    /// Nothing is started while this process knows of something that acts on the target, nor while it
    /// knows nothing.
    fn check_create(&self, run: &RunRequest) {
        if run.birth == Birth::Cancelled {
            return;
        }
        let name = &run.run.name;
        let given = run.opened.get(SENSITIVE).is_some_and(|value| value.ends_with(NEVER_TOLD));
        if given != run.request.parameters.contains_key(SENSITIVE) {
            let broken = format!("I10: {name} is created without the value of {SENSITIVE}");
            self.world.history().violation(broken);
        }
        match self.inner.runs_of_target(&run.request.target.hash()) {
            None => {
                let broken = format!("I1: {name} is created before the watches are complete");
                self.world.history().violation(broken);
            }
            Some(runs) => {
                let other = |id: Option<ExecutionId>| id != Some(run.execution);
                if let Some(live) = runs.iter().find(|r| r.is_live() && other(r.execution)) {
                    let broken = format!("I1: {name} is created while {} is seen", live.name);
                    self.world.history().violation(broken);
                }
            }
        }
    }
}

/// What an API server repeats of a run.
fn repeated(run: &RunRequest) -> &str {
    run.opened.get(SENSITIVE).unwrap_or_default()
}

fn later(message: &str) -> CreateError {
    CreateError::Later { message: message.to_owned(), retry_after: None }
}

#[async_trait]
impl Tekton for TroubledTekton {
    async fn create(&self, run: &RunRequest) -> Result<RunFacts, CreateError> {
        self.check_create(run);
        self.world.pause().await;
        let name = run.run.name.as_str();
        if self.world.hits(|weather| weather.api_refuses) {
            self.world.note(|| format!("  create {name} by {:?} fails", self.owner));
            let message = format!("the API server could not take {}", repeated(run));
            return Err(later(&message));
        }
        if run.request.workflow.reference() == REFUSED {
            return Err(CreateError::Refused {
                reason: FailureReason::Forbidden,
                raw_reason: "Forbidden".to_owned(),
                message: format!("such runs are not wanted here: {}", repeated(run)),
            });
        }
        if self.world.hits(|weather| weather.create_arrives_late) {
            self.world.note(|| format!("  create {name} by {:?} is on its way", self.owner));
            self.world.create_later(run.clone());
            return Err(later("the API server's answer was lost"));
        }
        if self.world.hits(|weather| weather.api_loses_answer) {
            self.world.note(|| format!("  create {name} by {:?}: the answer is lost", self.owner));
            drop(self.world.stranger.create(run).await);
            self.world.pause().await;
            return Err(later("the API server's answer was lost"));
        }
        let answer = self.inner.create(run).await;
        self.world.note(|| {
            let said = match &answer {
                Ok(facts) => format!("created as {}", facts.uid),
                Err(error) => format!("{error:?}"),
            };
            format!("  create {name} {:?} by {:?}: {said}", run.birth, self.owner)
        });
        self.world.pause().await;
        answer
    }

    async fn read(&self, name: &str) -> Result<Option<RunSnapshot>, TektonError> {
        self.call("read", name, self.inner.read(name)).await
    }

    async fn task_runs(&self, execution: ExecutionId) -> Result<Vec<TaskRunFacts>, TektonError> {
        let id = execution.to_string();
        self.call("list TaskRuns of", &id, self.inner.task_runs(execution)).await
    }

    async fn cancel(&self, name: &str, uid: &str, mode: CancelMode) -> Result<(), TektonError> {
        self.call("cancel", name, self.inner.cancel(name, uid, mode)).await
    }

    async fn stop_child_runs(&self, name: &str, uid: &str) -> Result<Vec<String>, TektonError> {
        self.call("stop child runs of", name, self.inner.stop_child_runs(name, uid)).await
    }

    async fn child_runs(&self, name: &str, uid: &str) -> Result<Vec<RunFacts>, TektonError> {
        self.call("list child runs of", name, self.inner.child_runs(name, uid)).await
    }

    async fn cancel_task_run(&self, name: &str) -> Result<(), TektonError> {
        self.call("cancel TaskRun", name, self.inner.cancel_task_run(name)).await
    }

    async fn stop_pods(&self, run: &str, uid: &str) -> Result<(), TektonError> {
        self.call("stop pods of", run, self.inner.stop_pods(run, uid)).await
    }

    async fn log_tail(&self, log: &StepLog) -> Result<RawTail, LogError> {
        self.world.pause().await;
        if self.world.hits(|weather| weather.api_refuses) {
            return Err(LogError::Failed(Box::new(Trouble)));
        }
        self.inner.log_tail(log).await
    }

    async fn delete(&self, name: &str, uid: &str) -> Result<(), TektonError> {
        self.call("delete", name, self.inner.delete(name, uid)).await
    }

    fn seen(&self, name: &str) -> Seen {
        self.inner.seen(name)
    }

    fn saw_go(&self, uid: &str) -> bool {
        self.inner.saw_go(uid)
    }

    fn runs_of_target(&self, target_hash: &str) -> Option<Vec<RunFacts>> {
        self.inner.runs_of_target(target_hash)
    }

    fn ended_runs(&self) -> Vec<RunFacts> {
        self.inner.ended_runs()
    }

    async fn watch(
        &self,
        changed: &(dyn Fn(RunChange) + Send + Sync),
        shutdown: CancellationToken,
    ) {
        self.inner.watch(changed, shutdown).await;
    }

    fn health(&self) -> WatchHealth {
        self.inner.health()
    }
}
