//! The log as a file for auditors, piece by piece.

use std::{collections::VecDeque, sync::Arc};

use async_stream::try_stream;
use futures::Stream;
use wfe_audit::{
    checkpoint::Checkpoint,
    export::{self, Exporter},
};
use wfe_core::audit::{Hash, Head, Position};

use super::{
    doubt::Doubt,
    sealer::{SealError, Sealer},
};
use crate::store::{LogScope, Store, StoreError};

/// So many entries are read at once.
const PAGE: u32 = 200;

/// A piece has at most so many bytes.
const PIECE: usize = 256 * 1024;

/// An export cannot be made, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// What comes after the place is not kept any more.
    #[error("the log begins after entry {base}: what follows {after} was pruned")]
    Expired {
        /// The place.
        after: Position,
        /// Where the log begins.
        base: Position,
    },
    /// There is no such place yet.
    #[error("the log ends at entry {head}, so there is nothing after {after}")]
    Ahead {
        /// The place.
        after: Position,
        /// Where it ends.
        head: Position,
    },
    /// The log is not the one that was signed.
    #[error("the log cannot be exported as it was signed")]
    Doubt(#[source] Doubt),
    /// It cannot be read.
    #[error("the log cannot be read now")]
    Store(#[from] StoreError),
    /// It cannot be written down.
    #[error("the log cannot be written down")]
    Write(#[from] export::ExportError),
}

impl From<SealError> for ExportError {
    fn from(error: SealError) -> Self {
        match error {
            SealError::Doubt(doubt) => Self::Doubt(doubt),
            SealError::Store(error) => Self::Store(error),
        }
    }
}

impl Sealer {
    /// Exports what comes after a place, up to the newest entry, which is signed first. 0 is all that is
    /// kept.
    pub async fn export(
        self: Arc<Self>,
        after: Position,
    ) -> Result<impl Stream<Item = Result<Vec<u8>, ExportError>> + Send + use<>, ExportError> {
        let end = self.seal().await?;
        let base = self.store().log().await?.base.sequence;
        let wanted = if after == Position(0) { base } else { after };
        let view = self.store().sealed(wanted).await?;
        let (base, head) = (view.log.base.sequence, end.sequence);
        if wanted < base {
            return Err(ExportError::Expired { after, base });
        }
        if wanted > head {
            return Err(ExportError::Ahead { after, head });
        }
        let hash = view.hash.ok_or(ExportError::Doubt(Doubt::Missing(wanted)))?;
        Ok(self.pieces(end.log, Head { sequence: wanted, hash }, head))
    }

    fn pieces(
        self: Arc<Self>,
        log: Hash,
        after: Head,
        end: Position,
    ) -> impl Stream<Item = Result<Vec<u8>, ExportError>> + Send + use<> {
        try_stream! {
            let mut text = String::new();
            let now = self.clock().now();
            let mut exporter = Exporter::begin(log, after, now, &mut text)?;
            let mut signed = Signed { next: after.sequence, read: VecDeque::new() };
            signed.write(self.store(), &mut exporter, &mut text).await?;
            while exporter.top().sequence < end {
                let top = exporter.top().sequence;
                let left = u32::try_from(end.0 - top.0).unwrap_or(PAGE).min(PAGE);
                let entries = self.store().entries(&LogScope::Everything, top, left).await?;
                if entries.first().is_none_or(|entry| entry.sequence != top.next()) {
                    Err(self.gap(top).await?)?;
                }
                for entry in &entries {
                    let top = exporter.top().sequence;
                    if entry.sequence != top.next() {
                        Err(ExportError::Doubt(Doubt::Missing(top.next())))?;
                    }
                    exporter.entry(entry, &mut text)?;
                    signed.write(self.store(), &mut exporter, &mut text).await?;
                    while text.len() >= PIECE {
                        let rest = text.split_off(text.floor_char_boundary(PIECE));
                        yield std::mem::replace(&mut text, rest).into_bytes();
                    }
                }
            }
            exporter.end(self.key(), &mut text)?;
            yield text.into_bytes();
        }
    }

    /// Why the entry after `top` is not there.
    async fn gap(&self, top: Position) -> Result<ExportError, StoreError> {
        let base = self.store().log().await?.base.sequence;
        Ok(if base > top {
            ExportError::Expired { after: top, base }
        } else {
            ExportError::Doubt(Doubt::Missing(top.next()))
        })
    }
}

/// The checkpoints that come next.
struct Signed {
    /// From where on they are not read yet.
    next: Position,
    read: VecDeque<Checkpoint>,
}

impl Signed {
    /// Writes the checkpoints of the entry that was written last.
    async fn write(
        &mut self,
        store: &dyn Store,
        exporter: &mut Exporter,
        text: &mut String,
    ) -> Result<(), ExportError> {
        let top = exporter.top().sequence;
        if self.read.is_empty() && self.next <= top {
            self.read.extend(store.checkpoints(top, PAGE).await?);
            let last = self.read.back().map(|checkpoint| checkpoint.sequence.next());
            // Without any there is none before the end: the newest entry is signed.
            self.next = last.unwrap_or(Position(u64::MAX));
        }
        while self.read.front().is_some_and(|next| next.sequence <= top) {
            let Some(checkpoint) = self.read.pop_front() else { break };
            if checkpoint.sequence == top {
                exporter.checkpoint(&checkpoint, text)?;
            }
        }
        Ok(())
    }
}
