//! What happens to the one step of a TaskRun.

use jiff::Timestamp;
use wfe_core::facts::{ContainerState, StepFacts};

use super::{
    super::{
        script::{Obstacle, Outcome, STEP},
        words,
    },
    Moment, World,
};

impl World {
    pub(super) fn task_pending(&mut self, name: &str, index: usize, now: Moment) {
        self.change_task(name, index, |task| {
            task.started_at = Some(now.stamp());
            task.condition = Some(words::task_pending());
            let state = ContainerState::Unknown;
            task.steps = vec![StepFacts { name: STEP.to_owned(), state }];
        });
    }

    pub(super) fn task_running(&mut self, name: &str, index: usize, now: Moment) {
        self.change_task(name, index, |task| {
            task.condition = Some(words::task_running());
            for step in &mut task.steps {
                step.state = ContainerState::Running { started_at: Some(now.stamp()) };
            }
        });
    }

    pub(super) fn task_pulling(&mut self, name: &str, index: usize) {
        self.change_task(name, index, |task| {
            task.condition = Some(words::task_pulling());
            for step in &mut task.steps {
                step.state = ContainerState::Waiting {
                    reason: "ImagePullBackOff".to_owned(),
                    message: words::back_off(),
                };
            }
        });
    }

    pub(super) fn task_waits(&mut self, name: &str, index: usize, obstacle: Obstacle) {
        self.change_task(name, index, |task| {
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

    pub(super) fn task_ended(&mut self, name: &str, index: usize, now: Moment) {
        let Some(run) = self.runs.get(name) else {
            return;
        };
        if run.task_runs.get(index).is_none_or(|task| task.orphan) {
            return;
        }
        let outcome = run.fate.outcome(index);
        let at = now.stamp();
        self.change_task(name, index, |task| {
            let (condition, exit) = match outcome {
                Outcome::Succeeds | Outcome::NeverEnds | Outcome::Waits(_) => {
                    (words::task_succeeded(), Some((0, "Completed")))
                }
                Outcome::Fails => {
                    (words::step_failed("StepFailed", 1, "Error"), Some((1, "Error")))
                }
                Outcome::OutOfMemory => {
                    (words::step_failed("StepOOM", 137, "OOMKilled"), Some((137, "OOMKilled")))
                }
                Outcome::ImagePull => (words::image_pull_failed(&task.name), None),
            };
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
