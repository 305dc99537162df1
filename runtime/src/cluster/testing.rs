//! An API server whose every answer is given by the test.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "what goes wrong here fails the test"
)]

use std::{convert::Infallible, time::Duration};

use ::kube::{Client, Config};
use axum::{
    Router,
    body::{Body, to_bytes},
    extract::Request,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use futures::StreamExt as _;
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

/// How long a test waits for what has to happen.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A call that waits for its answer.
pub struct Asked {
    /// HTTP method.
    pub method: String,
    /// Path of the URL.
    pub path: String,
    /// Query of the URL, without `?`.
    pub query: String,
    /// Body; null when there is none.
    pub body: Value,
    answer: oneshot::Sender<Response>,
}

impl Asked {
    /// Answers with this status and JSON.
    pub fn answer(self, status: u16, body: &Value) {
        self.reply(status, &[], body.to_string());
    }

    /// Answers with a `Status` that says no.
    pub fn refuse(self, code: u16, reason: &str, message: &str) {
        let status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "code": code, "reason": reason, "message": message,
        });
        self.answer(code, &status);
    }

    /// Answers with this status, these headers and this body.
    pub fn reply(self, status: u16, headers: &[(&'static str, &str)], body: String) {
        let mut response = body.into_response();
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        for (name, value) in headers {
            response.headers_mut().insert(*name, value.parse().unwrap());
        }
        self.send(response);
    }

    /// Answers with this status and any bytes.
    pub fn reply_bytes(self, status: u16, body: Vec<u8>) {
        let mut response = body.into_response();
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        self.send(response);
    }

    /// Answers with a watch that goes on until the sender is dropped.
    pub fn stream(self) -> mpsc::UnboundedSender<Value> {
        let (lines, events) = mpsc::unbounded_channel::<Value>();
        let events = tokio_stream::wrappers::UnboundedReceiverStream::new(events);
        let events = events.map(|event| Ok::<_, Infallible>(format!("{event}\n")));
        self.send(Body::from_stream(events).into_response());
        lines
    }

    fn send(self, response: Response) {
        assert!(self.answer.send(response).is_ok(), "nobody waits for the answer any more");
    }

    /// The value of a query parameter.
    pub fn param(&self, name: &str) -> Option<&str> {
        let pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        let mut values = pairs.filter(|(key, _)| *key == name).map(|(_, value)| value);
        values.next()
    }
}

/// The API server.
pub struct ApiServer {
    asked: mpsc::UnboundedReceiver<Asked>,
    /// A client that calls it.
    pub client: Client,
    serving: JoinHandle<()>,
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl ApiServer {
    /// Listens on a free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (calls, asked) = mpsc::unbounded_channel();
        let router = Router::new().fallback(move |request: Request| {
            let calls = calls.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = to_bytes(body, usize::MAX).await.unwrap();
                let (answer, answered) = oneshot::channel();
                let asked = Asked {
                    method: parts.method.to_string(),
                    path: parts.uri.path().to_owned(),
                    query: parts.uri.query().unwrap_or_default().to_owned(),
                    body: serde_json::from_slice(&body).unwrap_or_default(),
                    answer,
                };
                calls.send(asked).unwrap();
                answered.await.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
            }
        });
        let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let mut config = Config::new(format!("http://{address}").parse().unwrap());
        config.default_retry = false;
        Self { asked, client: Client::try_from(config).unwrap(), serving }
    }

    /// The next call.
    pub async fn next(&mut self) -> Asked {
        let asked = tokio::time::timeout(PATIENCE, self.asked.recv()).await;
        asked.expect("a call in time").expect("a server that runs")
    }
}
