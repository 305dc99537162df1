//! Proof of the audit log: what makes it impossible to alter unseen, and what sees it.
//!
//! Owns the keys, the signed checkpoints, the form of an export and its verification. Reads and writes
//! text; knows no clock, no files, no network and no database. Randomness is an argument.
//!
//! A reader's order: [`key`], [`checkpoint`], [`export`], [`verify`].

pub mod checkpoint;
pub mod export;
pub mod key;
#[cfg(any(test, feature = "test-util"))]
pub mod testing;
pub mod verify;
