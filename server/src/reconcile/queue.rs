//! Which executions to look at, and when.
//!
//! An execution is in the queue once, however often it is put there, and is worked on by one turn at
//! a time. What is put in while a turn runs is looked at again after it.

use std::{
    collections::{BTreeSet, HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::{sync::Notify, time::Instant};
use wfe_core::ids::ExecutionId;

use crate::clock::Clock;

const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(5);

/// Which executions to look at, and when.
#[derive(Debug)]
pub struct Queue {
    state: Mutex<State>,
    changed: Notify,
    clock: Arc<dyn Clock>,
    /// Spreads retries.
    random: Mutex<StdRng>,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<ExecutionId>,
    queued: HashSet<ExecutionId>,
    working: HashSet<ExecutionId>,
    again: HashSet<ExecutionId>,
    timers: Timers,
    failures: HashMap<ExecutionId, u32>,
}

/// When to look at an execution again by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wake {
    /// After a while, however the clock is set.
    After(Instant),
    /// When the clock shows this time.
    At(Timestamp),
}

/// One timer for each execution at most.
#[derive(Debug, Default)]
struct Timers {
    of: HashMap<ExecutionId, Wake>,
    after: BTreeSet<(Instant, ExecutionId)>,
    at: BTreeSet<(Timestamp, ExecutionId)>,
}

impl Queue {
    /// Without anything to look at. Times that something waits for are times of `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::seeded(clock, rand::random())
    }

    /// The same, with retries that are spread as `seed` says.
    pub(crate) fn seeded(clock: Arc<dyn Clock>, seed: u64) -> Self {
        let random = Mutex::new(StdRng::seed_from_u64(seed));
        Self { state: Mutex::default(), changed: Notify::new(), clock, random }
    }

    /// Looks at an execution soon.
    pub fn enqueue(&self, id: ExecutionId) {
        let mut state = self.lock();
        state.timers.remove(&id);
        state.push(id);
        drop(state);
        self.changed.notify_one();
    }

    /// Looks at an execution soon, unless it is being looked at, or will be in a while.
    pub(super) fn remind(&self, id: ExecutionId) {
        let mut state = self.lock();
        let soon = matches!(state.timers.of.get(&id), Some(Wake::After(_)));
        if soon || state.working.contains(&id) {
            return;
        }
        state.timers.remove(&id);
        state.push(id);
        drop(state);
        self.changed.notify_one();
    }

    /// How many wait to be looked at now.
    pub fn depth(&self) -> usize {
        self.lock().ready.len()
    }

    /// The next execution to look at.
    pub(super) async fn next(self: &Arc<Self>) -> Ticket {
        loop {
            let (id, after, at) = self.lock().pop(Instant::now(), self.clock.now());
            if let Some(id) = id {
                return Ticket { id, queue: Arc::clone(self), open: true };
            }
            let sleep = async {
                match after {
                    Some(after) => tokio::time::sleep_until(after).await,
                    None => std::future::pending().await,
                }
            };
            let reaches = async {
                match at {
                    Some(at) => self.clock.reaches(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = self.changed.notified() => {}
                () = sleep => {}
                () = reaches => {}
            }
        }
    }

    fn done(&self, id: ExecutionId, wake: Option<Wake>) {
        let mut state = self.lock();
        state.failures.remove(&id);
        state.finish(id, wake);
        drop(state);
        self.changed.notify_one();
    }

    fn failed(&self, id: ExecutionId, at_least: Option<Duration>) {
        let mut state = self.lock();
        let failures = state.failures.entry(id).or_default();
        let wait = FIRST_RETRY.saturating_mul(2_u32.saturating_pow(*failures)).min(LAST_RETRY);
        *failures = failures.saturating_add(1);
        // Spread, so that many do not come back at once.
        let spread =
            self.random.lock().unwrap_or_else(PoisonError::into_inner).random_range(0.5..=1.0);
        let wait = wait.mul_f64(spread).max(at_least.unwrap_or_default());
        // A failure is not cut short by news of the same execution, or trouble would be answered
        // with a storm.
        state.again.remove(&id);
        state.finish(id, Some(Wake::After(Instant::now() + wait)));
        drop(state);
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to work on one execution. Dropped without a word, as when a turn panics, it counts as
/// failed, so that no execution is ever forgotten.
#[derive(Debug)]
pub(super) struct Ticket {
    id: ExecutionId,
    queue: Arc<Queue>,
    open: bool,
}

impl Ticket {
    /// The execution to look at.
    pub(super) const fn id(&self) -> ExecutionId {
        self.id
    }

    /// The turn ended well; look again at `wake`, or when something changes.
    pub(super) fn done(mut self, wake: Option<Wake>) {
        self.open = false;
        self.queue.done(self.id, wake);
    }

    /// The turn did not work; look again after a time that grows with each failure in a row, and not
    /// before `at_least`.
    pub(super) fn failed(mut self, at_least: Option<Duration>) {
        self.open = false;
        self.queue.failed(self.id, at_least);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.open {
            self.queue.failed(self.id, None);
        }
    }
}

impl State {
    fn push(&mut self, id: ExecutionId) {
        if self.working.contains(&id) {
            self.again.insert(id);
        } else if self.queued.insert(id) {
            self.ready.push_back(id);
        }
    }

    /// The next execution, or when there will be one by itself: after a while, or at a time.
    fn pop(
        &mut self,
        instant: Instant,
        now: Timestamp,
    ) -> (Option<ExecutionId>, Option<Instant>, Option<Timestamp>) {
        while let Some(id) = self.timers.take_due(instant, now) {
            self.push(id);
        }
        let id = self.ready.pop_front();
        if let Some(id) = id {
            self.queued.remove(&id);
            self.working.insert(id);
        }
        let after = self.timers.after.first().map(|(after, _)| *after);
        let at = self.timers.at.first().map(|(at, _)| *at);
        (id, after, at)
    }

    fn finish(&mut self, id: ExecutionId, wake: Option<Wake>) {
        self.working.remove(&id);
        if self.again.remove(&id) {
            self.push(id);
        } else if let Some(wake) = wake {
            self.timers.set(id, wake);
        }
    }
}

impl Timers {
    fn set(&mut self, id: ExecutionId, wake: Wake) {
        self.remove(&id);
        self.of.insert(id, wake);
        match wake {
            Wake::After(after) => self.after.insert((after, id)),
            Wake::At(at) => self.at.insert((at, id)),
        };
    }

    fn remove(&mut self, id: &ExecutionId) {
        match self.of.remove(id) {
            Some(Wake::After(after)) => self.after.remove(&(after, *id)),
            Some(Wake::At(at)) => self.at.remove(&(at, *id)),
            None => false,
        };
    }

    fn take_due(&mut self, instant: Instant, now: Timestamp) -> Option<ExecutionId> {
        let after = self.after.first().filter(|(after, _)| *after <= instant).map(|(_, id)| *id);
        let due = after.or(self.at.first().filter(|(at, _)| *at <= now).map(|(_, id)| *id))?;
        self.remove(&due);
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    use crate::clock::ManualClock;

    fn mk_queue() -> Arc<Queue> {
        Arc::new(Queue::new(Arc::new(mk_clock())))
    }

    fn mk_clock() -> ManualClock {
        ManualClock::new(Timestamp::from_second(1_800_000_000).unwrap())
    }

    fn id(n: u128) -> ExecutionId {
        ExecutionId::new(Uuid::from_u128(n))
    }

    #[tokio::test(start_paused = true)]
    async fn an_execution_is_queued_once_and_in_order() {
        let queue = mk_queue();
        for n in [1, 2, 1, 1] {
            queue.enqueue(id(n));
        }
        let (first, second) = (queue.next().await, queue.next().await);
        assert_eq!((first.id(), second.id()), (id(1), id(2)));
        assert_eq!(queue.depth(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_happens_during_a_turn_is_looked_at_after_it() {
        let queue = mk_queue();
        queue.enqueue(id(1));
        let ticket = queue.next().await;
        queue.enqueue(id(1));
        assert_eq!(queue.depth(), 0, "one turn at a time");
        ticket.done(None);
        assert_eq!(queue.next().await.id(), id(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_wakes_and_news_come_before_it() {
        let queue = mk_queue();
        let begin = Instant::now();
        queue.enqueue(id(1));
        queue.next().await.done(Some(Wake::After(Instant::now() + Duration::from_secs(7))));
        let ticket = queue.next().await;
        assert_eq!((ticket.id(), begin.elapsed().as_secs()), (id(1), 7));
        ticket.done(Some(Wake::After(Instant::now() + Duration::from_secs(7))));
        queue.enqueue(id(1));
        let _ticket = queue.next().await;
        assert_eq!(begin.elapsed().as_secs(), 7);
        assert!(queue.lock().timers.of.is_empty(), "the news replaced the timer");
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_time_is_woken_when_the_clock_shows_it_however_it_got_there() {
        let clock = mk_clock();
        let queue = Arc::new(Queue::new(Arc::new(clock.clone())));
        let (begin, hour) = (clock.now(), Duration::from_hours(1));
        for (n, wait) in [(1, hour * 2), (2, hour)] {
            queue.enqueue(id(n));
            queue.next().await.done(Some(Wake::At(begin + wait)));
        }
        let mut next = std::pin::pin!(queue.next());
        clock.advance(Duration::from_micros(3_599_999_999));
        assert!(futures::poll!(&mut next).is_pending(), "not by a microsecond too early");
        clock.set(begin - hour);
        assert!(futures::poll!(&mut next).is_pending(), "set back, it takes longer");
        clock.set(begin + hour);
        let ticket = next.await;
        assert_eq!(ticket.id(), id(2));
        clock.advance(hour);
        assert_eq!(queue.next().await.id(), id(1));
    }

    #[tokio::test(start_paused = true)]
    async fn failures_wait_longer_each_time_up_to_a_bound_and_success_resets() {
        let queue = mk_queue();
        queue.enqueue(id(1));
        let mut waits = Vec::new();
        for _ in 0..12 {
            let ticket = queue.next().await;
            let begin = Instant::now();
            ticket.failed(None);
            let ticket = queue.next().await;
            waits.push(begin.elapsed());
            ticket.failed(None);
        }
        assert!(waits[0] <= FIRST_RETRY + Duration::from_millis(2), "{waits:?}");
        assert!(*waits.last().unwrap() >= LAST_RETRY / 2, "{waits:?}");
        assert!(
            waits.iter().all(|wait| *wait <= LAST_RETRY + Duration::from_millis(2)),
            "{waits:?}"
        );
        queue.next().await.done(None);
        assert!(queue.lock().failures.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_reminder_does_not_wait_for_a_time_of_the_clock_and_does_not_cut_a_retry_short() {
        let clock = mk_clock();
        let queue = Arc::new(Queue::new(Arc::new(clock.clone())));
        for n in [1, 2, 3] {
            queue.enqueue(id(n));
        }
        let far = clock.now() + Duration::from_hours(1);
        queue.next().await.done(Some(Wake::At(far)));
        queue.next().await.failed(None);
        let working = queue.next().await;
        for n in [1, 2, 3, 4] {
            queue.remind(id(n));
        }
        assert_eq!(queue.depth(), 2);
        working.done(None);
        let (first, second) = (queue.next().await, queue.next().await);
        assert_eq!((first.id(), second.id()), (id(1), id(4)));
        let retried = queue.next().await;
        assert_eq!(retried.id(), id(2));
    }

    #[tokio::test(start_paused = true)]
    async fn the_api_servers_wish_to_be_left_alone_is_honoured() {
        let queue = mk_queue();
        queue.enqueue(id(1));
        let ticket = queue.next().await;
        let begin = Instant::now();
        ticket.failed(Some(Duration::from_secs(9)));
        let _ticket = queue.next().await;
        assert!(begin.elapsed() >= Duration::from_secs(9));
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_that_ends_without_a_word_is_taken_again() {
        let queue = mk_queue();
        queue.enqueue(id(1));
        drop(queue.next().await);
        assert_eq!(queue.next().await.id(), id(1));
    }
}
