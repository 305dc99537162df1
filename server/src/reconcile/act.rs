//! Carries an action out. Has no choices of its own: what an answer means is told to the state
//! machine, and the next look decides.

use std::time::Duration;

use jiff::Timestamp;
use wfe_core::{
    actor::Actor,
    execution::{CreatedRun, Execution, Hold, PlannedRun},
    facts::{RunFacts, TaskRunFacts},
    failure::{Failure, FailureReason},
    lock::ForeignRuns,
    observe::{Observation, observe},
    settle::{Settlement, admit_head, rename, settle},
    transition::Input,
};

use super::{Reconciler, Turn, foreign_runs, plan::Action, sensitive::Sensitive};
use crate::{
    error::ServiceError,
    tekton::{Birth, CreateError, RunRequest, RunSnapshot},
    vault::{CannotOpen, Opened},
};

mod stop;

/// What came of an attempt to bring a run into being.
enum Created {
    /// It exists, and is ours.
    Ours(RunFacts),
    /// Its name belongs to another run.
    Taken(RunFacts),
    /// It cannot be created.
    Refused(Failure),
    /// Not now.
    Later { message: String, retry_after: Option<Duration> },
}

impl Reconciler {
    /// Carries `action` out. `None` means: look again at once.
    pub(super) async fn act(
        &self,
        execution: &Execution,
        action: Action,
    ) -> Result<Option<Turn>, ServiceError> {
        match action {
            Action::Rest => Ok(Some(Turn::Rest)),
            Action::RestUntil(until) => Ok(Some(Turn::At(until))),
            Action::Apply(input) => self.apply(execution, "apply", input).await,
            Action::Conclude { end, progress, log } => {
                let end = self.with_log(execution, end, Some(&log)).await;
                self.apply(execution, "run_ended", Input::RunEnded { end, progress }).await
            }
            Action::Admit { until } => self.admit(execution, until).await,
            Action::Create(run) => self.create(execution, &run).await,
            Action::Rename => self.rename(execution).await,
            Action::AwaitSync => Ok(Some(Turn::Retry { at_least: None })),
            Action::Wait { obstacle } => {
                self.apply(execution, "obstruct", Input::Obstruct(obstacle)).await?;
                Ok(Some(Turn::Retry { at_least: None }))
            }
            Action::Verify(run) => self.verify(execution, &run).await,
            Action::ReadEnd(run) => self.read_end(execution, &run).await,
            Action::Occupy(run) => self.occupy(execution, &run).await,
            Action::Cancel { run, mode } => {
                self.tekton.cancel(run.planned.name.as_str(), &run.uid, mode).await?;
                // The watches say when it has stopped; a request that was lost is made again.
                Ok(Some(Turn::After(self.policy.cancel_retry)))
            }
            Action::StopByParts { run, mode } => self.stop_by_parts(execution, &run, mode).await,
            Action::Sweep { run, mode } => self.sweep(execution, &run, mode).await,
            Action::StopStray { name, uid } => self.stop_stray(execution, &name, &uid).await,
            Action::Delete { name, uid } => {
                self.tekton.delete(&name, &uid).await?;
                Ok(Some(Turn::Rest))
            }
        }
    }

    async fn apply(
        &self,
        execution: &Execution,
        name: &'static str,
        input: Input,
    ) -> Result<Option<Turn>, ServiceError> {
        let actor = Actor::service();
        // Without complete watches nobody is let in: the ledger has the first in the queue looked at
        // again.
        let foreign = self.foreign(execution);
        let around = self.ledger.circumstances(foreign.as_ref(), self.clock.now());
        self.ledger
            .settle(name, execution.id, &|view| {
                // Decided on what was read; when it has moved on meanwhile, the next look decides.
                if view.execution.revision != execution.revision {
                    return Ok(Settlement::default());
                }
                settle(view, input.clone(), &actor, around)
            })
            .await?;
        Ok(None)
    }

    /// What else acts on the target; `None` while that is not known.
    pub(super) fn foreign(&self, execution: &Execution) -> Option<ForeignRuns> {
        foreign_runs(&*self.tekton, &execution.request.target.hash(), &[execution.id])
    }

    async fn admit(
        &self,
        execution: &Execution,
        until: Option<Timestamp>,
    ) -> Result<Option<Turn>, ServiceError> {
        let hash = execution.request.target.hash();
        if self.ledger.store().head_of(&hash).await? != Some(execution.id) {
            return Ok(Some(until.map_or(Turn::Rest, Turn::At)));
        }
        let foreign = self.foreign(execution);
        let around = self.ledger.circumstances(foreign.as_ref(), self.clock.now());
        let changed = self
            .ledger
            .settle("admit", execution.id, &|view| match view.head {
                Some(head) if head.id == execution.id => admit_head(head, view.target, around),
                _ => Ok(Settlement::default()),
            })
            .await?;
        if changed.is_some() {
            return Ok(None);
        }
        if foreign.is_none() {
            return Ok(Some(Turn::Retry { at_least: None }));
        }
        // What holds it now is what was noted. A gate that opens by itself is looked at then; all
        // others wake who waits.
        let opens = execution.state.hold().and_then(Hold::until);
        let wake = [opens, until].into_iter().flatten().min();
        Ok(Some(wake.map_or(Turn::Rest, Turn::At)))
    }

    async fn rename(&self, execution: &Execution) -> Result<Option<Turn>, ServiceError> {
        let Some(foreign) = self.foreign(execution) else {
            return Ok(Some(Turn::Retry { at_least: None }));
        };
        let around = self.ledger.circumstances(Some(&foreign), self.clock.now());
        self.ledger
            .settle("rename", execution.id, &|view| {
                if view.execution.revision != execution.revision {
                    return Ok(Settlement::default());
                }
                rename(view, &foreign, around)
            })
            .await?;
        Ok(None)
    }

    async fn create(
        &self,
        execution: &Execution,
        run: &PlannedRun,
    ) -> Result<Option<Turn>, ServiceError> {
        match self.bring_into_being(execution, run, Birth::Ready).await {
            Created::Ours(facts) => {
                let input = Input::RunExists { uid: facts.uid, created_at: facts.created_at };
                self.apply(execution, "run_exists", input).await
            }
            Created::Taken(other) if other.is_live() && !other.is_abandoned() => {
                let obstacle = format!(
                    "PipelineRun {} is there already and belongs to somebody else",
                    other.name
                );
                self.apply(execution, "obstruct", Input::Obstruct(obstacle)).await?;
                Ok(Some(Turn::Retry { at_least: None }))
            }
            Created::Taken(_) => self.rename(execution).await,
            Created::Refused(failure) => {
                self.apply(execution, "refuse", Input::Refuse(failure)).await
            }
            Created::Later { message, retry_after } => {
                self.apply(execution, "obstruct", Input::Obstruct(message)).await?;
                Ok(Some(Turn::Retry { at_least: retry_after }))
            }
        }
    }

    async fn occupy(
        &self,
        execution: &Execution,
        run: &PlannedRun,
    ) -> Result<Option<Turn>, ServiceError> {
        match self.bring_into_being(execution, run, Birth::Cancelled).await {
            Created::Ours(facts) => {
                let input = Input::RunExists { uid: facts.uid, created_at: facts.created_at };
                self.apply(execution, "run_exists", input).await
            }
            // Another run has the name, or none can be created: ours cannot come any more.
            Created::Taken(_) | Created::Refused(_) => {
                self.apply(execution, "quiet", Input::Quiet { end: None, progress: None }).await
            }
            Created::Later { message, retry_after } => {
                self.apply(execution, "obstruct", Input::Obstruct(message)).await?;
                Ok(Some(Turn::Retry { at_least: retry_after }))
            }
        }
    }

    async fn bring_into_being(
        &self,
        execution: &Execution,
        run: &PlannedRun,
        birth: Birth,
    ) -> Created {
        let now = self.clock.now();
        let timeout = execution
            .request
            .deadline
            .map(|deadline| Duration::try_from(deadline.duration_since(now)).unwrap_or_default());
        let Sensitive { opened, veil } = self.sensitive(execution);
        let opened = match (birth, opened) {
            (Birth::Ready, Ok(opened)) => opened,
            (Birth::Ready, Err(error)) => return Created::Refused(unopened(&error, now)),
            // Nothing ever runs with it.
            (Birth::Cancelled, _) => Opened::default(),
        };
        let request = RunRequest {
            run: run.clone(),
            execution: execution.id,
            request: execution.request.clone(),
            opened,
            timeout,
            birth,
        };
        match self.tekton.create(&request).await {
            Ok(facts) => Created::Ours(facts),
            Err(CreateError::Exists(facts)) if facts.execution == Some(execution.id) => {
                Created::Ours(*facts)
            }
            Err(CreateError::Exists(facts)) => Created::Taken(*facts),
            Err(CreateError::Refused { reason, raw_reason, message }) => {
                let (raw_reason, message) = (veil.hide(&raw_reason), veil.hide(&message));
                let summary = wfe_core::failure::not_created(reason, &message);
                Created::Refused(Failure::before_execution(
                    reason,
                    &raw_reason,
                    &message,
                    summary,
                    now,
                ))
            }
            Err(CreateError::Later { message, retry_after }) => {
                let message = veil.hide(&message).into_owned();
                tracing::warn!(execution.id = %execution.id, run = %run.name, message, "cannot create the run now");
                Created::Later { message, retry_after }
            }
        }
    }

    async fn verify(
        &self,
        execution: &Execution,
        run: &CreatedRun,
    ) -> Result<Option<Turn>, ServiceError> {
        match self.read_own(run).await? {
            // The watches are behind; they will say when they are not.
            Some(snapshot) if !snapshot.run.is_abandoned() => {
                Ok(Some(Turn::After(self.policy.cancel_retry)))
            }
            Some(_) | None => self.lose(execution, run).await,
        }
    }

    async fn read_end(
        &self,
        execution: &Execution,
        run: &CreatedRun,
    ) -> Result<Option<Turn>, ServiceError> {
        let Some(snapshot) = self.read_own(run).await? else {
            return self.lose(execution, run).await;
        };
        let Observation { progress, end, live_task_runs, log, .. } =
            observe(&snapshot.run, &snapshot.task_runs, &self.sensitive(execution).veil);
        match end {
            // A run that takes too long is over before its TaskRuns are, and can leave some behind.
            // Nobody else gets the target before they are over.
            Some(_) if !live_task_runs.is_empty() => {
                for task_run in &live_task_runs {
                    self.tekton.cancel_task_run(task_run).await?;
                }
                Ok(Some(Turn::Retry { at_least: None }))
            }
            Some(end) => {
                let end = self.with_log(execution, end, log.as_ref()).await;
                // A TaskRun that is being deleted cannot be stopped, but what it runs can.
                if snapshot.task_runs.iter().any(TaskRunFacts::is_abandoned) {
                    self.tekton.stop_pods(&snapshot.run.name, &snapshot.run.uid).await?;
                }
                self.apply(execution, "run_ended", Input::RunEnded { end, progress }).await
            }
            None => Ok(Some(Turn::Retry { at_least: None })),
        }
    }

    async fn read_own(&self, run: &CreatedRun) -> Result<Option<RunSnapshot>, ServiceError> {
        let read = self.tekton.read(run.planned.name.as_str()).await?;
        Ok(read.filter(|snapshot| snapshot.run.uid == run.uid))
    }
}

/// The run cannot be created, because nobody knows with what.
fn unopened(error: &CannotOpen, at: Timestamp) -> Failure {
    let summary = format!("The run could not be created: {error}. Start it again with the value.");
    Failure::before_execution(
        FailureReason::ConfigurationError,
        "SensitiveParameterUnreadable",
        &error.to_string(),
        summary,
        at,
    )
}
