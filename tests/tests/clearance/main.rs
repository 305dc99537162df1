//! What people ask for in the status of a WorkflowExecution, through the bridge's webhook: a real API server calls it, the
//! real server carries it out.

mod cascade;
mod clearing;
mod refused;
mod support;
