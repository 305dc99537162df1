//! The clocks of machines.

use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

use crate::clock::Clock;

/// A clock that goes with the simulated time, and can be set.
#[derive(Debug)]
pub(super) struct SetClock {
    begin: Instant,
    shift: watch::Sender<SignedDuration>,
}

impl SetClock {
    pub(super) fn new(shift: SignedDuration) -> Self {
        Self { begin: Instant::now(), shift: watch::Sender::new(shift) }
    }

    /// Sets the clock forwards or backwards.
    pub(super) fn shift(&self, by: SignedDuration) {
        self.shift.send_modify(|shift| *shift += by);
    }
}

#[async_trait]
impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        let begin = Timestamp::from_second(1_800_000_000).unwrap();
        let now = begin + self.begin.elapsed() + *self.shift.borrow();
        Timestamp::from_microsecond(now.as_microsecond()).unwrap()
    }

    async fn reaches(&self, time: Timestamp) {
        let mut shift = self.shift.subscribe();
        loop {
            let left = Duration::try_from(time.duration_since(self.now()));
            let Ok(left) = left else { return };
            if left.is_zero() {
                return;
            }
            tokio::select! {
                biased;
                _ = shift.changed() => {}
                () = sleep(left) => {}
            }
        }
    }
}
