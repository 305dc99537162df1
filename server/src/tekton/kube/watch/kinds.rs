//! The kinds of objects that are watched, and where in the cache they belong.

use std::fmt;

use kube::Resource;
use serde::de::DeserializeOwned;
use wfe_core::facts::{RunFacts, TaskRunFacts};
use wfe_crds::tekton::{PipelineRun, TaskRun};

use super::super::super::{
    RunChange,
    cache::{Cache, Version, Versioned},
    facts::{self, Unreadable},
};

/// A kind of object that is watched.
pub(in super::super) trait Watched:
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
        cache.remove_run(name, at)
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
