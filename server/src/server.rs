//! How a server is put together, and how it stops.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use wfe_runtime::{
    cluster::{self, ClientError},
    http,
    process::{BindError, Serving, bind, essential},
    settings::SettingsError,
    tls::{SelfSigned, ServerCertificate, TlsListener},
};

use crate::{
    audit::{
        AuditError, AuditStatus, Auditor, CheckpointFile, CheckpointMap, DatabaseFile, Opening,
        Outside, Sealer,
    },
    auth::{Guard, kube::KubeReviewer},
    clock::{Clock, SystemClock},
    config::{Authentication, Config, Engine, Tls},
    delivery::deliver,
    grpc,
    http::Probes,
    ledger::Ledger,
    metrics::Metrics,
    notify::Notifier,
    reconcile::{Policy, Queue, Reconciler, follow_runs},
    service::{Service, Settings},
    store::{
        Store, StoreError,
        sqlite::{OpenError, SqliteStore},
    },
    tekton::{
        Tekton,
        kube::{ConnectError, KubeTekton},
        simulator::Simulator,
    },
    vault::{self, KeyError, Vault},
};

mod delivery;
mod serve;
mod tls;

use delivery::Delivery;
use serve::serve_grpc;

pub use tls::TlsError;

/// Who waits for readiness looks this often.
const READY_INTERVAL: Duration = Duration::from_millis(10);

/// A server that runs.
pub struct Server {
    grpc_address: SocketAddr,
    health_address: SocketAddr,
    metrics_address: SocketAddr,
    draining: CancellationToken,
    stopping: CancellationToken,
    door: JoinHandle<()>,
    ended: CancellationToken,
    tasks: TaskTracker,
    store: Arc<dyn Store>,
    probes: Probes,
    shutdown_timeout: Duration,
}

/// A server could not be started. Nothing of it is left.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database cannot be used.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// What is stored cannot be read.
    #[error("database {path}")]
    Store {
        /// The database.
        path: PathBuf,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// The key of the sensitive parameters cannot be used.
    #[error(transparent)]
    ParameterKey(#[from] KeyError),
    /// Database, audit key and checkpoints do not fit each other.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// An address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The cluster cannot be used.
    #[error(transparent)]
    Cluster(#[from] ConnectError),
    /// The API server cannot be asked who calls.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The settings contradict each other.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Metrics cannot be registered.
    #[error("metrics")]
    Metrics(#[from] prometheus::Error),
}

/// A server stopped, but not in order.
#[derive(Debug, thiserror::Error)]
#[error("calls were still open after {0:?} and were cut")]
pub struct StopError(Duration);

impl Server {
    /// Starts a server: first what it stands on, then its doors, then its work.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let metrics = Metrics::new()?;
        let database = SqliteStore::open(&config.database, Arc::new(metrics.clone())).await?;
        let database = Arc::new(database);
        let store: Arc<dyn Store> = Arc::clone(&database) as Arc<dyn Store>;
        let counts = store
            .count_by_state()
            .await
            .map_err(|source| StartError::Store { path: config.database.clone(), source })?;
        metrics.set_live(&counts);
        // The log first: of a database that is another one, that is what matters.
        let sealer = Arc::new(open_log(&config, &store, &clock).await?);
        let vault = Arc::new(vault::key::unlock(&config.parameter_key(), &*store).await?);
        let delivery = Delivery::begin(&config, database, &clock, &metrics).await?;
        let tekton = connect(&config, Arc::clone(&clock)).await?;
        let doorman = Doorman::begin(&config, &clock).await?;
        let listeners = Listeners::bind(&config).await?;
        let parts = Parts { store, delivery, vault, sealer, tekton, clock, metrics };
        Ok(Self::run(config, listeners, doorman, parts))
    }

    fn run(config: Config, listeners: Listeners, doorman: Doorman, parts: Parts) -> Self {
        let Parts { store, delivery, vault, sealer, tekton, clock, metrics } = parts;
        let (draining, stopping) = (CancellationToken::new(), CancellationToken::new());
        let queue = Arc::new(Queue::new(Arc::clone(&clock)));
        let notifier: Arc<Notifier> = Arc::default();
        let ledger = Ledger::new(
            Arc::clone(&store),
            Arc::clone(&notifier),
            Arc::clone(&queue),
            config.gates.policy(),
            vault,
            metrics.clone(),
        )
        .with_summary_interval(config.audit_summary_interval);
        let reconciler = Arc::new(Reconciler::new(
            ledger.clone(),
            Arc::clone(&tekton),
            Arc::clone(&clock),
            Arc::clone(&queue),
            policy(&config),
        ));
        let auditor = Auditor::new(
            Arc::clone(&sealer),
            notifier,
            Delivery::needs(delivery.as_ref()),
            metrics.clone(),
            config.audit_timing(),
            format!("{:032x}", rand::random::<u128>()),
        );
        let (audit, audit_key) = (sealer.status().clone(), sealer.public().id());
        let summing = {
            let (ledger, clock, stopping) = (ledger.clone(), Arc::clone(&clock), stopping.clone());
            async move { ledger.tries().sum_up(&*clock, stopping).await }
        };
        let settings = Settings {
            namespace: config.namespace,
            heartbeat: config.heartbeat,
            sensitive: config.sensitive_parameters,
            finally_patience: config.finally_patience,
        };
        let backpressure = delivery.as_ref().and_then(|delivery| delivery.backpressure.clone());
        let service = Service::new(
            ledger,
            Arc::clone(&tekton),
            Arc::clone(&clock),
            metrics.clone(),
            settings,
            draining.clone(),
        )
        .with_log(sealer)
        .with_backpressure(backpressure);
        let probes = Probes::new(
            Arc::clone(&store),
            tekton,
            queue,
            audit,
            Arc::clone(&clock),
            metrics,
            draining.clone(),
        )
        .with_delivery(delivery.as_ref().map(|delivery| delivery.status.clone()));

        let (tasks, ended) = (TaskTracker::new(), CancellationToken::new());
        let addresses = listeners.addresses;
        let health = http::health_router(probes.clone());
        tasks.spawn(essential(&ended, http::serve(listeners.health, health, stopping.clone())));
        let shown = http::metrics_router(probes.clone());
        tasks.spawn(essential(&ended, http::serve(listeners.metrics, shown, stopping.clone())));
        tasks.spawn(essential(&ended, {
            let (reconciler, stopping) = (Arc::clone(&reconciler), stopping.clone());
            async move { follow_runs(&reconciler, stopping).await }
        }));
        tasks.spawn(essential(&ended, reconciler.run(stopping.clone())));
        tasks.spawn(essential(&ended, auditor.run(stopping.clone())));
        tasks.spawn(essential(&ended, summing));
        if let Some(Delivery { courier, .. }) = delivery {
            tasks.spawn(essential(&ended, deliver(courier, clock, stopping.clone())));
        }
        let Doorman { guard, tls } = doorman;
        let certificate = tls.as_ref().map(tls::KeptTls::certificate);
        if let Some(tls) = tls {
            tasks.spawn(essential(&ended, tls.keep(stopping.clone())));
        }
        let incoming = Incoming::new(listeners.grpc, certificate);
        let door = tokio::spawn(essential(
            &ended,
            serve_grpc(incoming, grpc::server(service, guard), probes.clone(), draining.clone()),
        ));
        announce(addresses, &audit_key.to_string(), config.authentication);
        Self {
            grpc_address: addresses[0],
            health_address: addresses[1],
            metrics_address: addresses[2],
            draining,
            stopping,
            door,
            ended,
            tasks,
            store,
            probes,
            shutdown_timeout: config.shutdown_timeout,
        }
    }

    /// Where the gRPC service listens.
    pub fn grpc_address(&self) -> SocketAddr {
        self.grpc_address
    }

    /// Where `/health` and `/ready` are.
    pub fn health_address(&self) -> SocketAddr {
        self.health_address
    }

    /// Where `/metrics` is.
    pub fn metrics_address(&self) -> SocketAddr {
        self.metrics_address
    }

    /// Waits until every part is well.
    pub async fn ready(&self) {
        while !self.probes.readiness().await.ready {
            tokio::time::sleep(READY_INTERVAL).await;
        }
    }
}

impl Serving for Server {
    type StopError = StopError;

    /// Ends when a part that the server cannot do without has ended by itself.
    async fn broken(&self) {
        self.ended.cancelled().await;
    }

    /// Stops: takes no more calls, ends watches with the cursor where to resume, lets work under way
    /// reach a safe point, closes the store. Bounded by the shutdown timeout.
    async fn stop(mut self) -> Result<(), StopError> {
        tracing::info!("shutting down");
        self.draining.cancel();
        let in_time = tokio::time::timeout(self.shutdown_timeout, &mut self.door).await.is_ok();
        self.door.abort();
        self.stopping.cancel();
        self.tasks.close();
        // Work that is cut here is found again at the next start.
        let ended = tokio::time::timeout(self.shutdown_timeout, self.tasks.wait()).await.is_ok();
        self.store.close().await;
        if in_time && ended { Ok(()) } else { Err(StopError(self.shutdown_timeout)) }
    }
}

/// Who is let in, and what is shown to them.
struct Doorman {
    guard: Guard,
    tls: Option<tls::KeptTls>,
}

impl Doorman {
    async fn begin(config: &Config, clock: &Arc<dyn Clock>) -> Result<Self, StartError> {
        let tls = config.tls().map_err(SettingsError::wrong)?;
        let guard = match config.authentication {
            Authentication::None => Guard::open(),
            Authentication::Kubernetes => {
                let client = cluster::client(config.kubeconfig.as_deref()).await?;
                let reviewer = Arc::new(KubeReviewer::new(client, config.audience.clone()));
                let bridges = config.trusted_bridges.clone();
                Guard::reviewed(reviewer, bridges, config.authorization_cache, Arc::clone(clock))
            }
        };
        let tls = match tls {
            Tls::Off => None,
            Tls::Files(files) => Some(tls::KeptTls::files(files).await?),
            Tls::Secret { name, names, client_ca } => {
                let client = cluster::client(config.kubeconfig.as_deref()).await?;
                let secret = SelfSigned::new(client, name, names, &[]);
                Some(tls::KeptTls::secret(secret, client_ca, Arc::clone(clock)).await?)
            }
        };
        Ok(Self { guard, tls })
    }
}

/// What a server runs on.
struct Parts {
    store: Arc<dyn Store>,
    delivery: Option<Delivery>,
    vault: Arc<Vault>,
    sealer: Arc<Sealer>,
    tekton: Arc<dyn Tekton>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
}

/// Compares the log with what was signed, and finds the key that signs from now on.
async fn open_log(
    config: &Config,
    store: &Arc<dyn Store>,
    clock: &Arc<dyn Clock>,
) -> Result<Sealer, StartError> {
    let path = &config.database;
    let file = DatabaseFile::opened(path)
        .map_err(|source| AuditError::File { path: path.clone(), source })?;
    let mut places: Vec<Arc<dyn Outside>> =
        vec![Arc::new(CheckpointFile::new(config.audit_checkpoint_file()))];
    if let Some(map) = config.audit_config_map().map_err(SettingsError::wrong)? {
        let client = cluster::client(config.kubeconfig.as_deref()).await?;
        places.push(Arc::new(CheckpointMap::new(client, &map.namespace, &map.name)));
    }
    let opening = Opening {
        store: Arc::clone(store),
        file,
        clock: Arc::clone(clock),
        keys: config.audit_keys(),
        places,
        status: AuditStatus::default(),
    };
    Ok(opening.begin().await?)
}

fn announce(addresses: [SocketAddr; 3], audit_key: &str, authentication: Authentication) {
    let [grpc, health, metrics] = addresses;
    tracing::info!(%grpc, %health, %metrics, %audit_key, "serving");
    if authentication == Authentication::None {
        tracing::warn!(
            %grpc,
            "callers are not authenticated: whoever reaches this address may do everything"
        );
    }
}

fn policy(config: &Config) -> Policy {
    Policy {
        start_timeout: config.start_timeout,
        patience: config.patience(),
        run_retention: Some(config.run_retention).filter(|kept| !kept.is_zero()),
        ..Policy::default()
    }
}

async fn connect(config: &Config, clock: Arc<dyn Clock>) -> Result<Arc<dyn Tekton>, StartError> {
    Ok(match config.engine {
        Engine::Simulator => Arc::new(Simulator::new(clock, config.simulated_task)),
        Engine::Tekton => {
            Arc::new(KubeTekton::connect(config.kubeconfig.as_deref(), &config.namespace).await?)
        }
    })
}

/// The doors, bound before anything else happens, so that a busy port is known at once.
struct Listeners {
    grpc: TcpListener,
    health: TcpListener,
    metrics: TcpListener,
    addresses: [SocketAddr; 3],
}

impl Listeners {
    async fn bind(config: &Config) -> Result<Self, BindError> {
        let (grpc, grpc_address) = bind(config.grpc_address, "grpc_address").await?;
        let (health, health_address) = bind(config.health_address, "health_address").await?;
        let (metrics, metrics_address) = bind(config.metrics_address, "metrics_address").await?;
        let addresses = [grpc_address, health_address, metrics_address];
        Ok(Self { grpc, health, metrics, addresses })
    }
}

/// Connections of clients.
enum Incoming {
    /// In the clear.
    Plain(TcpListener),
    /// With TLS.
    Tls(TlsListener),
}

impl Incoming {
    fn new(listener: TcpListener, certificate: Option<Arc<ServerCertificate>>) -> Self {
        match certificate {
            None => Self::Plain(listener),
            Some(certificate) => Self::Tls(TlsListener::new(listener, certificate)),
        }
    }
}
