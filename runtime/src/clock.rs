//! Time: the only place where a process asks the machine for it.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::watch;

/// A clock of the machine that is set while somebody waits for a time of it is noticed within this
/// time.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);

/// Tells the time.
#[async_trait]
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The time now, in whole microseconds, which is what stores keep.
    fn now(&self) -> Timestamp;

    /// Waits until this clock shows `time`, never less, also when it is set meanwhile.
    async fn reaches(&self, time: Timestamp);
}

/// The clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is where the time comes from")]
    fn now(&self) -> Timestamp {
        whole_microseconds(Timestamp::now())
    }

    async fn reaches(&self, time: Timestamp) {
        // Timers count on a clock of their own, which is not set with this one.
        loop {
            let left = time.duration_since(self.now());
            match Duration::try_from(left) {
                Ok(left) if !left.is_zero() => tokio::time::sleep(left.min(LONGEST_SLEEP)).await,
                Ok(_) | Err(_) => return,
            }
        }
    }
}

/// A clock that stands until it is set, for tests.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<watch::Sender<Timestamp>>);

impl ManualClock {
    /// A clock that stands at `now`.
    pub fn new(now: Timestamp) -> Self {
        Self(Arc::new(watch::Sender::new(whole_microseconds(now))))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        self.0.send_modify(|now| {
            *now = whole_microseconds(now.saturating_add(by).unwrap_or(Timestamp::MAX));
        });
    }

    /// Sets the clock, forward or back.
    pub fn set(&self, to: Timestamp) {
        self.0.send_replace(whole_microseconds(to));
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.borrow()
    }

    async fn reaches(&self, time: Timestamp) {
        // The sender lives as long as `self`, so there is always an answer.
        let _ = self.0.subscribe().wait_for(|now| *now >= time).await;
    }
}

fn whole_microseconds(time: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let start = Timestamp::from_second(1_800_000_000).unwrap();
        let clock = ManualClock::new(start);
        assert_eq!(clock.now(), start);
        clock.advance(Duration::from_millis(1500));
        assert_eq!(clock.now().as_millisecond() - start.as_millisecond(), 1500);
    }

    #[tokio::test]
    async fn who_waits_for_a_time_is_woken_when_the_clock_is_set_to_it_and_not_before() {
        let start = Timestamp::from_second(1_800_000_000).unwrap();
        let clock = ManualClock::new(start);
        let target = start + Duration::from_millis(10);
        let mut waiting = std::pin::pin!(clock.reaches(target));
        clock.advance(Duration::from_micros(9_999));
        assert!(futures::poll!(&mut waiting).is_pending());
        clock.set(start);
        assert!(futures::poll!(&mut waiting).is_pending());
        clock.set(target);
        assert!(futures::poll!(&mut waiting).is_ready());
    }

    #[tokio::test]
    async fn the_clock_of_the_machine_reaches_a_time_not_before_it_shows_it() {
        let target = SystemClock.now() + Duration::from_millis(3);
        SystemClock.reaches(target).await;
        assert!(SystemClock.now() >= target);
        SystemClock.reaches(target - Duration::from_hours(1)).await;
    }
}
