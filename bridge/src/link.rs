//! The execution service, as the bridge calls it.
//!
//! Makes each call once and tells how it went; who calls decides what follows. Remembers whether the
//! service can be used, for readiness.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use tonic::{
    Code, Request, Response, Status, Streaming, service::interceptor::InterceptedService,
    transport::Channel,
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_types::StatusExt as _;
use wfe_proto::{
    ERROR_DOMAIN,
    v1::{
        CancelRequest, ClearBlockRequest, Everything, Execution, GetRequest, GetTargetRequest,
        StartRequest, Target, WatchRequest, WatchResponse,
        execution_service_client::ExecutionServiceClient, execution_service_server::SERVICE_NAME,
        get_request, watch_request,
    },
};
use wfe_runtime::grpc::{Bearer, channel};

use crate::{
    config::ServerAccess,
    metrics::Metrics,
    request::{Answer, Holder, Trouble},
};

/// How long an answer is waited for. The service commits a Start within a fraction of this or not.
const CALL: Duration = Duration::from_secs(10);
/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(3);
/// How often an idle connection is probed, so that a lost peer is noticed while a watch is quiet.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// How long the answer to a probe may take.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often the service is asked whether it can be used, when it could at the last time.
const LOOK_WELL: Duration = Duration::from_secs(5);
/// The same, when it could not.
const LOOK_UNWELL: Duration = Duration::from_secs(1);
/// Id of a request that is never made. The service answers `NOT_FOUND` to one who may ask.
const NO_REQUEST: &str = "wfe-bridge/readiness";

/// A connection over which each call says who makes it.
type Caller = InterceptedService<Channel, Bearer>;

/// A connection to the execution service.
#[derive(Clone)]
pub struct Link {
    calls: ExecutionServiceClient<Caller>,
    /// Watches have a connection of their own: however many there are, calls are not held up.
    watches: ExecutionServiceClient<Caller>,
    health: HealthClient<Channel>,
    state: Arc<Mutex<State>>,
    metrics: Metrics,
}

/// Whether the service can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    NotAsked,
    Well,
    Unwell(String),
}

impl Link {
    /// A connection to `server`, made at the first call and again whenever it is lost.
    pub fn new(server: &ServerAccess, metrics: Metrics) -> Self {
        let channel = || {
            channel(server.address.uri(), server.tls.clone(), |endpoint| {
                endpoint
                    .connect_timeout(CONNECT)
                    .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
                    .keep_alive_timeout(KEEPALIVE_TIMEOUT)
                    .keep_alive_while_idle(true)
                    .tcp_nodelay(true)
            })
        };
        let client =
            |channel| ExecutionServiceClient::with_interceptor(channel, server.bearer.clone());
        let calls = channel();
        Self {
            calls: client(calls.clone()),
            watches: client(channel()),
            health: HealthClient::new(calls),
            state: Arc::new(Mutex::new(State::NotAsked)),
            metrics,
        }
    }

    /// Asks for an execution.
    pub async fn start(&self, request: StartRequest) -> Result<Execution, Status> {
        let mut client = self.calls.clone();
        let answer = self.call("Start", client.start(timed(request))).await?;
        answer.execution.ok_or_else(|| incomplete("Start"))
    }

    /// The execution that a request started; `None` when there is no record of such a request.
    pub async fn find(&self, request_id: &str) -> Result<Option<Execution>, Status> {
        self.get(get_request::Key::RequestId(request_id.to_owned())).await
    }

    /// Who stands behind the execution that holds a target. What cannot be found out is left out.
    pub async fn holder(&self, execution_id: &str) -> Holder {
        let key = get_request::Key::ExecutionId(execution_id.to_owned());
        let execution = self.get(key).await.ok().flatten();
        let source = execution.as_ref().and_then(|execution| execution.source.clone());
        let source = source.filter(|source| !source.name.is_empty());
        Holder {
            execution_id: execution_id.to_owned(),
            namespace: source.as_ref().map(|source| source.namespace.clone()),
            name: source.map(|source| source.name),
        }
    }

    /// An execution by its id; `None` when there is no record of it.
    pub async fn execution(&self, id: &str) -> Result<Option<Execution>, Status> {
        self.get(get_request::Key::ExecutionId(id.to_owned())).await
    }

    /// What is known of a target.
    pub async fn target(&self, target: &str, cluster_id: &str) -> Result<Target, Status> {
        let mut client = self.calls.clone();
        let (target, cluster_id) = (target.to_owned(), cluster_id.to_owned());
        let request = timed(GetTargetRequest { target, cluster_id });
        let answer = self.call("GetTarget", client.get_target(request)).await?;
        answer.target.ok_or_else(|| incomplete("GetTarget"))
    }

    async fn get(&self, key: get_request::Key) -> Result<Option<Execution>, Status> {
        let mut client = self.calls.clone();
        let answer = self.call("Get", client.get(timed(GetRequest { key: Some(key) }))).await;
        match answer {
            Ok(answer) => answer.execution.map(Some).ok_or_else(|| incomplete("Get")),
            Err(status) if is_not_found(&status) => Ok(None),
            Err(status) => Err(status),
        }
    }

    /// Sees to it that nothing of a request runs, now or later. Answers its execution, which is
    /// CANCELLING or terminal; `None` when the request was never accepted, and now never will be.
    pub async fn withdraw(
        &self,
        request_id: &str,
        reason: &str,
    ) -> Result<Option<Execution>, Status> {
        let (request_id, reason) = (request_id.to_owned(), reason.to_owned());
        self.stop(CancelRequest { request_id, reason, ..CancelRequest::default() }).await
    }

    /// Has the block of a target cleared. Answers the execution that had caused it, with the clearance.
    pub async fn clear(&self, request: ClearBlockRequest) -> Result<Execution, Status> {
        let mut client = self.calls.clone();
        let answer = self.call("ClearBlock", client.clear_block(timed(request))).await?;
        answer.execution.ok_or_else(|| incomplete("ClearBlock"))
    }

    /// As [`Self::withdraw`], for somebody.
    pub async fn stop(&self, request: CancelRequest) -> Result<Option<Execution>, Status> {
        let mut client = self.calls.clone();
        Ok(self.call("Cancel", client.cancel(timed(request))).await?.execution)
    }

    /// Every event of an execution after this revision, as they come.
    pub async fn watch(
        &self,
        execution_id: &str,
        after: i64,
    ) -> Result<Streaming<WatchResponse>, Status> {
        let scope = watch_request::Scope::ExecutionId(execution_id.to_owned());
        self.open(scope, Some(after)).await
    }

    /// Everything that happens and is decided, after this place in the log, or from now on.
    pub async fn watch_everything(
        &self,
        after: Option<i64>,
    ) -> Result<Streaming<WatchResponse>, Status> {
        self.open(watch_request::Scope::Everything(Everything {}), after).await
    }

    async fn open(
        &self,
        scope: watch_request::Scope,
        after: Option<i64>,
    ) -> Result<Streaming<WatchResponse>, Status> {
        let mut client = self.watches.clone();
        let request = WatchRequest { scope: Some(scope), after };
        // The time limit is for the beginning of the answer alone, so the server is not told of it.
        let opening = async {
            tokio::time::timeout(CALL, client.watch(Request::new(request)))
                .await
                .unwrap_or_else(|_| Err(unanswered("Watch")))
        };
        self.call("Watch", opening).await
    }

    /// Why the service cannot be used now; `None` when it can.
    pub fn problem(&self) -> Option<String> {
        match &*self.state.lock().unwrap_or_else(PoisonError::into_inner) {
            State::Well => None,
            State::NotAsked => Some("was not asked yet".to_owned()),
            State::Unwell(problem) => Some(problem.clone()),
        }
    }

    /// Asks again and again whether the service can be used: whether it serves, and whether it
    /// understands and accepts this bridge.
    pub async fn keep_asking(&self) {
        loop {
            let problem = self.ask().await.err();
            let pause = if problem.is_none() { LOOK_WELL } else { LOOK_UNWELL };
            self.feel(problem);
            tokio::time::sleep(pause).await;
        }
    }

    async fn ask(&self) -> Result<(), String> {
        let request = HealthCheckRequest { service: SERVICE_NAME.to_owned() };
        let mut client = self.health.clone();
        match client.check(timed(request)).await {
            Ok(answer) if answer.get_ref().status == ServingStatus::Serving as i32 => {}
            Ok(_) => return Err("says that it is not ready".to_owned()),
            // A service without grpc.health.v1 may still be well.
            Err(status) if status.code() == Code::Unimplemented => {}
            Err(status) => return Err(Trouble::of_status(&status).to_string()),
        }
        let request = GetRequest { key: Some(get_request::Key::RequestId(NO_REQUEST.to_owned())) };
        match self.calls.clone().get(timed(request)).await {
            Ok(_) => Ok(()),
            Err(status) if is_not_found(&status) => Ok(()),
            Err(status) => Err(Trouble::of_status(&status).to_string()),
        }
    }

    fn feel(&self, problem: Option<String>) {
        let state = problem.map_or(State::Well, State::Unwell);
        let mut before = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*before, &state) {
            (State::Unwell(_) | State::NotAsked, State::Well) => {
                tracing::info!("the execution service can be used");
            }
            (State::Well | State::NotAsked, State::Unwell(problem)) => {
                tracing::warn!(
                    problem,
                    "the execution service cannot be used; trying again until it can"
                );
            }
            (State::Unwell(old), State::Unwell(problem)) if old != problem => {
                tracing::warn!(problem, "the execution service cannot be used, for another reason");
            }
            (_, _) => {}
        }
        self.metrics.link(state == State::Well);
        *before = state;
    }

    async fn call<T>(
        &self,
        method: &'static str,
        calling: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, Status> {
        let began = Instant::now();
        // Boxed, because a follower for each live object holds what it may call.
        let answer = Box::pin(calling).await.map(Response::into_inner);
        let code = answer.as_ref().map_or_else(Status::code, |_| Code::Ok);
        self.metrics.call(method, code, began.elapsed());
        if let Err(status) = &answer
            && let Answer::Trouble(trouble) = Answer::of_status(status, None)
            && trouble.is_about_the_bridge()
        {
            self.feel(Some(trouble.to_string()));
        }
        answer
    }
}

fn timed<M>(message: M) -> Request<M> {
    let mut request = Request::new(message);
    request.set_timeout(CALL);
    request
}

fn incomplete(method: &str) -> Status {
    Status::internal(format!("{method} was answered without an execution"))
}

fn unanswered(method: &str) -> Status {
    Status::deadline_exceeded(format!("{method} was not answered within {CALL:?}"))
}

/// Whether the service said so, and not something between here and there.
pub(crate) fn is_not_found(status: &Status) -> bool {
    status.code() == Code::NotFound
        && status.get_details_error_info().is_some_and(|info| info.domain == ERROR_DOMAIN)
}
