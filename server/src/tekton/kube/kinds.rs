//! The kinds of objects that are watched, and how they get into the cache.

use std::{
    fmt,
    marker::PhantomData,
    sync::{Mutex, MutexGuard, PoisonError},
};

use kube::{Resource, core::ObjectMeta};
use serde::de::DeserializeOwned;
use wfe_core::facts::{RunFacts, TaskRunFacts};
use wfe_crds::tekton::{PipelineRun, TaskRun};
use wfe_runtime::cluster::{Mirror, Version, version_of};

use super::super::{
    RunChange,
    cache::{Cache, Versioned},
    facts::{self, Unreadable},
};

/// Brings what is seen of one kind into the cache, and tells what changed by it.
pub(super) struct IntoCache<'a, K> {
    cache: &'a Mutex<Cache>,
    changed: &'a (dyn Fn(RunChange) + Send + Sync),
    kind: PhantomData<fn(K)>,
}

impl<'a, K> IntoCache<'a, K> {
    pub(super) fn new(
        cache: &'a Mutex<Cache>,
        changed: &'a (dyn Fn(RunChange) + Send + Sync),
    ) -> Self {
        Self { cache, changed, kind: PhantomData }
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Watched> Mirror for IntoCache<'_, K> {
    type Kind = K;

    fn replace(&self, all: Vec<K>, at: Version) {
        let all = all.into_iter().filter_map(readable).collect();
        let changes = {
            let mut cache = self.cache();
            let mut changes = K::replace(&mut cache, all, at);
            changes.extend(cache.all());
            changes
        };
        changes.into_iter().for_each(self.changed);
    }

    fn apply(&self, object: K) {
        let change = readable(object).and_then(|object| K::apply(&mut self.cache(), object));
        change.into_iter().for_each(self.changed);
    }

    fn remove(&self, object: &ObjectMeta) {
        let name = object.name.as_deref().unwrap_or_default();
        let change = K::remove(&mut self.cache(), name, version_of(object));
        change.into_iter().for_each(self.changed);
    }

    fn known_to(&self, at: Version) {
        K::known_to(&mut self.cache(), at);
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

/// A kind of object that is watched.
pub(super) trait Watched:
    Resource<DynamicType = ()> + Clone + DeserializeOwned + fmt::Debug + Send + 'static
{
    type Facts: Send;

    fn read(self) -> Result<Versioned<Self::Facts>, Unreadable>;
    fn replace(cache: &mut Cache, all: Vec<Versioned<Self::Facts>>, at: Version) -> Vec<RunChange>;
    fn apply(cache: &mut Cache, object: Versioned<Self::Facts>) -> Option<RunChange>;
    fn remove(cache: &mut Cache, name: &str, at: Version) -> Option<RunChange>;
    fn known_to(cache: &mut Cache, at: Version);
}

impl Watched for PipelineRun {
    type Facts = RunFacts;

    fn read(self) -> Result<Versioned<RunFacts>, Unreadable> {
        facts::run(self)
    }

    fn replace(cache: &mut Cache, all: Vec<Versioned<RunFacts>>, at: Version) -> Vec<RunChange> {
        cache.replace_runs(all, at)
    }

    fn apply(cache: &mut Cache, object: Versioned<RunFacts>) -> Option<RunChange> {
        cache.apply_run(object)
    }

    fn remove(cache: &mut Cache, name: &str, at: Version) -> Option<RunChange> {
        cache.told_that_gone(name, at)
    }

    fn known_to(cache: &mut Cache, at: Version) {
        cache.runs_are_known_to(at);
    }
}

impl Watched for TaskRun {
    type Facts = TaskRunFacts;

    fn read(self) -> Result<Versioned<TaskRunFacts>, Unreadable> {
        facts::task_run(self)
    }

    fn replace(
        cache: &mut Cache,
        all: Vec<Versioned<TaskRunFacts>>,
        at: Version,
    ) -> Vec<RunChange> {
        cache.replace_task_runs(all, at);
        Vec::new()
    }

    fn apply(cache: &mut Cache, object: Versioned<TaskRunFacts>) -> Option<RunChange> {
        cache.apply_task_run(object)
    }

    fn remove(cache: &mut Cache, name: &str, at: Version) -> Option<RunChange> {
        cache.remove_task_run(name, at)
    }

    fn known_to(cache: &mut Cache, at: Version) {
        cache.task_runs_are_known_to(at);
    }
}
