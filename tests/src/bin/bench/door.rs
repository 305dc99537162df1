//! A server and a bridge of a measurement's own, and WorkflowExecutions for them.

use anyhow::Result;
use kube::api::{ApiResource, DynamicObject, PostParams};
use kube::{Api, Client};
use tokio::time::{Duration, Instant};
use wfe_crds::workflow_execution;
use wfe_tests::objects::mk_object;
use wfe_tests::{BridgeOptions, BridgeProcess, ControlPlane, Namespace, ServerProcess, crd};

use crate::sightings::{Look, Sightings};
use crate::usage::{self, Usage};
use crate::writes::Writes;

/// How long the removal of all objects may take.
const REMOVAL: Duration = Duration::from_mins(5);

/// The way from a WorkflowExecution to its run and back.
pub(crate) struct Door<'a> {
    pub(crate) namespace: &'a Namespace,
    pub(crate) server: ServerProcess,
    pub(crate) bridge: BridgeProcess,
    resource: ApiResource,
}

/// Does `work` in a namespace with a server and a bridge that serve it alone, then removes all of it. Returns when what
/// was removed takes no time from others any more.
pub(crate) async fn through<T>(
    plane: &ControlPlane,
    work: impl AsyncFnOnce(&Door<'_>) -> Result<T>,
) -> Result<T> {
    let done = before_removal(plane, work).await?;
    plane.settle().await?;
    Ok(done)
}

/// The same, but returns while the namespace is being removed.
pub(crate) async fn before_removal<T>(
    plane: &ControlPlane,
    work: impl AsyncFnOnce(&Door<'_>) -> Result<T>,
) -> Result<T> {
    let client = plane.client().await?;
    crd::apply(&client).await?;
    let resource = crd::resource(&workflow_execution::crd())?;
    Namespace::with(client, async |namespace| {
        let server = ServerProcess::start(plane, namespace.name()).await?;
        let options = BridgeOptions::new(plane, server.addresses().grpc, namespace.name());
        let bridge = BridgeProcess::start(options.logging("info")).await?;
        bridge.until_ready().await?;
        let door = Door { namespace, server, bridge, resource };
        let done = work(&door).await;
        // Also after a failure: nobody else would take the finalizers off.
        let removed = crd::remove_all(&door.objects(), REMOVAL).await;
        let done = done?;
        removed?;
        Ok(done)
    })
    .await
}

impl Door<'_> {
    /// A client of the API server.
    pub(crate) fn client(&self) -> &Client {
        self.namespace.client()
    }

    /// The WorkflowExecutions.
    pub(crate) fn objects(&self) -> Api<DynamicObject> {
        Api::namespaced_with(self.client().clone(), self.namespace.name(), &self.resource)
    }

    /// Watches of the benchmark on WorkflowExecutions and on their runs.
    pub(crate) async fn sightings(&self) -> Result<Seen> {
        let objects = Sightings::watch(self.objects(), Look::Objects).await?;
        let runs = Sightings::watch(self.namespace.runs(), Look::RunsOfObjects).await?;
        Ok(Seen { objects, runs })
    }

    /// Writes so far.
    pub(crate) async fn writes(&self) -> Result<Writes> {
        Writes::now(self.client(), &self.bridge).await
    }

    /// What server and bridge have taken so far.
    pub(crate) fn usage(&self) -> Result<[Usage; 2]> {
        Ok([usage::of(self.server.pid())?, usage::of(self.bridge.pid())?])
    }
}

/// What the benchmark sees, by the name of the WorkflowExecution.
pub(crate) struct Seen {
    pub(crate) objects: Sightings,
    pub(crate) runs: Sightings,
}

/// Creates a WorkflowExecution; when the request was sent.
pub(crate) async fn create(
    objects: &Api<DynamicObject>,
    name: &str,
    bundle: &str,
) -> Result<Instant> {
    let target = format!("default/deployment/{name}");
    let object = serde_json::from_value(mk_object(name, bundle, &target))?;
    let sent = Instant::now();
    objects.create(&PostParams::default(), &object).await?;
    Ok(sent)
}
