//! Whether an export is what the service wrote, from the export and a public key alone.
//!
//! Reads it once, a line at a time. What is kept is bounded by the number of streams and of checkpoints,
//! not of entries. After a fault it goes on, so that all damage is told: the first findings of each sort
//! in full, the others as a number.

use std::io::{self, BufRead};

use jiff::Timestamp;
use serde::Serialize;
use wfe_core::audit::{Hash, Head};

use crate::{
    checkpoint::Checkpoint,
    key::{KeyId, PublicKey},
};

mod finding;
mod line;
mod streams;
mod trust;
mod walk;
mod words;

use finding::Findings;
pub use finding::{EndField, Finding, Source};
use line::{Lines, Said};
use trust::{Signed, Worth};
use walk::{Fit, Walk, Walked};

/// What the verifier has beside the export.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Keys that are trusted. Those that they handed over to, and those that handed over to them, follow
    /// from the export.
    pub keys: Vec<PublicKey>,
    /// The log that is expected; any, when absent.
    pub log: Option<Hash>,
    /// Checkpoints that were kept outside of the export.
    pub checkpoints: Vec<Kept>,
}

/// A checkpoint that was kept outside of the export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Where, for people.
    pub place: String,
    /// The checkpoint.
    pub checkpoint: Checkpoint,
}

/// An entry as it is met on the way, before anything is known of its signatures.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    /// Its line, from 1.
    pub line: u64,
    /// The whole line, without its end.
    pub raw: &'a [u8],
    /// The text of the entry.
    pub text: &'a [u8],
}

/// What came of a verification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Id of the log.
    pub log: Hash,
    /// When the export says that it was made.
    pub exported_at: Timestamp,
    /// The entry after which it begins; 0 is the beginning of the log.
    pub after: u64,
    /// Its last entry; that of `after` when it has none.
    pub last: u64,
    /// How many entries it has.
    pub entries: u64,
    /// How many streams.
    pub streams: u64,
    /// How many checkpoints it has.
    pub checkpoints: u64,
    /// How many checkpoints were given beside it.
    pub outside_checkpoints: u64,
    /// Signatures of trusted keys that fit the entries, the end line included.
    pub fitting_signatures: u64,
    /// Signatures of trusted keys for which the export has no entry to compare with.
    pub without_entry: u64,
    /// The last entry whose hash a trusted key vouches for. Entries up to it that are damaged are among the
    /// findings.
    pub vouched: Option<u64>,
    /// The keys that are trusted in the end.
    pub keys: Vec<KeyId>,
    /// What is wrong, by line.
    pub findings: Vec<Finding>,
    /// How many further findings there are.
    pub more_findings: u64,
}

/// What a report comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The export is what the service wrote.
    Sound,
    /// It is not, or that cannot be shown.
    Damaged,
}

impl Report {
    /// What it comes to.
    pub const fn verdict(&self) -> Verdict {
        if self.findings.is_empty() { Verdict::Sound } else { Verdict::Damaged }
    }
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The export cannot be read.
    #[error("the export cannot be read")]
    Read(#[from] io::Error),
    /// It is no export.
    #[error(transparent)]
    NotAnExport(#[from] NotAnExport),
}

/// The text is no export, or stops being one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("not an export: line {line}, byte {byte}: {problem}")]
pub struct NotAnExport {
    /// The line, from 1.
    pub line: u64,
    /// Offset in the export, from 0: where the fault is, or where its line begins.
    pub byte: u64,
    /// What is wrong there.
    pub problem: Problem,
}

/// What makes a text something else than an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Problem {
    /// There is nothing.
    #[error("it is empty")]
    Empty,
    /// The first line says that it is something else.
    #[error("its format is {found:?}, and {:?} is needed", crate::export::FORMAT)]
    Format {
        /// What it says.
        found: String,
    },
    /// The first line is not that of an export.
    #[error("the first line is not that of an export: {reason}")]
    Header {
        /// Why.
        reason: String,
    },
    /// A line is neither an entry nor a checkpoint nor the end.
    #[error("neither an entry nor a checkpoint nor the end")]
    UnknownLine,
    /// A checkpoint or the end cannot be read.
    #[error("the line cannot be read: {reason}")]
    Line {
        /// Why.
        reason: String,
    },
    /// The text stops in the middle of a line.
    #[error("it stops in the middle of a line")]
    CutLine,
    /// A line is longer than any that the service writes.
    #[error("the line is longer than any of an export")]
    TooLong,
}

/// What an export holds, to compare its end with.
struct There {
    after: u64,
    last: u64,
    entries: u64,
    checkpoints: u64,
}

/// Verifies an export.
pub fn verify(input: impl BufRead, known: &Known) -> Result<Report, VerifyError> {
    verify_each(input, known, |_| {})
}

/// Verifies an export, and shows each entry on the way.
pub fn verify_each(
    input: impl BufRead,
    known: &Known,
    mut see: impl FnMut(Seen<'_>),
) -> Result<Report, VerifyError> {
    let mut lines = Lines::new(input);
    let Some(first) = lines.next()? else {
        return Err(NotAnExport { line: 1, byte: 0, problem: Problem::Empty }.into());
    };
    let header = first.header()?;
    let (log, after) = (header.log, header.after);
    let mut findings = Findings::default();
    if after.sequence.0 == 0 && after.hash != log {
        findings.add(Finding::WrongBeginning { line: 1 });
    }
    if let Some(asked) = known.log
        && asked != log
    {
        findings.add(Finding::AnotherLog { source: Source::Asked, log: asked, export: log });
    }

    let mut walk = Walk::new(log, after);
    let mut heads = Vec::new();
    for Kept { place, checkpoint } in &known.checkpoints {
        let source = Source::Outside { place: place.clone() };
        // One of another log has nothing here to be compared with.
        if checkpoint.log == log {
            walk.outside(heads.len(), checkpoint.head());
        }
        heads.push(Signed::checkpoint(source, checkpoint));
    }

    let mut checkpoints = 0;
    let mut end = None;
    let mut number = 1;
    while end.is_none()
        && let Some(line) = lines.next()?
    {
        number = line.number;
        match line.said()? {
            Said::Entry(entry) => {
                see(Seen { line: number, raw: line.bytes, text: entry.text });
                walk.entry(entry);
            }
            Said::Checkpoint(checkpoint) => {
                checkpoints += 1;
                walk.checkpoint(heads.len(), number, checkpoint.head(), checkpoint.at);
                heads.push(Signed::checkpoint(Source::Checkpoint { line: number }, &checkpoint));
            }
            Said::End(said) => end = Some((number, said)),
        }
    }
    let signed_end = end.as_ref().map(|(line, end)| {
        heads.push(Signed::end(*line, end));
        (heads.len() - 1, Head { sequence: end.sequence, hash: end.hash })
    });
    let walked = walk.finish(signed_end);
    let Walked { last, entries, streams, compared, handovers, findings: faults, missing } = walked;

    let mut fits = vec![Fit::Nothing; heads.len()];
    for (number, fit) in compared {
        fits[number] = fit;
    }
    let trust = trust::weigh(log, &known.keys, &heads, &fits, &handovers);
    let bounds = (after.sequence.0, last);
    let weighed = trust::judge(log, bounds, (&heads, &fits), &handovers, &trust, &mut findings);
    match &end {
        None => findings.add(Finding::NoEnd { line: number + 1, last }),
        Some((line, end)) => {
            if trust.worth.last() == Some(&Worth::Good) {
                let there = There { after: after.sequence.0, last, entries, checkpoints };
                trust::compare_end(*line, end, &there, header.exported_at, &mut findings);
            }
            let (line, bytes) = lines.rest()?;
            if bytes > 0 {
                findings.add(Finding::AfterEnd { line, bytes });
            }
        }
    }

    let (findings, more_findings) = Findings::merged([faults, missing, findings]);
    Ok(Report {
        log,
        exported_at: header.exported_at,
        after: after.sequence.0,
        last,
        entries,
        streams,
        checkpoints,
        outside_checkpoints: known.checkpoints.len() as u64,
        fitting_signatures: weighed.fitting,
        without_entry: weighed.without,
        vouched: weighed.vouched,
        keys: trust.keys.iter().map(PublicKey::id).collect(),
        findings,
        more_findings,
    })
}

#[cfg(test)]
mod tests;
