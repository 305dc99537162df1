//! What is due in the simulated cluster.

use super::super::{super::RunRequest, graph::Obstacle, words::StopCause};

/// Something that is due.
#[derive(Debug)]
pub(super) enum Due {
    Arrive(Box<RunRequest>),
    /// A move of the run with this name and UID.
    Move(String, String, Move),
}

/// What a run does next.
#[derive(Debug, Clone, Copy)]
pub(super) enum Move {
    Resolving,
    Resolved,
    Reconcile,
    /// Does what it was asked: stops, now or in order.
    Stop,
    TimeOutRun,
    Task(Attempt, TaskMove),
}

/// One attempt of a task.
#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt {
    /// Its place in the graph.
    pub(super) task: usize,
    /// See [`super::TaskRun`].
    pub(super) serial: u64,
}

/// What happens to an attempt next.
#[derive(Debug, Clone, Copy)]
pub(super) enum TaskMove {
    Pending,
    Running,
    Pulling,
    Waits(Obstacle),
    Ended,
    Stopped(StopCause),
}
