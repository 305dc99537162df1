//! Ctrl-C and SIGTERM as a value, so that whoever started something can end it first.

use std::fmt;
use std::process::ExitCode;

use anyhow::Result;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Somebody asked us to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interrupted {
    /// Ctrl-C.
    Sigint,
    /// The polite request to end.
    Sigterm,
    /// The terminal is gone.
    Sighup,
}

impl Interrupted {
    /// 128 and the signal's number, as shells have it.
    pub(crate) fn exit_code(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Sighup => 129,
            Self::Sigint => 130,
            Self::Sigterm => 143,
        })
    }
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sigint => "interrupted",
            Self::Sigterm => "asked to end (SIGTERM)",
            Self::Sighup => "the terminal was closed (SIGHUP)",
        })
    }
}

impl std::error::Error for Interrupted {}

/// From its creation on, these signals no longer end the process.
pub(crate) struct Interrupts {
    int: Signal,
    term: Signal,
    hup: Signal,
}

impl Interrupts {
    pub(crate) fn catch() -> Result<Self> {
        Ok(Self {
            int: signal(SignalKind::interrupt())?,
            term: signal(SignalKind::terminate())?,
            hup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) -> Interrupted {
        tokio::select! {
            _ = self.int.recv() => Interrupted::Sigint,
            _ = self.term.recv() => Interrupted::Sigterm,
            _ = self.hup.recv() => Interrupted::Sighup,
        }
    }
}
