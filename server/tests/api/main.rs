//! The service over an in-memory transport: real store, real reconciler, simulated Tekton.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod access;
mod bad_input;
mod cancel;
mod cancel_modes;
mod follow;
mod gates;
mod guarded;
mod locking;
mod queries;
mod requests;
mod restart;
mod stuck;
mod support;
mod tries;
mod trouble;
mod watch;
mod withdraw;
