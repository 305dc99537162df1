//! The command-line tool `wfe`: what people use to start, follow and stop executions, and to try the
//! service without a cluster.
//!
//! Reads answers and shows them; decides nothing about executions. Commands write through a
//! [`Context`] and end with an [`Exit`], so that tests can run them like a shell does.

pub mod args;
mod audit;
mod client;
mod commands;
mod context;
mod error;
mod exit;
pub mod interrupt;
mod json;
mod local;
mod render;
mod report;
mod steps;
#[cfg(test)]
mod testing;
pub mod watch;

pub use self::{
    args::Cli,
    audit::AuditError,
    client::{Client, ServerAddress, connect},
    context::{Colour, Context, Display},
    error::Error,
    exit::Exit,
    json::JsonError,
    local::LocalError,
};

/// Runs one command line to its end. What went wrong is written to the context's error stream.
pub async fn run(cli: Cli, context: &mut Context) -> Exit {
    let global = cli.global.clone();
    match Box::pin(commands::dispatch(cli, context)).await {
        Ok(exit) => exit,
        Err(error) => {
            report::write(context, &global, &error);
            error.exit()
        }
    }
}
