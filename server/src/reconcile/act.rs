//! Carries an action out. Has no choices of its own: what an answer means is told to the state
//! machine, and the next look decides.

use std::time::Duration;

use jiff::Timestamp;
use wfe_core::{
    actor::Actor,
    execution::{CancelMode, CreatedRun, Execution, Hold, PlannedRun, RunRef},
    facts::{RunFacts, TaskRunFacts},
    failure::{Failure, FailureReason},
    lock::ForeignRuns,
    observe::{Observation, RunEnd, observe},
    progress::Progress,
    settle::{Settlement, admit_head, rename, settle},
    transition::Input,
};

use super::{Reconciler, Turn, foreign_runs, plan::Action, sensitive::Sensitive};

use crate::{
    error::ServiceError,
    tekton::{Birth, CreateError, RunRequest, RunSnapshot, Seen},
    vault::{CannotOpen, Opened},
};

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

/// What is known of the last of a run.
#[derive(Debug, Clone, Copy)]
enum Last {
    /// How it ended.
    Seen,
    /// Nothing: it was deleted before that.
    Lost,
}

/// What is left of a run.
enum Left {
    /// Nothing that could act.
    Nothing,
    /// These TaskRuns; they were asked to stop.
    Alive(Vec<String>),
    /// What it tells of the run is on record now: look again.
    News,
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

    /// Says that the run is lost, once nothing of it is alive.
    async fn lose(
        &self,
        execution: &Execution,
        run: &CreatedRun,
    ) -> Result<Option<Turn>, ServiceError> {
        match self.stop_what_is_left(execution, run, Last::Lost).await? {
            Left::Nothing => self.apply(execution, "run_lost", Input::RunLost).await,
            Left::News => Ok(None),
            Left::Alive(_) => Ok(Some(Turn::Retry { at_least: None })),
        }
    }

    /// Stops what is left of an execution whose run does nothing any more. A run that is deleted may leave
    /// its TaskRuns alone, also one that was deleted before it was heard of.
    async fn stop_what_is_left(
        &self,
        execution: &Execution,
        run: &CreatedRun,
        last: Last,
    ) -> Result<Left, ServiceError> {
        let left = self.tekton.task_runs(execution.id).await?;
        let alive = left.iter().filter(|task| task.is_live() && !task.is_abandoned());
        let mut alive: Vec<String> = alive.map(|task| task.name.clone()).collect();
        for task_run in &alive {
            self.tekton.cancel_task_run(task_run).await?;
        }
        let name = run.planned.name.as_str();
        alive.extend(self.tekton.stop_child_runs(name, &run.uid).await?);
        // What nobody saw may have run: who is asked to look is better asked once too often.
        let may_have_run = match last {
            Last::Seen => false,
            Last::Lost => self.vanished(run) || left.iter().any(TaskRunFacts::ran),
        };
        if may_have_run && !run.progress.ran() {
            let progress = Progress { ran_before: true, ..run.progress.clone() };
            self.apply(execution, "ran", Input::Progress(progress)).await?;
            return Ok(Left::News);
        }
        if !alive.is_empty() {
            return Ok(Left::Alive(alive));
        }
        // A TaskRun that is over gets no pod any more, so those that are there are all.
        self.tekton.stop_pods(name, &run.uid).await?;
        Ok(Left::Nothing)
    }

    /// Whether a run is gone, and nobody saw it go.
    fn vanished(&self, run: &CreatedRun) -> bool {
        match self.tekton.seen(run.planned.name.as_str()) {
            Seen::Present(seen) if seen.run.uid == run.uid => false,
            Seen::Present(_) | Seen::Absent | Seen::NotSynced => !self.tekton.saw_go(&run.uid),
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

    /// Stops what a run left behind, and says so once nothing is alive. The run ended before the list
    /// is made, and an ended run creates nothing, so what the list does not show cannot come.
    async fn sweep(
        &self,
        execution: &Execution,
        run: &RunRef,
        mode: CancelMode,
    ) -> Result<Option<Turn>, ServiceError> {
        let snapshot = match run.created() {
            Some(created) => self.read_own(created).await?,
            None => None,
        };
        let veil = self.sensitive(execution).veil;
        let seen = match snapshot {
            Some(snapshot) if snapshot.run.is_live() && !snapshot.run.is_abandoned() => {
                // The watches were ahead of themselves or were not complete: stop it first.
                self.tekton.cancel(&snapshot.run.name, &snapshot.run.uid, mode).await?;
                return Ok(Some(Turn::After(self.policy.cancel_retry)));
            }
            Some(snapshot) => Some(observe(&snapshot.run, &snapshot.task_runs, &veil)),
            None => None,
        };
        let last = if seen.is_some() { Last::Seen } else { Last::Lost };
        let (end, progress) = match seen {
            // A log goes with its pod, which is stopped next.
            Some(Observation { end: Some(end), progress, log, live_task_runs, .. })
                if live_task_runs.is_empty() =>
            {
                (Some(self.with_log(execution, end, log.as_ref()).await), Some(progress))
            }
            Some(Observation { end, progress, .. }) => (end, Some(progress)),
            None => (None, None),
        };
        if let Some(created) = run.created() {
            match self.stop_what_is_left(execution, created, last).await? {
                Left::Nothing => {}
                Left::News => return Ok(None),
                Left::Alive(names) => {
                    let obstacle = still_stop(&names);
                    self.apply(execution, "obstruct", Input::Obstruct(obstacle)).await?;
                    return Ok(Some(Turn::Retry { at_least: None }));
                }
            }
        }
        self.apply(execution, "quiet", Input::Quiet { end, progress }).await
    }

    /// Stops by itself what Tekton cannot stop: a run with pipelines as its tasks. Such a run never ends,
    /// so that it is deleted once nothing of it is alive: it would hold its target for ever.
    async fn stop_by_parts(
        &self,
        execution: &Execution,
        run: &CreatedRun,
        mode: CancelMode,
    ) -> Result<Option<Turn>, ServiceError> {
        let Some(snapshot) = self.read_own(run).await? else {
            let gone = Input::Quiet { end: None, progress: None };
            return self.apply(execution, "quiet", gone).await;
        };
        let name = snapshot.run.name.as_str();
        let veil = self.sensitive(execution).veil;
        let Observation { progress, live_task_runs, .. } =
            observe(&snapshot.run, &snapshot.task_runs, &veil);
        let mut alive = self.tekton.stop_child_runs(name, &run.uid).await?;
        for task_run in live_task_runs {
            self.tekton.cancel_task_run(&task_run).await?;
            alive.push(task_run);
        }
        if alive.is_empty() && mode == CancelMode::Immediate && snapshot.run.is_live() {
            // It was asked to stop, and Tekton begins nothing of a run before it has tried that.
            self.tekton.stop_pods(name, &run.uid).await?;
            self.tekton.delete(name, &run.uid).await?;
            let ran = progress.ran();
            let end = Some(RunEnd::Cancelled { ran });
            let quiet = Input::Quiet { end, progress: Some(progress) };
            return self.apply(execution, "quiet", quiet).await;
        }
        let obstacle = match alive.as_slice() {
            [] => "Tekton cannot end a run with pipelines inside of it".to_owned(),
            alive => still_stop(alive),
        };
        self.apply(execution, "obstruct", Input::Obstruct(obstacle)).await?;
        Ok(Some(Turn::After(self.policy.cancel_retry)))
    }

    async fn stop_stray(
        &self,
        execution: &Execution,
        name: &str,
        uid: &str,
    ) -> Result<Option<Turn>, ServiceError> {
        let Some(snapshot) = self.tekton.read(name).await?.filter(|seen| seen.run.uid == uid)
        else {
            return Ok(Some(Turn::Rest));
        };
        let veil = self.sensitive(execution).veil;
        let live_task_runs = observe(&snapshot.run, &snapshot.task_runs, &veil).live_task_runs;
        let live = snapshot.run.is_live() && !snapshot.run.is_abandoned();
        if !live && live_task_runs.is_empty() {
            return Ok(Some(Turn::Rest));
        }
        tracing::warn!(execution.id = %execution.id, run = name, "stopping what is left of an execution that ended");
        if live {
            self.tekton.cancel(name, uid, CancelMode::Immediate).await?;
        } else {
            for task_run in &live_task_runs {
                self.tekton.cancel_task_run(task_run).await?;
            }
        }
        Ok(Some(Turn::After(self.policy.cancel_retry)))
    }

    async fn read_own(&self, run: &CreatedRun) -> Result<Option<RunSnapshot>, ServiceError> {
        let read = self.tekton.read(run.planned.name.as_str()).await?;
        Ok(read.filter(|snapshot| snapshot.run.uid == run.uid))
    }
}

fn still_stop(names: &[String]) -> String {
    format!("what runs inside of the run still stops: {}", names.join(", "))
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
