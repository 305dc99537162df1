//! Time and identities: the only places where the process asks the machine for them.

use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use uuid::{Builder, Uuid};
use wfe_core::ids::ExecutionId;
pub use wfe_runtime::clock::{Clock, ManualClock, SystemClock};

/// Makes execution ids: ordered by time, and within one process also when the clock stands still or
/// is set back.
#[derive(Debug)]
pub struct Ids(Mutex<Made>);

#[derive(Debug)]
struct Made {
    random: StdRng,
    last: Uuid,
}

impl Default for Ids {
    fn default() -> Self {
        Self::seeded(rand::random())
    }
}

impl Ids {
    /// The ids that follow from `seed`. Two processes must not have the same.
    pub fn seeded(seed: u64) -> Self {
        Self(Mutex::new(Made { random: StdRng::seed_from_u64(seed), last: Uuid::nil() }))
    }

    /// The id of an execution accepted at `now`.
    pub fn execution(&self, now: Timestamp) -> ExecutionId {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut random = [0; 10];
        made.random.fill_bytes(&mut random);
        let millis = u64::try_from(now.as_millisecond()).unwrap_or(0);
        let fresh = Builder::from_unix_timestamp_millis(millis, &random).into_uuid();
        // One more than the last is an id of the same time: 62 random bits are not used up.
        made.last = fresh.max(Uuid::from_u128(made.last.as_u128() + 1));
        ExecutionId::new(made.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_rise_also_when_the_clock_stands() {
        let (ids, now) = (Ids::default(), Timestamp::from_second(1_800_000_000).unwrap());
        let made: Vec<ExecutionId> = (0..1000).map(|_| ids.execution(now)).collect();
        assert!(made.is_sorted_by(|a, b| a < b));
        let earlier = Timestamp::from_second(1_700_000_000).unwrap();
        assert!(ids.execution(earlier) > made[999], "the clock was set back");
    }

    #[test]
    fn an_id_says_its_version_and_when_it_was_made() {
        let now = Timestamp::from_second(1_800_000_000).unwrap();
        let id: Uuid = Ids::default().execution(now).to_string().parse().unwrap();
        assert_eq!(id.get_version_num(), 7);
        assert_eq!(id.get_timestamp().unwrap().to_unix(), (1_800_000_000, 0));
    }
}
