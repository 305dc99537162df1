//! What every [`Tekton`] must do, as one suite: it runs against the simulator and against a cluster.
//!
//! A scenario is a function that takes a [`Stage`] and panics when something is not as it must be.
//! Each makes targets of its own, so that they may run at the same time and again on one cluster.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, timeout_at},
};
use tokio_util::sync::CancellationToken;
use wfe_core::{
    execution::{CancelMode, PlannedRun},
    facts::{RunFacts, TaskRunFacts},
    ids::{ClusterId, Epoch, ExecutionId},
    observe::{Observation, RunEnd, observe},
    progress::Progress,
    request::StartRequest,
    target::TargetKey,
    veil::Veil,
    workflow::BundleWorkflow,
};

pub use ground::{Connect, Deletion, Ground, Outsider};

use super::{Birth, RunChange, RunRequest, RunSnapshot, Seen, Tekton};
use crate::{
    clock::{Clock, Ids},
    vault::Opened,
};

mod ground;
mod names;
mod outcomes;
mod stopping;
pub mod table;
mod waits;
mod watching;

/// A scenario: its name, and what it does.
pub type Scenario = (&'static str, fn(Stage) -> Pin<Box<dyn Future<Output = ()> + Send>>);

macro_rules! scenarios {
    ($($module:ident::$name:ident),* $(,)?) => {
        /// Every scenario.
        pub const ALL: &[Scenario] = &[$(
            (stringify!($name), |stage| Box::pin(async move {
                $module::$name(&stage).await;
                stage.leave().await;
            })),
        )*];
    };
}

scenarios! {
    outcomes::a_run_that_succeeds_tells_its_steps,
    outcomes::tasks_run_in_the_order_of_the_pipeline,
    outcomes::a_step_that_exits_1_fails_the_run,
    outcomes::a_step_without_memory_fails_the_run,
    outcomes::the_log_of_a_failed_step_is_there_to_be_read,
    outcomes::an_image_that_cannot_be_pulled_fails_before_anything_ran,
    outcomes::a_bundle_that_is_missing_fails_before_anything_ran,
    outcomes::a_run_that_takes_too_long_is_stopped,
    waits::an_image_that_never_comes_is_told_as_what_the_run_waits_for,
    waits::a_pod_that_no_node_takes_is_told_as_what_the_run_waits_for,
    waits::a_pod_whose_volumes_do_not_come_is_told_as_a_task_that_does_not_start,
    waits::a_run_that_waits_is_cancelled_like_any_other,
    waits::a_deadline_ends_a_wait_for_its_own_reason,
    stopping::a_running_run_is_cancelled_with_its_task_runs,
    stopping::runs_cancelled_right_after_their_creation_leave_nothing_alive,
    stopping::a_run_is_cancelled_only_under_its_uid,
    stopping::stopping_what_has_ended_or_is_gone_has_no_effect,
    stopping::a_stopped_task_run_ends_its_run,
    stopping::a_run_born_cancelled_never_creates_anything,
    names::creating_a_run_again_shows_the_run_that_exists,
    names::a_name_that_another_execution_took_shows_its_owner,
    names::a_deleted_run_disappears_with_its_task_runs,
    names::a_run_is_deleted_only_under_its_uid,
    watching::the_watches_tell_of_every_run,
    watching::a_newcomer_sees_what_was_there_before,
    watching::what_the_watches_know_is_what_a_read_says,
}

/// References of the bundles that the scenarios run.
#[derive(Debug, Clone)]
pub struct Bundles {
    /// One task, which succeeds.
    pub succeeds: String,
    /// Tasks `a`, `b` and `c`, each after the one before; all succeed.
    pub three_tasks_in_order: String,
    /// One task, whose step exits with 1.
    pub step_exits_1: String,
    /// One task, whose step is killed for lack of memory with exit code 137.
    pub oom_killed: String,
    /// One task, whose step's image cannot be pulled.
    pub image_cannot_be_pulled: String,
    /// One task, which runs until it is stopped.
    pub never_ends: String,
    /// One task, whose step's image is tried to be pulled for ever.
    pub image_never_comes: String,
    /// One task, for whose pod no node has room.
    pub no_node_has_room: String,
    /// One task, whose pod waits for its volumes for ever.
    pub volume_never_comes: String,
    /// A reference that nothing was ever pushed to.
    pub missing: String,
    /// Those of the [table](table::ROWS), by name.
    pub of_rows: BTreeMap<&'static str, String>,
}

impl Bundles {
    /// The bundles that the simulator knows.
    pub fn simulated() -> Self {
        let reference = |name: &str| format!("simulated.example/wfe/{name}:v1");
        Self {
            succeeds: reference("succeeds"),
            three_tasks_in_order: reference("three-tasks-in-order"),
            step_exits_1: reference("step-exits-1"),
            oom_killed: reference("oom-killed"),
            image_cannot_be_pulled: reference("image-cannot-be-pulled"),
            never_ends: reference("never-ends"),
            image_never_comes: reference("image-never-comes"),
            no_node_has_room: reference("no-node-has-room"),
            volume_never_comes: reference("volume-never-comes"),
            missing: reference("missing"),
            of_rows: table::ROWS.iter().map(|row| (row.bundle, reference(row.bundle))).collect(),
        }
    }

    /// The bundle of a row.
    fn named(&self, name: &str) -> String {
        require(self.of_rows.get(name).cloned(), name)
    }
}

/// Where a scenario plays: a connection whose watches run, and the means to make requests.
pub struct Stage {
    tekton: Arc<dyn Tekton>,
    ground: Ground,
    outsider: Arc<dyn Outsider>,
    bundles: Bundles,
    patience: Duration,
    clock: Arc<dyn Clock>,
    ids: Ids,
    told: Arc<Told>,
    shutdown: CancellationToken,
    watching: JoinHandle<()>,
}

/// What the watches said.
struct Told {
    changes: Mutex<BTreeMap<Option<ExecutionId>, BTreeSet<Option<String>>>>,
    news: watch::Sender<u64>,
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stage").finish_non_exhaustive()
    }
}

impl Stage {
    /// Connects and starts the watches. `patience` is how long a scenario waits for something that
    /// has to happen.
    pub fn new(
        ground: Ground,
        bundles: Bundles,
        patience: Duration,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let tekton = (ground.connect)();
        let told = Arc::new(Told { changes: Mutex::default(), news: watch::Sender::new(0) });
        let shutdown = CancellationToken::new();
        let watching = tokio::spawn({
            let (tekton, told, shutdown) = (tekton.clone(), told.clone(), shutdown.clone());
            async move {
                let changed = |change| told.hear(change);
                tekton.watch(&changed, shutdown).await;
            }
        });
        Self {
            tekton,
            outsider: ground.outsider.clone(),
            ground,
            bundles,
            patience,
            clock,
            ids: Ids::default(),
            told,
            shutdown,
            watching,
        }
    }

    /// A request to run `bundle` on a target that nobody else has.
    fn request(&self, bundle: &str) -> RunRequest {
        let execution = self.ids.execution(self.clock.now());
        let target_as_given = format!("scenario/deployment/app-{execution}");
        let target = TargetKey {
            cluster: ClusterId::local(),
            target: require(target_as_given.parse().ok(), "a target"),
        };
        let run = PlannedRun::new(&target, Epoch(1), self.clock.now());
        let request = StartRequest::new(
            require(execution.to_string().parse().ok(), "a request id"),
            require(BundleWorkflow::new(bundle, "", "").ok(), "a bundle"),
            target,
            target_as_given,
        );
        RunRequest {
            run,
            execution,
            request,
            opened: Opened::default(),
            timeout: None,
            birth: Birth::Ready,
        }
    }

    async fn create(&self, request: &RunRequest) -> RunFacts {
        match self.tekton.create(request).await {
            Ok(run) => run,
            Err(error) => panic!("{} could not be created: {error}", request.run.name),
        }
    }

    /// Creates a run of `bundle` on a target of its own.
    async fn start(&self, bundle: &str) -> RunFacts {
        self.create(&self.request(bundle)).await
    }

    async fn read(&self, name: &str) -> Option<RunSnapshot> {
        match self.tekton.read(name).await {
            Ok(read) => read,
            Err(error) => panic!("{name} could not be read: {error}"),
        }
    }

    /// Waits until `look` finds something, looking again whenever the watches tell of a change.
    async fn until<T>(&self, what: &str, look: impl FnMut() -> Option<T>) -> T {
        self.told.until(self.patience, what, look).await
    }

    /// Waits until the watches know a run for which `look` finds something.
    async fn until_seen<T>(
        &self,
        name: &str,
        what: &str,
        look: impl Fn(&RunSnapshot, &Observation) -> Option<T>,
    ) -> T {
        let what = format!("{name}: {what}");
        self.until(&what, || {
            let snapshot = present(self.tekton.as_ref(), name)?;
            look(&snapshot, &observe(&snapshot.run, &snapshot.task_runs, &Veil::none()))
        })
        .await
    }

    /// Waits until the watches know that a run is over, and all that belongs to it.
    async fn until_over(&self, name: &str) -> (RunEnd, Progress) {
        self.until_seen(name, "is over", |_, seen| {
            let over = seen.complete && seen.live_task_runs.is_empty();
            let end = seen.end.clone().filter(|_| over)?;
            Some((end, seen.progress.clone()))
        })
        .await
    }

    /// Waits until a step of a run runs.
    async fn until_running(&self, name: &str) {
        self.until_seen(name, "has a running step", |snapshot, _| {
            let ran = snapshot.task_runs.iter().any(TaskRunFacts::ran);
            ran.then_some(())
        })
        .await;
    }

    /// Stops a run as the service does: cancels it, then stops each TaskRun that is still alive,
    /// until the API server itself shows none.
    async fn stop(&self, run: &RunFacts) -> RunSnapshot {
        let name = &run.name;
        self.accept(self.tekton.cancel(name, &run.uid, CancelMode::Immediate).await);
        let deadline = Instant::now() + self.patience;
        loop {
            let snapshot = require(self.read(name).await, "the run that was cancelled");
            let seen = observe(&snapshot.run, &snapshot.task_runs, &Veil::none());
            if seen.end.is_some() && seen.live_task_runs.is_empty() {
                return snapshot;
            }
            if seen.end.is_some() {
                for task_run in &seen.live_task_runs {
                    self.accept(self.tekton.cancel_task_run(task_run).await);
                }
            }
            let mut news = self.told.news.subscribe();
            let soon = Instant::now() + Duration::from_millis(100);
            let _ = timeout_at(soon, news.changed()).await;
            assert!(Instant::now() < deadline, "{name} is still alive: {snapshot:?}");
        }
    }

    #[expect(clippy::unused_self, reason = "reads as a sentence")]
    fn accept(&self, answer: Result<(), super::TektonError>) {
        if let Err(error) = answer {
            panic!("{error}: {:?}", error.source);
        }
    }

    /// Stops the watches. Panics when they do not end.
    async fn leave(self) {
        self.shutdown.cancel();
        let deadline = Instant::now() + self.patience;
        let ended = require(timeout_at(deadline, self.watching).await.ok(), "end of the watches");
        require(ended.ok(), "watches that did not panic");
    }
}

impl Told {
    fn hear(&self, change: RunChange) {
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        changes.entry(change.execution).or_default().insert(change.target_hash);
        drop(changes);
        self.news.send_modify(|count| *count += 1);
    }

    fn of(&self, execution: ExecutionId) -> Option<BTreeSet<Option<String>>> {
        let changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        changes.get(&Some(execution)).cloned()
    }

    async fn until<T>(
        &self,
        patience: Duration,
        what: &str,
        mut look: impl FnMut() -> Option<T>,
    ) -> T {
        let mut news = self.news.subscribe();
        let deadline = Instant::now() + patience;
        loop {
            news.borrow_and_update();
            if let Some(found) = look() {
                return found;
            }
            let waited = timeout_at(deadline, news.changed()).await;
            assert!(waited.is_ok(), "waited {patience:?} in vain for {what}");
        }
    }
}

fn present(tekton: &dyn Tekton, name: &str) -> Option<RunSnapshot> {
    match tekton.seen(name) {
        Seen::Present(snapshot) => Some(*snapshot),
        Seen::Absent | Seen::NotSynced => None,
    }
}

fn require<T>(value: Option<T>, what: &str) -> T {
    let Some(value) = value else {
        panic!("there is no {what}");
    };
    value
}
