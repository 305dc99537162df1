//! The server process: settings, log, server, signals, exit code.

use std::process::ExitCode;

use clap::Parser as _;
use wfe_runtime::process::{Failed, exit_code, print_settings, serve};
use wfe_server::{
    Server,
    config::{Args, Config},
};

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let done = match Config::load(&args) {
        Ok(config) if args.print_config => print_settings(&config),
        Ok(config) => Box::pin(serve(&config.log.clone(), Server::start(config))).await,
        Err(error) => Err(Failed::to_start(&error)),
    };
    exit_code("wfe-server", done)
}
