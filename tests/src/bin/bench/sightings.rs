//! Watches of its own: when each object was first seen, and when it was seen to have ended.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, bail};
use futures::{StreamExt, TryStreamExt};
use kube::api::{DynamicObject, ListParams, WatchEvent, WatchParams};
use kube::{Api, ResourceExt};
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant};
use wfe_crds::names::label;
use wfe_tests::tekton::condition;
use wfe_tests::wait::{PATIENCE, eventually};

/// What is looked at.
#[derive(Clone, Copy)]
pub(crate) enum Look {
    /// PipelineRuns, by the id of the execution.
    Runs,
    /// PipelineRuns, by the name of the WorkflowExecution.
    RunsOfObjects,
    /// WorkflowExecutions, by their name.
    Objects,
}

impl Look {
    fn key(self, object: &DynamicObject) -> Option<String> {
        match self {
            Self::Runs => object.labels().get(label::EXECUTION_ID).cloned(),
            Self::RunsOfObjects => object.labels().get(label::WORKFLOW_EXECUTION).cloned(),
            Self::Objects => object.metadata.name.clone(),
        }
    }

    fn end(self, object: &DynamicObject) -> Option<Ended> {
        let succeeded = match self {
            Self::Runs | Self::RunsOfObjects => match condition(object)?.status.as_str() {
                "Unknown" => return None,
                status => status == "True",
            },
            Self::Objects => match object.data["status"]["phase"].as_str()? {
                "Completed" => true,
                "Failed" => false,
                _ => return None,
            },
        };
        Some(if succeeded { Ended::Well } else { Ended::Badly })
    }
}

/// How something ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It succeeded.
    Well,
    /// It did not.
    Badly,
}

/// When things were seen. Watches until it is dropped.
pub(crate) struct Sightings {
    seen: Arc<Mutex<HashMap<String, Sighting>>>,
    _watching: JoinSet<()>,
}

#[derive(Clone, Copy)]
struct Sighting {
    created: Instant,
    ended: Option<(Instant, Ended)>,
}

/// How many things were seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) created: usize,
    pub(crate) ended: usize,
}

impl Sightings {
    /// Begins with what happens from now on.
    pub(crate) async fn watch(api: Api<DynamicObject>, look: Look) -> Result<Self> {
        let now = api.list(&ListParams::default().limit(1)).await?.metadata.resource_version;
        let mut version = now.context("the version of a list")?;
        let seen = Arc::<Mutex<HashMap<String, Sighting>>>::default();
        let mut watching = JoinSet::new();
        let into = seen.clone();
        watching.spawn(async move {
            // The API server ends a watch after a while; the next one goes on where that was.
            loop {
                if let Err(error) = follow(&api, &mut version, look, &into).await {
                    eprintln!("a watch of the benchmark: {error:#}");
                    return;
                }
            }
        });
        Ok(Self { seen, _watching: watching })
    }

    /// When something was first seen.
    pub(crate) async fn created(&self, key: &str) -> Result<Instant> {
        self.find(PATIENCE, key, "exists", |sighting| Some(sighting.created)).await
    }

    /// When something was first seen with an end, and with which.
    pub(crate) async fn ended(&self, key: &str) -> Result<(Instant, Ended)> {
        self.ended_within(PATIENCE, key).await
    }

    /// The same for what may take longer.
    pub(crate) async fn ended_within(
        &self,
        deadline: Duration,
        key: &str,
    ) -> Result<(Instant, Ended)> {
        self.find(deadline, key, "has ended", |sighting| sighting.ended).await
    }

    /// How many were seen so far.
    pub(crate) fn count(&self) -> Count {
        let seen = lock(&self.seen);
        let ended = seen.values().filter(|sighting| sighting.ended.is_some()).count();
        Count { created: seen.len(), ended }
    }

    async fn find<T>(
        &self,
        deadline: Duration,
        key: &str,
        what: &str,
        moment: impl Fn(&Sighting) -> Option<T>,
    ) -> Result<T> {
        eventually(deadline, &format!("what belongs to {key} {what}"), async || {
            lock(&self.seen).get(key).and_then(&moment).ok_or("not seen")
        })
        .await
    }
}

fn lock(seen: &Mutex<HashMap<String, Sighting>>) -> MutexGuard<'_, HashMap<String, Sighting>> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One watch, until the API server ends it. `version` is that of what was seen last.
async fn follow(
    api: &Api<DynamicObject>,
    version: &mut String,
    look: Look,
    seen: &Mutex<HashMap<String, Sighting>>,
) -> Result<()> {
    // Nearly the longest that kube allows.
    let params = WatchParams::default().timeout(290);
    let mut events = api.watch(&params, version).await?.boxed();
    while let Some(event) = events.try_next().await? {
        let now = Instant::now();
        match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                if let Some(key) = look.key(&object) {
                    let mut seen = lock(seen);
                    let sighting = seen.entry(key);
                    let sighting = sighting.or_insert(Sighting { created: now, ended: None });
                    if sighting.ended.is_none() {
                        sighting.ended = look.end(&object).map(|end| (now, end));
                    }
                }
                *version = object.resource_version().unwrap_or_default();
            }
            WatchEvent::Deleted(object) => {
                *version = object.resource_version().unwrap_or_default();
            }
            WatchEvent::Bookmark(bookmark) => *version = bookmark.metadata.resource_version,
            WatchEvent::Error(status) => bail!("{status:?}"),
        }
    }
    Ok(())
}
