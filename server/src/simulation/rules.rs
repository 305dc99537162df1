//! What one simulation is like, drawn from its seed.

use std::{num::NonZeroU32, time::Duration};

use wfe_core::gates::{CooldownScope, Mode, Policy as Gates};

use super::{
    audit::draw_timing,
    dice::{Dice, Weather},
};
use crate::{audit::Timing, reconcile::Policy};

/// After so many failures in a row a person must look.
const LIMITS: [NonZeroU32; 3] =
    [NonZeroU32::new(1).unwrap(), NonZeroU32::new(2).unwrap(), NonZeroU32::new(4).unwrap()];

/// How patient the processes of a simulation are, and how its cluster behaves.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    pub(super) replicas: usize,
    pub(super) targets: usize,
    pub(super) callers: u32,
    pub(super) task_time: Duration,
    pub(super) orphan_window: Duration,
    pub(super) policy: Policy,
    pub(super) gates: Gates,
    pub(super) signing: Timing,
}

impl Rules {
    pub(super) fn draw(dice: &Dice, weather: &Weather) -> Self {
        let task_time = dice.time(100, 20_000);
        let orphan_window = if dice.hits(500) { Duration::ZERO } else { 2 * task_time };
        let run_retention = dice.hits(250).then(|| Duration::from_mins(20));
        Self {
            replicas: dice.one_of(&[1, 1, 2]),
            targets: dice.one_of(&[1, 2, 3]),
            callers: dice.one_of(&[3, 6, 12]),
            task_time,
            orphan_window,
            policy: Policy {
                start_timeout: dice.time(5_000, 300_000),
                run_retention,
                // Where all that is written is heard of, nothing may depend on looking again.
                look_again: if weather.is_doubtful() {
                    Duration::from_mins(1)
                } else {
                    Duration::from_hours(10_000)
                },
                ..Policy::default()
            },
            gates: draw_gates(dice),
            signing: draw_timing(dice),
        }
    }
}

fn draw_gates(dice: &Dice) -> Gates {
    let mode = || dice.one_of(&[Mode::Enforce, Mode::Enforce, Mode::Observe, Mode::Off]);
    let mut gates = Gates::all(mode());
    gates.cooldown.period = dice.time(1000, 300_000);
    gates.cooldown.scope = dice.one_of(&[CooldownScope::SameWorkflow, CooldownScope::AnyWorkflow]);
    gates.backoff.mode = mode();
    gates.backoff.base = dice.time(100, 10_000);
    gates.backoff.cap = dice.time(1000, 60_000);
    gates.backoff.limit = gates.backoff.limit.min(dice.one_of(&LIMITS));
    gates.block = mode();
    gates
}
