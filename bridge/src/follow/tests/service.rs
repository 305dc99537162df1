//! An execution service that answers by a script.

use std::sync::Mutex;

use futures::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Response, Status, transport::Server};
use tonic_types::{ErrorDetails, StatusExt as _};
use wfe_proto::{
    ERROR_DOMAIN,
    v1::{
        CancelRequest, CancelResponse, ClearBlockRequest, ClearBlockResponse, Execution,
        GetRequest, GetResponse, GetTargetRequest, GetTargetResponse, ListEventsRequest,
        ListEventsResponse, ListRequest, ListResponse, StartRequest, StartResponse, Target,
        WatchRequest, WatchResponse,
        execution_service_server::{ExecutionService, ExecutionServiceServer},
    },
};

use crate::config::{Config, ServerAccess};

type Script<Q> = Box<dyn Fn(Q) -> Result<Option<Execution>, Status> + Send + Sync>;

/// What each call is answered with.
pub(super) struct Answers {
    pub(super) get: Script<GetRequest>,
    pub(super) clear: Script<ClearBlockRequest>,
    pub(super) cancel: Script<CancelRequest>,
    /// What a watch says before it falls silent.
    pub(super) watch: Said,
    pub(super) target: Box<dyn Fn() -> Target + Send + Sync>,
}

type Said = Box<dyn Fn(WatchRequest) -> Result<Vec<WatchResponse>, Status> + Send + Sync>;

impl Default for Answers {
    fn default() -> Self {
        Self {
            get: Box::new(|_| Err(Status::unimplemented("not in the script"))),
            clear: Box::new(|_| Err(Status::unimplemented("not in the script"))),
            cancel: Box::new(|_| Err(Status::unimplemented("not in the script"))),
            watch: Box::new(|_| Ok(Vec::new())),
            target: Box::new(Target::default),
        }
    }
}

/// An error as the service gives it.
pub(super) fn mk_error(code: Code, reason: &str, message: &str) -> Status {
    let details =
        ErrorDetails::with_error_info(reason, ERROR_DOMAIN, std::collections::HashMap::new());
    Status::with_error_details(code, message, details)
}

/// Ends the service when it is dropped.
pub(super) struct Serving(JoinHandle<()>, pub(super) ServerAccess);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(super) async fn serve(script: Answers) -> Serving {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = ExecutionServiceServer::new(Service(Mutex::new(script)));
    let serving = tokio::spawn(async move {
        let incoming = TcpListenerStream::new(listener);
        Server::builder().add_service(service).serve_with_incoming(incoming).await.unwrap();
    });
    let config = Config { server: address.into(), ..Config::default() };
    Serving(serving, config.access().unwrap())
}

struct Service(Mutex<Answers>);

#[tonic::async_trait]
impl ExecutionService for Service {
    type WatchStream = BoxStream<'static, Result<WatchResponse, Status>>;

    async fn start(&self, _: Request<StartRequest>) -> Result<Response<StartResponse>, Status> {
        Err(Status::unimplemented("not in the script"))
    }

    async fn watch(&self, q: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let said = (self.0.lock().unwrap().watch)(q.into_inner())?;
        let said = stream::iter(said.into_iter().map(Ok));
        Ok(Response::new(Box::pin(said.chain(stream::pending()))))
    }

    async fn cancel(&self, q: Request<CancelRequest>) -> Result<Response<CancelResponse>, Status> {
        let execution = (self.0.lock().unwrap().cancel)(q.into_inner())?;
        Ok(Response::new(CancelResponse { execution }))
    }

    async fn clear_block(
        &self,
        q: Request<ClearBlockRequest>,
    ) -> Result<Response<ClearBlockResponse>, Status> {
        let execution = (self.0.lock().unwrap().clear)(q.into_inner())?;
        Ok(Response::new(ClearBlockResponse { execution, ..ClearBlockResponse::default() }))
    }

    async fn get(&self, q: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        let execution = (self.0.lock().unwrap().get)(q.into_inner())?;
        Ok(Response::new(GetResponse { execution }))
    }

    async fn list(&self, _: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        Err(Status::unimplemented("not in the script"))
    }

    async fn get_target(
        &self,
        _: Request<GetTargetRequest>,
    ) -> Result<Response<GetTargetResponse>, Status> {
        let target = (self.0.lock().unwrap().target)();
        Ok(Response::new(GetTargetResponse { target: Some(target) }))
    }

    async fn list_events(
        &self,
        _: Request<ListEventsRequest>,
    ) -> Result<Response<ListEventsResponse>, Status> {
        Err(Status::unimplemented("not in the script"))
    }

    type ExportLogStream =
        futures::stream::BoxStream<'static, Result<wfe_proto::v1::ExportLogResponse, Status>>;

    async fn export_log(
        &self,
        _request: Request<wfe_proto::v1::ExportLogRequest>,
    ) -> Result<Response<Self::ExportLogStream>, Status> {
        Err(Status::unimplemented("not scripted"))
    }
}
