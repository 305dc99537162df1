//! Taking up: entries of the log become rows of the outbox, each once.

use std::time::Duration;

use jiff::Timestamp;
use wfe_core::audit::{Entry, Logged, Position};
use wfe_datastorage::Event;
use wfe_runtime::error::chain;

use super::{Courier, Hindrance, PAGE};
use crate::{
    delivery::event_of,
    store::{LogScope, StoreError, TakeUp, TakenUp},
};

/// Pages that are taken up in one turn, so that others have their turn too.
const PAGES: u32 = 8;
/// Older entries are not taken up by the first delivery: the receiver takes none of more than 7 days.
const FIRST_AGE: Duration = Duration::from_hours(7 * 24);
/// Clocks of correlation ids are forgotten after that time without an event.
const CLOCK_AGE: Duration = Duration::from_hours(30 * 24);

impl Courier {
    /// Takes up what is new in the log. Answers whether there is more.
    pub(super) async fn take_up(&mut self) -> Result<bool, Hindrance> {
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
}

pub(super) fn read(entry: &Entry) -> Result<Logged, Hindrance> {
    let wrong = |source| Hindrance::Entry { sequence: entry.sequence, source };
    entry.read().map_err(wrong)
}
