//! The `wfe` command: reads the command line, runs it, and ends with its exit code.

use std::process::ExitCode;

use clap::Parser as _;
use wfe::{Cli, Context};

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut context = Context::of_this_process();
    let interrupt = context.interrupt.clone();
    tokio::spawn(async move {
        wfe::interrupt::asked().await;
        interrupt.cancel();
        // Who asks a second time does not want to wait for an orderly end.
        wfe::interrupt::asked().await;
        std::process::exit(wfe::Exit::Interrupted.code().into());
    });
    wfe::run(cli, &mut context).await.into()
}
