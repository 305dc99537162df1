//! What Tekton's controller does with a run: resolve, launch, count, stop, time out.

use uuid::Uuid;
use wfe_core::{
    execution::CancelMode,
    facts::{Child, Stopped, TaskRunFacts},
};

use super::{
    super::{
        super::{Birth, manifest::go_duration},
        graph::{Obstacle, Outcome, STEP},
        script::Fate,
        words::{self, StopCause},
    },
    Attempt, Moment, Move, Object, TaskMove, TaskRun, World,
    look::Look,
};

impl World {
    pub(super) fn play(&mut self, name: &str, uid: &str, step: Move, now: Moment) {
        let Some(run) = self.runs.get(name) else {
            return;
        };
        if run.facts.uid != uid {
            return;
        }
        let goes_on =
            run.facts.is_live() && !run.gone && run.facts.stopping != Some(CancelMode::Immediate);
        match step {
            Move::Resolving if goes_on => self.resolving(name, now),
            Move::Resolved if goes_on => self.resolved(name, now),
            Move::Reconcile if goes_on => self.reconcile(name, now),
            Move::TimeOutRun if goes_on => self.time_out(name, now),
            Move::Stop if run.facts.is_live() && !run.gone => self.stop_run(name, now),
            Move::Task(meant, step) => self.play_task(name, meant, step, now),
            Move::Resolving | Move::Resolved | Move::Reconcile | Move::TimeOutRun | Move::Stop => {}
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
        match &run.fate {
            Fate::NeverResolved | Fate::Denied => {}
            Fate::Missing => {
                let missing = words::bundle_missing(&namespace, name, &run.bundle);
                words::end(&mut run.facts, missing, now.stamp());
            }
            Fate::WrongParameters => {
                let wrong = words::wrong_parameters(&namespace, name, &run.repeated);
                words::end(&mut run.facts, wrong, now.stamp());
            }
            Fate::Unfit(reason) => {
                let unfit = words::unfit(&namespace, name, reason);
                run.facts.tasks = Some(vec![STEP.to_owned()]);
                words::end(&mut run.facts, unfit, now.stamp());
            }
            Fate::Runs(graph) => {
                run.facts.tasks = Some(graph.names());
                self.reconcile(name, now);
            }
        }
    }

    /// Counts the TaskRuns, starts the tasks whose turn has come, or ends the run.
    fn reconcile(&mut self, name: &str, now: Moment) {
        let Some(run) = self.change_run(name) else {
            return;
        };
        if run.facts.tasks.is_none() {
            return;
        }
        let Some(graph) = run.fate.graph().cloned() else {
            return;
        };
        let look = Look::at(run, &graph);
        run.facts.skipped = look
            .skipped
            .iter()
            .filter_map(|index| graph.tasks().get(*index))
            .map(|task| {
                let left_out = task.is_left_out;
                if left_out {
                    words::left_out(&task.name)
                } else {
                    // What failed or was stopped counts before the wish.
                    words::skipped(&task.name, run.facts.stopping.filter(|_| !look.stopping))
                }
            })
            .collect();
        run.facts.skipped.dedup();
        if look.counts.incomplete == 0 {
            let asked = run.facts.stopping.is_some();
            words::end(&mut run.facts, look.counts.over(asked), now.stamp());
            return;
        }
        // Tekton stumbles over tasks out of their order, and leaves the run as it is.
        if look.stumbles {
            return;
        }
        let reason = match run.facts.stopping {
            Some(CancelMode::RunFinally) => "CancelledRunningFinally",
            Some(CancelMode::StopAndFinally) => "StoppedRunningFinally",
            None | Some(CancelMode::Immediate) if look.stopping && !look.finally_waits => {
                "PipelineRunStopping"
            }
            None | Some(CancelMode::Immediate) => "Running",
        };
        run.facts.condition = Some(look.counts.going(reason));
        for index in look.ready {
            self.launch(name, index, now, Launch::Known);
        }
    }

    /// Creates the TaskRun of a task.
    fn launch(&mut self, name: &str, index: usize, now: Moment, launch: Launch) {
        self.sequence += 1;
        let serial = self.sequence;
        let Some(run) = self.runs.get_mut(name) else {
            return;
        };
        let Some(task) = run.fate.graph().and_then(|graph| graph.tasks().get(index)) else {
            return;
        };
        let (task, task_run) = (task.name.clone(), task.task_run(name));
        let micros = u64::try_from(now.time.as_microsecond()).unwrap_or(0);
        let uid = run.facts.uid.clone();
        let again = run.facts.children.iter().any(|child| child.name == task_run);
        if launch == Launch::Known && !again {
            run.facts.children.push(Child {
                kind: "TaskRun".to_owned(),
                name: task_run.clone(),
                pipeline_task: task.clone(),
            });
        }
        if self.owners.contains_key(&task_run) && self.adopt(name, &task_run, index, now) {
            return;
        }
        let Some(run) = self.runs.get_mut(name) else {
            return;
        };
        run.task_runs.push(TaskRun {
            facts: TaskRunFacts {
                name: task_run.clone(),
                uid: Uuid::from_u64_pair(micros, serial).to_string(),
                run_uid: uid,
                pipeline_task: task.clone(),
                deleted_at: None,
                condition: None,
                started_at: None,
                completed_at: None,
                steps: Vec::new(),
                pod: None,
                failed_attempts: 0,
                earlier_attempt_ran: false,
                stopped: Stopped::No,
            },
            version: 0,
            task: index,
            serial,
            orphan: launch == Launch::Orphan,
        });
        self.owners.insert(task_run.clone(), name.to_owned());
        self.touched(Object::TaskRun(task_run));
        self.begin_attempt(name, Attempt { task: index, serial }, now);
    }

    /// Plans what happens to a new attempt of a task.
    pub(super) fn begin_attempt(&mut self, name: &str, meant: Attempt, now: Moment) {
        let (lag, task_time) = (self.rules.pace.lag(), self.rules.pace.task);
        let Some(run) = self.runs.get_mut(name) else {
            return;
        };
        let Some(task_run) = run.of_task(meant.task) else {
            return;
        };
        let (outcome, orphan) = (run.outcome(task_run), task_run.orphan);
        let uid = run.facts.uid.clone();
        let mut plan =
            |after, step| self.plan_move(name, &uid, now.instant + after, Move::Task(meant, step));
        plan(lag, TaskMove::Pending);
        match outcome {
            Outcome::ImagePull => plan(task_time / 2, TaskMove::Pulling),
            Outcome::ContainerConfig => {
                plan(task_time / 2, TaskMove::Waits(Obstacle::Config));
            }
            Outcome::Waits(obstacle) => plan(2 * lag, TaskMove::Waits(obstacle)),
            Outcome::Succeeds
            | Outcome::Fails
            | Outcome::FailsFirst(_)
            | Outcome::FailsUnheeded
            | Outcome::OutOfMemory
            | Outcome::Evicted
            | Outcome::TakesTooLong
            | Outcome::NeverEnds => plan(2 * lag, TaskMove::Running),
        }
        let ends = !matches!(outcome, Outcome::NeverEnds | Outcome::Waits(_));
        if ends && !orphan {
            plan(task_time, TaskMove::Ended);
        }
    }

    pub(super) fn wake_run(&mut self, name: &str, now: Moment) {
        if let Some(uid) = self.runs.get(name).map(|run| run.facts.uid.clone()) {
            let at = now.instant + self.rules.pace.lag();
            self.plan_move(name, &uid, at, Move::Reconcile);
        }
    }

    /// Does what the run was asked for.
    fn stop_run(&mut self, name: &str, now: Moment) {
        match self.runs.get(name).and_then(|run| run.facts.stopping) {
            None => {}
            Some(CancelMode::Immediate) => self.cancel_run(name, now),
            Some(CancelMode::RunFinally) => {
                self.stop_all(name, StopCause::RunCancelled, now);
                self.reconcile(name, now);
            }
            Some(CancelMode::StopAndFinally) => self.reconcile(name, now),
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
                self.launch(name, 0, now, Launch::Orphan);
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

    /// Stops what runs, but no finally task of a run that goes on to run them.
    fn stop_all(&mut self, name: &str, cause: StopCause, now: Moment) {
        let Some(run) = self.runs.get(name) else {
            return;
        };
        let spared = |task: usize| {
            run.facts.is_live() && run.fate.graph().is_some_and(|graph| graph.is_finally(task))
        };
        let attempts = run.task_runs.iter().filter(|task_run| !spared(task_run.task));
        let attempts = attempts.map(|found| Attempt { task: found.task, serial: found.serial });
        for meant in attempts.collect::<Vec<_>>() {
            self.stop_task(name, meant, cause, now);
        }
    }

    /// Writes the wish into the TaskRun; its controller follows a moment later.
    pub(super) fn stop_task(&mut self, name: &str, meant: Attempt, cause: StopCause, now: Moment) {
        let lag = self.rules.pace.lag();
        let Some(run) = self.runs.get_mut(name) else {
            return;
        };
        let uid = run.facts.uid.clone();
        let Some(task_run) = run.attempt(meant) else {
            return;
        };
        if task_run.facts.stopped != Stopped::No {
            return;
        }
        task_run.facts.stopped = match cause {
            StopCause::RunTimedOut => Stopped::RunTimedOut,
            StopCause::Itself | StopCause::RunCancelled => Stopped::Asked,
        };
        let changed = task_run.facts.name.clone();
        self.touched(Object::TaskRun(changed));
        let stop = Move::Task(meant, TaskMove::Stopped(cause));
        self.plan_move(name, &uid, now.instant + lag, stop);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Launch {
    /// The run knows the TaskRun.
    Known,
    /// The run was over before it wrote the TaskRun down.
    Orphan,
}
