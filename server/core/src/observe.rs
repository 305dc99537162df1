//! What a run tells: how far it is, whether it is over, and what of it is alive.

use jiff::Timestamp;

use crate::{
    execution::CreatedRun,
    facts::{Condition, ContainerState, RunFacts, Status, StepFacts, TaskRunFacts},
    failure::{Failure, classify, is_of_task_run, log::StepLog},
    progress::{
        MAX_MESSAGE_BYTES, MAX_NAME_BYTES, Progress, StepProgress, TaskProgress, TaskState, shorten,
    },
    stuck::{self, Wait},
    veil::Veil,
};

mod foreign;

/// What a run tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// How far it is.
    pub progress: Progress,
    /// How it ended; `None` while it has not.
    pub end: Option<RunEnd>,
    /// Where the log is that tells more about a failure.
    pub log: Option<StepLog>,
    /// Names of its TaskRuns that Tekton has not finished and still looks at. A run that was cancelled
    /// early can leave such behind.
    pub live_task_runs: Vec<String>,
    /// What it waits for without running.
    pub wait: Option<Wait>,
    /// Whether all that the run says it created is known and over. When not, what is said about the
    /// end may still change.
    pub complete: bool,
}

impl Observation {
    /// Whether all that failed are pipelines inside of the run, of which it does not say why.
    pub fn failed_inside(&self) -> bool {
        let failure = self.end.as_ref().and_then(RunEnd::failure);
        let mut failed = foreign::failed(&self.progress).peekable();
        failure.is_some_and(|failure| failure.task_run.is_none())
            && failed.peek().is_some()
            && failed.all(|task| task.reason == foreign::PIPELINE)
    }

    /// The same, when the pipelines `inside` of the run are known. Tekton says that a run failed of which a
    /// pipeline was cancelled that ran as a task: it was cancelled.
    #[must_use]
    pub fn knowing(mut self, inside: &[RunFacts]) -> Self {
        let cancelled = |task: &TaskProgress| {
            let mut known = inside.iter().filter(|run| Some(&run.name) == task.task_run.as_ref());
            known.any(|run| run.condition.as_ref().is_some_and(is_cancelled))
        };
        if self.failed_inside() && foreign::failed(&self.progress).all(cancelled) {
            for task in &mut self.progress.tasks {
                if task.state == TaskState::Failed {
                    task.state = TaskState::Cancelled;
                }
            }
            self.progress = self.progress.counted();
            self.end = Some(RunEnd::Cancelled { ran: self.progress.ran() });
        }
        self
    }
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "there is one per look at a run that is over")]
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

impl RunEnd {
    /// Why it failed, when it did.
    pub const fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Failed(failure) => Some(failure),
            Self::Succeeded { .. } | Self::Cancelled { .. } => None,
        }
    }

    /// The same with the last lines of the failed step's log.
    #[must_use]
    pub fn with_log(self, log_tail: Option<String>) -> Self {
        match self {
            Self::Failed(failure) => Self::Failed(Failure { log_tail, ..failure }),
            Self::Succeeded { .. } | Self::Cancelled { .. } => self,
        }
    }

    /// The run that ended so, with the last that is known of it. What was deleted before that is kept as it
    /// was seen.
    pub(crate) fn last_of(&self, run: &CreatedRun, last: Progress) -> CreatedRun {
        let unseen = match self {
            Self::Succeeded { .. } => TaskState::Succeeded,
            Self::Failed(_) | Self::Cancelled { .. } => TaskState::Cancelled,
        };
        CreatedRun { progress: last.last_after(&run.progress, unseen), ..run.clone() }
    }
}

/// Reads a run and its TaskRuns. What they say decides as it is, and becomes part of the record without what
/// `veil` hides. Names are told: the definition that they come from does not know the values.
pub fn observe(run: &RunFacts, task_runs: &[TaskRunFacts], veil: &Veil) -> Observation {
    let own: Vec<TaskRunFacts> =
        task_runs.iter().filter(|task| task.run_uid == run.uid).cloned().collect();
    let known = |name: &str| own.iter().any(|task| task.name == name && !task.is_live());
    let complete = run.children.iter().filter(|c| !c.is_foreign()).all(|c| known(&c.name))
        && !own.iter().any(TaskRunFacts::is_abandoned);
    let stoppable = |task: &&TaskRunFacts| task.is_live() && !task.is_abandoned();
    let progress = progress(run, &own, veil);
    let end = end(run, &own, veil);
    Observation {
        log: end.as_ref().and_then(RunEnd::failure).and_then(|why| StepLog::of(why, &own)),
        wait: stuck::find(run, &own, &progress.tasks, veil),
        progress,
        end,
        live_task_runs: own.iter().filter(stoppable).map(|t| t.name.clone()).collect(),
        complete,
    }
}

fn end(run: &RunFacts, tasks: &[TaskRunFacts], veil: &Veil) -> Option<RunEnd> {
    let condition = run.condition.as_ref()?;
    match condition.status {
        Status::Unknown => None,
        Status::True => Some(RunEnd::Succeeded { at: run.completed_at.unwrap_or(run.created_at) }),
        Status::False if is_cancelled(condition) => Some(RunEnd::Cancelled { ran: run.ran(tasks) }),
        Status::False => Some(RunEnd::Failed(classify(run, tasks, veil))),
    }
}

/// With this reason alone a run was really cancelled: when a task failed meanwhile, Tekton says Failed.
fn is_cancelled(condition: &Condition) -> bool {
    condition.status == Status::False && condition.reason == "Cancelled"
}

fn progress(run: &RunFacts, task_runs: &[TaskRunFacts], veil: &Veil) -> Progress {
    let mut names: Vec<&str> = run.tasks.iter().flatten().map(String::as_str).collect();
    for task in task_runs {
        if !names.contains(&task.pipeline_task.as_str()) {
            names.push(&task.pipeline_task);
        }
    }
    // Of a run that is over, nobody hears any more what becomes of a TaskRun that is being deleted.
    let run_is_over = !run.is_live() || run.is_abandoned();
    let is_over = |task: &TaskRunFacts| !task.is_live() || run_is_over && task.is_abandoned();
    let mut tasks: Vec<TaskProgress> = names
        .into_iter()
        .map(|name| {
            let mut own: Vec<&TaskRunFacts> =
                task_runs.iter().filter(|task| task.pipeline_task == name).collect();
            own.sort_by_key(|task| (task.started_at, task.name.clone()));
            let skipped = run.skipped.iter().any(|skipped| skipped.task == name);
            task_progress(name, &own, skipped, &is_over)
        })
        .collect();
    foreign::fill_in(run, &mut tasks);
    let (reason, message) = run
        .condition
        .as_ref()
        .map_or(("", ""), |condition| (condition.reason.as_str(), condition.message.as_str()));
    Progress {
        total: run.tasks.as_ref().map_or(0, |tasks| u32::try_from(tasks.len()).unwrap_or(u32::MAX)),
        tasks: tasks.into_iter().map(|task| presentable(task, veil)).collect(),
        reason: veil.tell(reason, MAX_NAME_BYTES),
        message: veil.tell(message, MAX_MESSAGE_BYTES),
        // Steps of what is not watched are not seen to start.
        ran_before: run.has_foreign_parts(),
        ..Progress::default()
    }
    .counted()
}

/// The same with texts that fit into records and onto terminals. Reasons are hidden last: what they mean is
/// decided by them as they are.
fn presentable(task: TaskProgress, veil: &Veil) -> TaskProgress {
    let fit = |name: &str| shorten(name, MAX_NAME_BYTES);
    let told = |reason: &str| veil.tell(reason, MAX_NAME_BYTES);
    TaskProgress {
        name: fit(&task.name),
        task_run: task.task_run.as_deref().map(fit),
        reason: told(&task.reason),
        steps: task
            .steps
            .into_iter()
            .map(|step| StepProgress { name: fit(&step.name), reason: told(&step.reason), ..step })
            .collect(),
        ..task
    }
}

/// A task with a matrix has several TaskRuns; it is as far as the least advanced of them.
fn task_progress(
    name: &str,
    own: &[&TaskRunFacts],
    skipped: bool,
    is_over: &dyn Fn(&TaskRunFacts) -> bool,
) -> TaskProgress {
    let states: Vec<TaskState> = own.iter().map(|task| task_state(task, is_over(task))).collect();
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
    let newest = own.last();
    TaskProgress {
        name: name.to_owned(),
        state,
        task_run: newest.map(|task| task.name.clone()),
        started_at: own.iter().filter_map(|task| task.started_at).min(),
        ended_at: if state.is_over() {
            own.iter().filter_map(|task| task.completed_at).max()
        } else {
            None
        },
        attempts: own.iter().map(|task| task.failed_attempts.saturating_add(1)).max().unwrap_or(0),
        steps: own.iter().flat_map(|task| steps_progress(task, is_over(task))).collect(),
        reason: newest
            .and_then(|task| task.condition.as_ref())
            .map_or_else(String::new, |condition| condition.reason.clone()),
    }
}

fn task_state(task: &TaskRunFacts, over: bool) -> TaskState {
    match &task.condition {
        None | Some(Condition { status: Status::Unknown, .. }) if over => TaskState::Cancelled,
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

/// Nothing of a TaskRun that is over goes on, although its steps may say what they said last.
fn steps_progress(task: &TaskRunFacts, over: bool) -> impl Iterator<Item = StepProgress> {
    task.steps.iter().map(step_progress).map(move |step| match step.state {
        TaskState::Pending | TaskState::Running if over => {
            StepProgress { state: TaskState::Cancelled, ..step }
        }
        TaskState::Pending
        | TaskState::Running
        | TaskState::Succeeded
        | TaskState::Failed
        | TaskState::Skipped
        | TaskState::Cancelled => step,
    })
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
                (_, "OOMKilled") => TaskState::Failed,
                (0, _) => TaskState::Succeeded,
                _ if is_of_task_run(reason) && !step.ran() => TaskState::Cancelled,
                _ => TaskState::Failed,
            };
            let exit_code = Some(*exit_code).filter(|_| !is_of_task_run(reason));
            shown(state, *started_at, *ended_at, exit_code, reason)
        }
    }
}

#[cfg(test)]
mod tests;
