//! The calls. Each is made once.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use reqwest::{
    StatusCode, Url,
    header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER},
    redirect, retry,
};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use tokio::sync::Mutex;
use wfe_runtime::{error::chain, tls::ClientFiles};

use crate::{Batch, Event, Found, SendOutcome, outcome::of_answer, stored::Page};

/// Longer than the 30 s after which the receiver itself gives up.
const TIMEOUT: Duration = Duration::from_secs(40);
/// The receiver ends idle connections after 120 s; one that ends just then leaves a doubt.
const IDLE: Duration = Duration::from_mins(1);
/// Events that are read back at once.
const PAGE: usize = 50;
/// The most bytes of an answer that are read: a page of the largest events is smaller.
const MAX_ANSWER_BYTES: usize = 32 * 1024 * 1024;
/// The longest pause that a receiver may ask for.
const MAX_PAUSE: Duration = Duration::from_mins(5);

/// How the receiver is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Its address: `http://host:port` or `https://host:port`.
    pub url: String,
    /// File with the bearer token; read again for each request.
    pub token_file: Option<PathBuf>,
    /// PEM file with the authorities of its certificate; read again when it changes. Needed for `https`.
    pub ca: Option<PathBuf>,
    /// When a request that is not answered is given up.
    pub timeout: Duration,
}

impl Options {
    /// The receiver at `url`, without a token.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), token_file: None, ca: None, timeout: TIMEOUT }
    }
}

/// A client cannot be made of these options.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The address is none.
    #[error("{url:?} must be an address such as https://data-storage:8443")]
    Url {
        /// The address.
        url: String,
    },
    /// There is no authority to check the certificate with.
    #[error("{url} needs a file with the authorities of its certificate")]
    NoAuthority {
        /// The address.
        url: String,
    },
}

/// Why it is not known whether an event is stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FindError {
    /// Too many requests.
    #[error("it is asked too often")]
    RateLimited {
        /// Not to be asked again before.
        after: Duration,
    },
    /// The token is not believed, or missing.
    #[error("{0}")]
    Unauthorized(String),
    /// The reader may not read.
    #[error("{0}")]
    Forbidden(String),
    /// It does not answer, or not in a way that can be read.
    #[error("{0}")]
    Unanswered(String),
}

/// Talks to a Data Storage.
pub struct Client {
    events: Url,
    batch: Url,
    options: Options,
    connection: Mutex<Option<Connection>>,
}

struct Connection {
    /// The authorities that it trusts.
    ca: Option<Vec<u8>>,
    http: reqwest::Client,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("options", &self.options).finish_non_exhaustive()
    }
}

/// A request was not made.
struct NotSent(String);

impl Client {
    /// A client. Nothing is asked yet, so a receiver that is away is no error.
    pub fn new(options: Options) -> Result<Self, BuildError> {
        let wrong = || BuildError::Url { url: options.url.clone() };
        let base = Url::parse(&options.url).map_err(|_| wrong())?;
        if !matches!(base.scheme(), "http" | "https") || base.host().is_none() {
            return Err(wrong());
        }
        if base.scheme() == "https" && options.ca.is_none() {
            return Err(BuildError::NoAuthority { url: options.url });
        }
        let under = |path: &str| {
            let mut url = base.clone();
            url.set_path(&format!("{}{path}", base.path().trim_end_matches('/')));
            url.set_query(None);
            url
        };
        let events = under("/api/v1/audit/events");
        let batch = under("/api/v1/audit/events/batch");
        Ok(Self { events, batch, options, connection: Mutex::new(None) })
    }

    /// When a request that is not answered is given up.
    pub fn timeout(&self) -> Duration {
        self.options.timeout
    }

    /// Sends a batch, once.
    pub async fn send(&self, batch: &Batch) -> SendOutcome {
        let request = match self.prepare().await {
            Ok((http, token)) => {
                let mut request = http
                    .post(self.batch.clone())
                    .header(CONTENT_TYPE, "application/json")
                    .body(batch.body().to_owned());
                if let Some(token) = token {
                    request = request.header(AUTHORIZATION, token);
                }
                request
            }
            Err(NotSent(why)) => return SendOutcome::Unavailable(why),
        };
        let answer = match request.send().await {
            Ok(answer) => answer,
            // Nothing was sent before there was a connection.
            Err(error) if error.is_connect() || error.is_builder() => {
                return SendOutcome::Unavailable(say(&error));
            }
            Err(error) => return SendOutcome::Doubtful(say(&error)),
        };
        let (status, after) = (answer.status(), retry_after(&answer));
        match read(answer).await {
            Ok(body) => of_answer(status, after, &body, batch.events()),
            Err(why) if status == StatusCode::CREATED => SendOutcome::Doubtful(why),
            Err(_) => of_answer(status, after, &[], batch.events()),
        }
    }

    /// Looks whether an event is stored.
    pub async fn find(&self, event: &Event) -> Result<Found, FindError> {
        let facts = event.facts();
        let (http, token) =
            self.prepare().await.map_err(|NotSent(why)| FindError::Unanswered(why))?;
        let mut offset = 0;
        loop {
            let mut url = self.events.clone();
            url.query_pairs_mut()
                .append_pair("correlation_id", facts.correlation_id.as_str())
                .append_pair("event_type", event.event_type().as_str())
                .append_pair("limit", &PAGE.to_string())
                .append_pair("offset", &offset.to_string());
            let mut request = http.get(url);
            if let Some(token) = &token {
                request = request.header(AUTHORIZATION, token);
            }
            let answer = request.send().await;
            let answer = answer.map_err(|error| FindError::Unanswered(say(&error)))?;
            let page = page(answer).await?;
            if let Some(stored) = page.data.iter().find(|stored| stored.is(event)) {
                return Ok(Found::Stored { event_id: stored.event_id });
            }
            // The newest come first: behind older ones there is nothing to look for.
            let passed = page.data.last();
            let passed = passed.is_none_or(|last| last.event_timestamp < facts.event_timestamp);
            if passed || !page.pagination.has_more {
                return Ok(Found::Missing);
            }
            offset += page.data.len();
        }
    }

    /// The connections and the token of a request.
    async fn prepare(&self) -> Result<(reqwest::Client, Option<HeaderValue>), NotSent> {
        let token = match &self.options.token_file {
            Some(path) => Some(bearer(path).await?),
            None => None,
        };
        let ca = match &self.options.ca {
            Some(path) => Some(contents(path).await?),
            None => None,
        };
        let mut connection = self.connection.lock().await;
        if let Some(Connection { http, .. }) = connection.as_ref().filter(|known| known.ca == ca) {
            return Ok((http.clone(), token));
        }
        let http = self.connect().await?;
        *connection = Some(Connection { ca, http: http.clone() });
        Ok((http, token))
    }

    async fn connect(&self) -> Result<reqwest::Client, NotSent> {
        let tls = match self.options.ca.clone() {
            Some(ca) => ClientFiles { ca, identity: None }.config().await.map_err(not_sent)?,
            // Never used, but whoever leaves it out is asked for a provider of the whole process.
            None => ClientConfig::builder_with_provider(ring::default_provider().into())
                .with_safe_default_protocol_versions()
                .map_err(not_sent)?
                .with_root_certificates(RootCertStore::empty())
                .with_no_client_auth(),
        };
        reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .timeout(self.options.timeout)
            .pool_idle_timeout(IDLE)
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .no_proxy()
            .http1_only()
            .build()
            .map_err(not_sent)
    }
}

fn not_sent(error: impl std::error::Error + 'static) -> NotSent {
    NotSent(chain(&error))
}

fn say(error: &reqwest::Error) -> String {
    // The address stands in the settings; in every message it would only be in the way.
    match std::error::Error::source(error) {
        Some(source) => chain(source),
        None if error.is_timeout() => "it does not answer".to_owned(),
        None => error.to_string(),
    }
}

async fn contents(path: &Path) -> Result<Vec<u8>, NotSent> {
    let read = tokio::fs::read(path).await;
    read.map_err(|error| NotSent(format!("{}: {error}", path.display())))
}

async fn bearer(path: &Path) -> Result<HeaderValue, NotSent> {
    let wrong = || NotSent(format!("{}: there is no token in it", path.display()));
    let text = String::from_utf8(contents(path).await?).map_err(|_| wrong())?;
    let token = text.trim();
    if token.is_empty() {
        return Err(wrong());
    }
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| wrong())?;
    value.set_sensitive(true);
    Ok(value)
}

fn retry_after(answer: &reqwest::Response) -> Option<Duration> {
    let seconds = answer.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(MAX_PAUSE))
}

async fn read(mut answer: reqwest::Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| say(&error))? {
        if body.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err("its answer is too long".to_owned());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

async fn page(answer: reqwest::Response) -> Result<Page, FindError> {
    let (status, after) = (answer.status(), retry_after(&answer));
    let body = read(answer).await.map_err(FindError::Unanswered)?;
    if status == StatusCode::OK {
        let unreadable =
            |error| FindError::Unanswered(format!("its answer is unreadable: {error}"));
        return serde_json::from_slice(&body).map_err(unreadable);
    }
    Err(match of_answer(status, after, &body, 1) {
        SendOutcome::RateLimited { after } => FindError::RateLimited { after },
        SendOutcome::Unauthorized(said) => FindError::Unauthorized(said),
        SendOutcome::Forbidden(said) => FindError::Forbidden(said),
        SendOutcome::Unavailable(said)
        | SendOutcome::Doubtful(said)
        | SendOutcome::Invalid { detail: said, .. } => FindError::Unanswered(said),
        SendOutcome::Stored | SendOutcome::Accepted | SendOutcome::TooLarge => {
            FindError::Unanswered(format!("it answered {status}"))
        }
    })
}
