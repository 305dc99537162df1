//! A whole service in this process, and the words that the tests use.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::StreamExt as _;
use hyper_util::rt::TokioIo;
use sqlx::{Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use tempfile::TempDir;
use tokio::io::DuplexStream;
use tokio_util::sync::CancellationToken;
use tonic::{
    Code, Status, Streaming,
    transport::{Channel, Endpoint},
};
use tonic_types::StatusExt as _;
use wfe_core::{
    audit::{Logged, Position},
    gates,
    parameter::SensitiveNames,
};
use wfe_proto::v1::{
    self, State, execution_service_client::ExecutionServiceClient, start_request, watch_request,
    watch_response,
};
use wfe_server::{
    auth::Guard,
    clock::{Clock, SystemClock},
    grpc,
    ledger::Ledger,
    metrics::Metrics,
    reconcile::{Policy, Queue, Reconciler, follow_runs},
    service::{Service, Settings},
    store::{Log, LogScope, Store, sqlite::SqliteStore},
    tekton::{
        Tekton,
        simulator::{SimulatedCluster, Simulator, SimulatorConfig},
    },
    vault,
};

pub(crate) type Client = ExecutionServiceClient<Channel>;

/// How long a test waits for what has to happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// How long a Cancel that gives time gives when it does not say.
pub(crate) const FINALLY_PATIENCE: Duration = Duration::from_secs(5);

/// A service, its cluster and its database. The last two outlive a restart.
pub(crate) struct Stack {
    pub(crate) cluster: Arc<SimulatedCluster>,
    pub(crate) metrics: Metrics,
    directory: TempDir,
    heartbeat: Duration,
    clock: Arc<dyn Clock>,
    gates: gates::Policy,
    guard: Guard,
    running: Running,
}

struct Running {
    connect: tokio::sync::mpsc::Sender<DuplexStream>,
    store: Arc<dyn Store>,
    draining: CancellationToken,
    stopping: CancellationToken,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Stack {
    pub(crate) async fn start() -> Self {
        Self::with(SimulatorConfig {
            task_time: Duration::from_millis(40),
            ..SimulatorConfig::default()
        })
        .await
    }

    /// Only the lock of a target holds anybody.
    pub(crate) async fn with(config: SimulatorConfig) -> Self {
        let gates = gates::Policy::all(gates::Mode::Off);
        Self::with_gates(config, gates, Arc::new(SystemClock)).await
    }

    /// Objects take their times from `clock`; how long a task takes does not depend on it.
    pub(crate) async fn with_gates(
        config: SimulatorConfig,
        gates: gates::Policy,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let stack = Self::build(config, Guard::open(), gates, clock).await;
        stack.until_synced().await;
        stack
    }

    /// A service that lets in whom `guard` lets in. Its watches on the cluster may not be complete yet.
    pub(crate) async fn guarded(guard: Guard) -> Self {
        let config =
            SimulatorConfig { task_time: Duration::from_millis(40), ..SimulatorConfig::default() };
        let gates = gates::Policy::all(gates::Mode::Off);
        Self::build(config, guard, gates, Arc::new(SystemClock)).await
    }

    async fn build(
        config: SimulatorConfig,
        guard: Guard,
        gates: gates::Policy,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let cluster = SimulatedCluster::new(config, Arc::clone(&clock));
        let heartbeat = Duration::from_millis(50);
        let set = (Arc::clone(&clock), gates.clone(), guard.clone());
        let started = Running::start(&cluster, &directory, heartbeat, set).await;
        let (running, metrics) = started;
        Self { cluster, metrics, directory, heartbeat, clock, gates, guard, running }
    }

    /// Ends the service at once, as a crash would, and starts it anew on the same database and cluster.
    pub(crate) async fn crash_and_restart(&mut self) {
        self.running.kill().await;
        let set = (Arc::clone(&self.clock), self.gates.clone(), self.guard.clone());
        let started = Running::start(&self.cluster, &self.directory, self.heartbeat, set).await;
        (self.running, self.metrics) = started;
    }

    /// Ends every open watch as a shutdown does.
    pub(crate) fn drain(&self) {
        self.running.draining.cancel();
    }

    /// What the log holds of these types, in order.
    pub(crate) async fn logged(&self, types: &[&str]) -> Vec<Logged> {
        let all = self.store().entries(&LogScope::Everything, Position(0), u32::MAX).await.unwrap();
        let all = all.iter().map(|entry| entry.read().unwrap());
        all.filter(|entry| types.contains(&entry.what.as_str())).collect()
    }

    /// Writes an entry as another process does, which nobody here hears of. Its hash is made up.
    pub(crate) async fn insert_entry(&self, what: &str) {
        let Log { head, .. } = self.store().log().await.unwrap();
        let sequence = i64::try_from(head.sequence.next().0).unwrap();
        let actor = r#"{"user":"anonymous","method":"none"}"#;
        let text = format!(
            r#"{{"sequence":{sequence},"stream":"requests/other","revision":1,"at":"2026-01-01T00:00:00Z","actor":{actor},"what":{what}}}"#,
        );
        sqlx::query("INSERT INTO log (sequence, stream, revision, at, entry, hash) VALUES (?1, 'requests/other', 1, 0, ?2, randomblob(32))")
            .bind(sequence)
            .bind(text)
            .execute(&mut self.database().await)
            .await
            .unwrap();
    }

    /// Deletes the entries up to this one, as their age does.
    pub(crate) async fn prune(&self, through: i64) {
        let mut database = self.database().await;
        let signed = "INSERT INTO checkpoints (sequence, hash, at, key, signature)
            SELECT sequence, hash, at, 'made up', 'made up' FROM log WHERE sequence = ?1";
        sqlx::query(signed).bind(through).execute(&mut database).await.unwrap();
        let base =
            "UPDATE log_base SET sequence = ?1, hash = (SELECT hash FROM log WHERE sequence = ?1)";
        sqlx::query(base).bind(through).execute(&mut database).await.unwrap();
        let delete = "DELETE FROM log WHERE sequence <= ?1";
        sqlx::query(delete).bind(through).execute(&mut database).await.unwrap();
    }

    async fn database(&self) -> SqliteConnection {
        let options = SqliteConnectOptions::new().filename(self.directory.path().join("wfe.db"));
        let options = options.busy_timeout(PATIENCE);
        SqliteConnection::connect_with(&options).await.unwrap()
    }

    /// How many transactions of this name the store made.
    pub(crate) fn transactions(&self, name: &str) -> u64 {
        let text = String::from_utf8(self.metrics.render().unwrap()).unwrap();
        let name = format!("transaction=\"{name}\"");
        let of = |line: &&str| line.starts_with("wfe_store_seconds_count") && line.contains(&name);
        let counts = text.lines().filter(of).map(|line| line.rsplit(' ').next().unwrap());
        counts.map(|count| count.parse::<u64>().unwrap()).sum()
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &*self.running.store
    }

    /// A connection of its own.
    pub(crate) async fn client(&self) -> Client {
        ExecutionServiceClient::new(self.channel().await)
    }

    pub(crate) async fn channel(&self) -> Channel {
        let connect = self.running.connect.clone();
        let connector = tower::service_fn(move |_| {
            let connect = connect.clone();
            async move {
                let (ours, theirs) = tokio::io::duplex(64 * 1024);
                connect
                    .send(theirs)
                    .await
                    .map_err(|_| std::io::Error::other("the server is gone"))?;
                Ok::<_, std::io::Error>(TokioIo::new(ours))
            }
        });
        Endpoint::from_static("http://in-memory").connect_with_connector(connector).await.unwrap()
    }

    async fn until_synced(&self) {
        let mut client = self.client().await;
        eventually("the watches are complete", async || {
            let request =
                v1::StartRequest { validate_only: true, ..mk_start("probe", "pod/probe") };
            client.start(request).await.ok().map(|_| ())
        })
        .await;
    }
}

impl Running {
    async fn start(
        cluster: &Arc<SimulatedCluster>,
        directory: &TempDir,
        heartbeat: Duration,
        (clock, gates, guard): (Arc<dyn Clock>, gates::Policy, Guard),
    ) -> (Self, Metrics) {
        let metrics = Metrics::new().unwrap();
        let path = directory.path().join("wfe.db");
        let store: Arc<dyn Store> =
            Arc::new(SqliteStore::open(&path, Arc::new(metrics.clone())).await.unwrap());
        let key = directory.path().join("wfe.parameter-key");
        let vault = Arc::new(vault::key::unlock(&key, &*store).await.unwrap());
        let tekton: Arc<dyn Tekton> = Arc::new(Simulator::connect(Arc::clone(cluster)));
        let queue = Arc::new(Queue::new(Arc::clone(&clock)));
        let ledger = Ledger::new(
            Arc::clone(&store),
            Arc::default(),
            Arc::clone(&queue),
            gates,
            vault,
            metrics.clone(),
        );
        let summing = (ledger.clone(), Arc::clone(&clock));
        let policy = Policy { cancel_retry: Duration::from_millis(200), ..Policy::default() };
        let reconciler = Arc::new(Reconciler::new(
            ledger.clone(),
            Arc::clone(&tekton),
            Arc::clone(&clock),
            queue,
            policy,
        ));
        let (draining, stopping) = (CancellationToken::new(), CancellationToken::new());
        let settings = Settings {
            namespace: "kubernaut-workflows".to_owned(),
            heartbeat,
            finally_patience: FINALLY_PATIENCE,
            sensitive: SensitiveNames::default(),
        };
        let service = Service::new(
            ledger,
            Arc::clone(&tekton),
            clock,
            metrics.clone(),
            settings,
            draining.clone(),
        );
        let (connect, connections) = tokio::sync::mpsc::channel(64);
        let incoming =
            tokio_stream::wrappers::ReceiverStream::new(connections).map(Ok::<_, std::io::Error>);
        let serve = tonic::transport::Server::builder()
            .layer(grpc::ExplainLayer)
            .add_service(grpc::server(service, guard))
            .serve_with_incoming(incoming);
        let tasks = vec![
            tokio::spawn(async move { serve.await.unwrap() }),
            tokio::spawn({
                let (reconciler, stopping) = (Arc::clone(&reconciler), stopping.clone());
                async move { follow_runs(&reconciler, stopping).await }
            }),
            tokio::spawn(reconciler.run(stopping.clone())),
            tokio::spawn({
                let ((ledger, clock), stopping) = (summing, stopping.clone());
                async move { ledger.tries().sum_up(&*clock, stopping).await }
            }),
        ];
        (Self { connect, store, draining, stopping, tasks }, metrics)
    }

    async fn kill(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
        for task in self.tasks.drain(..) {
            let _ = task.await;
        }
        self.stopping.cancel();
        self.store.close().await;
    }
}

/// Waits until `look` finds something.
pub(crate) async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(begin.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) fn mk_start(request_id: &str, target: &str) -> v1::StartRequest {
    mk_start_of("succeeds", request_id, target)
}

pub(crate) fn mk_start_of(bundle: &str, request_id: &str, target: &str) -> v1::StartRequest {
    v1::StartRequest {
        request_id: request_id.to_owned(),
        target: target.to_owned(),
        workflow: Some(start_request::Workflow::Bundle(v1::BundleWorkflow {
            reference: format!("simulated.example/wfe/{bundle}:v1"),
            ..v1::BundleWorkflow::default()
        })),
        ..v1::StartRequest::default()
    }
}

pub(crate) async fn start(client: &mut Client, request: v1::StartRequest) -> v1::Execution {
    client.start(request).await.unwrap().into_inner().execution.unwrap()
}

pub(crate) async fn get(client: &mut Client, id: &str) -> v1::Execution {
    let key = Some(v1::get_request::Key::ExecutionId(id.to_owned()));
    client.get(v1::GetRequest { key }).await.unwrap().into_inner().execution.unwrap()
}

pub(crate) async fn cancel(client: &mut Client, id: &str) -> v1::Execution {
    cancel_as(client, id, v1::CancelMode::Immediate, None).await
}

/// Cancels in a mode; one that gives time gives `time`, or what the service is set to.
pub(crate) async fn cancel_as(
    client: &mut Client,
    id: &str,
    mode: v1::CancelMode,
    time: Option<Duration>,
) -> v1::Execution {
    let request = v1::CancelRequest {
        execution_id: id.to_owned(),
        reason: "a test".to_owned(),
        mode: mode.into(),
        escalate_after: time.map(|time| prost_types::Duration::try_from(time).unwrap()),
        ..v1::CancelRequest::default()
    };
    client.cancel(request).await.unwrap().into_inner().execution.unwrap()
}

pub(crate) async fn target(client: &mut Client, target: &str) -> v1::Target {
    let request = v1::GetTargetRequest { target: target.to_owned(), cluster_id: String::new() };
    client.get_target(request).await.unwrap().into_inner().target.unwrap()
}

pub(crate) async fn watch(
    client: &mut Client,
    id: &str,
    after: Option<i64>,
) -> Result<Streaming<v1::WatchResponse>, Status> {
    let scope = Some(watch_request::Scope::ExecutionId(id.to_owned()));
    Ok(client.watch(v1::WatchRequest { scope, after }).await?.into_inner())
}

/// Follows an execution to its end.
pub(crate) async fn until_terminal(client: &mut Client, id: &str) -> v1::Execution {
    let follow = async {
        let mut stream = watch(client, id, None).await.unwrap();
        while let Some(message) = stream.message().await.unwrap() {
            if let Some(watch_response::Update::Terminal(execution)) = message.update {
                return execution;
            }
        }
        panic!("the watch of {id} ended without a terminal message")
    };
    tokio::time::timeout(PATIENCE, follow).await.unwrap_or_else(|_| panic!("{id} does not end"))
}

/// Waits until an execution is in a state.
pub(crate) async fn until_state(client: &mut Client, id: &str, state: State) -> v1::Execution {
    eventually(&format!("{id} is {state:?}"), async || {
        Some(get(client, id).await).filter(|execution| execution.state() == state)
    })
    .await
}

/// The whole history of an execution.
pub(crate) async fn events(client: &mut Client, id: &str) -> Vec<v1::ExecutionEvent> {
    let request =
        v1::ListEventsRequest { execution_id: id.to_owned(), ..v1::ListEventsRequest::default() };
    client.list_events(request).await.unwrap().into_inner().events
}

/// Asserts code and reason of an error, and answers the message.
pub(crate) fn refused(status: &Status, code: Code, reason: &str) -> String {
    let details = status.get_error_details();
    let info = details.error_info().unwrap_or_else(|| panic!("no ErrorInfo in {status:?}"));
    assert_eq!((status.code(), info.reason.as_str()), (code, reason), "{status:?}");
    assert_eq!(info.domain, "execution.kubernaut.ai");
    status.message().to_owned()
}

/// The fields that a refusal of bad input names.
pub(crate) fn violated(status: &Status) -> Vec<String> {
    refused(status, Code::InvalidArgument, "INVALID_REQUEST");
    let details = status.get_error_details();
    let violations = &details.bad_request().unwrap().field_violations;
    assert!(violations.iter().all(|violation| !violation.description.is_empty()));
    violations.iter().map(|violation| violation.field.clone()).collect()
}

/// How many rows the database has in all: nothing more than before means that nothing was stored.
pub(crate) async fn stored(stack: &Stack) -> (usize, u64) {
    let unfinished = stack.store().unfinished().await.unwrap().len();
    let all = stack.store().count_by_state().await.unwrap().iter().map(|(_, n)| n).sum();
    (unfinished, all)
}

/// Asserts that no run and no task in the cluster is alive.
pub(crate) fn assert_nothing_alive(stack: &Stack) {
    for snapshot in stack.cluster.runs() {
        assert!(!snapshot.run.is_live(), "{:?}", snapshot.run);
        for task in &snapshot.task_runs {
            assert!(!task.is_live(), "{task:?}");
        }
    }
}
