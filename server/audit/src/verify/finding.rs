//! What a verification can find: each says what and where. The sentences are in [`super::words`].

use serde::Serialize;
use wfe_core::audit::Hash;

use crate::{checkpoint::BadRotation, key::KeyId};

/// Something that is not as the service wrote it. Lines are those of the export, from 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Finding {
    /// The text of an entry does not fit its hash.
    Changed {
        /// Where it stands.
        line: u64,
        /// Its place in the log.
        sequence: u64,
        /// The place that it claims, when that is another one.
        #[serde(skip_serializing_if = "Option::is_none")]
        claims: Option<u64>,
    },
    /// The hash beside an entry was changed; its text is what was hashed.
    HashChanged {
        /// Where it stands.
        line: u64,
        /// Its place in the log.
        sequence: u64,
    },
    /// The hash of an entry fits, but its text is not one of an entry.
    Unreadable {
        /// Where it stands.
        line: u64,
        /// Its place in the log.
        sequence: u64,
    },
    /// Entries are not in the export.
    Missing {
        /// The line before which they should stand.
        line: u64,
        /// The first of them.
        first: u64,
        /// The last of them.
        last: u64,
    },
    /// An entry stands at another place than in the log.
    Reordered {
        /// Where it stands.
        line: u64,
        /// Its place in the log.
        sequence: u64,
        /// The entry behind which it stands; 0 is the beginning.
        behind: u64,
    },
    /// There is another entry with the same place in the log.
    Repeated {
        /// Where the further one stands.
        line: u64,
        /// The place.
        sequence: u64,
    },
    /// A line looks like an entry and belongs nowhere.
    Inserted {
        /// Where it stands.
        line: u64,
    },
    /// Numbers of a stream are missing.
    Hole {
        /// The line of the next entry of the stream.
        line: u64,
        /// The stream.
        stream: String,
        /// The first number that is missing.
        first: u64,
        /// The last number that is missing.
        last: u64,
    },
    /// A number of a stream is there again, or too late.
    RevisionOutOfOrder {
        /// Where it stands.
        line: u64,
        /// The place of the entry in the log.
        sequence: u64,
        /// The stream.
        stream: String,
        /// The number.
        revision: u64,
    },
    /// The entries fit each other, but not what was signed of them.
    Rewritten {
        /// What the differing signatures were found in: the first of them.
        source: Source,
        /// The last entry that a signature vouches for; the beginning of the export when none does.
        after: u64,
        /// The first entry whose signed hash is another one.
        until: u64,
        /// How many signed heads in a row differ.
        signatures: u64,
        /// The last of them.
        last: u64,
    },
    /// A signature is wrong.
    BadSignature {
        /// What it stands under.
        source: Source,
        /// The entry that it is said to sign.
        sequence: u64,
        /// The key that is said to have signed.
        key: KeyId,
    },
    /// A key signed that nothing vouches for.
    UnknownKey {
        /// What it signed.
        source: Source,
        /// The entry.
        sequence: u64,
        /// The key.
        key: KeyId,
    },
    /// A key signed although another one had taken its place.
    RetiredKey {
        /// What it signed.
        source: Source,
        /// The entry.
        sequence: u64,
        /// The key.
        key: KeyId,
        /// The entry that handed over to the next key.
        retired: u64,
    },
    /// The record of a hand-over to another key hands nothing over.
    BadRotation {
        /// Where it stands.
        line: u64,
        /// Its place in the log.
        sequence: u64,
        /// Why.
        why: BadRotation,
    },
    /// A checkpoint does not stand behind the entry that it signs, or not in order of time.
    Misplaced {
        /// Where it stands.
        line: u64,
        /// The entry that it signs.
        sequence: u64,
        /// The entry behind which it stands; 0 is the beginning.
        behind: u64,
    },
    /// More was signed than is there.
    CutTail {
        /// What tells of more.
        source: Source,
        /// The last entry of the export.
        last: u64,
        /// The last entry that was signed.
        signed: u64,
    },
    /// There is no signed last line.
    NoEnd {
        /// The line that should be there.
        line: u64,
        /// The last entry of the export.
        last: u64,
    },
    /// The last line says something else than the export holds.
    EndDiffers {
        /// Where it stands.
        line: u64,
        /// Which of its fields.
        field: EndField,
        /// What it says.
        says: String,
        /// What is there.
        is: String,
    },
    /// Something is of another log.
    AnotherLog {
        /// What.
        source: Source,
        /// The log that it is of.
        log: Hash,
        /// The log of the export.
        export: Hash,
    },
    /// The export says that it begins at the beginning of its log, with the hash of something else.
    WrongBeginning {
        /// Where it says so.
        line: u64,
    },
    /// There is more behind the last line.
    AfterEnd {
        /// The first line that is too much.
        line: u64,
        /// How many bytes.
        bytes: u64,
    },
}

/// Where something signed was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "in", rename_all = "snake_case")]
pub enum Source {
    /// A checkpoint in the export.
    Checkpoint {
        /// Its line.
        line: u64,
    },
    /// The last line of the export.
    End {
        /// Its line.
        line: u64,
    },
    /// A hand-over to another key, in the export.
    Rotation {
        /// Its line.
        line: u64,
    },
    /// A checkpoint that was kept outside of the export.
    Outside {
        /// Where it was kept.
        place: String,
    },
    /// The log that the verifier asked for.
    Asked,
}

/// A field of the last line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EndField {
    /// After which entry the export begins.
    After,
    /// The last entry.
    Sequence,
    /// How many entries there are.
    Entries,
    /// How many checkpoints there are.
    Checkpoints,
    /// When it was made.
    At,
}

impl Finding {
    /// Where to look in the export; the end of it for what was found outside.
    pub const fn line(&self) -> u64 {
        match self {
            Self::Changed { line, .. }
            | Self::HashChanged { line, .. }
            | Self::Unreadable { line, .. }
            | Self::Missing { line, .. }
            | Self::Reordered { line, .. }
            | Self::Repeated { line, .. }
            | Self::Inserted { line }
            | Self::Hole { line, .. }
            | Self::RevisionOutOfOrder { line, .. }
            | Self::BadRotation { line, .. }
            | Self::Misplaced { line, .. }
            | Self::NoEnd { line, .. }
            | Self::EndDiffers { line, .. }
            | Self::WrongBeginning { line }
            | Self::AfterEnd { line, .. } => *line,
            Self::Rewritten { source, .. }
            | Self::BadSignature { source, .. }
            | Self::UnknownKey { source, .. }
            | Self::RetiredKey { source, .. }
            | Self::CutTail { source, .. }
            | Self::AnotherLog { source, .. } => match source {
                Source::Checkpoint { line } | Source::End { line } | Source::Rotation { line } => {
                    *line
                }
                Source::Outside { .. } | Source::Asked => u64::MAX,
            },
        }
    }
}

/// The first findings, and how many there were beside them.
#[derive(Debug, Default)]
pub(super) struct Findings {
    kept: Vec<Finding>,
    more: u64,
}

impl Findings {
    /// More are only counted.
    const KEPT: usize = 100;

    pub(super) fn add(&mut self, finding: Finding) {
        if self.kept.len() < Self::KEPT {
            self.kept.push(finding);
        } else {
            self.more += 1;
        }
    }

    /// The text of this entry turned out to be right, and its hash to be wrong.
    pub(super) fn only_the_hash(&mut self, wanted: u64) {
        for finding in self.kept.iter_mut().rev() {
            if let Finding::Changed { line, sequence, claims: None } = finding
                && *sequence == wanted
            {
                *finding = Finding::HashChanged { line: *line, sequence: wanted };
                return;
            }
        }
    }

    /// All of them by their lines.
    pub(super) fn merged(parts: [Self; 3]) -> (Vec<Finding>, u64) {
        let more = parts.iter().map(|part| part.more).sum();
        let mut kept: Vec<Finding> = parts.into_iter().flat_map(|part| part.kept).collect();
        kept.sort_by_key(Finding::line);
        (kept, more)
    }
}
