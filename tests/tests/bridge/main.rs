//! The bridge on a real control plane: WorkflowExecutions in, their status out, with the real server and real Tekton.

mod crash;
mod lifecycle;
mod outage;
mod record;
mod support;
