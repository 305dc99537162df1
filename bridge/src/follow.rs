//! Follows one WorkflowExecution: asks [`decide`] for a step, takes it, and looks again.

use std::sync::{Arc, Mutex, PoisonError};

use futures::{FutureExt as _, StreamExt as _};
use jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::Streaming;
use wfe_crds::workflow_execution::WorkflowExecutionStatus;
use wfe_proto::v1::{Execution, StartRequest, WatchResponse};
use wfe_runtime::clock::Clock;

use crate::{
    cluster::{Cluster, pause},
    decide::{Policy, Record, Refused, Setback, Situation, Step, decide},
    desk::{Desk, Sight, news},
    link::Link,
    metrics::Metrics,
    object::Object,
    request::{Holder, Trouble},
    seal::Seals,
};

mod events;
mod steps;
mod wishes;

/// What every follower needs.
pub struct Surroundings {
    /// The execution service.
    pub link: Link,
    /// The API server.
    pub cluster: Cluster,
    /// What is measured.
    pub metrics: Metrics,
    /// The settings that count.
    pub policy: Policy,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// How this copy of the bridge calls itself in Kubernetes events.
    pub instance: String,
    /// What the seals on requests are checked with.
    pub seals: watch::Receiver<Seals>,
    /// Who is followed.
    pub desk: Mutex<Desk>,
    /// Followers end when this is cancelled.
    pub stopping: CancellationToken,
}

/// Follows one object.
pub(crate) struct Follower {
    around: Arc<Surroundings>,
    sight: watch::Receiver<Sight>,
    /// The object as it was seen or written last; when it is gone, as it was before.
    object: Object,
    gone_since: Option<Timestamp>,
    record: Record,
    recorded_at: Timestamp,
    /// The events up to this revision were made known.
    noted: i64,
    events: Option<Streaming<WatchResponse>>,
    holder: Option<Holder>,
    server: Failing,
    writes: Failing,
    shown_at: Option<Timestamp>,
    seals: Seals,
    refused: Option<Refused>,
}

/// Calls that failed in a row.
#[derive(Debug, Default)]
struct Failing {
    failures: u32,
    trouble: Option<Trouble>,
    since: Timestamp,
    until: Timestamp,
}

impl Failing {
    fn failed(&mut self, now: Timestamp, trouble: Option<Trouble>) {
        if self.failures == 0 {
            self.since = now;
        }
        let asked = trouble.as_ref().and_then(|trouble| trouble.retry_after);
        // Followers that failed together do not come back together.
        let own = pause(self.failures).mul_f64(rand::random_range(0.5..1.0));
        let wait = asked.unwrap_or(own).min(pause(u32::MAX));
        self.until = now + wait;
        self.failures = self.failures.saturating_add(1);
        self.trouble = trouble;
    }

    fn worked(&mut self) {
        *self = Self::default();
    }

    fn until(&self) -> Option<Timestamp> {
        (self.failures > 0).then_some(self.until)
    }
}

impl Follower {
    /// `None` when there is nothing to follow any more.
    pub(crate) fn new(
        around: Arc<Surroundings>,
        mut sight: watch::Receiver<Sight>,
    ) -> Option<Self> {
        let object = match &*sight.borrow_and_update() {
            Sight::Present(object) => Object::clone(object),
            Sight::Gone => return None,
        };
        let noted = object.status.as_ref().ok().and_then(|status| status.execution_revision);
        let around_now = around.clock.now();
        Some(Self {
            around,
            sight,
            object,
            gone_since: None,
            record: Record::NotAsked,
            recorded_at: around_now,
            noted: noted.unwrap_or(0),
            events: None,
            holder: None,
            server: Failing::default(),
            writes: Failing::default(),
            shown_at: None,
            seals: Seals::Unknown,
            refused: None,
        })
    }

    /// The same, where it is known already what the service has for the object.
    pub(crate) fn knowing(mut self, execution: Execution) -> Self {
        self.has(execution);
        self
    }

    /// Follows the object until there is nothing more to do for it, or the bridge stops.
    pub(crate) async fn run(mut self) {
        let around = Arc::clone(&self.around);
        let _followed = around.metrics.follow();
        tracing::debug!(object = %self.object.key, uid = self.object.uid, "following");
        while !around.stopping.is_cancelled() {
            self.look();
            self.hear_all().await;
            // What was heard may not have been made known.
            if around.stopping.is_cancelled() {
                break;
            }
            let now = self.now();
            self.seals = around.seals.borrow().clone();
            let step = decide(&self.situation(), &around.policy, now);
            tracing::trace!(object = %self.object.key, step = ?step, "next");
            match step {
                Step::Rest(until) => self.rest(until).await,
                Step::Done if self.may_leave() => break,
                Step::Done => {}
                Step::AddFinalizer => self.add_finalizer().await,
                Step::Ask => self.ask().await,
                Step::Start(request) => self.start(*request).await,
                Step::Follow(id) => self.follow(&id).await,
                Step::FindHolder(id) => self.holder = Some(around.link.holder(&id).await),
                Step::Refuse(refusal) => self.learn(Record::Refused { refusal: *refusal, at: now }),
                Step::Withdraw => self.withdraw().await,
                Step::Clear(request) => self.clear(*request).await,
                Step::Stop(request) => self.stop(*request).await,
                Step::Settle(wish, outcome) => Box::pin(self.settle(wish, outcome)).await,
                Step::Show(status) => Box::pin(self.show(&status)).await,
                Step::Release(how) => Box::pin(self.release(how)).await,
            }
        }
        tracing::debug!(object = %self.object.key, "not following any more");
    }

    /// Whether there was no news since it was decided that there is nothing more to do.
    fn may_leave(&self) -> bool {
        let mut desk = self.around.desk.lock().unwrap_or_else(PoisonError::into_inner);
        desk.rest(&self.object.key, &self.object.uid, &self.sight)
    }

    fn situation(&self) -> Situation<'_> {
        let trouble = self.server.trouble.as_ref();
        Situation {
            object: self.gone_since.is_none().then_some(&self.object),
            gone_since: self.gone_since,
            record: &self.record,
            recorded_at: self.recorded_at,
            noted: self.noted,
            following: self.events.is_some(),
            holder: self.holder.as_ref(),
            server: trouble.map(|trouble| Setback {
                trouble,
                since: self.server.since,
                until: self.server.until,
            }),
            writes_from: self.writes.until(),
            shown_at: self.shown_at,
            seals: &self.seals,
            refused: self.refused.as_ref(),
        }
    }

    /// Takes over what the watch of objects has seen. The answer to an own write may be newer.
    fn look(&mut self) {
        match news(&mut self.sight) {
            Some(Sight::Gone) => self.is_gone(),
            Some(Sight::Present(object)) if object.version > self.object.version => {
                self.object = Object::clone(&object);
            }
            Some(Sight::Present(_)) | None => {}
        }
    }

    fn now(&self) -> Timestamp {
        self.around.clock.now()
    }

    fn is_gone(&mut self) {
        let now = self.now();
        self.gone_since.get_or_insert(now);
    }

    /// Waits for news of any kind, at most until this time.
    async fn rest(&mut self, until: Option<Timestamp>) {
        let around = Arc::clone(&self.around);
        let sleep = async {
            match until {
                Some(until) => {
                    let wait = until.duration_since(around.clock.now());
                    tokio::time::sleep(wait.try_into().unwrap_or_default()).await;
                }
                None => std::future::pending().await,
            }
        };
        let sight = &mut self.sight;
        let changed = async {
            // Without a sender nothing changes any more, which is not news.
            if sight.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let events = &mut self.events;
        let hear = async {
            match events {
                Some(events) => events.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = around.stopping.cancelled() => {}
            () = changed => self.sight.mark_changed(),
            () = sleep => {}
            // Boxed, because a follower rests most of the time.
            heard = hear => Box::pin(self.hear(heard)).await,
        }
    }

    /// Takes over what the service has told already, so that what is over is shown at once.
    async fn hear_all(&mut self) {
        while let Some(heard) = self.events.as_mut().and_then(|events| events.next().now_or_never())
        {
            Box::pin(self.hear(heard)).await;
        }
    }

    fn learn(&mut self, record: Record) {
        self.record = record;
        self.recorded_at = self.now();
    }
}

#[cfg(test)]
mod tests;
