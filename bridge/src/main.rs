//! The bridge process: settings, log, bridge, signals, exit code.

use std::process::ExitCode;

use clap::Parser as _;
use wfe_bridge::{
    Bridge,
    config::{Args, Config},
};
use wfe_runtime::process::{Failed, exit_code, print_settings, serve};

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let done = match Config::load(&args) {
        Ok(config) if args.print_config => print_settings(&config),
        Ok(config) => Box::pin(serve(&config.log.clone(), Bridge::start(config))).await,
        Err(error) => Err(Failed::to_start(&error)),
    };
    exit_code("wfe-bridge", done)
}
