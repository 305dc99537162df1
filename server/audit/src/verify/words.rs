//! Findings as sentences.

use std::fmt;

use super::finding::{EndField, Finding, Source};

impl EndField {
    const fn phrase(self) -> &'static str {
        match self {
            Self::After => "that the export begins after entry",
            Self::Sequence => "that the last entry is",
            Self::Entries => "that the number of entries is",
            Self::Checkpoints => "that the number of checkpoints is",
            Self::At => "that the export was made at",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Checkpoint { line } => write!(f, "line {line}: the checkpoint"),
            Self::End { line } => write!(f, "line {line}: the end line"),
            Self::Rotation { line } => write!(f, "line {line}: the hand-over"),
            Self::Outside { place } => write!(f, "{place}: the checkpoint"),
            Self::Asked => f.write_str("the log that was asked for"),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed { line, sequence, claims: None } => write!(
                f,
                "line {line}: entry {sequence} was changed, or the hash of the entry before it: its \
                 text does not fit its hash"
            ),
            Self::Changed { line, sequence, claims: Some(claims) } => write!(
                f,
                "line {line}: entry {sequence} was changed: it claims to be entry {claims}, and does \
                 not fit its hash"
            ),
            Self::HashChanged { line, sequence } => write!(
                f,
                "line {line}: the hash of entry {sequence} was changed; its text is what was hashed"
            ),
            Self::Unreadable { line, sequence } => {
                write!(f, "line {line}: entry {sequence} fits its hash, but cannot be read")
            }
            Self::Missing { line, first, last } => write!(
                f,
                "before line {line}: {} missing; the entry behind the gap cannot be checked against the \
                 one before",
                range("entry", "entries", *first, *last)
            ),
            Self::Reordered { line, sequence, behind } => {
                write!(
                    f,
                    "line {line}: entry {sequence} was moved: it stands behind entry {behind}"
                )
            }
            Self::Repeated { line, sequence } => {
                write!(f, "line {line}: entry {sequence} is there already")
            }
            Self::Inserted { line } => {
                write!(f, "line {line}: was inserted: it is no entry of this log")
            }
            Self::Hole { line, stream, first, last } => {
                let what = range("revision", "revisions", *first, *last);
                write!(f, "before line {line}: {what} missing in {stream}")
            }
            Self::RevisionOutOfOrder { line, sequence, stream, revision } => write!(
                f,
                "line {line}: entry {sequence} is revision {revision} of {stream}, which is there \
                 already, or should stand before another one"
            ),
            Self::Rewritten { source, after, until, signatures, last } => {
                write!(
                    f,
                    "{source} signs another hash of entry {until} than the export has: what follows \
                     entry {after}, up to entry {until}, was rewritten"
                )?;
                match signatures {
                    0 | 1 => Ok(()),
                    more => write!(f, " ({more} signatures in a row differ, up to entry {last})"),
                }
            }
            Self::BadSignature { source, sequence, key } => write!(
                f,
                "{source} of entry {sequence} is forged or damaged: key {key} did not sign it"
            ),
            Self::UnknownKey { source, sequence, key } => write!(
                f,
                "{source} of entry {sequence} is signed with key {key}, which nothing vouches for"
            ),
            Self::RetiredKey { source, sequence, key, retired } => write!(
                f,
                "{source} of entry {sequence} is signed with key {key}, which entry {retired} had \
                 replaced"
            ),
            Self::BadRotation { line, sequence, why } => {
                write!(f, "line {line}: entry {sequence} hands over to no other key: {why}")
            }
            Self::Misplaced { line, sequence, behind } => write!(
                f,
                "line {line}: a checkpoint of entry {sequence} was moved or repeated: it stands behind \
                 entry {behind}"
            ),
            Self::CutTail { source, last, signed } => write!(
                f,
                "{source} signs entry {signed}, but the export ends with entry {last}: its tail was cut"
            ),
            Self::NoEnd { line, last } => write!(
                f,
                "line {line}: the signed end line is missing: the export was cut behind entry {last}, \
                 or later"
            ),
            Self::EndDiffers { line, field, says, is } => {
                write!(f, "line {line}: the end line says {} {says}; it is {is}", field.phrase())
            }
            Self::AnotherLog { source, log, export } => {
                write!(f, "{source} is of another log, {log}; the export is of {export}")
            }
            Self::WrongBeginning { line } => write!(
                f,
                "line {line}: the export begins at entry 1 with a hash that is not the id of its log"
            ),
            Self::AfterEnd { line, bytes } => {
                write!(f, "line {line}: {bytes} bytes stand behind the end line")
            }
        }
    }
}

/// `entry 3 is`, or `entries 3 to 5 are`.
fn range(one: &str, many: &str, first: u64, last: u64) -> String {
    if first == last {
        format!("{one} {first} is")
    } else {
        format!("{many} {first} to {last} are")
    }
}
