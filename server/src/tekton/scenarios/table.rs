//! The table of what can become of a run: each row is played, and what is observed of it is written down.
//!
//! What real Tekton came to stands in `observed.txt`, and every engine has to come to the same. Times are left
//! out, and names that follow from the run's are shortened.

use std::{fmt::Write as _, pin::Pin, time::Duration};

use tokio::time::Instant;
use wfe_core::{
    execution::CancelMode,
    facts::{RunFacts, TaskRunFacts},
    failure::{Evidence, Failure},
    observe::{Observation, RunEnd, observe},
    parameter::Parameter,
    progress::{Progress, TaskProgress, TaskState},
    stuck::{StuckOn, Wait},
    veil::Veil,
};

use super::{super::Seen, Deletion, Stage, present, require};

/// One thing that can become of a run.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// What happens.
    pub name: &'static str,
    /// The name of its bundle, by which the simulator knows what to play.
    pub bundle: &'static str,
    timeout: Option<Duration>,
    parameter: Option<(&'static str, &'static str)>,
    acts: &'static [Act],
    until: Until,
}

/// Something that is done or waited for while a run goes on.
#[derive(Debug, Clone, Copy)]
enum Act {
    /// Waits until a step runs in each TaskRun of this task.
    Runs(&'static str),
    /// Waits until this task has ended.
    Ended(&'static str),
    /// Waits until the run is over.
    Over,
    /// Waits until the run waits for this.
    Waits(StuckOn),
    /// Somebody deletes the run with all that it created.
    DeleteRun,
    /// Somebody deletes the run and leaves its TaskRuns alone.
    DeleteRunAlone,
    /// Somebody deletes the TaskRun of this task.
    DeleteTaskRun(&'static str),
    /// Somebody deletes the pod of this task.
    DeletePod(&'static str),
    /// The service stops it, with all that is alive of it.
    Stop,
    /// The service asks Tekton to cancel it so.
    Cancel(CancelMode),
}

/// What is written down.
#[derive(Debug, Clone, Copy)]
enum Until {
    /// How it ends, once all that belongs to it is over.
    Over,
    /// How it ended, and what is left of it.
    Ended,
    /// What it waits for.
    Waits(StuckOn),
    /// Nothing is left of it.
    Gone,
    /// What it left, stopped.
    GoneAlone,
}

const fn row(name: &'static str, bundle: &'static str) -> Row {
    Row { name, bundle, timeout: None, parameter: None, acts: &[], until: Until::Over }
}

impl Row {
    const fn after(self, acts: &'static [Act]) -> Self {
        Self { acts, ..self }
    }

    const fn until(self, until: Until) -> Self {
        Self { until, ..self }
    }

    const fn given(self, name: &'static str, value: &'static str) -> Self {
        Self { parameter: Some((name, value)), ..self }
    }

    const fn within(self, timeout: Duration) -> Self {
        Self { timeout: Some(timeout), ..self }
    }
}

/// Every row.
#[rustfmt::skip]
pub const ROWS: &[Row] = &[
    row("a run of one task succeeds", "succeeds"),
    row("three tasks in order succeed", "three-tasks-in-order"),
    row("a step exits with 1", "step-exits-1"),
    row("a step is killed for lack of memory", "oom-killed"),
    row("the image of the first task is missing", "image-cannot-be-pulled"),
    row("the image of the second task is missing", "second-image-missing"),
    row("a pod is evicted", "evicted"),
    row("a container cannot be made from its definition", "container-config"),
    row("the bundle is missing", "missing"),
    row("a parameter is missing", "needs-a-parameter"),
    row("a parameter has the wrong type", "wants-a-list").given("GIVEN", "one"),
    row("finally tasks run after a success", "finally-runs"),
    row("finally tasks run after a failure", "finally-after-failure"),
    row("a finally task fails", "finally-fails"),
    row("a retry succeeds", "retry-succeeds"),
    row("retries are exhausted", "retries-exhausted"),
    row("a failure is ignored", "failure-ignored"),
    row("a task is skipped as its conditions do not hold", "when-skipped"),
    row("a task with a matrix succeeds", "matrix"),
    row("a TaskRun of a matrix fails", "matrix-fails"),
    row("a running matrix is cancelled", "matrix-never-ends").after(&[Act::Runs("a"), Act::Stop]),
    row("a task takes too long", "task-timeout"),
    row("a run takes too long", "never-ends").within(Duration::from_secs(4)).after(&[Act::Runs("main")]),
    row("a run waits for an image", "image-never-comes").until(Until::Waits(StuckOn::ImagePull)),
    row("a run waits for a node", "no-node-has-room").until(Until::Waits(StuckOn::Scheduling)),
    row("a run waits for a quota", "quota-has-no-room").until(Until::Waits(StuckOn::Quota)),
    row("a run that waits takes too long", "image-never-comes").within(Duration::from_secs(5)).after(&[Act::Waits(StuckOn::ImagePull)]),
    row("a running run is cancelled", "never-ends").after(&[Act::Runs("main"), Act::Stop]),
    row("a run that waits is cancelled", "image-never-comes").after(&[Act::Waits(StuckOn::ImagePull), Act::Stop]),
    row("a running run is cancelled, and finally tasks run", "never-ends-and-finally").after(&[Act::Runs("a"), Act::Cancel(CancelMode::RunFinally)]),
    row("a running run is cancelled, and a finally task fails", "never-ends-and-finally-fails").after(&[Act::Runs("a"), Act::Cancel(CancelMode::RunFinally)]),
    row("a run that waits is cancelled, and finally tasks run", "waits-and-finally").after(&[Act::Waits(StuckOn::ImagePull), Act::Cancel(CancelMode::RunFinally)]),
    row("a cancel lets the running task end, and finally tasks run", "takes-a-while-and-finally").after(&[Act::Runs("a"), Act::Cancel(CancelMode::StopAndFinally)]),
    row("a cancel lets the running task fail, and finally tasks run", "fails-late-and-finally").after(&[Act::Runs("a"), Act::Cancel(CancelMode::StopAndFinally)]),
    row("a cancel meets a run whose finally tasks run already", "finally-takes-a-while").after(&[Act::Runs("report"), Act::Cancel(CancelMode::RunFinally)]),
    row("a cancel that waits for a task becomes one that runs finally tasks", "never-ends-and-finally").after(&[Act::Runs("a"), Act::Cancel(CancelMode::StopAndFinally), Act::Cancel(CancelMode::RunFinally)]),
    row("a cancel that waits for a task becomes one that does not", "never-ends-and-finally").after(&[Act::Runs("a"), Act::Cancel(CancelMode::StopAndFinally), Act::Cancel(CancelMode::Immediate)]),
    row("a finally task that does not end is stopped", "finally-never-ends").after(&[Act::Runs("a"), Act::Cancel(CancelMode::RunFinally), Act::Runs("report"), Act::Cancel(CancelMode::Immediate)]),
    row("a task that would be tried again is cancelled", "never-ends-with-retries").after(&[Act::Runs("a"), Act::Stop]),
    row("a run is deleted before anything ran", "succeeds").after(&[Act::DeleteRun]).until(Until::Gone),
    row("a run is deleted while it waits", "image-never-comes").after(&[Act::Waits(StuckOn::ImagePull), Act::DeleteRun]).until(Until::Gone),
    row("a run is deleted while it runs", "never-ends").after(&[Act::Runs("main"), Act::DeleteRun]).until(Until::Gone),
    row("a run is deleted between its tasks", "second-never-ends").after(&[Act::Ended("a"), Act::DeleteRun]).until(Until::Gone),
    row("a run is deleted after its end", "succeeds").after(&[Act::Over, Act::DeleteRun]).until(Until::Gone),
    row("a run is deleted without its TaskRuns", "never-ends").after(&[Act::Runs("main"), Act::DeleteRunAlone]).until(Until::GoneAlone),
    row("a running TaskRun is deleted", "takes-a-while").after(&[Act::Runs("a"), Act::DeleteTaskRun("a")]),
    row("a TaskRun that waits is deleted", "image-never-comes").after(&[Act::Waits(StuckOn::ImagePull), Act::DeleteTaskRun("main")]).until(Until::Waits(StuckOn::ImagePull)),
    row("the TaskRun of the task before is deleted", "second-takes-a-while").after(&[Act::Runs("b"), Act::DeleteTaskRun("a")]),
    row("the TaskRun of a task long over is deleted", "third-takes-a-while").after(&[Act::Runs("c"), Act::DeleteTaskRun("a")]).until(Until::Waits(StuckOn::Deleted)),
    row("a run without a TaskRun long over is cancelled", "third-takes-a-while").after(&[Act::Runs("c"), Act::DeleteTaskRun("a"), Act::Ended("c"), Act::Stop]).until(Until::Ended),
    row("a TaskRun is deleted after the end", "succeeds").after(&[Act::Over, Act::DeleteTaskRun("main")]).until(Until::Ended),
    row("the pod of a running task is deleted", "takes-a-while").after(&[Act::Runs("a"), Act::DeletePod("a")]),
    row("the pod of a task that waits is deleted", "image-never-comes").after(&[Act::Waits(StuckOn::ImagePull), Act::DeletePod("main")]).until(Until::Waits(StuckOn::ImagePull)),
    row("a pod is deleted after the end", "step-exits-1").after(&[Act::Over, Act::DeletePod("main")]),
];

/// What was observed of each row on real Tekton.
pub const OBSERVED: &str = include_str!("observed.txt");

/// Where [`OBSERVED`] stands, below the directory of this crate.
pub const OBSERVED_FILE: &str = "src/tekton/scenarios/observed.txt";

/// Plays a row, and tells what was observed of it.
pub fn play(row: Row, stage: Stage) -> Pin<Box<dyn Future<Output = String> + Send>> {
    Box::pin(async move {
        let observed = stage.play(row).await;
        stage.leave().await;
        format!("== {}\n{observed}\n", row.name)
    })
}

impl Stage {
    async fn play(&self, row: Row) -> String {
        let mut request = self.request(&self.bundles.named(row.bundle));
        request.timeout = row.timeout;
        if let Some((name, value)) = row.parameter {
            let value = Parameter::Plain(value.to_owned());
            request.request.parameters.insert(name.to_owned(), value);
        }
        let run = self.create(&request).await;
        for act in row.acts {
            self.act(*act, &run).await;
        }
        let name = &run.name;
        match row.until {
            Until::Over => {
                self.until_over(name).await;
                self.tell_of(name)
            }
            Until::Ended => {
                self.until_seen(name, "has ended", |_, seen| seen.end.clone()).await;
                self.tell_of(name)
            }
            Until::Waits(on) => {
                self.until_waits(name, on).await;
                let observed = self.tell_of(name);
                self.stop(&run).await;
                observed
            }
            Until::Gone | Until::GoneAlone => {
                self.until("the run to be gone", || {
                    (self.tekton.seen(name) == Seen::Absent).then_some(())
                })
                .await;
                self.tell_what_is_left(&run, matches!(row.until, Until::GoneAlone)).await
            }
        }
    }

    async fn until_waits(&self, name: &str, on: StuckOn) {
        let waits = |seen: &Observation| seen.wait.as_ref().is_some_and(|wait| wait.on == on);
        self.until_seen(name, "waits", |_, seen| waits(seen).then_some(())).await;
    }

    async fn act(&self, act: Act, run: &RunFacts) {
        let name = &run.name;
        let task_run = |task: &str| format!("{name}-{task}");
        let task = |seen: &Observation, task: &str| {
            seen.progress.tasks.iter().find(|known| known.name == task).cloned()
        };
        match act {
            Act::Runs(wanted) => {
                self.until_seen(name, "runs", |snapshot, seen| {
                    let parts = snapshot.run.children.iter();
                    let parts = parts.filter(|child| child.pipeline_task == wanted).count();
                    let steps = task(seen, wanted).map_or_else(Vec::new, |task| task.steps);
                    let running = steps.iter().filter(|step| step.state == TaskState::Running);
                    let running = running.count();
                    (running > 0 && running >= parts).then_some(())
                })
                .await;
            }
            Act::Ended(wanted) => {
                let ended = |seen: &Observation| {
                    task(seen, wanted).is_some_and(|task| task.state.is_over())
                };
                self.until_seen(name, "has a task that ended", |_, seen| ended(seen).then_some(()))
                    .await;
            }
            Act::Over => drop(self.until_over(name).await),
            Act::Waits(on) => self.until_waits(name, on).await,
            Act::DeleteRun => self.outsider.delete(Deletion::Run(name.clone())).await,
            Act::DeleteRunAlone => self.outsider.delete(Deletion::RunAlone(name.clone())).await,
            Act::DeleteTaskRun(task) => {
                let name = task_run(task);
                let of_run = self.left_of(run).await;
                let deleted = require(of_run.into_iter().find(|t| t.name == name), "TaskRun");
                self.outsider.delete(Deletion::TaskRun(name)).await;
                self.until_seen(&run.name, "lost a TaskRun", |snapshot, _| {
                    snapshot.task_runs.iter().all(|known| known.uid != deleted.uid).then_some(())
                })
                .await;
            }
            Act::DeletePod(task) => self.outsider.delete(Deletion::PodOf(task_run(task))).await,
            Act::Stop => drop(self.stop(run).await),
            Act::Cancel(mode) => self.accept(self.tekton.cancel(name, &run.uid, mode).await),
        }
    }

    /// What the watches know of a run.
    fn tell_of(&self, name: &str) -> String {
        let Some(snapshot) = present(self.tekton.as_ref(), name) else {
            return "gone\n".to_owned();
        };
        let Observation { progress, end, wait, .. } =
            observe(&snapshot.run, &snapshot.task_runs, &Veil::none());
        let mut text = String::new();
        tell(
            &mut text,
            &match (end, wait) {
                (Some(end), _) => ended(&end),
                (None, Some(wait)) => waiting(&wait),
                (None, None) => "goes on".to_owned(),
            },
        );
        for line in progressed(&progress) {
            tell(&mut text, &line);
        }
        for skipped in &snapshot.run.skipped {
            tell(&mut text, &format!("skipped {}: {}", skipped.task, skipped.reason));
        }
        text.replace(name, "RUN")
    }

    /// What is left of a run that is gone, once nothing of it is alive.
    async fn tell_what_is_left(&self, run: &RunFacts, alone: bool) -> String {
        let deadline = Instant::now() + self.patience;
        loop {
            let left = self.left_of(run).await;
            let live: Vec<&TaskRunFacts> = left.iter().filter(|task| task.is_live()).collect();
            if left.is_empty() || alone && live.is_empty() {
                let mut text = "gone\n".to_owned();
                for task in &left {
                    let reason = task.condition.as_ref().map_or("", |c| c.reason.as_str());
                    tell(&mut text, &format!("left and stopped: {}, {reason}", task.name));
                }
                return text.replace(&run.name, "RUN");
            }
            assert!(Instant::now() < deadline, "{} left {left:?}", run.name);
            // Alone, it leaves what only a stop ends. Else its TaskRuns are gone a moment after it.
            for task in live.iter().filter(|_| alone) {
                self.accept(self.tekton.cancel_task_run(&task.name).await);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn left_of(&self, run: &RunFacts) -> Vec<TaskRunFacts> {
        let execution = require(run.execution, "execution");
        match self.tekton.task_runs(execution).await {
            Ok(left) => left,
            Err(error) => panic!("{} could not be read: {error}", run.name),
        }
    }
}

fn tell(text: &mut String, line: &str) {
    let _ = writeln!(text, "{}", line.trim_end());
}

fn ended(end: &RunEnd) -> String {
    match end {
        RunEnd::Succeeded { .. } => "succeeded".to_owned(),
        RunEnd::Cancelled { ran } => format!("cancelled, {}", kind(*ran)),
        RunEnd::Failed(failure) => failed(failure),
    }
}

const fn kind(ran: bool) -> &'static str {
    if ran { "while it ran" } else { "before anything ran" }
}

fn failed(failure: &Failure) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let code = failure.exit_code.map_or("-".to_owned(), |code| code.to_string());
    let attempt = failure.attempt.map_or("-".to_owned(), |attempt| attempt.to_string());
    let decided = failure.evidence.as_ref().map_or(String::new(), |evidence| {
        let Evidence { object, field, value } = &**evidence;
        format!("\nas {object} says: {field} = {value}")
    });
    format!(
        "failed: {}, {}, raw {}, task {}, TaskRun {}, step {}, exit code {code}, attempt {attempt}{decided}",
        failure.reason.as_str(),
        kind(failure.was_execution_failure),
        failure.raw_reason,
        text(&failure.task),
        text(&failure.task_run),
        text(&failure.step),
    )
}

fn waiting(wait: &Wait) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    format!(
        "waits: {:?}, raw {}, task {}, TaskRun {}, step {}",
        wait.on,
        wait.raw_reason,
        text(&wait.task),
        text(&wait.task_run),
        text(&wait.step)
    )
}

fn progressed(progress: &Progress) -> Vec<String> {
    let Progress { total, succeeded, failed, skipped, tasks, reason, .. } = progress;
    let mut lines = vec![format!(
        "{reason}: {succeeded} succeeded, {failed} failed, {skipped} skipped of {total}"
    )];
    for TaskProgress { name, state, attempts, steps, reason, .. } in tasks {
        let steps = steps.iter().map(|step| {
            let code = step.exit_code.map_or(String::new(), |code| format!(" {code}"));
            format!(" {} {:?}{code} {}", step.name, step.state, step.reason)
        });
        let steps: Vec<String> = steps.map(|step| step.trim_end().to_owned()).collect();
        lines.push(format!("  {name}: {state:?} {reason} x{attempts}{}", steps.join(";")));
    }
    lines
}
