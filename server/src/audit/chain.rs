//! Whether entries follow from each other.

use wfe_core::audit::{Entry, Head};

use super::doubt::Doubt;
use crate::store::{LogScope, Store, StoreError};

/// So many entries are read at once.
pub(super) const PAGE: u32 = 1000;

/// The head after `entries`, which must follow `from`.
pub(super) fn follow(from: Head, entries: &[Entry]) -> Result<Head, Doubt> {
    entries.iter().try_fold(from, |head, entry| {
        let next = head.sequence.next();
        if entry.sequence != next {
            return Err(Doubt::Missing(next));
        }
        if head.hash.follow(entry.text.as_bytes()) != entry.hash {
            return Err(Doubt::Broken(next));
        }
        Ok(entry.head())
    })
}

/// Whether the entries after `from` lead to `to`.
pub(super) async fn check(
    store: &dyn Store,
    from: Head,
    to: Head,
) -> Result<Option<Doubt>, StoreError> {
    let mut head = from;
    while head.sequence < to.sequence {
        let left = u32::try_from(to.sequence.0 - head.sequence.0).unwrap_or(PAGE).min(PAGE);
        let entries = store.entries(&LogScope::Everything, head.sequence, left).await?;
        if entries.is_empty() {
            return Ok(Some(Doubt::Missing(head.sequence.next())));
        }
        match follow(head, &entries) {
            Ok(after) => head = after,
            Err(doubt) => return Ok(Some(doubt)),
        }
    }
    Ok((head != to).then_some(Doubt::Broken(to.sequence)))
}
