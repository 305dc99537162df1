//! The engine that runs workflows: what the service asks of Tekton.
//!
//! Two implementations: [`kube`] talks to a cluster, [`simulator`] plays the same behaviour in
//! process. One suite of scenarios runs against both. Nothing here decides what an execution does.

use std::{borrow::Cow, time::Duration};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use wfe_core::{
    execution::{CancelMode, PlannedRun},
    facts::{RunFacts, TaskRunFacts},
    failure::{
        FailureReason,
        log::{RawTail, StepLog},
    },
    ids::ExecutionId,
    request::StartRequest,
    veil::Veil,
};
use wfe_runtime::error::chain;

use crate::vault::Opened;

mod cache;
mod facts;
#[cfg(test)]
mod fixtures;
pub mod kube;
mod log;
mod manifest;
#[cfg(any(test, feature = "test-util"))]
pub mod scenarios;
pub mod simulator;

pub use log::{LogError, LogOutcome};
/// Name of the one container step of a task that is made here, where the task has the name that counts.
const STEP: &str = "main";

/// Creates, watches, stops and deletes runs.
#[async_trait]
pub trait Tekton: Send + Sync + 'static {
    /// Creates a run. The name decides: a run of that name exists at most once.
    async fn create(&self, run: &RunRequest) -> Result<RunFacts, CreateError>;

    /// Reads a run and its TaskRuns from the API server, past every cache.
    async fn read(&self, name: &str) -> Result<Option<RunSnapshot>, TektonError>;

    /// Reads the TaskRuns that say they belong to an execution from the API server, past every cache, also
    /// when their run is gone.
    async fn task_runs(&self, execution: ExecutionId) -> Result<Vec<TaskRunFacts>, TektonError>;

    /// Asks Tekton to stop a run in this way. Without effect on a run that has ended or is gone, or that
    /// was asked for as much before: a wish is only made stronger.
    async fn cancel(&self, name: &str, uid: &str, mode: CancelMode) -> Result<(), TektonError>;

    /// Stops the pipelines that run as tasks of a run, with all that they created: Tekton fails to. Answers
    /// the names of what is still alive.
    async fn stop_child_runs(&self, name: &str, uid: &str) -> Result<Vec<String>, TektonError> {
        let _ = (name, uid);
        Ok(Vec::new())
    }

    /// The pipelines that run as tasks of a run, without those inside of them.
    async fn child_runs(&self, name: &str, uid: &str) -> Result<Vec<RunFacts>, TektonError> {
        let _ = (name, uid);
        Ok(Vec::new())
    }

    /// Asks Tekton to stop one TaskRun now. Without effect on one that has ended or is gone.
    async fn cancel_task_run(&self, name: &str) -> Result<(), TektonError>;

    /// Stops the pods of a run that are alive and that nobody stops. Tekton loses a pod when its TaskRun
    /// is cancelled before the TaskRun says that it has one.
    async fn stop_pods(&self, run: &str, uid: &str) -> Result<(), TektonError>;

    /// The end of a step's log: at least its last [`MAX_TAIL_BYTES`], and what is before them for hiding
    /// what is sensitive, when so much was written. May take as long as a node that does not answer.
    ///
    /// [`MAX_TAIL_BYTES`]: wfe_core::failure::log::MAX_TAIL_BYTES
    async fn log_tail(&self, log: &StepLog) -> Result<RawTail, LogError>;

    /// Deletes a run and what it created, when it has this UID. Without effect on one that is gone.
    async fn delete(&self, name: &str, uid: &str) -> Result<(), TektonError>;

    /// What the watches know of a run.
    fn seen(&self, name: &str) -> Seen;

    /// Whether the watches followed the run with this UID until it was gone. Else nobody knows what it did
    /// last.
    fn saw_go(&self, uid: &str) -> bool;

    /// Every run that the watches know with this target hash; `None` before they are complete.
    fn runs_of_target(&self, target_hash: &str) -> Option<Vec<RunFacts>>;

    /// Every run that the watches know to have ended.
    fn ended_runs(&self) -> Vec<RunFacts>;

    /// Keeps the watches until `shutdown`. Calls `changed` for every run of which something may have
    /// changed, again for all when the watches had to begin anew. Never ends for trouble with the API
    /// server: it tries again, and [`Tekton::health`] says so.
    async fn watch(&self, changed: &(dyn Fn(RunChange) + Send + Sync), shutdown: CancellationToken);

    /// How well the watches are.
    fn health(&self) -> WatchHealth;
}

/// A run to be created.
#[derive(Debug, Clone)]
pub struct RunRequest {
    /// Its name and the hold of the target under which it runs.
    pub run: PlannedRun,
    /// The execution that it belongs to.
    pub execution: ExecutionId,
    /// What to run, on what, with what.
    pub request: StartRequest,
    /// Its sensitive parameters in clear.
    pub opened: Opened,
    /// How long it may take; `None` is Tekton's default.
    pub timeout: Option<Duration>,
    /// How it comes into being.
    pub birth: Birth,
}

/// How a run comes into being.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Birth {
    /// Ready to run.
    Ready,
    /// Already cancelled: it only takes the name, so that a create that is still under way somewhere
    /// cannot bring a run to life any more.
    Cancelled,
}

/// A run and its TaskRuns, as known at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunSnapshot {
    /// The run.
    pub run: RunFacts,
    /// Its TaskRuns.
    pub task_runs: Vec<TaskRunFacts>,
}

impl RunSnapshot {
    /// Whether it may act: Tekton has not finished it, or looks at a TaskRun of it although the run is being
    /// deleted.
    pub fn acts(&self) -> bool {
        let looked_at = |task: &TaskRunFacts| task.is_live() && !task.is_abandoned();
        self.run.is_live() && !self.run.is_abandoned()
            || self.run.is_abandoned() && self.task_runs.iter().any(looked_at)
    }
}

/// What the watches know of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// The watches are not complete, so that nothing is known.
    NotSynced,
    /// There is no such run, as far as the watches are.
    Absent,
    /// The run.
    Present(Box<RunSnapshot>),
}

/// Something about a run may have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunChange {
    /// The execution that it says it belongs to.
    pub execution: Option<ExecutionId>,
    /// The hash of the target that it says it acts on.
    pub target_hash: Option<String>,
}

/// How well the watches are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchHealth {
    /// Whether everything that exists is known.
    pub synced: bool,
    /// Whether the last attempt to hear from the API server succeeded.
    pub reachable: bool,
    /// Time since both watches were last heard of.
    pub age: Duration,
}

/// A run could not be created.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// A run of that name exists.
    #[error("a run of that name exists")]
    Exists(Box<RunFacts>),
    /// It may work later.
    #[error("{message}")]
    Later {
        /// What is in the way, for a person.
        message: String,
        /// When the API server asked to be left alone for a time.
        retry_after: Option<Duration>,
    },
    /// It will not work later either.
    #[error("{message}")]
    Refused {
        /// The class of the failure.
        reason: FailureReason,
        /// The reason as Kubernetes said it.
        raw_reason: String,
        /// What Kubernetes said.
        message: String,
    },
}

/// Tekton could not be asked; trying again may help.
#[derive(Debug, thiserror::Error)]
#[error("{operation} {name}")]
pub struct TektonError {
    /// What was asked.
    pub operation: &'static str,
    /// Of which object.
    pub name: String,
    /// What the API server said, or why it could not be reached.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// What is left of an error in which something was hidden.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Told(String);

impl TektonError {
    /// The same without what `veil` hides.
    #[must_use]
    pub fn hide(self, veil: &Veil) -> Self {
        let Cow::Owned(told) = veil.hide(&chain(&*self.source)) else { return self };
        Self { source: Box::new(Told(told)), ..self }
    }
}

impl WatchHealth {
    /// Why the service cannot see what happens in the cluster; `None` when it can.
    pub fn problem(&self) -> Option<String> {
        match self {
            Self { synced: false, .. } => {
                Some("the runs in the cluster are not known yet".to_owned())
            }
            Self { reachable, age, .. } if !reachable || *age > STALE => {
                Some(format!("the API server was last heard of {} s ago", age.as_secs()))
            }
            Self { .. } => None,
        }
    }
}

/// Watches that were not heard of for this long are stale: the API server ends a quiet watch, and
/// says so, in less.
const STALE: Duration = Duration::from_mins(1);
