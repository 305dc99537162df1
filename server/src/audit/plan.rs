//! What to do next for the log; pure.

use std::time::Duration;

use jiff::Timestamp;
use wfe_audit::checkpoint::Checkpoint;
use wfe_core::{audit::Position, gates::later};

/// How long to wait after the first failure; it doubles with each further one.
const BACKOFF: Duration = Duration::from_secs(1);

/// The longest wait after failures.
const BACKOFF_MOST: Duration = Duration::from_mins(1);

/// The log is looked at at least this often, so that a database that was replaced is noticed.
pub(super) const LOOK: Duration = Duration::from_secs(5);

/// What is known.
#[derive(Debug, Clone)]
pub(super) struct Situation<'a> {
    /// Now.
    pub(super) now: Timestamp,
    /// The newest entry.
    pub(super) head: Position,
    /// What was signed last.
    pub(super) last: &'a Checkpoint,
    /// Whether the log is the one that was signed.
    pub(super) trust: Trust,
    /// The places outside.
    pub(super) places: &'a [Place],
    /// A checkpoint at which the log may begin.
    pub(super) prunable: Option<Position>,
    /// What the log no longer begins with.
    pub(super) leftovers: Leftovers,
}

/// Whether the log is the one that was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// It is.
    Sound,
    /// It was not when it was to be signed; that was at this time.
    Shaken(Timestamp),
    /// It is not.
    Lost,
}

/// What the log no longer begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leftovers {
    /// Is deleted.
    Gone,
    /// May be there still.
    MayBe,
}

/// A place outside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// The entry that its newest checkpoint signs; `None` when that is not known or there is none.
    pub(super) signed: Option<Position>,
    /// Nothing is written there before.
    pub(super) not_before: Option<Timestamp>,
    /// Failures in a row.
    pub(super) failures: u32,
}

/// How often the log is signed, and how long it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// New entries are signed after this time.
    pub interval: Duration,
    /// So many new entries are signed before.
    pub entries: u64,
    /// Older entries are deleted; `None` keeps all.
    pub retention: Option<Duration>,
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Sign the newest entry.
    Sign,
    /// Bring the newest checkpoint to this place.
    Publish(usize),
    /// Let the log begin after this entry.
    Prune(Position),
    /// Delete what it no longer begins with.
    Sweep,
    /// Nothing, for this long, unless there is news.
    Rest(Duration),
    /// Nothing: the log is not the one that was signed.
    Refuse,
}

/// What to do next.
pub(super) fn plan(situation: &Situation<'_>, timing: &Timing) -> Step {
    let Situation { now, head, last, trust, places, prunable, leftovers } = situation;
    let mut rest = LOOK;
    match trust {
        Trust::Lost => return Step::Refuse,
        Trust::Shaken(at) => match until(*now, later(*at, LOOK)) {
            None => return Step::Sign,
            Some(_) => return Step::Refuse,
        },
        Trust::Sound => {}
    }
    let unsigned = head.0.saturating_sub(last.sequence.0);
    if unsigned > 0 {
        match until(*now, later(last.at, timing.interval)) {
            Some(wait) if unsigned < timing.entries => rest = rest.min(wait),
            _ => return Step::Sign,
        }
    }
    for (number, place) in places.iter().enumerate() {
        if place.signed >= Some(last.sequence) {
            continue;
        }
        match place.not_before.and_then(|at| until(*now, at)) {
            None => return Step::Publish(number),
            Some(wait) => rest = rest.min(wait),
        }
    }
    if let Some(place) = prunable {
        return Step::Prune(*place);
    }
    match leftovers {
        Leftovers::MayBe => Step::Sweep,
        Leftovers::Gone => Step::Rest(rest),
    }
}

impl Place {
    /// It keeps a checkpoint of this entry, and takes the next one after `pause`.
    pub(super) fn kept(&mut self, signed: Position, now: Timestamp, pause: Duration) {
        *self = Self { signed: Some(signed), not_before: Some(later(now, pause)), failures: 0 };
    }

    /// It could not be reached.
    pub(super) fn failed(&mut self, now: Timestamp) {
        let wait = BACKOFF.saturating_mul(1 << self.failures.min(10)).min(BACKOFF_MOST);
        self.not_before = Some(later(now, wait));
        self.failures += 1;
    }
}

/// Which checkpoints the log may begin at: no younger than this time, of no later entry than this.
/// `needed` is after which entry everything is still needed by somebody.
pub(super) fn prune_limit(
    now: Timestamp,
    timing: &Timing,
    places: &[Place],
    needed: Option<Position>,
) -> Option<(Timestamp, Position)> {
    let oldest = now.checked_sub(timing.retention?).ok()?;
    let outside = places.iter().map(|place| place.signed).min().flatten()?;
    Some((oldest, needed.map_or(outside, |needed| needed.min(outside))))
}

/// Whether it is worth while to let a log that begins at `base` begin at `candidate`: each time is put
/// on record, and that record must not be the reason for the next time.
pub(super) fn worth_pruning(
    candidate: &Checkpoint,
    base: Option<&Checkpoint>,
    retention: Duration,
) -> Option<Position> {
    let worth = base.is_none_or(|base| later(base.at, retention / 24) <= candidate.at);
    worth.then_some(candidate.sequence)
}

/// The time that is left until `then`; `None` when it has come.
fn until(now: Timestamp, then: Timestamp) -> Option<Duration> {
    let left = Duration::try_from(then.duration_since(now)).ok()?;
    (!left.is_zero()).then_some(left)
}

#[cfg(test)]
mod tests {
    use wfe_audit::key::KeyId;
    use wfe_core::audit::Hash;

    use super::*;
    use crate::testing::at;

    const TIMING: Timing = Timing {
        interval: Duration::from_mins(1),
        entries: 1000,
        retention: Some(Duration::from_hours(24)),
    };

    fn mk_checkpoint(sequence: u64, second: i64) -> Checkpoint {
        Checkpoint {
            log: Hash([1; 32]),
            sequence: Position(sequence),
            hash: Hash([2; 32]),
            at: at(second),
            key: KeyId::from("key".to_owned()),
            signature: String::new(),
        }
    }

    fn mk_place(signed: Option<u64>, not_before: Option<i64>) -> Place {
        Place { signed: signed.map(Position), not_before: not_before.map(at), failures: 0 }
    }

    #[test]
    fn what_is_next_follows_from_what_is_known() {
        let last = mk_checkpoint(10, 0);
        let seconds = Duration::from_secs;
        let here = &[mk_place(Some(10), None)][..];
        let there = &[mk_place(Some(9), None)][..];
        let later = &[mk_place(None, Some(32))][..];
        let here_and_there = &[mk_place(Some(10), None), mk_place(Some(9), None)][..];
        let later_and_there = &[mk_place(None, Some(32)), mk_place(Some(9), None)][..];
        let sound = Trust::Sound;
        let (gone, may_be) = (Leftovers::Gone, Leftovers::MayBe);
        #[rustfmt::skip]
        let table = [
            ("all is done", 30, 10, sound, here, None, gone, Step::Rest(LOOK)),
            ("a young entry waits for others", 30, 11, sound, here, None, gone, Step::Rest(LOOK)),
            ("not past its time", 58, 11, sound, here, None, gone, Step::Rest(seconds(2))),
            ("its time has come", 60, 11, sound, here, None, gone, Step::Sign),
            ("nothing new is not signed again", 600, 10, sound, here, None, gone, Step::Rest(LOOK)),
            ("many do not wait", 1, 1010, sound, here, None, gone, Step::Sign),
            ("almost as many do", 1, 1009, sound, here, None, gone, Step::Rest(LOOK)),
            ("what is signed is brought outside", 1, 11, sound, here_and_there, None, gone, Step::Publish(1)),
            ("a place that failed is left alone", 30, 10, sound, later, None, gone, Step::Rest(seconds(2))),
            ("another one is not", 30, 10, sound, later_and_there, None, gone, Step::Publish(1)),
            ("what is old enough goes", 30, 10, sound, here, Some(5), may_be, Step::Prune(Position(5))),
            ("and is deleted", 30, 10, sound, here, None, may_be, Step::Sweep),
            ("another log is left alone", 600, 2000, Trust::Lost, there, Some(5), may_be, Step::Refuse),
            ("a log that was shaken too", 12, 2000, Trust::Shaken(at(10)), there, Some(5), may_be, Step::Refuse),
            ("until it is tried again", 15, 10, Trust::Shaken(at(10)), there, Some(5), may_be, Step::Sign),
        ];
        for (case, now, head, trust, places, prunable, leftovers, step) in table {
            let situation = Situation {
                now: at(now),
                head: Position(head),
                last: &last,
                trust,
                places,
                prunable: prunable.map(Position),
                leftovers,
            };
            assert_eq!(plan(&situation, &TIMING), step, "{case}");
        }
    }

    #[test]
    fn a_place_that_fails_is_tried_again_after_growing_pauses() {
        let mut place = mk_place(None, None);
        let mut pauses = Vec::new();
        for _ in 0..8 {
            place.failed(at(0));
            pauses.push(place.not_before.unwrap().duration_since(at(0)).as_secs());
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        place.kept(Position(3), at(5), Duration::from_secs(10));
        assert_eq!(place, Place { failures: 0, ..mk_place(Some(3), Some(15)) });
    }

    #[test]
    fn only_what_is_old_and_outside_everywhere_and_needed_by_nobody_is_pruned() {
        let both = |a, b| [mk_place(a, None), mk_place(b, None)];
        let now = at(100_000);
        let limit = |places: &[Place], needed: Option<u64>| {
            prune_limit(now, &TIMING, places, needed.map(Position))
        };
        let old = now - TIMING.retention.unwrap();
        assert_eq!(limit(&both(Some(7), Some(5)), None), Some((old, Position(5))));
        assert_eq!(limit(&both(Some(7), Some(5)), Some(3)), Some((old, Position(3))));
        assert_eq!(limit(&both(Some(7), Some(5)), Some(9)), Some((old, Position(5))));
        assert_eq!(limit(&both(Some(7), None), None), None);
        assert_eq!(limit(&[], None), None);
        let for_ever = Timing { retention: None, ..TIMING };
        assert_eq!(prune_limit(now, &for_ever, &both(Some(7), Some(5)), None), None);
    }

    #[test]
    fn the_record_of_a_pruning_is_not_the_reason_for_the_next() {
        let day = Duration::from_hours(24);
        let worth = |candidate, base: Option<Checkpoint>| {
            worth_pruning(&mk_checkpoint(9, candidate), base.as_ref(), day)
        };
        assert_eq!(worth(100, None), Some(Position(9)));
        assert_eq!(worth(3700, Some(mk_checkpoint(5, 100))), Some(Position(9)));
        assert_eq!(worth(3699, Some(mk_checkpoint(5, 100))), None);
    }
}
