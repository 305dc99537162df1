//! The simulated cluster: runs, TaskRuns, and what happens to them next.
//!
//! Moves only when it is told the time. Objects change as Tekton changes them: a run is created bare,
//! resolved, gets a TaskRun for each task whose turn has come, and is counted up after each.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use jiff::Timestamp;
use tokio::time::Instant;
use uuid::Uuid;
use wfe_core::{
    execution::CancelMode,
    facts::{RunFacts, Stopped, TaskRunFacts},
    ids::ExecutionId,
};
use wfe_runtime::cluster::Version;

use super::{
    super::{Birth, RunRequest},
    graph::{Outcome, Pace},
    parameters_of,
    script::Fate,
    words::StopCause,
};

mod controller;
mod deletion;
mod kubelet;
mod look;
mod moves;

pub(super) use deletion::Cascade;
use moves::{Attempt, Due, Move, TaskMove};

/// At most this many changes can be replayed to a watch that fell behind.
const LOG_LENGTH: usize = 10_000;

/// One moment on both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) instant: Instant,
    pub(super) time: Timestamp,
}

impl Moment {
    /// The same clocks at `instant`, which is not later.
    fn at(self, instant: Instant) -> Self {
        let ago = self.instant.saturating_duration_since(instant);
        let time = self.time.saturating_sub(ago).unwrap_or(self.time);
        Self { instant, time }
    }

    /// The time as objects carry it: in whole seconds.
    pub(super) fn stamp(self) -> Timestamp {
        Timestamp::from_second(self.time.as_second()).unwrap_or(self.time)
    }
}

/// How the cluster behaves.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    pub(super) namespace: String,
    pub(super) pace: Pace,
    /// A run that is cancelled sooner after its creation leaves a TaskRun alive.
    pub(super) orphan_window: Duration,
}

#[derive(Debug)]
pub(super) struct World {
    rules: Rules,
    runs: BTreeMap<String, Run>,
    /// Name of a TaskRun to name of its run.
    owners: BTreeMap<String, String>,
    due: BTreeMap<(Instant, u64), Due>,
    log: VecDeque<(Version, Object)>,
    version: Version,
    /// Up to here the log was forgotten.
    forgotten: Version,
    sequence: u64,
}

/// An object that changed, came or went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Object {
    Run(String),
    TaskRun(String),
}

#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) facts: RunFacts,
    pub(super) version: Version,
    pub(super) task_runs: Vec<TaskRun>,
    fate: Fate,
    bundle: String,
    /// What it repeats of its parameters.
    repeated: String,
    born: Moment,
    birth: Birth,
    timeout: Option<Duration>,
    /// Whether only its TaskRuns are there: who deleted it left them alone.
    gone: bool,
}

#[derive(Debug, Clone)]
pub(super) struct TaskRun {
    pub(super) facts: TaskRunFacts,
    pub(super) version: Version,
    /// Its task, by its place in the graph.
    task: usize,
    /// Number of this attempt of it among all that ever was; what is due for another one is void.
    serial: u64,
    /// Its run was cancelled without noticing it: only a stop ends it.
    orphan: bool,
}

impl Run {
    /// The TaskRun of the task at this place in the graph.
    fn of_task(&self, task: usize) -> Option<&TaskRun> {
        self.task_runs.iter().find(|task_run| task_run.task == task)
    }

    /// The attempt that is meant, unless it is over or gone.
    fn attempt(&mut self, meant: Attempt) -> Option<&mut TaskRun> {
        self.task_runs.iter_mut().find(|task_run| {
            task_run.task == meant.task
                && task_run.serial == meant.serial
                && task_run.facts.is_live()
        })
    }

    /// What becomes of this attempt.
    fn outcome(&self, task_run: &TaskRun) -> Outcome {
        let task = self.fate.graph().and_then(|graph| graph.tasks().get(task_run.task));
        let outcome = task.map_or(Outcome::Succeeds, |task| task.outcome);
        outcome.of_attempt(task_run.facts.failed_attempts)
    }

    /// Whether the task may be tried again after this attempt.
    fn may_retry(&self, task_run: &TaskRun) -> bool {
        let task = self.fate.graph().and_then(|graph| graph.tasks().get(task_run.task));
        task.is_some_and(|task| task_run.facts.failed_attempts < task.retries)
    }
}

/// The log does not go back that far.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Expired;

impl World {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            rules,
            runs: BTreeMap::new(),
            owners: BTreeMap::new(),
            due: BTreeMap::new(),
            log: VecDeque::new(),
            version: 1,
            forgotten: 1,
            sequence: 0,
        }
    }

    pub(super) fn rules_mut(&mut self) -> &mut Rules {
        &mut self.rules
    }

    /// The version of the newest change.
    pub(super) const fn version(&self) -> Version {
        self.version
    }

    pub(super) fn runs(&self) -> impl Iterator<Item = &Run> {
        self.runs.values().filter(|run| !run.gone)
    }

    /// Every TaskRun, also of runs that are gone.
    pub(super) fn task_runs(&self) -> impl Iterator<Item = &TaskRun> {
        self.runs.values().flat_map(|run| &run.task_runs)
    }

    pub(super) fn run(&self, name: &str) -> Option<&Run> {
        self.runs.get(name)
    }

    /// The TaskRuns of an execution, also of a run of it that is gone.
    pub(super) fn task_runs_of(&self, id: ExecutionId) -> impl Iterator<Item = &TaskRunFacts> {
        let runs = self.runs.values().filter(move |run| run.facts.execution == Some(id));
        runs.flat_map(|run| &run.task_runs).map(|task| &task.facts)
    }

    /// The runs of which only TaskRuns are there.
    pub(super) fn left_alone(&self) -> impl Iterator<Item = &Run> {
        self.runs.values().filter(|run| run.gone)
    }

    pub(super) fn task_run(&self, name: &str) -> Option<&TaskRun> {
        let run = self.runs.get(self.owners.get(name)?)?;
        run.task_runs.iter().find(|task| task.facts.name == name)
    }

    /// When something happens next.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.keys().next().map(|(at, _)| *at)
    }

    /// Changes after `cursor`, in order.
    pub(super) fn changes_after(
        &self,
        cursor: Version,
    ) -> Result<impl Iterator<Item = &(Version, Object)>, Expired> {
        if cursor < self.forgotten {
            return Err(Expired);
        }
        let first = self.log.partition_point(|(version, _)| *version <= cursor);
        Ok(self.log.range(first..))
    }

    /// Forgets every change that was, so that each watch has to list anew.
    pub(super) fn compact(&mut self) {
        self.version += 1;
        self.forgotten = self.version;
        self.log.clear();
    }

    /// Lets everything happen that is due.
    pub(super) fn advance(&mut self, now: Moment) {
        while let Some(entry) = self.due.first_entry() {
            let at = entry.key().0;
            if at > now.instant {
                return;
            }
            let moment = now.at(at);
            match entry.remove() {
                Due::Arrive(request) => {
                    self.create(&request, moment);
                }
                Due::Move(name, uid, step) => self.play(&name, &uid, step, moment),
            }
        }
    }

    /// Lets a create arrive later.
    pub(super) fn create_later(&mut self, request: RunRequest, at: Instant) {
        self.plan(at, Due::Arrive(Box::new(request)));
    }

    /// How many runs are yet to be created although their callers have had an answer.
    pub(super) fn creates_under_way(&self) -> usize {
        self.due.values().filter(|due| matches!(due, Due::Arrive(_))).count()
    }

    /// Creates a run, unless one of its name exists.
    pub(super) fn create(&mut self, request: &RunRequest, now: Moment) -> Option<&Run> {
        let name = request.run.name.as_str();
        if self.runs.contains_key(name) {
            return None;
        }
        let bundle = request.request.workflow.reference().into_owned();
        let fate = Fate::of(&request.request.workflow);
        let repeated = match fate {
            Fate::WrongParameters | Fate::Runs(_) => parameters_of(request),
            Fate::Missing | Fate::NeverResolved | Fate::Denied | Fate::Unfit(_) => String::new(),
        };
        let stopping = match request.birth {
            Birth::Ready => None,
            Birth::Cancelled => Some(CancelMode::Immediate),
        };
        self.sequence += 1;
        let micros = u64::try_from(now.time.as_microsecond()).unwrap_or(0);
        let facts = RunFacts {
            name: name.to_owned(),
            uid: Uuid::from_u64_pair(micros, self.sequence).to_string(),
            execution: Some(request.execution),
            target_hash: Some(request.request.target.hash()),
            created_at: now.stamp(),
            deleted_at: None,
            condition: None,
            started_at: None,
            completed_at: None,
            tasks: None,
            children: Vec::new(),
            skipped: Vec::new(),
            stopping,
        };
        let run = Run {
            version: 0,
            task_runs: Vec::new(),
            fate,
            bundle,
            repeated,
            born: now,
            birth: request.birth,
            timeout: request.timeout,
            gone: false,
            facts,
        };
        let first = match request.birth {
            Birth::Ready => Move::Resolving,
            Birth::Cancelled => Move::Stop,
        };
        let uid = run.facts.uid.clone();
        self.runs.insert(name.to_owned(), run);
        self.touched(Object::Run(name.to_owned()));
        self.plan_move(name, &uid, now.instant + self.rules.pace.lag(), first);
        self.runs.get(name)
    }

    /// Asks for the end of a run, as a patch of `spec.status` does. What was asked before is only ever
    /// made stronger.
    pub(super) fn cancel(&mut self, name: &str, uid: &str, mode: CancelMode, now: Moment) {
        let lag = self.rules.pace.lag();
        let Some(run) = self.runs.get_mut(name) else {
            return;
        };
        if run.facts.uid == uid && run.facts.is_live() && run.facts.stopping < Some(mode) {
            run.facts.stopping = Some(mode);
            self.plan_move(name, uid, now.instant + lag, Move::Stop);
            self.touched(Object::Run(name.to_owned()));
        }
    }

    /// Asks for the end of one TaskRun.
    pub(super) fn cancel_task_run(&mut self, name: &str, now: Moment) {
        let Some(owner) = self.owners.get(name).cloned() else {
            return;
        };
        let task_run = self.task_run(name);
        let meant = task_run.map(|found| Attempt { task: found.task, serial: found.serial });
        if let Some(meant) = meant {
            self.stop_task(&owner, meant, StopCause::Itself, now);
        }
    }

    /// The run, to be changed.
    fn change_run(&mut self, name: &str) -> Option<&mut Run> {
        if !self.runs.contains_key(name) {
            return None;
        }
        self.touched(Object::Run(name.to_owned()));
        self.runs.get_mut(name)
    }

    /// Changes a TaskRun that goes its way: neither over nor asked to stop.
    fn change_task(&mut self, name: &str, meant: Attempt, change: impl FnOnce(&mut TaskRunFacts)) {
        let task_run = self.runs.get_mut(name).and_then(|run| run.attempt(meant));
        if let Some(task_run) = task_run
            && task_run.facts.stopped == Stopped::No
        {
            change(&mut task_run.facts);
            let changed = task_run.facts.name.clone();
            self.touched(Object::TaskRun(changed));
        }
    }

    fn touched(&mut self, object: Object) {
        self.version += 1;
        match &object {
            Object::Run(name) => {
                if let Some(run) = self.runs.get_mut(name) {
                    run.version = self.version;
                }
            }
            Object::TaskRun(name) => {
                let run = self.owners.get(name).and_then(|run| self.runs.get_mut(run));
                let task = run.and_then(|run| {
                    let mut tasks = run.task_runs.iter_mut();
                    tasks.find(|task| task.facts.name == *name)
                });
                if let Some(task) = task {
                    task.version = self.version;
                }
            }
        }
        self.log.push_back((self.version, object));
        if self.log.len() > LOG_LENGTH
            && let Some((version, _)) = self.log.pop_front()
        {
            self.forgotten = version;
        }
    }

    fn plan_move(&mut self, name: &str, uid: &str, at: Instant, step: Move) {
        self.plan(at, Due::Move(name.to_owned(), uid.to_owned(), step));
    }

    fn plan(&mut self, at: Instant, due: Due) {
        self.sequence += 1;
        self.due.insert((at, self.sequence), due);
    }
}
