//! What a simulated workflow does: chosen by the name of its bundle.

use super::graph::{Graph, Obstacle, Outcome, Task};

/// A workflow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// The bundle cannot be found.
    Missing,
    /// Nobody ever says whether the bundle can be found.
    NeverResolved,
    /// No run is created: the API server refuses it, and repeats its parameters.
    Denied,
    /// Tekton does not take the parameters, and repeats them.
    WrongParameters,
    /// Its tasks run.
    Runs(Graph),
}

impl Fate {
    /// The fate of a bundle: the last segment of its repository, in hyphens or underscores. A name
    /// that is not known succeeds.
    pub(super) fn of_bundle(reference: &str) -> Self {
        let one = |outcome| Self::Runs(Graph::one(outcome));
        match repository_name(reference).replace('_', "-").as_str() {
            "three-tasks-in-order" => Self::Runs(Graph::new([
                Task::new("a"),
                Task::new("b").after(&["a"]),
                Task::new("c").after(&["b"]),
            ])),
            "step-exits-1" => one(Outcome::Fails),
            "oom-killed" => one(Outcome::OutOfMemory),
            "image-cannot-be-pulled" => one(Outcome::ImagePull),
            "never-ends" => one(Outcome::NeverEnds),
            "image-never-comes" => one(Outcome::Waits(Obstacle::Image)),
            "no-node-has-room" => one(Outcome::Waits(Obstacle::Node)),
            "quota-has-no-room" => one(Outcome::Waits(Obstacle::Quota)),
            "finally-runs" => Self::Runs(Graph::new([
                Task::new("a"),
                Task::new("b").after(&["a"]),
                Task::new("report").finally(),
            ])),
            "finally-after-failure" => Self::Runs(Graph::new([
                Task::new("a").ends(Outcome::Fails),
                Task::new("b").after(&["a"]),
                Task::new("report").finally(),
            ])),
            "finally-fails" => Self::Runs(Graph::new([
                Task::new("a"),
                Task::new("report").finally().ends(Outcome::Fails),
            ])),
            "never-ends-and-finally" => Self::Runs(Graph::new([
                Task::new("a").ends(Outcome::NeverEnds),
                Task::new("b").after(&["a"]),
                Task::new("report").finally(),
            ])),
            "finally-never-ends" => Self::Runs(Graph::new([
                Task::new("a").ends(Outcome::NeverEnds),
                Task::new("report").finally().ends(Outcome::NeverEnds),
            ])),
            "retry-succeeds" => {
                Self::Runs(Graph::new([Task::new("a").ends(Outcome::FailsFirst(1)).retries(2)]))
            }
            "retries-exhausted" => {
                Self::Runs(Graph::new([Task::new("a").ends(Outcome::Fails).retries(2)]))
            }
            "never-resolved" => Self::NeverResolved,
            "missing" => Self::Missing,
            "denied" => Self::Denied,
            "wrong-parameters" => Self::WrongParameters,
            _ => one(Outcome::Succeeds),
        }
    }

    /// The tasks; `None` of a workflow that never comes so far.
    pub(super) const fn graph(&self) -> Option<&Graph> {
        match self {
            Self::Missing | Self::NeverResolved | Self::Denied | Self::WrongParameters => None,
            Self::Runs(graph) => Some(graph),
        }
    }
}

/// The last segment of a reference's repository: `restart` of `registry:5000/wfe/restart:v1@sha256:…`.
fn repository_name(reference: &str) -> &str {
    let without_digest = reference.split('@').next().unwrap_or_default();
    let last = without_digest.rsplit('/').next().unwrap_or_default();
    last.split(':').next().unwrap_or_default()
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
            let expected = Fate::Runs(Graph::one(Outcome::OutOfMemory));
            assert_eq!(Fate::of_bundle(&reference), expected, "{reference}");
        }
        assert_eq!(Fate::of_bundle("registry.example/missing:v1"), Fate::Missing);
        assert_eq!(
            Fate::of_bundle("registry.example/oom-killed/restart:v1"),
            Fate::Runs(Graph::one(Outcome::Succeeds))
        );
    }
}
