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
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use tokio::{sync::oneshot, time::sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use wfe_core::{
    audit::{Entry, Hash},
    execution::{PlannedRun, StateCode},
    facts::TaskRunFacts,
    ids::{Epoch, ExecutionId, RunName},
    parameter::SensitiveNames,
    request::WhenLocked,
};

use super::{
    clock::SetClock,
    dice::{Dice, Weather},
    executor::{Owner, Spawner},
    history::History,
    rules::Rules,
    store::TroubledStore,
    tekton::TroubledTekton,
};
use crate::{
    clock::{Clock, Ids},
    error::ServiceError,
    ledger::Ledger,
    metrics::Metrics,
    reconcile::{Queue, Reconciler, follow_runs},
    service::{Service, Settings},
    store::{Store, memory::Database},
    tekton::{
        Birth, RunRequest, Tekton,
        simulator::{SimulatedCluster, Simulator, SimulatorConfig},
    },
    testing::mk_request,
    vault::{Opened, ParameterKey, Vault},
};

/// What can be acted on.
pub(super) const TARGETS: [&str; 3] = ["pod/a", "default/pod/a", "default/deployment/a"];

/// A process that answers calls and brings runs about.
struct Process {
    service: Service,
    queue: Arc<Queue>,
    clock: Arc<SetClock>,
    draining: CancellationToken,
    stopping: CancellationToken,
}

/// One place where a process lives, one life after the other.
#[derive(Default)]
struct Place {
    life: u32,
    process: Option<Process>,
}

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
    database: Database,
    /// The clock of the cluster and of callers.
    pub(super) clock: Arc<SetClock>,
    places: Mutex<Vec<Place>>,
    /// Names of runs that somebody deleted.
    deleted: Mutex<BTreeSet<String>>,
    looked_at: Mutex<Option<u64>>,
    metrics: Metrics,
    vault: Arc<Vault>,
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

    /// Starts the process of a place that has none.
    pub(super) fn start(self: &Arc<Self>, place: usize) {
        let mut places = lock(&self.places);
        let Some(empty) = places.get_mut(place).filter(|place| place.process.is_none()) else {
            return;
        };
        empty.life += 1;
        let owner = Owner::Process(place, empty.life);
        // Clocks of machines differ a little.
        let off = i64::try_from(self.dice.between(0, 4000)).unwrap_or(0) - 2000;
        let clock = Arc::new(SetClock::new(SignedDuration::from_millis(off)));
        let watches = Arc::new(Simulator::connect(Arc::clone(&self.cluster)));
        let store: Arc<dyn Store> = Arc::new(TroubledStore {
            inner: self.database.open(),
            watches: Arc::clone(&watches),
            world: Arc::clone(self),
            owner,
        });
        let tekton: Arc<dyn Tekton> =
            Arc::new(TroubledTekton { inner: watches, world: Arc::clone(self), owner });
        let (draining, stopping) = (CancellationToken::new(), CancellationToken::new());
        let queue = Arc::new(Queue::seeded(Arc::clone(&clock) as Arc<dyn Clock>, self.dice.seed()));
        let gates = self.rules.gates.clone();
        let metrics = self.metrics.clone();
        let vault = Arc::clone(&self.vault);
        let ledger = Ledger::new(store, Arc::default(), Arc::clone(&queue), gates, vault, metrics);
        let reconciler = Arc::new(Reconciler::new(
            ledger.clone(),
            Arc::clone(&tekton),
            Arc::clone(&clock) as Arc<dyn Clock>,
            Arc::clone(&queue),
            self.rules.policy,
        ));
        let settings = Settings {
            namespace: "runs".to_owned(),
            heartbeat: Duration::from_secs(15),
            sensitive: SensitiveNames::default(),
            finally_patience: Duration::from_secs(20),
        };
        let service = Service::new(
            ledger,
            tekton,
            Arc::clone(&clock) as Arc<dyn Clock>,
            self.metrics.clone(),
            settings,
            draining.clone(),
        )
        .with_ids(Ids::seeded(self.dice.seed()));
        self.spawner.spawn(owner, format!("watches of {owner:?}"), {
            let (reconciler, stopping) = (Arc::clone(&reconciler), stopping.clone());
            async move { follow_runs(&reconciler, stopping).await }
        });
        self.spawner.spawn(owner, format!("turns of {owner:?}"), {
            let (spawner, stopping) = (Arc::clone(&self.spawner), stopping.clone());
            async move {
                let spawn = |task| spawner.spawn(owner, format!("turn of {owner:?}"), task);
                reconciler.run_on(&spawn, stopping).await;
            }
        });
        self.note(|| format!("{owner:?} starts, its clock is {off} ms off"));
        empty.process = Some(Process { service, queue, clock, draining, stopping });
    }

    /// Forgets the process of a place. Answers which life it was, when there was one; its tasks are left
    /// to the caller.
    pub(super) fn forget(&self, place: usize) -> Option<u32> {
        let place = &mut lock(&self.places)[place];
        place.process.take().map(|_| place.life)
    }

    /// Asks the process of a place to stop in order: it takes no calls any more, and ends what it does.
    pub(super) fn stop(&self, place: usize) {
        let stopped = &mut lock(&self.places)[place];
        if let Some(process) = stopped.process.take() {
            process.draining.cancel();
            process.stopping.cancel();
        }
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

    /// Whether a place has a process.
    pub(super) fn is_up(&self, place: usize) -> bool {
        lock(&self.places)[place].process.is_some()
    }

    /// Sets the clock of a place.
    pub(super) fn set_clock(&self, place: usize, by: SignedDuration) {
        self.note(|| format!("the clock of {place} is set by {by:#}"));
        if let Some(process) = &lock(&self.places)[place].process {
            process.clock.shift(by);
        }
    }

    /// How many executions wait for a turn.
    pub(super) fn depth(&self) -> usize {
        lock(&self.places).iter().flat_map(|p| &p.process).map(|p| p.queue.depth()).sum()
    }

    /// Some process that takes calls.
    fn somebody(&self) -> Option<(Owner, Service)> {
        let places = lock(&self.places);
        let up: Vec<(Owner, &Process)> = places
            .iter()
            .enumerate()
            .filter_map(|(n, place)| Some((Owner::Call(n, place.life), place.process.as_ref()?)))
            .collect();
        let (owner, process) = *up.get(self.dice.below(up.len())?)?;
        Some((owner, process.service.clone()))
    }

    /// Lets some process serve a call; waits for one when there is none.
    pub(super) async fn serve<F>(&self, name: String, serve: impl FnOnce(Service) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        loop {
            if let Some((owner, service)) = self.somebody() {
                self.spawner.spawn(owner, format!("{name} at {owner:?}"), serve(service));
                return;
            }
            sleep(self.dice.time(100, 2000)).await;
        }
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
        let name = RunName::new(&request.target, epoch);
        self.note(|| format!("somebody else creates {name}"));
        let run = PlannedRun { name, epoch, since: Timestamp::UNIX_EPOCH, observed: Vec::new() };
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

    /// Deletes or cancels a run as somebody with kubectl would.
    pub(super) fn meddle(&self) {
        let runs = self.cluster.runs();
        let Some(run) = self.dice.below(runs.len()).map(|n| &runs[n].run.name) else { return };
        if self.dice.hits(500) {
            self.note(|| format!("somebody cancels {run}"));
            self.cluster.cancel_from_outside(run);
        } else {
            lock(&self.deleted).insert(run.clone());
            self.note(|| format!("somebody deletes {run}"));
            self.cluster.delete_from_outside(run);
        }
    }

    /// Checks what is alive in the cluster now: I1, and that an end is one.
    pub(super) fn check_cluster(&self) {
        let version = self.cluster.version();
        if lock(&self.looked_at).replace(version) == Some(version) {
            return;
        }
        let mut alive: BTreeMap<String, ExecutionId> = BTreeMap::new();
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

    /// What of our executions is alive: the execution, the hash of its target, the name of its run.
    pub(super) fn alive(&self) -> Vec<(ExecutionId, String, String)> {
        let strangers = lock(&self.strangers);
        let mut alive = Vec::new();
        for snapshot in self.cluster.runs() {
            let live =
                snapshot.run.is_live() || snapshot.task_runs.iter().any(TaskRunFacts::is_live);
            let Some(execution) = snapshot.run.execution.filter(|id| !strangers.contains(id))
            else {
                continue;
            };
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
