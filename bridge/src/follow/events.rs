//! What the service tells of an execution, and how it is made known as Kubernetes events.

use std::time::Duration;

use futures::StreamExt as _;
use k8s_openapi::api::events::v1::Event;
use tokio::time::Instant;
use tonic::Status;
use wfe_proto::{
    apply,
    v1::{Execution, ExecutionEvent, State, WatchResponse, watch_response::Update},
};
use wfe_runtime::{cluster::CallError, error::chain};

use super::{Follower, Record};
use crate::{cluster::pause, notes};

/// The end of a watch follows its last message within this time.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// An event that the API server cannot take now is offered again for so long.
const NOTE_PATIENCE: Duration = Duration::from_secs(30);

impl Follower {
    pub(super) async fn hear(&mut self, heard: Option<Result<WatchResponse, Status>>) {
        match heard {
            Some(Ok(WatchResponse { update: Some(update), .. })) => self.update(update).await,
            Some(Ok(WatchResponse { update: None, .. })) => {}
            Some(Err(status)) => self.cut(&status),
            None => self.cut(&Status::unavailable("the watch ended before the execution")),
        }
    }

    async fn update(&mut self, update: Update) {
        match update {
            Update::Snapshot(execution) => self.has(execution),
            Update::Event(event) => self.event(event).await,
            Update::Heartbeat(_) => self.refresh().await,
            // Of wider scopes only.
            Update::Synced(_) | Update::Decision(_) => {}
            Update::Terminal(execution) => {
                // Every event before it has come.
                self.noted = self.noted.max(execution.revision);
                self.finish_reading().await;
                self.has(execution);
            }
        }
    }

    /// Reads the end of the watch, which follows its last message. Too many that are dropped before
    /// their end make the connection be given up.
    async fn finish_reading(&mut self) {
        if let Some(mut events) = self.events.take() {
            // Without an end there is nothing to be done about it.
            let _ = tokio::time::timeout(LAST_WORDS, events.next()).await;
        }
    }

    /// Who holds the target changes without an event of those who wait for it.
    async fn refresh(&mut self) {
        let Record::Execution(execution) = &self.record else { return };
        if execution.state() == State::Waiting
            && let Ok(Some(execution)) = self.around.link.find(&self.object.uid).await
        {
            self.has(execution);
        }
    }

    async fn event(&mut self, event: ExecutionEvent) {
        let Record::Execution(known) = &self.record else { return };
        let mut execution: Execution = (**known).clone();
        let revision = event.revision;
        if revision <= self.noted {
            return;
        }
        if revision > execution.revision {
            apply(&mut execution, &event);
        }
        let note = notes::note(&self.object.reference(), &event, &execution, &self.around.instance);
        if let Some(note) = note {
            self.note(note).await;
        }
        self.noted = revision;
        self.has(execution);
    }

    /// Makes something known. While the API server cannot be reached this waits: nothing else could be
    /// written either. An event that it does not take is lost after a while, and holds nothing up.
    ///
    /// When the bridge stops meanwhile, the event is not made known, and nothing may be written that says
    /// that it was.
    pub(super) async fn note(&self, note: Event) {
        let began = Instant::now();
        for failures in 0.. {
            let Err(error) = self.around.cluster.note(&note).await else { return };
            if patience(&error).is_some_and(|patience| began.elapsed() >= patience) {
                self.around.metrics.note_lost();
                tracing::warn!(object = %self.object.key, error = chain(&error), "a Kubernetes event is lost");
                return;
            }
            tracing::debug!(object = %self.object.key, error = chain(&error), "a Kubernetes event waits");
            // Followers that failed together do not come back together.
            let pause = pause(failures).mul_f64(rand::random_range(0.5..1.0));
            tokio::select! {
                () = self.around.stopping.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}

/// For how long an event is offered again after this; `None` is for as long as it takes.
fn patience(error: &CallError) -> Option<Duration> {
    match error {
        CallError::Unanswered(_) | CallError::Unreachable(_) => None,
        CallError::Refused { code: 401 | 429 | 500.., .. } => Some(NOTE_PATIENCE),
        CallError::Refused { .. } | CallError::Unreadable(_) => Some(Duration::ZERO),
    }
}
