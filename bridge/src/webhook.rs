//! The admission webhook: who changes a status, and what becomes of it.
//!
//! The API server calls it before it stores a change of a status that is not the bridge's own. It says who
//! asks for a clearance, which nobody could say afterwards, and seals that. It answers in milliseconds and
//! carries nothing out: that is for the followers, from what was stored.
//!
//! A reader's order: [`review`] (what becomes of a change), [`reviewer`] (the right to clear, what is made
//! known), [`admission`] (HTTP), [`trust`] (whom the API server believes). Without the webhook, or while it is
//! broken, the bridge does everything else.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::{Api, Client, api::PostParams};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, watch},
};
use tokio_util::sync::CancellationToken;
use wfe_runtime::{
    clock::Clock,
    cluster::{CallError, call},
    error::chain,
    http,
    tls::{
        FileError, Kept, MaterialError, Protocols, SecretError, SelfSigned, ServerCertificate,
        ServerMaterial, TlsListener, keep_files,
    },
};

use crate::{
    cluster::Cluster,
    config::{Material, WebhookConfig},
    metrics::Metrics,
    seal::{KeyError, SealKey, Seals},
};

pub mod admission;
pub mod review;
pub mod reviewer;
mod trust;

use reviewer::Reviewer;

/// The entry of the Secret with the key for seals.
const SEAL_KEY: &str = "seal.key";
/// What is missing is looked for again after this time.
const AGAIN: Duration = Duration::from_secs(2);
/// The Secret, or the files, are looked at so often.
const LOOK: Duration = Duration::from_secs(10);

/// What a webhook needs of the bridge that it belongs to.
pub struct Surroundings {
    /// Settings.
    pub config: WebhookConfig,
    /// The API server.
    pub client: Client,
    /// Where Kubernetes events go.
    pub cluster: Cluster,
    /// What is measured.
    pub metrics: Metrics,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// How this copy of the bridge calls itself in Kubernetes events.
    pub instance: String,
    /// Where the key for seals is told.
    pub seals: watch::Sender<Seals>,
    /// It ends when this is cancelled.
    pub stopping: CancellationToken,
}

/// Whether a webhook can answer.
#[derive(Clone)]
pub struct Health {
    problem: Arc<Mutex<Option<String>>>,
    metrics: Metrics,
}

impl Health {
    /// Of a bridge without a webhook: all is well.
    pub fn without(metrics: Metrics) -> Self {
        Self { problem: Arc::default(), metrics }
    }

    /// Of a webhook that begins.
    pub fn new(metrics: Metrics) -> Self {
        let health = Self::without(metrics);
        health.feel(Some("has no certificate yet".to_owned()));
        health
    }

    /// Why it cannot answer; `None` when it can, or when there is none.
    pub fn problem(&self) -> Option<String> {
        self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn feel(&self, problem: Option<String>) {
        self.metrics.webhook(problem.is_none());
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }
}

/// What a webhook needs cannot be had now.
#[derive(Debug, thiserror::Error)]
enum Missing {
    #[error("the certificate of the webhook")]
    Secret(#[from] SecretError),
    #[error("the certificate of the webhook")]
    Files(#[from] FileError),
    #[error("the certificate of the webhook")]
    Material(#[from] MaterialError),
    #[error("the key for seals cannot be read")]
    KeyFile(#[source] std::io::Error),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("the name of this bridge")]
    Name(#[source] CallError),
}

/// What is shown and sealed with.
struct Obtained {
    server: ServerMaterial,
    key: SealKey,
    /// Of a Secret: all of it, and who keeps it.
    kept: Option<(SelfSigned, Kept)>,
    /// Who this bridge is.
    own_name: String,
}

/// Answers on `listener` until the bridge stops. What is missing is looked for until it is there; that
/// holds nothing else up.
pub async fn serve(around: Surroundings, listener: TcpListener, health: Health) {
    let stopping = around.stopping.clone();
    let ready = async {
        loop {
            match prepare(&around).await {
                Ok(prepared) => return prepared,
                Err(error) => {
                    let problem = chain(&error);
                    if health.problem().as_ref() != Some(&problem) {
                        tracing::warn!(problem, "the webhook cannot answer yet");
                    }
                    health.feel(Some(problem));
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    };
    let (certificate, obtained) = tokio::select! {
        ready = ready => ready,
        () = stopping.cancelled() => return,
    };
    around.seals.send_replace(Seals::Key(obtained.key));
    let reviewer = Reviewer {
        client: around.client.clone(),
        cluster: around.cluster.clone(),
        metrics: around.metrics.clone(),
        clock: Arc::clone(&around.clock),
        instance: around.instance.clone(),
        seals: around.seals.subscribe(),
        cancellers: around.config.cancellers.clone(),
        own_name: obtained.own_name,
        notes: Arc::new(Semaphore::new(reviewer::NOTES_AT_ONCE)),
    };
    let router = admission::router(vec![Arc::new(reviewer)], &around.metrics);
    tracing::info!(address = %around.config.address, "the webhook answers");
    health.feel(None);
    let serving = http::serve_tls(
        TlsListener::new(listener, Arc::clone(&certificate)),
        router,
        stopping.clone(),
    );
    let keeping = keep(&around, certificate, obtained.kept);
    tokio::join!(serving, keeping);
    health.feel(Some("has ended".to_owned()));
}

async fn prepare(around: &Surroundings) -> Result<(Arc<ServerCertificate>, Obtained), Missing> {
    let obtained = obtain(around).await?;
    let certificate = ServerCertificate::new(Protocols::Http, &obtained.server)?;
    Ok((Arc::new(certificate), obtained))
}

async fn obtain(around: &Surroundings) -> Result<Obtained, Missing> {
    let reviews = Api::<SelfSubjectReview>::all(around.client.clone());
    let (params, question) = (PostParams::default(), SelfSubjectReview::default());
    let review = call(reviews.create(&params, &question)).await.map_err(Missing::Name)?;
    let own = review.status.and_then(|status| status.user_info);
    let own_name = own.and_then(|user| user.username).unwrap_or_default();
    match &around.config.material {
        Material::Secret { secret, names, .. } => {
            let (client, secret) = (around.client.clone(), secret.clone());
            let keeper = SelfSigned::new(client, secret, names.clone(), &[SEAL_KEY]);
            let kept = keeper.obtain(around.clock.now()).await?;
            let (server, key) = (kept.server.clone(), seal_key(&kept)?);
            Ok(Obtained { server, key, kept: Some((keeper, kept)), own_name })
        }
        Material::Files { server, seal_key } => {
            let key = tokio::fs::read(seal_key).await.map_err(Missing::KeyFile)?;
            let (server, key) = (server.read().await?, SealKey::new(&key)?);
            Ok(Obtained { server, key, kept: None, own_name })
        }
    }
}

fn seal_key(kept: &Kept) -> Result<SealKey, KeyError> {
    SealKey::new(kept.random.get(SEAL_KEY).map_or(&[][..], Vec::as_slice))
}

/// Keeps the certificate, the key for seals and the trust of the API server current.
async fn keep(
    around: &Surroundings,
    certificate: Arc<ServerCertificate>,
    kept: Option<(SelfSigned, Kept)>,
) {
    let stopping = around.stopping.clone();
    match (&around.config.material, kept) {
        (Material::Secret { configuration, .. }, Some((keeper, kept))) => {
            let (authority, trusted) = watch::channel(kept.ca.clone());
            let seals = around.seals.clone();
            let changed = move |kept: &Kept| {
                let replaced = certificate.replace(&kept.server).map_err(|error| chain(&error));
                if let Err(problem) = replaced {
                    tracing::error!(problem, "the new certificate cannot be shown");
                    return;
                }
                match seal_key(kept) {
                    Ok(key) => drop(seals.send_replace(Seals::Key(key))),
                    Err(error) => tracing::error!(%error, "the old key for seals is still used"),
                }
                authority.send_replace(kept.ca.clone());
            };
            let clock = Arc::clone(&around.clock);
            let keeping = keeper.keep(kept, clock, LOOK, changed, stopping.clone());
            let trusting = async {
                if let Some(name) = configuration {
                    trust::keep(&around.client, name, trusted, &stopping).await;
                }
            };
            tokio::join!(keeping, trusting);
        }
        (Material::Files { server, .. }, _) => {
            keep_files(server.clone(), certificate, LOOK, stopping).await;
        }
        (Material::Secret { .. }, None) => {}
    }
}

/// Users as they are listed in settings.
type Users = BTreeSet<String>;
