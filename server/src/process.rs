//! What a server process does around the server: signals, and what it says when it cannot go on.

use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use crate::{config::Config, error::chain, server::Server, telemetry};

/// Why a process ends with an error.
#[derive(Debug)]
pub struct Failed {
    message: String,
    code: u8,
}

impl Failed {
    /// The server could not be started: settings, database or addresses are wrong. Exit code 2.
    pub fn to_start(error: &(dyn std::error::Error + 'static)) -> Self {
        Self { message: chain(error), code: 2 }
    }

    /// The server ended otherwise than asked. Exit code 1.
    pub fn to_end(error: &(dyn std::error::Error + 'static)) -> Self {
        Self { message: chain(error), code: 1 }
    }
}

/// Prints the settings as YAML. There is no secret among them.
pub fn print_config(config: &Config) -> Result<(), Failed> {
    let text = serde_yaml_ng::to_string(config).map_err(|error| Failed::to_end(&error))?;
    print!("{text}");
    Ok(())
}

/// Runs a server until SIGTERM or SIGINT; a second one ends the process at once.
pub async fn serve(config: Config) -> Result<(), Failed> {
    telemetry::init(&config.log).map_err(|error| Failed::to_start(&error))?;
    let server = Server::start(config).await.map_err(|error| Failed::to_start(&error))?;
    tokio::select! {
        asked = asked_to_stop() => asked.map_err(|error| Failed::to_end(&error))?,
        // Started anew, it finds everything again; half a server would only look alive.
        () = server.broken() => {
            let message = "an essential part of the server has ended".to_owned();
            return Err(Failed { message, code: 1 });
        }
    }
    tokio::select! {
        stopped = server.stop() => stopped.map_err(|error| Failed::to_end(&error)),
        again = asked_to_stop() => {
            again.map_err(|error| Failed::to_end(&error))?;
            Err(Failed { message: "stopped at once".to_owned(), code: 1 })
        }
    }
}

/// Ends when the process is asked to stop.
pub async fn asked_to_stop() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Says in one line on standard error what went wrong.
pub fn exit_code(done: Result<(), Failed>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed { message, code }) => {
            eprintln!("wfe-server: {message}");
            ExitCode::from(code)
        }
    }
}
