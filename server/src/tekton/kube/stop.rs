//! Asks a cluster to stop runs: each wish only stronger than the one before, and pipelines that run as
//! tasks of a run, which Tekton does not stop with it.

use ::kube::api::{ListParams, Patch};
use serde_json::{Value, json};
use wfe_core::{
    execution::CancelMode,
    facts::{RunFacts, TaskRunFacts},
};
use wfe_crds::{
    names::tekton_label,
    tekton::{PipelineRun, TASK_RUN_CANCELLED},
};
use wfe_runtime::cluster::{CallError, PAGE, call};

use super::{KubeTekton, patch_params};
use crate::tekton::facts;

/// At most so many pipelines inside of each other are looked into. Tekton has no limit; people have.
const DEEPEST: usize = 8;

/// What a run must be asked for already, for a wish to be made.
pub(super) enum Before {
    /// Whatever it is.
    Any,
    /// Exactly this.
    Exactly(Option<String>),
}

impl KubeTekton {
    /// Asks a run to stop, when it is the one with this UID.
    pub(super) async fn wish(
        &self,
        name: &str,
        uid: &str,
        mode: CancelMode,
        before: Before,
    ) -> Result<(), CallError> {
        let wish = facts::wish_of(mode);
        let patch = match before {
            // With the UID, the patch can only meet the run that is meant.
            Before::Any => {
                Patch::Merge(json!({"metadata": {"uid": uid}, "spec": {"status": wish}}))
            }
            Before::Exactly(before) => {
                let patch = json!([
                    {"op": "test", "path": "/metadata/uid", "value": uid},
                    {"op": "test", "path": "/spec/status", "value": before},
                    {"op": "add", "path": "/spec/status", "value": wish},
                ]);
                let patch = serde_json::from_value(patch).map_err(CallError::unreadable)?;
                return self.patched(name, &Patch::<Value>::Json(patch)).await;
            }
        };
        self.patched(name, &patch).await
    }

    async fn patched(&self, name: &str, patch: &Patch<Value>) -> Result<(), CallError> {
        call(self.runs.patch(name, &patch_params(), patch)).await.map(drop)
    }

    /// Asks a run to stop, unless it was asked for as much or more before: who is behind must not take
    /// back what somebody else asked for meanwhile.
    pub(super) async fn strengthen(
        &self,
        name: &str,
        uid: &str,
        mode: CancelMode,
    ) -> Result<(), CallError> {
        let Some(run) = call(self.runs.get_opt(name)).await? else { return Ok(()) };
        let before = run.spec.status.clone();
        let facts = facts::run(run).map_err(CallError::unreadable)?.facts;
        if facts.uid != uid || !facts.is_live() || facts.stopping >= Some(mode) {
            return Ok(());
        }
        self.wish(name, uid, mode, Before::Exactly(before)).await
    }

    /// Stops the pipelines that run as tasks of the run with this UID, those inside of them, and what is
    /// left of each. Answers the names of what is still alive.
    pub(super) async fn stop_runs_below(&self, uid: &str) -> Result<Vec<String>, CallError> {
        let mut alive = Vec::new();
        let mut above = vec![uid.to_owned()];
        for _ in 0..DEEPEST {
            let mut below = Vec::new();
            for uid in above {
                for child in self.runs_below(&uid).await? {
                    alive.extend(self.stop_child(&child).await?);
                    below.push(child.uid);
                }
            }
            if below.is_empty() {
                break;
            }
            above = below;
        }
        Ok(alive)
    }

    pub(super) async fn runs_below(&self, uid: &str) -> Result<Vec<RunFacts>, CallError> {
        let selector = format!("{}={uid}", tekton_label::PIPELINE_RUN_UID);
        let mut params = ListParams::default().labels(&selector).limit(PAGE);
        let mut found = Vec::new();
        loop {
            let page = call(self.runs.list(&params)).await?;
            let facts = |run: PipelineRun| facts::run(run).map(|run| run.facts);
            for run in page.items {
                found.push(facts(run).map_err(CallError::unreadable)?);
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(found),
            }
        }
    }

    /// Stops one such pipeline, or what it left behind. Answers what of it is still alive.
    async fn stop_child(&self, child: &RunFacts) -> Result<Vec<String>, CallError> {
        if child.is_live() {
            let stopped =
                self.wish(&child.name, &child.uid, CancelMode::Immediate, Before::Any).await;
            return match stopped {
                Err(error) if !self.is_settled(&error, &child.name, &child.uid, over).await => {
                    Err(error)
                }
                Ok(()) | Err(_) => Ok(vec![child.name.clone()]),
            };
        }
        let tasks = self.task_runs_with(tekton_label::PIPELINE_RUN_UID, &child.uid).await?;
        let live: Vec<String> =
            tasks.into_iter().filter(TaskRunFacts::is_live).map(|task| task.name).collect();
        for task in &live {
            self.stop_task_run(task).await?;
        }
        if live.is_empty() {
            self.delete_pods_of(&child.uid).await?;
        }
        Ok(live)
    }

    /// Asks one TaskRun to stop.
    pub(super) async fn stop_task_run(&self, name: &str) -> Result<(), CallError> {
        let patch = Patch::Merge(json!({"spec": {"status": TASK_RUN_CANCELLED}}));
        let patched = call(self.task_runs.patch(name, &patch_params(), &patch)).await;
        let Err(error) = patched else {
            return Ok(());
        };
        let settled = match error.code() {
            Some(404) => true,
            Some(400 | 409 | 422) => match call(self.task_runs.get_opt(name)).await {
                Ok(None) => true,
                Ok(Some(task)) => facts::task_run(task).is_ok_and(|task| !task.facts.is_live()),
                Err(_) => false,
            },
            _ => false,
        };
        if settled { Ok(()) } else { Err(error) }
    }
}

fn over(run: &RunFacts) -> bool {
    !run.is_live()
}
