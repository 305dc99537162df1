//! The bridge process: settings, log, bridge, signals, exit code.

use std::process::ExitCode;

use clap::Parser as _;
use wfe_bridge::{
    config::{Args, Config},
    process,
};
use wfe_runtime::process::{Failed, exit_code};

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let done = match Config::load(&args) {
        Ok(config) if args.print_config => process::print_config(&config),
        Ok(config) => process::serve(config).await,
        Err(error) => Err(Failed::to_start(&error)),
    };
    exit_code("wfe-bridge", done)
}
