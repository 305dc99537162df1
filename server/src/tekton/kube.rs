//! Tekton in a cluster.

use std::{
    fmt,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use ::kube::{
    Api, Client, Resource as _,
    api::{DeleteParams, ListParams, PatchParams, PostParams, Preconditions, Request as Calls},
    client::Body,
};
use async_trait::async_trait;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use tokio_util::sync::CancellationToken;
use wfe_core::{
    execution::CancelMode,
    facts::{RunFacts, TaskRunFacts},
    failure::log::{RawTail, StepLog},
    ids::ExecutionId,
};
use wfe_crds::{
    names::{SERVER_FIELD_MANAGER, label, tekton_label},
    tekton::{PipelineRun, TaskRun},
};
use wfe_runtime::cluster::{
    self, CallError, ClientError, PAGE, Pulse, Timing, bounded, call, keep,
};

use super::{
    CreateError, LogError, RunChange, RunRequest, RunSnapshot, Seen, Tekton, TektonError,
    WatchHealth,
    cache::{Cache, Versioned},
    facts, manifest,
};

mod errors;
mod kinds;
mod log;
mod stop;

use errors::{failed, not_created};
use kinds::IntoCache;
use stop::Before;

/// The API server gives a create up after this time, so that none takes effect long after its
/// caller has turned away.
const CREATE_TIMEOUT: &str = "22s";

/// Pods that have not ended.
const ALIVE: &str = "status.phase!=Succeeded,status.phase!=Failed";

/// A cluster cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nothing that could talk to a cluster can be made.
    #[error("no cluster can be used (`--engine simulator` needs none)")]
    Client(#[from] ClientError),
    /// The namespace of the runs is missing.
    #[error(
        "namespace {namespace} does not exist in the cluster; create it with \
         `kubectl create namespace {namespace}` or set --namespace"
    )]
    NoNamespace {
        /// The namespace.
        namespace: String,
    },
    /// Tekton is missing.
    #[error(
        "the cluster does not serve PipelineRuns and TaskRuns of tekton.dev/v1; install Tekton Pipelines"
    )]
    NoTekton,
    /// The cluster did not answer.
    #[error("the cluster does not answer")]
    Unanswered(#[source] CallError),
}

/// Runs workflows by Tekton, in one namespace of a cluster.
pub struct KubeTekton {
    client: Client,
    namespace: String,
    runs: Api<PipelineRun>,
    task_runs: Api<TaskRun>,
    pods: Api<Pod>,
    cache: Mutex<Cache>,
    runs_pulse: Pulse,
    task_runs_pulse: Pulse,
    timing: Timing,
}

impl fmt::Debug for KubeTekton {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KubeTekton").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

impl KubeTekton {
    /// Connects to the cluster of `kubeconfig`, or of the environment: `KUBECONFIG`,
    /// `~/.kube/config`, or the service account of the pod. Fails when the cluster says that it
    /// cannot run workflows in `namespace`. A cluster that does not answer now is no failure: the
    /// watches go on trying, and health says so.
    pub async fn connect(kubeconfig: Option<&Path>, namespace: &str) -> Result<Self, ConnectError> {
        let tekton = Self::new(cluster::client(kubeconfig).await?, namespace);
        for check in [tekton.check_namespace().await, tekton.check_tekton().await] {
            match check {
                Err(ConnectError::Unanswered(error)) => {
                    tracing::warn!(
                        error = wfe_runtime::error::chain(&error),
                        "cannot check the cluster now"
                    );
                }
                checked => checked?,
            }
        }
        Ok(tekton)
    }

    /// Uses a client. Its read timeout must be absent or longer than a watch may be silent; see
    /// [`KubeTekton::client`].
    pub fn new(client: Client, namespace: &str) -> Self {
        Self::with_timing(client, namespace, Timing::default())
    }

    /// A client with the settings that this needs, for a kubeconfig or the environment.
    pub async fn client(kubeconfig: Option<&Path>) -> Result<Client, ConnectError> {
        Ok(cluster::client(kubeconfig).await?)
    }

    fn with_timing(client: Client, namespace: &str, timing: Timing) -> Self {
        Self {
            runs: Api::namespaced(client.clone(), namespace),
            task_runs: Api::namespaced(client.clone(), namespace),
            pods: Api::namespaced(client.clone(), namespace),
            client,
            namespace: namespace.to_owned(),
            cache: Mutex::default(),
            runs_pulse: Pulse::default(),
            task_runs_pulse: Pulse::default(),
            timing,
        }
    }

    /// Whether the namespace of the runs exists.
    pub async fn check_namespace(&self) -> Result<(), ConnectError> {
        let namespaces = Api::<Namespace>::all(self.client.clone());
        match call(namespaces.get(&self.namespace)).await {
            Err(error) if error.code() == Some(404) => {
                Err(ConnectError::NoNamespace { namespace: self.namespace.clone() })
            }
            // Not everybody may look; then the first create will tell.
            Err(error) if error.code() == Some(403) => Ok(()),
            Err(error) => Err(ConnectError::Unanswered(error)),
            Ok(_) => Ok(()),
        }
    }

    /// Whether the cluster knows Tekton's objects.
    pub async fn check_tekton(&self) -> Result<(), ConnectError> {
        match call(self.client.list_api_group_resources("tekton.dev/v1")).await {
            Err(error) if error.code() == Some(404) => Err(ConnectError::NoTekton),
            Err(error) => Err(ConnectError::Unanswered(error)),
            Ok(list) => {
                let served =
                    |plural: &str| list.resources.iter().any(|served| served.name == plural);
                let needed = [PipelineRun::plural(&()), TaskRun::plural(&())];
                let all = needed.iter().all(|plural| served(plural));
                if all { Ok(()) } else { Err(ConnectError::NoTekton) }
            }
        }
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn post(&self, run: &PipelineRun) -> Result<PipelineRun, CallError> {
        let body = serde_json::to_vec(run).map_err(CallError::unreadable)?;
        let params = PostParams {
            field_manager: Some(SERVER_FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let mut request = Calls::new(PipelineRun::url_path(&(), Some(&self.namespace)))
            .create(&params, body)
            .map_err(|error| CallError::Unreachable(error.into()))?;
        let uri = format!("{}&fieldValidation=Strict&timeout={CREATE_TIMEOUT}", request.uri());
        *request.uri_mut() =
            uri.parse().map_err(|error| CallError::Unreachable(Box::new(error)))?;
        let response = self.client.send(request.map(Body::from)).await?;
        let status = response.status().as_u16();
        // An overloaded API server says in a header alone how long it wants to be left alone.
        let retry_after = response.headers().get("retry-after");
        let retry_after = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
        let body = response.into_body().collect_bytes().await?;
        if (200..300).contains(&status) {
            return serde_json::from_slice(&body).map_err(CallError::unreadable);
        }
        Err(CallError::refused(status, &body, retry_after.map(Duration::from_secs)))
    }

    async fn get(&self, name: &str) -> Result<Option<Versioned<RunFacts>>, CallError> {
        match call(self.runs.get_opt(name)).await? {
            None => Ok(None),
            Some(run) => facts::run(run).map(Some).map_err(CallError::unreadable),
        }
    }

    async fn task_runs_with(
        &self,
        label: &str,
        value: &str,
    ) -> Result<Vec<TaskRunFacts>, CallError> {
        let selector = format!("{label}={value}");
        let mut params = ListParams::default().labels(&selector).limit(PAGE);
        let mut found = Vec::new();
        loop {
            let page = call(self.task_runs.list(&params)).await?;
            for task_run in page.items {
                let facts = facts::task_run(task_run).map_err(CallError::unreadable)?;
                found.push(facts.facts);
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(found),
            }
        }
    }

    async fn delete_pods_of(&self, uid: &str) -> Result<(), CallError> {
        let selector = format!("{}={uid}", tekton_label::PIPELINE_RUN_UID);
        let alive = ListParams::default().labels(&selector).fields(ALIVE);
        for pod in call(self.pods.list_metadata(&alive)).await?.items {
            let (Some(name), None) = (pod.metadata.name, pod.metadata.deletion_timestamp) else {
                continue;
            };
            let only = Preconditions { uid: pod.metadata.uid, resource_version: None };
            let params = DeleteParams::background().preconditions(only);
            match call(self.pods.delete(&name, &params)).await {
                Ok(_) => {
                    tracing::warn!(pod = name, "stopped a pod that its TaskRun has left behind");
                }
                Err(error) if matches!(error.code(), Some(404 | 409)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn snapshot(&self, name: &str) -> Result<Option<RunSnapshot>, CallError> {
        let Some(run) = self.get(name).await? else {
            return Ok(None);
        };
        let task_runs = self.task_runs_with(tekton_label::PIPELINE_RUN_UID, &run.facts.uid).await?;
        Ok(Some(RunSnapshot { run: run.facts, task_runs }))
    }

    /// Whether `error`, the answer to an attempt to stop or delete a run, means that there is
    /// nothing to stop any more. Tekton refuses every change of what has ended.
    async fn is_settled(
        &self,
        error: &CallError,
        name: &str,
        uid: &str,
        settled: impl Fn(&RunFacts) -> bool,
    ) -> bool {
        match error.code() {
            Some(404) => true,
            Some(400 | 409 | 422) => self
                .get(name)
                .await
                .is_ok_and(|run| run.is_none_or(|run| run.facts.uid != uid || settled(&run.facts))),
            _ => false,
        }
    }

    async fn existing(&self, name: &str) -> CreateError {
        match self.get(name).await {
            Ok(Some(run)) => {
                self.cache().answered(run.clone());
                CreateError::Exists(Box::new(run.facts))
            }
            Ok(None) => CreateError::Later {
                message: format!("PipelineRun {name} was there a moment ago and is gone"),
                retry_after: None,
            },
            Err(error) => not_created(error, &self.namespace),
        }
    }
}

#[async_trait]
impl Tekton for KubeTekton {
    async fn create(&self, run: &RunRequest) -> Result<RunFacts, CreateError> {
        let manifest = manifest::pipeline_run(run, &self.namespace);
        let created = match bounded(self.post(&manifest)).await {
            Ok(created) => facts::run(created).map_err(CallError::unreadable),
            Err(error) if error.is_already_exists() => {
                return Err(self.existing(run.run.name.as_str()).await);
            }
            Err(error) => Err(error),
        };
        let created = created.map_err(|error| not_created(error, &self.namespace))?;
        self.cache().answered(created.clone());
        Ok(created.facts)
    }

    async fn read(&self, name: &str) -> Result<Option<RunSnapshot>, TektonError> {
        self.snapshot(name).await.map_err(|error| failed(error, "read PipelineRun", name))
    }

    async fn task_runs(&self, execution: ExecutionId) -> Result<Vec<TaskRunFacts>, TektonError> {
        let id = execution.to_string();
        let found = self.task_runs_with(label::EXECUTION_ID, &id).await;
        found.map_err(|error| failed(error, "list TaskRuns of execution", &id))
    }

    async fn cancel(&self, name: &str, uid: &str, mode: CancelMode) -> Result<(), TektonError> {
        let asked = match mode {
            // Nothing is stronger, so whatever was asked for before is replaced.
            CancelMode::Immediate => self.wish(name, uid, mode, Before::Any).await,
            CancelMode::RunFinally | CancelMode::StopAndFinally => {
                self.strengthen(name, uid, mode).await
            }
        };
        let settled = |run: &RunFacts| !run.is_live() || run.stopping >= Some(mode);
        match asked {
            Ok(()) => Ok(()),
            Err(error) if self.is_settled(&error, name, uid, settled).await => Ok(()),
            Err(error) => Err(failed(error, "cancel PipelineRun", name)),
        }
    }

    async fn stop_child_runs(&self, name: &str, uid: &str) -> Result<Vec<String>, TektonError> {
        let stopped = self.stop_runs_below(uid).await;
        stopped.map_err(|error| failed(error, "stop pipelines inside of PipelineRun", name))
    }

    async fn child_runs(&self, name: &str, uid: &str) -> Result<Vec<RunFacts>, TektonError> {
        let found = self.runs_below(uid).await;
        found.map_err(|error| failed(error, "list pipelines inside of PipelineRun", name))
    }

    async fn cancel_task_run(&self, name: &str) -> Result<(), TektonError> {
        let stopped = self.stop_task_run(name).await;
        stopped.map_err(|error| failed(error, "cancel TaskRun", name))
    }

    async fn stop_pods(&self, run: &str, uid: &str) -> Result<(), TektonError> {
        let stopped = self.delete_pods_of(uid).await;
        stopped.map_err(|error| failed(error, "stop pods of PipelineRun", run))
    }

    async fn log_tail(&self, log: &StepLog) -> Result<RawTail, LogError> {
        log::tail(&self.pods, log).await
    }

    async fn delete(&self, name: &str, uid: &str) -> Result<(), TektonError> {
        let only = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
        let params = DeleteParams::background().preconditions(only);
        match call(self.runs.delete(name, &params)).await {
            Ok(_) => Ok(()),
            Err(error) if self.is_settled(&error, name, uid, |_| false).await => Ok(()),
            Err(error) => Err(failed(error, "delete PipelineRun", name)),
        }
    }

    fn seen(&self, name: &str) -> Seen {
        self.cache().seen(name)
    }

    fn saw_go(&self, uid: &str) -> bool {
        self.cache().saw_go(uid)
    }

    fn runs_of_target(&self, target_hash: &str) -> Option<Vec<RunFacts>> {
        self.cache().runs_of_target(target_hash)
    }

    fn ended_runs(&self) -> Vec<RunFacts> {
        self.cache().ended_runs()
    }

    async fn watch(
        &self,
        changed: &(dyn Fn(RunChange) + Send + Sync),
        shutdown: CancellationToken,
    ) {
        let (timing, ours) = (&self.timing, Some(label::TARGET_HASH));
        let into_runs = IntoCache::new(&self.cache, changed);
        let into_task_runs = IntoCache::new(&self.cache, changed);
        let runs = keep(&self.runs, ours, &into_runs, &self.runs_pulse, timing);
        let task_runs = keep(&self.task_runs, ours, &into_task_runs, &self.task_runs_pulse, timing);
        tokio::select! {
            () = shutdown.cancelled() => {}
            never = runs => match never {},
            never = task_runs => match never {},
        }
    }

    fn health(&self) -> WatchHealth {
        WatchHealth {
            synced: self.cache().is_synced(),
            reachable: !self.runs_pulse.is_broken() && !self.task_runs_pulse.is_broken(),
            age: self.runs_pulse.age().max(self.task_runs_pulse.age()),
        }
    }
}

fn patch_params() -> PatchParams {
    PatchParams { field_manager: Some(SERVER_FIELD_MANAGER.to_owned()), ..PatchParams::default() }
}

#[cfg(test)]
mod tests;
