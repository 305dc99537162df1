//! Listens to everything that happens at the service, for what the history of one execution does not
//! tell: that a block was cleared, that a failure blocks its target, and that somebody was refused.
//!
//! Nothing rests on it. A service that cannot tell is asked again from time to time, and meanwhile
//! everything goes on without.

use std::{sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::events::v1::Event;
use tokio_util::task::TaskTracker;
use tonic::Status;
use wfe_proto::v1::{Execution, WatchResponse};
use wfe_runtime::error::chain;

use crate::{
    bridge::{Watched, hire},
    cluster::pause,
    desk::{Desk, Recall},
    follow::Surroundings,
    notes,
    object::{Key, reference},
    project::{moment, person},
};

mod place;

use place::{Heard, Next, Place};

/// A service that is too old is asked again after this time.
const TOO_OLD: Duration = Duration::from_mins(5);
/// The service says something at least every 15 seconds.
const SILENCE: Duration = Duration::from_mins(1);
/// What is older is no news: its Kubernetes event was made, or nobody waits for it any more.
const NEWS: SignedDuration = SignedDuration::from_mins(10);
/// An object that is followed is looked at again after this time.
const FOLLOWED: Duration = Duration::from_millis(500);
/// A call for a Kubernetes event is made at most so often.
const TRIES: u32 = 5;

/// Why a watch of everything is not followed any more.
enum Cut {
    /// It was lost, or could not be begun.
    Lost(Status),
    /// It is begun once more from a little before, for what happened while nobody listened.
    Earlier,
}

/// Listens to everything.
pub(crate) struct Listener {
    around: Arc<Surroundings>,
    watched: Arc<Watched>,
    followers: TaskTracker,
}

impl Listener {
    pub(crate) fn new(
        around: Arc<Surroundings>,
        watched: Arc<Watched>,
        followers: TaskTracker,
    ) -> Self {
        Self { around, watched, followers }
    }

    /// Listens for ever.
    pub(crate) async fn listen(self) {
        let this = Arc::new(self);
        let mut place = Place::default();
        let (mut failures, mut told) = (0, None);
        loop {
            // What is told of an object that was not seen yet would be lost.
            while !this.watched.is_synced() {
                tokio::time::sleep(FOLLOWED).await;
            }
            let Cut::Lost(status) = this.follow(&mut place, &mut failures).await else { continue };
            if failures == 0 {
                told = None;
            }
            let wait = match place.lost(&status) {
                Next::Again => pause(failures),
                Next::TooOld => TOO_OLD,
            };
            if told != Some(status.code()) {
                told = Some(status.code());
                tracing::info!(
                    code = ?status.code(),
                    reason = status.message(),
                    "cannot listen to everything now; what is cleared elsewhere is shown later"
                );
            }
            failures = failures.saturating_add(1);
            tokio::time::sleep(wait.mul_f64(rand::random_range(0.5..1.0))).await;
        }
    }

    /// Follows the log until it is cut.
    async fn follow(self: &Arc<Self>, place: &mut Place, failures: &mut u32) -> Cut {
        let mut messages = match self.around.link.watch_everything(place.after()).await {
            Ok(messages) => messages,
            Err(status) => return Cut::Lost(status),
        };
        loop {
            let message = match tokio::time::timeout(SILENCE, messages.message()).await {
                Ok(Ok(Some(message))) => message,
                Ok(Ok(None)) => {
                    return Cut::Lost(Status::unavailable("the watch of everything ended"));
                }
                Ok(Err(status)) => return Cut::Lost(status),
                Err(_) => return Cut::Lost(Status::unavailable("the service fell silent")),
            };
            *failures = 0;
            if place.moved(&message) {
                return Cut::Earlier;
            }
            self.hear(message).await;
        }
    }

    async fn hear(self: &Arc<Self>, message: WatchResponse) {
        let (cursor, now) = (message.cursor, self.around.clock.now());
        match Heard::of(message) {
            Heard::Cleared { execution_id } => {
                let this = Arc::clone(self);
                // It may have to wait for its object, and must not keep others waiting.
                self.followers.spawn(async move {
                    let stopping = this.around.stopping.clone();
                    stopping.run_until_cancelled(Box::pin(this.cleared(&execution_id))).await;
                });
            }
            Heard::Failed { execution_id, at } if is_news(at, now) => {
                self.failed(&execution_id).await;
            }
            Heard::Refused(decision) if is_news(decision.time.as_ref().and_then(moment), now) => {
                let Some(execution) = self.find(&decision.execution_id).await else { return };
                let Some((key, uid)) = self.object(&execution) else { return };
                let object = reference(&key, &uid);
                let note =
                    notes::start_refused_note(&object, &decision, cursor, &self.around.instance);
                self.note(note).await;
            }
            Heard::Failed { .. } | Heard::Refused(_) | Heard::Nothing => {}
        }
    }

    /// Has the object of an execution show that the block was cleared.
    async fn cleared(&self, execution_id: &str) {
        let mut failures = 0;
        let execution = loop {
            match self.around.link.execution(execution_id).await {
                Ok(Some(execution)) => break execution,
                Ok(None) => return,
                Err(_) => tokio::time::sleep(pause(failures)).await,
            }
            failures += 1;
        };
        let Some((key, uid)) = self.object(&execution) else { return };
        let Some(clearance) = execution.clearance.clone() else { return };
        let at = clearance.clear_time.as_ref().and_then(moment);
        let now = self.around.clock.now();
        if is_news(at, now) {
            let actor = clearance.actor.unwrap_or_default();
            let by = person(&actor).unwrap_or("Somebody");
            let (object, reason) = (reference(&key, &uid), &clearance.reason);
            let instance = &self.around.instance;
            let note = notes::cleared_note(&object, by, reason, at.unwrap_or(now), instance);
            self.note(Some(note)).await;
        }
        self.show(&key, &uid, execution).await;
    }

    /// Sets a follower on the object, who sees to it that it shows the execution.
    async fn show(&self, key: &Key, uid: &str, execution: Execution) {
        let mut failures = 0;
        loop {
            match self.around.cluster.read(key, uid).await {
                Ok(None) => return,
                Ok(Some(object)) => {
                    failures = 0;
                    let status = object.status.as_ref().ok();
                    let shows = |id: &String| *id == execution.id;
                    let is_its = status.and_then(|status| status.execution_id.as_ref());
                    let done = status.is_some_and(|status| status.block_clearance.is_some());
                    if done || !is_its.is_some_and(shows) {
                        return;
                    }
                    let recall = self.desk().recall(object);
                    match recall {
                        Recall::Hire(sight) => {
                            let around = Arc::clone(&self.around);
                            return hire(&self.followers, around, sight, Some(execution));
                        }
                        Recall::Unknown => return,
                        Recall::Followed => {}
                    }
                }
                Err(error) => {
                    tracing::debug!(object = %key, error = chain(&error), "cannot show a clearance yet");
                    failures += 1;
                }
            }
            tokio::time::sleep(FOLLOWED.max(pause(failures))).await;
        }
    }

    /// Makes known that the failure of an execution blocks its target, when it does.
    async fn failed(&self, execution_id: &str) {
        let Some(execution) = self.find(execution_id).await else { return };
        let Some((key, uid)) = self.object(&execution) else { return };
        let Ok(target) = self.around.link.target(&execution.target, &execution.cluster_id).await
        else {
            return;
        };
        let Some(block) = place::block_of(&target, execution_id) else { return };
        let object = reference(&key, &uid);
        self.note(notes::blocked_note(&object, &target, block, &self.around.instance)).await;
    }

    async fn find(&self, execution_id: &str) -> Option<Execution> {
        if execution_id.is_empty() {
            return None;
        }
        for tries in 0..TRIES {
            match self.around.link.execution(execution_id).await {
                Ok(execution) => return execution,
                Err(_) => tokio::time::sleep(pause(tries)).await,
            }
        }
        None
    }

    /// The object that asked for an execution, when it is one that this bridge has seen.
    fn object(&self, execution: &Execution) -> Option<(Key, String)> {
        let (key, uid) = place::object_of(execution)?;
        self.desk().knows(&key, &uid).then_some((key, uid))
    }

    fn desk(&self) -> std::sync::MutexGuard<'_, Desk> {
        self.around.desk.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Makes something known. What the API server does not take after some tries is lost.
    async fn note(&self, note: Option<Event>) {
        let Some(note) = note else { return };
        for tries in 0..TRIES {
            let Err(error) = self.around.cluster.note(&note).await else { return };
            tracing::debug!(error = chain(&error), "a Kubernetes event waits");
            tokio::time::sleep(pause(tries)).await;
        }
        self.around.metrics.note_lost();
        tracing::warn!("a Kubernetes event is lost");
    }
}

fn is_news(at: Option<Timestamp>, now: Timestamp) -> bool {
    at.is_some_and(|at| now.duration_since(at) <= NEWS)
}
