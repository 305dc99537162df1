//! Answers, in the words of the real one.

use axum::{
    body::Body,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;

/// Marks an answer that is never sent: the connection is closed instead.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut;

pub(crate) fn problem(status: StatusCode, kind: &str, title: &str, detail: &str) -> Response {
    let kind = match kind {
        "about:blank" => kind.to_owned(),
        kind => format!("https://kubernaut.ai/problems/{kind}"),
    };
    let body = json!({"type": kind, "title": title, "status": status.as_u16(), "detail": detail});
    let mut response = (status, body.to_string()).into_response();
    let problem = HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(header::CONTENT_TYPE, problem);
    response
}

pub(crate) fn schema_failure() -> Response {
    let detail = "The request did not pass OpenAPI schema validation";
    problem(StatusCode::BAD_REQUEST, "validation-error", "Validation Error", detail)
}

pub(crate) fn bad(detail: &str) -> Response {
    problem(StatusCode::BAD_REQUEST, "validation-error", "Validation Error", detail)
}

pub(crate) fn too_many_events(count: usize) -> Response {
    let detail = format!("batch size {count} exceeds maximum allowed batch size of 500");
    let title = "Batch Size Exceeded";
    problem(StatusCode::BAD_REQUEST, "batch-size-exceeded", title, &detail)
}

pub(crate) fn unauthenticated(detail: &str) -> Response {
    problem(StatusCode::UNAUTHORIZED, "about:blank", "Unauthorized", detail)
}

pub(crate) fn forbidden() -> Response {
    problem(StatusCode::FORBIDDEN, "about:blank", "Forbidden", "Insufficient permissions")
}

pub(crate) fn authentication_unavailable() -> Response {
    let (status, detail) =
        (StatusCode::INTERNAL_SERVER_ERROR, "Authentication service unavailable");
    problem(status, "about:blank", "Internal Server Error", detail)
}

pub(crate) fn database_error(detail: &str) -> Response {
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    problem(status, "database-error", "Database Error", detail)
}

pub(crate) fn query_error() -> Response {
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    problem(status, "query-error", "Query Error", "Failed to query audit events")
}

pub(crate) fn unavailable() -> Response {
    let status = StatusCode::SERVICE_UNAVAILABLE;
    problem(status, "service-unavailable", "Service Unavailable", "shutting down")
}

pub(crate) fn rate_limited(seconds: u64) -> Response {
    let (status, title) = (StatusCode::TOO_MANY_REQUESTS, "Too Many Requests");
    let mut response = problem(status, "rate-limit-exceeded", title, "Rate limit exceeded");
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

pub(crate) fn too_large() -> Response {
    let (status, title) = (StatusCode::PAYLOAD_TOO_LARGE, "Payload Too Large");
    let mut response = problem(status, "payload-too-large", title, "request body too large");
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

pub(crate) fn not_found() -> Response {
    let text = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    (StatusCode::NOT_FOUND, text, "404 page not found\n").into_response()
}

pub(crate) fn json(status: StatusCode, body: &serde_json::Value) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (status, kind, Body::from(body.to_string())).into_response()
}

pub(crate) fn cut() -> Response {
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(Cut);
    response
}
