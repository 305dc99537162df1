//! A watch of its own on PipelineRuns: when each was first seen, and when it was seen to have ended.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use futures::{StreamExt, TryStreamExt};
use kube::Api;
use kube::api::{DynamicObject, ListParams, WatchEvent, WatchParams};
use tokio::task::JoinSet;
use tokio::time::Instant;
use wfe_crds::names::label;
use wfe_tests::tekton::has_ended;
use wfe_tests::wait::{PATIENCE, eventually};

/// When things were seen, by the id of the execution. Watches until it is dropped.
pub(crate) struct Sightings {
    seen: Arc<Mutex<HashMap<String, Sighting>>>,
    _watching: JoinSet<()>,
}

#[derive(Clone, Copy)]
struct Sighting {
    created: Instant,
    ended: Option<Instant>,
}

impl Sightings {
    /// Begins with what happens from now on.
    pub(crate) async fn watch(runs: Api<DynamicObject>) -> Result<Self> {
        let now = runs.list(&ListParams::default().limit(1)).await?.metadata.resource_version;
        let now = now.context("the version of a list")?;
        let seen = Arc::<Mutex<HashMap<String, Sighting>>>::default();
        let mut watching = JoinSet::new();
        let into = seen.clone();
        watching.spawn(async move {
            if let Err(error) = follow(&runs, &now, &into).await {
                eprintln!("the watch on PipelineRuns: {error:#}");
            }
        });
        Ok(Self { seen, _watching: watching })
    }

    /// When the run of an execution was first seen.
    pub(crate) async fn created(&self, execution: &str) -> Result<Instant> {
        self.find(execution, "exists", |sighting| Some(sighting.created)).await
    }

    /// When the run of an execution was first seen with an end.
    pub(crate) async fn ended(&self, execution: &str) -> Result<Instant> {
        self.find(execution, "has ended", |sighting| sighting.ended).await
    }

    async fn find(
        &self,
        execution: &str,
        what: &str,
        moment: impl Fn(&Sighting) -> Option<Instant>,
    ) -> Result<Instant> {
        eventually(PATIENCE, &format!("the run of {execution} {what}"), async || {
            let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.get(execution).and_then(&moment).ok_or("not seen")
        })
        .await
    }
}

async fn follow(
    runs: &Api<DynamicObject>,
    from: &str,
    seen: &Mutex<HashMap<String, Sighting>>,
) -> Result<()> {
    // The longest that the API server keeps a watch; the benchmark is over before.
    let params = WatchParams::default().timeout(290);
    let mut events = runs.watch(&params, from).await?.boxed();
    while let Some(event) = events.try_next().await? {
        let now = Instant::now();
        match event {
            WatchEvent::Added(run) | WatchEvent::Modified(run) => {
                let labels = run.metadata.labels.as_ref();
                let Some(id) = labels.and_then(|labels| labels.get(label::EXECUTION_ID)) else {
                    continue;
                };
                let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                let sighting = seen.entry(id.clone());
                let sighting = sighting.or_insert(Sighting { created: now, ended: None });
                if sighting.ended.is_none() && has_ended(&run) {
                    sighting.ended = Some(now);
                }
            }
            WatchEvent::Deleted(_) | WatchEvent::Bookmark(_) => {}
            WatchEvent::Error(status) => bail!("{status:?}"),
        }
    }
    bail!("it ended")
}
