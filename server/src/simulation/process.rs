//! Processes that come and go: what each consists of, and where they live.

use std::{sync::Arc, time::Duration};

use jiff::SignedDuration;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use wfe_core::parameter::SensitiveNames;

use super::{
    audit::{self, Desk},
    clock::SetClock,
    executor::Owner,
    store::TroubledStore,
    tekton::TroubledTekton,
    world::World,
};
use crate::{
    audit::AuditStatus,
    clock::{Clock, Ids},
    ledger::Ledger,
    reconcile::{Queue, Reconciler, follow_runs},
    service::{Service, Settings},
    store::Store,
    tekton::{Tekton, simulator::Simulator},
};

/// A process that answers calls and brings runs about.
pub(super) struct Process {
    service: Service,
    queue: Arc<Queue>,
    clock: Arc<SetClock>,
    audit: AuditStatus,
    draining: CancellationToken,
    stopping: CancellationToken,
}

/// One place where a process lives, one life after the other.
#[derive(Default)]
pub(super) struct Place {
    life: u32,
    process: Option<Process>,
}

impl World {
    /// Starts the process of a place that has none.
    pub(super) fn start(self: &Arc<Self>, place: usize) {
        let mut places = self.places();
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
        let audit = AuditStatus::default();
        let desk = Desk {
            owner,
            store: Arc::clone(&store),
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            // Of its own: several who wait for one channel are woken in an order that no seed decides.
            notifier: Arc::default(),
            metrics: metrics.clone(),
        };
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
        self.spawner.spawn(
            owner,
            format!("audit of {owner:?}"),
            audit::look_after(Arc::clone(self), desk, audit.clone(), stopping.clone()),
        );
        self.note(|| format!("{owner:?} starts, its clock is {off} ms off"));
        empty.process = Some(Process { service, queue, clock, audit, draining, stopping });
    }

    /// Forgets the process of a place. Answers which life it was, when there was one; its tasks are left
    /// to the caller.
    pub(super) fn forget(&self, place: usize) -> Option<u32> {
        let place = &mut self.places()[place];
        place.process.take().map(|_| place.life)
    }

    /// Asks the process of a place to stop in order: it takes no calls any more, and ends what it does.
    pub(super) fn stop(&self, place: usize) {
        let stopped = &mut self.places()[place];
        if let Some(process) = stopped.process.take() {
            process.draining.cancel();
            process.stopping.cancel();
        }
    }

    /// Whether a place has a process.
    pub(super) fn is_up(&self, place: usize) -> bool {
        self.places()[place].process.is_some()
    }

    /// Sets the clock of a place.
    pub(super) fn set_clock(&self, place: usize, by: SignedDuration) {
        self.note(|| format!("the clock of {place} is set by {by:#}"));
        if let Some(process) = &self.places()[place].process {
            process.clock.shift(by);
        }
    }

    /// How many executions wait for a turn.
    pub(super) fn depth(&self) -> usize {
        self.places().iter().flat_map(|p| &p.process).map(|p| p.queue.depth()).sum()
    }

    /// Some process that takes calls.
    fn somebody(&self) -> Option<(Owner, Service)> {
        let places = self.places();
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

    /// What somebody doubts of the log.
    pub(super) fn doubts(&self) -> Vec<String> {
        let places = self.places();
        let reports = places.iter().flat_map(|place| &place.process).map(|p| p.audit.report());
        reports.filter_map(|report| report.doubt).map(|doubt| doubt.to_string()).collect()
    }
}
