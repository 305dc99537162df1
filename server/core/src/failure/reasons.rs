//! What each reason of Tekton means. The tables are the ones in `docs/failures.md`.

use super::FailureReason;

/// What a reason rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Basis {
    /// The reason alone decides.
    Certain(FailureReason),
    /// A refusal of the API server is behind it: its words decide, and without such words this.
    Refusal(FailureReason),
    /// Something was fetched from elsewhere: not found is the workflow's fault, and not reached is
    /// nobody's.
    Resolution,
    /// The reason says that something failed; steps, or the words of the kubelet, may say more.
    Steps(FailureReason),
    /// It was stopped: what stopped it decides.
    Stopped,
    /// Time ran out: what it waited for decides, when it waited.
    TimeOut,
    /// It does not count as a failure.
    Ignored,
}

impl Basis {
    /// What it means by itself, whatever is said beside it.
    pub(super) const fn certain(self) -> Option<FailureReason> {
        match self {
            Self::Certain(reason) => Some(reason),
            Self::Refusal(_)
            | Self::Resolution
            | Self::Steps(_)
            | Self::Stopped
            | Self::TimeOut
            | Self::Ignored => None,
        }
    }
}

use Basis::{Certain, Ignored, Refusal, Resolution, Steps, Stopped, TimeOut};
use FailureReason::{
    ConfigurationError, Forbidden, ImagePullBackOff, OomKilled, ResourceExhausted, TaskFailed,
    Unknown,
};

/// Reasons of a TaskRun that failed, in Tekton 1.9 to 1.15.
pub const TASK_RUN: &[(&str, Basis)] = &[
    ("StepFailed", Steps(TaskFailed)),
    ("StepOOM", Certain(OomKilled)),
    ("SidecarFailed", Certain(TaskFailed)),
    ("SidecarOOM", Certain(OomKilled)),
    ("InitContainerFailed", Certain(Unknown)),
    ("InitContainerOOM", Certain(OomKilled)),
    ("PodEvicted", Certain(ResourceExhausted)),
    ("Failed", Steps(Unknown)),
    ("FailureIgnored", Ignored),
    ("TaskRunImagePullFailed", Certain(ImagePullBackOff)),
    ("PullImageFailed", Certain(ImagePullBackOff)),
    ("CreateContainerConfigError", Certain(ConfigurationError)),
    ("PodCreationFailed", Refusal(ConfigurationError)),
    ("PodAdmissionFailed", Certain(Forbidden)),
    ("TaskRunCancelled", Stopped),
    ("TaskRunTimeout", TimeOut),
    ("ExceededResourceQuota", Certain(ResourceExhausted)),
    ("ExceededNodeResources", Certain(ResourceExhausted)),
    ("TaskRunResolutionFailed", Resolution),
    ("TaskRunValidationFailed", Certain(ConfigurationError)),
    ("TaskValidationFailed", Certain(ConfigurationError)),
    ("InvalidParamValue", Certain(ConfigurationError)),
    ("ResourceVerificationFailed", Certain(ConfigurationError)),
    ("CouldntCreateWorkspacePVC", Refusal(Unknown)),
    ("TaskRunResultLargerThanAllowedLimit", Certain(ConfigurationError)),
    ("TaskRunStopSidecarFailed", Certain(Unknown)),
];

/// Reasons of a PipelineRun that failed, in Tekton 1.9 to 1.15, for when none of its TaskRuns says why.
pub const PIPELINE_RUN: &[(&str, Basis)] = &[
    ("Failed", Steps(Unknown)),
    ("PipelineRunTimeout", TimeOut),
    ("CouldntGetPipeline", Resolution),
    ("CouldntGetTask", Resolution),
    ("PipelineValidationFailed", Certain(ConfigurationError)),
    ("PipelineInvalidGraph", Certain(ConfigurationError)),
    ("ParameterMissing", Certain(ConfigurationError)),
    ("ParameterTypeMismatch", Certain(ConfigurationError)),
    ("ObjectParameterMissKeys", Certain(ConfigurationError)),
    ("ParamArrayIndexingInvalid", Certain(ConfigurationError)),
    ("InvalidParamValue", Certain(ConfigurationError)),
    ("InvalidWorkspaceBindings", Certain(ConfigurationError)),
    ("InvalidTaskRunSpecs", Certain(ConfigurationError)),
    ("InvalidTaskResultReference", Certain(ConfigurationError)),
    ("InvalidPipelineResultReference", Certain(ConfigurationError)),
    ("RequiredWorkspaceMarkedOptional", Certain(ConfigurationError)),
    ("InvalidMatrixParameterTypes", Certain(ConfigurationError)),
    ("CELEvaluationFailed", Certain(ConfigurationError)),
    ("ResourceVerificationFailed", Certain(ConfigurationError)),
    ("CouldntGetPipelineResult", Certain(ConfigurationError)),
    ("CreateRunFailed", Refusal(ConfigurationError)),
    ("CouldntCreateWorkspacePVC", Refusal(Unknown)),
    ("ReasonCouldntCreateOrUpdateAffinityAssistantStatefulSet", Refusal(Unknown)),
];

/// What `reason` rests on; one that nobody knows decides nothing.
pub(super) fn basis(table: &[(&str, Basis)], reason: &str) -> Basis {
    table.iter().find(|(known, _)| *known == reason).map_or(Steps(Unknown), |(_, basis)| *basis)
}

/// Whether `reason` is Tekton's own of a TaskRun: it writes it also into steps that it gives up, with an
/// exit code that no container had.
pub(crate) fn is_of_task_run(reason: &str) -> bool {
    TASK_RUN.iter().any(|(known, _)| *known == reason)
}
