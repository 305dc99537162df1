//! What comes before every handler: how many requests, how large, and who calls.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    body::{Body, Bytes, to_bytes},
    extract::{Request, State as Shared},
    http::{HeaderMap, Method, header},
    middleware::Next,
    response::Response,
};

use crate::{
    Account, Seen, World,
    answer::{self, Cut},
};

/// Who sends, when that was asked.
#[derive(Debug, Clone)]
pub(crate) struct Sender(pub(crate) Option<String>);

/// What comes before every handler, in this order: the limit of requests, the size, who calls.
pub(crate) async fn at_the_door(
    Shared(world): Shared<Arc<World>>,
    mut request: Request,
    next: Next,
) -> Response {
    let what = format!("{} {}", request.method(), request.uri());
    let limit = world.settings.max_body;
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    let (body, response) = if length.is_some_and(|length| length > limit) {
        (Bytes::new(), Some(refused_by_rate(&world, &request).unwrap_or_else(answer::too_large)))
    } else {
        let early = refused_by_rate(&world, &request);
        let early = early.or_else(|| refused_by_access(&world, &mut request));
        let (head, body) = request.into_parts();
        let body = to_bytes(body, limit).await;
        // Without a length the size is found out while reading, and looks like broken JSON.
        let early = early.or_else(|| body.is_err().then(answer::schema_failure));
        let body = body.unwrap_or_default();
        request = Request::from_parts(head, Body::from(body.clone()));
        (body, early)
    };
    let response = match response {
        Some(response) => response,
        None => next.run(request).await,
    };
    let cut = response.extensions().get::<Cut>().is_some();
    let (head, answered) = response.into_parts();
    let answered = to_bytes(answered, usize::MAX).await.unwrap_or_default();
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    let status = (!cut).then(|| head.status.as_u16());
    let kept = if what.starts_with("POST") { text(&body) } else { String::new() };
    let seen = Seen { what, bytes: body.len(), body: kept, status, answer: text(&answered) };
    world.state().seen.push(seen);
    Response::from_parts(head, Body::from(answered))
}

fn refused_by_rate(world: &World, request: &Request) -> Option<Response> {
    if !world.settings.rate_limit {
        return None;
    }
    let named = |name: &str| request.headers().get(name)?.to_str().ok().map(ToOwned::to_owned);
    let address = named("x-forwarded-for").or_else(|| named("x-real-ip")).unwrap_or_default();
    let now = world.clock.now();
    (!world.state().limiter.takes(&address, now)).then(|| answer::rate_limited(1))
}

fn refused_by_access(world: &World, request: &mut Request) -> Option<Response> {
    let under_api = request.uri().path().starts_with("/api/v1");
    let state = world.state();
    let sender = match &state.accounts {
        Some(accounts) if under_api => {
            match access(accounts, request.method(), request.headers()) {
                Ok(account) => Some(account.user.clone()),
                Err(refused) => return Some(refused),
            }
        }
        Some(_) | None => None,
    };
    request.extensions_mut().insert(Sender(sender));
    None
}

#[expect(clippy::result_large_err, reason = "a test's helper, called once for a request")]
fn access<'a>(
    accounts: &'a BTreeMap<String, Account>,
    method: &Method,
    headers: &HeaderMap,
) -> Result<&'a Account, Response> {
    let header = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let header = header.ok_or_else(|| answer::unauthenticated("Missing Authorization header"))?;
    let token = header.strip_prefix("Bearer ").filter(|token| !token.is_empty());
    let token =
        token.ok_or_else(|| answer::unauthenticated("Invalid Authorization header format"))?;
    let account = accounts.get(token);
    let account = account.ok_or_else(|| answer::unauthenticated("Invalid or expired token"))?;
    let may = account.reads && (account.writes || *method == Method::GET);
    if may { Ok(account) } else { Err(answer::forbidden()) }
}
