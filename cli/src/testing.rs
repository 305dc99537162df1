//! What the tests of this crate share: messages, a scripted service, and a shell for the commands.

pub(crate) mod messages;
pub(crate) mod service;
pub(crate) mod shell;
