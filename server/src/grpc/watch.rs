//! The stream of a Watch, counted when it ends.

use std::{
    pin::{Pin, pin},
    time::Instant,
};

use async_stream::try_stream;
use futures::{Stream, StreamExt as _};
use jiff::Timestamp;
use tonic::Status;
use wfe_core::{access::Method, actor::Actor};
use wfe_proto::v1::{self, watch_response::Update as Sent};

use super::{
    caller::{tell_denial, tell_stranger},
    status::to_status,
    to_proto,
};
use crate::{
    auth::Renewal,
    error::{Code, ServiceError},
    service::{News, Service, Told, Update},
};

/// What tonic sends.
pub(super) type WatchStream = Pin<Box<dyn Stream<Item = Result<v1::WatchResponse, Status>> + Send>>;

/// Turns updates into messages. Before each one it is looked again whether the caller may still have
/// it; when not, the stream ends.
pub(super) fn stream<U: Message>(
    updates: impl Stream<Item = Result<U, ServiceError>> + Send + 'static,
    renewal: Renewal,
    service: &Service,
) -> WatchStream {
    let mut ended = Ended::of(Method::Watch, service);
    let namespace = service.namespace().to_owned();
    Box::pin(try_stream! {
        let mut updates = pin!(updates);
        while let Some(update) = updates.next().await {
            let allowed = match update {
                Ok(update) => renewal.check().await.map(|()| update).map_err(ServiceError::from),
                Err(error) => Err(error),
            };
            match allowed {
                Ok(update) => yield update.message(&namespace),
                Err(error) => Err(ended.end_with(&error, renewal.actor()).await)?,
            }
        }
    })
}

/// What a watch tells.
pub(super) trait Message: Send + 'static {
    /// As the contract has it. `namespace` is that of the runs.
    fn message(&self, namespace: &str) -> v1::WatchResponse;
}

impl Message for Update {
    fn message(&self, namespace: &str) -> v1::WatchResponse {
        let (update, cursor) = match self {
            Self::Snapshot(execution) => {
                (Sent::Snapshot(to_proto::execution(execution, namespace)), execution.revision)
            }
            Self::Event(event) => (Sent::Event(to_proto::event(event, namespace)), event.revision),
            Self::Heartbeat { at, cursor } => (heartbeat(*at), *cursor),
            Self::Terminal(execution) => {
                (Sent::Terminal(to_proto::execution(execution, namespace)), execution.revision)
            }
        };
        v1::WatchResponse { update: Some(update), cursor: to_proto::revision(cursor) }
    }
}

impl Message for Told {
    fn message(&self, namespace: &str) -> v1::WatchResponse {
        let update = match &self.news {
            News::Snapshot(execution) => Sent::Snapshot(to_proto::execution(execution, namespace)),
            News::Synced => Sent::Synced(v1::Synced {}),
            News::Event(event) => Sent::Event(to_proto::event(event, namespace)),
            News::Cleared { execution, clearance } => {
                Sent::Event(to_proto::block_cleared(*execution, clearance))
            }
            News::Decision(entry) => Sent::Decision(to_proto::decision(entry)),
            News::Heartbeat { at } => heartbeat(*at),
        };
        let cursor = i64::try_from(self.cursor.0).unwrap_or(i64::MAX);
        v1::WatchResponse { update: Some(update), cursor }
    }
}

fn heartbeat(at: Timestamp) -> Sent {
    Sent::Heartbeat(v1::Heartbeat { time: Some(to_proto::timestamp(at)) })
}

/// Measures the call when the stream is dropped, whichever way it ended.
pub(super) struct Ended {
    method: Method,
    service: Service,
    begin: Instant,
    code: Option<Code>,
}

impl Ended {
    /// The call begins.
    pub(super) fn of(method: Method, service: &Service) -> Self {
        Self { method, service: service.clone(), begin: Instant::now(), code: None }
    }

    /// It ends with an error, which is told of who reads.
    pub(super) async fn end_with(&mut self, error: &ServiceError, reader: &Actor) -> Status {
        self.code = Some(error.code());
        tell_denial(&self.service, self.method, error).await;
        if let ServiceError::Access(denial) = error {
            let address = reader.address.clone();
            tell_stranger(&self.service, self.method, denial, address).await;
        }
        to_status(error)
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.service.metrics().call(self.method.as_str(), self.code, self.begin.elapsed());
    }
}
