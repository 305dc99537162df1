//! AdmissionReview over HTTP: one path for each resource, one handler behind each path. Knows nothing of
//! what is reviewed.

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{DefaultBodyLimit, rejection::BytesRejection},
    http::StatusCode,
    response::{IntoResponse as _, Response},
    routing::post,
};
use futures::future::BoxFuture;
use kube::core::{
    DynamicObject,
    admission::{AdmissionRequest, AdmissionResponse, AdmissionReview},
};
use serde_json::Value;

use crate::metrics::{Metrics, Reviewed};

/// Bytes of a review. The API server takes objects of 1.5 MiB, and sends the old and the new one.
const MAX_BODY: usize = 3 * 1024 * 1024 + 512 * 1024;

/// Reviews the changes of one resource.
pub trait Handler: Send + Sync + 'static {
    /// Where the API server asks for it.
    fn path(&self) -> &'static str;

    /// Whether it is this that it reviews.
    fn covers(&self, request: &AdmissionRequest<DynamicObject>) -> bool;

    /// What becomes of a change.
    fn review(&self, request: AdmissionRequest<DynamicObject>) -> BoxFuture<'_, AdmissionResponse>;
}

/// Answers for each of these.
pub fn router(handlers: Vec<Arc<dyn Handler>>, metrics: &Metrics) -> Router {
    let mut router = Router::new();
    for handler in handlers {
        let (path, metrics) = (handler.path(), metrics.clone());
        let answer = post(move |body: Result<Bytes, BytesRejection>| async move {
            answer(&*handler, body, &metrics).await
        });
        router = router.route(path, answer);
    }
    router.layer(DefaultBodyLimit::max(MAX_BODY))
}

async fn answer(
    handler: &dyn Handler,
    body: Result<Bytes, BytesRejection>,
    metrics: &Metrics,
) -> Response {
    let refused = |status: StatusCode, why: String| {
        metrics.reviewed(Reviewed::Malformed, Duration::ZERO);
        (status, why).into_response()
    };
    let body = match body {
        Ok(body) => body,
        Err(rejection) => return refused(rejection.status(), rejection.body_text()),
    };
    let review: AdmissionReview<DynamicObject> = match serde_json::from_slice(&body) {
        Ok(review) => review,
        Err(error) => {
            return refused(StatusCode::BAD_REQUEST, format!("is no AdmissionReview: {error}"));
        }
    };
    if review.types.api_version != "admission.k8s.io/v1" {
        let version = review.types.api_version;
        return refused(StatusCode::BAD_REQUEST, format!("{version} is not admission.k8s.io/v1"));
    }
    let request: AdmissionRequest<DynamicObject> = match review.try_into() {
        Ok(request) => request,
        Err(error) => {
            return refused(StatusCode::BAD_REQUEST, error.to_string());
        }
    };
    if !handler.covers(&request) {
        return refused(StatusCode::BAD_REQUEST, "this is not what is reviewed here".to_owned());
    }
    Json(handler.review(request).await.into_review()).into_response()
}

/// The status of an object that is reviewed, whatever it is; null when it has none.
pub(super) fn status_of(object: Option<&DynamicObject>) -> Value {
    object.map_or(Value::Null, |object| object.data["status"].clone())
}
