//! Checkpoints in memory.

use async_trait::async_trait;
use jiff::Timestamp;

use super::{
    Checkpoint, Hash, Head, LOG, Log, MemoryStore, Position, Sealed, Seals, StoreError, Tables,
    refused,
};
use crate::store::seals::pruned;

impl Tables {
    fn hash_at(&self, place: Position) -> Option<Hash> {
        if place == self.base().sequence {
            return Some(self.base().hash);
        }
        let entry = self.log.iter().map(|(_, entry)| entry).find(|entry| entry.sequence == place);
        entry.filter(|entry| entry.sequence > self.base().sequence).map(|entry| entry.hash)
    }
}

#[async_trait]
impl Seals for MemoryStore {
    async fn sealed(&self, place: Position) -> Result<Sealed, StoreError> {
        let tables = self.tables("sealed")?;
        Ok(Sealed {
            log: tables.whole_log(),
            newest: tables.checkpoints.values().next_back().cloned(),
            base: tables.checkpoints.get(&tables.base().sequence).cloned(),
            hash: tables.hash_at(place),
        })
    }

    async fn seal(&self, checkpoint: &Checkpoint) -> Result<Checkpoint, StoreError> {
        let mut tables = self.tables("seal")?;
        let place = checkpoint.sequence;
        if tables.hash_at(place) != Some(checkpoint.hash) {
            return Err(refused("seal", "what is signed is an entry of the log".to_owned()));
        }
        if tables.checkpoints.keys().any(|other| *other > place) {
            return Err(refused("seal", "a checkpoint signs no less than before".to_owned()));
        }
        let kept = tables.checkpoints.entry(place).or_insert_with(|| checkpoint.clone());
        debug_assert_eq!(kept.log, LOG);
        Ok(kept.clone())
    }

    async fn checkpoints(&self, from: Position, limit: u32) -> Result<Vec<Checkpoint>, StoreError> {
        let tables = self.tables("checkpoints")?;
        let from = from.max(tables.base().sequence);
        let later = tables.checkpoints.range(from..).map(|(_, checkpoint)| checkpoint.clone());
        Ok(later.take(usize::try_from(limit).unwrap_or(usize::MAX)).collect())
    }

    async fn checkpoint_before(
        &self,
        at: Timestamp,
        place: Position,
    ) -> Result<Option<Checkpoint>, StoreError> {
        let tables = self.tables("checkpoint_before")?;
        let base = tables.base().sequence;
        let fits = |checkpoint: &&Checkpoint| {
            checkpoint.sequence > base && checkpoint.sequence <= place && checkpoint.at <= at
        };
        Ok(tables.checkpoints.values().rev().find(fits).cloned())
    }

    async fn prune(&self, through: Position, at: Timestamp) -> Result<Log, StoreError> {
        let mut tables = self.tables("prune")?;
        let base = tables.base().sequence;
        if through <= base {
            return Ok(tables.whole_log());
        }
        let signed = tables.checkpoints.get(&through).map(|checkpoint| checkpoint.hash);
        let Some(hash) = signed.filter(|hash| tables.hash_at(through) == Some(*hash)) else {
            return Err(refused("prune", "a log begins at a checkpoint".to_owned()));
        };
        let to = Head { sequence: through, hash };
        tables.base = Some(to);
        tables.append(&[pruned(base, to, at)])?;
        Ok(tables.whole_log())
    }

    async fn sweep(&self, limit: u32) -> Result<u64, StoreError> {
        let mut tables = self.tables("sweep")?;
        let base = tables.base().sequence;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let old = tables.log.iter().take_while(|(_, entry)| entry.sequence <= base).count();
        let entries = old.min(limit);
        tables.log.drain(..entries);
        let old: Vec<Position> =
            tables.checkpoints.range(..base).map(|(place, _)| *place).take(limit).collect();
        for place in &old {
            tables.checkpoints.remove(place);
        }
        Ok((entries + old.len()) as u64)
    }
}
