//! The client against a receiver that behaves as the real one, and both against the description.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bodies;
mod outcomes;
mod support;
