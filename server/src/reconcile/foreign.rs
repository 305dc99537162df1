//! What the cluster knows of a target that our records do not.

use wfe_core::{
    facts::RunFacts,
    ids::{Epoch, ExecutionId, RunName},
    lock::ForeignRuns,
};

use crate::tekton::{Seen, Tekton};

/// The runs of a target that belong to nobody in `ours`. `None` when the watches are not complete:
/// then nothing is known, and nothing may be started.
pub fn foreign_runs(
    tekton: &dyn Tekton,
    target_hash: &str,
    ours: &[ExecutionId],
) -> Option<ForeignRuns> {
    let runs = tekton.runs_of_target(target_hash)?;
    let own = |execution: Option<ExecutionId>| execution.is_some_and(|id| ours.contains(&id));
    let last_epoch = runs.iter().filter_map(|run| RunName::epoch_of(&run.name, target_hash)).max();
    let acts = |run: &RunFacts| match tekton.seen(&run.name) {
        Seen::Present(seen) => seen.acts(),
        Seen::Absent | Seen::NotSynced => run.is_live(),
    };
    let live = runs.into_iter().find(|run| run.is_live() && !own(run.execution) && acts(run));
    Some(ForeignRuns {
        live: live.map(|run| run.name),
        last_epoch: last_epoch.unwrap_or(Epoch::default()),
    })
}
