//! What a simulation consists of: one database and one cluster, processes that come and go, and what
//! troubles them.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::poll_fn,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
};

use jiff::{SignedDuration, Timestamp};
use tokio::{sync::oneshot, time::sleep};
use uuid::Uuid;
use wfe_core::{
    audit::{Entry, Hash, Position},
    execution::{PlannedRun, StateCode},
    facts::{RunFacts, TaskRunFacts},
    ids::{Epoch, ExecutionId},
    request::WhenLocked,
};

use super::{
    audit::Shelf,
    clock::SetClock,
    dice::{Dice, Weather},
    executor::{Owner, Spawner},
    history::History,
    process::Place,
    rules::Rules,
};
use crate::{
    clock::Clock,
    error::ServiceError,
    metrics::Metrics,
    service::Service,
    store::memory::Database,
    tekton::{
        Birth, RunRequest, Tekton,
        simulator::{SimulatedCluster, Simulator, SimulatorConfig},
    },
    testing::mk_request,
    vault::{Opened, ParameterKey, Vault},
};

/// What can be acted on.
pub(super) const TARGETS: [&str; 3] = ["pod/a", "default/pod/a", "default/deployment/a"];

/// Everything but the tasks.
pub(super) struct World {
    pub(super) dice: Dice,
    pub(super) rules: Rules,
    weather: Mutex<Weather>,
    history: Mutex<History>,
    pub(super) spawner: Arc<Spawner>,
    pub(super) cluster: Arc<SimulatedCluster>,
    away: AtomicBool,
    /// Somebody else's way to the cluster, and that of what is on its way.
    pub(super) stranger: Simulator,
    strangers: Mutex<BTreeSet<ExecutionId>>,
    pub(super) database: Database,
    /// The clock of the cluster and of callers.
    pub(super) clock: Arc<SetClock>,
    places: Mutex<Vec<Place>>,
    /// Names of runs that somebody deleted.
    deleted: Mutex<BTreeSet<String>>,
    looked_at: Mutex<Option<u64>>,
    pub(super) metrics: Metrics,
    pub(super) vault: Arc<Vault>,
    pub(super) shelf: Shelf,
}

impl World {
    pub(super) fn new(dice: Dice, rules: Rules, history: History) -> Arc<Self> {
        let config = SimulatorConfig {
            task_time: rules.task_time,
            orphan_window: rules.orphan_window,
            ..SimulatorConfig::default()
        };
        let clock = Arc::new(SetClock::new(SignedDuration::ZERO));
        let cluster = SimulatedCluster::new(config, Arc::clone(&clock) as Arc<dyn Clock>);
        let places = (0..rules.replicas).map(|_| Place::default()).collect();
        Arc::new(Self {
            dice,
            weather: Mutex::default(),
            history: Mutex::new(history),
            spawner: Arc::default(),
            stranger: Simulator::connect(Arc::clone(&cluster)),
            cluster,
            away: AtomicBool::new(false),
            clock,
            strangers: Mutex::default(),
            database: Database::default(),
            places: Mutex::new(places),
            deleted: Mutex::default(),
            looked_at: Mutex::default(),
            metrics: Metrics::new().unwrap(),
            vault: Arc::new(Vault::new(&ParameterKey::new([7; 32])).unwrap()),
            shelf: Shelf::default(),
            rules,
        })
    }

    /// The log: its id, and what stands in it.
    pub(super) fn log(&self) -> (Hash, Vec<Entry>) {
        self.database.log()
    }

    pub(super) fn history(&self) -> MutexGuard<'_, History> {
        lock(&self.history)
    }

    /// Notes something for a person.
    pub(super) fn note(&self, what: impl FnOnce() -> String) {
        self.history().note(what);
    }

    pub(super) fn set_weather(&self, weather: Weather) {
        *lock(&self.weather) = weather;
    }

    /// Whether something goes wrong now.
    pub(super) fn hits(&self, rate: impl Fn(&Weather) -> u32) -> bool {
        let per_mille = rate(&lock(&self.weather));
        self.dice.hits(per_mille)
    }

    /// A place where everybody else may go first, and where the process may die.
    pub(super) async fn pause(&self) {
        let mut waited = false;
        poll_fn(|context| {
            if waited {
                return Poll::Ready(());
            }
            waited = true;
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        if self.hits(|weather| weather.slow) {
            sleep(self.dice.time(10, 20_000)).await;
        }
    }

    /// Lets a create take effect some time from now, whatever becomes of who asked for it.
    pub(super) fn create_later(self: &Arc<Self>, run: RunRequest) {
        let (world, after) = (Arc::clone(self), self.dice.time(50, 30_000));
        let way = format!("create of {} on its way", run.run.name);
        self.spawner.spawn(Owner::Outside, way.clone(), async move {
            sleep(after).await;
            let created = world.stranger.create(&run).await.is_ok();
            world.note(|| format!("{way} arrived, created: {created}"));
        });
    }

    /// Takes the API server away or brings it back, whichever it is not.
    pub(super) fn set_away(&self, away: bool) {
        if self.away.swap(away, Ordering::Relaxed) == away {
            return;
        }
        self.note(|| format!("the API server is {}", if away { "away" } else { "back" }));
        if away {
            self.cluster.take_api_server_away();
        } else {
            self.cluster.bring_api_server_back();
        }
    }

    /// Whether the API server is away.
    pub(super) fn is_away(&self) -> bool {
        self.away.load(Ordering::Relaxed)
    }

    /// Where processes live.
    pub(super) fn places(&self) -> MutexGuard<'_, Vec<Place>> {
        lock(&self.places)
    }

    /// Whether all that is on record is signed outside.
    pub(super) fn is_signed(&self) -> bool {
        let (_, entries) = self.log();
        self.shelf.signed() == entries.last().map(|entry| entry.sequence).or(Some(Position(0)))
    }

    /// Makes a call of some process. `None` when no answer came: the process died, or the caller went
    /// away.
    pub(super) async fn call<T, F>(
        &self,
        name: String,
        call: impl FnOnce(Service) -> F,
    ) -> Option<Result<T, ServiceError>>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ServiceError>> + Send + 'static,
    {
        let (sender, answer) = oneshot::channel();
        let serve = |service| {
            let answering = call(service);
            async move { drop(sender.send(answering.await)) }
        };
        self.serve(name.clone(), serve).await;
        let answer = answer.await.ok();
        if let Some(Err(error)) = &answer {
            self.note(|| format!("  {name}: {error}"));
            if let ServiceError::Internal(_) = error {
                self.history().violation(format!("{name}: {error:?}"));
            }
        }
        answer
    }

    /// Starts a run of somebody who does not know of this service.
    pub(super) async fn strange_run(&self) {
        let number = lock(&self.strangers).len() as u128;
        let execution = ExecutionId::new(Uuid::from_u128(number + 1));
        let target = TARGETS[self.dice.below(self.rules.targets).unwrap_or(0)];
        let request = mk_request(0, target, WhenLocked::Reject);
        let epoch = Epoch(self.history().epoch(&request.target).0 + self.dice.between(0, 2));
        let run = PlannedRun::new(&request.target, epoch, Timestamp::UNIX_EPOCH);
        self.note(|| format!("somebody else creates {}", run.name));
        let run = RunRequest {
            run,
            execution,
            request,
            opened: Opened::default(),
            timeout: None,
            birth: Birth::Ready,
        };
        lock(&self.strangers).insert(execution);
        drop(self.stranger.create(&run).await);
    }

    /// Deletes or cancels a run or a part of it as somebody with kubectl would.
    pub(super) fn meddle(&self) {
        let runs = self.cluster.runs();
        let Some(run) = self.dice.below(runs.len()).map(|n| &runs[n].run.name) else { return };
        let task_runs: Vec<String> = runs
            .iter()
            .chain(&self.cluster.left_alone())
            .flat_map(|snapshot| snapshot.task_runs.iter().map(|task| task.name.clone()))
            .collect();
        let task_run = self.dice.below(task_runs.len()).map(|n| &task_runs[n]);
        match (self.dice.below(5), task_run) {
            (Some(0), _) => {
                lock(&self.deleted).insert(run.clone());
                self.note(|| format!("somebody deletes {run}"));
                self.cluster.delete_from_outside(run);
            }
            (Some(1), _) => {
                lock(&self.deleted).insert(run.clone());
                self.note(|| format!("somebody deletes {run} and leaves its TaskRuns"));
                self.cluster.delete_only_the_run_from_outside(run);
            }
            (Some(2), Some(task_run)) => {
                self.note(|| format!("somebody deletes {task_run}"));
                self.cluster.delete_named_task_run_from_outside(task_run);
            }
            (Some(3), Some(task_run)) => {
                self.note(|| format!("somebody deletes the pod of {task_run}"));
                self.cluster.delete_pod_from_outside(task_run);
            }
            _ => {
                self.note(|| format!("somebody cancels {run}"));
                self.cluster.cancel_from_outside(run);
            }
        }
    }

    /// Checks what is alive in the cluster now: I1, and that an end is one.
    pub(super) fn check_cluster(&self) {
        let version = self.cluster.version();
        if lock(&self.looked_at).replace(version) == Some(version) {
            return;
        }
        let mut alive: BTreeMap<String, ExecutionId> = BTreeMap::new();
        // Nobody but the service stops what a run left that was deleted without it.
        for left in self.cluster.left_alone() {
            let Some(execution) = self.ours(&left.run) else { continue };
            let mut history = self.history();
            let code = history.execution(execution).map(|known| known.state.code());
            if code.is_none_or(StateCode::is_terminal)
                && left.task_runs.iter().any(TaskRunFacts::is_live)
            {
                let what = &left.run.name;
                history.violation(format!(
                    "I1: {execution} is {code:?}, and a part of {what} is alive"
                ));
            }
        }
        for (execution, hash, what) in self.alive() {
            // The name of a run is the fence against creating it twice. Who deletes a run takes its
            // fence away: it may come back for as long as a create of it is on its way.
            if lock(&self.deleted).contains(&what) {
                continue;
            }
            let mut history = self.history();
            let code = history.execution(execution).map(|known| known.state.code());
            if code.is_none_or(StateCode::is_terminal) {
                history.violation(format!("I1: {execution} is {code:?}, and {what} is alive"));
            }
            let first = *alive.entry(hash).or_insert(execution);
            if first != execution {
                history.violation(format!("I1: {first} and {execution} are alive: {what}"));
            }
        }
    }

    /// Whether something that is kept holds this text.
    pub(super) fn keeps(&self, text: &str) -> bool {
        self.database.dump().iter().any(|kept| kept.contains(text))
    }

    /// The execution of a run that is not a stranger's.
    fn ours(&self, run: &RunFacts) -> Option<ExecutionId> {
        run.execution.filter(|id| !lock(&self.strangers).contains(id))
    }

    /// What of our executions is alive: the execution, the hash of its target, the name of its run.
    pub(super) fn alive(&self) -> Vec<(ExecutionId, String, String)> {
        let mut alive = Vec::new();
        let there = self.cluster.runs().into_iter().map(|run| (run.run.is_live(), run));
        let left = self.cluster.left_alone().into_iter().map(|run| (false, run));
        for (live, snapshot) in there.chain(left) {
            let live = live || snapshot.task_runs.iter().any(TaskRunFacts::is_live);
            let Some(execution) = self.ours(&snapshot.run) else { continue };
            if live {
                let hash = snapshot.run.target_hash.unwrap_or_default();
                alive.push((execution, hash, snapshot.run.name));
            }
        }
        alive
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
