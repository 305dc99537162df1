//! The dead letter queue: what could not be stored is tried again, slowly and in no order.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;

use crate::{
    Database,
    table::{Table, Taken},
};

/// At most so many events are tried in one look, and as many in the sweep beside it.
const AT_ONCE: usize = 10;

/// How the queue tries again.
#[derive(Debug, Clone)]
pub struct Timing {
    /// Time between two looks.
    pub poll: Duration,
    /// The pause before each further try; then an event is given up.
    pub waits: Vec<Duration>,
}

impl Default for Timing {
    fn default() -> Self {
        let minutes = [1, 5, 15, 60, 4 * 60, 24 * 60].map(Duration::from_mins);
        Self { poll: Duration::from_secs(30), waits: minutes.to_vec() }
    }
}

#[derive(Debug)]
struct Entry {
    taken: Taken,
    tries: usize,
    due: Timestamp,
}

/// What is queued.
#[derive(Debug)]
pub(crate) struct Pending {
    entries: Vec<Entry>,
    looked: Timestamp,
    swept: bool,
    dead: usize,
}

impl Pending {
    pub(crate) fn new(now: Timestamp) -> Self {
        Self { entries: Vec::new(), looked: now, swept: false, dead: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn dead(&self) -> usize {
        self.dead
    }

    pub(crate) fn put(&mut self, taken: Taken, now: Timestamp, timing: &Timing) {
        let due = later(now, timing.waits.first().copied().unwrap_or_default());
        self.entries.push(Entry { taken, tries: 0, due });
    }

    /// Does what is due until `now`.
    pub(crate) fn pass(
        &mut self,
        now: Timestamp,
        timing: &Timing,
        database: Database,
        table: &mut Table,
        poison: &BTreeSet<String>,
    ) {
        while later(self.looked, timing.poll) <= now {
            self.looked = later(self.looked, timing.poll);
            self.look(timing, database, table, poison);
        }
    }

    fn look(
        &mut self,
        timing: &Timing,
        database: Database,
        table: &mut Table,
        poison: &BTreeSet<String>,
    ) {
        let at = self.looked;
        let due = |entry: &Entry| entry.due <= at;
        // The sweep beside the ordinary look finds something once for each time that things are queued.
        let room = if self.swept { AT_ONCE } else { 2 * AT_ONCE };
        self.swept = !self.entries.is_empty() && (self.swept || self.entries.iter().any(due));
        let mut left = Vec::new();
        let mut tried = 0;
        // From the back: nobody may rely on an order.
        for mut entry in std::mem::take(&mut self.entries).into_iter().rev() {
            if !due(&entry) || tried == room {
                left.push(entry);
                continue;
            }
            tried += 1;
            if store(&entry.taken, database, table, poison) {
                continue;
            }
            entry.tries += 1;
            match timing.waits.get(entry.tries) {
                Some(wait) => {
                    entry.due = later(at, *wait);
                    left.push(entry);
                }
                None => self.dead += 1,
            }
        }
        left.reverse();
        self.entries = left;
    }

    /// Tries everything at once.
    pub(crate) fn drain(
        &mut self,
        database: Database,
        table: &mut Table,
        poison: &BTreeSet<String>,
    ) {
        self.entries.retain(|entry| !store(&entry.taken, database, table, poison));
    }
}

fn store(taken: &Taken, database: Database, table: &mut Table, poison: &BTreeSet<String>) -> bool {
    let fits = match database {
        Database::Up => !taken.poison && !poison.contains(&taken.correlation_id),
        Database::Down | Database::Frozen => false,
    };
    if fits {
        table.insert(taken);
    }
    fits
}

fn later(time: Timestamp, by: Duration) -> Timestamp {
    time.saturating_add(by).unwrap_or(Timestamp::MAX)
}
