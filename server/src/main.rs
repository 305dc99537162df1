//! The server process: settings, log, server, signals, exit code.

use std::process::ExitCode;

use clap::Parser as _;
use wfe_runtime::process::{Failed, exit_code};
use wfe_server::{
    config::{Args, Config},
    process,
};

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let done = match Config::load(&args) {
        Ok(config) if args.print_config => process::print_config(&config),
        Ok(config) => process::serve(config).await,
        Err(error) => Err(Failed::to_start(&error)),
    };
    exit_code("wfe-server", done)
}
