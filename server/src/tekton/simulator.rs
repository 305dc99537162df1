//! Tekton without a cluster: for `wfe dev`, and for tests.
//!
//! A [`SimulatedCluster`] holds the runs and plays what Tekton and a kubelet would do with them, on
//! tokio's clock. A [`Simulator`] is one connection to it, with watches of its own; several can look
//! at one cluster, as replicas do, and a new one sees what an earlier one left.
//!
//! A bundle's name chooses what its workflow does: the last segment of its repository, with hyphens
//! or underscores.
//!
//! | name                     | what happens                                        |
//! |--------------------------|-----------------------------------------------------|
//! | `succeeds`               | one task, which succeeds; so does any other name    |
//! | `three-tasks-in-order`   | tasks `a`, `b` and `c`, one after the other         |
//! | `step-exits-1`           | the step exits with 1                               |
//! | `oom-killed`             | the step is killed for lack of memory               |
//! | `image-cannot-be-pulled` | the step's image cannot be pulled                   |
//! | `never-ends`             | the step runs until it is stopped                   |
//! | `image-never-comes`      | the step's image is tried to be pulled for ever     |
//! | `no-node-has-room`       | no node takes the pod                               |
//! | `quota-has-no-room`      | no pod is made, since a quota is used up            |
//! | `finally-runs`           | tasks `a` and `b` in order, then finally `report`   |
//! | `finally-after-failure`  | `a` fails, `b` is skipped, `report` runs            |
//! | `finally-fails`          | `a` succeeds, then finally `report` fails           |
//! | `never-ends-and-finally` | `a` runs until it is stopped, before `b`; finally   |
//! |                          | `report`                                            |
//! | `finally-never-ends`     | the same without `b`, and `report` runs for ever    |
//! | `retry-succeeds`         | `a` fails once, and succeeds when tried again       |
//! | `retries-exhausted`      | `a` fails three times                               |
//! | `never-resolved`         | nobody says whether the bundle exists               |
//! | `missing`                | the bundle does not exist                           |
//! | `denied`                 | an admission policy refuses the run, and repeats    |
//! |                          | its parameters                                      |
//! | `wrong-parameters`       | Tekton does not take them, and repeats them         |
//!
//! Everything is in memory. What a process ran is gone after its end, so that an execution which an
//! earlier process left running ends as one whose run was deleted from outside.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use wfe_core::{
    execution::CancelMode,
    facts::{RunFacts, TaskRunFacts},
    failure::FailureReason,
};
use wfe_runtime::cluster::Version;

use super::{
    Birth, CreateError, RunChange, RunRequest, RunSnapshot, Seen, Tekton, TektonError, WatchHealth,
    cache::{Cache, Versioned},
    manifest,
};
use crate::clock::Clock;

mod cluster;
mod graph;
mod script;
mod words;
mod world;

pub use cluster::{CreateFault, SimulatedCluster, SimulatorConfig};

use script::Fate;
use world::{Object, Run};

/// One connection to a [`SimulatedCluster`].
pub struct Simulator {
    cluster: Arc<SimulatedCluster>,
    cache: Mutex<Cache>,
    made: Instant,
}

impl fmt::Debug for Simulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulator").finish_non_exhaustive()
    }
}

impl Simulator {
    /// A cluster of its own, with the default behaviour and this [`SimulatorConfig::task_time`].
    pub fn new(clock: Arc<dyn Clock>, task_time: Duration) -> Self {
        let config = SimulatorConfig { task_time, ..SimulatorConfig::default() };
        Self::connect(SimulatedCluster::new(config, clock))
    }

    /// A connection to a cluster, which knows nothing before its watches run.
    pub fn connect(cluster: Arc<SimulatedCluster>) -> Self {
        Self { cluster, cache: Mutex::default(), made: Instant::now() }
    }

    /// The cluster.
    pub const fn cluster(&self) -> &Arc<SimulatedCluster> {
        &self.cluster
    }

    fn reach(&self, operation: &'static str, name: &str) -> Result<(), TektonError> {
        match self.cluster.away_since() {
            None => Ok(()),
            Some(_) => {
                Err(TektonError { operation, name: name.to_owned(), source: Box::new(Away) })
            }
        }
    }

    /// Makes the cache what the cluster is.
    fn list(&self) -> News {
        let world = self.cluster.world();
        let (version, next_due) = (world.version(), world.next_due());
        let runs = world.runs().map(versioned_run).collect();
        let task_runs = world.runs().flat_map(|run| &run.task_runs);
        let task_runs = task_runs
            .map(|task| Versioned { facts: task.facts.clone(), version: task.version })
            .collect();
        drop(world);
        let mut cache = lock(&self.cache);
        let mut changed = cache.replace_runs(runs, version);
        cache.replace_task_runs(task_runs, version);
        changed.extend(cache.all());
        News { version, changed, next_due }
    }

    /// Brings the cache from `cursor` to now. `None` when that is not possible any more.
    fn follow(&self, cursor: Version) -> Option<News> {
        let world = self.cluster.world();
        let mut cache = lock(&self.cache);
        let mut changed = Vec::new();
        for (version, object) in world.changes_after(cursor).ok()? {
            // The log names what changed; what is under that name now may be another run.
            if let Object::Run(name) = object
                && let Some(run) = world.run(name)
            {
                changed.extend(cache.remove_other(name, &run.facts.uid, run.version));
            }
            changed.extend(match object {
                Object::Run(name) => match world.run(name) {
                    Some(run) => cache.apply_run(versioned_run(run)),
                    None => cache.remove_run(name, *version),
                },
                Object::TaskRun(name) => match world.task_run(name) {
                    Some(task) => cache.apply_task_run(Versioned {
                        facts: task.facts.clone(),
                        version: task.version,
                    }),
                    None => cache.remove_task_run(name, *version),
                },
            });
        }
        let version = world.version();
        cache.runs_are_known_to(version);
        cache.task_runs_are_known_to(version);
        Some(News { version, changed, next_due: world.next_due() })
    }
}

/// What a watch heard.
struct News {
    /// Up to where it has heard everything.
    version: Version,
    /// What has to be looked at again.
    changed: Vec<RunChange>,
    /// When there will be more.
    next_due: Option<Instant>,
}

#[async_trait]
impl Tekton for Simulator {
    async fn create(&self, run: &RunRequest) -> Result<RunFacts, CreateError> {
        if self.cluster.away_since().is_some() {
            return Err(CreateError::Later { message: Away.to_string(), retry_after: None });
        }
        let bundle = run.request.workflow.pinned_reference();
        if run.birth == Birth::Ready && Fate::of_bundle(&bundle) == Fate::Denied {
            return Err(CreateError::Refused {
                reason: FailureReason::Forbidden,
                raw_reason: "Forbidden".to_owned(),
                message: words::denied(&parameters_of(run)),
            });
        }
        let fault = self.cluster.next_fault();
        let now = self.cluster.now();
        let mut world = self.cluster.world();
        match fault {
            None => {}
            Some(CreateFault::Later { message, retry_after }) => {
                return Err(CreateError::Later { message, retry_after });
            }
            Some(CreateFault::Refused { reason, raw_reason, message }) => {
                return Err(CreateError::Refused { reason, raw_reason, message });
            }
            Some(CreateFault::AnswerLost { arrives_after }) => {
                world.create_later(run.clone(), now.instant + arrives_after);
                drop(world);
                self.cluster.tell();
                return Err(CreateError::Later {
                    message: "the API server's answer was lost".to_owned(),
                    retry_after: None,
                });
            }
        }
        let created = world.create(run, now).map(versioned_run);
        let Some(created) = created else {
            let name = run.run.name.as_str();
            let existing = world.run(name).map(|run| run.facts.clone());
            return Err(existing.map_or_else(
                || CreateError::Later {
                    message: format!("{name} is not there and cannot be created"),
                    retry_after: None,
                },
                |facts| CreateError::Exists(Box::new(facts)),
            ));
        };
        drop(world);
        lock(&self.cache).answered(created.clone());
        self.cluster.tell();
        Ok(created.facts)
    }

    async fn read(&self, name: &str) -> Result<Option<RunSnapshot>, TektonError> {
        self.reach("read PipelineRun", name)?;
        Ok(self.cluster.world().run(name).map(snapshot))
    }

    async fn cancel(&self, name: &str, uid: &str, mode: CancelMode) -> Result<(), TektonError> {
        self.reach("cancel PipelineRun", name)?;
        let now = self.cluster.now();
        self.cluster.world().cancel(name, uid, mode, now);
        self.cluster.tell();
        Ok(())
    }

    async fn cancel_task_run(&self, name: &str) -> Result<(), TektonError> {
        self.reach("cancel TaskRun", name)?;
        let now = self.cluster.now();
        self.cluster.world().cancel_task_run(name, now);
        self.cluster.tell();
        Ok(())
    }

    async fn stop_pods(&self, run: &str, _: &str) -> Result<(), TektonError> {
        // A simulated TaskRun knows its pod from the beginning.
        self.reach("stop pods of PipelineRun", run)
    }

    async fn delete(&self, name: &str, uid: &str) -> Result<(), TektonError> {
        self.reach("delete PipelineRun", name)?;
        self.cluster.world().delete(name, Some(uid));
        self.cluster.tell();
        Ok(())
    }

    fn seen(&self, name: &str) -> Seen {
        lock(&self.cache).seen(name)
    }

    fn runs_of_target(&self, target_hash: &str) -> Option<Vec<RunFacts>> {
        lock(&self.cache).runs_of_target(target_hash)
    }

    fn ended_runs(&self) -> Vec<RunFacts> {
        lock(&self.cache).ended_runs()
    }

    async fn watch(
        &self,
        changed: &(dyn Fn(RunChange) + Send + Sync),
        shutdown: CancellationToken,
    ) {
        let mut news = self.cluster.news();
        let mut cursor = None;
        loop {
            news.borrow_and_update();
            let mut next = None;
            if self.cluster.away_since().is_none() {
                let heard =
                    cursor.and_then(|cursor| self.follow(cursor)).unwrap_or_else(|| self.list());
                cursor = Some(heard.version);
                next = heard.next_due;
                heard.changed.into_iter().for_each(changed);
            }
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                _ = news.changed() => {}
                () = sleep_until(next.unwrap_or_else(far_away)) => {}
            }
        }
    }

    fn health(&self) -> WatchHealth {
        let synced = lock(&self.cache).is_synced();
        let unheard_since = match self.cluster.away_since() {
            Some(away) => Some(away.max(self.made)),
            None if synced => None,
            None => Some(self.made),
        };
        WatchHealth {
            synced,
            reachable: self.cluster.away_since().is_none(),
            age: unheard_since.map_or(Duration::ZERO, |since| since.elapsed()),
        }
    }
}

/// The simulated API server is away.
#[derive(Debug, thiserror::Error)]
#[error("the simulated API server is away")]
struct Away;

/// Later than anything that waits.
fn far_away() -> Instant {
    Instant::now() + Duration::from_hours(24)
}

/// The parameters that a run gets, as systems repeat them.
fn parameters_of(run: &RunRequest) -> String {
    let params = manifest::pipeline_run(run, "").spec.params;
    serde_json::to_string(&params).unwrap_or_default()
}

fn versioned_run(run: &Run) -> Versioned<RunFacts> {
    Versioned { facts: run.facts.clone(), version: run.version }
}

fn snapshot(run: &Run) -> RunSnapshot {
    let task_runs: Vec<TaskRunFacts> =
        run.task_runs.iter().map(|task| task.facts.clone()).collect();
    RunSnapshot { run: run.facts.clone(), task_runs }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
