//! The bridge on a real control plane: WorkflowExecutions in, their status out, with the real server and real Tekton.

mod applying;
mod bad_input;
mod crash;
mod deletion;
mod evidence;
mod finished;
mod gates;
mod lifecycle;
mod locking;
mod others;
mod outage;
mod reading;
mod record;
mod support;
