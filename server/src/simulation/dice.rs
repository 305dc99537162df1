//! Chance and weather: every choice of a simulation comes from one seed.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

/// All chance of one simulation.
#[derive(Debug)]
pub(super) struct Dice(Mutex<StdRng>);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(Mutex::new(StdRng::seed_from_u64(seed)))
    }

    fn with<T>(&self, draw: impl FnOnce(&mut StdRng) -> T) -> T {
        draw(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A number below `bound`; `None` when there is none.
    pub(super) fn below(&self, bound: usize) -> Option<usize> {
        (bound > 0).then(|| self.with(|random| random.random_range(0..bound)))
    }

    /// A number between both, which belong to them.
    pub(super) fn between(&self, low: u64, high: u64) -> u64 {
        self.with(|random| random.random_range(low..=high))
    }

    /// Whether it happens this time, `per_mille` times in a thousand.
    pub(super) fn hits(&self, per_mille: u32) -> bool {
        per_mille > 0 && self.with(|random| random.random_range(0..1000) < per_mille)
    }

    /// One of them.
    pub(super) fn one_of<T: Copy>(&self, choices: &[T]) -> T {
        choices[self.with(|random| random.random_range(0..choices.len()))]
    }

    /// A time between both in milliseconds; short ones are as likely as long ones.
    pub(super) fn time(&self, low: u64, high: u64) -> Duration {
        let doublings = (high / low.max(1)).max(1).ilog2();
        let least = low.max(1) << self.between(0, u64::from(doublings));
        Duration::from_micros(self.between(least * 1000, (least * 2).min(high).max(least) * 1000))
    }

    /// A seed for something that has chance of its own.
    pub(super) fn seed(&self) -> u64 {
        self.with(StdRng::random)
    }
}

/// What happens between two steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    /// The caller of a call goes away.
    CallerLeaves,
    /// A process is killed, stopped or started.
    ProcessChanges,
    /// The API server goes away or comes back.
    ApiGoes,
    /// Watches have to begin anew.
    WatchesExpire,
    /// A task gets no turn for long.
    Stall,
    /// A clock is set.
    ClockIsSet,
    /// Somebody else starts a run.
    Stranger,
    /// Somebody deletes or cancels a run with kubectl.
    Outsider,
    /// Time passes although something could go on.
    TimePasses,
}

/// How often things go wrong, in thousandths. Drawn anew for each simulation, and many are zero: what
/// only happens when something else does not is found that way.
#[derive(Debug, Clone, Default)]
pub(super) struct Weather {
    /// A call of the store fails and does nothing.
    pub(super) store_refuses: u32,
    /// A call of the store does what it should, and its answer is lost.
    pub(super) store_loses_answer: u32,
    /// A call of the API server fails and does nothing.
    pub(super) api_refuses: u32,
    /// A call of the API server does what it should, and its answer is lost.
    pub(super) api_loses_answer: u32,
    /// A create is answered with an error, and takes effect later.
    pub(super) create_arrives_late: u32,
    /// A call takes long.
    pub(super) slow: u32,
    /// Between two steps, this happens.
    between: Vec<(Trouble, u32)>,
}

impl Weather {
    pub(super) fn draw(dice: &Dice) -> Self {
        let rate = |highest: u64| {
            let drawn = if dice.hits(500) { 0 } else { dice.between(1, highest) };
            u32::try_from(drawn).unwrap_or(0)
        };
        // Sometimes nothing that was written can stay unknown to who wrote it.
        let doubtful = u32::from(!dice.hits(350));
        Self {
            store_refuses: doubtful * rate(150),
            store_loses_answer: doubtful * rate(80),
            api_refuses: rate(200),
            api_loses_answer: rate(150),
            create_arrives_late: rate(200),
            slow: rate(80),
            between: vec![
                (Trouble::CallerLeaves, doubtful * rate(20)),
                (Trouble::ProcessChanges, doubtful * rate(12)),
                (Trouble::ApiGoes, rate(10)),
                (Trouble::WatchesExpire, rate(10)),
                (Trouble::Stall, rate(20)),
                (Trouble::ClockIsSet, rate(10)),
                (Trouble::Stranger, rate(6)),
                (Trouble::Outsider, rate(8)),
                (Trouble::TimePasses, rate(150)),
            ],
        }
    }

    /// Whether something may be written of which nobody who lives hears.
    pub(super) fn is_doubtful(&self) -> bool {
        let changes = |(trouble, rate): &(Trouble, u32)| {
            *rate > 0 && matches!(trouble, Trouble::CallerLeaves | Trouble::ProcessChanges)
        };
        self.store_refuses + self.store_loses_answer > 0 || self.between.iter().any(changes)
    }

    /// What happens before the next step.
    pub(super) fn next(&self, dice: &Dice) -> Option<Trouble> {
        let mut drawn = u32::try_from(dice.below(1000)?).ok()?;
        for (trouble, rate) in &self.between {
            if drawn < *rate {
                return Some(*trouble);
            }
            drawn -= rate;
        }
        None
    }
}
