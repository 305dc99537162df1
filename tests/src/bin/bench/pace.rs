//! Calls at a fixed rate, and the words for calling the service. It measures nothing.

use std::future::Future;

use anyhow::{Context, Result, bail, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, sleep_until};
use wfe_proto::v1::{self, StartOutcome, start_request, watch_request, watch_response};
use wfe_tests::server::Client;
use wfe_tests::wait::{PATIENCE, within};

/// Makes `count` calls, one after each `every`, whether or not those before have been answered. Each is told its number and
/// when it was to begin, which a busy machine may miss. Fails when one fails, or the last takes a minute.
pub(crate) async fn paced<T, F>(
    every: Duration,
    count: u32,
    mut call: impl FnMut(u32, Instant) -> F,
) -> Result<Vec<T>>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    let begin = Instant::now() + every;
    let mut calls = JoinSet::new();
    for n in 0..count {
        let intended = begin + every * n;
        sleep_until(intended).await;
        calls.spawn(call(n, intended));
    }
    let all = async {
        let mut done = Vec::new();
        while let Some(answer) = calls.join_next().await {
            done.push(answer??);
        }
        anyhow::Ok(done)
    };
    within(PATIENCE, "the last answers", all).await
}

/// Makes a call for each of `all`, as fast as the answers come on this many connections.
pub(crate) async fn at_once<I, T>(
    connections: usize,
    all: Vec<I>,
    call: impl AsyncFn(I) -> Result<T>,
) -> Result<Vec<T>> {
    let calls = stream::iter(all).map(|one| call(one)).buffer_unordered(connections);
    within(PATIENCE, "the last answers", calls.try_collect()).await
}

/// A request that is refused when its target is held.
pub(crate) fn request(bundle: &str, request_id: &str, target: &str) -> v1::StartRequest {
    v1::StartRequest {
        request_id: request_id.to_owned(),
        target: target.to_owned(),
        workflow: Some(start_request::Workflow::Bundle(v1::BundleWorkflow {
            reference: bundle.to_owned(),
            ..v1::BundleWorkflow::default()
        })),
        when_locked: v1::WhenLocked::Reject.into(),
        ..v1::StartRequest::default()
    }
}

/// Starts a new execution; its id.
pub(crate) async fn start(client: &mut Client, request: v1::StartRequest) -> Result<String> {
    let answer = client.start(request).await?.into_inner();
    ensure!(answer.outcome() == StartOutcome::Accepted, "not accepted: {answer:?}");
    Ok(answer.execution.context("an execution")?.id)
}

/// Watches an execution until its terminal message; when that came, and the state in it.
pub(crate) async fn terminal(client: &mut Client, id: &str) -> Result<(Instant, v1::State)> {
    let scope = Some(watch_request::Scope::ExecutionId(id.to_owned()));
    let request = v1::WatchRequest { scope, after: None };
    let mut stream = client.watch(request).await?.into_inner();
    while let Some(message) = stream.message().await? {
        let now = Instant::now();
        if let Some(watch_response::Update::Terminal(execution)) = message.update {
            return Ok((now, execution.state()));
        }
    }
    bail!("the watch of {id} ended without a terminal message")
}
