//! How a bridge is put together, and how it stops.

use std::{
    net::SocketAddr,
    panic::AssertUnwindSafe,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::FutureExt as _;
use kube::core::ObjectMeta;
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use wfe_proto::v1::Execution;
use wfe_runtime::{
    clock::SystemClock,
    cluster::{self, ClientError, Mirror, Pulse, Timing, Version},
    http,
    process::{BindError, Serving, bind, essential},
    settings::SettingsError,
};

use crate::{
    cluster::Cluster,
    config::Config,
    decide::Policy,
    desk::{Desk, Sight},
    follow::{Follower, Surroundings},
    link::Link,
    listen::Listener,
    metrics::Metrics,
    object::{Object, RawObject},
    probes::Probes,
    seal::Seals,
    webhook,
};

/// Who waits for readiness looks this often.
const READY_INTERVAL: Duration = Duration::from_millis(10);

/// A follower that panicked is replaced after this time.
const AFTER_PANIC: Duration = Duration::from_secs(5);

/// A bridge that runs.
pub struct Bridge {
    health_address: SocketAddr,
    metrics_address: SocketAddr,
    stopping: CancellationToken,
    ended: CancellationToken,
    tasks: TaskTracker,
    probes: Probes,
    shutdown_timeout: Duration,
}

/// A bridge could not be started. Nothing of it is left.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The cluster cannot be used.
    #[error(transparent)]
    Cluster(#[from] ClientError),
    /// Settings do not go together.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Metrics cannot be registered.
    #[error("metrics")]
    Metrics(#[from] prometheus::Error),
}

/// A bridge stopped, but not in order.
#[derive(Debug, thiserror::Error)]
#[error("work was still under way after {0:?} and was cut")]
pub struct StopError(Duration);

impl Bridge {
    /// Starts a bridge. Needs neither the cluster nor the service to answer: it goes on trying, and
    /// readiness says what is missing.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let access = config.access().map_err(SettingsError::wrong)?;
        let webhook = config.webhook()?;
        let metrics = Metrics::new()?;
        let client = cluster::client(config.kubeconfig.as_deref()).await?;
        let (health, health_address) = bind(config.health_address, "health_address").await?;
        let (metrics_page, metrics_address) =
            bind(config.metrics_address, "metrics_address").await?;

        let webhook = match webhook {
            Some(webhook) => Some((bind(webhook.address, "webhook_address").await?, webhook)),
            None => None,
        };

        let (seals_sender, seals) =
            watch::channel(if webhook.is_some() { Seals::Unknown } else { Seals::Off });
        let (stopping, ended, tasks) =
            (CancellationToken::new(), CancellationToken::new(), TaskTracker::new());
        let link = Link::new(&access, metrics.clone());
        let around = Arc::new(Surroundings {
            link: link.clone(),
            cluster: Cluster::new(client.clone(), metrics.clone()),
            metrics: metrics.clone(),
            policy: Policy {
                when_locked: config.when_locked.into(),
                delete_timeout: Some(config.delete_timeout).filter(|timeout| !timeout.is_zero()),
            },
            clock: Arc::new(SystemClock),
            instance: instance(),
            seals,
            desk: Mutex::default(),
            stopping: stopping.clone(),
        });
        let watched = Arc::new(Watched::default());
        let (webhook_address, webhook_health) = match webhook {
            None => (None, webhook::Health::without(metrics.clone())),
            Some(((listener, address), config)) => {
                let health = webhook::Health::new(metrics.clone());
                let serving = webhook::Surroundings {
                    config,
                    client,
                    cluster: around.cluster.clone(),
                    metrics: metrics.clone(),
                    clock: Arc::clone(&around.clock),
                    instance: around.instance.clone(),
                    seals: seals_sender,
                    stopping: stopping.clone(),
                };
                // Not essential: whatever becomes of it, executions go on, and readiness tells.
                tasks.spawn(webhook::serve(serving, listener, health.clone()));
                (Some(address), health)
            }
        };
        let probes = Probes::new(
            link.clone(),
            Arc::clone(&watched),
            webhook_health,
            metrics,
            stopping.clone(),
        );

        let router = http::health_router(probes.clone());
        tasks.spawn(essential(&ended, http::serve(health, router, stopping.clone())));
        let router = http::metrics_router(probes.clone());
        tasks.spawn(essential(&ended, http::serve(metrics_page, router, stopping.clone())));
        tasks.spawn(essential(
            &ended,
            until(stopping.clone(), async move {
                link.keep_asking().await;
            }),
        ));
        let listener = Listener::new(Arc::clone(&around), Arc::clone(&watched), tasks.clone());
        tasks.spawn(essential(&ended, until(stopping.clone(), listener.listen())));
        let api = around.cluster.objects(config.namespace.as_deref());
        let office = Office { around, watched: Arc::clone(&watched), followers: tasks.clone() };
        tasks.spawn(essential(
            &ended,
            until(stopping.clone(), async move {
                let timing = Timing::default();
                match cluster::keep(&api, None, &office, &watched.pulse, &timing).await {}
            }),
        ));
        tracing::info!(
            server = %config.server,
            health = %health_address,
            metrics = %metrics_address,
            webhook = webhook_address.map(tracing::field::display),
            "bridging"
        );
        Ok(Self {
            health_address,
            metrics_address,
            stopping,
            ended,
            tasks,
            probes,
            shutdown_timeout: config.shutdown_timeout,
        })
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
        while !self.probes.readiness().ready {
            tokio::time::sleep(READY_INTERVAL).await;
        }
    }
}

impl Serving for Bridge {
    type StopError = StopError;

    /// Ends when a part that the bridge cannot do without has ended by itself.
    async fn broken(&self) {
        self.ended.cancelled().await;
    }

    /// Stops: lets steps under way end. Bounded by the shutdown timeout. What was cut is found again
    /// at the next start.
    async fn stop(self) -> Result<(), StopError> {
        tracing::info!("shutting down");
        self.stopping.cancel();
        self.tasks.close();
        let ended = tokio::time::timeout(self.shutdown_timeout, self.tasks.wait()).await.is_ok();
        if ended { Ok(()) } else { Err(StopError(self.shutdown_timeout)) }
    }
}

async fn until(stopping: CancellationToken, work: impl Future<Output = ()>) {
    tokio::select! {
        () = stopping.cancelled() => {}
        () = work => {}
    }
}

/// How this copy calls itself: the name of its pod, when it has one.
fn instance() -> String {
    std::env::var("HOSTNAME")
        .ok()
        .filter(|name| !name.is_empty())
        .unwrap_or("wfe-bridge".to_owned())
}

/// How the watch of WorkflowExecutions is.
#[derive(Debug, Default)]
pub struct Watched {
    /// When it was last heard of.
    pub pulse: Pulse,
    synced: AtomicBool,
}

impl Watched {
    /// As it is when all are known.
    #[cfg(test)]
    pub(crate) fn synced() -> Self {
        Self { synced: AtomicBool::new(true), ..Self::default() }
    }

    /// Whether all WorkflowExecutions are known.
    pub fn is_synced(&self) -> bool {
        self.synced.load(Ordering::Relaxed)
    }
}

/// Sets followers on the objects that need one.
struct Office {
    around: Arc<Surroundings>,
    watched: Arc<Watched>,
    followers: TaskTracker,
}

impl Office {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.around.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hire(&self, sight: watch::Receiver<Sight>) {
        hire(&self.followers, Arc::clone(&self.around), sight, None);
    }

    fn read(&self, raw: RawObject) -> Object {
        let object = Object::read(raw);
        for (part, error) in
            [("spec", object.spec.as_ref().err()), ("status", object.status.as_ref().err())]
        {
            if let Some(error) = error {
                self.around.metrics.unreadable();
                tracing::error!(object = %object.key, part, error, "cannot be read");
            }
        }
        object
    }
}

/// Sets a follower on an object, which may know already what the service has for it.
pub(crate) fn hire(
    followers: &TaskTracker,
    around: Arc<Surroundings>,
    sight: watch::Receiver<Sight>,
    known: Option<Execution>,
) {
    followers.spawn(async move {
        while let Some(follower) = Follower::new(Arc::clone(&around), sight.clone()) {
            let follower = match known.clone() {
                Some(execution) => follower.knowing(execution),
                None => follower,
            };
            if AssertUnwindSafe(Box::pin(follower.run())).catch_unwind().await.is_ok() {
                return;
            }
            // The panic was written to the log; its object is not left alone for that.
            tokio::time::sleep(AFTER_PANIC).await;
        }
    });
}

impl Mirror for Office {
    type Kind = RawObject;

    fn replace(&self, all: Vec<RawObject>, at: Version) {
        let all = all.into_iter().map(|raw| self.read(raw)).collect();
        let wanted = self.desk().replace(all, at);
        for sight in wanted {
            self.hire(sight);
        }
        self.watched.synced.store(true, Ordering::Relaxed);
    }

    fn apply(&self, object: RawObject) {
        let object = self.read(object);
        let wanted = self.desk().see(object);
        if let Some(sight) = wanted {
            self.hire(sight);
        }
    }

    fn remove(&self, object: &ObjectMeta) {
        self.desk().forget(object);
    }

    fn known_to(&self, _: Version) {}
}
