//! What the controller finds when it looks at a run: what ended, and whose turn has come.

use wfe_core::{
    execution::CancelMode,
    facts::{Condition, Status},
};

use super::{
    super::{
        graph::Graph,
        words::{self, Counts},
    },
    Run,
};

/// What the controller finds when it looks at a run.
pub(super) struct Look {
    pub(super) counts: Counts,
    /// The tasks that will not be begun.
    pub(super) skipped: Vec<usize>,
    /// The tasks whose turn has come.
    pub(super) ready: Vec<usize>,
    /// Whether a task failed or was stopped, so that no other one in order begins.
    pub(super) stopping: bool,
    /// Whether there are finally tasks that have not ended.
    pub(super) finally_waits: bool,
    /// Whether tasks are out of their order: a task has ended although one before it has not, since that
    /// was deleted; or no task is to begin, and one runs that others wait for.
    pub(super) stumbles: bool,
}

impl Look {
    pub(super) fn at(run: &Run, graph: &Graph) -> Self {
        let condition = |index: usize| run.of_task(index).map(|found| &found.facts.condition);
        let mut counts = Counts::default();
        let mut skipped = Vec::new();
        let (mut unbegun, mut in_order_live, mut finally_unbegun) = (Vec::new(), 0, Vec::new());
        let (mut holds_others_up, mut finally_waits) = (false, false);
        for index in 0..graph.tasks().len() {
            match condition(index) {
                None if run.is_done_with(graph, index) => skipped.push(index),
                None if graph.is_finally(index) => finally_unbegun.push(index),
                None => {
                    holds_others_up |= graph.before(index).any(|before| {
                        run.of_task(before).is_some_and(|found| found.facts.is_live())
                    });
                    unbegun.push(index);
                }
                Some(Some(condition)) if condition.status == Status::True => counts.succeeded += 1,
                Some(Some(condition)) if words::is_ignored(condition) => counts.ignored += 1,
                Some(Some(condition)) if condition.status == Status::False => {
                    if words::counts_as_cancelled(condition) {
                        counts.cancelled += 1;
                    } else {
                        counts.failed += 1;
                    }
                }
                Some(_) => {
                    counts.incomplete += 1;
                    in_order_live += usize::from(!graph.is_finally(index));
                    finally_waits |= graph.is_finally(index);
                }
            }
        }
        let ended =
            |index: &usize| condition(*index).is_some_and(|c| c.as_ref().is_some_and(is_over));
        let out_of_order = (0..graph.tasks().len()).filter(ended).any(|index| {
            graph.before(index).any(|before| !ended(&before) && !graph.is_left_out(before))
        });
        let stumbles = out_of_order
            || run.facts.stopping == Some(CancelMode::StopAndFinally) && holds_others_up;
        let stopping = counts.failed + counts.cancelled > 0;
        let mut ready = Vec::new();
        if stopping || run.facts.stopping.is_some() {
            skipped.extend(unbegun);
        } else {
            ready.extend(unbegun.iter().filter(|index| {
                graph.before(**index).all(|before| run.is_done_with(graph, before))
            }));
            counts.incomplete += unbegun.len();
            in_order_live += unbegun.len();
        }
        counts.skipped = skipped.len();
        counts.incomplete += finally_unbegun.len();
        finally_waits |= !finally_unbegun.is_empty();
        if in_order_live == 0 {
            ready.extend(finally_unbegun);
        }
        Self { counts, skipped, ready, stopping, finally_waits, stumbles }
    }
}

impl Run {
    /// Whether what comes after this task may begin: it ended well enough, or was left out in its turn.
    fn is_done_with(&self, graph: &Graph, index: usize) -> bool {
        match self.of_task(index) {
            Some(found) => found.facts.condition.as_ref().is_some_and(|condition| {
                condition.status == Status::True || words::is_ignored(condition)
            }),
            None => {
                graph.is_left_out(index)
                    && graph.before(index).all(|before| self.is_done_with(graph, before))
            }
        }
    }
}

fn is_over(condition: &Condition) -> bool {
    condition.status != Status::Unknown
}
