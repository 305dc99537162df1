//! The one next action for an execution, from what is stored and what the watches know.

use std::time::Duration;

use jiff::Timestamp;
use wfe_core::{
    execution::{CancelMode, CreatedRun, Execution, PlannedRun, RunRef, State, Stop},
    facts::RunFacts,
    gates::later,
    lock::ForeignRuns,
    observe::{Observation, RunEnd, observe},
    progress::Progress,
    stuck::{Patience, Stuck},
    transition::Input,
    veil::Veil,
};

use crate::tekton::{RunSnapshot, Seen};

/// How patient the service is.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// How long a run may take to be created.
    pub start_timeout: Duration,
    /// How long after a deadline Tekton may take to end the run by itself.
    pub deadline_grace: Duration,
    /// How long a run may be stuck.
    pub patience: Patience,
    /// How long a run stays in the cluster after its end; `None` for ever.
    pub run_retention: Option<Duration>,
    /// How long a request to stop is given before it is made again.
    pub cancel_retry: Duration,
    /// How often everything that has not ended is looked at although nothing was heard of it.
    pub look_again: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            start_timeout: Duration::from_mins(5),
            deadline_grace: Duration::from_secs(10),
            patience: Patience::default(),
            run_retention: Some(Duration::from_hours(24)),
            cancel_retry: Duration::from_secs(5),
            look_again: Duration::from_mins(5),
        }
    }
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// Nothing until something changes.
    Rest,
    /// Nothing until this time.
    RestUntil(Timestamp),
    /// Nothing until the watches are complete.
    AwaitSync,
    /// Record that this happened.
    Apply(Input),
    /// Let the execution in when it is the first in the queue and its gates are open; else rest.
    Admit {
        /// When to look again at the latest.
        until: Option<Timestamp>,
    },
    /// Create the run.
    Create(PlannedRun),
    /// Somebody else's run has the name: take the next one.
    Rename,
    /// A stranger's run is alive: note it, and wait until it ends.
    Wait {
        /// What is in the way.
        obstacle: String,
    },
    /// The watches do not show the run that should be there: ask the API server.
    Verify(CreatedRun),
    /// The run is over, but not all that it created is known to be: read it from the API server, and
    /// stop what is alive.
    ReadEnd(CreatedRun),
    /// Take the run's name so that no create under way can bring it to life.
    Occupy(PlannedRun),
    /// Ask Tekton to stop the run.
    Cancel {
        /// The run.
        run: CreatedRun,
        /// How.
        mode: CancelMode,
    },
    /// Tekton cannot stop the run, for pipelines run as its tasks: stop what it consists of.
    StopByParts {
        /// The run.
        run: CreatedRun,
        /// How.
        mode: CancelMode,
    },
    /// The run is over: make sure that nothing of it is alive.
    Sweep {
        /// The run.
        run: RunRef,
        /// How to stop it should it not be over.
        mode: CancelMode,
    },
    /// The execution is over, but its run is not: stop it.
    StopStray {
        /// Name of the run.
        name: String,
        /// UID of the run.
        uid: String,
    },
    /// The run has been kept for long enough.
    Delete {
        /// Name of the run.
        name: String,
        /// UID of the run.
        uid: String,
    },
}

/// What the watches know of an execution.
#[derive(Debug, Clone)]
pub(super) struct Known {
    /// The run whose name the execution has, if it has one.
    pub(super) run: Seen,
    /// What else acts on the target; `None` while the watches are not complete.
    pub(super) foreign: Option<ForeignRuns>,
    /// Hides what of it must not become part of the record.
    pub(super) veil: Veil,
}

/// Decides the next action.
pub(super) fn plan(
    execution: &Execution,
    known: &Known,
    policy: &Policy,
    now: Timestamp,
) -> Action {
    match &execution.state {
        State::Waiting { .. } => match execution.request.deadline {
            Some(deadline) if deadline <= now => Action::Apply(Input::Deadline(deadline)),
            until => Action::Admit { until },
        },
        State::Starting { run, .. } => starting(execution, run, known, policy, now),
        State::Running { run } => running(run, execution.request.deadline, known, policy, now),
        State::Cancelling { run, stop, obstacle } => {
            cancelling(execution, run, stop, obstacle.as_deref(), known, policy, now)
        }
        State::Succeeded { .. } | State::Failed { .. } | State::Cancelled { .. } => {
            ended(execution, &known.run, policy, now)
        }
    }
}

fn starting(
    execution: &Execution,
    run: &PlannedRun,
    known: &Known,
    policy: &Policy,
    now: Timestamp,
) -> Action {
    let patience = later(run.since, policy.start_timeout);
    let deadline = execution.request.deadline.map_or(patience, |deadline| deadline.min(patience));
    match &known.run {
        // Before anything else: a run that exists is not late, it has started.
        Seen::Present(seen) if seen.run.execution == Some(execution.id) => {
            Action::Apply(exists(seen))
        }
        _ if deadline <= now => Action::Apply(Input::Deadline(deadline)),
        Seen::NotSynced => Action::AwaitSync,
        Seen::Present(seen) if !seen.run.is_live() => Action::Rename,
        Seen::Present(seen) => stranger(&seen.run.name),
        Seen::Absent => match &known.foreign {
            Some(ForeignRuns { live: Some(name), .. }) => stranger(name),
            Some(_) => Action::Create(run.clone()),
            None => Action::AwaitSync,
        },
    }
}

fn stranger(name: &str) -> Action {
    let obstacle = format!("PipelineRun {name} acts on the same target and is still alive");
    Action::Wait { obstacle }
}

/// What a look at a run tells.
struct Looked {
    /// How far it is, with what it waits for and for how long.
    progress: Progress,
    /// How it ended.
    end: Option<RunEnd>,
    /// Whether all that it created is known and over.
    over: bool,
    /// Until when what it waits for is what every run does.
    normal_until: Option<Timestamp>,
}

fn look(run: &CreatedRun, snapshot: &RunSnapshot, known: &Known, now: Timestamp) -> Looked {
    let Observation { progress, end, complete, live_task_runs, wait } =
        observe(&snapshot.run, &snapshot.task_runs, &known.veil);
    let normal_until = wait.as_ref().map(|wait| wait.is_normal_until(run.created_at));
    let normal_until = normal_until.filter(|until| now < *until);
    let stuck = wait
        .filter(|_| normal_until.is_none())
        .map(|wait| Stuck::noted(wait, run.progress.stuck.as_deref(), now));
    let progress = Progress { stuck: stuck.map(Box::new), ..progress };
    Looked { progress, end, over: complete && live_task_runs.is_empty(), normal_until }
}

fn running(
    run: &CreatedRun,
    deadline: Option<Timestamp>,
    known: &Known,
    policy: &Policy,
    now: Timestamp,
) -> Action {
    let snapshot = match &known.run {
        Seen::NotSynced => return Action::AwaitSync,
        Seen::Absent => return Action::Verify(run.clone()),
        Seen::Present(snapshot) if snapshot.run.uid != run.uid => {
            return Action::Verify(run.clone());
        }
        Seen::Present(snapshot) => snapshot,
    };
    let Looked { progress, end, over, normal_until } = look(run, snapshot, known, now);
    match end {
        Some(end) if over => Action::Apply(Input::RunEnded { end, progress }),
        // A cancelled run gets its last look when it is swept.
        Some(end @ RunEnd::Cancelled { .. }) => Action::Apply(Input::RunEnded { end, progress }),
        Some(_) => Action::ReadEnd(run.clone()),
        None if progress != run.progress => Action::Apply(Input::Progress(progress)),
        None => {
            let last = deadline.map(|deadline| (deadline, later(deadline, policy.deadline_grace)));
            let patience = progress.stuck.map(|stuck| policy.patience.end(&stuck));
            match (last, patience) {
                (Some((deadline, last)), _) if last <= now => {
                    Action::Apply(Input::Deadline(deadline))
                }
                (_, Some(end)) if end <= now => Action::Apply(Input::OutOfPatience(end)),
                (last, patience) => {
                    let wake = last.map(|(_, last)| last);
                    let wake = wake.into_iter().chain(patience).chain(normal_until).min();
                    wake.map_or(Action::Rest, Action::RestUntil)
                }
            }
        }
    }
}

fn cancelling(
    execution: &Execution,
    run: &RunRef,
    stop: &Stop,
    obstacle: Option<&str>,
    known: &Known,
    policy: &Policy,
    now: Timestamp,
) -> Action {
    match (run, &known.run) {
        (RunRef::Planned(_), Seen::Present(snapshot))
            if snapshot.run.execution == Some(execution.id) =>
        {
            Action::Apply(exists(snapshot))
        }
        // Not seen is not the same as not there: the name is taken, whatever the watches say.
        (RunRef::Planned(run), Seen::Present(_) | Seen::Absent | Seen::NotSynced) => {
            Action::Occupy(run.clone())
        }
        (RunRef::Created(run), Seen::Present(snapshot))
            if snapshot.run.uid == run.uid && snapshot.run.is_live() =>
        {
            let given = given_time(stop, execution.request.deadline, policy);
            match given {
                None => stop_at_once(run, &snapshot.run),
                Some(given) => let_end(run, given, stop.mode(), obstacle, snapshot, known, now),
            }
        }
        (RunRef::Created(_), Seen::NotSynced | Seen::Absent | Seen::Present(_)) => {
            Action::Sweep { run: run.clone(), mode: stop.mode() }
        }
    }
}

/// Until when what goes on is given time, and what happens then.
struct Given {
    until: Timestamp,
    then: Input,
}

fn given_time(stop: &Stop, deadline: Option<Timestamp>, policy: &Policy) -> Option<Given> {
    let until = match stop {
        Stop::Requested(cancellation) => cancellation.escalate_at?,
        Stop::Deadline { .. } => return None,
    };
    Some(match deadline.filter(|deadline| *deadline <= until) {
        // Tekton gets a moment to end it by itself, as it does while nobody has cancelled it.
        Some(deadline) => {
            Given { until: later(deadline, policy.deadline_grace), then: Input::Deadline(deadline) }
        }
        None => Given { until, then: Input::OutOfPatience(until) },
    })
}

fn stop_at_once(run: &CreatedRun, seen: &RunFacts) -> Action {
    let (run, mode) = (run.clone(), CancelMode::Immediate);
    if seen.stopping == Some(mode) && could_not_be_stopped(seen) {
        return Action::StopByParts { run, mode };
    }
    Action::Cancel { run, mode }
}

fn could_not_be_stopped(seen: &RunFacts) -> bool {
    seen.condition.as_ref().is_some_and(|condition| condition.reason == COULD_NOT_CANCEL)
}

fn let_end(
    run: &CreatedRun,
    given: Given,
    mode: CancelMode,
    obstacle: Option<&str>,
    snapshot: &RunSnapshot,
    known: &Known,
    now: Timestamp,
) -> Action {
    if given.until <= now {
        return Action::Apply(given.then);
    }
    if snapshot.run.stopping < Some(mode) {
        return Action::Cancel { run: run.clone(), mode };
    }
    if could_not_be_stopped(&snapshot.run) {
        return Action::StopByParts { run: run.clone(), mode };
    }
    let Looked { progress, normal_until, .. } = look(run, snapshot, known, now);
    if progress != run.progress {
        return Action::Apply(Input::Progress(progress));
    }
    match progress.goes_on() {
        Some(text) if obstacle != Some(text.as_str()) => Action::Apply(Input::Obstruct(text)),
        Some(_) | None => {
            Action::RestUntil(normal_until.map_or(given.until, |until| until.min(given.until)))
        }
    }
}

/// What Tekton says of a run that it cannot stop for what runs as its tasks.
const COULD_NOT_CANCEL: &str = "PipelineRunCouldntCancel";

/// What is left in the cluster of an execution that ended.
fn ended(execution: &Execution, seen: &Seen, policy: &Policy, now: Timestamp) -> Action {
    let Seen::Present(snapshot) = seen else { return Action::Rest };
    let RunSnapshot { run, task_runs } = &**snapshot;
    if run.execution != Some(execution.id) {
        return Action::Rest;
    }
    let live =
        run.is_live() || task_runs.iter().any(|task| task.run_uid == run.uid && task.is_live());
    if live {
        return Action::StopStray { name: run.name.clone(), uid: run.uid.clone() };
    }
    let Some(retention) = policy.run_retention else { return Action::Rest };
    let over = execution.state.ended_at().unwrap_or(execution.updated_at);
    let until = later(over, retention);
    if until <= now {
        Action::Delete { name: run.name.clone(), uid: run.uid.clone() }
    } else {
        Action::RestUntil(until)
    }
}

fn exists(seen: &RunSnapshot) -> Input {
    Input::RunExists { uid: seen.run.uid.clone(), created_at: seen.run.created_at }
}

#[cfg(test)]
mod tests;
