//! The messages of a watch, each once and in order, across lost connections.
//!
//! Decides what may be tried again and how often. Prints nothing.

use std::time::Duration;

use async_stream::stream;
use backon::{BackoffBuilder as _, ExponentialBuilder};
use futures::Stream;
use tokio::time::{Instant, sleep, timeout};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use wfe_proto::v1::{Everything, TargetRef, WatchRequest, WatchResponse, watch_request::Scope};

use super::position::{Order, Place, Position, Step};
use crate::{client::Client, error::Error};

/// What to follow, and with which patience.
#[derive(Debug, Clone)]
pub struct Follow {
    /// What.
    pub subject: Subject,
    /// Begin after this revision, or place in the log, instead of with snapshots.
    pub after: Option<i64>,
    /// How long it may take until the server answers at all.
    pub open_within: Duration,
    /// How lost connections are treated.
    pub patience: Patience,
}

/// What can be followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// One execution, to its end.
    Execution(String),
    /// A target, in a cluster: what happens there and what is decided about it.
    Target {
        /// `kind/name` or `namespace/kind/name`.
        target: String,
        /// Its cluster; the local one when empty.
        cluster: String,
    },
    /// All that happens under a correlation id.
    Correlation(String),
    /// All that the caller may see.
    Everything,
}

impl Subject {
    /// As `wfe watch` takes it.
    pub fn words(&self) -> String {
        match self {
            Self::Execution(id) => id.clone(),
            Self::Target { target, cluster } if cluster.is_empty() => format!("--target {target}"),
            Self::Target { target, cluster } => format!("--target {target} --cluster {cluster}"),
            Self::Correlation(id) => format!("--correlation-id {id}"),
            Self::Everything => "--all".to_owned(),
        }
    }

    fn scope(&self) -> Scope {
        match self {
            Self::Execution(id) => Scope::ExecutionId(id.clone()),
            Self::Target { target, cluster } => {
                Scope::Target(TargetRef { target: target.clone(), cluster_id: cluster.clone() })
            }
            Self::Correlation(id) => Scope::CorrelationId(id.clone()),
            Self::Everything => Scope::Everything(Everything {}),
        }
    }

    /// What cursors count.
    fn order(&self) -> Order {
        match self {
            Self::Execution(_) => Order::Revisions,
            Self::Target { .. } | Self::Correlation(_) | Self::Everything => Order::Log,
        }
    }
}

/// How lost connections are treated.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// How long to try again without hearing from the server.
    pub retry_for: Duration,
    /// The first pause between two tries; it doubles up to `longest_pause`.
    pub first_pause: Duration,
    /// The longest pause between two tries, also when the server asks for more.
    pub longest_pause: Duration,
    /// A stream that says nothing for so long is lost. The server sends a heartbeat every 15 seconds.
    pub silence: Duration,
    /// Whether the server was reached before, so that a failure of the first try is no wrong address.
    pub contact: Contact,
}

/// Whether the server was reached already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contact {
    /// Not yet: a server that cannot be reached at the first try ends the watch.
    NotYet,
    /// It was: a server that cannot be reached is waited for.
    Made,
}

impl Patience {
    /// The patience of a person at a terminal, who waits for `retry_for` at most.
    #[must_use]
    pub fn usual(retry_for: Duration, contact: Contact) -> Patience {
        Patience {
            retry_for,
            first_pause: Duration::from_millis(200),
            longest_pause: Duration::from_secs(10),
            silence: Duration::from_secs(45),
            contact,
        }
    }
}

/// What happened to a watch.
#[derive(Debug, Clone)]
pub enum Update {
    /// A message that was not seen before. The one with the terminal state is the last.
    Message(Box<WatchResponse>),
    /// The stream broke; it is opened again after a pause.
    Lost {
        /// Why.
        status: Box<Status>,
        /// Where it goes on; none when it begins anew.
        after: Option<Place>,
        /// The pause.
        pause: Duration,
    },
}

/// Follows an execution to its end, or the log. The stream ends after the terminal message or after an
/// error.
pub fn follow(mut client: Client, follow: Follow) -> impl Stream<Item = Result<Update, Error>> {
    stream! {
        let Follow { subject, after, open_within, patience } = follow;
        let mut position = Position::after(subject.order(), after);
        let mut tries = Tries::new(patience);
        loop {
            let request = WatchRequest {
                scope: Some(subject.scope()),
                after: position.cursor(),
            };
            let cause = match open(&mut client, request, open_within).await {
                Err(status) => status,
                Ok(mut messages) => loop {
                    match next(&mut messages, patience.silence).await {
                        Err(status) => break status,
                        Ok(message) => {
                            tries.heard();
                            match position.accept(&message) {
                                Step::Nothing => {}
                                Step::Gap => break gap(position),
                                Step::New => {
                                    tries.moved();
                                    yield Ok(Update::Message(Box::new(message)));
                                }
                                Step::End => {
                                    yield Ok(Update::Message(Box::new(message)));
                                    return;
                                }
                            }
                        }
                    }
                }
            };
            if let Some(pause) = tries.next_pause(&cause) {
                yield Ok(Update::Lost {
                    status: Box::new(cause),
                    after: position.place(),
                    pause,
                });
                sleep(pause).await;
            } else {
                yield Err(tries.give_up(&subject, position, cause));
                return;
            }
        }
    }
}

async fn open(
    client: &mut Client,
    request: WatchRequest,
    within: Duration,
) -> Result<tonic::Streaming<WatchResponse>, Status> {
    match timeout(within, client.watch(request)).await {
        Ok(answer) => Ok(answer?.into_inner()),
        Err(_) => Err(Status::unavailable("the server did not answer in time")),
    }
}

async fn next(
    messages: &mut tonic::Streaming<WatchResponse>,
    silence: Duration,
) -> Result<WatchResponse, Status> {
    match timeout(silence, messages.message()).await {
        Ok(Ok(Some(message))) => Ok(message),
        Ok(Ok(None)) => Err(Status::unavailable("the stream ended before the execution did")),
        Ok(Err(status)) => Err(status),
        Err(_) => Err(Status::unavailable("the server fell silent")),
    }
}

fn gap(position: Position) -> Status {
    let next = position.cursor().unwrap_or_default() + 1;
    Status::data_loss(format!("the server left out revision {next}"))
}

/// The pauses between tries, and when to stop trying.
struct Tries {
    patience: Patience,
    contact: Contact,
    silent_since: Option<Instant>,
    pauses: backon::ExponentialBackoff,
    made: u32,
}

impl Tries {
    fn new(patience: Patience) -> Tries {
        Tries {
            patience,
            contact: patience.contact,
            silent_since: None,
            pauses: pauses(patience),
            made: 0,
        }
    }

    /// The server is there, though nothing need have happened.
    fn heard(&mut self) {
        self.contact = Contact::Made;
        self.silent_since = None;
    }

    /// Something new was seen: the next trouble is a new trouble.
    fn moved(&mut self) {
        self.pauses = pauses(self.patience);
        self.made = 0;
    }

    /// How long to wait before the next try. None when there should be none.
    fn next_pause(&mut self, cause: &Status) -> Option<Duration> {
        let told = Told::of(cause);
        if told == Told::ByService {
            self.contact = Contact::Made;
        }
        if self.contact == Contact::NotYet || !may_be_repeated(cause.code(), told) {
            return None;
        }
        // A second opening at the same place told the same: revisions are missing for good.
        if cause.code() == Code::DataLoss && self.made > 0 {
            return None;
        }
        let since = *self.silent_since.get_or_insert_with(Instant::now);
        if since.elapsed() >= self.patience.retry_for {
            return None;
        }
        self.made += 1;
        let pause = self.pauses.next().unwrap_or(self.patience.longest_pause);
        let asked =
            cause.get_details_retry_info().and_then(|info| info.retry_delay).unwrap_or_default();
        Some(pause.max(asked).min(self.patience.longest_pause))
    }

    fn give_up(&self, subject: &Subject, position: Position, cause: Status) -> Error {
        // An answer that no try can change is the answer to the call, not a broken watch.
        let answered = !may_be_repeated(cause.code(), Told::of(&cause));
        if answered || self.contact == Contact::NotYet {
            return Error::from(cause);
        }
        Error::WatchLost {
            subject: subject.words(),
            after: position.cursor(),
            status: Box::new(cause),
        }
    }
}

fn pauses(patience: Patience) -> backon::ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(patience.first_pause)
        .with_max_delay(patience.longest_pause)
        .without_max_times()
        .with_jitter()
        .build()
}

/// Who speaks in a status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// The service: it adds an `ErrorInfo` to every error.
    ByService,
    /// The transport or something on the way, which chooses codes by the kind of network error.
    ByTransport,
}

impl Told {
    fn of(status: &Status) -> Told {
        match status.get_details_error_info() {
            Some(info) if info.domain == wfe_proto::ERROR_DOMAIN => Told::ByService,
            Some(_) | None => Told::ByTransport,
        }
    }
}

/// Whether another try may get another answer.
fn may_be_repeated(code: Code, told: Told) -> bool {
    match code {
        Code::Unavailable
        | Code::ResourceExhausted
        | Code::DeadlineExceeded
        | Code::Cancelled
        | Code::DataLoss => true,
        // The transport reports broken connections with these.
        Code::Ok | Code::Unknown | Code::Internal | Code::Aborted | Code::OutOfRange => {
            told == Told::ByTransport
        }
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::Unimplemented
        | Code::Unauthenticated => false,
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    fn by_service(code: Code) -> Status {
        let details = ErrorDetails::with_error_info("SOME_REASON", wfe_proto::ERROR_DOMAIN, []);
        Status::with_error_details(code, "told", details)
    }

    fn tries(contact: Contact) -> Tries {
        Tries::new(Patience::usual(Duration::from_mins(1), contact))
    }

    #[test]
    fn what_may_be_tried_again_depends_on_the_code_and_on_who_tells_it() {
        let again: Vec<(Code, bool, bool)> = (0..17)
            .map(Code::from_i32)
            .map(|code| {
                (
                    code,
                    may_be_repeated(code, Told::ByService),
                    may_be_repeated(code, Told::ByTransport),
                )
            })
            .filter(|(_, service, transport)| *service || *transport)
            .collect();
        assert_eq!(
            again,
            [
                (Code::Ok, false, true),
                (Code::Cancelled, true, true),
                (Code::Unknown, false, true),
                (Code::DeadlineExceeded, true, true),
                (Code::ResourceExhausted, true, true),
                (Code::Aborted, false, true),
                (Code::OutOfRange, false, true),
                (Code::Internal, false, true),
                (Code::Unavailable, true, true),
                (Code::DataLoss, true, true),
            ]
        );
    }

    #[test]
    fn a_server_that_was_never_reached_is_not_waited_for() {
        let refused = Status::unavailable("tcp connect error");
        assert_eq!(tries(Contact::NotYet).next_pause(&refused), None);
        assert!(tries(Contact::Made).next_pause(&refused).is_some());
        assert!(
            tries(Contact::NotYet).next_pause(&by_service(Code::Unavailable)).is_some(),
            "a server that says it is not ready was reached"
        );
    }

    #[test]
    fn the_server_may_ask_for_a_longer_pause_within_bounds() {
        let mut asked = ErrorDetails::with_error_info("R", wfe_proto::ERROR_DOMAIN, []);
        asked.set_retry_info(Some(Duration::from_secs(4)));
        let status = Status::with_error_details(Code::Unavailable, "later", asked.clone());
        let pause = tries(Contact::Made).next_pause(&status);
        assert_eq!(pause, Some(Duration::from_secs(4)));

        asked.set_retry_info(Some(Duration::from_hours(1)));
        let status = Status::with_error_details(Code::Unavailable, "later", asked);
        let pause = tries(Contact::Made).next_pause(&status);
        assert_eq!(pause, Some(Duration::from_secs(10)));
    }

    #[test]
    fn pauses_grow_until_something_new_is_seen() {
        let lost = Status::unavailable("lost");
        let mut tries = tries(Contact::Made);
        let pauses: Vec<Duration> = (0..8).filter_map(|_| tries.next_pause(&lost)).collect();
        assert!(pauses[0] < Duration::from_millis(401), "{pauses:?}");
        assert!(pauses[7] >= Duration::from_secs(10), "{pauses:?}");
        tries.moved();
        let first = tries.next_pause(&lost).unwrap();
        assert!(first < Duration::from_millis(401), "{first:?}");
    }

    #[test]
    fn a_gap_that_stays_is_not_asked_about_for_ever() {
        let gap = gap(Position::after(Order::Revisions, Some(4)));
        let mut tries = tries(Contact::Made);
        assert!(tries.next_pause(&gap).is_some());
        assert_eq!(tries.next_pause(&gap), None);
    }
}
