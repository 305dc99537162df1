//! The API server of a cluster: a connection to it, what its refusals are, and watches that notice
//! silence.

use std::time::Duration;

mod connect;
mod error;
mod pulse;
#[cfg(any(test, feature = "test-util"))]
pub mod testing;
mod watch;

pub use connect::{ClientError, client};
pub use error::{About, CallError};
pub use pulse::Pulse;
pub use watch::{Mirror, Timing, Version, keep, version_of};

/// The answer to a call is waited for this long. Admission may take 10 s twice.
pub const CALL: Duration = Duration::from_secs(25);

/// At most so many objects are asked for at once.
pub const PAGE: u32 = 500;

/// Calls the API server, for as long as a caller can wait.
pub async fn call<T>(
    calling: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, CallError> {
    bounded(async { Ok(calling.await?) }).await
}

/// Waits for a call for as long as a caller can wait.
pub async fn bounded<T>(
    calling: impl Future<Output = Result<T, CallError>>,
) -> Result<T, CallError> {
    tokio::time::timeout(CALL, calling).await.unwrap_or(Err(CallError::Unanswered(CALL)))
}
