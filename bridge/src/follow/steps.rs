//! The steps, each a call and what is learnt from it.

use tonic::{Code, Status};
use wfe_crds::workflow_execution::Phase;
use wfe_proto::v1::{Execution, State};
use wfe_runtime::error::chain;

use super::{Follower, Record, StartRequest, Timestamp, Trouble, WorkflowExecutionStatus};
use crate::{
    cluster::WriteError,
    metrics::Released,
    notes,
    project::{Difference, differs},
    request::{Answer, Cause, Refusal},
};

impl Follower {
    pub(super) async fn ask(&mut self) {
        let asked_at = self.object.version;
        match self.around.link.find(&self.object.uid).await {
            Ok(Some(execution)) => self.has(execution),
            Ok(None) => {
                self.server.worked();
                self.learn(Record::None { version: asked_at });
            }
            Err(status) => self.cannot_call(&status),
        }
    }

    pub(super) async fn start(&mut self, request: StartRequest) {
        let status = match self.around.link.start(request).await {
            Ok(execution) => return self.has(execution),
            Err(status) => status,
        };
        let holder = match Answer::holder_id(&status) {
            Some(id) => Some(self.around.link.holder(&id).await),
            None => None,
        };
        match Answer::of_status(&status, holder.as_ref()) {
            Answer::Refused(refusal) if matches!(refusal.cause, Cause::Deduplicated { .. }) => {
                self.make_final(refusal).await;
            }
            Answer::Refused(refusal) => {
                self.server.worked();
                self.learn(Record::Refused { refusal, at: self.now() });
            }
            // The same object under other settings: what was accepted first stands.
            Answer::Reused => self.ask().await,
            Answer::Withdrawn => {
                self.server.worked();
                self.learn(Record::Withdrawn);
            }
            Answer::Trouble(trouble) => self.server.failed(self.now(), Some(trouble)),
        }
    }

    /// A refusal that might not be given a moment later, to another copy of the bridge, is made final
    /// in the service before it is shown.
    async fn make_final(&mut self, refusal: Refusal) {
        match self.around.link.find(&self.object.uid).await {
            Ok(Some(execution)) => return self.has(execution),
            Ok(None) => {}
            Err(status) => return self.cannot_call(&status),
        }
        match self.around.link.withdraw(&self.object.uid, &refusal.message).await {
            Ok(Some(execution)) => self.has(execution),
            Ok(None) => {
                self.server.worked();
                self.learn(Record::Refused { refusal, at: self.now() });
            }
            Err(status) => self.cannot_call(&status),
        }
    }

    pub(super) async fn withdraw(&mut self) {
        let reason = format!("WorkflowExecution {} was deleted", self.object.key);
        match self.around.link.withdraw(&self.object.uid, &reason).await {
            Ok(Some(execution)) => self.has(execution),
            Ok(None) => {
                self.server.worked();
                self.learn(Record::Withdrawn);
            }
            Err(status) => self.cannot_call(&status),
        }
    }

    pub(super) async fn follow(&mut self, id: &str) {
        match self.around.link.watch(id, self.noted).await {
            Ok(events) => self.events = Some(events),
            Err(status) => self.cut(&status),
        }
    }

    /// The events of the execution do not come any more.
    pub(super) fn cut(&mut self, status: &Status) {
        self.events = None;
        if matches!(status.code(), Code::NotFound | Code::OutOfRange) {
            // The service's records are older than what was shown, or were lost: look at what it has.
            self.noted = 0;
            self.learn(Record::NotAsked);
        }
        // Also then not in a circle.
        self.cannot_call(status);
    }

    /// The service has this execution for the object.
    pub(super) fn has(&mut self, execution: Execution) {
        self.server.worked();
        let same_state = match &self.record {
            Record::Execution(known) if known.id == execution.id => {
                if known.revision > execution.revision {
                    return;
                }
                known.state == execution.state
            }
            Record::Execution(_)
            | Record::NotAsked
            | Record::None { .. }
            | Record::Refused { .. }
            | Record::Withdrawn => {
                let shown = self.object.status.as_ref().ok();
                let shown = shown.and_then(|status| status.execution_id.as_deref());
                if shown != Some(execution.id.as_str()) {
                    self.noted = 0;
                }
                false
            }
        };
        if same_state {
            self.record = Record::Execution(Box::new(execution));
        } else {
            self.learn(Record::Execution(Box::new(execution)));
        }
    }

    pub(super) fn cannot_call(&mut self, status: &Status) {
        let trouble = Trouble::of_status(status);
        tracing::debug!(object = %self.object.key, %trouble, "a call failed");
        self.server.failed(self.now(), Some(trouble));
    }

    pub(super) async fn add_finalizer(&mut self) {
        match self.around.cluster.add_finalizer(&self.object).await {
            Ok(metadata) => {
                self.writes.worked();
                self.object.take_metadata(metadata);
            }
            Err(error) => self.cannot_write("add the finalizer", error).await,
        }
    }

    pub(super) async fn show(&mut self, status: &WorkflowExecutionStatus) {
        self.note_of_status(status).await;
        if self.around.stopping.is_cancelled() {
            return;
        }
        match self.around.cluster.apply_status(&self.object, status).await {
            Ok(object) => {
                self.writes.worked();
                self.shown_at = Some(self.now());
                if differs(object.status.as_ref().ok(), status) != Difference::None {
                    // Written again at once, it would be written for ever.
                    tracing::error!(object = %object.key, "the API server keeps another status than it was given");
                    self.writes.failed(self.now(), None);
                }
                self.object = object;
                self.tell_end();
            }
            Err(error) => self.cannot_write("write the status", error).await,
        }
    }

    /// What no event of an execution tells is made known with the status that shows it.
    async fn note_of_status(&self, status: &WorkflowExecutionStatus) {
        let (object, instance) = (self.object.reference(), &self.around.instance);
        let end = status.completion_time.as_ref().map_or_else(|| self.now(), |time| time.0);
        match &self.record {
            Record::Refused { refusal, at } => {
                self.note(notes::refusal_note(&object, refusal, *at, instance)).await;
            }
            Record::None { .. } if status.phase == Some(Phase::Failed) => {
                self.note(notes::unrecorded_note(&object, end, instance)).await;
            }
            Record::Withdrawn => {
                let (refusal, at) = (&Refusal::withdrawn(), self.recorded_at);
                self.note(notes::refusal_note(&object, refusal, at, instance)).await;
            }
            Record::NotAsked | Record::None { .. } | Record::Execution(_) => {}
        }
    }

    /// Measures how long the end of the execution took to be seen.
    fn tell_end(&self) {
        let Record::Execution(execution) = &self.record else { return };
        let (State::Succeeded | State::Failed | State::Cancelled) = execution.state() else {
            return;
        };
        let Some(end) = &execution.end_time else { return };
        let Ok(end) = Timestamp::new(end.seconds, end.nanos) else { return };
        let took = self.now().duration_since(end);
        self.around.metrics.end_shown(took.try_into().unwrap_or_default());
    }

    pub(super) async fn release(&mut self, how: Released) {
        let at = self.object.deletion.unwrap_or_else(|| self.now());
        let (object, instance) = (self.object.reference(), &self.around.instance);
        let note = match how {
            Released::Settled => notes::deleted_note(&object, at, instance),
            Released::GivenUp => notes::given_up_note(&object, at, instance),
        };
        self.note(note).await;
        if self.around.stopping.is_cancelled() {
            return;
        }
        match self.around.cluster.remove_finalizer(&self.object).await {
            Ok(metadata) => {
                self.writes.worked();
                let took = self.object.deletion.map(|asked| self.now().duration_since(asked));
                let took = took.and_then(|took| took.try_into().ok()).unwrap_or_default();
                self.around.metrics.released(how, took);
                if how == Released::GivenUp {
                    tracing::warn!(
                        object = %self.object.key,
                        "let go although it is not known that nothing of it runs"
                    );
                }
                self.object.take_metadata(metadata);
            }
            Err(error) => self.cannot_write("remove the finalizer", error).await,
        }
    }

    pub(super) async fn cannot_write(&mut self, what: &'static str, error: WriteError) {
        let now = self.now();
        let error = match error {
            WriteError::Changed => match self.read_again().await {
                Ok(()) => return,
                Err(error) => error,
            },
            WriteError::Call(error) => error,
        };
        if self.writes.failures == 0 {
            tracing::warn!(object = %self.object.key, error = chain(&error), "cannot {what}; trying again");
        }
        self.writes.failed(now, None);
    }

    /// Reads the object, which is not what it was thought to be.
    async fn read_again(&mut self) -> Result<(), wfe_runtime::cluster::CallError> {
        match self.around.cluster.read(&self.object.key, &self.object.uid).await? {
            None => self.is_gone(),
            Some(object) if object.version == self.object.version => {
                // It was what it was thought to be: the refusal had another reason.
                self.writes.failed(self.now(), None);
            }
            Some(object) => self.object = object,
        }
        Ok(())
    }
}
