//! The stream of an ExportLog, counted when it ends.

use std::pin::{Pin, pin};

use async_stream::try_stream;
use futures::{Stream, StreamExt as _};
use tonic::Status;
use wfe_core::access::Method;
use wfe_proto::v1;

use super::watch::Ended;
use crate::{auth::Renewal, error::ServiceError, service::Service};

/// What tonic sends.
pub(super) type ExportStream =
    Pin<Box<dyn Stream<Item = Result<v1::ExportLogResponse, Status>> + Send>>;

/// Turns pieces into messages. Before each one it is looked again whether the caller may still have it.
pub(super) fn stream(
    pieces: impl Stream<Item = Result<Vec<u8>, ServiceError>> + Send + 'static,
    renewal: Renewal,
    service: &Service,
) -> ExportStream {
    let mut ended = Ended::of(Method::ExportLog, service);
    Box::pin(try_stream! {
        let mut pieces = pin!(pieces);
        while let Some(piece) = pieces.next().await {
            let allowed = match piece {
                Ok(piece) => renewal.check().await.map(|()| piece).map_err(ServiceError::from),
                Err(error) => Err(error),
            };
            match allowed {
                Ok(chunk) => yield v1::ExportLogResponse { chunk },
                Err(error) => Err(ended.end_with(&error, renewal.actor()).await)?,
            }
        }
    })
}
