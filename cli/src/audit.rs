//! What the commands about the record share: the files that they read, and the evidence that they put
//! together. Verifies by `wfe-audit`, and asks no server.

mod error;
pub(crate) mod evidence;
pub(crate) mod input;
pub(crate) mod words;

pub use error::AuditError;
