//! Which executions to look at, and when.
//!
//! An execution is in the queue once, however often it is put there, and is worked on by one turn at
//! a time. What is put in while a turn runs is looked at again after it.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};
use wfe_core::ids::ExecutionId;

const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(5);

/// Wakes at a time of the wall clock cannot be trusted to a monotonic timer for long, because the
/// wall clock may be set; so the question is asked again at least this often.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// Which executions to look at, and when.
#[derive(Debug, Default)]
pub struct Queue {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<ExecutionId>,
    queued: HashSet<ExecutionId>,
    working: HashSet<ExecutionId>,
    again: HashSet<ExecutionId>,
    timers: HashMap<ExecutionId, Instant>,
    failures: HashMap<ExecutionId, u32>,
}

impl Queue {
    /// Looks at an execution soon.
    pub fn enqueue(&self, id: ExecutionId) {
        let mut state = self.lock();
        state.timers.remove(&id);
        state.push(id);
        drop(state);
        self.changed.notify_one();
    }

    /// How many wait to be looked at now.
    pub fn depth(&self) -> usize {
        self.lock().ready.len()
    }

    /// The next execution to look at. Must be followed by [`Queue::done`] or [`Queue::failed`].
    pub async fn next(&self) -> ExecutionId {
        loop {
            let (id, wake) = self.lock().pop(Instant::now());
            if let Some(id) = id {
                return id;
            }
            let sleep = async {
                match wake {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.changed.notified() => {}
                () = sleep => {}
            }
        }
    }

    /// A turn ended well; look again after `wait`, or when something changes.
    pub(super) fn done(&self, id: ExecutionId, wait: Option<Duration>) {
        let mut state = self.lock();
        state.failures.remove(&id);
        state.finish(id, wait.map(|wait| Instant::now() + wait.min(LONGEST_SLEEP)));
        drop(state);
        self.changed.notify_one();
    }

    /// A turn did not work; look again after a time that grows with each failure in a row. Half of
    /// it is spread by the id, so that many do not come back at once.
    pub(super) fn failed(&self, id: ExecutionId, at_least: Option<Duration>) {
        let mut state = self.lock();
        let failures = state.failures.entry(id).or_default();
        let wait = FIRST_RETRY.saturating_mul(2_u32.saturating_pow(*failures)).min(LAST_RETRY);
        *failures = failures.saturating_add(1);
        let spread = rand::random_range(0.5..=1.0);
        let wait = wait.mul_f64(spread).max(at_least.unwrap_or_default());
        // A failure is not cut short by news of the same execution, or trouble would be answered
        // with a storm.
        state.again.remove(&id);
        state.finish(id, Some(Instant::now() + wait));
        drop(state);
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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

    fn pop(&mut self, now: Instant) -> (Option<ExecutionId>, Option<Instant>) {
        let due: Vec<ExecutionId> =
            self.timers.iter().filter(|(_, at)| **at <= now).map(|(id, _)| *id).collect();
        for id in due {
            self.timers.remove(&id);
            self.push(id);
        }
        let id = self.ready.pop_front();
        if let Some(id) = id {
            self.queued.remove(&id);
            self.working.insert(id);
        }
        (id, self.timers.values().min().copied())
    }

    fn finish(&mut self, id: ExecutionId, wake: Option<Instant>) {
        self.working.remove(&id);
        if self.again.remove(&id) {
            self.push(id);
        } else if let Some(at) = wake {
            self.timers.insert(id, at);
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn id(n: u128) -> ExecutionId {
        ExecutionId::new(Uuid::from_u128(n))
    }

    #[tokio::test(start_paused = true)]
    async fn an_execution_is_queued_once_and_in_order() {
        let queue = Queue::default();
        for n in [1, 2, 1, 1] {
            queue.enqueue(id(n));
        }
        assert_eq!((queue.next().await, queue.next().await), (id(1), id(2)));
        assert_eq!(queue.depth(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_happens_during_a_turn_is_looked_at_after_it() {
        let queue = Queue::default();
        queue.enqueue(id(1));
        assert_eq!(queue.next().await, id(1));
        queue.enqueue(id(1));
        assert_eq!(queue.depth(), 0, "one turn at a time");
        queue.done(id(1), None);
        assert_eq!(queue.next().await, id(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_wakes_and_news_come_before_it() {
        let queue = Queue::default();
        let begin = Instant::now();
        queue.enqueue(id(1));
        queue.next().await;
        queue.done(id(1), Some(Duration::from_secs(7)));
        assert_eq!(queue.next().await, id(1));
        assert_eq!(begin.elapsed().as_secs(), 7);
        queue.done(id(1), Some(Duration::from_secs(7)));
        queue.enqueue(id(1));
        queue.next().await;
        assert_eq!(begin.elapsed().as_secs(), 7);
        assert!(queue.lock().timers.is_empty(), "the news replaced the timer");
    }

    #[tokio::test(start_paused = true)]
    async fn failures_wait_longer_each_time_up_to_a_bound_and_success_resets() {
        let queue = Queue::default();
        queue.enqueue(id(1));
        let mut waits = Vec::new();
        for _ in 0..12 {
            queue.next().await;
            let begin = Instant::now();
            queue.failed(id(1), None);
            queue.next().await;
            waits.push(begin.elapsed());
            queue.failed(id(1), None);
        }
        assert!(waits[0] <= FIRST_RETRY + Duration::from_millis(2), "{waits:?}");
        assert!(*waits.last().unwrap() >= LAST_RETRY / 2, "{waits:?}");
        assert!(
            waits.iter().all(|wait| *wait <= LAST_RETRY + Duration::from_millis(2)),
            "{waits:?}"
        );
        queue.next().await;
        queue.done(id(1), None);
        assert!(queue.lock().failures.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn the_api_servers_wish_to_be_left_alone_is_honoured() {
        let queue = Queue::default();
        queue.enqueue(id(1));
        queue.next().await;
        let begin = Instant::now();
        queue.failed(id(1), Some(Duration::from_secs(9)));
        queue.next().await;
        assert!(begin.elapsed() >= Duration::from_secs(9));
    }
}
