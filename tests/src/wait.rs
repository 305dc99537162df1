//! Waiting for a condition with a deadline.

use std::future::Future;
use std::time::Duration;

use anyhow::{Context, Result};

pub use wfe_control_plane::wait::eventually;

/// How long a test waits for what takes well under a second when the machine has nothing else to do.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// How long a test waits for what happens after an outage of the API server. client-go doubles the pause between its
/// attempts up to a minute, and begins anew only when nothing failed for two.
pub const RECOVERY: Duration = Duration::from_mins(3);

/// Waits for a future that ends by itself, such as `kube`'s `await_condition`, until a deadline.
///
/// # Errors
///
/// When the future fails, and at the deadline; both name `what` was waited for.
pub async fn within<T, E>(
    deadline: Duration,
    what: &str,
    future: impl Future<Output = Result<T, E>>,
) -> Result<T>
where
    Result<T, E>: Context<T, E>,
{
    tokio::time::timeout(deadline, future)
        .await
        .with_context(|| format!("{what}: not within {deadline:?}"))?
        .with_context(|| what.to_owned())
}
