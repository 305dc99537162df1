//! Following an execution or the log: the stream with its resumption, and the ways to show it.

mod follow;
mod live;
mod position;
mod show;
mod wide;

pub use self::{
    follow::{Contact, Follow, Patience, Subject, Update, follow},
    position::Place,
};
pub(crate) use self::{
    show::{End, Shown, show},
    wide::show_log,
};

#[cfg(test)]
mod tests;
