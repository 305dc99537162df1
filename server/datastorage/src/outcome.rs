//! What is certain after a request.

use std::time::Duration;

use reqwest::StatusCode;
use serde::Deserialize;

/// How long to wait when the receiver does not say.
const RATE_LIMIT_PAUSE: Duration = Duration::from_secs(1);

/// What is certain after a batch was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendOutcome {
    /// Every event is stored.
    Stored,
    /// The receiver queued the events because it could not store them now. It stores them later, in any
    /// order, or never.
    Accepted,
    /// An event is not what the contract says. Nothing was stored.
    Invalid {
        /// Its place in the batch, when the receiver says so.
        index: Option<usize>,
        /// What the receiver says.
        detail: String,
    },
    /// The body is larger than the receiver takes. Nothing was stored.
    TooLarge,
    /// The token is not believed, or missing. Nothing was stored.
    Unauthorized(String),
    /// The sender may not write. Nothing was stored.
    Forbidden(String),
    /// Too many requests. Nothing was stored.
    RateLimited {
        /// Not to be asked again before.
        after: Duration,
    },
    /// The receiver was not reached, or cannot do anything now. Nothing was stored, for certain.
    Unavailable(String),
    /// Some events may be stored, now or later, and it is not known which.
    Doubtful(String),
}

/// `application/problem+json`, and the error of a batch.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Problem {
    r#type: String,
    title: String,
    detail: String,
}

#[derive(Deserialize)]
struct Created {
    event_ids: Vec<String>,
}

impl Problem {
    fn read(body: &[u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_default()
    }

    fn say(&self, status: StatusCode) -> String {
        let said = if self.detail.is_empty() { &self.title } else { &self.detail };
        if said.is_empty() {
            return format!("it answered {status}");
        }
        format!("it answered {status}: {}", shortened(said))
    }

    /// Errors that are told before anything else is done: who calls cannot be found out.
    fn is_of_authentication(&self) -> bool {
        self.r#type == "about:blank"
    }
}

/// What goes into logs and records is what somebody else wrote.
fn shortened(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect()
}

/// The index in "event at index 2 failed validation".
fn index(detail: &str) -> Option<usize> {
    let (_, rest) = detail.split_once("event at index ")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// What an answer to a batch of `sent` events means.
pub(crate) fn of_answer(
    status: StatusCode,
    retry_after: Option<Duration>,
    body: &[u8],
    sent: usize,
) -> SendOutcome {
    let problem = || Problem::read(body);
    match status {
        StatusCode::CREATED => match serde_json::from_slice::<Created>(body) {
            Ok(Created { event_ids }) if event_ids.len() == sent => SendOutcome::Stored,
            Ok(Created { event_ids }) => SendOutcome::Doubtful(format!(
                "it says that it stored {} of {sent} events",
                event_ids.len()
            )),
            Err(_) => SendOutcome::Doubtful("it answered 201, and the rest is unreadable".into()),
        },
        StatusCode::ACCEPTED => SendOutcome::Accepted,
        StatusCode::BAD_REQUEST => {
            let problem = problem();
            let detail = problem.say(status);
            SendOutcome::Invalid { index: index(&problem.detail).filter(|at| *at < sent), detail }
        }
        StatusCode::PAYLOAD_TOO_LARGE => SendOutcome::TooLarge,
        StatusCode::UNAUTHORIZED => SendOutcome::Unauthorized(problem().say(status)),
        StatusCode::FORBIDDEN => SendOutcome::Forbidden(problem().say(status)),
        StatusCode::TOO_MANY_REQUESTS => {
            SendOutcome::RateLimited { after: retry_after.unwrap_or(RATE_LIMIT_PAUSE) }
        }
        StatusCode::SERVICE_UNAVAILABLE => SendOutcome::Unavailable(problem().say(status)),
        StatusCode::INTERNAL_SERVER_ERROR => {
            let problem = problem();
            let said = problem.say(status);
            if problem.is_of_authentication() {
                SendOutcome::Unavailable(said)
            } else {
                SendOutcome::Doubtful(said)
            }
        }
        // Nobody there knows this path or method: another service, or a proxy before it.
        other if other.is_client_error() || other.is_redirection() => {
            SendOutcome::Unavailable(problem().say(other))
        }
        other => SendOutcome::Doubtful(problem().say(other)),
    }
}
