//! The lines of an export, and how they are written.
//!
//! An export is text, one JSON document in each line: a [`Header`], the entries in their order with the
//! [`Checkpoint`]s right behind the entries that they sign, and an [`End`]. The text of an entry stands
//! in it as it was hashed.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use wfe_core::audit::{Entry, Hash, Head, Position};

use crate::{
    checkpoint::{Checkpoint, timestamp},
    key::{KeyId, PublicKey, Signature, SigningKey},
};

/// Name and version of the format.
pub const FORMAT: &str = "kubernaut.ai/wfe-audit/v1";

/// How the line of an entry begins; the 64 digits of its hash follow.
pub(crate) const ENTRY: &[u8] = b"{\"hash\":\"";
/// What stands between the hash and the text of an entry; a closing brace ends the line.
pub(crate) const TEXT: &[u8] = b"\",\"entry\":";
/// How the line of a checkpoint begins.
pub(crate) const CHECKPOINT: &[u8] = b"{\"checkpoint\":";
/// How the last line begins.
pub(crate) const END: &[u8] = b"{\"end\":";

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// [`FORMAT`].
    pub format: String,
    /// Id of the log.
    pub log: Hash,
    /// The entry after which the export begins. Sequence 0 with the log's id is the beginning.
    pub after: Head,
    /// When it was made. The end signs the same time.
    #[serde(deserialize_with = "timestamp")]
    pub exported_at: Timestamp,
}

/// The last line: what the export holds, signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// Id of the log.
    pub log: Hash,
    /// The place after which it begins.
    pub after: Position,
    /// Place of the last entry; that of `after` when there is none.
    pub sequence: Position,
    /// Its hash.
    pub hash: Hash,
    /// How many entries there are.
    pub entries: u64,
    /// How many checkpoints there are.
    pub checkpoints: u64,
    /// When it was made.
    #[serde(deserialize_with = "timestamp")]
    pub at: Timestamp,
    /// Which key signed.
    pub key: KeyId,
    /// Signature: base64.
    pub signature: String,
}

impl End {
    /// What is signed.
    pub fn signed_text(&self) -> String {
        let Self { log, after, sequence, hash, entries, checkpoints, at, key: _, signature: _ } =
            self;
        format!(
            "kubernaut.ai/wfe audit export v1\n{log}\n{after}\n{sequence}\n{hash}\n{entries}\n\
             {checkpoints}\n{at}\n"
        )
    }

    /// Whether `key` signed it.
    pub fn verify(&self, key: &PublicKey) -> Signature {
        key.signed(&self.signed_text(), &self.signature)
    }
}

#[derive(Serialize)]
struct CheckpointLine<'a> {
    checkpoint: &'a Checkpoint,
}

#[derive(Serialize)]
struct EndLine<'a> {
    end: &'a End,
}

/// Why something cannot be written to an export.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// An entry is not the next one.
    #[error("entry {found} cannot follow entry {last} in an export")]
    NotNext {
        /// The last one that was written.
        last: Position,
        /// The one that was to follow.
        found: Position,
    },
    /// A checkpoint is not of the entry that was written last, or not later than the one before.
    #[error("a checkpoint of entry {found} cannot stand behind entry {last} in an export")]
    NotOfTheLast {
        /// The last one that was written.
        last: Position,
        /// What the checkpoint signs.
        found: Position,
    },
    /// A line cannot be written as JSON.
    #[error("a line of an export cannot be written")]
    Json(#[from] serde_json::Error),
}

/// Writes an export line by line. The lines are appended to a text, which the caller passes on and
/// empties whenever that suits.
#[derive(Debug)]
pub struct Exporter {
    header: Header,
    top: Head,
    entries: u64,
    checkpoints: u64,
    /// When the newest checkpoint of `top` was signed.
    signed_at: Option<Timestamp>,
}

impl Exporter {
    /// Begins the export of what follows `after` in `log`.
    pub fn begin(
        log: Hash,
        after: Head,
        exported_at: Timestamp,
        out: &mut String,
    ) -> Result<Self, ExportError> {
        let header = Header { format: FORMAT.to_owned(), log, after, exported_at };
        write(&header, out)?;
        Ok(Self { top: header.after, header, entries: 0, checkpoints: 0, signed_at: None })
    }

    /// The last entry that was written.
    pub const fn top(&self) -> Head {
        self.top
    }

    /// Writes the next entry.
    pub fn entry(&mut self, entry: &Entry, out: &mut String) -> Result<(), ExportError> {
        if entry.sequence != self.top.sequence.next() {
            return Err(ExportError::NotNext { last: self.top.sequence, found: entry.sequence });
        }
        for part in ["{\"hash\":\"", &entry.hash.to_string(), "\",\"entry\":", &entry.text, "}\n"] {
            out.push_str(part);
        }
        self.top = entry.head();
        self.entries += 1;
        self.signed_at = None;
        Ok(())
    }

    /// Writes a checkpoint of the last entry. Of several, the oldest comes first.
    pub fn checkpoint(
        &mut self,
        checkpoint: &Checkpoint,
        out: &mut String,
    ) -> Result<(), ExportError> {
        let later = self.signed_at.is_none_or(|before| before < checkpoint.at);
        if checkpoint.sequence != self.top.sequence || !later {
            let (last, found) = (self.top.sequence, checkpoint.sequence);
            return Err(ExportError::NotOfTheLast { last, found });
        }
        write(&CheckpointLine { checkpoint }, out)?;
        self.checkpoints += 1;
        self.signed_at = Some(checkpoint.at);
        Ok(())
    }

    /// Writes the last line.
    pub fn end(self, key: &SigningKey, out: &mut String) -> Result<(), ExportError> {
        let Self { header, top, entries, checkpoints, signed_at: _ } = self;
        let unsigned = End {
            log: header.log,
            after: header.after.sequence,
            sequence: top.sequence,
            hash: top.hash,
            entries,
            checkpoints,
            at: header.exported_at,
            key: key.public().id(),
            signature: String::new(),
        };
        let end = End { signature: key.sign(&unsigned.signed_text()), ..unsigned };
        write(&EndLine { end: &end }, out)
    }
}

fn write(line: &impl Serialize, out: &mut String) -> Result<(), ExportError> {
    out.push_str(&serde_json::to_string(line)?);
    out.push('\n');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Logbook, mk_key};

    #[test]
    fn the_lines_of_an_export_are_fixed() {
        let mut log = Logbook::begin(7);
        log.denied("Start", "no");
        let checkpoint = log.checkpoint();
        let (id, entry) = (log.id(), &log.entries()[0]);
        let export = log.export();
        let lines: Vec<&str> = export.lines().collect();
        let [header, first, signed, end] = lines.as_slice() else { panic!("{export}") };
        assert_eq!(
            *header,
            format!(
                "{{\"format\":\"kubernaut.ai/wfe-audit/v1\",\"log\":\"{id}\",\"after\":{{\"sequence\":0,\
                 \"hash\":\"{id}\"}},\"exported_at\":\"2026-11-21T10:00:01Z\"}}"
            )
        );
        assert_eq!(*first, format!("{{\"hash\":\"{}\",\"entry\":{}}}", entry.hash, entry.text));
        let json = serde_json::to_string(&checkpoint).unwrap();
        assert_eq!(*signed, format!("{{\"checkpoint\":{json}}}"));
        let hash = entry.hash;
        let text = format!(
            "kubernaut.ai/wfe audit export v1\n{id}\n0\n1\n{hash}\n1\n1\n2026-11-21T10:00:01Z\n"
        );
        assert_eq!(
            *end,
            format!(
                "{{\"end\":{{\"log\":\"{id}\",\"after\":0,\"sequence\":1,\"hash\":\"{hash}\",\"entries\":1,\
                 \"checkpoints\":1,\"at\":\"2026-11-21T10:00:01Z\",\"key\":\"{}\",\"signature\":\"{}\"}}}}",
                mk_key(1).public().id(),
                mk_key(1).sign(&text)
            )
        );
    }

    #[test]
    fn nothing_is_exported_out_of_order() {
        let log = Logbook::small();
        let (entries, checkpoint) = (log.entries(), &log.checkpoints()[0]);
        let mut out = String::new();
        let at = "2026-11-21T10:00:00Z".parse().unwrap();
        let mut exporter = Exporter::begin(log.id(), Head::empty(log.id()), at, &mut out).unwrap();
        exporter.entry(&entries[0], &mut out).unwrap();
        let before = out.clone();
        for (wrong, expected) in [
            (exporter.entry(&entries[0], &mut out), "entry 1 cannot follow entry 1 in an export"),
            (exporter.entry(&entries[2], &mut out), "entry 3 cannot follow entry 1 in an export"),
            (
                exporter.checkpoint(checkpoint, &mut out),
                "a checkpoint of entry 4 cannot stand behind entry 1 in an export",
            ),
        ] {
            assert_eq!(wrong.unwrap_err().to_string(), expected);
        }
        assert_eq!(out, before, "nothing of it is written");
        for entry in &entries[1..4] {
            exporter.entry(entry, &mut out).unwrap();
        }
        exporter.checkpoint(checkpoint, &mut out).unwrap();
        assert!(exporter.checkpoint(checkpoint, &mut out).is_err(), "one is not there twice");
    }
}
