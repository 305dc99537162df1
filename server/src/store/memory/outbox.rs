//! What is on its way to Data Storage, in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use wfe_core::audit::Position;
use wfe_datastorage::{CorrelationId, Microsecond};

use super::{MemoryStore, StoreError, refused};
use crate::store::{Backlog, Due, Move, Outbox, Row, Standing, StandingCode, TakeUp, TakenUp};

/// The tables of the outbox.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    cursor: Option<Position>,
    clocks: BTreeMap<CorrelationId, Microsecond>,
    rows: BTreeMap<Position, Row>,
}

impl Waiting {
    fn in_flight(&self, id: &CorrelationId) -> bool {
        let mut of_id = self.rows.values().filter(|row| row.correlation_id() == id);
        of_id.any(|row| row.standing.code() != StandingCode::Parked)
    }

    fn promote(&mut self, id: &CorrelationId, now: Timestamp) {
        let queued = |row: &&mut Row| {
            row.correlation_id() == id && row.standing.code() == StandingCode::Queued
        };
        if let Some(next) = self.rows.values_mut().find(queued) {
            next.standing = Standing::Pending { due: now };
        }
    }
}

fn due_of(row: &Row) -> Option<Timestamp> {
    match &row.standing {
        Standing::Pending { due } => Some(*due),
        Standing::Accepted(wait) | Standing::Doubtful(wait) => Some(wait.due),
        Standing::Queued | Standing::Sending { .. } | Standing::Parked { .. } => None,
    }
}

#[async_trait]
impl Outbox for MemoryStore {
    async fn taken_up(&self) -> Result<Option<Position>, StoreError> {
        Ok(self.tables("taken_up")?.outbox.cursor)
    }

    async fn take_up(&self, step: &TakeUp) -> Result<TakenUp, StoreError> {
        let waiting = &mut self.tables("take_up")?.outbox;
        if waiting.cursor != step.from {
            return Ok(TakenUp::ByAnother);
        }
        if step.from.is_some_and(|from| step.to <= from) {
            return Err(refused("take_up", "an entry is taken up once".to_owned()));
        }
        for (sequence, event) in &step.events {
            let id = event.facts().correlation_id.clone();
            let wish = event.facts().event_timestamp;
            let time = waiting.clocks.get(&id).map_or(wish, |newest| wish.max(newest.next()));
            let standing = if waiting.in_flight(&id) {
                Standing::Queued
            } else {
                Standing::Pending { due: step.now }
            };
            waiting.clocks.insert(id, time);
            let row = Row { sequence: *sequence, event: event.clone().at(time), standing };
            waiting.rows.insert(*sequence, row);
        }
        waiting.clocks.retain(|_, newest| newest.time() >= step.forget);
        waiting.cursor = Some(step.to);
        Ok(TakenUp::Now)
    }

    async fn due(&self, kind: Due, now: Timestamp, limit: u32) -> Result<Vec<Row>, StoreError> {
        let tables = self.tables("due")?;
        let wanted = |row: &&Row| match (kind, row.standing.code()) {
            (Due::Sending, code) => code == StandingCode::Sending,
            (Due::Pending, StandingCode::Pending)
            | (Due::Unsure, StandingCode::Accepted | StandingCode::Doubtful) => {
                due_of(row).is_some_and(|due| due <= now)
            }
            (Due::Pending | Due::Unsure, _) => false,
        };
        let mut rows: Vec<Row> = tables.outbox.rows.values().filter(wanted).cloned().collect();
        rows.sort_by_key(|row| (due_of(row), row.sequence));
        rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(rows)
    }

    async fn move_rows(&self, moves: &[Move], now: Timestamp) -> Result<(), StoreError> {
        let waiting = &mut self.tables("move_rows")?.outbox;
        let stands = |change: &Move| {
            let row = waiting.rows.get(&change.sequence);
            row.is_some_and(|row| row.standing.code() == change.from)
        };
        if !moves.iter().all(stands) {
            return Err(StoreError::RowCount { operation: "move_rows", expected: 1, actual: 0 });
        }
        for change in moves {
            match &change.to {
                None => drop(waiting.rows.remove(&change.sequence)),
                Some(to) => {
                    if let Some(row) = waiting.rows.get_mut(&change.sequence) {
                        row.standing = to.clone();
                    }
                }
            }
            let free = change.to.as_ref().is_none_or(|to| !to.code().is_in_flight());
            if free && change.from.is_in_flight() {
                waiting.promote(&change.correlation_id, now);
            }
        }
        Ok(())
    }

    async fn backlog(&self) -> Result<Backlog, StoreError> {
        let tables = self.tables("backlog")?;
        let rows = || tables.outbox.rows.values();
        let count = |code| rows().filter(|row| row.standing.code() == code).count() as u64;
        let mut unparked = rows().filter(|row| row.standing.code() != StandingCode::Parked);
        Ok(Backlog {
            counts: StandingCode::ALL.map(|code| (code, count(code))).to_vec(),
            oldest: unparked.next().map(|row| row.event.facts().event_timestamp.time()),
            next_due: rows().filter_map(due_of).min(),
        })
    }

    async fn retry_parked(&self, now: Timestamp) -> Result<u64, StoreError> {
        let waiting = &mut self.tables("retry_parked")?.outbox;
        let parked: Vec<Position> = waiting
            .rows
            .values()
            .filter(|row| row.standing.code() == StandingCode::Parked)
            .map(|row| row.sequence)
            .collect();
        for sequence in &parked {
            let Some(row) = waiting.rows.get(sequence).cloned() else { continue };
            let Standing::Parked { reason, .. } = row.standing else { continue };
            let standing = if waiting.in_flight(row.correlation_id()) {
                Standing::Queued
            } else {
                reason.retried(now)
            };
            waiting.rows.insert(*sequence, Row { standing, ..row });
        }
        Ok(parked.len() as u64)
    }
}
