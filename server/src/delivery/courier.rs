//! The loop: one turn after the other, of one process at a time.
//!
//! A turn takes up what is new in the log, looks for events of which it is not known whether they
//! arrived, and sends what is due. Everything that a later turn needs to know is in the outbox, so that a
//! process may end between any two steps.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use wfe_core::audit::{Entry, Logged, Position};
use wfe_datastorage::{Batch, Client, Event, FindError, Found, Place, SendOutcome, Window};
use wfe_runtime::error::chain;

use super::{Input, Next, Pace, Parts, Policy, Role, Seen, Trouble, event_of, next};
use crate::store::{
    Due, Lease, LeaseWish, LogScope, Move, ParkReason, Row, Standing, StoreError, TakeUp, TakenUp,
};

/// Name of the lease of the process that delivers.
const LEASE: &str = "delivery";
/// How long the lease is taken for.
const LEASE_TIME: Duration = Duration::from_mins(1);
/// It is renewed when less than this is left.
const LEASE_LEFT: Duration = Duration::from_secs(45);
/// Entries or rows that are read at once.
const PAGE: u32 = 500;
/// Pages that are taken up in one turn, so that others have their turn too.
const PAGES: u32 = 8;
/// Events that are looked for in one turn.
const LOOKS: u32 = 50;
/// Older entries are not taken up by the first delivery: the receiver takes none of more than 7 days.
const FIRST_AGE: Duration = Duration::from_hours(7 * 24);
/// Clocks of correlation ids are forgotten after that time without an event.
const CLOCK_AGE: Duration = Duration::from_hours(30 * 24);
/// The smallest limit of a body that is tried.
const SMALLEST_BODY: usize = 64 * 1024;

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
    lease: Option<Lease>,
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
        Self {
            parts,
            policy,
            lease: None,
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
                // The lease may be another's by then.
                self.lease = None;
                Turn { again: later(now, self.policy.interval.max(Duration::from_secs(1))) }
            }
        }
    }

    /// Lets another process deliver at once instead of when the lease is over.
    pub async fn release(&mut self) {
        if self.lease.take().is_some() {
            let now = self.now();
            let wish = LeaseWish { name: LEASE, holder: &self.policy.holder, now, until: now };
            if let Err(error) = self.parts.store.lease(&wish).await {
                tracing::debug!(error = chain(&error), "the lease of delivery ends by itself");
            }
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
        if self.lease.is_some_and(|lease| later(now, LEASE_LEFT) <= lease.until) {
            return Ok(true);
        }
        let until = later(now, LEASE_TIME);
        let wish = LeaseWish { name: LEASE, holder: &self.policy.holder, now, until };
        self.lease = self.parts.store.lease(&wish).await?;
        Ok(self.lease.is_some())
    }

    /// Whether a request that begins now is over before another process may begin one.
    async fn may_ask(&mut self, stopping: &CancellationToken) -> Result<bool, StoreError> {
        if stopping.is_cancelled() || !self.pace.is_open(self.now()) || !self.hold_lease().await? {
            return Ok(false);
        }
        let end = later(self.now(), self.parts.client.timeout());
        Ok(self.lease.is_some_and(|lease| end < lease.until))
    }

    /// Takes up what is new in the log. Answers whether there is more.
    async fn take_up(&mut self) -> Result<bool, Hindrance> {
        for _ in 0..PAGES {
            let from = self.parts.outbox.taken_up().await?;
            let after = match from {
                Some(from) => from,
                None => self.beginning().await?,
            };
            let entries = self.entries(after).await?;
            let Some(last) = entries.last() else {
                if from.is_none() && after > Position(0) {
                    self.step(from, after, Vec::new()).await?;
                }
                return Ok(false);
            };
            let (to, full) = (last.sequence, entries.len() == PAGE as usize);
            let mut events = Vec::new();
            for entry in &entries {
                events.extend(self.event(entry).await?.map(|event| (entry.sequence, event)));
            }
            let taken = self.step(from, to, events).await?;
            if taken == TakenUp::ByAnother || !full {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn step(
        &self,
        from: Option<Position>,
        to: Position,
        events: Vec<(Position, Event)>,
    ) -> Result<TakenUp, StoreError> {
        let now = self.now();
        let forget = now.saturating_sub(CLOCK_AGE).unwrap_or(Timestamp::MIN);
        self.parts.outbox.take_up(&TakeUp { from, to, events, now, forget }).await
    }

    async fn entries(&self, after: Position) -> Result<Vec<Entry>, StoreError> {
        self.parts.store.entries(&LogScope::Everything, after, PAGE).await
    }

    async fn event(&self, entry: &Entry) -> Result<Option<Event>, Hindrance> {
        let logged = read(entry)?;
        let execution = match logged.about.execution {
            Some(id) => self.parts.store.execution(id).await?,
            None => None,
        };
        Ok(event_of(&logged, execution.as_ref()).unwrap_or_else(|error| {
            tracing::error!(
                entry = entry.sequence.0,
                error = chain(&error),
                "an entry cannot be told to Data Storage; it stays in the log alone"
            );
            None
        }))
    }

    /// Where the first delivery begins: behind the entries that nobody would take any more. Times rise
    /// with the log, but for what clocks do to them.
    async fn beginning(&self) -> Result<Position, Hindrance> {
        let log = self.parts.store.log().await?;
        let oldest = self.now().saturating_sub(FIRST_AGE).unwrap_or(Timestamp::MIN);
        let (mut low, mut high) = (log.base.sequence.0, log.head.sequence.0);
        while low < high {
            let middle = low + (high - low) / 2;
            let scope = LogScope::Everything;
            let entry = self.parts.store.entries(&scope, Position(middle), 1).await?.pop();
            let Some(entry) = entry else { break };
            if read(&entry)?.at < oldest {
                low = entry.sequence.0;
            } else {
                high = middle;
            }
        }
        Ok(Position(low))
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

    /// Sends what is due. Answers whether there is more to send.
    async fn send(&mut self, stopping: &CancellationToken) -> Result<bool, Hindrance> {
        let rows = self.parts.outbox.due(Due::Pending, self.now(), PAGE).await?;
        let (rows, left_behind) = self.park_old(rows).await?;
        if rows.is_empty() {
            return Ok(left_behind);
        }
        // One batch, and what it falls into when there is something wrong with it.
        let mut groups = VecDeque::from([rows]);
        let mut more = false;
        while let Some(group) = groups.pop_front() {
            if !self.may_ask(stopping).await? {
                return Ok(false);
            }
            let Some((batch, group, rest)) = self.batch(group)? else { continue };
            if !rest.is_empty() {
                groups.push_front(rest);
            }
            let outcome = self.send_group(&batch, &group).await?;
            let queued = outcome == SendOutcome::Accepted;
            for part in self.after(&outcome, &batch, group).await?.into_iter().rev() {
                groups.push_front(part);
            }
            more = true;
            if queued {
                // Whether it can store anything is found out by looking for these, before it is given more.
                break;
            }
        }
        Ok(more)
    }

    /// Parks what is too old, and leaves out what is ahead of its time.
    async fn park_old(&mut self, rows: Vec<Row>) -> Result<(Vec<Row>, bool), StoreError> {
        let now = self.now();
        let count = rows.len();
        let (old, rows): (Vec<Row>, Vec<Row>) =
            rows.into_iter().partition(|row| row.event.window(now) == Window::TooOld);
        self.moved(old.iter().map(|row| (row, Input::TooOld)).collect()).await?;
        // A clock was set back; what is ahead of it waits without being in the way of others.
        let (rows, ahead): (Vec<Row>, Vec<Row>) =
            rows.into_iter().partition(|row| row.event.window(now) == Window::Open);
        let put_off = ahead.iter().filter_map(|row| match row.event.window(now) {
            Window::Ahead(due) => Some(Move::of(row, Some(Standing::Pending { due }))),
            Window::Open | Window::TooOld => None,
        });
        let put_off: Vec<Move> = put_off.collect();
        self.parts.outbox.move_rows(&put_off, now).await?;
        let left_behind = rows.len() < count;
        Ok((rows, left_behind))
    }

    /// A batch of the first rows, with what did not fit.
    fn batch(
        &self,
        rows: Vec<Row>,
    ) -> Result<Option<(Batch, Vec<Row>, Vec<Row>)>, serde_json::Error> {
        let Some(first) = rows.first() else { return Ok(None) };
        let mut batch = Batch::of(&first.event)?;
        let mut taken = 1;
        for row in &rows[1..] {
            match batch.push(&row.event, self.policy.limits)? {
                Place::Taken => taken += 1,
                Place::Full | Place::Behind => break,
            }
        }
        let mut group = rows;
        let rest = group.split_off(taken);
        Ok(Some((batch, group, rest)))
    }

    async fn send_group(
        &mut self,
        batch: &Batch,
        group: &[Row],
    ) -> Result<SendOutcome, StoreError> {
        self.moved(group.iter().map(|row| (row, Input::Begin)).collect()).await?;
        let outcome = self.asked(self.client().send(batch)).await;
        self.parts.metrics.delivery_request(&outcome);
        Ok(outcome)
    }

    /// Writes down what became of a batch. Answers the parts of it that are to be sent by themselves.
    async fn after(
        &mut self,
        outcome: &SendOutcome,
        batch: &Batch,
        mut group: Vec<Row>,
    ) -> Result<Vec<Vec<Row>>, StoreError> {
        let now = self.now();
        for row in &mut group {
            row.standing = Standing::Sending { since: now };
        }
        let alone = group.len() == 1;
        let input = match outcome {
            SendOutcome::Stored => Input::Stored,
            SendOutcome::Accepted => Input::Queued,
            SendOutcome::Doubtful(_) => Input::Doubt,
            SendOutcome::Invalid { detail, .. } if alone => {
                Input::Refused(ParkReason::Invalid, detail.clone())
            }
            SendOutcome::TooLarge if alone => {
                let bytes = batch.body().len();
                let problem = format!("its body of {bytes} bytes is larger than is taken");
                Input::Refused(ParkReason::TooLarge, problem)
            }
            SendOutcome::Invalid { .. }
            | SendOutcome::TooLarge
            | SendOutcome::Unauthorized(_)
            | SendOutcome::Forbidden(_)
            | SendOutcome::RateLimited { .. }
            | SendOutcome::Unavailable(_) => Input::NotStored,
        };
        self.moved(group.iter().map(|row| (row, input.clone())).collect()).await?;
        for row in &mut group {
            row.standing = Standing::Pending { due: now };
        }
        match outcome {
            SendOutcome::Stored => self.steady(),
            SendOutcome::Accepted => {}
            SendOutcome::Invalid { index, .. } => {
                self.steady();
                return Ok(split(group, *index));
            }
            SendOutcome::TooLarge => {
                self.steady();
                let smaller = (batch.body().len() / 2).max(SMALLEST_BODY);
                self.policy.limits.bytes = self.policy.limits.bytes.min(smaller);
                return Ok(split(group, None));
            }
            SendOutcome::Unauthorized(said) => self.in_trouble(Trouble::Unauthorized, said, None),
            SendOutcome::Forbidden(said) => self.in_trouble(Trouble::Forbidden, said, None),
            SendOutcome::RateLimited { after } => {
                self.in_trouble(Trouble::RateLimited, "it is asked too often", Some(*after));
            }
            SendOutcome::Unavailable(said) => self.in_trouble(Trouble::Unavailable, said, None),
            SendOutcome::Doubtful(said) => self.in_trouble(Trouble::Unsure, said, None),
        }
        Ok(Vec::new())
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

fn read(entry: &Entry) -> Result<Logged, Hindrance> {
    let wrong = |source| Hindrance::Entry { sequence: entry.sequence, source };
    entry.read().map_err(wrong)
}

/// The parts of a batch in which something is wrong: the one that was named and the others, or halves.
fn split(mut group: Vec<Row>, named: Option<usize>) -> Vec<Vec<Row>> {
    if group.len() < 2 {
        return Vec::new();
    }
    match named.filter(|index| *index < group.len()) {
        Some(index) => {
            let named = group.remove(index);
            vec![vec![named], group]
        }
        None => {
            let second = group.split_off(group.len() / 2);
            vec![group, second]
        }
    }
}

fn later(time: Timestamp, by: Duration) -> Timestamp {
    time.saturating_add(by).unwrap_or(Timestamp::MAX)
}
