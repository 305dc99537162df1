//! The door: connections that can be cut, the order of the checks, and the answers.

use std::{collections::BTreeMap, io, sync::Arc};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State as Shared},
    http::{HeaderMap, StatusCode, header},
    middleware::from_fn_with_state,
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::{
    Database, Fault, Queue, State, World,
    answer::{self, Cut},
    check,
    door::{Sender, at_the_door},
    query,
    table::Taken,
};

/// Serves connections until `stopping`, and then cuts those that are open.
pub(crate) async fn serve(listener: TcpListener, world: Arc<World>, stopping: CancellationToken) {
    let api = Router::new()
        .route("/api/v1/audit/events", post(single).get(read))
        .route("/api/v1/audit/events/batch", post(batch))
        .route("/api/v1/audit/verify-chain", post(verify))
        .route("/readyz", get(ready))
        .fallback(async || answer::not_found())
        .layer(from_fn_with_state(Arc::clone(&world), at_the_door))
        .with_state(world);
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopping.cancelled() => return,
        };
        let Ok((stream, _)) = stream else { continue };
        let (api, stopping) = (api.clone(), stopping.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request: hyper::Request<Incoming>| {
                let api = api.clone();
                async move {
                    let answered = api.oneshot(request.map(Body::new)).await;
                    let Ok(response) = answered;
                    // What a service cannot answer closes the connection.
                    match response.extensions().get::<Cut>() {
                        Some(Cut) => Err(io::Error::other("cut")),
                        None => Ok(response),
                    }
                }
            });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                _ = connection => {}
                () = stopping.cancelled() => {}
            }
        });
    }
}

async fn ready(Shared(world): Shared<Arc<World>>) -> Response {
    let (database, queue) = {
        let state = world.state();
        (state.database, state.queue_is)
    };
    let not = |reason: &str| {
        let body = json!({"status": "not_ready", "reason": reason}).to_string();
        (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
    };
    match (database, queue) {
        (Database::Frozen, _) => std::future::pending().await,
        (Database::Down, _) => not("database_unreachable"),
        (Database::Up, Queue::Down) => not("redis_unreachable"),
        (Database::Up, Queue::Up) => json!({"status": "ready"}).to_string().into_response(),
    }
}

fn speaks_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    kind == "application/json" && !headers.contains_key(header::CONTENT_ENCODING)
}

/// The first JSON value of a body, and whether all of it was text.
fn first_value(body: &[u8]) -> Option<(Value, bool)> {
    let text = String::from_utf8_lossy(body);
    let value = serde_json::Deserializer::from_str(&text).into_iter().next()?.ok()?;
    Some((value, std::str::from_utf8(body).is_ok()))
}

/// The events of a batch that passed every check; or the answer that says which did not.
#[expect(clippy::result_large_err, reason = "a test's helper, called once for a request")]
fn checked(
    state: &mut State,
    world: &World,
    values: &[Value],
    sender: Option<&str>,
    is_text: bool,
) -> Result<Vec<Taken>, Response> {
    let events: Result<Vec<_>, _> = values.iter().map(check::event).collect();
    let events = events.map_err(|_| answer::schema_failure())?;
    let text = |event: &serde_json::Map<String, Value>, name: &str| {
        event.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    if events.iter().any(|event| state.refused.contains(&text(event, "correlation_id"))) {
        return Err(answer::schema_failure());
    }
    let now = world.clock.now();
    let mut taken = Vec::new();
    for (index, event) in events.into_iter().enumerate() {
        let at =
            check::time(&text(&event, "event_timestamp")).map_err(|_| answer::schema_failure())?;
        if !check::in_window(at, now) {
            return Err(answer::bad(&format!("event at index {index} failed validation")));
        }
        if !event.get("event_data").is_some_and(check::fits) {
            return Err(answer::bad(&format!(
                "event at index {index}: event_data exceeds size or nesting depth limits"
            )));
        }
        if let Some(parent) = event.get("parent_event_id").and_then(Value::as_str) {
            if state.database != Database::Up {
                return Err(answer::query_error());
            }
            if !parent.parse().is_ok_and(|id| state.table.has(id)) {
                return Err(answer::bad(&format!(
                    "event at index {index}: parent event does not exist"
                )));
            }
        }
        let garbled = !is_text && Value::Object(event.clone()).to_string().contains('\u{fffd}');
        taken.push(Taken {
            id: state.table.id(),
            at: jiff::Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at),
            correlation_id: text(&event, "correlation_id"),
            poison: check::is_poison(&event) || garbled,
            queueable: check::is_queueable(&event),
            columns: check::columns(event, sender),
        });
    }
    Ok(taken)
}

/// What became of events that passed every check.
enum Kept {
    Stored,
    Queued,
    Lost { queued: usize },
}

impl State {
    fn keep(&mut self, world: &World, taken: &[Taken]) -> Kept {
        let poisoned = |state: &Self, event: &Taken| {
            event.poison || state.poison.contains(&event.correlation_id)
        };
        let stores =
            self.database == Database::Up && !taken.iter().any(|event| poisoned(self, event));
        if stores {
            for event in taken {
                self.table.insert(event);
            }
            return Kept::Stored;
        }
        self.enqueue(world, taken, usize::MAX)
    }

    fn enqueue(&mut self, world: &World, taken: &[Taken], most: usize) -> Kept {
        let fits = |event: &&Taken| event.queueable && self.queue_is == Queue::Up;
        let queued: Vec<Taken> = taken.iter().filter(fits).take(most).cloned().collect();
        let count = queued.len();
        for event in queued {
            self.queue.put(event, world.clock.now(), &world.settings.timing);
        }
        if count == taken.len() { Kept::Queued } else { Kept::Lost { queued: count } }
    }
}

fn lost(queued: usize, of: usize) -> Response {
    let detail =
        format!("Batch write failed; {queued} of {of} events queued to DLQ, {} lost", of - queued);
    answer::database_error(&detail)
}

async fn batch(Shared(world): Shared<Arc<World>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let sender = head.extensions.get::<Sender>().and_then(|sender| sender.0.clone());
    let fault = world.state().faults.pop_front();
    match fault {
        Some(Fault::RateLimited(seconds)) => return answer::rate_limited(seconds),
        Some(Fault::CloseBeforeStoring) => return answer::cut(),
        Some(Fault::ServiceUnavailable) => return answer::unavailable(),
        Some(Fault::AuthenticationUnavailable) => return answer::authentication_unavailable(),
        Some(Fault::LostCount(_) | Fault::CloseAfterStoring | Fault::UnreadableAfterStoring)
        | None => {}
    }
    if !speaks_json(&head.headers) {
        return answer::schema_failure();
    }
    let Some((Value::Array(values), is_text)) = first_value(&body) else {
        return answer::schema_failure();
    };
    if values.is_empty() {
        return answer::bad("batch cannot be empty");
    }
    if values.len() > 500 {
        return answer::too_many_events(values.len());
    }
    let (taken, kept, frozen) = {
        let mut state = world.state();
        let taken = match checked(&mut state, &world, &values, sender.as_deref(), is_text) {
            Ok(taken) => taken,
            Err(refused) => return refused,
        };
        let kept = match fault {
            Some(Fault::LostCount(queued)) => state.enqueue(&world, &taken, queued),
            Some(_) | None => state.keep(&world, &taken),
        };
        (taken, kept, state.database == Database::Frozen)
    };
    if frozen {
        tokio::time::sleep(world.settings.freeze).await;
        return answer::cut();
    }
    let count = taken.len();
    match (kept, fault) {
        (Kept::Stored, Some(Fault::CloseAfterStoring)) => answer::cut(),
        (Kept::Stored, Some(Fault::UnreadableAfterStoring)) => {
            (StatusCode::CREATED, "{\"event_ids\":[").into_response()
        }
        (Kept::Stored, _) => {
            let ids: Vec<String> = taken.iter().map(|event| event.id.to_string()).collect();
            let message = format!("{count} audit events created successfully");
            let body = json!({"event_ids": ids, "message": message});
            answer::json(StatusCode::CREATED, &body)
        }
        (Kept::Queued, Some(Fault::LostCount(_))) => lost(count, count),
        (Kept::Queued, _) => {
            let message = format!("{count} audit events queued for async processing via DLQ");
            let body = json!({"status": "accepted", "message": message, "count": count});
            answer::json(StatusCode::ACCEPTED, &body)
        }
        (Kept::Lost { queued }, _) => lost(queued, count),
    }
}

async fn single(Shared(world): Shared<Arc<World>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let sender = head.extensions.get::<Sender>().and_then(|sender| sender.0.clone());
    if !speaks_json(&head.headers) {
        return answer::schema_failure();
    }
    let Some((value, is_text)) = first_value(&body) else { return answer::schema_failure() };
    let mut state = world.state();
    let values = std::slice::from_ref(&value);
    let taken = match checked(&mut state, &world, values, sender.as_deref(), is_text) {
        Ok(taken) => taken,
        Err(refused) => return refused,
    };
    match state.keep(&world, &taken) {
        Kept::Stored => {
            let at = taken[0].at;
            let at = jiff::Timestamp::from_second(at.as_second()).unwrap_or(at);
            let body = json!({
                "event_id": taken[0].id.to_string(),
                "event_timestamp": at.to_string(),
                "message": "Audit event created successfully",
            });
            answer::json(StatusCode::CREATED, &body)
        }
        Kept::Queued => {
            let message = "audit event queued for async processing via DLQ";
            answer::json(StatusCode::ACCEPTED, &json!({"status": "accepted", "message": message}))
        }
        Kept::Lost { queued } => lost(queued, 1),
    }
}

async fn read(Shared(world): Shared<Arc<World>>, request: Request) -> Response {
    let query = request.uri().query().unwrap_or_default();
    let query = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(name), decoded(value))
    });
    let query: BTreeMap<String, String> = query.collect();
    let state = world.state();
    if state.database != Database::Up {
        return answer::query_error();
    }
    match query::page(&state.table, &query, world.clock.now()) {
        Ok(page) => answer::json(StatusCode::OK, &page),
        Err(query::BadQuery) => answer::bad("invalid query parameter"),
    }
}

/// A name or value of a query as it was meant.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits: Vec<u8> = rest.by_ref().take(2).collect();
                let mut byte = [0];
                if hex::decode_to_slice(&digits, &mut byte).is_ok() {
                    bytes.extend(byte);
                }
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn verify(Shared(world): Shared<Arc<World>>, body: Bytes) -> Response {
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    let Some(id) = asked.get("correlation_id").and_then(Value::as_str) else {
        return answer::schema_failure();
    };
    let state = world.state();
    if state.database != Database::Up {
        return answer::query_error();
    }
    let verdict = state.table.verify(id);
    let message = if verdict.valid { "chain is valid" } else { "tampering detected" };
    let mut body = json!({
        "correlation_id": id,
        "is_valid": verdict.valid,
        "total_events": verdict.total,
        "verified_events": verdict.total - verdict.tampered.len(),
        "verification_time": world.clock.now().to_string(),
        "message": message,
    });
    if !verdict.valid {
        let events: Vec<Value> =
            verdict.tampered.iter().map(|id| json!({"event_id": id})).collect();
        body["tampered_events"] = Value::Array(events);
    }
    answer::json(StatusCode::OK, &body)
}
