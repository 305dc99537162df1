//! The bridge on a real control plane: WorkflowExecutions in, their status out, with the real server and real Tekton.

mod deletion;
mod finished;
mod lifecycle;
mod locking;
mod others;
mod support;
