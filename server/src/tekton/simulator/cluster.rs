//! The cluster that connections look at, and the switches by which tests trouble it.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};
use wfe_core::{execution::CancelMode, failure::FailureReason};

use super::{
    super::RunSnapshot,
    graph::Pace,
    lock, snapshot,
    world::{Cascade, Moment, Rules, World},
};
use crate::clock::Clock;

/// How a simulated cluster behaves.
#[derive(Debug, Clone)]
pub struct SimulatorConfig {
    /// Namespace of the runs, as it appears in messages.
    pub namespace: String,
    /// From the creation of a TaskRun to its end. What a controller needs to notice something is a
    /// twentieth of it.
    pub task_time: Duration,
    /// A run that is cancelled sooner than this after its creation leaves a TaskRun behind that lives
    /// until it is stopped itself, as it happens with Tekton. Zero: never.
    pub orphan_window: Duration,
}

impl Default for SimulatorConfig {
    fn default() -> Self {
        Self {
            namespace: "kubernaut-workflows".to_owned(),
            task_time: Duration::from_millis(400),
            orphan_window: Duration::ZERO,
        }
    }
}

/// A cluster that exists in this process only.
#[derive(Debug)]
pub struct SimulatedCluster {
    clock: Arc<dyn Clock>,
    world: Mutex<World>,
    faults: Mutex<Faults>,
    /// Counts what happened, to wake the watches.
    news: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Faults {
    creates: VecDeque<CreateFault>,
    away_since: Option<Instant>,
    logs: LogAnswer,
}

/// What comes when a log is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum LogAnswer {
    /// What the step wrote.
    #[default]
    AsWritten,
    /// These bytes.
    Bytes(Vec<u8>),
    /// That the caller may not read logs.
    Forbidden,
    /// Nothing, ever: the node does not answer.
    Never,
}

/// What goes wrong with a create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CreateFault {
    /// It may work later.
    Later {
        /// See [`crate::tekton::CreateError::Later`].
        message: String,
        /// See [`crate::tekton::CreateError::Later`].
        retry_after: Option<Duration>,
    },
    /// It is refused for good.
    Refused {
        /// See [`crate::tekton::CreateError::Refused`].
        reason: FailureReason,
        /// See [`crate::tekton::CreateError::Refused`].
        raw_reason: String,
        /// See [`crate::tekton::CreateError::Refused`].
        message: String,
    },
    /// The answer is lost: the caller is told to try later, and the create takes effect after this
    /// time, unless the name is taken by then.
    AnswerLost {
        /// From the call to its effect.
        arrives_after: Duration,
    },
}

impl SimulatedCluster {
    /// An empty cluster. Objects take their times from `clock`; what happens next is timed by tokio.
    pub fn new(config: SimulatorConfig, clock: Arc<dyn Clock>) -> Arc<Self> {
        let rules = Rules {
            namespace: config.namespace,
            pace: Pace { task: config.task_time },
            orphan_window: config.orphan_window,
        };
        Arc::new(Self {
            clock,
            world: Mutex::new(World::new(rules)),
            faults: Mutex::default(),
            news: watch::Sender::new(0),
        })
    }

    /// Lets the next creates go wrong, `count` of them in the same way, after those that were asked
    /// for before.
    pub fn fail_next_creates(&self, count: usize, fault: &CreateFault) {
        let faults = std::iter::repeat_n(fault.clone(), count);
        lock(&self.faults).creates.extend(faults);
    }

    /// Answers like this from now on when a log is asked for.
    pub fn answer_logs_with(&self, answer: LogAnswer) {
        lock(&self.faults).logs = answer;
    }

    /// Takes the API server away: calls fail and watches hear nothing. What runs goes on.
    pub fn take_api_server_away(&self) {
        lock(&self.faults).away_since.get_or_insert_with(Instant::now);
        self.tell();
    }

    /// Brings the API server back. Watches list anew, as after an outage that was too long to resume.
    pub fn bring_api_server_back(&self) {
        self.world().compact();
        lock(&self.faults).away_since = None;
        self.tell();
    }

    /// Lets every watch begin anew.
    pub fn expire_watches(&self) {
        self.world().compact();
        self.tell();
    }

    /// From now on, a run that is cancelled sooner than this after its creation leaves a TaskRun.
    pub fn set_orphan_window(&self, window: Duration) {
        self.world().rules_mut().orphan_window = window;
    }

    /// Deletes a run as somebody with kubectl would. Answers whether there was one.
    pub fn delete_from_outside(&self, name: &str) -> bool {
        let deleted = self.world().delete(name, None, Cascade::Background);
        self.tell();
        deleted
    }

    /// Deletes a run and leaves its TaskRuns alone, as `kubectl delete --cascade=orphan` does. Answers
    /// whether there was one.
    pub fn delete_only_the_run_from_outside(&self, name: &str) -> bool {
        let deleted = self.world().delete(name, None, Cascade::Orphan);
        self.tell();
        deleted
    }

    /// Deletes the pod of a TaskRun, as somebody with kubectl would. Answers whether there was one.
    pub fn delete_pod_from_outside(&self, task_run: &str) -> bool {
        let now = self.now();
        let deleted = self.world().delete_pod_of(task_run, now);
        self.tell();
        deleted
    }

    /// Deletes a TaskRun, as somebody with kubectl would. Answers whether there was one.
    pub fn delete_named_task_run_from_outside(&self, task_run: &str) -> bool {
        let now = self.now();
        let deleted = self.world().delete_task_run(task_run, now);
        self.tell();
        deleted
    }

    /// Deletes the TaskRun of a run that goes on, as somebody with kubectl would. Answers whether there
    /// was one.
    pub fn delete_task_run_from_outside(&self, run: &str) -> bool {
        let now = self.now();
        let mut world = self.world();
        let task_runs = world.run(run).map_or(&[][..], |run| &run.task_runs);
        let live = task_runs.iter().rfind(|task_run| task_run.facts.is_live());
        let live = live.map(|task_run| task_run.facts.name.clone());
        let deleted = live.is_some_and(|name| world.delete_task_run(&name, now));
        drop(world);
        self.tell();
        deleted
    }

    /// Cancels a run as somebody with kubectl would. Answers whether there was one.
    pub fn cancel_from_outside(&self, name: &str) -> bool {
        let now = self.now();
        let mut world = self.world();
        let uid = world.run(name).map(|run| run.facts.uid.clone());
        if let Some(uid) = &uid {
            world.cancel(name, uid, CancelMode::Immediate, now);
        }
        drop(world);
        self.tell();
        uid.is_some()
    }

    /// The runs that are gone and left TaskRuns, as they were when they were deleted, with what they left.
    pub fn left_alone(&self) -> Vec<RunSnapshot> {
        self.world().left_alone().map(snapshot).collect()
    }

    /// How many creates are still under way whose [answers were lost](CreateFault::AnswerLost).
    pub fn creates_under_way(&self) -> usize {
        self.world().creates_under_way()
    }

    /// Every run that exists now, past all watches.
    pub fn runs(&self) -> Vec<RunSnapshot> {
        self.world().runs().map(snapshot).collect()
    }

    /// The version of the newest change, to tell cheaply whether there was one.
    #[cfg(test)]
    pub(crate) fn version(&self) -> wfe_runtime::cluster::Version {
        self.world().version()
    }

    pub(super) fn now(&self) -> Moment {
        Moment { instant: Instant::now(), time: self.clock.now() }
    }

    /// The cluster as it is now.
    pub(super) fn world(&self) -> MutexGuard<'_, World> {
        let now = self.now();
        let mut world = lock(&self.world);
        world.advance(now);
        world
    }

    pub(super) fn tell(&self) {
        self.news.send_modify(|count| *count += 1);
    }

    pub(super) fn away_since(&self) -> Option<Instant> {
        lock(&self.faults).away_since
    }

    pub(super) fn log_answer(&self) -> LogAnswer {
        lock(&self.faults).logs.clone()
    }

    /// What is to go wrong with the next create.
    pub(super) fn next_fault(&self) -> Option<CreateFault> {
        lock(&self.faults).creates.pop_front()
    }

    /// Hears when something was done to the cluster. What it does by itself has to be waited for.
    pub(super) fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }
}
