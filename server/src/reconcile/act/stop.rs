//! Makes sure that nothing of a run is alive: of one that is over, of one that Tekton cannot end, and of one
//! whose execution has ended.

use wfe_core::{
    execution::{CancelMode, CreatedRun, Execution, RunRef},
    observe::{Observation, RunEnd, observe},
    transition::Input,
};

use super::super::{Reconciler, Turn};
use crate::error::ServiceError;

impl Reconciler {
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
        let (end, progress) = match snapshot {
            None => (None, None),
            Some(snapshot) if snapshot.run.is_live() => {
                // The watches were ahead of themselves or were not complete: stop it first.
                self.tekton.cancel(&snapshot.run.name, &snapshot.run.uid, mode).await?;
                return Ok(Some(Turn::After(self.policy.cancel_retry)));
            }
            Some(snapshot) => {
                let Observation { progress, end, live_task_runs, .. } =
                    observe(&snapshot.run, &snapshot.task_runs, &self.sensitive(execution).veil);
                if !live_task_runs.is_empty() {
                    for task_run in &live_task_runs {
                        self.tekton.cancel_task_run(task_run).await?;
                    }
                    let obstacle = format!("TaskRuns still stop: {}", live_task_runs.join(", "));
                    self.apply(execution, "obstruct", Input::Obstruct(obstacle)).await?;
                    return Ok(Some(Turn::Retry { at_least: None }));
                }
                let runs = &snapshot.run;
                let below = self.tekton.stop_child_runs(&runs.name, &runs.uid).await?;
                if !below.is_empty() {
                    let obstacle = still_stop(&below);
                    self.apply(execution, "obstruct", Input::Obstruct(obstacle)).await?;
                    return Ok(Some(Turn::Retry { at_least: None }));
                }
                // A TaskRun that is over gets no pod any more, so those that are there are all.
                self.tekton.stop_pods(&snapshot.run.name, &snapshot.run.uid).await?;
                (end, Some(progress))
            }
        };
        self.apply(execution, "quiet", Input::Quiet { end, progress }).await
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
        if !snapshot.run.is_live() && live_task_runs.is_empty() {
            return Ok(Some(Turn::Rest));
        }
        tracing::warn!(execution.id = %execution.id, run = name, "stopping what is left of an execution that ended");
        if snapshot.run.is_live() {
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
