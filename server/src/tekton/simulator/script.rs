//! What a simulated workflow does: chosen by the name of its bundle, or by its steps.

use wfe_core::workflow::{InlineWorkflow, Workflow};

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
    /// Its pipeline does not take what it is given, and Tekton says so with this reason.
    Unfit(&'static str),
    /// Its tasks run.
    Runs(Graph),
}

impl Fate {
    /// The fate of a workflow.
    pub(super) fn of(workflow: &Workflow) -> Self {
        match workflow {
            Workflow::Bundle(bundle) => Self::of_bundle(&bundle.pinned_reference()),
            Workflow::Inline(inline) => Self::of_steps(inline),
        }
    }

    /// The steps in their order, each with what its image says.
    fn of_steps(inline: &InlineWorkflow) -> Self {
        let tasks = inline.steps().iter().zip(inline.run_after()).map(|(step, after)| {
            let name = repository_name(&step.image).replace('_', "-");
            let outcome = match name.as_str() {
                "retry-succeeds" => Outcome::FailsFirst(1),
                name => outcome(name).unwrap_or(Outcome::Succeeds),
            };
            Task::new(&step.name).after(&after).ends(outcome).retries(step.retries)
        });
        Self::Runs(Graph::new(tasks))
    }

    /// The fate of a bundle: the last segment of its repository, in hyphens or underscores. A name
    /// that is not known succeeds.
    pub(super) fn of_bundle(reference: &str) -> Self {
        let first_and = |a: Task, b: Task| Self::Runs(Graph::new([a, b.after(&["a"])]));
        match repository_name(reference).replace('_', "-").as_str() {
            "three-tasks-in-order" | "second-takes-a-while" | "third-takes-a-while" => {
                Self::Runs(Graph::new([
                    Task::new("a"),
                    Task::new("b").after(&["a"]),
                    Task::new("c").after(&["b"]),
                ]))
            }
            "takes-a-while" => first_and(Task::new("a"), Task::new("b")),
            "second-image-missing" => {
                first_and(Task::new("a"), Task::new("b").ends(Outcome::ImagePull))
            }
            "second-never-ends" => {
                first_and(Task::new("a"), Task::new("b").ends(Outcome::NeverEnds))
            }
            "failure-ignored" => {
                first_and(Task::new("a").ends(Outcome::FailsUnheeded), Task::new("b"))
            }
            "task-timeout" => first_and(Task::new("a").ends(Outcome::TakesTooLong), Task::new("b")),
            "when-skipped" => Self::Runs(Graph::new([
                Task::new("a"),
                Task::new("b").after(&["a"]).left_out(),
                Task::new("c").after(&["b"]),
            ])),
            "matrix" => Self::Runs(Graph::new(
                Task::new("a").matrix(3).chain([Task::new("b").after(&["a"])]),
            )),
            "matrix-fails" => Self::Runs(Graph::new(
                Task::new("a").ends(Outcome::Fails).matrix(1).chain([Task::new("b").after(&["a"])]),
            )),
            "matrix-never-ends" => Self::Runs(Graph::new(
                Task::new("a")
                    .ends(Outcome::NeverEnds)
                    .matrix(2)
                    .chain(Task::new("b").after(&["a"]).matrix(2)),
            )),
            "needs-a-parameter" => Self::Unfit("ParameterMissing"),
            "wants-a-list" => Self::Unfit("ParameterTypeMismatch"),
            "finally-runs" | "takes-a-while-and-finally" => Self::Runs(Graph::new([
                Task::new("a"),
                Task::new("b").after(&["a"]),
                Task::new("report").finally(),
            ])),
            "finally-after-failure" | "fails-late-and-finally" => Self::Runs(Graph::new([
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
            "never-ends-and-finally-fails" => Self::Runs(Graph::new([
                Task::new("a").ends(Outcome::NeverEnds),
                Task::new("report").finally().ends(Outcome::Fails),
            ])),
            "waits-and-finally" => Self::Runs(Graph::new([
                Task::new("a").ends(Outcome::Waits(Obstacle::Image)),
                Task::new("report").finally(),
            ])),
            "finally-takes-a-while" => {
                Self::Runs(Graph::new([Task::new("a"), Task::new("report").finally()]))
            }
            "never-ends-with-retries" => {
                Self::Runs(Graph::new([Task::new("a").ends(Outcome::NeverEnds).retries(2)]))
            }
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
            name => Self::Runs(Graph::one(outcome(name).unwrap_or(Outcome::Succeeds))),
        }
    }

    /// The tasks; `None` of a workflow that never comes so far.
    pub(super) const fn graph(&self) -> Option<&Graph> {
        match self {
            Self::Missing
            | Self::NeverResolved
            | Self::Denied
            | Self::WrongParameters
            | Self::Unfit(_) => None,
            Self::Runs(graph) => Some(graph),
        }
    }
}

/// What becomes of the one task of a bundle, or of a step, of this name.
fn outcome(name: &str) -> Option<Outcome> {
    Some(match name {
        "evicted" => Outcome::Evicted,
        "container-config" => Outcome::ContainerConfig,
        "step-exits-1" => Outcome::Fails,
        "oom-killed" => Outcome::OutOfMemory,
        "image-cannot-be-pulled" => Outcome::ImagePull,
        "never-ends" => Outcome::NeverEnds,
        "image-never-comes" => Outcome::Waits(Obstacle::Image),
        "no-node-has-room" => Outcome::Waits(Obstacle::Node),
        "quota-has-no-room" => Outcome::Waits(Obstacle::Quota),
        "volume-never-comes" => Outcome::Waits(Obstacle::Volume),
        _ => return None,
    })
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
