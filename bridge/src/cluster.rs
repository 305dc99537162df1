//! What the bridge writes to the API server. Each write is made once; who calls decides what follows.
//!
//! Calls are boxed: their futures are large, and there is a follower for each live object.

use std::{sync::Arc, time::Duration};

use k8s_openapi::{api::events::v1::Event, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{
    Api, Client,
    api::{PartialObjectMeta, Patch, PatchParams, PostParams},
};
use serde_json::json;
use tokio::{sync::Semaphore, time::Instant};
use wfe_crds::{
    names::{BRIDGE_FIELD_MANAGER, FINALIZER},
    workflow_execution::WorkflowExecutionStatus,
};
use wfe_runtime::cluster::{About, CallError, bounded, call};

use crate::{
    decide::Wish,
    metrics::{Metrics, Write, Written},
    object::{Key, Object, RawObject},
};

/// So many finalizers are added at once; more only wait in the API server. They come before a run.
const HOLDS_AT_ONCE: usize = 32;
/// So many other writes are under way at once, so that what tells of runs does not hold up those that
/// are to come.
const WRITES_AT_ONCE: usize = 12;

/// What the schema says to a status that is older than the one which is there.
const REVISION_RULE: &str = "executionRevision must not fall";

/// The cluster whose WorkflowExecutions are bridged.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    holds: Arc<Semaphore>,
    writes: Arc<Semaphore>,
    metrics: Metrics,
}

/// How a write failed.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The object is not what it was thought to be; it has to be read again.
    #[error("the object has changed")]
    Changed,
    /// Something is in the way.
    #[error(transparent)]
    Call(#[from] CallError),
}

impl Cluster {
    /// Writes by this client.
    pub fn new(client: Client, metrics: Metrics) -> Self {
        let turns = |at_once| Arc::new(Semaphore::new(at_once));
        Self { client, holds: turns(HOLDS_AT_ONCE), writes: turns(WRITES_AT_ONCE), metrics }
    }

    /// The WorkflowExecutions of a namespace, or of all.
    pub fn objects(&self, namespace: Option<&str>) -> Api<RawObject> {
        match namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        }
    }

    /// The object as it is now; `None` when it is gone.
    pub async fn read(&self, key: &Key, uid: &str) -> Result<Option<Object>, CallError> {
        let api = self.objects(Some(&key.namespace));
        let object = Box::pin(call(api.get_opt(&key.name))).await?.map(Object::read);
        Ok(object.filter(|object| object.uid == uid))
    }

    /// Adds the finalizer. Touches metadata alone: a spec that is written back is not what it was.
    pub async fn add_finalizer(&self, object: &Object) -> Result<ObjectMeta, WriteError> {
        let add = if object.finalizers.is_empty() {
            json!({"op": "add", "path": "/metadata/finalizers", "value": [FINALIZER]})
        } else {
            json!({"op": "add", "path": "/metadata/finalizers/-", "value": FINALIZER})
        };
        self.patch_metadata(Write::AddFinalizer, object, add).await
    }

    /// Removes the finalizer.
    pub async fn remove_finalizer(&self, object: &Object) -> Result<ObjectMeta, WriteError> {
        let Some(index) = object.finalizers.iter().position(|held| held == FINALIZER) else {
            return Err(WriteError::Changed);
        };
        let path = format!("/metadata/finalizers/{index}");
        let remove = json!({"op": "remove", "path": path});
        self.patch_metadata(Write::RemoveFinalizer, object, remove).await
    }

    async fn patch_metadata(
        &self,
        write: Write,
        object: &Object,
        change: serde_json::Value,
    ) -> Result<ObjectMeta, WriteError> {
        // The list of finalizers is shared: it is changed only as it was seen.
        let seen = json!({
            "op": "test", "path": "/metadata/resourceVersion", "value": object.version.to_string(),
        });
        let patch: json_patch::Patch =
            serde_json::from_value(json!([seen, change])).map_err(CallError::unreadable)?;
        let (api, params) = (self.objects(Some(&object.key.namespace)), manager());
        let patch = Patch::Json::<()>(patch);
        let patched: PartialObjectMeta<RawObject> = self
            .write(write, Box::pin(call(api.patch_metadata(&object.key.name, &params, &patch))))
            .await
            .map_err(|error| match error.code() {
                // 422 is the answer to a test that fails.
                Some(404 | 409 | 422) => WriteError::Changed,
                _ => WriteError::Call(error),
            })?;
        Ok(patched.metadata)
    }

    /// Applies the status to the object as it was seen. What others have written to it stays.
    pub async fn apply_status(
        &self,
        object: &Object,
        status: &WorkflowExecutionStatus,
    ) -> Result<Object, WriteError> {
        let api = self.objects(Some(&object.key.namespace));
        let body = json!({
            "apiVersion": "kubernaut.ai/v1alpha1",
            "kind": "WorkflowExecution",
            "metadata": {
                "name": object.key.name,
                "uid": object.uid,
                // A copy of the bridge that is late must not turn the status back.
                "resourceVersion": object.version.to_string(),
            },
            "status": status,
        });
        let params = manager().force();
        let patch = Patch::Apply(body);
        let applied = self
            .write(
                Write::Status,
                Box::pin(call(api.patch_status(&object.key.name, &params, &patch))),
            )
            .await
            .map_err(|error| match &error {
                CallError::Refused { code: 404 | 409, .. } => WriteError::Changed,
                CallError::Refused { code: 422, message, .. }
                    if message.contains(REVISION_RULE) =>
                {
                    WriteError::Changed
                }
                CallError::Refused { .. }
                | CallError::Unanswered(_)
                | CallError::Unreachable(_)
                | CallError::Unreadable(_) => WriteError::Call(error),
            })?;
        Ok(Object::read(applied))
    }

    /// Takes a request out of the status. It is somebody else's field, which an apply would leave alone.
    pub async fn remove_request(&self, object: &Object, wish: Wish) -> Result<Object, WriteError> {
        let field = match wish {
            Wish::Clearance => "blockClearanceRequest",
            Wish::Cancel => "cancelRequest",
        };
        let api = self.objects(Some(&object.key.namespace));
        let patch = Patch::Merge(json!({
            // One that was made meanwhile is not taken away.
            "metadata": { "uid": object.uid, "resourceVersion": object.version.to_string() },
            "status": { field: null },
        }));
        let params = PatchParams {
            field_manager: Some(BRIDGE_FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patched = self
            .write(
                Write::Request,
                Box::pin(call(api.patch_status(&object.key.name, &params, &patch))),
            )
            .await
            .map_err(|error| match error.code() {
                Some(404 | 409) => WriteError::Changed,
                Some(_) | None => WriteError::Call(error),
            })?;
        Ok(Object::read(patched))
    }

    /// Creates a Kubernetes event. One that is there already, or whose namespace goes away, is no
    /// error.
    pub async fn note(&self, event: &Event) -> Result<(), CallError> {
        let namespace = event.metadata.namespace.clone().unwrap_or_default();
        let api = Api::<Event>::namespaced(self.client.clone(), &namespace);
        let params = PostParams {
            field_manager: Some(BRIDGE_FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        let created = self.write(Write::Event, Box::pin(call(api.create(&params, event)))).await;
        created.map(drop).or_else(|error| if is_no_loss(&error) { Ok(()) } else { Err(error) })
    }

    async fn write<T>(
        &self,
        write: Write,
        calling: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        let answer = bounded(async {
            let turns = if write == Write::AddFinalizer { &self.holds } else { &self.writes };
            // Closed never: the semaphore lives as long as this.
            let _turn = turns.acquire().await;
            let began = Instant::now();
            let answer = calling.await;
            self.metrics.write(write, outcome(&answer), began.elapsed());
            answer
        });
        answer.await
    }
}

/// Whether a Kubernetes event is there already, or nobody could read it.
fn is_no_loss(error: &CallError) -> bool {
    let gone = matches!(
        error,
        CallError::Refused { about: About::TerminatingNamespace | About::Namespace, .. }
    );
    gone || error.is_already_exists()
}

fn outcome<T>(answer: &Result<T, CallError>) -> Written {
    match answer {
        Ok(_) => Written::Ok,
        Err(error) if matches!(error.code(), Some(404 | 409)) => Written::Conflict,
        Err(_) => Written::Failed,
    }
}

fn manager() -> PatchParams {
    PatchParams::apply(BRIDGE_FIELD_MANAGER)
}

/// How long a failed write is waited after, by how often it has failed.
pub(crate) fn pause(failures: u32) -> Duration {
    Duration::from_millis(200).saturating_mul(1 << failures.min(5)).min(Duration::from_secs(5))
}
