//! Tasks that something else than a TaskRun carries out: custom tasks and child pipelines.
//!
//! Their objects are not watched. What the run says of them is that they exist, and how many of its
//! tasks are done, which is enough unless several of them are at different points.

use crate::{
    facts::{Child, Condition, RunFacts, Status},
    progress::{Progress, TaskProgress, TaskState},
};

/// The kind of a pipeline that runs as a task.
pub(super) const PIPELINE: &str = "PipelineRun";

/// The tasks that failed.
pub(super) fn failed(progress: &Progress) -> impl Iterator<Item = &TaskProgress> {
    progress.tasks.iter().filter(|task| task.state == TaskState::Failed)
}

/// Says where each of them stands, as far as that is known. `tasks` are those of the run, where they
/// are pending.
pub(super) fn fill_in(run: &RunFacts, tasks: &mut [TaskProgress]) {
    let is_foreign = |task: &TaskProgress| {
        let mut own =
            run.children.iter().filter(|child| child.pipeline_task == task.name).peekable();
        task.task_run.is_none() && own.peek().is_some() && own.all(Child::is_foreign)
    };
    let Some(condition) = &run.condition else { return };
    let foreign: Vec<usize> =
        (0..tasks.len()).filter(|&index| tasks.get(index).is_some_and(is_foreign)).collect();
    let state = state_of(condition, &foreign, tasks);
    for index in foreign {
        if let Some(task) = tasks.get_mut(index) {
            let child = run.children.iter().find(|child| child.pipeline_task == task.name);
            task.state = state;
            task.task_run = child.map(|child| child.name.clone());
            task.attempts = 1;
            task.reason = child.map_or_else(String::new, |child| child.kind.clone());
        }
    }
}

fn state_of(condition: &Condition, foreign: &[usize], tasks: &[TaskProgress]) -> TaskState {
    let of_others = |states: &[TaskState]| {
        let others = tasks.iter().enumerate().filter(|(index, _)| !foreign.contains(index));
        others.filter(|(_, task)| states.contains(&task.state)).count()
    };
    let counts = Counts::read(&condition.message);
    let failed_here = counts.is_some_and(|counts| counts.failed > of_others(&[TaskState::Failed]));
    match condition.status {
        Status::True => TaskState::Succeeded,
        Status::False if condition.reason == "Failed" && failed_here => TaskState::Failed,
        Status::False if condition.reason == "Failed" && counts.is_some() => TaskState::Succeeded,
        Status::False => TaskState::Cancelled,
        Status::Unknown => {
            let over = &[TaskState::Succeeded, TaskState::Failed, TaskState::Cancelled];
            let all = counts.is_some_and(|c| c.completed >= of_others(over) + foreign.len());
            match (all, failed_here) {
                (false, _) => TaskState::Running,
                (true, true) => TaskState::Failed,
                (true, false) => TaskState::Succeeded,
            }
        }
    }
}

/// Tasks as Tekton counts them in the message of a run.
#[derive(Clone, Copy)]
struct Counts {
    completed: usize,
    failed: usize,
}

impl Counts {
    fn read(message: &str) -> Option<Self> {
        let rest = message.strip_prefix("Tasks Completed: ")?;
        let (completed, rest) = number(rest)?;
        let (failed, _) = number(rest.strip_prefix(" (Failed: ")?)?;
        Some(Self { completed, failed })
    }
}

fn number(text: &str) -> Option<(usize, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text.get(..end)?.parse().ok()?, text.get(end..)?))
}
