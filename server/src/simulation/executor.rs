//! Runs tasks one poll at a time, in an order that a seed decides.
//!
//! Nothing else runs them: no threads, and of tokio only its paused timers. So whatever happens
//! between two polls of a task happens in between two of its steps.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use futures::{future::BoxFuture, task::AtomicWaker};

use super::dice::Dice;

/// Who a task belongs to, and ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Owner {
    /// A life of a process: a replica, and how often it was started before.
    Process(usize, u32),
    /// A call that a process answers, and that its caller may give up.
    Call(usize, u32),
    /// Somebody outside, who has something to do and ends.
    Outside,
    /// Somebody outside, who is there as long as he is needed.
    Attendant,
}

impl Owner {
    /// Whether it ends with that life of a process.
    fn of(self, replica: usize, life: u32) -> bool {
        self == Self::Process(replica, life) || self == Self::Call(replica, life)
    }
}

/// Takes tasks from anywhere.
#[derive(Default)]
pub(super) struct Spawner(Mutex<Vec<(Owner, String, BoxFuture<'static, ()>)>>);

impl Spawner {
    /// Adds a task.
    pub(super) fn spawn(
        &self,
        owner: Owner,
        name: impl Into<String>,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let task = (owner, name.into(), Box::pin(task) as BoxFuture<'static, ()>);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(task);
    }
}

/// The tasks.
pub(super) struct Executor {
    spawner: Arc<Spawner>,
    tasks: BTreeMap<u64, Task>,
    next: u64,
    /// Steps taken.
    pub(super) steps: u64,
    anything: Arc<AtomicWaker>,
}

struct Task {
    owner: Owner,
    name: String,
    future: BoxFuture<'static, ()>,
    ready: Arc<Ready>,
    waker: Waker,
    /// It gets no turn before this step.
    stalled_until: u64,
}

struct Ready {
    flag: AtomicBool,
    anything: Arc<AtomicWaker>,
}

impl Wake for Ready {
    fn wake(self: Arc<Self>) {
        self.flag.store(true, Ordering::Relaxed);
        self.anything.wake();
    }
}

impl Executor {
    pub(super) fn new(spawner: Arc<Spawner>) -> Self {
        Self { spawner, tasks: BTreeMap::new(), next: 0, steps: 0, anything: Arc::default() }
    }

    fn absorb(&mut self) {
        let new =
            std::mem::take(&mut *self.spawner.0.lock().unwrap_or_else(PoisonError::into_inner));
        for (owner, name, future) in new {
            let anything = Arc::clone(&self.anything);
            let ready = Arc::new(Ready { flag: AtomicBool::new(true), anything });
            let waker = Waker::from(Arc::clone(&ready));
            let task = Task { owner, name, future, ready, waker, stalled_until: 0 };
            self.tasks.insert(self.next, task);
            self.next += 1;
        }
    }

    /// Lets one task that can go on take one step. Answers its name, or `None` when none can.
    pub(super) fn step(&mut self, dice: &Dice) -> Option<String> {
        self.absorb();
        let steps = self.steps;
        let ready: Vec<u64> = self
            .tasks
            .iter()
            .filter(|(_, task)| {
                task.stalled_until <= steps && task.ready.flag.load(Ordering::Relaxed)
            })
            .map(|(id, _)| *id)
            .collect();
        let id = *ready.get(dice.below(ready.len())?)?;
        let task = self.tasks.get_mut(&id)?;
        task.ready.flag.store(false, Ordering::Relaxed);
        self.steps += 1;
        let done = task.future.as_mut().poll(&mut Context::from_waker(&task.waker));
        let name = task.name.clone();
        if done.is_ready() {
            self.tasks.remove(&id);
        }
        self.absorb();
        Some(name)
    }

    /// Waits until a task can go on; time passes meanwhile, at most `limit`.
    pub(super) async fn idle(&mut self, limit: Duration) {
        self.absorb();
        let steps = self.steps;
        let woken = poll_fn(|context| {
            self.anything.register(context.waker());
            let ready = |task: &Task| {
                task.stalled_until <= steps && task.ready.flag.load(Ordering::Relaxed)
            };
            if self.tasks.values().any(ready) { Poll::Ready(()) } else { Poll::Pending }
        });
        drop(tokio::time::timeout(limit, woken).await);
    }

    /// Keeps some task from going on for a number of steps, as a long pause of its process would.
    pub(super) fn stall(&mut self, dice: &Dice, steps: u64) -> Option<String> {
        let tasks: Vec<&mut Task> = self.tasks.values_mut().collect();
        let chosen = dice.below(tasks.len())?;
        let task = tasks.into_iter().nth(chosen)?;
        task.stalled_until = self.steps + steps;
        Some(task.name.clone())
    }

    /// Lets every task go on.
    pub(super) fn release(&mut self) {
        self.tasks.values_mut().for_each(|task| task.stalled_until = 0);
    }

    /// Ends some call under way, as when its caller goes away.
    pub(super) fn drop_call(&mut self, dice: &Dice) -> Option<String> {
        let calls: Vec<u64> = self
            .tasks
            .iter()
            .filter(|(_, task)| matches!(task.owner, Owner::Call(..)))
            .map(|(id, _)| *id)
            .collect();
        let id = calls.get(dice.below(calls.len())?)?;
        self.tasks.remove(id).map(|task| task.name)
    }

    /// Ends every task of a process at once.
    pub(super) fn kill(&mut self, replica: usize, life: u32) {
        self.absorb();
        self.tasks.retain(|_, task| !task.owner.of(replica, life));
    }

    /// Names of the tasks of somebody outside that have not ended.
    pub(super) fn outside(&mut self) -> impl Iterator<Item = &str> {
        self.absorb();
        let outside = self.tasks.values().filter(|task| task.owner == Owner::Outside);
        outside.map(|task| task.name.as_str())
    }
}
