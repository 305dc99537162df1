//! What the signatures are worth: which keys are trusted, what they signed, and whether it fits.

use std::collections::BTreeMap;

use jiff::Timestamp;
use wfe_core::audit::Hash;

use super::{
    finding::{Finding, Findings, Source},
    walk::{Fit, Handover},
};
use crate::{
    checkpoint::Checkpoint,
    export::End,
    key::{KeyId, PublicKey, Signature},
};

/// A head that somebody signed.
pub(super) struct Signed {
    pub(super) source: Source,
    pub(super) log: Hash,
    pub(super) sequence: u64,
    pub(super) key: KeyId,
    text: String,
    signature: String,
}

impl Signed {
    pub(super) fn checkpoint(source: Source, checkpoint: &Checkpoint) -> Self {
        Self {
            source,
            log: checkpoint.log,
            sequence: checkpoint.sequence.0,
            key: checkpoint.key.clone(),
            text: checkpoint.signed_text(),
            signature: checkpoint.signature.clone(),
        }
    }

    pub(super) fn end(line: u64, end: &End) -> Self {
        Self {
            source: Source::End { line },
            log: end.log,
            sequence: end.sequence.0,
            key: end.key.clone(),
            text: end.signed_text(),
            signature: end.signature.clone(),
        }
    }
}

/// What is known of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Worth {
    /// A trusted key signed it.
    Good,
    /// The key that it names did not sign it.
    Forged,
    /// The key had been replaced by this entry.
    Retired(u64),
    /// No trusted key has this id.
    Unknown,
}

/// The trusted keys, and what each signature is worth.
pub(super) struct Trust {
    pub(super) keys: Vec<PublicKey>,
    pub(super) worth: Vec<Worth>,
}

/// Works out which keys to trust, beginning with those that the verifier has: forward, because the old
/// key signed the new one; backward, because the new key signed a head that covers the hand-over.
pub(super) fn weigh(
    log: Hash,
    pinned: &[PublicKey],
    heads: &[Signed],
    fits: &[Fit],
    handovers: &[Handover],
) -> Trust {
    let mut keys = pinned.to_vec();
    let mut worth = vec![Worth::Unknown; heads.len()];
    loop {
        for (head, worth) in heads.iter().zip(&mut worth).filter(|(_, it)| **it == Worth::Unknown) {
            *worth = value(head, &keys, handovers);
        }
        let covered = |handover: &Handover| {
            let signed = heads.iter().zip(fits).zip(&worth);
            handover.stretch.is_some_and(|stretch| {
                signed.into_iter().any(|((head, fit), worth)| {
                    *worth == Worth::Good
                        && head.log == log
                        && head.sequence >= handover.sequence
                        && *fit == Fit::Fits { stretch }
                })
            })
        };
        let found = handovers.iter().find_map(|handover| {
            let (from, to) = (handover.rotation.from, handover.rotation.to);
            let forward =
                keys.contains(&from) && retired(&from, handover.sequence, handovers).is_none();
            if forward && !keys.contains(&to) {
                return Some(to);
            }
            (!keys.contains(&from) && keys.contains(&to) && covered(handover)).then_some(from)
        });
        match found {
            Some(key) => keys.push(key),
            None => return Trust { keys, worth },
        }
    }
}

fn value(head: &Signed, keys: &[PublicKey], handovers: &[Handover]) -> Worth {
    let named = || keys.iter().filter(|key| key.id() == head.key);
    match named().find(|key| key.signed(&head.text, &head.signature) == Signature::Right) {
        Some(key) => match retired(key, head.sequence, handovers) {
            Some(by) => Worth::Retired(by),
            None => Worth::Good,
        },
        None if named().next().is_some() => Worth::Forged,
        None => Worth::Unknown,
    }
}

/// The entry by which a key was replaced before this one, unless it came back.
fn retired(key: &PublicKey, sequence: u64, handovers: &[Handover]) -> Option<u64> {
    let before = handovers.iter().filter(|handover| handover.sequence < sequence);
    let mine = before.filter(|it| it.rotation.from == *key || it.rotation.to == *key);
    let last = mine.max_by_key(|handover| handover.sequence)?;
    (last.rotation.from == *key).then_some(last.sequence)
}

/// How many signatures there are of which kind.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Weighed {
    /// Signed by a trusted key, and as the export has it.
    pub(super) fitting: u64,
    /// Signed by a trusted key, with nothing in the export to compare with.
    pub(super) without: u64,
    /// The last entry that a trusted key vouches for.
    pub(super) vouched: Option<u64>,
}

/// Tells what is wrong with the signatures.
pub(super) fn judge(
    log: Hash,
    (after, last): (u64, u64),
    (heads, fits): (&[Signed], &[Fit]),
    handovers: &[Handover],
    trust: &Trust,
    findings: &mut Findings,
) -> Weighed {
    for Handover { rotation, line, sequence, stretch: _ } in handovers {
        let (source, sequence, from) = (Source::Rotation { line: *line }, *sequence, rotation.from);
        let key = from.id();
        if let Some(retired) = retired(&from, sequence, handovers) {
            findings.add(Finding::RetiredKey { source, sequence, key, retired });
        } else if !trust.keys.contains(&from) {
            findings.add(Finding::UnknownKey { source, sequence, key });
        }
    }
    let mut weighed = Weighed::default();
    let mut differing: Option<Differing> = None;
    let mut vouched = after;
    let mut beyond: Option<&Signed> = None;
    let mut order: BTreeMap<(u64, usize), (&Signed, Fit, Worth)> = BTreeMap::new();
    for (number, ((head, fit), worth)) in heads.iter().zip(fits).zip(&trust.worth).enumerate() {
        order.insert((head.sequence, number), (head, *fit, *worth));
    }
    for (head, fit, worth) in order.into_values() {
        let Signed { source, log: of, sequence, key, .. } = head;
        let (source, sequence, key) = (source.clone(), *sequence, key.clone());
        if *of != log {
            findings.add(Finding::AnotherLog { source, log: *of, export: log });
            continue;
        }
        match worth {
            Worth::Good => {}
            Worth::Forged => findings.add(Finding::BadSignature { source, sequence, key }),
            Worth::Unknown => findings.add(Finding::UnknownKey { source, sequence, key }),
            Worth::Retired(retired) => {
                findings.add(Finding::RetiredKey { source, sequence, key, retired });
            }
        }
        match (worth, fit) {
            (Worth::Forged | Worth::Unknown | Worth::Retired(_), _) => {}
            (Worth::Good, Fit::Fits { .. }) => {
                weighed.fitting += 1;
                weighed.vouched = Some(sequence);
                vouched = sequence;
                if let Some(differing) = differing.take() {
                    findings.add(differing.into());
                }
            }
            (Worth::Good, Fit::Differs) => {
                let source = head.source.clone();
                let known = differing.get_or_insert(Differing {
                    source,
                    after: vouched,
                    until: sequence,
                    signatures: 0,
                    last: sequence,
                });
                known.signatures += 1;
                known.last = sequence;
            }
            (Worth::Good, Fit::Nothing) => weighed.without += 1,
            (Worth::Good, Fit::Beyond) => beyond = Some(head),
        }
    }
    if let Some(differing) = differing {
        findings.add(differing.into());
    }
    if let Some(Signed { source, sequence, .. }) = beyond {
        findings.add(Finding::CutTail { source: source.clone(), last, signed: *sequence });
    }
    weighed
}

/// Signed heads in a row that differ from the export.
struct Differing {
    source: Source,
    after: u64,
    until: u64,
    signatures: u64,
    last: u64,
}

impl From<Differing> for Finding {
    fn from(differing: Differing) -> Self {
        let Differing { source, after, until, signatures, last } = differing;
        Self::Rewritten { source, after, until, signatures, last }
    }
}

/// What a signed last line says, compared with what is there.
pub(super) fn compare_end(
    line: u64,
    end: &End,
    there: &super::There,
    exported_at: Timestamp,
    findings: &mut Findings,
) {
    use super::finding::EndField;
    let numbers = [
        (EndField::After, end.after.0, there.after),
        (EndField::Entries, end.entries, there.entries),
        (EndField::Checkpoints, end.checkpoints, there.checkpoints),
    ];
    for (field, says, is) in numbers {
        if says != is {
            let (says, is) = (says.to_string(), is.to_string());
            findings.add(Finding::EndDiffers { line, field, says, is });
        }
    }
    // An end beyond the last entry is told as a cut.
    if end.sequence.0 < there.last {
        let (says, is) = (end.sequence.to_string(), there.last.to_string());
        findings.add(Finding::EndDiffers { line, field: EndField::Sequence, says, is });
    }
    if end.at != exported_at {
        let (says, is) = (end.at.to_string(), exported_at.to_string());
        findings.add(Finding::EndDiffers { line, field: EndField::At, says, is });
    }
}
