//! Opening a database: what may be wrong with it, said so that somebody can put it right.

use std::{
    error::Error,
    fs,
    io::{self, ErrorKind},
    path::{Path, PathBuf, absolute},
    time::Duration,
};

use backon::{ExponentialBuilder, Retryable};
use sqlx::{
    ConnectOptions, Connection, SqliteConnection, SqlitePool,
    migrate::MigrateError,
    pool::PoolOptions,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use super::{
    migrate::{self, NEWEST, Owner},
    transaction::{code, code_of},
};

/// A database could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Something else is at the path.
    #[error("{} is not a file: give the path of a database file", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The folder of the path does not exist.
    #[error("there is no folder for the database {}: make it, or give another path", path.display())]
    NoFolder {
        /// The path.
        path: PathBuf,
    },
    /// The process may not read and write there.
    #[error(
        "the database {} cannot be read and written: allow the process both, for the file and its \
         folder",
        path.display()
    )]
    Denied {
        /// The path.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The file is not a database, or not a sound one.
    #[error(
        "{} is no SQLite database, or a damaged one: give another path, or put a backup there",
        path.display()
    )]
    Damaged {
        /// The path.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The file holds other data.
    #[error("{} is the database of another program: give another path", path.display())]
    Foreign {
        /// The path.
        path: PathBuf,
    },
    /// A newer program wrote it.
    #[error(
        "the database {} has schema version {found}, and this program knows none after {known}: run \
         the version of the program that wrote it, or a later one",
        path.display()
    )]
    NewerSchema {
        /// The path.
        path: PathBuf,
        /// The newest version in the database.
        found: i64,
        /// The newest version that this program knows.
        known: i64,
    },
    /// A program with another history of the schema wrote it.
    #[error(
        "schema version {version} of the database {} is not the one that this program makes: run the \
         program that wrote it",
        path.display()
    )]
    OtherSchema {
        /// The path.
        path: PathBuf,
        /// The version that differs.
        version: i64,
    },
    /// Another process keeps it locked.
    #[error("another process keeps the database {} locked: stop that process", path.display())]
    Locked {
        /// The path.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// Anything else.
    #[error("the database {} cannot be opened: remove the cause and start again", path.display())]
    Failed {
        /// The path.
        path: PathBuf,
        /// The cause.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

impl OpenError {
    fn from_io(path: &Path, error: io::Error) -> Self {
        let path = path.to_owned();
        if error.kind() == ErrorKind::NotFound || error.kind() == ErrorKind::NotADirectory {
            return Self::NoFolder { path };
        }
        let denied = [ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem];
        if denied.contains(&error.kind()) {
            return Self::Denied { path, source: error.into() };
        }
        Self::Failed { path, source: error.into() }
    }

    fn from_sqlite(path: &Path, error: sqlx::Error) -> Self {
        let path = path.to_owned();
        match code_of(&error) {
            Some(code::NOTADB | code::CORRUPT) => Self::Damaged { path, source: error.into() },
            Some(code::BUSY) => Self::Locked { path, source: error.into() },
            Some(code::PERM | code::READONLY | code::CANTOPEN) => {
                Self::Denied { path, source: error.into() }
            }
            _ => Self::Failed { path, source: error.into() },
        }
    }

    fn from_migration(path: &Path, newest: i64, error: MigrateError) -> Self {
        if let MigrateError::Execute(error) = error {
            return Self::from_sqlite(path, error);
        }
        let path = path.to_owned();
        if let MigrateError::VersionMissing(version) | MigrateError::VersionMismatch(version) =
            error
        {
            return if newest > NEWEST {
                Self::NewerSchema { path, found: newest, known: NEWEST }
            } else {
                Self::OtherSchema { path, version }
            };
        }
        Self::Failed { path, source: error.into() }
    }
}

/// How patient a store is.
#[derive(Debug, Clone)]
pub(super) struct Tuning {
    /// How long one attempt waits for another process that has the database locked.
    pub(super) busy_timeout: Duration,
    /// Attempts after the first, and the pauses between them.
    pub(super) retries: ExponentialBuilder,
    /// How long a call waits for a connection.
    pub(super) acquire_timeout: Duration,
    /// Attempts to open after the first, while another process has the database locked.
    pub(super) open_retries: ExponentialBuilder,
}

impl Default for Tuning {
    fn default() -> Self {
        let retries = ExponentialBuilder::new()
            .with_min_delay(Duration::from_millis(20))
            .with_max_delay(Duration::from_millis(200))
            .with_jitter();
        Self {
            busy_timeout: Duration::from_secs(1),
            retries: retries.with_max_times(3),
            acquire_timeout: Duration::from_secs(10),
            open_retries: retries.with_max_times(20),
        }
    }
}

/// Connections that read. Each costs a thread and up to 2 MiB of cache.
const READERS: u32 = 4;

/// Opens the file at `path` and answers the pool of the one connection that writes and the pool of
/// those that read.
pub(super) async fn open_file(
    path: &Path,
    tuning: &Tuning,
) -> Result<(SqlitePool, SqlitePool), OpenError> {
    // SQLite gives names such as `:memory:` a meaning of their own; an absolute path has none.
    let path = absolute(path).map_err(|error| OpenError::from_io(path, error))?;
    find_or_make(&path)?;
    // SQLite does not wait for others when it sets the journal mode, so the busy timeout is not enough
    // when several processes start on a new file.
    let locked = |error: &OpenError| matches!(error, OpenError::Locked { .. });
    (|| connect(&path, tuning)).retry(tuning.open_retries).when(locked).await
}

async fn connect(path: &Path, tuning: &Tuning) -> Result<(SqlitePool, SqlitePool), OpenError> {
    let sqlite = |error| OpenError::from_sqlite(path, error);
    let plain = SqliteConnectOptions::new().filename(path).busy_timeout(tuning.busy_timeout);

    // Looked at before the journal mode is set, which would write into a file that is not ours.
    let mut connection = plain.connect().await.map_err(sqlite)?;
    let owner = migrate::owner(&mut connection).await.map_err(sqlite)?;
    connection.close().await.map_err(sqlite)?;
    if owner == Owner::SomebodyElse {
        return Err(OpenError::Foreign { path: path.to_owned() });
    }

    let writing = plain
        .clone()
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        // Keeps a log that grew in a burst from taking its place for ever; in bytes.
        .pragma("journal_size_limit", "67108864")
        .foreign_keys(true);
    let writer = pool_options(tuning, 1).connect_with(writing).await.map_err(sqlite)?;
    bring_up_to_date(path, &writer).await?;

    let reading = plain.read_only(true);
    let readers = pool_options(tuning, READERS).connect_with(reading).await.map_err(sqlite)?;
    Ok((writer, readers))
}

/// Opens a database of one connection that lives in memory.
pub(super) async fn open_memory(tuning: &Tuning) -> Result<SqlitePool, OpenError> {
    let path = Path::new(":memory:");
    let options = SqliteConnectOptions::new().filename(path).foreign_keys(true);
    let pool = pool_options(tuning, 1).connect_with(options).await;
    let pool = pool.map_err(|error| OpenError::from_sqlite(path, error))?;
    bring_up_to_date(path, &pool).await?;
    Ok(pool)
}

async fn bring_up_to_date(path: &Path, writer: &SqlitePool) -> Result<(), OpenError> {
    let sqlite = |error| OpenError::from_sqlite(path, error);
    let mut connection = writer.acquire().await.map_err(sqlite)?;
    let Err(error) = migrate::migrate(&mut connection).await else { return Ok(()) };
    let newest = migrate::applied(&mut connection).await.unwrap_or(0);
    Err(OpenError::from_migration(path, newest, error))
}

/// Connections live as long as the pool: they hold nothing that grows.
fn pool_options(tuning: &Tuning, connections: u32) -> SqlitePoolOptions {
    PoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(tuning.acquire_timeout)
        .idle_timeout(None)
        .max_lifetime(None)
        // A connection answers a ping, which also finishes a rollback, before it comes back.
        .test_before_acquire(false)
        // When SQLite itself gives a transaction up, as on a full disk, the connection goes on
        // counting one that it cannot end. It is replaced.
        .before_acquire(|connection: &mut SqliteConnection, _| {
            let clean = !connection.is_in_transaction();
            Box::pin(async move { Ok(clean) })
        })
}

/// Makes an empty file when there is none. SQLite would say of all that can be wrong here that it is
/// "unable to open", and would let everybody read what it makes. A file that exists is not opened:
/// closing it would drop the locks that SQLite has on it elsewhere in this process.
fn find_or_make(path: &Path) -> Result<(), OpenError> {
    let io = |error| OpenError::from_io(path, error);
    match fs::metadata(path) {
        Ok(found) if found.is_file() => Ok(()),
        Ok(_) => Err(OpenError::NotAFile { path: path.to_owned() }),
        Err(error) if error.kind() == ErrorKind::NotFound => make(path).map_err(io),
        Err(error) => Err(io(error)),
    }
}

fn make(path: &Path) -> Result<(), io::Error> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        // Another process that starts beside this one was faster.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => made.map(drop),
    }
}
