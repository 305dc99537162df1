//! Numbers that come each once and in order, and what is missing of them.

use std::collections::{BTreeMap, HashMap};

use super::finding::{Finding, Findings};

/// Gaps that are remembered in case that what is missing comes late. More are told at once.
const MAX_GAPS: usize = 10_000;

/// Ranges of numbers that did not come when they were due, of one owner or of many.
#[derive(Debug)]
pub(super) struct Gaps<K> {
    /// By owner and first number.
    open: BTreeMap<(K, u64), Gap>,
}

/// A range of numbers that did not come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gap {
    pub(super) first: u64,
    pub(super) last: u64,
    /// The line before which they were due.
    pub(super) line: u64,
}

/// Whether a number was missing until now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Late {
    Yes,
    No,
}

impl<K: Ord + Clone> Gaps<K> {
    pub(super) const fn none() -> Self {
        Self { open: BTreeMap::new() }
    }

    /// Remembers a gap. Gives it back when there are too many.
    pub(super) fn open(&mut self, owner: K, gap: Gap) -> Result<(), Gap> {
        if self.open.len() >= MAX_GAPS {
            return Err(gap);
        }
        self.open.insert((owner, gap.first), gap);
        Ok(())
    }

    /// A number comes, and is missing no longer.
    pub(super) fn fill(&mut self, owner: &K, number: u64) -> Late {
        let below = (owner.clone(), 0)..=(owner.clone(), number);
        let Some(gap) = self.open.range(below).next_back().map(|(_, gap)| *gap) else {
            return Late::No;
        };
        if gap.last < number {
            return Late::No;
        }
        self.open.remove(&(owner.clone(), gap.first));
        for part in [
            Gap { last: number.saturating_sub(1), ..gap },
            Gap { first: number.saturating_add(1), ..gap },
        ] {
            if part.first <= part.last {
                self.open.insert((owner.clone(), part.first), part);
            }
        }
        Late::Yes
    }

    /// Whether a number is missing.
    pub(super) fn lack(&self, owner: &K, number: u64) -> Late {
        let below = (owner.clone(), 0)..=(owner.clone(), number);
        match self.open.range(below).next_back() {
            Some((_, gap)) if gap.last >= number => Late::Yes,
            Some(_) | None => Late::No,
        }
    }

    pub(super) fn into_rest(self) -> impl Iterator<Item = (K, Gap)> {
        self.open.into_iter().map(|((owner, _), gap)| (owner, gap))
    }
}

/// Where streams begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beginning {
    /// The export has them from their first entries.
    Whole,
    /// They may have begun before the export.
    Unknown,
}

/// How far each stream is.
#[derive(Debug)]
pub(super) struct Streams {
    newest: HashMap<Box<str>, u64>,
    gaps: Gaps<Box<str>>,
    beginning: Beginning,
}

/// Where an entry stands that is the next one of its stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct At {
    pub(super) line: u64,
    pub(super) sequence: u64,
}

impl Streams {
    pub(super) fn new(beginning: Beginning) -> Self {
        Self { newest: HashMap::new(), gaps: Gaps::none(), beginning }
    }

    pub(super) fn len(&self) -> u64 {
        self.newest.len() as u64
    }

    /// Takes note of a number that is certain.
    pub(super) fn take(&mut self, stream: &str, revision: u64, at: At, findings: &mut Findings) {
        let At { line, sequence } = at;
        let newest = match self.newest.get_mut(stream) {
            Some(newest) if newest.checked_add(1) == Some(revision) => {
                *newest = revision;
                return;
            }
            Some(newest) => *newest,
            None => match self.beginning {
                Beginning::Whole => 0,
                Beginning::Unknown => revision.saturating_sub(1),
            },
        };
        if revision > newest {
            self.newest.insert(stream.into(), revision);
            let (first, last) = (newest + 1, revision - 1);
            if first <= last
                && let Err(gap) = self.gaps.open(stream.into(), Gap { first, last, line })
            {
                findings.add(hole(stream, gap));
            }
            return;
        }
        if self.gaps.fill(&stream.into(), revision) == Late::No {
            let stream = stream.to_owned();
            findings.add(Finding::RevisionOutOfOrder { line, sequence, stream, revision });
        }
    }

    /// Takes note of a number that may have been altered, when it is the one that is due.
    pub(super) fn take_if_due(&mut self, stream: &str, revision: u64) {
        match self.newest.get_mut(stream) {
            Some(newest) if newest.checked_add(1) == Some(revision) => *newest = revision,
            None if revision == 1 => {
                self.newest.insert(stream.into(), revision);
            }
            Some(_) | None => {}
        }
    }

    /// What is still missing.
    pub(super) fn finish(self, findings: &mut Findings) {
        for (stream, gap) in self.gaps.into_rest() {
            findings.add(hole(&stream, gap));
        }
    }
}

fn hole(stream: &str, gap: Gap) -> Finding {
    let Gap { first, last, line } = gap;
    Finding::Hole { line, stream: stream.to_owned(), first, last }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_late_is_missing_no_longer() {
        let mut gaps = Gaps::none();
        gaps.open((), Gap { first: 3, last: 6, line: 1 }).unwrap();
        assert_eq!(gaps.fill(&(), 7), Late::No);
        assert_eq!(gaps.fill(&(), 4), Late::Yes);
        assert_eq!(gaps.fill(&(), 4), Late::No);
        assert_eq!(gaps.lack(&(), 5), Late::Yes);
        assert_eq!(gaps.fill(&(), 3), Late::Yes);
        assert_eq!(gaps.fill(&(), 6), Late::Yes);
        let rest: Vec<_> = gaps.into_rest().map(|((), gap)| (gap.first, gap.last)).collect();
        assert_eq!(rest, [(5, 5)]);
    }
}
