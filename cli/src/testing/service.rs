//! A service that answers by a script, on a loopback port, with a connection that can be cut.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use futures::{StreamExt as _, stream::BoxStream};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinHandle,
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};
use wfe_proto::v1::{
    CancelRequest, CancelResponse, ClearBlockRequest, ClearBlockResponse, ExportLogRequest,
    ExportLogResponse, GetRequest, GetResponse, GetTargetRequest, GetTargetResponse,
    ListEventsRequest, ListEventsResponse, ListRequest, ListResponse, StartRequest, StartResponse,
    WatchRequest, WatchResponse,
    execution_service_server::{ExecutionService, ExecutionServiceServer},
};

/// What a watch does next. After the last one the stream ends with OK.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// Sends a message.
    Say(Box<WatchResponse>),
    /// Ends with an error.
    Fail(Status),
    /// Breaks the connection.
    Cut,
    /// Says nothing more.
    Hang,
}

impl Act {
    pub(crate) fn say(message: WatchResponse) -> Act {
        Act::Say(Box::new(message))
    }
}

type Script<Q, A> = Box<dyn FnMut(Q) -> Result<A, Status> + Send>;

/// A call that the script does not know is answered with UNIMPLEMENTED.
struct Scripted<Q, A>(Mutex<Option<Script<Q, A>>>);

impl<Q, A> Default for Scripted<Q, A> {
    fn default() -> Self {
        Scripted(Mutex::new(None))
    }
}

impl<Q, A> Scripted<Q, A> {
    fn set(&mut self, script: impl FnMut(Q) -> Result<A, Status> + Send + 'static) {
        self.0 = Mutex::new(Some(Box::new(script)));
    }

    fn play(&self, request: Q) -> Result<A, Status> {
        match self.0.lock().unwrap().as_mut() {
            Some(script) => script(request),
            None => Err(Status::unimplemented("not in the script")),
        }
    }
}

/// What each call is answered with.
#[derive(Default)]
pub(crate) struct Service {
    start: Scripted<StartRequest, StartResponse>,
    watch: Scripted<WatchRequest, Vec<Act>>,
    cancel: Scripted<CancelRequest, CancelResponse>,
    clear_block: Scripted<ClearBlockRequest, ClearBlockResponse>,
    get: Scripted<GetRequest, GetResponse>,
    list: Scripted<ListRequest, ListResponse>,
    get_target: Scripted<GetTargetRequest, GetTargetResponse>,
    list_events: Scripted<ListEventsRequest, ListEventsResponse>,
    export_log: Scripted<ExportLogRequest, Vec<Result<ExportLogResponse, Status>>>,
    cut: Arc<Notify>,
}

macro_rules! setters {
    ($($name:ident: $request:ty => $answer:ty),* $(,)?) => {
        impl Service {
            $(pub(crate) fn $name(
                mut self,
                script: impl FnMut($request) -> Result<$answer, Status> + Send + 'static,
            ) -> Self {
                self.$name.set(script);
                self
            })*
        }
    };
}
setters! {
    start: StartRequest => StartResponse,
    watch: WatchRequest => Vec<Act>,
    cancel: CancelRequest => CancelResponse,
    clear_block: ClearBlockRequest => ClearBlockResponse,
    get: GetRequest => GetResponse,
    list: ListRequest => ListResponse,
    get_target: GetTargetRequest => GetTargetResponse,
    list_events: ListEventsRequest => ListEventsResponse,
    export_log: ExportLogRequest => Vec<Result<ExportLogResponse, Status>>,
}

#[tonic::async_trait]
impl ExecutionService for Service {
    async fn start(&self, q: Request<StartRequest>) -> Result<Response<StartResponse>, Status> {
        self.start.play(q.into_inner()).map(Response::new)
    }

    type WatchStream = BoxStream<'static, Result<WatchResponse, Status>>;

    async fn watch(&self, q: Request<WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let mut acts = self.watch.play(q.into_inner())?;
        if let [Act::Fail(status)] = acts.as_slice() {
            return Err(status.clone());
        }
        let cut = self.cut.clone();
        acts.reverse();
        let stream = async_stream::stream! {
            while let Some(act) = acts.pop() {
                match act {
                    Act::Say(message) => yield Ok(*message),
                    Act::Fail(status) => yield Err(status),
                    Act::Cut => {
                        cut.notify_one();
                        std::future::pending::<()>().await;
                    }
                    Act::Hang => std::future::pending::<()>().await,
                }
            }
        };
        Ok(Response::new(stream.boxed()))
    }

    async fn cancel(&self, q: Request<CancelRequest>) -> Result<Response<CancelResponse>, Status> {
        self.cancel.play(q.into_inner()).map(Response::new)
    }

    async fn clear_block(
        &self,
        q: Request<ClearBlockRequest>,
    ) -> Result<Response<ClearBlockResponse>, Status> {
        self.clear_block.play(q.into_inner()).map(Response::new)
    }

    async fn get(&self, q: Request<GetRequest>) -> Result<Response<GetResponse>, Status> {
        self.get.play(q.into_inner()).map(Response::new)
    }

    async fn list(&self, q: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        self.list.play(q.into_inner()).map(Response::new)
    }

    async fn get_target(
        &self,
        q: Request<GetTargetRequest>,
    ) -> Result<Response<GetTargetResponse>, Status> {
        self.get_target.play(q.into_inner()).map(Response::new)
    }

    async fn list_events(
        &self,
        q: Request<ListEventsRequest>,
    ) -> Result<Response<ListEventsResponse>, Status> {
        self.list_events.play(q.into_inner()).map(Response::new)
    }

    type ExportLogStream = BoxStream<'static, Result<ExportLogResponse, Status>>;

    async fn export_log(
        &self,
        q: Request<ExportLogRequest>,
    ) -> Result<Response<Self::ExportLogStream>, Status> {
        let pieces = self.export_log.play(q.into_inner())?;
        Ok(Response::new(futures::stream::iter(pieces).boxed()))
    }
}

/// A running service. It ends with this value.
pub(crate) struct Running {
    address: SocketAddr,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for Running {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Running {
    /// Where clients find it: `http://host:port`.
    pub(crate) fn address(&self) -> String {
        format!("http://{}", self.address)
    }
}

/// Serves `service` until the answer is dropped.
pub(crate) async fn serve(service: Service) -> Running {
    let cut = service.cut.clone();
    let behind = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let front = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (upstream, address) = (behind.local_addr().unwrap(), front.local_addr().unwrap());
    let server = tokio::spawn(async move {
        Server::builder()
            .add_service(ExecutionServiceServer::new(service))
            .serve_with_incoming(TcpListenerStream::new(behind))
            .await
            .unwrap();
    });
    let proxy = tokio::spawn(pass_on(front, upstream, cut));
    Running { address, tasks: [server, proxy] }
}

/// Passes connections on, one after the other, and breaks the present one when told to.
async fn pass_on(front: TcpListener, upstream: SocketAddr, cut: Arc<Notify>) {
    loop {
        let (mut client, _) = front.accept().await.unwrap();
        let mut server = TcpStream::connect(upstream).await.unwrap();
        tokio::select! {
            _ = copy_bidirectional(&mut client, &mut server) => {}
            () = cut.notified() => {}
        }
    }
}
