//! The analysis of a run that failed: its steps, then its TaskRuns, then the run, then words.

use super::{
    Evidence, Failure, FailureReason, PIPELINE_RUN, REASON, TASK_RUN,
    reasons::{Basis, basis},
    sentence::{self, Place},
    words,
};
use crate::{
    facts::{Condition, ContainerState, RunFacts, Status, StepFacts, Stopped, TaskRunFacts},
    progress::{MAX_MESSAGE_BYTES, MAX_NAME_BYTES, shorten},
    veil::Veil,
};

/// Why a run that ended with `False` failed. `tasks` are its TaskRuns. What they say decides as it is, and
/// is told without what `veil` hides.
pub(crate) fn classify(run: &RunFacts, tasks: &[TaskRunFacts], veil: &Veil) -> Failure {
    let nothing =
        Condition { status: Status::False, reason: String::new(), message: String::new() };
    let condition = run.condition.as_ref().unwrap_or(&nothing);
    let verdict = match blamed(run, tasks) {
        Some(task) => of_task_run(task, veil),
        None => of_run(run, condition, tasks, veil),
    };
    let (raw_reason, message) = match verdict.told_by {
        Some(told) => (&told.reason, &told.message),
        None => (&condition.reason, &condition.message),
    };
    let (raw_reason, message) = (&*veil.hide(raw_reason), &*veil.hide(message));
    let name = |name: &str| shorten(name, MAX_NAME_BYTES);
    let place = Place { task: verdict.task, step: verdict.step.map(|step| step.name.as_str()) };
    let attempt = verdict.task_run.map(|task| task.failed_attempts.saturating_add(1));
    Failure {
        reason: verdict.reason,
        was_execution_failure: run.ran(tasks),
        task: verdict.task.map(name),
        task_run: verdict.task_run.map(|task| name(&task.name)),
        step: verdict.step.map(|step| name(&step.name)),
        exit_code: verdict.exit_code,
        attempt,
        raw_reason: name(raw_reason),
        message: shorten(message, MAX_MESSAGE_BYTES),
        summary: match verdict.fetched {
            Fetched::Irrelevant => sentence::of(
                verdict.reason,
                place,
                verdict.exit_code,
                attempt.unwrap_or(1),
                raw_reason,
                message,
            ),
            Fetched::NotReached => sentence::not_fetched(message),
        },
        started_at: run.started_at,
        at: run.completed_at.unwrap_or(run.created_at),
        evidence: Some(Box::new(verdict.evidence)),
        log_tail: None,
    }
}

/// What was found.
struct Verdict<'a> {
    reason: FailureReason,
    task: Option<&'a str>,
    task_run: Option<&'a TaskRunFacts>,
    step: Option<&'a StepFacts>,
    exit_code: Option<i32>,
    /// The condition that tells of it, when it is not the run's.
    told_by: Option<&'a Condition>,
    fetched: Fetched,
    evidence: Evidence,
}

/// Whether it failed because something could not be fetched, although it may be right.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fetched {
    Irrelevant,
    NotReached,
}

fn condition_of(task: &TaskRunFacts) -> Option<&Condition> {
    task.condition.as_ref().filter(|condition| condition.status == Status::False)
}

/// The TaskRun that failed first by itself: one that was stopped failed because of another, and one
/// whose failure is ignored failed nobody.
fn blamed<'a>(run: &RunFacts, tasks: &'a [TaskRunFacts]) -> Option<&'a TaskRunFacts> {
    let by_itself = |task: &&TaskRunFacts| {
        condition_of(task).is_some_and(|condition| match basis(TASK_RUN, &condition.reason) {
            Basis::Ignored | Basis::Stopped => false,
            Basis::Certain(_)
            | Basis::Refusal(_)
            | Basis::Resolution
            | Basis::Steps(_)
            | Basis::TimeOut => true,
        })
    };
    earliest(run, tasks.iter().filter(by_itself))
}

/// A failure without a time of its end, as Tekton leaves some, is as old as its start. Times have whole
/// seconds: within one, the order of the pipeline decides, in which finally tasks are the last.
fn earliest<'a>(
    run: &RunFacts,
    tasks: impl Iterator<Item = &'a TaskRunFacts>,
) -> Option<&'a TaskRunFacts> {
    let place = |task: &TaskRunFacts| {
        let mut names = run.tasks.iter().flatten();
        names.position(|name| *name == task.pipeline_task).unwrap_or(usize::MAX)
    };
    tasks.min_by_key(|task| {
        let ended = task.completed_at.or(task.started_at);
        (ended, task.started_at, place(task), task.name.clone())
    })
}

fn of_task_run<'a>(task: &'a TaskRunFacts, veil: &Veil) -> Verdict<'a> {
    let condition = condition_of(task);
    let (reason, message) = condition
        .map_or(("", ""), |condition| (condition.reason.as_str(), condition.message.as_str()));
    let evidence =
        |field: &str, value: &str| Evidence::new("TaskRun", &task.name, field, value, veil);
    let verdict = |reason, evidence| Verdict {
        reason,
        task: Some(task.pipeline_task.as_str()),
        task_run: Some(task),
        step: None,
        exit_code: None,
        told_by: condition,
        fetched: Fetched::Irrelevant,
        evidence,
    };
    let told = || evidence(REASON, reason);
    let worded = |(phrase, reason): words::Found| verdict(reason, evidence(MESSAGE, phrase));
    if let Some((step, code)) = task.steps.iter().find_map(killed_for_memory) {
        let field = format!("status.steps[{}].terminated.reason", step.name);
        return Verdict {
            step: Some(step),
            exit_code: Some(code),
            ..verdict(FailureReason::OomKilled, evidence(&field, OOM_KILLED))
        };
    }
    match basis(TASK_RUN, reason) {
        Basis::Certain(certain) => verdict(certain, told()),
        Basis::Refusal(otherwise) => {
            words::refusal(message).map_or_else(|| verdict(otherwise, told()), worded)
        }
        Basis::Resolution => match words::not_reached(message) {
            Some(found) => Verdict { fetched: Fetched::NotReached, ..worded(found) },
            None => verdict(FailureReason::ConfigurationError, told()),
        },
        Basis::TimeOut => {
            let before = words::previous_reason(message).filter(|_| !task.ran());
            let waited = before.and_then(|before| {
                Some((basis(TASK_RUN, before).certain()?, evidence(MESSAGE, before)))
            });
            let (reason, evidence) =
                waited.unwrap_or_else(|| (FailureReason::DeadlineExceeded, told()));
            Verdict { step: stopped_step(task), ..verdict(reason, evidence) }
        }
        Basis::Steps(otherwise) => {
            if let Some(found) = words::pod(message).filter(|_| reason == "Failed") {
                return worded(found);
            }
            match task.steps.iter().find_map(failed_step) {
                Some((step, code, why)) => {
                    let (reason, field, value) = if why == "TimeoutExceeded" {
                        (FailureReason::DeadlineExceeded, "terminationReason", why.to_owned())
                    } else {
                        (FailureReason::TaskFailed, "terminated.exitCode", code.to_string())
                    };
                    let field = format!("status.steps[{}].{field}", step.name);
                    Verdict {
                        step: Some(step),
                        exit_code: Some(code),
                        ..verdict(reason, evidence(&field, &value))
                    }
                }
                None => verdict(otherwise, told()),
            }
        }
        Basis::Stopped | Basis::Ignored => verdict(FailureReason::Unknown, told()),
    }
}

/// No TaskRun failed by itself: nothing was launched, or what was launched was stopped or is gone.
fn of_run<'a>(
    run: &'a RunFacts,
    condition: &'a Condition,
    tasks: &'a [TaskRunFacts],
    veil: &Veil,
) -> Verdict<'a> {
    let evidence =
        |field: &str, value: &str| Evidence::new("PipelineRun", &run.name, field, value, veil);
    let verdict = |reason, evidence| Verdict {
        reason,
        task: None,
        task_run: None,
        step: None,
        exit_code: None,
        told_by: None,
        fetched: Fetched::Irrelevant,
        evidence,
    };
    let told = || evidence(REASON, &condition.reason);
    let worded = |(phrase, reason): words::Found| verdict(reason, evidence(MESSAGE, phrase));
    match basis(PIPELINE_RUN, &condition.reason) {
        Basis::Certain(certain) => verdict(certain, told()),
        Basis::Refusal(otherwise) => {
            words::refusal(&condition.message).map_or_else(|| verdict(otherwise, told()), worded)
        }
        Basis::Resolution => match words::not_reached(&condition.message) {
            Some(found) => Verdict { fetched: Fetched::NotReached, ..worded(found) },
            None => verdict(FailureReason::ConfigurationError, told()),
        },
        Basis::TimeOut => {
            at_the_deadline(run, tasks, verdict(FailureReason::DeadlineExceeded, told()), veil)
        }
        Basis::Steps(otherwise) => {
            // The part that had a time-out of its own does not make the run say so.
            if let Some(task) = tasks.iter().find(|task| task.stopped == Stopped::RunTimedOut) {
                let evidence =
                    Evidence::new("TaskRun", &task.name, "spec.statusMessage", "timed out", veil);
                let told_by = condition_of(task);
                let late = verdict(FailureReason::DeadlineExceeded, evidence);
                return at_the_deadline(run, tasks, Verdict { told_by, ..late }, veil);
            }
            let late = |reason: &str| reason.ends_with("timeout has been reached");
            if let Some(skipped) = run.skipped.iter().find(|skipped| late(&skipped.reason)) {
                let field = format!("status.skippedTasks[{}].reason", skipped.task);
                let evidence = evidence(&field, &skipped.reason);
                return Verdict {
                    task: Some(&skipped.task),
                    ..verdict(FailureReason::DeadlineExceeded, evidence)
                };
            }
            Verdict { task: only_foreign_task(run), ..verdict(otherwise, told()) }
        }
        Basis::Stopped | Basis::Ignored => verdict(FailureReason::Unknown, told()),
    }
}

/// The task in which time ran out; what it waited for, when it never started.
fn at_the_deadline<'a>(
    run: &RunFacts,
    tasks: &'a [TaskRunFacts],
    verdict: Verdict<'a>,
    veil: &Veil,
) -> Verdict<'a> {
    let stopped = |task: &&TaskRunFacts| {
        condition_of(task).is_some_and(|c| basis(TASK_RUN, &c.reason) == Basis::Stopped)
    };
    let Some(task) = earliest(run, tasks.iter().filter(stopped)) else { return verdict };
    let verdict = Verdict {
        task: Some(&task.pipeline_task),
        task_run: Some(task),
        step: stopped_step(task),
        ..verdict
    };
    let told = condition_of(task);
    let before = told.and_then(|condition| words::previous_reason(&condition.message));
    let before =
        before.filter(|_| !tasks.iter().any(|task| task.stopped != Stopped::No && task.ran()));
    match before.and_then(|before| Some((basis(TASK_RUN, before).certain()?, before))) {
        Some((reason, before)) => Verdict {
            reason,
            told_by: told,
            evidence: Evidence::new("TaskRun", &task.name, MESSAGE, before, veil),
            ..verdict
        },
        None => verdict,
    }
}

const MESSAGE: &str = "status.conditions[Succeeded].message";
const OOM_KILLED: &str = "OOMKilled";

fn killed_for_memory(step: &StepFacts) -> Option<(&StepFacts, i32)> {
    terminated(step)
        .filter(|(_, _, reason)| *reason == OOM_KILLED)
        .map(|(step, code, _)| (step, code))
}

/// Steps after the one that failed are skipped, and say that they exited with 1; one that may fail says
/// that the task went on.
fn failed_step(step: &StepFacts) -> Option<(&StepFacts, i32, &str)> {
    terminated(step)
        .filter(|(_, code, reason)| *code != 0 && !matches!(*reason, "Skipped" | "Continued"))
}

/// The step that ran when its TaskRun was stopped.
fn stopped_step(task: &TaskRunFacts) -> Option<&StepFacts> {
    let why = condition_of(task).map_or("", |condition| condition.reason.as_str());
    let stopped = |step: &&StepFacts| {
        step.ran() && terminated(step).is_some_and(|(_, _, reason)| reason == why)
    };
    task.steps.iter().find(stopped)
}

fn terminated(step: &StepFacts) -> Option<(&StepFacts, i32, &str)> {
    match &step.state {
        ContainerState::Terminated { exit_code, reason, .. } => Some((step, *exit_code, reason)),
        ContainerState::Unknown
        | ContainerState::Waiting { .. }
        | ContainerState::Running { .. } => None,
    }
}

/// What is not a TaskRun is not watched: the task is known when there is one such.
fn only_foreign_task(run: &RunFacts) -> Option<&str> {
    let mut foreign = run.children.iter().filter(|child| child.is_foreign());
    let first = foreign.next()?;
    foreign.next().is_none().then_some(first.pipeline_task.as_str())
}
