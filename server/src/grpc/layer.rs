//! Gives the errors that tonic makes before a handler is reached, such as of a message that is too
//! large or not UTF-8, the same shape as all others.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use http::{Request, Response};
use tonic::Status;
use tower::{Layer, Service};

use super::status::explain;

/// See the module.
#[derive(Debug, Clone, Copy, Default)]
pub struct ExplainLayer;

impl<S> Layer<S> for ExplainLayer {
    type Service = Explain<S>;

    fn layer(&self, inner: S) -> Explain<S> {
        Explain { inner }
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Explain<S> {
    inner: S,
}

impl<S, B, R> Service<Request<B>> for Explain<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let answer = self.inner.call(request);
        Box::pin(async move {
            let mut response = answer.await?;
            // An error before the first message is in the head of the response.
            if let Some(status) = Status::from_header_map(response.headers())
                && let Some(explained) = explain(&status)
                && explained.add_header(response.headers_mut()).is_err()
            {
                tracing::debug!("a status did not fit into a header");
            }
            Ok(response)
        })
    }
}
