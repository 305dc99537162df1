//! Keeps the cache what the cluster is: lists, then watches, for ever.
//!
//! The watcher of `kube::runtime` hides bookmarks and the ends of quiet watches, and then nobody can
//! tell a quiet cluster from one that is away. Here every sign of life is felt.

use std::{
    convert::Infallible,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::StreamExt as _;
use kube::{
    Api,
    api::{ListParams, WatchEvent, WatchParams},
};
use tokio::time::Instant;
use wfe_crds::names::label;

use super::{
    super::{
        RunChange,
        cache::{Cache, Version, Versioned},
        facts,
    },
    CALL, PAGE,
    errors::CallError,
};
use crate::error::chain;

mod kinds;
mod pulse;

use kinds::Watched;
use pulse::Patience;
pub(super) use pulse::Pulse;

/// A watch over which nothing comes for this long is given up.
pub(super) const SILENCE: Duration = Duration::from_secs(50);

/// How long things take.
#[derive(Debug, Clone)]
pub(super) struct Timing {
    /// The API server ends a watch after about this time, and says so. In whole seconds.
    pub(super) watch: Duration,
    /// A watch over which nothing comes for this long is given up.
    pub(super) silence: Duration,
    /// A list or the start of a watch may take this long.
    pub(super) call: Duration,
    /// After this time without a sign of life, what was known is listed anew.
    pub(super) stale: Duration,
    /// The first and the longest wait after trouble.
    pub(super) backoff: (Duration, Duration),
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

/// Keeps all objects of a kind in the cache.
pub(super) async fn keep<K: Watched>(
    api: &Api<K>,
    cache: &Mutex<Cache>,
    pulse: &Pulse,
    timing: &Timing,
    changed: &(dyn Fn(RunChange) + Send + Sync),
) -> Infallible {
    let keeper = Keeper { api, cache, pulse, timing, changed };
    let mut patience = Patience::new(K::kind(&()), timing, pulse);
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

struct Keeper<'a, K> {
    api: &'a Api<K>,
    cache: &'a Mutex<Cache>,
    pulse: &'a Pulse,
    timing: &'a Timing,
    changed: &'a (dyn Fn(RunChange) + Send + Sync),
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

impl<K: Watched> Keeper<'_, K> {
    /// Lists everything. Answers the position from which to watch.
    async fn list(&self) -> Result<String, CallError> {
        let mut params = ListParams::default().labels(label::TARGET_HASH).limit(PAGE);
        let mut all = Vec::new();
        let position = loop {
            let page = self.in_time(self.api.list(&params)).await?;
            self.pulse.beat();
            all.extend(page.items.into_iter().filter_map(readable));
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => break page.metadata.resource_version.unwrap_or_default(),
            }
        };
        let changes = {
            let mut cache = self.cache();
            let mut changes = K::replace(&mut cache, all, number(&position));
            changes.extend(cache.all());
            changes
        };
        tracing::debug!(kind = %K::kind(&()), position, "listed");
        changes.into_iter().for_each(self.changed);
        Ok(position)
    }

    /// Watches from `position` on, until it has to be listed anew.
    async fn follow(&self, mut position: String, patience: &mut Patience<'_>) {
        loop {
            match self.watch(&mut position, patience).await {
                End::Orderly => {}
                End::Expired => {
                    tracing::info!(kind = %K::kind(&()), position, "the watch is too old; listing anew");
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
        let params = WatchParams::default()
            .labels(label::TARGET_HASH)
            .timeout(u32::try_from(seconds).unwrap_or(u32::MAX));
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
                    tracing::error!(kind = %K::kind(&()), error, "skipping an event that cannot be read");
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
                    let change =
                        readable(object).and_then(|object| K::apply(&mut self.cache(), object));
                    change.into_iter().for_each(self.changed);
                }
                WatchEvent::Deleted(object) => {
                    self.moved_to(position, object.meta().resource_version.as_deref());
                    let at = facts::version(object.meta());
                    let name = object.meta().name.as_deref().unwrap_or_default();
                    let change = K::remove(&mut self.cache(), name, at);
                    change.into_iter().for_each(self.changed);
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
            K::known_to(&mut self.cache(), number(version));
        }
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
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

fn readable<K: Watched>(object: K) -> Option<Versioned<K::Facts>> {
    let name = object.meta().name.clone().unwrap_or_default();
    object
        .read()
        .inspect_err(|error| {
            tracing::error!(kind = %K::kind(&()), name, %error, "skipping an object that cannot be read");
        })
        .ok()
}

fn number(version: &str) -> Version {
    version.parse().unwrap_or(0)
}

#[cfg(test)]
mod tests;
