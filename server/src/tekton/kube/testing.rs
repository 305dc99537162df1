//! An API server whose every answer is given by the test.

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
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// A call that waits for its answer.
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) body: Value,
    answer: oneshot::Sender<Response>,
}

impl Asked {
    pub(super) fn answer(self, status: u16, body: &Value) {
        self.reply(status, &[], body.to_string());
    }

    pub(super) fn refuse(self, code: u16, reason: &str, message: &str) {
        let status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "code": code, "reason": reason, "message": message,
        });
        self.answer(code, &status);
    }

    pub(super) fn reply(self, status: u16, headers: &[(&'static str, &str)], body: String) {
        let mut response = body.into_response();
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        for (name, value) in headers {
            response.headers_mut().insert(*name, value.parse().unwrap());
        }
        self.send(response);
    }

    /// Answers with a watch that goes on until the sender is dropped.
    pub(super) fn stream(self) -> mpsc::UnboundedSender<Value> {
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
    pub(super) fn param(&self, name: &str) -> Option<&str> {
        let pairs = self.query.split('&').filter_map(|pair| pair.split_once('='));
        let mut values = pairs.filter(|(key, _)| *key == name).map(|(_, value)| value);
        values.next()
    }
}

/// The API server.
pub(super) struct ApiServer {
    asked: mpsc::UnboundedReceiver<Asked>,
    pub(super) client: Client,
    serving: JoinHandle<()>,
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl ApiServer {
    pub(super) async fn start() -> Self {
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
    pub(super) async fn next(&mut self) -> Asked {
        let asked = tokio::time::timeout(PATIENCE, self.asked.recv()).await;
        asked.expect("a call in time").expect("a server that runs")
    }
}

/// A PipelineRun as the API server shows it.
pub(super) fn mk_object(name: &str, version: u64, reason: &str) -> Value {
    let status = if matches!(reason, "Succeeded") { "True" } else { "Unknown" };
    json!({
        "apiVersion": "tekton.dev/v1",
        "kind": "PipelineRun",
        "metadata": {
            "name": name, "uid": format!("uid of {name}"), "resourceVersion": version.to_string(),
            "creationTimestamp": "2026-01-02T03:04:05Z",
            "labels": {"kubernaut.ai/target-hash": format!("hash of {name}")},
        },
        "spec": {},
        "status": {"conditions": [{"type": "Succeeded", "status": status, "reason": reason}]},
    })
}
