//! What a process does around its work: addresses, signals, parts that it cannot do without, and what
//! it says when it cannot go on.

use std::{error::Error, net::SocketAddr, process::ExitCode};

use serde::Serialize;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use crate::{
    error::chain,
    log::{self, Log},
};

/// Why a process ends with an error.
#[derive(Debug)]
pub struct Failed {
    message: String,
    code: u8,
}

impl Failed {
    /// It could not be started: settings, storage or addresses are wrong. Exit code 2.
    pub fn to_start(error: &(dyn Error + 'static)) -> Self {
        Self { message: chain(error), code: 2 }
    }

    /// It ended otherwise than asked. Exit code 1.
    pub fn to_end(error: &(dyn Error + 'static)) -> Self {
        Self { message: chain(error), code: 1 }
    }

    fn at_once(message: &str) -> Self {
        Self { message: message.to_owned(), code: 1 }
    }
}

/// Something that serves until it is stopped.
pub trait Serving {
    /// It stopped, but not in order.
    type StopError: Error + 'static;

    /// Ends when a part that it cannot do without has ended by itself.
    fn broken(&self) -> impl Future<Output = ()>;

    /// Stops it in order.
    fn stop(self) -> impl Future<Output = Result<(), Self::StopError>>;
}

/// Starts something and lets it serve until SIGTERM or SIGINT; a second one ends the process at once.
pub async fn serve<S: Serving, E: Error + 'static>(
    log: &Log,
    start: impl Future<Output = Result<S, E>>,
) -> Result<(), Failed> {
    log::init(log).map_err(|error| Failed::to_start(&error))?;
    let serving = start.await.map_err(|error| Failed::to_start(&error))?;
    tokio::select! {
        asked = asked_to_stop() => asked.map_err(|error| Failed::to_end(&error))?,
        // Started anew, it finds everything again; half a process would only look alive.
        () = serving.broken() => return Err(Failed::at_once("an essential part has ended")),
    }
    tokio::select! {
        stopped = serving.stop() => stopped.map_err(|error| Failed::to_end(&error)),
        again = asked_to_stop() => {
            again.map_err(|error| Failed::to_end(&error))?;
            Err(Failed::at_once("stopped at once"))
        }
    }
}

/// Prints settings as YAML. There is no secret among them.
pub fn print_settings(settings: &impl Serialize) -> Result<(), Failed> {
    let text = serde_yaml_ng::to_string(settings).map_err(|error| Failed::to_end(&error))?;
    print!("{text}");
    Ok(())
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

/// Says in one line on standard error what went wrong with the process of this name.
pub fn exit_code(name: &str, done: Result<(), Failed>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed { message, code }) => {
            eprintln!("{name}: {message}");
            ExitCode::from(code)
        }
    }
}

/// Tells by `ended` when `part` has ended, also by a panic.
pub fn essential<F: Future<Output = ()>>(
    ended: &CancellationToken,
    part: F,
) -> impl Future<Output = ()> + use<F> {
    let tell = ended.clone().drop_guard();
    async move {
        part.await;
        drop(tell);
    }
}

/// An address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} ({setting})")]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// The setting that holds it.
    pub setting: &'static str,
    /// Why.
    #[source]
    pub source: std::io::Error,
}

/// Listens on `address`, which `setting` holds. Answers the address that it got.
pub async fn bind(
    address: SocketAddr,
    setting: &'static str,
) -> Result<(TcpListener, SocketAddr), BindError> {
    let error = |source| BindError { address, setting, source };
    let listener = TcpListener::bind(address).await.map_err(error)?;
    let bound = listener.local_addr().map_err(error)?;
    Ok((listener, bound))
}
