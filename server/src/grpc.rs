//! The door: messages in, messages out. Handlers parse, call the service and convert; what is right
//! or wrong is decided behind them.

use std::time::Instant;

use tonic::{Request, Response, Status};
use wfe_proto::v1::{
    self, execution_service_server::ExecutionService,
    execution_service_server::ExecutionServiceServer,
};

use crate::{
    error::ServiceError,
    service::{Cancelled, Service, Started},
};

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

/// The service as tonic serves it.
pub fn server(service: Service) -> ExecutionServiceServer<Door> {
    ExecutionServiceServer::new(Door { service }).max_decoding_message_size(MAX_REQUEST_BYTES)
}

/// Implements the contract on the service.
pub struct Door {
    service: Service,
}

impl Door {
    /// Measures a call and turns its error into a status.
    async fn answer<T>(
        &self,
        method: &'static str,
        call: impl Future<Output = Result<T, ServiceError>>,
    ) -> Result<Response<T>, Status> {
        let begin = Instant::now();
        let answer = call.await;
        let code = answer.as_ref().err().map(ServiceError::code);
        self.service.metrics().call(method, code, begin.elapsed());
        answer.map(Response::new).map_err(|error| to_status(&error))
    }
}

#[tonic::async_trait]
impl ExecutionService for Door {
    async fn start(
        &self,
        request: Request<v1::StartRequest>,
    ) -> Result<Response<v1::StartResponse>, Status> {
        self.answer("Start", async {
            let actor = from_proto::actor(&request);
            let (start, mode) = from_proto::start(request.into_inner())?;
            let started = self.service.start(start, actor, mode).await?;
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
            let (id, after) = from_proto::watch(request.into_inner())?;
            let updates = self.service.watch(id, after).await?;
            Ok(watch::stream(updates, &self.service))
        }
        .await;
        opened.map(Response::new).map_err(|error: ServiceError| {
            self.service.metrics().call("Watch", Some(error.code()), std::time::Duration::ZERO);
            to_status(&error)
        })
    }

    async fn cancel(
        &self,
        request: Request<v1::CancelRequest>,
    ) -> Result<Response<v1::CancelResponse>, Status> {
        self.answer("Cancel", async {
            let actor = from_proto::actor(&request);
            let (key, reason) = from_proto::cancel(request.into_inner())?;
            let execution = match key {
                from_proto::Key::Execution(id) => {
                    Some(self.service.cancel(id, reason, actor).await?)
                }
                from_proto::Key::Request(id) => {
                    match self.service.cancel_request(id, reason, actor).await? {
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
        self.answer("ClearBlock", async {
            let actor = from_proto::actor(&request);
            let asked = from_proto::clear_block(request.into_inner())?;
            let from_proto::ClearBlock { key, reason, ticket, expected } = asked;
            let cleared = self.service.clear_block(&key, reason, ticket, expected, actor).await?;
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
        self.answer("Get", async {
            let execution = match from_proto::get(request.into_inner())? {
                from_proto::Key::Execution(id) => self.service.get(id).await?,
                from_proto::Key::Request(id) => self.service.get_by_request(&id).await?,
            };
            let execution = Some(to_proto::execution(&execution, self.service.namespace()));
            Ok(v1::GetResponse { execution })
        })
        .await
    }

    async fn list(
        &self,
        request: Request<v1::ListRequest>,
    ) -> Result<Response<v1::ListResponse>, Status> {
        self.answer("List", async {
            let (filter, page) = from_proto::list(request.into_inner())?;
            let listed = self.service.list(&filter, page).await?;
            Ok(to_proto::list(&listed, &filter, page, self.service.namespace()))
        })
        .await
    }

    async fn get_target(
        &self,
        request: Request<v1::GetTargetRequest>,
    ) -> Result<Response<v1::GetTargetResponse>, Status> {
        self.answer("GetTarget", async {
            let v1::GetTargetRequest { target, cluster_id } = request.into_inner();
            let key = from_proto::target_key(&target, &cluster_id)?;
            let view = self.service.target(&key).await?;
            Ok(v1::GetTargetResponse { target: Some(to_proto::target(&view)) })
        })
        .await
    }

    async fn list_events(
        &self,
        request: Request<v1::ListEventsRequest>,
    ) -> Result<Response<v1::ListEventsResponse>, Status> {
        self.answer("ListEvents", async {
            let (id, after, limit) = from_proto::list_events(request.into_inner())?;
            let events = self.service.events(id, after, limit).await?;
            Ok(to_proto::events(&events, limit, self.service.namespace()))
        })
        .await
    }
}
