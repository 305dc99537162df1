//! The service over an in-memory transport: real store, real reconciler, simulated Tekton.

mod bad_input;
mod cancel;
mod locking;
mod queries;
mod requests;
mod restart;
mod support;
mod trouble;
mod watch;
