//! The walk over the entries: each is checked against the one before, and whatever is broken, the next
//! sound place is found again.
//!
//! The hash beside an entry is taken for what the next one follows, so that a changed text breaks one
//! place and no more. An entry that claims another place than the next is held until the line behind
//! it tells whether it was altered or moved.

use std::{cmp::Ordering, collections::BTreeMap};

use jiff::Timestamp;
use wfe_core::audit::{Hash, Head, Logged, Position};

use super::{
    finding::{Finding, Findings},
    line::Written,
    streams::{At, Beginning, Gap, Gaps, Late, Streams},
};
use crate::checkpoint::Rotation;

mod kept;

pub(super) use kept::{Fit, Handover};
use kept::{Held, Sound, Stray, Top, follows};

/// Entries that came too early and are kept until they are due.
const MAX_EARLY: usize = 100;

/// Walks over the entries of one export.
pub(super) struct Walk {
    log: Hash,
    top: Top,
    held: Option<Held>,
    early: BTreeMap<u64, Held>,
    /// Counts the places where the chain is broken.
    stretch: u64,
    gaps: Gaps<()>,
    streams: Streams,
    /// Signed heads of entries to come, with their numbers in the list of the caller.
    awaited: BTreeMap<u64, Vec<(usize, Hash)>>,
    /// The first of them.
    next_awaited: u64,
    /// The newest checkpoint in the export.
    signed: Option<(u64, Timestamp)>,
    strays: Vec<Stray>,
    entries: u64,
    compared: Vec<(usize, Fit)>,
    handovers: Vec<Handover>,
    findings: Findings,
}

/// What the walk found.
pub(super) struct Walked {
    /// Place of the last entry.
    pub(super) last: u64,
    pub(super) entries: u64,
    pub(super) streams: u64,
    /// Each signed head by its number.
    pub(super) compared: Vec<(usize, Fit)>,
    pub(super) handovers: Vec<Handover>,
    /// What is wrong with lines.
    pub(super) findings: Findings,
    /// What is missing.
    pub(super) missing: Findings,
}

impl Walk {
    pub(super) fn new(log: Hash, after: Head) -> Self {
        let beginning = match after.sequence {
            Position(0) => Beginning::Whole,
            Position(_) => Beginning::Unknown,
        };
        let hash = Some(after.hash);
        Self {
            log,
            top: Top { sequence: after.sequence.0, hash, computed: None, second: None },
            held: None,
            early: BTreeMap::new(),
            stretch: 0,
            gaps: Gaps::none(),
            streams: Streams::new(beginning),
            awaited: BTreeMap::new(),
            next_awaited: u64::MAX,
            signed: None,
            strays: Vec::new(),
            entries: 0,
            compared: Vec::new(),
            handovers: Vec::new(),
            findings: Findings::default(),
        }
    }

    /// Takes the next entry.
    pub(super) fn entry(&mut self, entry: Written<'_>) {
        self.entries += 1;
        self.step(entry);
        while let Some(held) = self.early.remove(&self.next()) {
            self.in_place(&held.written(), self.next());
        }
    }

    /// A head that was signed, and kept outside of the export.
    pub(super) fn outside(&mut self, number: usize, head: Head) {
        let sequence = head.sequence.0;
        match sequence.cmp(&self.top.sequence) {
            Ordering::Less => self.compared.push((number, Fit::Nothing)),
            Ordering::Equal => {
                let fit = self.compare(head.hash);
                self.compared.push((number, fit));
            }
            Ordering::Greater => {
                self.awaited.entry(sequence).or_default().push((number, head.hash));
                self.next_awaited = self.next_awaited.min(sequence);
            }
        }
    }

    /// A checkpoint in the export.
    pub(super) fn checkpoint(&mut self, number: usize, line: u64, head: Head, at: Timestamp) {
        self.release(Some(head));
        let (sequence, behind) = (head.sequence.0, self.top.sequence);
        let in_order = self.signed.is_none_or(|before| before < (sequence, at));
        if sequence != behind || !in_order {
            self.strays.push(Stray { line, sequence, behind });
        }
        self.signed = self.signed.max(Some((sequence, at)));
        self.outside(number, head);
    }

    /// There are no more entries; the last line signs this head.
    pub(super) fn finish(mut self, end: Option<(usize, Head)>) -> Walked {
        self.release(end.map(|(_, head)| head));
        for held in std::mem::take(&mut self.early).into_values() {
            self.misplaced(&held);
        }
        if let Some((number, head)) = end {
            self.outside(number, head);
        }
        let beyond = std::mem::take(&mut self.awaited).into_values().flatten();
        self.compared.extend(beyond.map(|(number, _)| (number, Fit::Beyond)));
        for Stray { line, sequence, behind } in &self.strays {
            let known =
                self.gaps.lack(&(), *sequence) == Late::Yes || *sequence > self.top.sequence;
            if !known {
                let (line, sequence, behind) = (*line, *sequence, *behind);
                self.findings.add(Finding::Misplaced { line, sequence, behind });
            }
        }
        let mut missing = Findings::default();
        let streams = self.streams.len();
        for ((), Gap { first, last, line }) in self.gaps.into_rest() {
            missing.add(Finding::Missing { line, first, last });
        }
        self.streams.finish(&mut missing);
        Walked {
            last: self.top.sequence,
            entries: self.entries,
            streams,
            compared: self.compared,
            handovers: self.handovers,
            findings: self.findings,
            missing,
        }
    }

    const fn next(&self) -> u64 {
        self.top.sequence.saturating_add(1)
    }

    /// The way of an export without fault is short: the next entry, with its hash.
    fn step(&mut self, entry: Written<'_>) {
        if self.held.is_none()
            && let (Some(place), Some(before), Some(hash)) =
                (entry.place, self.top.hash, entry.hash)
            && place.sequence == self.next()
            && before.follow(entry.text) == hash
        {
            self.accept(&entry, place.sequence, Sound::Yes);
        } else {
            self.resynchronise(&entry);
        }
    }

    fn resynchronise(&mut self, entry: &Written<'_>) {
        let claims = entry.place.map(|place| place.sequence);
        if let Some(held) = self.held.take() {
            let behind_it = claims == Some(self.next().saturating_add(1));
            if behind_it && held.hash.is_some() && follows(entry, held.hash) {
                self.altered(&held);
            } else if held.sequence.is_some_and(|held| held > self.next() && claims <= Some(held))
                && claims.is_some()
            {
                self.too_early(held);
            } else {
                self.misplaced(&held);
            }
            return self.step(*entry);
        }
        let next = self.next();
        if claims == Some(next) {
            self.in_place(entry, next);
        } else if claims.is_none() && follows(entry, self.top.hash) {
            self.findings.add(Finding::Unreadable { line: entry.line, sequence: next });
            self.accept(entry, next, Sound::Yes);
        } else {
            self.held = Some(Held::of(entry));
        }
    }

    /// Nothing comes behind a held entry but a signed head.
    fn release(&mut self, signed: Option<Head>) {
        let Some(held) = self.held.take() else { return };
        let fits = signed.is_some_and(|Head { sequence, hash }| {
            sequence.0 == self.next() && held.hash == Some(hash)
        });
        if fits {
            self.altered(&held);
        } else {
            self.misplaced(&held);
        }
    }

    /// An entry that claims the place where it stands.
    fn in_place(&mut self, entry: &Written<'_>, sequence: u64) {
        let Top { sequence: before, hash, computed, second } = self.top;
        let sound = if follows(entry, hash) || follows(entry, second) {
            Sound::Yes
        } else if follows(entry, computed) {
            self.findings.only_the_hash(before);
            Sound::Yes
        } else if hash.or(computed).is_none() {
            Sound::Unknown
        } else {
            self.findings.add(Finding::Changed { line: entry.line, sequence, claims: None });
            Sound::No
        };
        self.accept(entry, sequence, sound);
    }

    /// What follows fits the hash of a held entry: it stands where it should, and its text was changed.
    fn altered(&mut self, held: &Held) {
        let (line, sequence, claims) = (held.line, self.next(), held.sequence);
        self.findings.add(Finding::Changed { line, sequence, claims });
        self.accept(&held.written(), sequence, Sound::No);
    }

    /// An entry that stands before others which it should follow.
    fn too_early(&mut self, held: Held) {
        let Some(sequence) = held.sequence else { return };
        let (line, behind) = (held.line, self.top.sequence);
        self.findings.add(Finding::Reordered { line, sequence, behind });
        if self.early.len() < MAX_EARLY {
            self.early.insert(sequence, held);
        }
    }

    /// A held entry that does not stand where it should.
    fn misplaced(&mut self, held: &Held) {
        let (line, last) = (held.line, self.top.sequence);
        let Some(sequence) = held.sequence else {
            self.findings.add(Finding::Inserted { line });
            return;
        };
        let entry = held.written();
        if sequence == self.next() {
            self.in_place(&entry, sequence);
        } else if sequence > last {
            let gap = Gap { first: self.next(), last: sequence - 1, line };
            if let Err(Gap { first, last, line }) = self.gaps.open((), gap) {
                self.findings.add(Finding::Missing { line, first, last });
            }
            self.accept(&entry, sequence, Sound::Unknown);
        } else if self.gaps.fill(&(), sequence) == Late::Yes {
            self.findings.add(Finding::Reordered { line, sequence, behind: last });
            self.note(&entry, sequence, Sound::Unknown);
        } else {
            self.findings.add(Finding::Repeated { line, sequence });
            if sequence == last {
                self.top.second = held.hash;
            }
        }
    }

    /// The entry is the newest from now on.
    fn accept(&mut self, entry: &Written<'_>, sequence: u64, sound: Sound) {
        let computed = match sound {
            Sound::Yes => None,
            Sound::Unknown => {
                self.stretch += 1;
                if entry.hash.is_none() {
                    let (line, claims) = (entry.line, None);
                    self.findings.add(Finding::Changed { line, sequence, claims });
                }
                None
            }
            Sound::No => {
                self.stretch += 1;
                self.top.hash.map(|before| before.follow(entry.text))
            }
        };
        self.top = Top { sequence, hash: entry.hash, computed, second: None };
        self.note(entry, sequence, sound);
        if sequence >= self.next_awaited {
            self.compare_awaited();
        }
    }

    /// What an entry tells beside its place in the log.
    fn note(&mut self, entry: &Written<'_>, sequence: u64, sound: Sound) {
        let Some(place) = entry.place else { return };
        let Some(stream) = place.stream() else {
            self.findings.add(Finding::Unreadable { line: entry.line, sequence });
            return;
        };
        match sound {
            Sound::Yes | Sound::Unknown => {
                let at = At { line: entry.line, sequence };
                self.streams.take(&stream, place.revision, at, &mut self.findings);
            }
            Sound::No => self.streams.take_if_due(&stream, place.revision),
        }
        if stream == "log" {
            self.handover(entry, sequence, sound);
        }
    }

    fn handover(&mut self, entry: &Written<'_>, sequence: u64, sound: Sound) {
        let line = entry.line;
        let Ok(Logged { what, .. }) = serde_json::from_slice(entry.text) else {
            if sound != Sound::No {
                self.findings.add(Finding::Unreadable { line, sequence });
            }
            return;
        };
        let stretch = (sound == Sound::Yes).then_some(self.stretch);
        match Rotation::read(self.log, &what) {
            Some(Ok(rotation)) => {
                self.handovers.push(Handover { rotation, line, sequence, stretch });
            }
            Some(Err(why)) => self.findings.add(Finding::BadRotation { line, sequence, why }),
            None => {}
        }
    }

    /// Compares what was signed of the newest entry; of entries that were skipped there is nothing left.
    fn compare_awaited(&mut self) {
        while let Some(due) = self.awaited.first_entry().filter(|it| *it.key() <= self.top.sequence)
        {
            let (sequence, heads) = due.remove_entry();
            for (number, hash) in heads {
                let here = sequence == self.top.sequence;
                let fit = if here { self.compare(hash) } else { Fit::Nothing };
                self.compared.push((number, fit));
            }
        }
        self.next_awaited = self.awaited.first_key_value().map_or(u64::MAX, |(next, _)| *next);
    }

    /// Compares with what was signed of the newest entry.
    fn compare(&mut self, signed: Hash) -> Fit {
        let Top { sequence, hash, computed, second: _ } = self.top;
        if hash == Some(signed) {
            Fit::Fits { stretch: self.stretch }
        } else if computed == Some(signed) {
            self.findings.only_the_hash(sequence);
            Fit::Fits { stretch: self.stretch }
        } else if hash.is_none() {
            Fit::Nothing
        } else {
            Fit::Differs
        }
    }
}
