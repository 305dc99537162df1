//! The bridge on a real control plane: WorkflowExecutions in, their status out, with the real server and real Tekton.

mod applying;
mod bad_input;
mod lifecycle;
mod reading;
mod support;
