//! Proof of the log through the real thing: a server, its database, its exports, and what somebody does
//! to them who can write the disk.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod export;
mod keys;
mod support;
mod swap;
mod tamper;
