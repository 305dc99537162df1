//! Kubernetes types: the `WorkflowExecution` resource, the fields of Tekton's objects that are read and
//! written, and the names that this project gives to labels, annotations and field managers.

pub mod names;
pub mod tekton;
pub mod workflow_execution;
