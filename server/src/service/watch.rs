//! Watch: follows an execution to its end.
//!
//! Nothing is buffered for a reader: events are read from the store as the reader takes them, so a
//! slow one costs no memory and misses nothing.

use async_stream::try_stream;
use futures::Stream;
use jiff::Timestamp;
use wfe_core::{
    event::Event,
    execution::Execution,
    ids::{ExecutionId, Revision},
};

use super::Service;
use crate::error::ServiceError;

/// Events that are read from the store at once.
const PAGE: u32 = 64;

/// One message of a watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Update {
    /// The execution as it is.
    Snapshot(Box<Execution>),
    /// Something happened.
    Event(Box<Event>),
    /// Nothing happened for a while; where to resume.
    Heartbeat {
        /// When.
        at: Timestamp,
        /// Where to resume.
        cursor: Revision,
    },
    /// The execution has ended. The last message.
    Terminal(Box<Execution>),
}

/// Why a watch that waits goes on.
enum Woken {
    News,
    Silence,
    Draining,
}

impl Service {
    /// Follows an execution: from a snapshot of now, or after a revision.
    pub async fn watch(
        &self,
        id: ExecutionId,
        after: Option<Revision>,
    ) -> Result<impl Stream<Item = Result<Update, ServiceError>> + Send + use<>, ServiceError> {
        // Subscribed before the first read, so that nothing can happen in between unseen.
        let mut news = self.ledger.notifier().subscribe(id);
        let execution = self.get(id).await?;
        if let Some(asked) = after
            && asked > execution.revision
        {
            let (asked, newest) = (asked.0, execution.revision.0);
            return Err(ServiceError::CursorAhead { id, asked, newest });
        }
        let this = self.clone();
        Ok(try_stream! {
            let _open = this.metrics.stream();
            let mut cursor = after.unwrap_or(execution.revision);
            if after.is_none() {
                yield Update::Snapshot(Box::new(execution));
            }
            let mut live = false;
            loop {
                news.borrow_and_update();
                let events = this.ledger.store().events(id, cursor, PAGE).await?;
                let caught_up = events.len() < PAGE as usize;
                for event in events {
                    cursor = event.revision;
                    if live {
                        this.metrics.delivered(event.at, this.clock.now());
                    }
                    yield Update::Event(Box::new(event));
                }
                if !caught_up {
                    continue;
                }
                let execution = this.get(id).await?;
                if execution.revision > cursor {
                    continue;
                }
                if execution.state.code().is_terminal() {
                    yield Update::Terminal(Box::new(execution));
                    return;
                }
                live = true;
                let woken = tokio::select! {
                    biased;
                    () = this.draining.cancelled() => Woken::Draining,
                    _ = news.changed() => Woken::News,
                    () = tokio::time::sleep(this.settings.heartbeat) => Woken::Silence,
                };
                match woken {
                    Woken::News => {}
                    Woken::Silence => yield Update::Heartbeat { at: this.clock.now(), cursor },
                    Woken::Draining => {
                        Err(ServiceError::Draining { cursor: cursor.0 })?;
                    }
                }
            }
        })
    }
}
