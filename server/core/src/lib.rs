//! The decisions of the execution service.
//!
//! Everything here is a function of its arguments: no clock, no randomness, no I/O. The server loads
//! what is stored, calls a function of this crate, and writes what it answers in one transaction.
//!
//! A reader's order: [`execution`] (what there is), [`transition`] (how it moves), [`lock`] and
//! [`gates`] (what may hold it), [`admit`] (who may run on a target), [`start`], [`withdraw`], [`settle`]
//! and [`clear`] (the decisions that a transaction takes), [`observe`] and [`failure`] (what a run tells),
//! [`access`] (which right a call needs), [`audit`] (what goes on record).

pub mod access;
pub mod actor;
pub mod admit;
pub mod audit;
pub mod clear;
pub mod event;
pub mod execution;
pub mod facts;
pub mod failure;
pub mod gates;
pub mod ids;
pub mod invalid;
pub mod lock;
pub mod observe;
pub mod parameter;
pub mod progress;
pub mod request;
pub mod settle;
pub mod start;
pub mod stuck;
pub mod target;
pub mod text;
pub mod transition;
pub mod veil;
pub mod withdraw;
pub mod workflow;

#[cfg(test)]
mod testing;
