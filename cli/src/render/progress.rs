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

/// What a run does now: the tasks that run, else the one that comes next. `None` when its tasks are
/// not known or none is left.
pub(crate) fn now(progress: &Progress) -> Option<String> {
    let running: Vec<&TaskProgress> =
        progress.tasks.iter().filter(|task| task.state() == TaskState::Running).collect();
    if running.is_empty() {
        let next = progress.tasks.iter().find(|task| task.state() == TaskState::Pending)?;
        return Some(format!("{} is next", plain(&next.name)));
    }
    let names: Vec<String> = running.iter().map(|task| plain(&task.name)).collect();
    let verb = if names.len() == 1 { "runs" } else { "run" };
    Some(format!("{} {verb}", names.join(", ")))
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
        use TaskState::{Pending, Running, Succeeded};
        let said = |tasks| now(&mk(tasks));
        assert_eq!(said(&[]), None);
        assert_eq!(said(&[("a", Succeeded)]), None);
        assert_eq!(said(&[("a", Succeeded), ("b", Pending)]).as_deref(), Some("b is next"));
        assert_eq!(said(&[("a", Running), ("b", Pending)]).as_deref(), Some("a runs"));
        assert_eq!(said(&[("a", Running), ("b", Running)]).as_deref(), Some("a, b run"));
    }
}
