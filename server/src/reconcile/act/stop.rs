//! Makes sure that nothing of a run is alive: of one that is over, of one that is gone, of one that Tekton
//! cannot end, and of one whose execution has ended.

use wfe_core::{
    execution::{CancelMode, CreatedRun, Execution, RunRef},
    facts::{RunFacts, TaskRunFacts},
    observe::{Observation, RunEnd, observe},
    progress::Progress,
    transition::Input,
};

use super::super::{Reconciler, Turn};
use crate::{error::ServiceError, tekton::Seen};

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
    /// Says that the run is lost, once nothing of it is alive.
    pub(super) async fn lose(
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

    /// Stops what a run left behind, and says so once nothing is alive. The run ended before the list
    /// is made, and an ended run creates nothing, so what the list does not show cannot come.
    pub(super) async fn sweep(
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
            Some(snapshot) => {
                let seen = observe(&snapshot.run, &snapshot.task_runs, &veil);
                Some(self.with_inside(&snapshot.run, seen).await?)
            }
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

    /// What is seen of a run that was asked to stop, with what became of pipelines inside of it where that matters.
    async fn with_inside(
        &self,
        run: &RunFacts,
        seen: Observation,
    ) -> Result<Observation, ServiceError> {
        if !seen.failed_inside() {
            return Ok(seen);
        }
        Ok(seen.knowing(&self.tekton.child_runs(&run.name, &run.uid).await?))
    }

    /// Stops by itself what Tekton cannot stop: a run with pipelines as its tasks. Such a run never ends,
    /// so that it is deleted once nothing of it is alive: it would hold its target for ever.
    pub(super) async fn stop_by_parts(
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

    pub(super) async fn stop_stray(
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
}

fn still_stop(names: &[String]) -> String {
    format!("what runs inside of the run still stops: {}", names.join(", "))
}
