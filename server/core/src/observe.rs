//! What a run tells: how far it is, whether it is over, and what of it is alive.

use std::borrow::Cow;

use jiff::Timestamp;

use crate::{
    facts::{Condition, ContainerState, RunFacts, Status, StepFacts, TaskRunFacts},
    failure::{Failure, classify},
    progress::{MAX_MESSAGE_BYTES, Progress, StepProgress, TaskProgress, TaskState, shorten},
    veil::Veil,
};

/// What a run tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// How far it is.
    pub progress: Progress,
    /// How it ended; `None` while it has not.
    pub end: Option<RunEnd>,
    /// Names of its TaskRuns that Tekton has not finished. A run that was cancelled early can leave
    /// such behind.
    pub live_task_runs: Vec<String>,
    /// Whether all that the run says it created is known and over. When not, what is said about the
    /// end may still change.
    pub complete: bool,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunEnd {
    /// It succeeded.
    Succeeded {
        /// When.
        at: Timestamp,
    },
    /// It failed.
    Failed(Failure),
    /// It was cancelled.
    Cancelled {
        /// Whether any step had started.
        ran: bool,
    },
}

/// Reads a run and its TaskRuns. What they say becomes part of the record, without what `veil` hides.
pub fn observe(run: &RunFacts, task_runs: &[TaskRunFacts], veil: &Veil) -> Observation {
    let run = &hide_in_run(run, veil);
    let own: Vec<TaskRunFacts> = task_runs
        .iter()
        .filter(|task| task.run_uid == run.uid)
        .map(|task| hide_in_task_run(task, veil))
        .collect();
    let known = |name: &str| own.iter().any(|task| task.name == name && !task.is_live());
    let complete = run.children.iter().filter(|c| c.kind == "TaskRun").all(|c| known(&c.name));
    Observation {
        progress: hide_in_progress(progress(run, &own), veil),
        end: end(run, &own).map(|end| hide_in_end(end, veil)),
        live_task_runs: own.iter().filter(|t| t.is_live()).map(|t| t.name.clone()).collect(),
        complete,
    }
}

/// Messages are hidden before they are cut, so that no half of a value is left.
fn hide_in_run(run: &RunFacts, veil: &Veil) -> RunFacts {
    let mut run = run.clone();
    hide_in_condition(&mut run.condition, veil);
    run
}

fn hide_in_task_run(task: &TaskRunFacts, veil: &Veil) -> TaskRunFacts {
    let mut task = task.clone();
    hide_in_condition(&mut task.condition, veil);
    for step in &mut task.steps {
        if let ContainerState::Waiting { message, .. } = &mut step.state {
            hide(message, veil);
        }
    }
    task
}

fn hide_in_condition(condition: &mut Option<Condition>, veil: &Veil) {
    if let Some(Condition { message, .. }) = condition {
        hide(message, veil);
    }
}

/// Reasons are hidden last: what they mean is decided by them as they are.
fn hide_in_progress(mut progress: Progress, veil: &Veil) -> Progress {
    hide(&mut progress.reason, veil);
    for task in &mut progress.tasks {
        hide(&mut task.reason, veil);
        task.steps.iter_mut().for_each(|step| hide(&mut step.reason, veil));
    }
    progress
}

fn hide_in_end(mut end: RunEnd, veil: &Veil) -> RunEnd {
    if let RunEnd::Failed(failure) = &mut end {
        hide(&mut failure.raw_reason, veil);
    }
    end
}

fn hide(text: &mut String, veil: &Veil) {
    if let Cow::Owned(told) = veil.hide(text) {
        *text = told;
    }
}

fn end(run: &RunFacts, tasks: &[TaskRunFacts]) -> Option<RunEnd> {
    let condition = run.condition.as_ref()?;
    match condition.status {
        Status::Unknown => None,
        Status::True => Some(RunEnd::Succeeded { at: run.completed_at.unwrap_or(run.created_at) }),
        // With this reason alone a run was really cancelled: when a task failed meanwhile, Tekton
        // says Failed.
        Status::False if condition.reason == "Cancelled" => {
            Some(RunEnd::Cancelled { ran: tasks.iter().any(TaskRunFacts::ran) })
        }
        Status::False => Some(RunEnd::Failed(classify(run, tasks))),
    }
}

fn progress(run: &RunFacts, task_runs: &[TaskRunFacts]) -> Progress {
    let mut names: Vec<&str> = run.tasks.iter().flatten().map(String::as_str).collect();
    for task in task_runs {
        if !names.contains(&task.pipeline_task.as_str()) {
            names.push(&task.pipeline_task);
        }
    }
    let tasks: Vec<TaskProgress> = names
        .into_iter()
        .map(|name| {
            let mut own: Vec<&TaskRunFacts> =
                task_runs.iter().filter(|task| task.pipeline_task == name).collect();
            own.sort_by_key(|task| (task.started_at, task.name.clone()));
            task_progress(name, &own, run.skipped.iter().any(|skipped| skipped == name))
        })
        .collect();
    let count = |states: &[TaskState]| {
        u32::try_from(tasks.iter().filter(|task| states.contains(&task.state)).count())
            .unwrap_or(u32::MAX)
    };
    let (reason, message) = run
        .condition
        .as_ref()
        .map_or((String::new(), String::new()), |c| (c.reason.clone(), c.message.clone()));
    Progress {
        total: run.tasks.as_ref().map_or(0, |tasks| u32::try_from(tasks.len()).unwrap_or(u32::MAX)),
        succeeded: count(&[TaskState::Succeeded]),
        failed: count(&[TaskState::Failed, TaskState::Cancelled]),
        skipped: count(&[TaskState::Skipped]),
        tasks,
        reason,
        message: shorten(&message, MAX_MESSAGE_BYTES),
    }
}

/// A task with a matrix has several TaskRuns; it is as far as the least advanced of them.
fn task_progress(name: &str, own: &[&TaskRunFacts], skipped: bool) -> TaskProgress {
    let states: Vec<TaskState> = own.iter().map(|task| task_state(task)).collect();
    let has = |state| states.contains(&state);
    let state = match () {
        () if own.is_empty() && skipped => TaskState::Skipped,
        () if own.is_empty() => TaskState::Pending,
        () if has(TaskState::Running) => TaskState::Running,
        () if has(TaskState::Pending) => TaskState::Pending,
        () if has(TaskState::Failed) => TaskState::Failed,
        () if has(TaskState::Cancelled) => TaskState::Cancelled,
        () => TaskState::Succeeded,
    };
    let over = !matches!(state, TaskState::Pending | TaskState::Running);
    let newest = own.last();
    TaskProgress {
        name: name.to_owned(),
        state,
        task_run: newest.map(|task| task.name.clone()),
        started_at: own.iter().filter_map(|task| task.started_at).min(),
        ended_at: if over { own.iter().filter_map(|task| task.completed_at).max() } else { None },
        attempts: own.iter().map(|task| task.failed_attempts + 1).max().unwrap_or(0),
        steps: own.iter().flat_map(|task| &task.steps).map(step_progress).collect(),
        reason: newest
            .and_then(|task| task.condition.as_ref())
            .map_or_else(String::new, |condition| condition.reason.clone()),
    }
}

fn task_state(task: &TaskRunFacts) -> TaskState {
    match &task.condition {
        None => TaskState::Pending,
        Some(Condition { status: Status::True, .. }) => TaskState::Succeeded,
        Some(Condition { status: Status::False, reason, .. }) if reason == "TaskRunCancelled" => {
            TaskState::Cancelled
        }
        Some(Condition { status: Status::False, .. }) => TaskState::Failed,
        Some(Condition { status: Status::Unknown, .. }) => {
            if task.steps.iter().any(StepFacts::ran) {
                TaskState::Running
            } else {
                TaskState::Pending
            }
        }
    }
}

fn step_progress(step: &StepFacts) -> StepProgress {
    let shown = |state, started_at, ended_at, exit_code, reason: &str| StepProgress {
        name: step.name.clone(),
        state,
        started_at,
        ended_at,
        exit_code,
        reason: reason.to_owned(),
    };
    match &step.state {
        ContainerState::Unknown => shown(TaskState::Pending, None, None, None, ""),
        ContainerState::Waiting { reason, .. } => {
            shown(TaskState::Pending, None, None, None, reason)
        }
        ContainerState::Running { started_at } => {
            shown(TaskState::Running, *started_at, None, None, "")
        }
        ContainerState::Terminated { exit_code, reason, started_at, ended_at } => {
            let state = match (*exit_code, reason.as_str()) {
                (_, "TaskRunCancelled" | "Cancelled") => TaskState::Cancelled,
                (_, "Skipped") => TaskState::Skipped,
                (0, _) => TaskState::Succeeded,
                _ => TaskState::Failed,
            };
            shown(state, *started_at, *ended_at, Some(*exit_code), reason)
        }
    }
}

#[cfg(test)]
mod tests;
