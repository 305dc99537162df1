//! `WorkflowExecution` of `kubernaut.ai/v1alpha1`: the resource by which people ask for the run of a
//! workflow, and read what became of it.
//!
//! Its fields are those that the platform's other services know, by the same names and types; the few
//! that were added say so. The schema refuses what no service could ever accept and decides nothing
//! else. Reading is lenient: what an earlier, laxer schema let in must still be read, so that one old
//! object cannot hide the others.

mod limits;
mod open_enum;
mod schema;
mod spec;
mod status;

pub use limits::*;
pub use schema::crd;
pub use spec::{
    ConfigMapDependency, Dependencies, SecretDependency, WorkflowExecution, WorkflowExecutionSpec,
    WorkflowRef,
};
pub use status::{
    BlockClearance, BlockClearanceRequest, CancelRequest, ClearMethod, ConditionStatus,
    ExecutionStatus, FailureDetails, FailureReason, Phase, Requester, WorkflowExecutionStatus,
};

#[cfg(test)]
mod tests;
