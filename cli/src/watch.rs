//! Following an execution: the stream with its resumption, and the three ways to show it.

mod follow;
mod live;
mod position;
mod show;

pub use self::follow::{Contact, Follow, Patience, Update, follow};
pub(crate) use self::show::{End, Shown, show};

#[cfg(test)]
mod tests;
