//! A Data Storage in the process, for tests: it takes, queues, stores and refuses audit events as the
//! platform's own was seen to, and fails when it is told to.
//!
//! It shares nothing with the client but HTTP, so that a mistake about the contract is not made twice.
//! [`check`] says what is valid and what is poison, [`table`] keeps and chains, [`queue`] is the dead
//! letter queue, [`door`] and [`http`] answer. Left out are exports, legal holds and the events of other services.

mod answer;
mod check;
mod door;
mod http;
mod limiter;
mod query;
mod queue;
mod table;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jiff::Timestamp;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use wfe_runtime::clock::Clock;

pub use queue::Timing;
pub use table::Verdict;

/// What can be set before it starts.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The most bytes of a body.
    pub max_body: usize,
    /// How the queue tries again.
    pub timing: Timing,
    /// How long a request to a frozen database is kept, in the time of the machine; 30 s in truth.
    pub freeze: Duration,
    /// Whether the requests of an address are limited to 50 a second.
    pub rate_limit: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_body: 5 * 1024 * 1024,
            timing: Timing::default(),
            freeze: Duration::from_secs(30),
            rate_limit: false,
        }
    }
}

/// How the database is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Database {
    /// It works.
    Up,
    /// It cannot be reached.
    Down,
    /// It takes what it is given and never answers.
    Frozen,
}

/// How the queue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queue {
    /// It works.
    Up,
    /// It cannot be reached.
    Down,
}

/// What happens to one batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// 429 with `Retry-After`, in seconds.
    RateLimited(u64),
    /// 500: the database failed, so many events were queued and the rest is lost.
    LostCount(usize),
    /// Everything is stored, and then the connection is closed without an answer.
    CloseAfterStoring,
    /// The connection is closed without an answer and without storing anything.
    CloseBeforeStoring,
    /// 503.
    ServiceUnavailable,
    /// 500, because nobody can say whose token it is.
    AuthenticationUnavailable,
    /// Everything is stored, and the answer is cut off.
    UnreadableAfterStoring,
}

/// What the owner of a token may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its name.
    pub user: String,
    /// `get`: needed for everything.
    pub reads: bool,
    /// `create`: needed for writes.
    pub writes: bool,
}

impl Account {
    /// A service account that may read and write.
    pub fn service(name: &str) -> Self {
        let user = format!("system:serviceaccount:kubernaut-system:{name}");
        Self { user, reads: true, writes: true }
    }
}

/// A request that was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Method and path with its query.
    pub what: String,
    /// Bytes of its body.
    pub bytes: usize,
    /// The body, when it is a batch.
    pub body: String,
    /// The status of the answer; `None` when the connection was closed without one.
    pub status: Option<u16>,
    /// The body of the answer.
    pub answer: String,
}

pub(crate) struct World {
    clock: Arc<dyn Clock>,
    settings: Settings,
    state: Mutex<State>,
}

pub(crate) struct State {
    database: Database,
    queue_is: Queue,
    table: table::Table,
    queue: queue::Pending,
    faults: VecDeque<Fault>,
    accounts: Option<BTreeMap<String, Account>>,
    refused: BTreeSet<String>,
    poison: BTreeSet<String>,
    limiter: limiter::Limiter,
    seen: Vec<Seen>,
}

impl World {
    /// The state after everything that happened until now.
    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let State { database, table, queue, poison, .. } = &mut *state;
        queue.pass(self.clock.now(), &self.settings.timing, *database, table, poison);
        state
    }
}

/// A Data Storage in the process. It ends when it is dropped.
pub struct Receiver {
    world: Arc<World>,
    address: SocketAddr,
    listening: Mutex<CancellationToken>,
}

impl Receiver {
    /// Starts one on a port of its own. Without [`Receiver::accounts`] nobody is asked for a token.
    ///
    /// # Errors
    ///
    /// When there is no port.
    pub async fn start(clock: Arc<dyn Clock>, settings: Settings) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let state = State {
            database: Database::Up,
            queue_is: Queue::Up,
            table: table::Table::default(),
            queue: queue::Pending::new(clock.now()),
            faults: VecDeque::new(),
            accounts: None,
            refused: BTreeSet::new(),
            poison: BTreeSet::new(),
            limiter: limiter::Limiter::default(),
            seen: Vec::new(),
        };
        let world = Arc::new(World { clock, settings, state: Mutex::new(state) });
        let receiver = Self { world, address, listening: Mutex::default() };
        receiver.listen(listener);
        Ok(receiver)
    }

    fn listen(&self, listener: TcpListener) {
        let token = CancellationToken::new();
        *self.listening.lock().unwrap_or_else(PoisonError::into_inner) = token.clone();
        tokio::spawn(http::serve(listener, Arc::clone(&self.world), token));
    }

    /// Its address, for a client.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Nobody listens any more, and open connections end.
    pub fn go_down(&self) {
        self.listening.lock().unwrap_or_else(PoisonError::into_inner).cancel();
    }

    /// Listens again, on the same port.
    ///
    /// # Errors
    ///
    /// When somebody else has the port.
    pub async fn come_up(&self) -> io::Result<()> {
        self.listen(TcpListener::bind(self.address).await?);
        Ok(())
    }

    /// What happens to the next batches, in order, one for each.
    pub fn script(&self, faults: impl IntoIterator<Item = Fault>) {
        self.world.state().faults.extend(faults);
    }

    /// How many of [`Receiver::script`] have not happened yet.
    pub fn scripted(&self) -> usize {
        self.world.state().faults.len()
    }

    /// Sets how the database is.
    pub fn set_database(&self, database: Database) {
        self.world.state().database = database;
    }

    /// Sets how the queue is.
    pub fn set_queue(&self, queue: Queue) {
        self.world.state().queue_is = queue;
    }

    /// From now on callers need one of these tokens.
    pub fn accounts<'a>(&self, tokens: impl IntoIterator<Item = (&'a str, Account)>) {
        let tokens = tokens.into_iter().map(|(token, account)| (token.to_owned(), account));
        self.world.state().accounts = Some(tokens.collect());
    }

    /// A batch with an event of this correlation id fails the schema.
    pub fn refuse(&self, correlation_id: &str) {
        self.world.state().refused.insert(correlation_id.to_owned());
    }

    /// Events of this correlation id pass every check, and the table never takes them.
    pub fn poison(&self, correlation_id: &str) {
        self.world.state().poison.insert(correlation_id.to_owned());
    }

    /// The process is ended and started: the queue is drained at once.
    pub fn restart(&self) {
        let mut state = self.world.state();
        let State { database, table, queue, poison, .. } = &mut *state;
        queue.drain(*database, table, poison);
    }

    /// What is stored, in order of arrival, as it is read back.
    pub fn stored(&self) -> Vec<Value> {
        self.world.state().table.in_order_of_arrival()
    }

    /// How many events are queued.
    pub fn queued(&self) -> usize {
        self.world.state().queue.len()
    }

    /// How many events were given up.
    pub fn dead(&self) -> usize {
        self.world.state().queue.dead()
    }

    /// What the check of a chain says.
    pub fn verify(&self, correlation_id: &str) -> Verdict {
        self.world.state().table.verify(correlation_id)
    }

    /// The requests that were seen, in order.
    pub fn seen(&self) -> Vec<Seen> {
        self.world.state().seen.clone()
    }

    /// The time that it goes by.
    pub fn now(&self) -> Timestamp {
        self.world.clock.now()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.go_down();
    }
}
