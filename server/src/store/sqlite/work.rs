//! What the transactions do inside: load, call the decision, write what it answers.

use sqlx::SqliteConnection;
use wfe_core::{
    audit::Record,
    clear::{ClearDecision, ClearView},
    execution::Execution,
    ids::{ExecutionId, RequestId},
    lock::TargetState,
    settle::{Settlement, View},
    start::{NewExecution, StartDecision},
    target::TargetKey,
    transition::Change,
    withdraw::WithdrawDecision,
};

use super::{
    log::Seal,
    read,
    transaction::{Done, Work},
    write,
};
use crate::{
    store::{ClearDecider, SettleDecider, SettleError, StartDecider, StoreError, WithdrawDecider},
    vault::Fingerprint,
};

/// A Start.
pub(super) struct Start<'a> {
    pub(super) new: &'a NewExecution,
    pub(super) decide: &'a StartDecider<'a>,
    pub(super) seal: Seal<'a>,
}

impl Work for Start<'_> {
    type Answer = StartDecision;

    fn name(&self) -> &'static str {
        "start"
    }

    async fn run(
        &self,
        connection: &mut SqliteConnection,
    ) -> Result<Done<StartDecision>, StoreError> {
        let NewExecution { request, actor, now, .. } = self.new;
        let loaded = read::start_view(&mut *connection, request).await?;
        let decision = (self.decide)(loaded.view());
        match &decision {
            StartDecision::Accept { change, target } => {
                write::insert_execution(connection, &change.execution).await?;
                put_events(connection, self.seal, change).await?;
                write::insert_request(connection, &change.execution).await?;
                let stored = loaded.stored_target();
                match target {
                    Some(target) => write::put_target(connection, stored, target).await?,
                    // It waits for a target that was never held, as for a foreign run.
                    None if stored.is_none() => {
                        write::insert_target(connection, loaded.view().target).await?;
                    }
                    None => {}
                }
            }
            StartDecision::Attach(execution) => {
                write::insert_attached_request(connection, request, *execution).await?;
                let record = Record::of_attachment(request, *execution, actor, *now);
                self.seal.append(connection, &[record]).await?;
            }
            StartDecision::Repeat(_)
            | StartDecision::Refuse(_)
            | StartDecision::Withdrawn(_)
            | StartDecision::Reused { .. }
            | StartDecision::DeadlinePassed
            | StartDecision::ClusterUnknown => return Ok(Done::Nothing(decision)),
        }
        Ok(Done::Write(decision))
    }
}

/// A Cancel by request id.
pub(super) struct Withdraw<'a> {
    pub(super) id: &'a RequestId,
    pub(super) decide: &'a WithdrawDecider<'a>,
    pub(super) seal: Seal<'a>,
}

impl Work for Withdraw<'_> {
    type Answer = WithdrawDecision;

    fn name(&self) -> &'static str {
        "withdraw"
    }

    async fn run(
        &self,
        connection: &mut SqliteConnection,
    ) -> Result<Done<WithdrawDecision>, StoreError> {
        let loaded = read::withdraw_view(&mut *connection, self.id).await?;
        let decision = (self.decide)(loaded.view());
        match &decision {
            WithdrawDecision::Withdraw(withdrawal) => {
                write::insert_withdrawal(connection, withdrawal).await?;
                self.seal.append(connection, &[Record::of_withdrawal(withdrawal)]).await?;
                Ok(Done::Write(decision))
            }
            WithdrawDecision::Stop(_) | WithdrawDecision::Withdrawn(_) => {
                Ok(Done::Nothing(decision))
            }
        }
    }
}

/// A change after a Start.
pub(super) struct Settle<'a> {
    pub(super) name: &'static str,
    pub(super) id: ExecutionId,
    pub(super) decide: &'a SettleDecider<'a>,
    pub(super) seal: Seal<'a>,
}

impl Work for Settle<'_> {
    type Answer = Result<Settlement, SettleError>;

    fn name(&self) -> &'static str {
        self.name
    }

    async fn run(
        &self,
        connection: &mut SqliteConnection,
    ) -> Result<Done<Self::Answer>, StoreError> {
        let Some(execution) = read::execution(&mut *connection, self.id).await? else {
            return Ok(Done::Nothing(Err(SettleError::NotFound(self.id))));
        };
        let key = &execution.request.target;
        let target =
            read::target(&mut *connection, key).await?.ok_or_else(|| StoreError::Inconsistent {
                table: "executions",
                row: self.id.to_string(),
                column: "target",
                problem: format!("there is no target {key}"),
            })?;
        let head = read::head(&mut *connection, key).await?;
        let view = View { execution: &execution, target: &target, head: head.as_ref() };
        let settlement = match (self.decide)(view) {
            Ok(settlement) => settlement,
            Err(source) => {
                return Ok(Done::Nothing(Err(SettleError::Illegal { id: self.id, source })));
            }
        };
        if settlement == Settlement::default() {
            return Ok(Done::Nothing(Ok(settlement)));
        }
        for change in &settlement.changes {
            write::update_execution(connection, change).await?;
            put_events(connection, self.seal, change).await?;
        }
        if let Some(after) = &settlement.target {
            write::put_target(connection, Some(&target), after).await?;
        }
        Ok(Done::Write(Ok(settlement)))
    }
}

/// An attempt to clear a block.
pub(super) struct Clear<'a> {
    pub(super) key: &'a TargetKey,
    pub(super) decide: &'a ClearDecider<'a>,
    pub(super) seal: Seal<'a>,
}

impl Work for Clear<'_> {
    type Answer = Result<ClearDecision, SettleError>;

    fn name(&self) -> &'static str {
        "clear"
    }

    async fn run(
        &self,
        connection: &mut SqliteConnection,
    ) -> Result<Done<Self::Answer>, StoreError> {
        let stored = read::target(&mut *connection, self.key).await?;
        let target = stored.clone().unwrap_or_else(|| TargetState::unused(self.key.clone()));
        let head = read::head(&mut *connection, self.key).await?;
        let decision = match (self.decide)(ClearView { target: &target, head: head.as_ref() }) {
            Ok(decision) => decision,
            Err(source) => {
                // Only the move of the one that waits can be illegal.
                let Some(Execution { id, .. }) = head else {
                    return Err(StoreError::Inconsistent {
                        table: "targets",
                        row: self.key.to_string(),
                        column: "holder",
                        problem: source.to_string(),
                    });
                };
                return Ok(Done::Nothing(Err(SettleError::Illegal { id, source })));
            }
        };
        let attempt = &decision.attempt;
        let blocking = match attempt.outcome.execution() {
            Some(id) => read::execution(&mut *connection, id).await?,
            None => None,
        };
        // The clearance first: it is what lets the next one in.
        let record = Record::of_attempt(self.key, attempt, blocking.as_ref());
        self.seal.append(connection, &[record]).await?;
        for change in &decision.settlement.changes {
            write::update_execution(connection, change).await?;
            put_events(connection, self.seal, change).await?;
        }
        write::insert_attempt(connection, self.key, attempt).await?;
        if let Some(after) = &decision.settlement.target {
            write::put_target(connection, stored.as_ref(), after).await?;
        }
        Ok(Done::Write(Ok(decision)))
    }
}

/// Which key seals sensitive parameters here; the first one that is told is it.
pub(super) struct KeepKey<'a> {
    pub(super) ours: Option<&'a Fingerprint>,
}

impl Work for KeepKey<'_> {
    type Answer = Option<Fingerprint>;

    fn name(&self) -> &'static str {
        "parameter_key"
    }

    async fn run(
        &self,
        connection: &mut SqliteConnection,
    ) -> Result<Done<Self::Answer>, StoreError> {
        let kept = read::parameter_key(&mut *connection).await?;
        let (None, Some(ours)) = (&kept, self.ours) else { return Ok(Done::Nothing(kept)) };
        write::insert_parameter_key(connection, ours).await?;
        Ok(Done::Write(Some(ours.clone())))
    }
}

/// Writes what happened to an execution, and puts it on record.
async fn put_events(
    connection: &mut SqliteConnection,
    seal: Seal<'_>,
    change: &Change,
) -> Result<(), StoreError> {
    seal.append(connection, &Record::of_change(change)).await?;
    write::insert_events(connection, &change.events).await
}

/// Proves that a write becomes durable.
pub(super) struct Check;

impl Work for Check {
    type Answer = ();

    fn name(&self) -> &'static str {
        "check"
    }

    async fn run(&self, connection: &mut SqliteConnection) -> Result<Done<()>, StoreError> {
        write::touch(connection).await?;
        Ok(Done::Write(()))
    }
}
