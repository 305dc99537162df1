//! Waiting for a condition with a deadline. The only place that sleeps.

use std::fmt::Debug;
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep};

/// How long to wait between two looks.
const INTERVAL: Duration = Duration::from_millis(20);

/// Looks until `look` answers `Ok`. Every look that answers `Err` says what it saw instead.
///
/// # Errors
///
/// At the deadline, naming `what` was waited for and what was seen last.
pub async fn eventually<T, S, F>(
    deadline: Duration,
    what: &str,
    mut look: impl FnMut() -> F,
) -> Result<T>
where
    S: Debug,
    F: Future<Output = Result<T, S>>,
{
    let end = Instant::now() + deadline;
    let mut last = None;
    loop {
        match tokio::time::timeout_at(end, look()).await {
            Ok(Ok(found)) => return Ok(found),
            Ok(Err(seen)) => last = Some(seen),
            Err(_) => {}
        }
        if Instant::now() + INTERVAL >= end {
            match last {
                Some(seen) => bail!("{what}: not within {deadline:?}; seen last: {seen:?}"),
                None => bail!("{what}: no answer within {deadline:?}"),
            }
        }
        sleep(INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_deadline_names_what_was_waited_for_and_seen() -> Result<()> {
        let waited: Result<()> =
            eventually(Duration::from_millis(1), "a miracle", || async { Err("nothing") }).await;
        let Err(error) = waited else { bail!("it came") };
        assert_eq!(error.to_string(), "a miracle: not within 1ms; seen last: \"nothing\"");
        Ok(())
    }

    #[tokio::test]
    async fn a_look_that_hangs_does_not_outlast_the_deadline() -> Result<()> {
        let never = || std::future::pending::<Result<(), &str>>();
        let Err(error) = eventually(Duration::from_millis(1), "an answer", never).await else {
            bail!("it came")
        };
        assert_eq!(error.to_string(), "an answer: no answer within 1ms");
        Ok(())
    }
}
