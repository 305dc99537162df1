//! A store with a history, a receiver, a clock that only tests move, and who delivers.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    task::Poll,
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use wfe_core::{
    audit::Position, ids::ExecutionId, request::WhenLocked, start::NewExecution, transition::Input,
};
use wfe_datastorage::{Client, Options};
use wfe_datastorage_receiver::{Receiver, Settings};

use super::super::{Courier, Parts, Policy, Status, event_of};
use crate::{
    clock::{Clock as _, ManualClock},
    metrics::Metrics,
    store::{
        Journal as _, LogScope, Outbox as _, Row, StandingCode, Store as _, sqlite::SqliteStore,
    },
    testing::{advance, at, mk_new, run_exists, start},
};

/// More turns than anything here needs.
const TURNS: usize = 20_000;

pub(super) struct World {
    pub(super) store: Arc<SqliteStore>,
    pub(super) receiver: Receiver,
    pub(super) clock: ManualClock,
    pub(super) metrics: Metrics,
    pub(super) status: Status,
    pub(super) policy: Policy,
    pub(super) options: Options,
    pub(super) courier: Courier,
    pub(super) directory: TempDir,
    lives: u32,
}

impl World {
    pub(super) async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    pub(super) async fn with(settings: Settings) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Arc::new(SqliteStore::in_memory().await.unwrap());
        let clock = ManualClock::new(at(1000));
        let settings = Settings { freeze: Duration::from_millis(5), ..settings };
        let receiver = Receiver::start(Arc::new(clock.clone()), settings).await.unwrap();
        let options = Options::new(receiver.url());
        let (gap, interval) = (Duration::ZERO, Duration::from_secs(10));
        let policy = Policy { interval, gap, ..Policy::new("one".to_owned()) };
        let metrics = Metrics::new().unwrap();
        let status = Status::new(Arc::new(clock.clone()));
        let made = (Arc::clone(&store), clock.clone(), metrics.clone(), status.clone());
        let courier = mk_courier(made, policy.clone(), options.clone());
        Self {
            store,
            receiver,
            clock,
            metrics,
            status,
            policy,
            options,
            courier,
            directory,
            lives: 0,
        }
    }

    /// Another process takes over.
    pub(super) fn restart(&mut self, policy: Policy, options: Options) {
        let made = (
            Arc::clone(&self.store),
            self.clock.clone(),
            self.metrics.clone(),
            self.status.clone(),
        );
        self.courier = mk_courier(made, policy, options);
    }

    /// An execution with a correlation id, from its acceptance to its end: three events.
    pub(super) async fn life(&mut self, correlation_id: &str, end: Input) -> ExecutionId {
        self.lives += 1;
        let n = self.lives;
        let mut new = mk_new(n, &format!("pod/p-{n}"), WhenLocked::Reject);
        new.request.correlation_id = Some(correlation_id.parse().unwrap());
        self.live(new, end).await
    }

    pub(super) async fn live(&self, new: NewExecution, end: Input) -> ExecutionId {
        let id = new.id;
        let new = NewExecution { now: self.clock.now(), ..new };
        start(&*self.store, &new).await.unwrap();
        advance(&*self.store, id, run_exists()).await.unwrap();
        advance(&*self.store, id, end).await.unwrap();
        id
    }

    /// One turn, and then the time of the next one.
    pub(super) async fn turn(&mut self) {
        let turn = self.courier.turn(&CancellationToken::new()).await;
        if turn.again > self.clock.now() {
            self.clock.set(turn.again);
        }
    }

    /// A part of a turn: the process ends after so many steps of its runtime.
    pub(super) async fn part_of_turn(&mut self, steps: u32) {
        let stopping = CancellationToken::new();
        let mut turn = Box::pin(self.courier.turn(&stopping));
        let mut passed = 0;
        std::future::poll_fn(|context| {
            if passed == steps || turn.as_mut().poll(context).is_ready() {
                return Poll::Ready(());
            }
            passed += 1;
            Poll::Pending
        })
        .await;
    }

    /// Turns until something is so.
    pub(super) async fn until(&mut self, what: &str, so: impl AsyncFn(&Self) -> bool) {
        for _ in 0..TURNS {
            if so(self).await {
                return;
            }
            self.turn().await;
        }
        panic!("{what}: {:?} {:?}", self.status.seen(), self.status.problem());
    }

    /// Turns until nothing is on its way but what is parked.
    pub(super) async fn until_delivered(&mut self) {
        self.turn().await;
        self.until("all is delivered", async |world| {
            let backlog = world.store.backlog().await.unwrap();
            let head = world.store.log().await.unwrap().head.sequence;
            let taken = world.store.taken_up().await.unwrap();
            backlog.oldest.is_none() && taken == Some(head)
        })
        .await;
    }

    pub(super) async fn count(&self, code: StandingCode) -> u64 {
        self.store.backlog().await.unwrap().count(code)
    }

    pub(super) async fn rows(&self, kind: crate::store::Due) -> Vec<Row> {
        self.store.due(kind, jiff::Timestamp::MAX, u32::MAX).await.unwrap()
    }

    /// What the log has to tell: correlation id and type, in order.
    pub(super) async fn expected(&self) -> Vec<(String, String)> {
        let mut told = Vec::new();
        let scope = LogScope::Everything;
        for entry in self.store.entries(&scope, Position(0), u32::MAX).await.unwrap() {
            let logged = entry.read().unwrap();
            let execution = match logged.about.execution {
                Some(id) => self.store.execution(id).await.unwrap(),
                None => None,
            };
            if let Some(event) = event_of(&logged, execution.as_ref()).unwrap() {
                let id = event.facts().correlation_id.as_str().to_owned();
                told.push((id, event.event_type().as_str().to_owned()));
            }
        }
        told
    }

    /// Everything but what is told of these correlation ids has arrived once, in order of the log for
    /// each correlation id, and every chain is sound.
    pub(super) async fn assert_arrived_but(&self, lost: &[(&str, &str)]) {
        let mut expected: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (id, kind) in self.expected().await {
            if !lost.contains(&(id.as_str(), kind.as_str())) {
                expected.entry(id).or_default().push(kind);
            }
        }
        let mut arrived: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut keys = BTreeSet::new();
        for event in self.receiver.stored() {
            let text = |name: &str| event[name].as_str().unwrap().to_owned();
            assert!(
                keys.insert((text("correlation_id"), text("event_timestamp"))),
                "twice: {event}"
            );
            arrived.entry(text("correlation_id")).or_default().push(text("event_type"));
        }
        expected.retain(|_, kinds| !kinds.is_empty());
        assert_eq!(arrived, expected);
        for id in arrived.keys() {
            let verdict = self.receiver.verify(id);
            assert!(verdict.valid, "{id}: {verdict:?}");
        }
    }

    pub(super) async fn assert_arrived(&self) {
        self.assert_arrived_but(&[]).await;
        assert_eq!(self.count(StandingCode::Parked).await, 0);
    }

    pub(super) fn metric(&self, line: &str) -> bool {
        self.metrics.set_delivery(&self.status);
        String::from_utf8(self.metrics.render().unwrap()).unwrap().lines().any(|l| l == line)
    }

    /// Requests with batches, as far as they were read.
    pub(super) fn batches(&self) -> Vec<Vec<Value>> {
        let seen = self.receiver.seen();
        let batches = seen.iter().filter(|seen| seen.what.starts_with("POST"));
        batches.map(|seen| serde_json::from_str(&seen.body).unwrap_or_default()).collect()
    }
}

fn mk_courier(
    (store, clock, metrics, status): (Arc<SqliteStore>, ManualClock, Metrics, Status),
    policy: Policy,
    options: Options,
) -> Courier {
    let parts = Parts {
        store: Arc::clone(&store) as _,
        outbox: store,
        client: Arc::new(Client::new(options).unwrap()),
        clock: Arc::new(clock),
        metrics,
        status,
    };
    Courier::new(parts, policy, || 0.5)
}
