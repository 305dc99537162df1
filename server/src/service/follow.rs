//! Watch of a target, of a correlation id, and of everything: the log, as far as it tells of executions
//! and decisions and the reader may see it.
//!
//! The log is read from the store as the reader takes it: a slow reader costs no memory and misses
//! nothing. How far it was read is the cursor, also past entries that the reader may not see.

use async_stream::try_stream;
use async_trait::async_trait;
use futures::Stream;
use jiff::Timestamp;
use tokio::time::Instant;
use wfe_core::{
    audit::{Entry, Head, Position},
    execution::Execution,
    ids::ExecutionId,
};

use super::Service;

use crate::{
    auth::{Scenes, Sight, Verdict},
    error::ServiceError,
    store::{Filter, Listed, Log, LogScope, Page},
};

mod news;

pub use news::{News, Told};
use news::{Shown, told};

/// Entries, and executions, that are read from the store at once.
const PAGE: u32 = 64;

/// Why a watch that waits goes on.
enum Woken {
    News,
    Silence,
    Draining,
}

#[async_trait]
impl Scenes for Service {
    async fn execution(&self, id: ExecutionId) -> Result<Option<Execution>, ServiceError> {
        Ok(self.ledger.store().execution(id).await?)
    }
}

impl Service {
    /// Follows the log: from snapshots of now, or after a place in it. Entries that `sight` does not see
    /// are passed over.
    pub async fn follow(
        &self,
        scope: LogScope,
        after: Option<Position>,
        sight: Sight,
    ) -> Result<impl Stream<Item = Result<Told, ServiceError>> + Send + use<>, ServiceError> {
        // Subscribed before the first read, so that nothing can happen in between unseen.
        let mut news = self.ledger.notifier().subscribe_log();
        let Log { base, head, .. } = self.ledger.store().log().await?;
        if let Some(asked) = after {
            if asked > head.sequence {
                let (asked, newest) = (asked.0, head.sequence.0);
                return Err(ServiceError::LogCursorAhead { asked, newest });
            }
            still_there(asked, base)?;
        }
        let cursor = after.unwrap_or(head.sequence);
        let this = self.clone();
        let mut reader =
            Reader { service: self.clone(), scope, cursor, sight, shown: Shown::default() };
        Ok(try_stream! {
            let _open = this.metrics.stream();
            if after.is_none() {
                let mut candidates = reader.candidates().await?;
                while let Some(execution) = reader.snapshot(&mut candidates).await? {
                    yield Told { news: News::Snapshot(execution), cursor: Position::default() };
                }
                reader.shown.until = this.ledger.store().log().await?.head.sequence;
                yield Told { news: News::Synced, cursor };
            }
            let silence = this.settings.heartbeat;
            let mut alive = Instant::now() + silence;
            let mut live = false;
            loop {
                news.borrow_and_update();
                let head = this.ledger.store().log().await?.head.sequence;
                while reader.cursor < head {
                    let page = reader.page(head).await?;
                    for entry in &page.entries {
                        let Some((news, at)) = reader.look(entry).await? else { continue };
                        if live {
                            this.metrics.delivered(at, this.clock.now());
                        }
                        yield Told { news, cursor: reader.cursor };
                        alive = Instant::now() + silence;
                    }
                    reader.cursor = reader.cursor.max(page.read_to);
                }
                live = true;
                if Instant::now() >= alive {
                    let at = this.clock.now();
                    yield Told { news: News::Heartbeat { at }, cursor: reader.cursor };
                    alive = Instant::now() + silence;
                }
                let woken = tokio::select! {
                    biased;
                    () = this.draining.cancelled() => Woken::Draining,
                    _ = news.changed() => Woken::News,
                    () = tokio::time::sleep_until(alive) => Woken::Silence,
                };
                match woken {
                    // After silence too the log is looked at: another process may have written.
                    Woken::News | Woken::Silence => {}
                    Woken::Draining => {
                        Err(ServiceError::Draining { cursor: reader.cursor.0 })?;
                    }
                }
            }
        })
    }
}

/// Reads the log for one watch.
struct Reader {
    service: Service,
    scope: LogScope,
    cursor: Position,
    sight: Sight,
    shown: Shown,
}

/// Entries that come next.
struct Entries {
    entries: Vec<Entry>,
    /// Everything of the scope was read up to here, with these.
    read_to: Position,
}

/// Executions of which snapshots are told, before it is looked whether they may be seen.
enum Candidates {
    Ids(std::vec::IntoIter<ExecutionId>),
    Pages { read: std::vec::IntoIter<Listed>, next: Option<Page>, filter: Filter },
}

impl Reader {
    async fn candidates(&self) -> Result<Candidates, ServiceError> {
        let store = self.service.ledger.store();
        let ids: Vec<ExecutionId> = match &self.scope {
            LogScope::Everything => store.unfinished().await?.iter().map(|live| live.id).collect(),
            LogScope::Target(key) => {
                let view = store.target(key).await?;
                view.holder.iter().chain(&view.queue).map(|live| live.id).collect()
            }
            LogScope::Correlation(id) => {
                let filter = Filter { correlation_id: Some(id.clone()), ..Filter::default() };
                let next = Some(Page { before: None, limit: PAGE });
                return Ok(Candidates::Pages { read: Vec::new().into_iter(), next, filter });
            }
        };
        Ok(Candidates::Ids(ids.into_iter()))
    }

    /// The next execution that the reader may see.
    async fn snapshot(
        &mut self,
        candidates: &mut Candidates,
    ) -> Result<Option<Box<Execution>>, ServiceError> {
        loop {
            let id = match candidates {
                Candidates::Ids(ids) => ids.next(),
                Candidates::Pages { read, next, filter } => match (read.next(), next.take()) {
                    (Some(listed), page) => {
                        *next = page;
                        Some(listed.execution.id)
                    }
                    (None, None) => None,
                    (None, Some(page)) => {
                        let listed = self.service.list(filter, page).await?;
                        let full = listed.len() >= PAGE as usize;
                        let before = listed.last().map(|listed| listed.sequence);
                        *next = before.filter(|_| full).map(|_| Page { before, limit: PAGE });
                        *read = listed.into_iter();
                        continue;
                    }
                },
            };
            let Some(id) = id else { return Ok(None) };
            let execution = self.service.get(id).await?;
            if self.sight.sees(&execution).await? == Verdict::Allowed {
                self.shown.add(&execution);
                return Ok(Some(Box::new(execution)));
            }
        }
    }

    /// What comes after the cursor. `head` was the head of the log before.
    async fn page(&self, head: Position) -> Result<Entries, ServiceError> {
        let store = self.service.ledger.store();
        let entries = store.entries(&self.scope, self.cursor, PAGE).await?;
        // Looked at afterwards: what was deleted meanwhile must not be passed over.
        still_there(self.cursor, store.log().await?.base)?;
        let last = entries.last().map(|entry| entry.sequence);
        let read_to = match last {
            Some(last) if entries.len() >= PAGE as usize => last,
            last => head.max(last.unwrap_or_default()),
        };
        Ok(Entries { entries, read_to })
    }

    /// What an entry says to the reader, and when it happened.
    async fn look(&mut self, entry: &Entry) -> Result<Option<(News, Timestamp)>, ServiceError> {
        let unreadable = |error| ServiceError::Internal(Box::new(error));
        let logged = entry.read().map_err(unreadable)?;
        self.cursor = entry.sequence;
        if self.shown.holds(&logged) {
            return Ok(None);
        }
        let at = logged.at;
        let Some(news) = told(&logged)? else { return Ok(None) };
        match self.sight.sees_entry(&logged, &self.service).await? {
            Verdict::Allowed => Ok(Some((news, at))),
            Verdict::Denied => Ok(None),
        }
    }
}

/// Refuses a place of which it is not known what came next.
fn still_there(cursor: Position, base: Head) -> Result<(), ServiceError> {
    if cursor < base.sequence {
        let (asked, oldest) = (cursor.0, base.sequence.0);
        return Err(ServiceError::CursorExpired { asked, oldest });
    }
    Ok(())
}
