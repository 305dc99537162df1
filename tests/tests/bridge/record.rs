//! What must hold of objects, runs, records and Kubernetes events in the end, whatever went wrong on the way.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail, ensure};
use futures::StreamExt;
use k8s_openapi::api::events::v1::Event;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::{Api, ResourceExt};
use tokio::task::JoinHandle;
use wfe_crds::names::{FINALIZER, label};
use wfe_crds::workflow_execution::{Phase, WorkflowExecution, WorkflowExecutionStatus};
use wfe_proto::v1::{self, EventType};
use wfe_tests::wait::{PATIENCE, RECOVERY, eventually};

use crate::support::*;

/// How an object must end: its phase, and the reason when that is Failed.
pub(crate) type Fate = (Phase, Option<&'static str>);

/// It ends well.
pub(crate) const COMPLETED: Fate = (Phase::Completed, None);

/// Every version of every WorkflowExecution of a namespace, as they are written.
pub(crate) struct History {
    versions: Arc<Mutex<Vec<WorkflowExecution>>>,
    recording: JoinHandle<Result<()>>,
}

impl Drop for History {
    fn drop(&mut self) {
        self.recording.abort();
    }
}

impl History {
    /// From now on.
    pub(crate) async fn record(setup: &Setup) -> Result<Self> {
        let objects = setup.objects();
        let listed = objects.list(&ListParams::default()).await?;
        let position = listed.metadata.resource_version.context("a position")?;
        let versions = Arc::new(Mutex::new(listed.items));
        let seen = Arc::clone(&versions);
        let recording = tokio::spawn(async move {
            let params = WatchParams::default().timeout(290);
            let mut events = std::pin::pin!(objects.watch(&params, &position).await?);
            while let Some(event) = events.next().await {
                match event? {
                    WatchEvent::Added(object)
                    | WatchEvent::Modified(object)
                    | WatchEvent::Deleted(object) => {
                        seen.lock().unwrap_or_else(PoisonError::into_inner).push(object);
                    }
                    WatchEvent::Bookmark(_) => {}
                    WatchEvent::Error(status) => bail!("the record is not complete: {status}"),
                }
            }
            bail!("the record ended")
        });
        Ok(Self { versions, recording })
    }

    /// Shows that no status ever went backwards, up to the objects as they are now.
    pub(crate) async fn never_went_backwards(mut self, setup: &Setup) -> Result<()> {
        let now = setup.objects().list(&ListParams::default()).await?.items;
        let complete = eventually(PATIENCE, "every version is on record", async || {
            let versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
            let missing = now.iter().find(|object| {
                !versions
                    .iter()
                    .any(|version| version.resource_version() == object.resource_version())
            });
            missing.map_or(Ok(()), |object| Err(object.name_any()))
        });
        tokio::select! {
            complete = complete => complete?,
            ended = &mut self.recording => ended??,
        }
        let versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        let mut by_object: BTreeMap<String, Vec<&WorkflowExecution>> = BTreeMap::new();
        for version in &*versions {
            by_object.entry(version.name_any()).or_default().push(version);
        }
        ensure!(by_object.len() == now.len(), "{} of {}", by_object.len(), now.len());
        let mut running = 0;
        for (name, versions) in by_object {
            for pair in versions.windows(2) {
                follows(pair[0], pair[1])
                    .with_context(|| format!("{name}: {:#?}\nbecame {:#?}", pair[0], pair[1]))?;
            }
            let ran = |version: &&WorkflowExecution| phase(version) == Some(&Phase::Running);
            running += usize::from(versions.iter().any(ran));
        }
        // Otherwise it was seen too late for anything to go backwards.
        ensure!(running > 0, "no object was ever seen to run");
        println!("{} versions of {} objects", versions.len(), now.len());
        Ok(())
    }
}

fn phase(object: &WorkflowExecution) -> Option<&Phase> {
    object.status.as_ref().and_then(|status| status.phase.as_ref())
}

fn rank(object: &WorkflowExecution) -> u8 {
    match phase(object) {
        None => 0,
        Some(Phase::Pending) => 1,
        Some(Phase::Running) => 2,
        Some(Phase::Completed | Phase::Failed | Phase::Other(_)) => 3,
    }
}

/// Whether one version of an object may come after another.
fn follows(before: &WorkflowExecution, after: &WorkflowExecution) -> Result<()> {
    let nothing = WorkflowExecutionStatus::default();
    let old = before.status.as_ref().unwrap_or(&nothing);
    let new = after.status.as_ref().unwrap_or(&nothing);
    ensure!(rank(after) >= rank(before), "the phase fell");
    ensure!(rank(before) < 3 || old == new, "what is final has changed");
    ensure!(new.execution_id >= old.execution_id, "the execution was lost");
    ensure!(
        old.execution_id.is_none() || new.execution_id == old.execution_id,
        "another execution"
    );
    ensure!(new.execution_revision >= old.execution_revision, "the revision fell");
    let completed = |status: &WorkflowExecutionStatus| {
        status.execution_status.as_ref().and_then(|progress| progress.completed_tasks)
    };
    ensure!(completed(new) >= completed(old), "completed tasks fell");
    let held =
        |object: &WorkflowExecution| object.finalizers().iter().any(|held| held == FINALIZER);
    let goes = after.metadata.deletion_timestamp.is_some();
    ensure!(goes || held(after) || !held(before), "the finalizer was lost");
    ensure!(held(after) || goes || rank(after) == 0, "a status without the finalizer");
    Ok(())
}

impl Setup {
    /// Waits until every object has ended, and shows that each did as it must, ran once, and was told of once.
    pub(crate) async fn all_ended_once(&self, fates: &BTreeMap<String, Fate>) -> Result<()> {
        self.until_all_ended(fates.len()).await?;
        let objects = self.objects().list(&ListParams::default()).await?.items;
        for object in &objects {
            let fate = fates.get(&object.name_any()).context("an object of the test")?;
            let status = object.status.clone().unwrap_or_default();
            let reason = status.failure_details.map(|details| details.reason.to_string());
            let fate = (Some(&fate.0), fate.1);
            ensure!((status.phase.as_ref(), reason.as_deref()) == fate, "{object:#?}");
            let held = object.finalizers().iter().any(|held| held == FINALIZER);
            ensure!(held, "{} has no finalizer", object.name_any());
        }
        let executions = self.one_execution_each(&objects).await?;
        self.one_run_each(&executions).await?;
        self.one_event_for_each_transition(&executions).await
    }

    async fn until_all_ended(&self, count: usize) -> Result<()> {
        eventually(RECOVERY, "every object has ended", || async {
            let objects = self.objects().list(&ListParams::default()).await;
            let objects = objects.map_err(|error| error.to_string())?.items;
            let ended = objects.iter().filter(|object| rank(object) == 3).count();
            if ended == count { Ok(()) } else { Err(format!("{ended} of {count}")) }
        })
        .await
    }

    /// The executions, by the UID of their objects.
    async fn one_execution_each(
        &self,
        objects: &[WorkflowExecution],
    ) -> Result<BTreeMap<String, v1::Execution>> {
        let request = v1::ListRequest { page_size: 1_000, ..v1::ListRequest::default() };
        let listed = self.server.client().await?.list(request).await?.into_inner();
        ensure!(listed.next_page_token.is_empty(), "more executions than objects");
        ensure!(listed.executions.len() == objects.len(), "{} executions", listed.executions.len());
        let executions: BTreeMap<_, _> =
            listed.executions.into_iter().map(|one| (one.request_id.clone(), one)).collect();
        for object in objects {
            let execution = executions.get(&object.uid().unwrap_or_default());
            let execution = execution.with_context(|| format!("none of {}", object.name_any()))?;
            let status = object.status.clone().unwrap_or_default();
            ensure!(status.execution_id.as_ref() == Some(&execution.id), "{object:#?}");
            ensure!(status.execution_revision == Some(execution.revision), "{object:#?}");
        }
        Ok(executions)
    }

    async fn one_run_each(&self, executions: &BTreeMap<String, v1::Execution>) -> Result<()> {
        let mut runs = BTreeMap::new();
        for run in self.namespace.runs().list(&ListParams::default()).await? {
            let of = |key| run.labels().get(key).cloned().unwrap_or_default();
            *runs.entry((of(label::EXECUTION_ID), of(label::WORKFLOW_EXECUTION))).or_default() += 1;
        }
        let name = |one: &v1::Execution| one.source.clone().unwrap_or_default().name;
        let once = executions.values().map(|one| ((one.id.clone(), name(one)), 1));
        let once: BTreeMap<_, i32> = once.collect();
        ensure!(runs == once, "{runs:#?}\ninstead of {once:#?}");
        Ok(())
    }

    async fn one_event_for_each_transition(
        &self,
        executions: &BTreeMap<String, v1::Execution>,
    ) -> Result<()> {
        let mut expected = Vec::new();
        let mut client = self.server.client().await?;
        for (uid, execution) in executions {
            let request = v1::ListEventsRequest {
                execution_id: execution.id.clone(),
                page_size: 1_000,
                ..v1::ListEventsRequest::default()
            };
            let listed = client.list_events(request).await?.into_inner();
            ensure!(listed.next_page_token.is_empty(), "more than 1,000 events");
            let told = listed.events.iter().filter_map(|event| Some((event, reason(event)?)));
            let told = told.map(|(event, reason)| (uid.clone(), event.revision, reason.to_owned()));
            expected.extend(told);
        }
        expected.sort();
        let api = Api::<Event>::namespaced(self.namespace.client().clone(), self.namespace.name());
        let mut told = Vec::new();
        for event in api.list(&ListParams::default()).await? {
            let regarding = event.regarding.clone().unwrap_or_default();
            if regarding.kind.as_deref() == Some("WorkflowExecution") {
                let name = event.name_any();
                let revision = name.rsplit('.').next().and_then(|revision| revision.parse().ok());
                let revision = revision.with_context(|| format!("{name} is of no transition"))?;
                let (uid, reason) = (regarding.uid, event.reason);
                told.push((uid.unwrap_or_default(), revision, reason.unwrap_or_default()));
            }
        }
        told.sort();
        let missing: Vec<_> = expected.iter().filter(|one| !told.contains(one)).collect();
        ensure!(missing.is_empty(), "not told of: {missing:#?}");
        ensure!(told == expected, "told of {told:#?}\ninstead of {expected:#?}");
        println!("{} Kubernetes events of {} executions", told.len(), executions.len());
        Ok(())
    }
}

/// The reason of the Kubernetes event about a transition; most have one.
fn reason(event: &v1::ExecutionEvent) -> Option<&'static str> {
    match event.r#type() {
        EventType::Unspecified
        | EventType::Accepted
        | EventType::Admitted
        | EventType::Progressed => None,
        EventType::Held => Some("ExecutionWaiting"),
        EventType::RunCreated => Some("ExecutionCreated"),
        EventType::Delayed => Some("ExecutionDelayed"),
        EventType::CancelRequested if event.cancellation.is_some() => Some("CancelRequested"),
        EventType::CancelRequested => Some("DeadlineExceeded"),
        EventType::CancelEscalated => Some("CancelEscalated"),
        EventType::Succeeded => Some("WorkflowCompleted"),
        EventType::Failed => Some("WorkflowFailed"),
        EventType::Cancelled => Some("WorkflowCancelled"),
        EventType::BlockCleared => Some("BlockCleared"),
    }
}
