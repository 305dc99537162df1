//! The gRPC execution service: the shell around [`wfe_core`].
//!
//! A reader's order: [`service`] (one file per call), [`store`] and [`tekton`] (what it stands on),
//! [`reconcile`] (what goes on after a call was answered), [`audit`] (proof of what happened), [`vault`]
//! (how sensitive values are kept), [`auth`] (who calls, and what they may do),
//! [`grpc`] (the door), [`config`] and [`server`] (how it is put together).

pub mod audit;
pub mod auth;
pub mod clock;
pub mod config;
pub mod delivery;
pub mod error;
pub mod grpc;
pub mod http;
pub mod ledger;
pub mod metrics;
pub mod notify;
pub mod reconcile;
pub mod server;
pub mod service;
#[cfg(test)]
mod simulation;
pub mod store;
pub mod tekton;
#[cfg(test)]
mod testing;
pub mod vault;

pub use config::Config;
pub use server::Server;
