//! What the schema of a database refuses.

use std::collections::BTreeSet;

use wfe_core::{
    clear::{Attempt, Outcome},
    execution::{Execution, StateCode},
    ids::Revision,
    lock::TargetState,
    target::TargetKey,
    transition::Change,
};

use super::{StoreError, Tables, refused};

impl Tables {
    /// A change follows what is kept, and its events say so.
    pub(super) fn check_change(
        &self,
        operation: &'static str,
        change: &Change,
    ) -> Result<(), StoreError> {
        let Change { execution: after, events } = change;
        let before = self.execution(after.id);
        let (mut revision, mut code) = before
            .map_or((Revision(0), None), |before| (before.revision, Some(before.state.code())));
        if events.first().is_none_or(|event| event.revision != revision.next()) {
            return Err(StoreError::RowCount { operation, expected: 1, actual: 0 });
        }
        let broken = |rule: &str| Err(refused(operation, format!("{rule}: {}", after.id)));
        if let Some(before) = before {
            if before.state.code().is_terminal() {
                return broken("an execution that ended does not change");
            }
            if (&before.request, &before.actor, before.created_at)
                != (&after.request, &after.actor, after.created_at)
            {
                return broken("what was accepted does not change");
            }
            let epoch = |execution: &Execution| execution.state.planned_run().map(|run| run.epoch);
            if epoch(after) < epoch(before) {
                return broken("a run is never replaced by an older one");
            }
        }
        for event in events {
            if (event.execution, event.revision, event.before) != (after.id, revision.next(), code)
            {
                return broken("an event begins where the one before ended");
            }
            (revision, code) = (event.revision, Some(event.after));
        }
        if (revision, code) != (after.revision, Some(after.state.code())) {
            return broken("the newest event says where the execution stands");
        }
        Ok(())
    }

    /// A block is neither forgotten nor made up.
    pub(super) fn check_block(
        &self,
        operation: &'static str,
        changes: &[Change],
        target: &TargetState,
        attempt: Option<(&TargetKey, &Attempt)>,
    ) -> Result<(), StoreError> {
        let stored = self.target(&target.key).history.blocked.map(|failure| failure.execution);
        let after = target.history.blocked.map(|failure| failure.execution);
        if stored == after {
            return Ok(());
        }
        let moved = |id| changes.iter().map(|change| &change.execution).find(|e| e.id == id);
        let known = |id| moved(id).or_else(|| self.execution(id));
        if let Some(failed) = after {
            let failed_here = |e: &Execution| {
                e.state.code() == StateCode::Failed && e.request.target == target.key
            };
            if !known(failed).is_some_and(failed_here) {
                let rule = "only a failure of the target itself blocks it";
                return Err(refused(operation, format!("{rule}: {failed}")));
            }
        }
        let Some(blocking) = stored else { return Ok(()) };
        let epoch = |e: &Execution| e.state.planned_run().map(|run| run.epoch);
        let blocked_at = known(blocking).and_then(epoch);
        let went_on = self.executions.iter().map(|e| moved(e.id).unwrap_or(e)).any(|e| {
            let ended = matches!(e.state.code(), StateCode::Succeeded | StateCode::Failed);
            e.request.target == target.key && ended && epoch(e) > blocked_at
        });
        let cleared = attempt
            .is_some_and(|(_, attempt)| attempt.outcome == Outcome::Cleared(blocking))
            || self.cleared.contains_key(&blocking);
        if went_on || cleared {
            return Ok(());
        }
        Err(refused(operation, format!("a block is not forgotten: {blocking}")))
    }

    /// Whoever holds a target is its one holder, under the newest epoch.
    pub(super) fn check_targets(
        &self,
        operation: &'static str,
        changes: &[Change],
        target: Option<&TargetState>,
    ) -> Result<(), StoreError> {
        let touched: BTreeSet<&TargetKey> = changes
            .iter()
            .map(|change| &change.execution.request.target)
            .chain(target.map(|target| &target.key))
            .collect();
        for key in touched {
            let stored = self.target(key);
            let after = target.filter(|target| target.key == *key).unwrap_or(&stored);
            if after.epoch < stored.epoch {
                return Err(refused(operation, format!("the epoch of {key} falls")));
            }
            let moved = |id| changes.iter().find(|change| change.execution.id == id);
            let new = changes.iter().filter(|change| self.execution(change.execution.id).is_none());
            let holders: Vec<_> = self
                .executions
                .iter()
                .map(|known| moved(known.id).map_or(known, |change| &change.execution))
                .chain(new.map(|change| &change.execution))
                .filter(|e| e.state.code().holds_target() && e.request.target == *key)
                .map(|e| (e.id, e.state.planned_run().map(|run| run.epoch)))
                .collect();
            let said: Vec<_> =
                after.holder.iter().map(|h| (h.execution, Some(after.epoch))).collect();
            if holders != said {
                let rule = format!("{key} is held by {holders:?}, its row says {said:?}");
                return Err(refused(operation, rule));
            }
        }
        Ok(())
    }
}
