//! TLS: what a server shows, who a client is, and how both change while the process runs.
//!
//! [`ServerCertificate`] is what a listener shows; [`keep_files`] and [`SelfSigned`] keep it current,
//! from files or from a Secret. [`TlsListener`] makes connections of it. [`ClientFiles`] connects
//! a client. Nothing here knows what is served.

mod certificate;
mod client;
mod facts;
mod files;
mod issue;
mod listener;
mod secret;

pub use certificate::{MaterialError, Protocols, ServerCertificate, ServerMaterial};
pub use client::{ClientFiles, ClientIdentity};
pub use facts::{Facts, UnreadableCertificate};
pub use files::{FileError, ServerFiles, Watched, keep_files};
pub use issue::{CA_LIFETIME, IssueError, LIFETIME};
pub use listener::{TlsConnection, TlsListener};
pub use secret::{InvalidSecretName, Kept, SecretError, SecretName, SelfSigned};

#[cfg(any(test, feature = "test-util"))]
pub mod testing;
