//! What a simulated pipeline consists of: its tasks, their order, and what becomes of each.

use std::time::Duration;

pub(super) use crate::tekton::STEP;

/// The tasks of a pipeline: those in order first, then the finally tasks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Graph {
    tasks: Vec<Task>,
}

/// A task of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Task {
    pub(super) name: String,
    /// Which one this is of the combinations of a matrix, each of which is a TaskRun of its own.
    combination: Option<u32>,
    /// The tasks that have to end well before.
    after: Vec<String>,
    /// Whether it runs at the end, whatever became of the others.
    is_finally: bool,
    pub(super) outcome: Outcome,
    /// How many times it is tried again when it fails.
    pub(super) retries: u32,
    /// Whether its conditions never hold, so that it is left out.
    pub(super) is_left_out: bool,
}

/// What becomes of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Its step exits with 0.
    Succeeds,
    /// Its step exits with 1.
    Fails,
    /// Its step exits with 1 in this many attempts, then with 0.
    FailsFirst(u32),
    /// Its step exits with 1, and the others go on as if it had not.
    FailsUnheeded,
    /// Its step is killed for lack of memory.
    OutOfMemory,
    /// The node puts its pod out.
    Evicted,
    /// Its container cannot be made from its definition.
    ContainerConfig,
    /// Its step runs for longer than the task may take.
    TakesTooLong,
    /// The image of its step cannot be pulled.
    ImagePull,
    /// It runs until it is stopped.
    NeverEnds,
    /// It never starts, and Tekton never gives it up.
    Waits(Obstacle),
}

/// Why a task never starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// The kubelet tries to pull its image for ever.
    Image,
    /// No node has room for its pod.
    Node,
    /// A quota has no room for its pod.
    Quota,
    /// Its container cannot be made. This does not last.
    Config,
    /// The node does not get the volumes of its pod.
    Volume,
}

impl Task {
    /// A task that succeeds, and waits for no other.
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            combination: None,
            after: Vec::new(),
            is_finally: false,
            outcome: Outcome::Succeeds,
            retries: 0,
            is_left_out: false,
        }
    }

    /// A task with a matrix of so many combinations, all of which end alike. Tekton numbers the TaskRuns when
    /// there are several.
    pub(super) fn matrix(self, combinations: u32) -> impl Iterator<Item = Self> {
        (0..combinations).map(move |n| {
            let combination = (combinations > 1).then_some(n);
            Self { combination, ..self.clone() }
        })
    }

    /// The name of its TaskRun.
    pub(super) fn task_run(&self, run: &str) -> String {
        match self.combination {
            Some(n) => format!("{run}-{}-{n}", self.name),
            None => format!("{run}-{}", self.name),
        }
    }

    pub(super) fn after(self, names: &[&str]) -> Self {
        Self { after: names.iter().map(ToString::to_string).collect(), ..self }
    }

    pub(super) fn ends(self, outcome: Outcome) -> Self {
        Self { outcome, ..self }
    }

    pub(super) fn retries(self, retries: u32) -> Self {
        Self { retries, ..self }
    }

    pub(super) fn left_out(self) -> Self {
        Self { is_left_out: true, ..self }
    }

    pub(super) fn finally(self) -> Self {
        Self { is_finally: true, ..self }
    }
}

impl Graph {
    /// Finally tasks go to the end, as in Tekton's own lists.
    pub(super) fn new(tasks: impl IntoIterator<Item = Task>) -> Self {
        let mut tasks: Vec<Task> = tasks.into_iter().collect();
        tasks.sort_by_key(|task| task.is_finally);
        Self { tasks }
    }

    /// One task, called as the one step of every task is.
    pub(super) fn one(outcome: Outcome) -> Self {
        Self::new([Task::new(STEP).ends(outcome)])
    }

    pub(super) fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    /// The names of the tasks, each once.
    pub(super) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.tasks.iter().map(|task| task.name.clone()).collect();
        names.dedup();
        names
    }

    /// Whether the conditions of the task at `index` never hold.
    pub(super) fn is_left_out(&self, index: usize) -> bool {
        self.tasks.get(index).is_some_and(|task| task.is_left_out)
    }

    /// Whether the task at `index` runs at the end, whatever became of the others.
    pub(super) fn is_finally(&self, index: usize) -> bool {
        self.tasks.get(index).is_some_and(|task| task.is_finally)
    }

    /// The tasks that have to end well before the one at `index`.
    pub(super) fn before(&self, index: usize) -> impl Iterator<Item = usize> {
        let after = self.tasks.get(index).map_or(&[][..], |task| &task.after);
        let tasks = self.tasks.iter().enumerate();
        tasks.filter(|(_, task)| after.contains(&task.name)).map(|(index, _)| index)
    }
}

impl Outcome {
    /// What becomes of this attempt, counted from 0: of one that fails at first, its end.
    pub(super) const fn of_attempt(self, attempt: u32) -> Self {
        match self {
            Self::FailsFirst(times) if attempt < times => Self::Fails,
            Self::FailsFirst(_) => Self::Succeeds,
            Self::Succeeds
            | Self::Fails
            | Self::FailsUnheeded
            | Self::OutOfMemory
            | Self::Evicted
            | Self::ContainerConfig
            | Self::TakesTooLong
            | Self::ImagePull
            | Self::NeverEnds
            | Self::Waits(_) => self,
        }
    }
}

/// How long the parts of a run take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// From the creation of a TaskRun to its end.
    pub(super) task: Duration,
}

impl Pace {
    /// What a controller or a kubelet needs to notice something.
    pub(super) fn lag(self) -> Duration {
        self.task / 20
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finally_tasks_come_last_and_order_is_by_name() {
        let graph = Graph::new([
            Task::new("report").finally(),
            Task::new("b").after(&["a"]),
            Task::new("a"),
        ]);
        let names: Vec<&str> = graph.tasks().iter().map(|task| task.name.as_str()).collect();
        assert_eq!(names, ["b", "a", "report"]);
        assert_eq!(graph.before(0).collect::<Vec<_>>(), [1]);
        assert!(graph.is_finally(2) && !graph.is_finally(1));
    }

    #[test]
    fn a_matrix_is_one_task_with_a_task_run_for_each_combination() {
        let tasks = Task::new("a").matrix(2).chain([Task::new("b").after(&["a"])]);
        let graph = Graph::new(tasks);
        assert_eq!(graph.names(), ["a", "b"]);
        let task_runs: Vec<String> =
            graph.tasks().iter().map(|task| task.task_run("run")).collect();
        assert_eq!(task_runs, ["run-a-0", "run-a-1", "run-b"]);
        assert_eq!(graph.before(2).collect::<Vec<_>>(), [0, 1]);
    }

    #[test]
    fn a_task_that_fails_at_first_succeeds_after_that() {
        let outcomes: Vec<Outcome> =
            (0..3).map(|attempt| Outcome::FailsFirst(2).of_attempt(attempt)).collect();
        assert_eq!(outcomes, [Outcome::Fails, Outcome::Fails, Outcome::Succeeds]);
    }
}
