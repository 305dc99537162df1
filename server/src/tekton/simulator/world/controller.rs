//! What Tekton's controller does with a run: resolve, launch, count, cancel, time out.

use uuid::Uuid;
use wfe_core::facts::{Child, Status, Stopped, TaskRunFacts};

use super::{
    super::{
        super::{Birth, manifest::go_duration},
        script::{Fate, Outcome},
        words::{self, Counts, StopCause},
    },
    Moment, Move, Object, TaskRun, World,
};

impl World {
    pub(super) fn play(&mut self, name: &str, uid: &str, step: Move, now: Moment) {
        let Some(run) = self.runs.get(name) else {
            return;
        };
        if run.facts.uid != uid {
            return;
        }
        let goes_on = run.facts.is_live() && !run.cancelled;
        match step {
            Move::Resolving if goes_on => self.resolving(name, now),
            Move::Resolved if goes_on => self.resolved(name, now),
            Move::Reconcile if goes_on => self.reconcile(name, now),
            Move::TimeOutRun if goes_on => self.time_out(name, now),
            Move::CancelRun if run.facts.is_live() => self.cancel_run(name, now),
            Move::TaskPending(index) => self.task_pending(name, index, now),
            Move::TaskRunning(index) => self.task_running(name, index, now),
            Move::TaskPulling(index) => self.task_pulling(name, index),
            Move::TaskWaits(index, obstacle) => self.task_waits(name, index, obstacle),
            Move::TaskEnded(index) => self.task_ended(name, index, now),
            Move::StopTask(index, cause) => self.task_stopped(name, index, cause, now),
            Move::Resolving
            | Move::Resolved
            | Move::Reconcile
            | Move::TimeOutRun
            | Move::CancelRun => {}
        }
    }

    fn resolving(&mut self, name: &str, now: Moment) {
        let (namespace, lag) = (self.rules.namespace.clone(), self.rules.pace.lag());
        let Some(run) = self.change_run(name) else {
            return;
        };
        run.facts.started_at = Some(now.stamp());
        run.facts.condition = Some(words::resolving(&namespace, name));
        let (uid, timeout) = (run.facts.uid.clone(), run.timeout);
        self.plan_move(name, &uid, now.instant + lag, Move::Resolved);
        if let Some(timeout) = timeout {
            self.plan_move(name, &uid, now.instant + timeout, Move::TimeOutRun);
        }
    }

    fn resolved(&mut self, name: &str, now: Moment) {
        let namespace = self.rules.namespace.clone();
        let Some(run) = self.change_run(name) else {
            return;
        };
        if run.fate == Fate::NeverResolved {
            return;
        }
        if run.fate == Fate::Missing {
            let missing = words::bundle_missing(&namespace, name, &run.bundle);
            words::end(&mut run.facts, missing, now.stamp());
            return;
        }
        if run.fate == Fate::WrongParameters {
            let wrong = words::wrong_parameters(&namespace, name, &run.repeated);
            words::end(&mut run.facts, wrong, now.stamp());
            return;
        }
        let tasks = run.fate.tasks().iter().map(ToString::to_string).collect();
        run.facts.tasks = Some(tasks);
        self.reconcile(name, now);
    }

    /// Counts the TaskRuns, starts the next one or ends the run.
    fn reconcile(&mut self, name: &str, now: Moment) {
        let Some(run) = self.change_run(name) else {
            return;
        };
        let names = run.fate.tasks();
        let mut counts = Counts::default();
        for task in &run.task_runs {
            match task.facts.condition.as_ref().map(|c| (c.status, c)) {
                Some((Status::True, _)) => counts.succeeded += 1,
                Some((Status::False, condition)) if words::counts_as_cancelled(condition) => {
                    counts.cancelled += 1;
                }
                Some((Status::False, _)) => counts.failed += 1,
                Some((Status::Unknown, _)) | None => counts.incomplete += 1,
            }
        }
        let stopping = counts.failed + counts.cancelled > 0;
        let waiting = &names[run.task_runs.len().min(names.len())..];
        if stopping {
            run.facts.skipped = waiting.iter().map(|task| words::skipped(task)).collect();
            counts.skipped = waiting.len();
        } else {
            counts.incomplete += waiting.len();
        }
        if counts.incomplete == 0 {
            words::end(&mut run.facts, counts.over(), now.stamp());
            return;
        }
        let reason = if stopping { "PipelineRunStopping" } else { "Running" };
        run.facts.condition = Some(counts.going(reason));
        let idle = run.task_runs.iter().all(|task| !task.facts.is_live());
        if !stopping && idle {
            self.launch(name, now, Launch::Known);
        }
    }

    /// Creates the TaskRun of the next task.
    fn launch(&mut self, name: &str, now: Moment, launch: Launch) {
        let (lag, task_time) = (self.rules.pace.lag(), self.rules.pace.task);
        self.sequence += 1;
        let sequence = self.sequence;
        let Some(run) = self.runs.get_mut(name) else {
            return;
        };
        let index = run.task_runs.len();
        let Some(&task) = run.fate.tasks().get(index) else {
            return;
        };
        let micros = u64::try_from(now.time.as_microsecond()).unwrap_or(0);
        let task_run = format!("{name}-{task}");
        let (uid, outcome) = (run.facts.uid.clone(), run.fate.outcome(index));
        run.task_runs.push(TaskRun {
            facts: TaskRunFacts {
                name: task_run.clone(),
                uid: Uuid::from_u64_pair(micros, sequence).to_string(),
                run_uid: uid.clone(),
                pipeline_task: task.to_owned(),
                deleted_at: None,
                condition: None,
                started_at: None,
                completed_at: None,
                steps: Vec::new(),
                failed_attempts: 0,
                earlier_attempt_ran: false,
                stopped: Stopped::No,
            },
            version: 0,
            orphan: launch == Launch::Orphan,
        });
        let again = run.facts.children.iter().any(|child| child.name == task_run);
        if launch == Launch::Known && !again {
            run.facts.children.push(Child {
                kind: "TaskRun".to_owned(),
                name: task_run.clone(),
                pipeline_task: task.to_owned(),
            });
        }
        self.owners.insert(task_run.clone(), name.to_owned());
        self.touched(Object::TaskRun(task_run));
        let mut plan = |after, step| self.plan_move(name, &uid, now.instant + after, step);
        plan(lag, Move::TaskPending(index));
        match outcome {
            Outcome::ImagePull => plan(task_time / 2, Move::TaskPulling(index)),
            Outcome::Waits(obstacle) => plan(2 * lag, Move::TaskWaits(index, obstacle)),
            Outcome::Succeeds | Outcome::Fails | Outcome::OutOfMemory | Outcome::NeverEnds => {
                plan(2 * lag, Move::TaskRunning(index));
            }
        }
        let ends = !matches!(outcome, Outcome::NeverEnds | Outcome::Waits(_));
        if ends && launch == Launch::Known {
            plan(task_time, Move::TaskEnded(index));
        }
    }

    fn task_stopped(&mut self, name: &str, index: usize, cause: StopCause, now: Moment) {
        let at = now.stamp();
        let task = self.runs.get_mut(name).and_then(|run| run.task_runs.get_mut(index));
        let Some(task) = task else {
            return;
        };
        if !task.facts.is_live() {
            return;
        }
        let before = task.facts.condition.as_ref();
        let condition = words::task_cancelled(&task.facts.name, cause, before);
        for step in &mut task.facts.steps {
            step.state = words::stopped_step(&step.state, &condition.reason, at);
        }
        task.facts.started_at.get_or_insert(at);
        task.facts.condition = Some(condition);
        task.facts.completed_at = Some(at);
        let changed = task.facts.name.clone();
        self.touched(Object::TaskRun(changed));
        self.wake_run(name, now);
    }

    pub(super) fn wake_run(&mut self, name: &str, now: Moment) {
        if let Some(uid) = self.runs.get(name).map(|run| run.facts.uid.clone()) {
            let at = now.instant + self.rules.pace.lag();
            self.plan_move(name, &uid, at, Move::Reconcile);
        }
    }

    fn cancel_run(&mut self, name: &str, now: Moment) {
        let window = self.rules.orphan_window;
        let Some(run) = self.change_run(name) else {
            return;
        };
        let age = now.instant.saturating_duration_since(run.born.instant);
        let too_early = run.birth == Birth::Ready && age < window;
        words::end(&mut run.facts, words::run_cancelled(name), now.stamp());
        if too_early {
            // Tekton looks at the children that it wrote down, and created more than those.
            run.facts.children.clear();
            run.task_runs.iter_mut().for_each(|task| task.orphan = true);
            if run.task_runs.is_empty() {
                self.launch(name, now, Launch::Orphan);
            }
            return;
        }
        self.stop_all(name, StopCause::RunCancelled, now);
    }

    fn time_out(&mut self, name: &str, now: Moment) {
        let Some(run) = self.change_run(name) else {
            return;
        };
        let timeout = go_duration(run.timeout.unwrap_or_default());
        words::end(&mut run.facts, words::run_timed_out(name, &timeout), now.stamp());
        self.stop_all(name, StopCause::RunTimedOut, now);
    }

    fn stop_all(&mut self, name: &str, cause: StopCause, now: Moment) {
        let count = self.runs.get(name).map_or(0, |run| run.task_runs.len());
        for index in 0..count {
            self.stop_task(name, index, cause, now);
        }
    }

    /// Writes the wish into the TaskRun; its controller follows a moment later.
    pub(super) fn stop_task(&mut self, name: &str, index: usize, cause: StopCause, now: Moment) {
        let lag = self.rules.pace.lag();
        let Some(run) = self.runs.get_mut(name) else {
            return;
        };
        let uid = run.facts.uid.clone();
        let Some(task) = run.task_runs.get_mut(index) else {
            return;
        };
        if !task.facts.is_live() || task.facts.stopped != Stopped::No {
            return;
        }
        task.facts.stopped = match cause {
            StopCause::RunTimedOut => Stopped::RunTimedOut,
            StopCause::Itself | StopCause::RunCancelled => Stopped::Asked,
        };
        let task_run = task.facts.name.clone();
        self.touched(Object::TaskRun(task_run));
        self.plan_move(name, &uid, now.instant + lag, Move::StopTask(index, cause));
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Launch {
    /// The run knows the TaskRun.
    Known,
    /// The run was over before it wrote the TaskRun down.
    Orphan,
}
