//! What the walk keeps of entries and signed heads.

use wfe_core::audit::Hash;

use crate::{checkpoint::Rotation, verify::line::Written};

/// How a signed head compares with the entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::verify) enum Fit {
    /// The entry has this hash. The stretch is the run of unbroken entries that it belongs to.
    Fits { stretch: u64 },
    /// The entry has another hash.
    Differs,
    /// There is nothing to compare with: the entry is missing, or stands before the export.
    Nothing,
    /// The export ends before the entry.
    Beyond,
}

/// A hand-over that was found on the way.
#[derive(Debug, Clone, Copy)]
pub(in crate::verify) struct Handover {
    pub(in crate::verify) rotation: Rotation,
    pub(in crate::verify) line: u64,
    pub(in crate::verify) sequence: u64,
    /// The run of unbroken entries that it belongs to; `None` when its own text is not vouched for.
    pub(in crate::verify) stretch: Option<u64>,
}

/// The newest entry so far.
#[derive(Debug, Clone, Copy)]
pub(super) struct Top {
    pub(super) sequence: u64,
    /// What stands beside it, when that is a hash.
    pub(super) hash: Option<Hash>,
    /// The hash of its text as it is, when that is another one.
    pub(super) computed: Option<Hash>,
    /// What stands beside a further entry with the same place.
    pub(super) second: Option<Hash>,
}

/// An entry that claims another place than the next.
pub(super) struct Held {
    pub(super) line: u64,
    pub(super) hash: Option<Hash>,
    pub(super) text: Vec<u8>,
    /// What it claims.
    pub(super) sequence: Option<u64>,
}

/// How much the text of an entry is vouched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sound {
    /// Its hash fits.
    Yes,
    /// What it follows is not there.
    Unknown,
    /// Its hash does not fit.
    No,
}

/// A checkpoint that does not stand behind its entry.
pub(super) struct Stray {
    pub(super) line: u64,
    pub(super) sequence: u64,
    pub(super) behind: u64,
}

/// Whether the hash of an entry is what follows `before` with its text.
pub(super) fn follows(entry: &Written<'_>, before: Option<Hash>) -> bool {
    before.is_some_and(|before| entry.hash == Some(before.follow(entry.text)))
}

impl Held {
    pub(super) fn of(entry: &Written<'_>) -> Self {
        let Written { line, hash, text, place } = entry;
        let sequence = place.map(|place| place.sequence);
        Self { line: *line, hash: *hash, text: text.to_vec(), sequence }
    }

    pub(super) fn written(&self) -> Written<'_> {
        Written::new(self.line, self.hash, &self.text)
    }
}
