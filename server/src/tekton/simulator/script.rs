//! What a simulated workflow does: chosen by the name of its bundle.

use std::time::Duration;

/// A workflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// The bundle cannot be found.
    Missing,
    /// Nobody ever says whether the bundle can be found.
    NeverResolved,
    /// No run is created: the API server refuses it, and repeats its parameters.
    Denied,
    /// Tekton does not take the parameters, and repeats them.
    WrongParameters,
    /// Its tasks run one after the other; the last one ends like this.
    Tasks(&'static [&'static str], Outcome),
}

/// How a task ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Its step exits with 0.
    Succeeds,
    /// Its step exits with 1.
    Fails,
    /// Its step is killed for lack of memory.
    OutOfMemory,
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
}

/// Name of the one step that every simulated task has.
pub(super) const STEP: &str = "main";

impl Fate {
    /// The fate of a bundle: the last segment of its repository, in hyphens or underscores. A name
    /// that is not known succeeds.
    pub(super) fn of_bundle(reference: &str) -> Self {
        match repository_name(reference).replace('_', "-").as_str() {
            "three-tasks-in-order" => Self::Tasks(&["a", "b", "c"], Outcome::Succeeds),
            "step-exits-1" => Self::Tasks(&["main"], Outcome::Fails),
            "oom-killed" => Self::Tasks(&["main"], Outcome::OutOfMemory),
            "image-cannot-be-pulled" => Self::Tasks(&["main"], Outcome::ImagePull),
            "never-ends" => Self::Tasks(&["main"], Outcome::NeverEnds),
            "image-never-comes" => Self::Tasks(&["main"], Outcome::Waits(Obstacle::Image)),
            "no-node-has-room" => Self::Tasks(&["main"], Outcome::Waits(Obstacle::Node)),
            "quota-has-no-room" => Self::Tasks(&["main"], Outcome::Waits(Obstacle::Quota)),
            "never-resolved" => Self::NeverResolved,
            "missing" => Self::Missing,
            "denied" => Self::Denied,
            "wrong-parameters" => Self::WrongParameters,
            _ => Self::Tasks(&["main"], Outcome::Succeeds),
        }
    }

    /// Names of the tasks, in order.
    pub(super) const fn tasks(self) -> &'static [&'static str] {
        match self {
            Self::Missing | Self::NeverResolved | Self::Denied | Self::WrongParameters => &[],
            Self::Tasks(names, _) => names,
        }
    }

    /// How the task at `index` ends.
    pub(super) const fn outcome(self, index: usize) -> Outcome {
        match self {
            Self::Tasks(names, last) if index + 1 >= names.len() => last,
            Self::Tasks(..)
            | Self::Missing
            | Self::NeverResolved
            | Self::Denied
            | Self::WrongParameters => Outcome::Succeeds,
        }
    }
}

/// The last segment of a reference's repository: `restart` of `registry:5000/wfe/restart:v1@sha256:…`.
fn repository_name(reference: &str) -> &str {
    let without_digest = reference.split('@').next().unwrap_or_default();
    let last = without_digest.rsplit('/').next().unwrap_or_default();
    last.split(':').next().unwrap_or_default()
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
    fn the_last_segment_of_the_repository_chooses_the_fate() {
        let digest = format!("sha256:{}", "0".repeat(64));
        for reference in [
            "127.0.0.1:5000/wfe/oom-killed:v1".to_owned(),
            "registry.example/wfe/oom_killed".to_owned(),
            format!("registry.example/a/b/oom-killed@{digest}"),
            format!("registry.example:5000/oom-killed:v1@{digest}"),
        ] {
            assert_eq!(
                Fate::of_bundle(&reference),
                Fate::Tasks(&["main"], Outcome::OutOfMemory),
                "{reference}"
            );
        }
        assert_eq!(Fate::of_bundle("registry.example/missing:v1"), Fate::Missing);
        assert_eq!(
            Fate::of_bundle("registry.example/oom-killed/restart:v1"),
            Fate::Tasks(&["main"], Outcome::Succeeds)
        );
    }

    #[test]
    fn only_the_last_task_has_the_outcome() {
        let fate = Fate::Tasks(&["a", "b"], Outcome::Fails);
        assert_eq!((fate.outcome(0), fate.outcome(1)), (Outcome::Succeeds, Outcome::Fails));
    }
}
