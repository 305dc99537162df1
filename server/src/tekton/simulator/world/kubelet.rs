//! What happens to a TaskRun and to its one step: wait, run, end, be tried again, be stopped.

use jiff::Timestamp;
use wfe_core::facts::{Condition, ContainerState, Status, StepFacts, Stopped, TaskRunFacts};

use super::{
    super::{
        graph::{Obstacle, Outcome, STEP},
        words::{self, StopCause},
    },
    Attempt, Moment, Object, TaskMove, World,
};

impl World {
    pub(super) fn play_task(&mut self, name: &str, meant: Attempt, step: TaskMove, now: Moment) {
        match step {
            TaskMove::Pending => self.task_pending(name, meant, now),
            TaskMove::Running => self.task_running(name, meant, now),
            TaskMove::Pulling => self.task_pulling(name, meant),
            TaskMove::Waits(obstacle) => self.task_waits(name, meant, obstacle),
            TaskMove::Ended => self.task_ended(name, meant, now),
            TaskMove::Stopped(cause) => self.task_stopped(name, meant, cause, now),
        }
    }

    fn task_pending(&mut self, name: &str, meant: Attempt, now: Moment) {
        self.change_task(name, meant, |task| {
            task.started_at = Some(now.stamp());
            task.condition = Some(words::task_pending());
            let state = ContainerState::Unknown;
            task.steps = vec![StepFacts { name: STEP.to_owned(), state }];
        });
    }

    fn task_running(&mut self, name: &str, meant: Attempt, now: Moment) {
        self.change_task(name, meant, |task| {
            task.condition = Some(words::task_running());
            for step in &mut task.steps {
                step.state = ContainerState::Running { started_at: Some(now.stamp()) };
            }
        });
    }

    fn task_pulling(&mut self, name: &str, meant: Attempt) {
        self.change_task(name, meant, |task| {
            task.condition = Some(words::task_pulling());
            for step in &mut task.steps {
                step.state = ContainerState::Waiting {
                    reason: "ImagePullBackOff".to_owned(),
                    message: words::back_off(),
                };
            }
        });
    }

    fn task_waits(&mut self, name: &str, meant: Attempt, obstacle: Obstacle) {
        self.change_task(name, meant, |task| {
            task.condition = Some(words::task_waits(obstacle));
            match obstacle {
                Obstacle::Image => {
                    for step in &mut task.steps {
                        step.state = ContainerState::Waiting {
                            reason: "ErrImagePull".to_owned(),
                            message: words::pull_error(),
                        };
                    }
                }
                Obstacle::Node => {}
                // Tekton begins again and again, so that the task's own time-out never comes.
                Obstacle::Quota => task.started_at = None,
            }
        });
    }

    fn task_ended(&mut self, name: &str, meant: Attempt, now: Moment) {
        let Some(run) = self.runs.get(name) else {
            return;
        };
        let Some(task_run) = run.of_task(meant.task).filter(|found| found.serial == meant.serial)
        else {
            return;
        };
        if task_run.orphan {
            return;
        }
        let (condition, exit) = end_of(run.outcome(task_run), &task_run.facts.name);
        if condition.status == Status::False && run.may_retry(task_run) {
            self.try_again(name, meant, &condition, now);
            return;
        }
        let at = now.stamp();
        self.change_task(name, meant, |task| {
            for step in &mut task.steps {
                step.state = match exit {
                    Some((code, reason)) => terminated(&step.state, code, reason, at),
                    None => words::stopped_step(&step.state, &condition.reason, at),
                };
            }
            task.condition = Some(condition);
            task.completed_at = Some(at);
        });
        self.wake_run(name, now);
    }

    /// Puts the attempt away and begins the next one, under the same name.
    fn try_again(&mut self, name: &str, meant: Attempt, failed: &Condition, now: Moment) {
        self.sequence += 1;
        let next = Attempt { serial: self.sequence, ..meant };
        let Some(task_run) = self.runs.get_mut(name).and_then(|run| run.attempt(meant)) else {
            return;
        };
        if task_run.facts.stopped != Stopped::No {
            return;
        }
        task_run.serial = next.serial;
        let facts = &mut task_run.facts;
        facts.earlier_attempt_ran |= facts.steps.iter().any(StepFacts::ran);
        facts.failed_attempts += 1;
        facts.condition = Some(words::task_retried(failed));
        facts.started_at = None;
        facts.steps.clear();
        let changed = facts.name.clone();
        self.touched(Object::TaskRun(changed));
        self.begin_attempt(name, next, now);
    }

    fn task_stopped(&mut self, name: &str, meant: Attempt, cause: StopCause, now: Moment) {
        let at = now.stamp();
        let Some(task_run) = self.runs.get_mut(name).and_then(|run| run.attempt(meant)) else {
            return;
        };
        let TaskRunFacts { name: changed, steps, condition, started_at, completed_at, .. } =
            &mut task_run.facts;
        let stopped = words::task_cancelled(changed, cause, condition.as_ref());
        for step in steps {
            step.state = words::stopped_step(&step.state, &stopped.reason, at);
        }
        started_at.get_or_insert(at);
        *condition = Some(stopped);
        *completed_at = Some(at);
        let changed = changed.clone();
        self.touched(Object::TaskRun(changed));
        self.wake_run(name, now);
    }
}

/// How an attempt ends: its condition, and the exit code and reason of its step, when that ran.
fn end_of(outcome: Outcome, task_run: &str) -> (Condition, Option<(i32, &'static str)>) {
    match outcome {
        Outcome::Succeeds | Outcome::FailsFirst(_) | Outcome::NeverEnds | Outcome::Waits(_) => {
            (words::task_succeeded(), Some((0, "Completed")))
        }
        Outcome::Fails => (words::step_failed("StepFailed", 1, "Error"), Some((1, "Error"))),
        Outcome::OutOfMemory => {
            (words::step_failed("StepOOM", 137, "OOMKilled"), Some((137, "OOMKilled")))
        }
        Outcome::ImagePull => (words::image_pull_failed(task_run), None),
    }
}

fn terminated(
    state: &ContainerState,
    exit_code: i32,
    reason: &str,
    ended_at: Timestamp,
) -> ContainerState {
    let started_at = match state {
        ContainerState::Running { started_at } => *started_at,
        ContainerState::Unknown
        | ContainerState::Waiting { .. }
        | ContainerState::Terminated { .. } => None,
    };
    ContainerState::Terminated {
        exit_code,
        reason: reason.to_owned(),
        started_at,
        ended_at: Some(ended_at),
    }
}
