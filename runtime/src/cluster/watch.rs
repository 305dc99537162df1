//! Keeps a mirror what the cluster is: lists, then watches, for ever.
//!
//! The watcher of `kube::runtime` hides bookmarks and the ends of quiet watches, and then nobody can
//! tell a quiet cluster from one that is away. Here every sign of life is felt.

use std::{convert::Infallible, fmt, time::Duration};

use futures::StreamExt as _;
use kube::{
    Api, Resource,
    api::{ListParams, WatchEvent, WatchParams},
    core::ObjectMeta,
};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::{
    CALL, PAGE,
    error::CallError,
    pulse::{Patience, Pulse},
};
use crate::error::chain;

/// A watch over which nothing comes for this long is given up.
pub(super) const SILENCE: Duration = Duration::from_secs(50);

/// Position in the history of the API server: a resource version.
///
/// The API server orders them by number, so of two states of one object the greater is the newer.
pub type Version = u64;

/// The version of an object; 0 when it has none, as before it is stored.
pub fn version_of(metadata: &ObjectMeta) -> Version {
    metadata.resource_version.as_deref().map_or(0, number)
}

fn number(version: &str) -> Version {
    version.parse().unwrap_or(0)
}

/// Where what is seen of one kind of object goes.
pub trait Mirror: Send + Sync {
    /// The kind. It should read almost anything: a page with an object that cannot be read is not read
    /// at all.
    type Kind: Resource<DynamicType = ()> + Clone + DeserializeOwned + fmt::Debug + Send + 'static;

    /// These are all that exist, as of `at`.
    fn replace(&self, all: Vec<Self::Kind>, at: Version);
    /// This was created or changed.
    fn apply(&self, object: Self::Kind);
    /// This is gone.
    fn remove(&self, object: &ObjectMeta);
    /// Everything up to `at` was told.
    fn known_to(&self, at: Version);
}

/// How long things take.
#[derive(Debug, Clone)]
pub struct Timing {
    /// The API server ends a watch after about this time, and says so. In whole seconds.
    pub watch: Duration,
    /// A watch over which nothing comes for this long is given up.
    pub silence: Duration,
    /// A list or the start of a watch may take this long.
    pub call: Duration,
    /// After this time without a sign of life, what was known is listed anew.
    pub stale: Duration,
    /// The first and the longest wait after trouble.
    pub backoff: (Duration, Duration),
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            watch: Duration::from_secs(30),
            silence: SILENCE,
            call: CALL,
            stale: Duration::from_mins(2),
            backoff: (Duration::from_millis(200), Duration::from_secs(2)),
        }
    }
}

/// Keeps all objects of a kind in the mirror; of them only those with the label `labels` selects.
pub async fn keep<M: Mirror>(
    api: &Api<M::Kind>,
    labels: Option<&str>,
    mirror: &M,
    pulse: &Pulse,
    timing: &Timing,
) -> Infallible {
    let keeper = Keeper { api, labels, mirror, pulse, timing };
    let mut patience = Patience::new(M::Kind::kind(&()), timing, pulse);
    loop {
        match keeper.list().await {
            Ok(position) => {
                patience.restore();
                keeper.follow(position, &mut patience).await;
            }
            Err(error) => patience.wait(&error).await,
        }
    }
}

struct Keeper<'a, M: Mirror> {
    api: &'a Api<M::Kind>,
    labels: Option<&'a str>,
    mirror: &'a M,
    pulse: &'a Pulse,
    timing: &'a Timing,
}

/// How a watch ended.
enum End {
    /// It may be taken up again where it ended.
    Orderly,
    /// What came after its position is forgotten.
    Expired,
    /// Something is wrong; it may be taken up again a little later.
    Trouble(CallError),
}

impl<M: Mirror> Keeper<'_, M> {
    /// Lists everything. Answers the position from which to watch.
    async fn list(&self) -> Result<String, CallError> {
        let mut params = ListParams::default().limit(PAGE);
        params.label_selector = self.labels.map(ToOwned::to_owned);
        let mut all = Vec::new();
        let position = loop {
            let page = self.in_time(self.api.list(&params)).await?;
            self.pulse.beat();
            all.extend(page.items);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => break page.metadata.resource_version.unwrap_or_default(),
            }
        };
        tracing::debug!(kind = %M::Kind::kind(&()), position, count = all.len(), "listed");
        self.mirror.replace(all, number(&position));
        Ok(position)
    }

    /// Watches from `position` on, until it has to be listed anew.
    async fn follow(&self, mut position: String, patience: &mut Patience<'_>) {
        loop {
            match self.watch(&mut position, patience).await {
                End::Orderly => {}
                End::Expired => {
                    tracing::info!(kind = %M::Kind::kind(&()), position, "the watch is too old; listing anew");
                    return;
                }
                End::Trouble(error) => patience.wait(&error).await,
            }
            if self.pulse.age() > self.timing.stale {
                return;
            }
        }
    }

    /// One watch. Moves `position` along.
    async fn watch(&self, position: &mut String, patience: &mut Patience<'_>) -> End {
        // Not in step with other replicas.
        let seconds = self.timing.watch.mul_f64(rand::random_range(0.8..1.2)).as_secs().max(1);
        let mut params = WatchParams::default().timeout(u32::try_from(seconds).unwrap_or(u32::MAX));
        params.label_selector = self.labels.map(ToOwned::to_owned);
        let began = Instant::now();
        let events = match self.in_time(self.api.watch(&params, position)).await {
            Ok(events) => events,
            Err(error) => return end(error),
        };
        self.pulse.beat();
        let mut events = std::pin::pin!(events);
        loop {
            let Ok(heard) = tokio::time::timeout(self.timing.silence, events.next()).await else {
                return End::Trouble(CallError::Unanswered(self.timing.silence));
            };
            let event = match heard {
                Some(Ok(event)) => event,
                Some(Err(error)) if is_unreadable(&error) => {
                    self.pulse.beat();
                    let error = chain(&CallError::from(error));
                    tracing::error!(kind = %M::Kind::kind(&()), error, "skipping an event that cannot be read");
                    continue;
                }
                Some(Err(error)) => return end(error.into()),
                // The API server keeps to the time that it was given; an end before it is trouble.
                None if began.elapsed() < Duration::from_secs(seconds) / 2 => {
                    return End::Trouble(CallError::Unreachable("the watch was cut off".into()));
                }
                None => return End::Orderly,
            };
            self.pulse.beat();
            patience.restore();
            match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    self.moved_to(position, object.meta().resource_version.as_deref());
                    self.mirror.apply(object);
                }
                WatchEvent::Deleted(object) => {
                    self.moved_to(position, object.meta().resource_version.as_deref());
                    self.mirror.remove(object.meta());
                }
                WatchEvent::Bookmark(bookmark) => {
                    self.moved_to(position, Some(&bookmark.metadata.resource_version));
                }
                WatchEvent::Error(status) => return end(CallError::from_status(*status, None)),
            }
        }
    }

    fn moved_to(&self, position: &mut String, version: Option<&str>) {
        if let Some(version) = version {
            version.clone_into(position);
            self.mirror.known_to(number(version));
        }
    }

    async fn in_time<T>(
        &self,
        calling: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, CallError> {
        match tokio::time::timeout(self.timing.call, calling).await {
            Ok(answer) => Ok(answer?),
            Err(_elapsed) => Err(CallError::Unanswered(self.timing.call)),
        }
    }
}

/// Whether one event of a watch makes no sense. The client takes such a line for a status, in which
/// then everything is missing.
fn is_unreadable(error: &kube::Error) -> bool {
    matches!(error, kube::Error::SerdeError(_))
        || matches!(error, kube::Error::Api(status) if status.code == 0)
}

fn end(error: CallError) -> End {
    match error.code() {
        Some(410) => End::Expired,
        _ => End::Trouble(error),
    }
}

#[cfg(test)]
mod tests;
