//! Time and identities: the only places where the process asks the machine for them.

use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;
use uuid::{ContextV7, Timestamp as UuidTimestamp, Uuid};
use wfe_core::ids::ExecutionId;
pub use wfe_runtime::clock::{Clock, ManualClock, SystemClock};

/// Makes execution ids: ordered by time, and within one process also when the clock stands still.
#[derive(Debug, Default)]
pub struct Ids(Mutex<ContextV7>);

impl Ids {
    /// The id of an execution accepted at `now`.
    pub fn execution(&self, now: Timestamp) -> ExecutionId {
        let context = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = u64::try_from(now.as_second()).unwrap_or(0);
        let nanos = u32::try_from(now.subsec_nanosecond()).unwrap_or(0);
        ExecutionId::new(Uuid::new_v7(UuidTimestamp::from_unix(&*context, seconds, nanos)))
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
    }
}
