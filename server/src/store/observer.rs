//! How a store tells what it does, so that metrics need not know a database and a store no metrics.

use std::time::Duration;

/// Is told of every transaction and query of a store.
pub trait StoreObserver: Send + Sync + 'static {
    /// One attempt of the transaction or query `name` took `elapsed`, waiting for a connection
    /// included, and ended like this.
    fn transaction(&self, name: &'static str, elapsed: Duration, outcome: Outcome);
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// What it wrote is durable.
    Committed,
    /// There was nothing to write.
    Read,
    /// The database was locked; it is tried again.
    Retried,
    /// It failed.
    Failed,
    /// The caller went away before the end was known.
    Abandoned,
}

impl Outcome {
    /// The outcome as a label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::Read => "read",
            Self::Retried => "retried",
            Self::Failed => "failed",
            Self::Abandoned => "abandoned",
        }
    }
}

/// For those who do not want to know.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unobserved;

impl StoreObserver for Unobserved {
    fn transaction(&self, _: &'static str, _: Duration, _: Outcome) {}
}
