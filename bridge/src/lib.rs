//! The bridge between WorkflowExecution objects and the execution service.
//!
//! It translates and decides nothing: an object becomes a `Start`, what a `Watch` tells becomes its
//! status, its deletion becomes a `Cancel`. Several copies may run at once, because everything that it
//! does may be done twice.

pub mod notes;
pub mod project;
pub mod request;

mod text;
