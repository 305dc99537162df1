//! What goes on after a call was answered: brings each execution and its run together.
//!
//! Takes no input: a turn reads what is stored and what the watches know, asks the pure [`plan`] for
//! one action, does it, and looks again. So a turn may be repeated, may be lost with the process, and
//! is the same after a restart. Two replicas may take the same turn: names, preconditions and
//! revisions make the second one harmless.

use std::{mem, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use jiff::Timestamp;
use tokio::{sync::Semaphore, time::Instant};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use wfe_core::{execution::Execution, ids::ExecutionId};
use wfe_runtime::error::chain;

use crate::{
    clock::Clock,
    error::ServiceError,
    ledger::Ledger,
    store::Unfinished,
    tekton::{Seen, Tekton},
};

mod act;
mod follow;
mod foreign;
mod log;
mod plan;
mod queue;
mod sensitive;

pub use follow::follow_runs;
pub use foreign::foreign_runs;
use log::LogPatience;
use plan::Known;
pub use plan::Policy;
pub use queue::Queue;
use queue::{Ticket, Wake};

/// At most this many executions are worked on at once.
const PARALLEL: usize = 32;

/// What has not ended could not be read: the first and the longest wait before it is tried again.
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(5);

/// At most this many actions in one turn; a turn that needs more goes to the end of the queue, so
/// that no execution starves the others.
const ACTIONS_PER_TURN: usize = 16;

/// Reconciles executions until it is told to stop.
pub struct Reconciler {
    ledger: Ledger,
    tekton: Arc<dyn Tekton>,
    clock: Arc<dyn Clock>,
    queue: Arc<Queue>,
    policy: Policy,
    logs: LogPatience,
}

/// What a turn left behind.
enum Turn {
    /// Nothing to do until something changes.
    Rest,
    /// Look again after this time.
    After(Duration),
    /// Look again when the clock shows this time.
    At(Timestamp),
    /// It did not work; look again after a growing time, not before `at_least`.
    Retry {
        /// When the API server asked to be left alone.
        at_least: Option<Duration>,
    },
}

impl Reconciler {
    /// Puts the parts together.
    pub fn new(
        ledger: Ledger,
        tekton: Arc<dyn Tekton>,
        clock: Arc<dyn Clock>,
        queue: Arc<Queue>,
        policy: Policy,
    ) -> Self {
        Self { ledger, tekton, clock, queue, policy, logs: LogPatience::default() }
    }

    /// Takes turns until `shutdown`, then waits for those under way. Everything that has not ended is
    /// looked at first.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let turns = TaskTracker::new();
        self.run_on(&|task| drop(turns.spawn(task)), shutdown).await;
        turns.close();
        turns.wait().await;
    }

    /// Begins turns until `shutdown`, each as a task of its own that `spawn` takes.
    pub(crate) async fn run_on(
        self: Arc<Self>,
        spawn: &(dyn Fn(BoxFuture<'static, ()>) + Send + Sync),
        shutdown: CancellationToken,
    ) {
        let permits = Arc::new(Semaphore::new(PARALLEL));
        spawn(Box::pin(Arc::clone(&self).look_at_unfinished(shutdown.clone())));
        loop {
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { break };
            let ticket = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                ticket = self.queue.next() => ticket,
            };
            let this = Arc::clone(&self);
            spawn(Box::pin(async move {
                this.turn_and_note(ticket).await;
                drop(permit);
            }));
        }
    }

    /// Has everything looked at that has not ended: first of all, and again from time to time. Whoever
    /// writes says what to look at, but may go away in between, or not hear that it was written.
    async fn look_at_unfinished(self: Arc<Self>, shutdown: CancellationToken) {
        let mut retry = FIRST_RETRY;
        loop {
            let wait = match self.ledger.store().unfinished().await {
                Ok(unfinished) => {
                    for Unfinished { id, .. } in unfinished {
                        self.queue.remind(id);
                    }
                    retry = FIRST_RETRY;
                    self.policy.look_again
                }
                Err(error) => {
                    tracing::error!(error = chain(&error), "cannot read what has not ended");
                    let longer = (retry * 2).min(LAST_RETRY);
                    mem::replace(&mut retry, longer)
                }
            };
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    async fn turn_and_note(&self, ticket: Ticket) {
        let id = ticket.id();
        let turn = match self.turn(id).await {
            Ok(turn) => turn,
            Err(error) => {
                tracing::warn!(execution.id = %id, error = chain(&error), "a turn failed");
                Turn::Retry { at_least: None }
            }
        };
        match turn {
            Turn::Rest => ticket.done(None),
            Turn::After(wait) => ticket.done(Some(Wake::After(Instant::now() + wait))),
            Turn::At(time) => ticket.done(Some(Wake::At(time))),
            Turn::Retry { at_least } => ticket.failed(at_least),
        }
    }

    fn known(&self, execution: &Execution) -> Known {
        let run = match execution.state.planned_run() {
            Some(run) => self.tekton.seen(run.name.as_str()),
            None => Seen::Absent,
        };
        Known { run, foreign: self.foreign(execution), veil: self.sensitive(execution).veil }
    }

    async fn turn(&self, id: ExecutionId) -> Result<Turn, ServiceError> {
        for _ in 0..ACTIONS_PER_TURN {
            let Some(execution) = self.ledger.store().execution(id).await? else {
                tracing::debug!(execution.id = %id, "an execution that is not on record");
                return Ok(Turn::Rest);
            };
            let action =
                plan::plan(&execution, &self.known(&execution), &self.policy, self.clock.now());
            let done = self.act(&execution, action).await;
            let done = done.map_err(|error| error.hide(&self.sensitive(&execution).veil));
            if let Some(turn) = done? {
                return Ok(turn);
            }
        }
        Ok(Turn::After(Duration::ZERO))
    }
}
