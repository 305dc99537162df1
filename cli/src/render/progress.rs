//! How far a run is: a line for each task and each step.

use jiff::Timestamp;
use wfe_proto::v1::{Progress, StepProgress, TaskProgress, TaskState};

use super::{paint_task_state, plain, time};
use crate::context::Colour;

/// Longest name of a task state.
const STATE_WIDTH: usize = 9;

/// A line for each task, followed by a line for each of its steps.
pub(crate) fn lines(progress: &Progress, now: Timestamp, colour: Colour) -> Vec<String> {
    let width = progress
        .tasks
        .iter()
        .flat_map(|task| {
            let steps = task.steps.iter().map(|step| plain(&step.name).chars().count() + 2);
            steps.chain([plain(&task.name).chars().count()])
        })
        .max()
        .unwrap_or_default();
    let mut lines = Vec::new();
    for task in &progress.tasks {
        lines.push(task_line(task, width, now, colour));
        for step in &task.steps {
            lines.push(step_line(step, width, now, colour));
        }
    }
    lines
}

/// What a run does now: the tasks that run, else one that starts, else the one that comes next, else that all
/// have ended. `None` when its tasks are not known.
pub(crate) fn now(progress: &Progress) -> Option<String> {
    let all = |state: TaskState| progress.tasks.iter().filter(move |task| task.state() == state);
    let running: Vec<String> = all(TaskState::Running).map(tried).collect();
    if !running.is_empty() {
        let verb = if running.len() == 1 { "runs" } else { "run" };
        return Some(format!("{} {verb}", running.join(", ")));
    }
    if let Some(starts) = all(TaskState::Pending).find(|task| !task.task_run.is_empty()) {
        return Some(format!("{} starts", tried(starts)));
    }
    if let Some(next) = all(TaskState::Pending).next() {
        return Some(format!("{} is next", plain(&next.name)));
    }
    let failed: Vec<String> = all(TaskState::Failed).map(|task| plain(&task.name)).collect();
    match failed.as_slice() {
        [] if progress.tasks.is_empty() => None,
        [] => Some("every task has ended".to_owned()),
        [one] => Some(format!("{one} has failed")),
        several => Some(format!("{} have failed", several.join(", "))),
    }
}

/// The name of a task, with the attempt when it is not the first.
fn tried(task: &TaskProgress) -> String {
    let name = plain(&task.name);
    if task.attempts > 1 { format!("{name} (attempt {})", task.attempts) } else { name }
}

fn task_line(task: &TaskProgress, width: usize, now: Timestamp, colour: Colour) -> String {
    let mut line = format!(
        "{:<width$}  {}  {}",
        plain(&task.name),
        paint_task_state(task.state(), STATE_WIDTH, colour),
        elapsed(task.start_time.as_ref(), task.end_time.as_ref(), now),
    );
    if task.attempts > 1 {
        line = format!("{line}  attempt {}", task.attempts);
    }
    line.push_str(&because(task.state(), &task.reason));
    line.trim_end().to_owned()
}

fn step_line(step: &StepProgress, width: usize, now: Timestamp, colour: Colour) -> String {
    let mut line = format!(
        "  {:<inner$}  {}  {}",
        plain(&step.name),
        paint_task_state(step.state(), STATE_WIDTH, colour),
        elapsed(step.start_time.as_ref(), step.end_time.as_ref(), now),
        inner = width.saturating_sub(2),
    );
    if let Some(code) = step.exit_code
        && code != 0
    {
        line = format!("{line}  exit code {code}");
    }
    line.push_str(&because(step.state(), &step.reason));
    line.trim_end().to_owned()
}

fn elapsed(
    start: Option<&prost_types::Timestamp>,
    end: Option<&prost_types::Timestamp>,
    now: Timestamp,
) -> String {
    time::between(start, end, now).map_or_else(String::new, time::span)
}

/// The reason, when it says more than the state.
fn because(state: TaskState, reason: &str) -> String {
    match state {
        TaskState::Pending | TaskState::Failed | TaskState::Skipped | TaskState::Cancelled
            if !reason.is_empty() =>
        {
            format!("  {}", plain(reason))
        }
        TaskState::Unspecified
        | TaskState::Pending
        | TaskState::Running
        | TaskState::Succeeded
        | TaskState::Failed
        | TaskState::Skipped
        | TaskState::Cancelled => String::new(),
    }
}

/// `2 of 3 tasks done, 1 skipped`. Empty while the number of tasks is not known.
pub(crate) fn summary(progress: &Progress) -> String {
    if progress.total == 0 {
        return String::new();
    }
    let over = [progress.succeeded, progress.failed, progress.skipped];
    let done: i64 = over.into_iter().map(i64::from).sum();
    let mut text = format!(
        "{done} of {} {} done",
        progress.total,
        if progress.total == 1 { "task" } else { "tasks" },
    );
    if progress.failed > 0 {
        text = format!("{text}, {} failed", progress.failed);
    }
    if progress.skipped > 0 {
        text = format!("{text}, {} skipped", progress.skipped);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mk(tasks: &[(&str, TaskState)]) -> Progress {
        let task = |(name, state): &(&str, TaskState)| TaskProgress {
            name: (*name).to_owned(),
            state: (*state).into(),
            ..TaskProgress::default()
        };
        Progress { tasks: tasks.iter().map(task).collect(), ..Progress::default() }
    }

    #[test]
    fn what_runs_is_said_before_what_comes_next() {
        use TaskState::{Cancelled, Failed, Pending, Running, Skipped, Succeeded};
        let said = |tasks| now(&mk(tasks));
        assert_eq!(said(&[]), None);
        for (tasks, expected) in [
            (&[("a", Succeeded), ("b", Pending)][..], "b is next"),
            (&[("a", Running), ("b", Pending)], "a runs"),
            (&[("a", Running), ("b", Running)], "a, b run"),
            (&[("a", Succeeded), ("b", Skipped)], "every task has ended"),
            (&[("a", Cancelled)], "every task has ended"),
            (&[("a", Failed), ("b", Skipped)], "a has failed"),
            (&[("a", Failed), ("b", Failed)], "a, b have failed"),
        ] {
            assert_eq!(said(tasks).as_deref(), Some(expected));
        }
    }

    #[test]
    fn a_task_that_starts_or_is_tried_again_says_so() {
        let task = |state: TaskState, attempts, task_run: &str| TaskProgress {
            name: "a".to_owned(),
            state: state.into(),
            attempts,
            task_run: task_run.to_owned(),
            ..TaskProgress::default()
        };
        for (task, expected) in [
            (task(TaskState::Pending, 0, ""), "a is next"),
            (task(TaskState::Pending, 1, "run-a"), "a starts"),
            (task(TaskState::Pending, 2, "run-a"), "a (attempt 2) starts"),
            (task(TaskState::Running, 3, "run-a"), "a (attempt 3) runs"),
        ] {
            let progress = Progress { tasks: vec![task], ..Progress::default() };
            assert_eq!(now(&progress).as_deref(), Some(expected));
        }
    }
}
