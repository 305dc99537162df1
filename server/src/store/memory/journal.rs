//! The log in memory.

use async_trait::async_trait;

use super::{
    Entry, Head, Journal, LOG, Lease, LeaseWish, Log, LogScope, MemoryStore, Numbering, Position,
    Record, StoreError, Tables, refused,
};

impl Tables {
    pub(super) fn head(&self) -> Head {
        self.log.last().map_or(self.base(), |(_, entry)| entry.head())
    }

    pub(super) fn base(&self) -> Head {
        self.base.unwrap_or(Head::empty(LOG))
    }

    pub(super) fn whole_log(&self) -> Log {
        Log { id: LOG, base: self.base(), head: self.head() }
    }

    /// Appends records to the log, in order.
    pub(super) fn append(&mut self, records: &[Record]) -> Result<(), StoreError> {
        for record in records {
            let next = 1 + self.streams.get(&record.stream).copied().unwrap_or(0);
            let revision = match record.numbering {
                Numbering::At(revision) => revision,
                Numbering::Next => next,
            };
            if revision != next {
                let rule =
                    format!("{} goes on with {next}, not {revision}", record.stream.as_str());
                return Err(refused("record", rule));
            }
            let entry = self.head().append(record, revision);
            let entry = entry.map_err(|error| refused("record", error.to_string()))?;
            self.streams.insert(record.stream.clone(), revision);
            self.log.push((record.clone(), entry));
        }
        Ok(())
    }
}

#[async_trait]
impl Journal for MemoryStore {
    async fn record(&self, records: &[Record]) -> Result<Head, StoreError> {
        let mut tables = self.tables("record")?;
        tables.append(records)?;
        Ok(tables.head())
    }

    async fn log(&self) -> Result<Log, StoreError> {
        Ok(self.tables("log")?.whole_log())
    }

    async fn entries(
        &self,
        scope: &LogScope,
        after: Position,
        limit: u32,
    ) -> Result<Vec<Entry>, StoreError> {
        let tables = self.tables("entries")?;
        let wanted = |record: &Record| match scope {
            LogScope::Everything => true,
            LogScope::Target(key) => record.about.target_key().as_ref() == Some(key),
            LogScope::Correlation(id) => record.about.correlation_id.as_ref() == Some(id),
        };
        let behind = after.max(tables.base().sequence);
        let later = tables.log.iter().filter(|(_, entry)| entry.sequence > behind);
        let wanted = later.filter(|(record, _)| wanted(record)).map(|(_, entry)| entry.clone());
        Ok(wanted.take(usize::try_from(limit).unwrap_or(usize::MAX)).collect())
    }

    async fn lease(&self, wish: &LeaseWish<'_>) -> Result<Option<Lease>, StoreError> {
        let mut tables = self.tables("lease")?;
        let LeaseWish { name, holder, now, until } = *wish;
        let epoch = match tables.leases.get(name) {
            None => 1,
            Some((other, lease)) if other == holder => lease.epoch,
            Some((_, lease)) if lease.until <= now => lease.epoch + 1,
            Some(_) => return Ok(None),
        };
        let lease = Lease { epoch, until };
        tables.leases.insert(name, (holder.to_owned(), lease));
        Ok(Some(lease))
    }
}
