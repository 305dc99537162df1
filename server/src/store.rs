//! What is kept, and the promises of whoever keeps it.
//!
//! A change is one call: the store loads what the decision rests on, calls the pure decision, and
//! writes what it answers, in one transaction. The decision may be called again when the transaction
//! has to be repeated, so it must depend on its arguments alone. Nothing outside the decision decides.
//!
//! Every implementation passes the suite in `store/conformance.rs`.

use async_trait::async_trait;
use wfe_core::{
    clear::{Attempt, ClearDecision, ClearView},
    event::Event,
    execution::{Execution, StateCode},
    ids::{CorrelationId, ExecutionId, RequestId, Revision},
    lock::TargetState,
    request::StartRequest,
    settle::{Settlement, View},
    start::{NewExecution, StartDecision, StartView},
    target::TargetKey,
    transition::IllegalTransition,
    withdraw::{WithdrawDecision, WithdrawView},
};

use crate::vault::Fingerprint;

#[cfg(test)]
mod conformance;
mod journal;
#[cfg(test)]
pub(crate) mod memory;
pub mod observer;
mod outbox;
mod seals;
pub mod sqlite;
mod tenure;

pub use self::{
    journal::{Journal, Lease, LeaseWish, Log, LogScope},
    outbox::{
        Backlog, Due, Move, Outbox, ParkReason, Row, Standing, StandingCode, TakeUp, TakenUp, Wait,
    },
    seals::{Sealed, Seals},
    tenure::Tenure,
};

/// Decides a Start from what is stored.
pub type StartDecider<'a> = dyn Fn(StartView<'_>) -> StartDecision + Send + Sync + 'a;

/// Decides a Cancel by request id from what is stored.
pub type WithdrawDecider<'a> = dyn Fn(WithdrawView<'_>) -> WithdrawDecision + Send + Sync + 'a;

/// Decides a change from what is stored.
pub type SettleDecider<'a> =
    dyn Fn(View<'_>) -> Result<Settlement, IllegalTransition> + Send + Sync + 'a;

/// Decides a ClearBlock from what is stored.
pub type ClearDecider<'a> =
    dyn Fn(ClearView<'_>) -> Result<ClearDecision, IllegalTransition> + Send + Sync + 'a;

/// Keeps executions, targets, requests and events, and puts each change on record in the [`Journal`] in
/// the same transaction. Times are kept in whole microseconds, as a
/// [`Clock`](crate::clock::Clock) gives them.
///
/// A caller may drop any call at any point: what the call writes is then kept whole or not at all.
#[async_trait]
pub trait Store: Journal + Seals {
    /// Decides and writes a Start. An accepted or attached request is kept, so that its repetition is
    /// recognised for ever; a refusal writes nothing.
    async fn start(
        &self,
        new: &NewExecution,
        decide: &StartDecider<'_>,
    ) -> Result<StartDecision, StoreError>;

    /// What [`Store::start`] would decide; writes nothing.
    async fn validate_start(
        &self,
        request: &StartRequest,
        decide: &StartDecider<'_>,
    ) -> Result<StartDecision, StoreError>;

    /// Decides a Cancel by request id. A withdrawal is written, and so stands between its request and
    /// every later Start; what is to be stopped, and what was withdrawn before, writes nothing.
    async fn withdraw(
        &self,
        id: &RequestId,
        decide: &WithdrawDecider<'_>,
    ) -> Result<WithdrawDecision, StoreError>;

    /// Decides and writes a change of one execution, of its target, and of the one that waits next.
    /// `name` names the transaction in metrics and logs.
    async fn settle(
        &self,
        name: &'static str,
        id: ExecutionId,
        decide: &SettleDecider<'_>,
    ) -> Result<Settlement, SettleError>;

    /// Decides an attempt to clear the block of a target, writes what it changes, and keeps the attempt
    /// whatever came of it.
    async fn clear(
        &self,
        key: &TargetKey,
        decide: &ClearDecider<'_>,
    ) -> Result<ClearDecision, SettleError>;

    /// One execution, with the clearance of the block that it caused.
    async fn execution(&self, id: ExecutionId) -> Result<Option<Execution>, StoreError>;

    /// The execution that a request got.
    async fn execution_of_request(&self, id: &RequestId) -> Result<Option<Execution>, StoreError>;

    /// Executions, the newest accepted first.
    async fn list(&self, filter: &Filter, page: Page) -> Result<Vec<Listed>, StoreError>;

    /// Events of an execution after a revision, in order, at most `limit`.
    async fn events(
        &self,
        id: ExecutionId,
        after: Revision,
        limit: u32,
    ) -> Result<Vec<Event>, StoreError>;

    /// A target, who holds it and who waits for it, in order of acceptance.
    async fn target(&self, key: &TargetKey) -> Result<TargetView, StoreError>;

    /// Attempts to clear a block of a target, the newest first, at most `limit`.
    async fn attempts(&self, key: &TargetKey, limit: u32) -> Result<Vec<Attempt>, StoreError>;

    /// Every execution that has not ended, in order of acceptance.
    async fn unfinished(&self) -> Result<Vec<Unfinished>, StoreError>;

    /// The execution that holds a target.
    async fn holder_of(&self, key: &TargetKey) -> Result<Option<ExecutionId>, StoreError>;

    /// The execution that waits first for a target with this hash.
    async fn head_of(&self, target_hash: &str) -> Result<Option<ExecutionId>, StoreError>;

    /// How many executions are in each state; a state without any may be left out.
    async fn count_by_state(&self) -> Result<Vec<(StateCode, u64)>, StoreError>;

    /// The fingerprint of the key with which sensitive parameters are sealed here; `None` before there is
    /// one. Keeps `ours`, for ever, when there is none yet.
    async fn parameter_key(
        &self,
        ours: Option<&Fingerprint>,
    ) -> Result<Option<Fingerprint>, StoreError>;

    /// Answers when the store can read and write.
    async fn check(&self) -> Result<(), StoreError>;

    /// Closes the store; what was committed is durable.
    async fn close(&self);
}

/// Which executions to list. Conditions are combined with and.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only those in one of these states; empty is any.
    pub states: Vec<StateCode>,
    /// Only those of this target.
    pub target: Option<TargetKey>,
    /// Only those with this correlation id.
    pub correlation_id: Option<CorrelationId>,
}

/// Which part of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Only those accepted before this one; `None` begins with the newest.
    pub before: Option<Sequence>,
    /// At most this many.
    pub limit: u32,
}

/// The order of acceptance: a later execution has a greater number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sequence(pub i64);

/// An entry of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its place in the order of acceptance.
    pub sequence: Sequence,
    /// The execution.
    pub execution: Execution,
}

/// A target with the executions that are concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetView {
    /// The target itself.
    pub state: TargetState,
    /// The execution that holds it.
    pub holder: Option<Execution>,
    /// The executions that wait, the next one first.
    pub queue: Vec<Execution>,
}

/// An execution that has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unfinished {
    /// The execution.
    pub id: ExecutionId,
    /// Where it stands.
    pub state: StateCode,
}

/// The store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached or refused; trying again may help.
    #[error("the database is not available: {operation}")]
    Unavailable {
        /// The transaction or query.
        operation: &'static str,
        /// What the database said.
        #[source]
        source: sqlx::Error,
    },
    /// The schema refused a write, because what was decided breaks an invariant; trying again does not
    /// help.
    #[error("the schema refuses {operation}")]
    Refused {
        /// The transaction or write.
        operation: &'static str,
        /// The invariant, as the database names it.
        #[source]
        source: sqlx::Error,
    },
    /// What is stored contradicts itself.
    #[error("table {table}, row {row}: column {column} holds what cannot be: {problem}")]
    Inconsistent {
        /// The table.
        table: &'static str,
        /// Its row.
        row: String,
        /// Its column.
        column: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A write touched other rows than it should have.
    #[error("{operation} changed {actual} rows instead of {expected}")]
    RowCount {
        /// The write.
        operation: &'static str,
        /// Rows that it should change.
        expected: u64,
        /// Rows that it changed.
        actual: u64,
    },
}

/// A change could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// There is no such execution.
    #[error("there is no execution {0}")]
    NotFound(ExecutionId),
    /// The execution cannot move that way.
    #[error("execution {id}")]
    Illegal {
        /// The execution.
        id: ExecutionId,
        /// What is not possible.
        #[source]
        source: IllegalTransition,
    },
    /// The store could not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}
