//! The stream of a Watch, counted when it ends.

use std::{
    pin::{Pin, pin},
    time::Instant,
};

use async_stream::try_stream;
use futures::{Stream, StreamExt as _};
use tonic::Status;
use wfe_core::{access::Method, actor::Actor};
use wfe_proto::v1::{self, watch_response};

use super::{
    caller::{tell_denial, tell_stranger},
    status::to_status,
    to_proto,
};
use crate::{
    auth::Renewal,
    error::{Code, ServiceError},
    service::{Service, Update},
};

/// What tonic sends.
pub(super) type WatchStream = Pin<Box<dyn Stream<Item = Result<v1::WatchResponse, Status>> + Send>>;

/// Turns updates into messages. Before each one it is looked again whether the caller may still have
/// it; when not, the stream ends.
pub(super) fn stream(
    updates: impl Stream<Item = Result<Update, ServiceError>> + Send + 'static,
    renewal: Renewal,
    service: &Service,
) -> WatchStream {
    let mut ended = Ended { service: service.clone(), begin: Instant::now(), code: None };
    let namespace = service.namespace().to_owned();
    Box::pin(try_stream! {
        let mut updates = pin!(updates);
        while let Some(update) = updates.next().await {
            let allowed = match update {
                Ok(update) => renewal.check().await.map(|()| update).map_err(ServiceError::from),
                Err(error) => Err(error),
            };
            match allowed {
                Ok(update) => yield message(&update, &namespace),
                Err(error) => Err(ended.end_with(&error, renewal.actor()).await)?,
            }
        }
    })
}

fn message(update: &Update, namespace: &str) -> v1::WatchResponse {
    use watch_response::Update as Message;
    let (update, cursor) = match update {
        Update::Snapshot(execution) => {
            (Message::Snapshot(to_proto::execution(execution, namespace)), execution.revision)
        }
        Update::Event(event) => (Message::Event(to_proto::event(event, namespace)), event.revision),
        Update::Heartbeat { at, cursor } => {
            let time = Some(to_proto::timestamp(*at));
            (Message::Heartbeat(v1::Heartbeat { time }), *cursor)
        }
        Update::Terminal(execution) => {
            (Message::Terminal(to_proto::execution(execution, namespace)), execution.revision)
        }
    };
    v1::WatchResponse { update: Some(update), cursor: to_proto::revision(cursor) }
}

/// Measures the call when the stream is dropped, whichever way it ended.
struct Ended {
    service: Service,
    begin: Instant,
    code: Option<Code>,
}

impl Ended {
    async fn end_with(&mut self, error: &ServiceError, reader: &Actor) -> Status {
        self.code = Some(error.code());
        tell_denial(&self.service, Method::Watch, error).await;
        if let ServiceError::Access(denial) = error {
            let address = reader.address.clone();
            tell_stranger(&self.service, Method::Watch, denial, address).await;
        }
        to_status(error)
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.service.metrics().call("Watch", self.code, self.begin.elapsed());
    }
}
