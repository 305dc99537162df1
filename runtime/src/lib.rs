//! What every process of the service needs around its work.
//!
//! Mechanisms only: nothing here knows what an execution is. [`cluster`] talks to an API server,
//! [`settings`] and [`log`] begin a process, [`process`] and [`http`] keep it in order,
//! [`tls`] and [`grpc`] are for those who serve and those who call, [`text`] for those who show.

pub mod clock;
pub mod cluster;
pub mod error;
pub mod grpc;
pub mod http;
pub mod log;
pub mod process;
pub mod settings;
pub mod text;
pub mod tls;
