//! Logs and exports for tests: sound ones, of lives as the service records them.
#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a builder for tests, which end where it cannot build"
)]

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use uuid::Uuid;
use wfe_core::{
    actor::{Actor, AuthenticationMethod, OnBehalfOf},
    audit::{
        About, AboutTarget, AboutWorkflow, Entry, Hash, Head, Numbering, Position, Record, Stream,
        What,
    },
    event::EventKind,
    execution::{Cancellation, CreatedRun, PlannedRun, StateCode},
    failure::{Failure, FailureReason},
    ids::{ClusterId, Epoch, ExecutionId, RunName},
    progress::Progress,
    target::TargetKey,
};

use crate::{
    checkpoint::{Checkpoint, rotation},
    export::Exporter,
    key::{PublicKey, SigningKey},
};

/// How an execution ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// It succeeds.
    Well,
    /// A step fails.
    Badly,
    /// Somebody stops it.
    Cancelled,
    /// It still runs.
    NotYet,
}

/// The same key each time.
pub fn mk_key(n: u8) -> SigningKey {
    SigningKey::of_seed([n; 32]).unwrap()
}

/// A person who acted through the bridge.
pub fn mk_actor() -> Actor {
    Actor {
        user: "system:serviceaccount:kubernaut-system:wfe-bridge".to_owned(),
        uid: Some("7d1f4b0e-5f7c-4a52-9d6e-0c3f2b8a9e11".to_owned()),
        groups: vec!["system:serviceaccounts".to_owned(), "system:authenticated".to_owned()],
        method: AuthenticationMethod::Token,
        on_behalf_of: Some(OnBehalfOf {
            user: "maria".to_owned(),
            uid: None,
            groups: vec!["sre".to_owned()],
        }),
        address: Some("10.0.0.7".to_owned()),
    }
}

/// A log in the making. A second passes with each record.
#[derive(Debug)]
pub struct Logbook {
    key: SigningKey,
    log: Hash,
    head: Head,
    now: Timestamp,
    revisions: HashMap<Stream, u64>,
    entries: Vec<Entry>,
    checkpoints: Vec<Checkpoint>,
}

impl Logbook {
    /// A log without entries, whose id is 32 times this byte, and which begins at 2026-11-21T10:00:00Z.
    pub fn begin(id: u8) -> Self {
        let log = Hash([id; 32]);
        Self {
            key: mk_key(1),
            log,
            head: Head::empty(log),
            now: "2026-11-21T10:00:00Z".parse().unwrap(),
            revisions: HashMap::new(),
            entries: Vec::new(),
            checkpoints: Vec::new(),
        }
    }

    /// Three executions, a clearance, a refusal and a denial, with a checkpoint after each life.
    pub fn small() -> Self {
        let mut log = Self::begin(7);
        log.execution(1, Ends::Well);
        log.checkpoint();
        log.execution(2, Ends::Badly);
        log.refused(2, "PREVIOUS_EXECUTION_FAILED");
        log.clearance(2, "rolled back by hand, 3 of 3 pods ready", Some("OPS-4711"));
        log.checkpoint();
        log.denied("Start", "the right create on workflowexecutions is missing");
        log.execution(3, Ends::NotYet);
        log.checkpoint();
        log
    }

    /// The key that is in force.
    pub fn public(&self) -> PublicKey {
        self.key.public()
    }

    /// Its id.
    pub const fn id(&self) -> Hash {
        self.log
    }

    /// The newest entry.
    pub const fn head(&self) -> Head {
        self.head
    }

    /// All entries.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// All checkpoints.
    pub fn checkpoints(&self) -> &[Checkpoint] {
        &self.checkpoints
    }

    /// Adds a record in the stream.
    pub fn record(&mut self, stream: Stream, actor: Actor, what: What, about: About) -> &mut Self {
        let revision = self.revisions.entry(stream.clone()).or_default();
        *revision += 1;
        let numbering = Numbering::Next;
        let record = Record { stream, numbering, at: self.now, actor, what, about };
        let entry = self.head.append(&record, *revision).unwrap();
        self.head = entry.head();
        self.entries.push(entry);
        self.now += SignedDuration::from_secs(1);
        self
    }

    /// Signs the newest entry.
    pub fn checkpoint(&mut self) -> Checkpoint {
        let checkpoint = Checkpoint::sign(self.log, self.head, self.now, &self.key);
        self.checkpoints.push(checkpoint.clone());
        checkpoint
    }

    /// Hands over to another key, on record.
    pub fn rotate(&mut self, to: SigningKey) -> &mut Self {
        let what = rotation(self.log, &self.key, &to.public());
        self.record(Stream::log(), Actor::service(), what, About::default());
        self.key = to;
        self
    }

    /// Takes another key without a word.
    pub fn replace_key(&mut self, to: SigningKey) -> &mut Self {
        self.key = to;
        self
    }

    /// The life of an execution, numbered `n`, on a target of its own.
    pub fn execution(&mut self, n: u128, ends: Ends) -> ExecutionId {
        let id = mk_execution_id(n);
        let accepted = json!({
            "type": "transition", "after": "starting", "event": {"type": "accepted"},
            "asked": {
                "parameters": {"REPLICAS": "3"}, "when_locked": "reject",
                "when_cooling": "reject", "when_blocked": "reject"
            }
        });
        self.moved(n, mk_actor(), serde_json::from_value(accepted).unwrap());
        let planned = PlannedRun {
            name: RunName::new(&mk_key_of_target(n), Epoch(1)),
            epoch: Epoch(1),
            since: self.now,
            observed: Vec::new(),
        };
        let admitted = EventKind::Admitted { run: planned.clone() };
        self.transition(n, StateCode::Starting, StateCode::Starting, admitted);
        let (uid, created_at) = (format!("uid-{n}"), self.now);
        let run = CreatedRun { planned, uid, created_at, progress: Progress::default() };
        let created = EventKind::RunCreated { run };
        self.transition(n, StateCode::Starting, StateCode::Running, created);
        let (progress, ended_at) = (Progress::default(), self.now);
        match ends {
            Ends::Well => {
                let end = EventKind::Succeeded { progress, ended_at };
                self.transition(n, StateCode::Running, StateCode::Succeeded, end);
            }
            Ends::Badly => {
                let end = EventKind::Failed { failure: mk_failure(ended_at), progress: None };
                self.transition(n, StateCode::Running, StateCode::Failed, end);
            }
            Ends::Cancelled => {
                let cancellation =
                    Cancellation::immediate("started by mistake".to_owned(), mk_actor(), self.now);
                let asked = EventKind::CancelRequested { cancellation: cancellation.clone() };
                let what = What::Transition {
                    before: Some(StateCode::Running),
                    after: StateCode::Cancelling,
                    event: asked,
                    asked: None,
                };
                self.moved(n, mk_actor(), what);
                let end = EventKind::Cancelled { cancellation, progress: None };
                self.transition(n, StateCode::Cancelling, StateCode::Cancelled, end);
            }
            Ends::NotYet => {}
        }
        id
    }

    /// A move that the service made by itself.
    pub fn transition(&mut self, n: u128, before: StateCode, after: StateCode, event: EventKind) {
        let what = What::Transition { before: Some(before), after, event, asked: None };
        self.moved(n, Actor::service(), what);
    }

    fn moved(&mut self, n: u128, actor: Actor, what: What) {
        self.record(Stream::execution(mk_execution_id(n)), actor, what, mk_about(n));
    }

    /// A Start on the target of execution `n` was refused.
    pub fn refused(&mut self, n: u128, code: &'static str) -> &mut Self {
        let what = json!({
            "type": "refused", "code": code,
            "hold": {"gate": "lock", "holder": mk_execution_id(n), "message": "held"},
            "times": {"count": 1, "since": self.now, "until": self.now}
        });
        let about = About { execution: None, ..mk_about(n) };
        let stream = Stream::target(&mk_key_of_target(n));
        self.record(stream, mk_actor(), serde_json::from_value(what).unwrap(), about)
    }

    /// A caller was not let in.
    pub fn denied(&mut self, method: &'static str, detail: &str) -> &mut Self {
        let what = json!({
            "type": "denied", "method": method, "code": "PERMISSION_DENIED", "verb": "create",
            "detail": detail, "times": {"count": 3, "since": self.now, "until": self.now}
        });
        let what = serde_json::from_value(what).unwrap();
        self.record(Stream::security(), mk_actor(), what, About::default())
    }

    /// The block of the target of execution `n` was cleared.
    pub fn clearance(&mut self, n: u128, reason: &str, ticket: Option<&str>) -> &mut Self {
        let what = What::ClearBlock {
            outcome: "cleared".into(),
            reason: reason.parse().unwrap(),
            ticket: ticket.map(str::to_owned),
        };
        self.record(Stream::target(&mk_key_of_target(n)), mk_actor(), what, mk_about(n))
    }

    /// A request was withdrawn.
    pub fn withdrawn(&mut self, n: u128, reason: &str) -> &mut Self {
        let request_id = format!("request-{n}").parse().unwrap();
        let stream = Stream::request(&request_id);
        let about = About { request_id: Some(request_id), ..About::default() };
        self.record(stream, mk_actor(), What::Withdrawn { reason: reason.to_owned() }, about)
    }

    /// The export of all of it.
    pub fn export(&self) -> String {
        self.export_after(0)
    }

    /// The export of what follows an entry.
    pub fn export_after(&self, after: u64) -> String {
        let index = usize::try_from(after).unwrap();
        let head = match index.checked_sub(1) {
            None => Head::empty(self.log),
            Some(last) => self.entries[last].head(),
        };
        let mut out = String::new();
        let mut exporter = Exporter::begin(self.log, head, self.now, &mut out).unwrap();
        let signed = |exporter: &mut Exporter, out: &mut String| {
            let top = exporter.top().sequence;
            for checkpoint in self.checkpoints.iter().filter(|it| it.sequence == top) {
                exporter.checkpoint(checkpoint, out).unwrap();
            }
        };
        signed(&mut exporter, &mut out);
        for entry in &self.entries[index..] {
            exporter.entry(entry, &mut out).unwrap();
            signed(&mut exporter, &mut out);
        }
        exporter.end(&self.key, &mut out).unwrap();
        out
    }

    /// The same entries from this one on, hashed anew from altered texts, as somebody would do who can
    /// write to the database but has no key. Checkpoints stay as they are.
    pub fn rewrite(&mut self, from: u64, alter: impl Fn(&str) -> String) -> &mut Self {
        let mut head = Head::empty(self.log);
        for entry in &mut self.entries {
            if entry.sequence >= Position(from) {
                entry.text = alter(&entry.text);
                entry.hash = head.hash.follow(entry.text.as_bytes());
            }
            head = entry.head();
        }
        self.head = head;
        self
    }
}

/// The id of execution `n`.
pub const fn mk_execution_id(n: u128) -> ExecutionId {
    ExecutionId::new(Uuid::from_u128(0x0198_c0de_7a3c_7bb0_9c11_0000_0000_0000 + n))
}

/// The target of execution `n`.
pub fn mk_key_of_target(n: u128) -> TargetKey {
    let target = format!("shop/deployment/api-{n}").parse().unwrap();
    TargetKey { cluster: ClusterId::local(), target }
}

/// What records of execution `n` concern.
pub fn mk_about(n: u128) -> About {
    let key = mk_key_of_target(n);
    About {
        execution: Some(mk_execution_id(n)),
        request_id: Some(format!("request-{n}").parse().unwrap()),
        target: Some(AboutTarget {
            as_given: Some(format!("shop/deploy/api-{n}")),
            ..AboutTarget::of(&key)
        }),
        workflow: Some(AboutWorkflow {
            reference: "registry.example/workflows/restart:v1".to_owned(),
            digest: Some(format!("sha256:{}", "ab".repeat(32))),
            pipeline: "workflow".to_owned(),
            id: String::new(),
            name: String::new(),
            version: String::new(),
        }),
        correlation_id: Some(format!("rr-{n}").parse().unwrap()),
        source: None,
    }
}

fn mk_failure(at: Timestamp) -> Failure {
    let summary = "Step run of task restart exited with 1.".to_owned();
    Failure {
        was_execution_failure: true,
        exit_code: Some(1),
        ..Failure::before_execution(FailureReason::TaskFailed, "Error", "exit 1", summary, at)
    }
}
