//! The door: messages in, messages out. Handlers parse, call the service and convert; what is right
//! or wrong is decided behind them.

use std::time::{Duration, Instant};

use tonic::{Request, Response, Status};
use wfe_core::{
    access::{Method, Scope},
    request::WhenLocked,
};
use wfe_proto::v1::{
    self, execution_service_server::ExecutionService,
    execution_service_server::ExecutionServiceServer,
};

use crate::{
    auth::{Guard, Sight, Subject},
    error::ServiceError,
    service::{Cancelled, Service, Started},
    store::LogScope,
};

mod caller;
mod export;
mod from_proto;
mod layer;
mod page;
mod status;
mod to_proto;
mod watch;

pub use layer::ExplainLayer;
pub use status::to_status;
use watch::WatchStream;

/// At most this many bytes in a request.
pub const MAX_REQUEST_BYTES: usize = 1024 * 1024;

/// The service as tonic serves it to those whom `guard` lets in.
pub fn server(service: Service, guard: Guard) -> ExecutionServiceServer<Door> {
    ExecutionServiceServer::new(Door { service, guard })
        .max_decoding_message_size(MAX_REQUEST_BYTES)
}

/// Implements the contract on the service.
pub struct Door {
    service: Service,
    guard: Guard,
}

impl Door {
    /// Measures a call and turns its error into a status.
    async fn answer<T>(
        &self,
        method: Method,
        call: impl Future<Output = Result<T, ServiceError>>,
    ) -> Result<Response<T>, Status> {
        let begin = Instant::now();
        let answer = call.await;
        let code = answer.as_ref().err().map(ServiceError::code);
        self.service.metrics().call(method.as_str(), code, begin.elapsed());
        match answer {
            Ok(answer) => Ok(Response::new(answer)),
            Err(error) => {
                caller::tell_denial(&self.service, method, &error).await;
                Err(to_status(&error))
            }
        }
    }

    /// The answer to a call that opens a stream, which measures itself once it is open.
    async fn opened<S>(
        &self,
        method: Method,
        opened: Result<S, ServiceError>,
    ) -> Result<Response<S>, Status> {
        match opened {
            Ok(stream) => Ok(Response::new(stream)),
            Err(error) => {
                let metrics = self.service.metrics();
                metrics.call(method.as_str(), Some(error.code()), Duration::ZERO);
                caller::tell_denial(&self.service, method, &error).await;
                Err(to_status(&error))
            }
        }
    }
}

#[tonic::async_trait]
impl ExecutionService for Door {
    async fn start(
        &self,
        request: Request<v1::StartRequest>,
    ) -> Result<Response<v1::StartResponse>, Status> {
        self.answer(Method::Start, async {
            let access = self.admit(Method::Start, &request).await?;
            let mut message = request.into_inner();
            let somebody = from_proto::on_behalf_of(message.on_behalf_of.take())?;
            let (start, mode) =
                from_proto::start(message, self.service.vault(), self.service.sensitive())?;
            self.require(&access, Method::Start, &start.target).await?;
            if start.when_locked == WhenLocked::Attach {
                // The answer may be an execution that somebody else started.
                self.require(&access, Method::Get, &start.target).await?;
            }
            let actor = access.acting_for(somebody)?;
            let started = Box::pin(self.service.start(start, actor, mode)).await?;
            let (execution, outcome) = match started {
                Started::Accepted(execution) => (execution, v1::StartOutcome::Accepted),
                Started::Repeated(execution) => (execution, v1::StartOutcome::Repeated),
                Started::Attached(execution) => (execution, v1::StartOutcome::Attached),
                Started::Validated(execution) => (execution, v1::StartOutcome::Validated),
            };
            let mut execution = to_proto::execution(&execution, self.service.namespace());
            if outcome == v1::StartOutcome::Validated {
                execution.id.clear();
            }
            Ok(v1::StartResponse { execution: Some(execution), outcome: outcome.into() })
        })
        .await
    }

    type WatchStream = WatchStream;

    async fn watch(
        &self,
        request: Request<v1::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let opened = async {
            let access = self.admit(Method::Watch, &request).await?;
            match from_proto::watch(request.into_inner())? {
                from_proto::Watch::Execution { id, after } => {
                    let key = id.into();
                    let execution = Box::pin(self.seen(&access, Method::Watch, &key)).await?;
                    let renewal = access.renewal(Method::Watch, &execution);
                    let updates = self.service.watch(id, after).await?;
                    Ok(watch::stream(updates, renewal, &self.service))
                }
                from_proto::Watch::Log { scope, after } => {
                    let renewal = match &scope {
                        LogScope::Target(key) => {
                            self.require(&access, Method::Watch, key).await?;
                            access.renewal_of_target(Method::Watch, key)
                        }
                        // Each entry is looked at by itself, and there may be none to see.
                        LogScope::Correlation(_) | LogScope::Everything => {
                            access.renewal_of_caller(Method::Watch)
                        }
                    };
                    let sight = Sight::of(access, Method::Watch);
                    let told = Box::pin(self.service.follow(scope, after, sight)).await?;
                    Ok(watch::stream(told, renewal, &self.service))
                }
            }
        }
        .await;
        self.opened(Method::Watch, opened).await
    }

    async fn cancel(
        &self,
        request: Request<v1::CancelRequest>,
    ) -> Result<Response<v1::CancelResponse>, Status> {
        self.answer(Method::Cancel, async {
            let access = self.admit(Method::Cancel, &request).await?;
            let mut message = request.into_inner();
            let somebody = from_proto::on_behalf_of(message.on_behalf_of.take())?;
            let (key, cancel) = from_proto::cancel(message)?;
            Box::pin(self.allowed(&access, Method::Cancel, &key)).await?;
            let actor = access.acting_for(somebody)?;
            let execution = match key {
                from_proto::Key::Execution(id) => {
                    Some(Box::pin(self.service.cancel(id, cancel, actor)).await?)
                }
                from_proto::Key::Request(id) => {
                    match Box::pin(self.service.cancel_request(id, cancel, actor)).await? {
                        Cancelled::Execution(execution) => Some(*execution),
                        Cancelled::Withdrawn => None,
                    }
                }
            };
            let namespace = self.service.namespace();
            let execution = execution.map(|execution| to_proto::execution(&execution, namespace));
            Ok(v1::CancelResponse { execution })
        })
        .await
    }

    async fn clear_block(
        &self,
        request: Request<v1::ClearBlockRequest>,
    ) -> Result<Response<v1::ClearBlockResponse>, Status> {
        self.answer(Method::ClearBlock, async {
            let access = self.admit(Method::ClearBlock, &request).await?;
            let mut message = request.into_inner();
            let somebody = from_proto::on_behalf_of(message.on_behalf_of.take())?;
            let asked = from_proto::clear_block(message)?;
            let from_proto::ClearBlock { key, reason, ticket, expected } = asked;
            self.require(&access, Method::ClearBlock, &key).await?;
            let actor = access.acting_for(somebody)?;
            let cleared =
                Box::pin(self.service.clear_block(&key, reason, ticket, expected, actor)).await?;
            let namespace = self.service.namespace();
            Ok(v1::ClearBlockResponse {
                target: Some(to_proto::target(&cleared.target)),
                execution: Some(to_proto::execution(&cleared.execution, namespace)),
            })
        })
        .await
    }

    async fn get(
        &self,
        request: Request<v1::GetRequest>,
    ) -> Result<Response<v1::GetResponse>, Status> {
        self.answer(Method::Get, async {
            let access = self.admit(Method::Get, &request).await?;
            let key = from_proto::get(request.into_inner())?;
            let execution = Box::pin(self.seen(&access, Method::Get, &key)).await?;
            let execution = Some(to_proto::execution(&execution, self.service.namespace()));
            Ok(v1::GetResponse { execution })
        })
        .await
    }

    async fn list(
        &self,
        request: Request<v1::ListRequest>,
    ) -> Result<Response<v1::ListResponse>, Status> {
        self.answer(Method::List, async {
            let access = self.admit(Method::List, &request).await?;
            let (filter, page) = from_proto::list(request.into_inner())?;
            let (listed, next) = self.page(&access, &filter, page).await?;
            Ok(to_proto::list(&listed, next, &filter, self.service.namespace()))
        })
        .await
    }

    async fn get_target(
        &self,
        request: Request<v1::GetTargetRequest>,
    ) -> Result<Response<v1::GetTargetResponse>, Status> {
        self.answer(Method::GetTarget, async {
            let access = self.admit(Method::GetTarget, &request).await?;
            let v1::GetTargetRequest { target, cluster_id } = request.into_inner();
            let key = from_proto::target_key(&target, &cluster_id)?;
            self.require(&access, Method::GetTarget, &key).await?;
            let view = Box::pin(self.service.target(&key)).await?;
            Ok(v1::GetTargetResponse { target: Some(to_proto::target(&view)) })
        })
        .await
    }

    async fn list_events(
        &self,
        request: Request<v1::ListEventsRequest>,
    ) -> Result<Response<v1::ListEventsResponse>, Status> {
        self.answer(Method::ListEvents, async {
            let access = self.admit(Method::ListEvents, &request).await?;
            let (id, after, limit) = from_proto::list_events(request.into_inner())?;
            Box::pin(self.allowed(&access, Method::ListEvents, &id.into())).await?;
            let events = self.service.events(id, after, limit).await?;
            Ok(to_proto::events(&events, limit, self.service.namespace()))
        })
        .await
    }

    type ExportLogStream = export::ExportStream;

    async fn export_log(
        &self,
        request: Request<v1::ExportLogRequest>,
    ) -> Result<Response<Self::ExportLogStream>, Status> {
        let opened = async {
            let access = self.admit(Method::ExportLog, &request).await?;
            let after = from_proto::export_log(request.into_inner())?;
            let (verb, scope) = (Method::ExportLog.verb(), Scope::Cluster);
            access.require(verb, scope, Subject::Log).await?;
            let pieces = self.service.export_log(after).await?;
            let renewal = access.renewal_of_log(Method::ExportLog);
            Ok(export::stream(pieces, renewal, &self.service))
        }
        .await;
        self.opened(Method::ExportLog, opened).await
    }
}
