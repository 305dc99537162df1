//! The words that the tests use.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use wfe_proto::v1::{self, State, start_request, watch_request, watch_response};
use wfe_tests::server::Client;
use wfe_tests::tekton::has_ended;
use wfe_tests::wait::eventually;
use wfe_tests::{ControlPlane, Namespace, ServerProcess};

/// How long a test waits for a run on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(3);

/// A server of its own in a namespace of its own.
pub(crate) async fn with_server<T>(
    plane: &ControlPlane,
    test: impl AsyncFnOnce(&Namespace, &mut ServerProcess) -> Result<T>,
) -> Result<T> {
    Namespace::with(plane.client().await?, async |namespace| {
        let mut server = ServerProcess::start(plane, namespace.name()).await?;
        let tested = test(namespace, &mut server).await;
        if tested.is_err() {
            eprintln!("the server's log:\n{}", server.log()?);
        }
        tested
    })
    .await
}

pub(crate) fn mk_start(bundle: &str, request_id: &str, target: &str) -> v1::StartRequest {
    v1::StartRequest {
        request_id: request_id.to_owned(),
        target: target.to_owned(),
        workflow: Some(start_request::Workflow::Bundle(v1::BundleWorkflow {
            reference: bundle.to_owned(),
            ..v1::BundleWorkflow::default()
        })),
        ..v1::StartRequest::default()
    }
}

pub(crate) async fn start(client: &mut Client, request: v1::StartRequest) -> Result<v1::Execution> {
    client.start(request).await?.into_inner().execution.context("an execution")
}

pub(crate) async fn get(client: &mut Client, id: &str) -> Result<v1::Execution> {
    let key = Some(v1::get_request::Key::ExecutionId(id.to_owned()));
    client.get(v1::GetRequest { key }).await?.into_inner().execution.context("an execution")
}

pub(crate) async fn cancel(client: &mut Client, id: &str) -> Result<v1::Execution> {
    cancel_as(client, id, v1::CancelMode::Immediate, None).await
}

/// Cancels in a mode; one that gives time gives `seconds`, or what the service is set to.
pub(crate) async fn cancel_as(
    client: &mut Client,
    id: &str,
    mode: v1::CancelMode,
    seconds: Option<i64>,
) -> Result<v1::Execution> {
    let request = v1::CancelRequest {
        execution_id: id.to_owned(),
        reason: "a test".to_owned(),
        mode: mode.into(),
        escalate_after: seconds.map(|seconds| prost_types::Duration { seconds, nanos: 0 }),
        ..v1::CancelRequest::default()
    };
    client.cancel(request).await?.into_inner().execution.context("an execution")
}

/// Follows an execution to its end; every revision after `after` must come once and in order.
pub(crate) async fn follow(client: &mut Client, id: &str, after: i64) -> Result<v1::Execution> {
    let scope = Some(watch_request::Scope::ExecutionId(id.to_owned()));
    let request = v1::WatchRequest { scope, after: Some(after) };
    let mut stream = client.watch(request).await?.into_inner();
    let mut cursor = after;
    let to_the_end = async {
        while let Some(message) = stream.message().await? {
            match message.update.context("an update")? {
                watch_response::Update::Event(event) => {
                    anyhow::ensure!(
                        event.revision == cursor + 1,
                        "{} after {cursor}",
                        event.revision
                    );
                    cursor = event.revision;
                }
                watch_response::Update::Terminal(execution) => return Ok(execution),
                watch_response::Update::Heartbeat(_) => {}
                watch_response::Update::Snapshot(_)
                | watch_response::Update::Synced(_)
                | watch_response::Update::Decision(_) => {
                    bail!("a snapshot although a cursor was given")
                }
            }
        }
        bail!("the watch ended without a terminal message")
    };
    tokio::time::timeout(PATIENCE, to_the_end)
        .await
        .with_context(|| format!("{id} does not end"))?
}

pub(crate) async fn until_state(
    client: &mut Client,
    id: &str,
    state: State,
) -> Result<v1::Execution> {
    eventually(PATIENCE, &format!("{id} is {state:?}"), async || {
        match get(&mut client.clone(), id).await {
            Ok(execution) if execution.state() == state => Ok(execution),
            Ok(execution) => Err(format!("{execution:?}")),
            Err(error) => Err(error.to_string()),
        }
    })
    .await
}

/// Names of the runs and tasks in a namespace that Tekton has not finished.
pub(crate) async fn alive(namespace: &Namespace) -> Result<Vec<String>> {
    let everything = kube::api::ListParams::default();
    let mut alive = Vec::new();
    for api in [namespace.runs(), namespace.tasks()] {
        let objects = api.list(&everything).await?;
        alive.extend(objects.into_iter().filter(|o| !has_ended(o)).filter_map(|o| o.metadata.name));
    }
    Ok(alive)
}
