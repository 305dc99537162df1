//! The loop: one turn after the other, of one process at a time.
//!
//! A turn takes up what is new in the log, looks for events of which it is not known whether they
//! arrived, and sends what is due. Everything that a later turn needs to know is in the outbox, so that a
//! process may end between any two steps.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use wfe_core::{audit::Position, gates::later};
use wfe_datastorage::{Client, FindError, Found};
use wfe_runtime::error::chain;

use self::take_up::read;
use super::{Input, Next, Pace, Parts, Policy, Role, Seen, Trouble, next};
use crate::store::{Due, LogScope, Move, Row, Standing, StoreError, Tenure};

mod send;
mod take_up;

/// Name of the lease of the process that delivers.
const LEASE: &str = "delivery";
/// How long the lease is taken for.
const LEASE_TIME: Duration = Duration::from_mins(1);
/// It is renewed when less than this is left.
const LEASE_LEFT: Duration = Duration::from_secs(45);
/// Entries or rows that are read at once.
const PAGE: u32 = 500;
/// Events that are looked for in one turn.
const LOOKS: u32 = 50;

/// When the next turn is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// Not before.
    pub again: Timestamp,
}

/// Why a turn went no further.
#[derive(Debug, thiserror::Error)]
enum Hindrance {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("entry {sequence} of the log cannot be read")]
    Entry {
        sequence: Position,
        #[source]
        source: serde_json::Error,
    },
    #[error("an event of the outbox cannot be written")]
    Event(#[from] serde_json::Error),
}

/// Delivers, one turn at a time.
pub struct Courier {
    parts: Parts,
    policy: Policy,
    tenure: Tenure,
    pace: Pace,
    told: Option<(Trouble, String)>,
    hindered: Option<String>,
    /// When Data Storage last did not say whether it has an event.
    unanswered: Option<Timestamp>,
    chance: Box<dyn FnMut() -> f64 + Send + Sync>,
}

impl Courier {
    /// Puts the parts together. `chance` gives numbers from 0 to 1.
    pub fn new(
        parts: Parts,
        policy: Policy,
        chance: impl FnMut() -> f64 + Send + Sync + 'static,
    ) -> Self {
        let chance = Box::new(chance);
        let tenure = Tenure::new(LEASE, policy.holder.clone(), LEASE_TIME, LEASE_LEFT);
        Self {
            parts,
            policy,
            tenure,
            pace: Pace::Steady,
            told: None,
            hindered: None,
            unanswered: None,
            chance,
        }
    }

    /// Does what is to be done now. A request that was begun is waited for; none is begun when
    /// `stopping`.
    pub async fn turn(&mut self, stopping: &CancellationToken) -> Turn {
        let done = self.try_turn(stopping).await;
        let now = self.now();
        match done {
            Ok(turn) => {
                if self.hindered.take().is_some() {
                    tracing::info!("delivery goes on");
                }
                turn
            }
            Err(hindrance) => {
                let problem = chain(&hindrance);
                self.parts.status.hindered(problem.clone());
                if self.hindered.as_ref() != Some(&problem) {
                    tracing::warn!(problem, "delivery is hindered");
                    self.hindered = Some(problem);
                }
                self.tenure.doubt();
                Turn { again: later(now, self.policy.interval.max(Duration::from_secs(1))) }
            }
        }
    }

    /// Lets another process deliver at once instead of when the lease is over.
    pub async fn release(&mut self) {
        let now = self.now();
        if let Err(error) = self.tenure.release(&*self.parts.store, now).await {
            tracing::debug!(error = chain(&error), "the lease of delivery ends by itself");
        }
    }

    async fn try_turn(&mut self, stopping: &CancellationToken) -> Result<Turn, Hindrance> {
        if !self.hold_lease().await? {
            self.tell(Role::Bystander).await?;
            return Ok(Turn { again: later(self.now(), LEASE_TIME / 12) });
        }
        let more = self.take_up().await?;
        self.recover().await?;
        let more = self.look(stopping).await? || more;
        let more = self.send(stopping).await? || more;
        let next_due = self.tell(Role::Deliverer(self.pace.clone())).await?;
        let now = self.now();
        let idle = later(now, self.policy.interval);
        let due = next_due.map_or(idle, |due| due.min(idle));
        let again = match self.pace.until() {
            // Only the log is looked at meanwhile.
            Some(until) if until > now => until.min(idle),
            _ if more => now,
            _ => due.max(now),
        };
        Ok(Turn { again })
    }

    fn now(&self) -> Timestamp {
        self.parts.clock.now()
    }

    /// Whether this process delivers.
    async fn hold_lease(&mut self) -> Result<bool, StoreError> {
        let now = self.now();
        self.tenure.hold(&*self.parts.store, now).await
    }

    /// Whether a request that begins now is over before another process may begin one.
    async fn may_ask(&mut self, stopping: &CancellationToken) -> Result<bool, StoreError> {
        if stopping.is_cancelled() || !self.pace.is_open(self.now()) || !self.hold_lease().await? {
            return Ok(false);
        }
        let end = later(self.now(), self.parts.client.timeout());
        Ok(self.tenure.outlasts(end))
    }

    /// What a process left behind that ended during a request.
    async fn recover(&mut self) -> Result<(), StoreError> {
        loop {
            let rows = self.parts.outbox.due(Due::Sending, self.now(), PAGE).await?;
            if rows.is_empty() {
                return Ok(());
            }
            tracing::warn!(events = rows.len(), "it is not known whether these events arrived");
            let moves: Vec<_> = rows.iter().map(|row| (row, Input::Doubt)).collect();
            self.moved(moves).await?;
        }
    }

    /// Looks for events that may be stored. Answers whether there are more to look for.
    async fn look(&mut self, stopping: &CancellationToken) -> Result<bool, StoreError> {
        let rows = self.parts.outbox.due(Due::Unsure, self.now(), LOOKS).await?;
        for row in &rows {
            if !self.may_ask(stopping).await? {
                return Ok(false);
            }
            let found = self.asked(self.client().find(&row.event)).await;
            let input = match &found {
                Ok(Found::Stored { .. }) => Input::Found,
                Ok(Found::Missing) => Input::Missing { unanswered: self.unanswered },
                Err(_) => Input::Unanswered,
            };
            self.parts.metrics.delivery_look(&input);
            self.moved(vec![(row, input)]).await?;
            match found {
                Ok(_) => self.steady(),
                Err(error) => {
                    self.unanswered = Some(self.now());
                    self.in_trouble_with(error);
                    return Ok(false);
                }
            }
        }
        Ok(rows.len() == LOOKS as usize)
    }

    /// Moves rows as the table says, and says which are parked.
    async fn moved(&self, inputs: Vec<(&Row, Input)>) -> Result<(), StoreError> {
        let now = self.now();
        let mut moves = Vec::new();
        for (row, input) in inputs {
            let to = match next(&row.standing, input, self.policy.patience, now) {
                Next::Same => continue,
                Next::To(standing) => Some(standing),
                Next::Delivered => None,
            };
            moves.push((row, Move::of(row, to)));
        }
        let only: Vec<Move> = moves.iter().map(|(_, change)| change.clone()).collect();
        self.parts.outbox.move_rows(&only, now).await?;
        let delivered = only.iter().filter(|change| change.to.is_none()).count();
        self.parts.metrics.delivered_events(u64::try_from(delivered).unwrap_or(u64::MAX));
        for (row, change) in moves {
            if let Some(Standing::Parked { reason, problem, .. }) = &change.to {
                self.parts.metrics.parked(*reason);
                tracing::error!(
                    entry = row.sequence.0,
                    event = row.event.event_type().as_str(),
                    correlation_id = %row.correlation_id(),
                    reason = reason.as_str(),
                    problem,
                    "an event does not arrive at Data Storage: it is parked until a person looks",
                );
            }
        }
        Ok(())
    }

    fn client(&self) -> Arc<Client> {
        Arc::clone(&self.parts.client)
    }

    /// Leaves a gap before a request.
    async fn asked<T>(&self, request: impl Future<Output = T>) -> T {
        tokio::time::sleep(self.policy.gap).await;
        request.await
    }

    fn steady(&mut self) {
        self.pace = Pace::Steady;
        if self.told.take().is_some() {
            tracing::info!("Data Storage does what it is asked for again");
        }
    }

    fn in_trouble_with(&mut self, error: FindError) {
        match error {
            FindError::RateLimited { after } => {
                self.in_trouble(Trouble::RateLimited, "it is asked too often", Some(after));
            }
            FindError::Unauthorized(said) => self.in_trouble(Trouble::Unauthorized, &said, None),
            FindError::Forbidden(said) => self.in_trouble(Trouble::Forbidden, &said, None),
            FindError::Unanswered(said) => self.in_trouble(Trouble::Unavailable, &said, None),
        }
    }

    fn in_trouble(&mut self, trouble: Trouble, said: &str, after: Option<Duration>) {
        let (chance, now) = ((self.chance)(), self.now());
        self.pace = self.pace.failed(trouble, said.to_owned(), after, chance, now);
        let told = (trouble, said.to_owned());
        if self.told.as_ref() != Some(&told) {
            tracing::warn!(trouble = trouble.as_str(), said, "Data Storage is in trouble");
            self.told = Some(told);
        }
    }

    /// Tells how it goes. Answers when the next row is due.
    async fn tell(&self, role: Role) -> Result<Option<Timestamp>, Hindrance> {
        let backlog = self.parts.outbox.backlog().await?;
        let next_due = backlog.next_due;
        let oldest = match backlog.oldest {
            Some(oldest) => Some(oldest),
            None => self.not_taken_up().await?,
        };
        self.parts.status.tell(Seen { backlog, oldest, role, problem: None });
        Ok(next_due)
    }

    /// When the first entry happened that was not taken up.
    async fn not_taken_up(&self) -> Result<Option<Timestamp>, Hindrance> {
        let Some(after) = self.parts.outbox.taken_up().await? else { return Ok(None) };
        let scope = LogScope::Everything;
        let first = self.parts.store.entries(&scope, after, 1).await?.pop();
        Ok(first.as_ref().map(read).transpose()?.map(|logged| logged.at))
    }
}
