//! The bridge between WorkflowExecution objects and the execution service.
//!
//! It translates and decides nothing: an object becomes a `Start`, what a `Watch` tells becomes its
//! status, its deletion becomes a `Cancel`. Several copies may run at once, because everything that it
//! does may be done twice.
//!
//! A reader's order: [`decide`] (what to do next), [`request`], [`project`] and [`notes`] (the three
//! translations), [`follow`] (one object's follower), [`desk`] (who is followed), [`link`] and
//! [`cluster`] (whom it talks to), [`webhook`] and [`seal`] (what people ask for), [`config`] and [`bridge`] (how it is put together).

pub mod bridge;
pub mod cluster;
pub mod config;
pub mod decide;
pub mod desk;
pub mod follow;
pub mod link;
mod listen;
pub mod metrics;
pub mod notes;
pub mod object;
pub mod probes;
pub mod project;
pub mod request;
pub mod seal;
mod text;
pub mod webhook;

pub use bridge::Bridge;
pub use config::Config;
