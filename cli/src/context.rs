//! What a command gets from its surroundings: what to read, where to write, what the terminal can do,
//! the clock, new ids, and the wish to end. The one place of this crate that asks the process for any
//! of these.

use std::{
    env, fmt,
    io::{self, IsTerminal as _, Read, Write},
};

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::error::Error;

/// The surroundings of one command.
pub struct Context {
    /// What is piped into the command.
    pub input: Box<dyn Read + Send>,
    /// For answers.
    pub out: Box<dyn Write + Send>,
    /// For errors, hints and what is not part of the answer.
    pub err: Box<dyn Write + Send>,
    /// How progress is shown.
    pub display: Display,
    /// Whether answers may have colours.
    pub colour: Colour,
    /// The clock.
    pub now: fn() -> Timestamp,
    /// Makes a request id that was never used.
    pub new_request_id: fn() -> String,
    /// Cancelled when the person asks to stop.
    pub interrupt: CancellationToken,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("display", &self.display)
            .field("colour", &self.colour)
            .finish_non_exhaustive()
    }
}

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Display {
    /// Drawn anew in place: the output is a terminal.
    Live,
    /// One line per event.
    Lines,
}

/// Whether answers may have colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// Yes.
    On,
    /// No: the output is not a terminal, or the person does not want them.
    Off,
}

impl Context {
    /// The surroundings of this process: its standard streams, the system's clock and randomness.
    #[must_use]
    pub fn of_this_process() -> Context {
        let (display, colour) = capabilities(
            io::stdout().is_terminal(),
            env::var("TERM").ok().as_deref(),
            env::var("NO_COLOR").ok().as_deref(),
        );
        Context {
            input: Box::new(io::stdin()),
            out: Box::new(io::stdout()),
            err: Box::new(io::stderr()),
            display,
            colour,
            now: system_time,
            new_request_id: random_id,
            interrupt: CancellationToken::new(),
        }
    }

    /// Writes one line of the answer.
    pub(crate) fn say(&mut self, line: &str) -> Result<(), Error> {
        writeln!(self.out, "{}", line.trim_end())
            .and_then(|()| self.out.flush())
            .map_err(Error::Output)
    }

    /// Writes one line that is not part of the answer. That it cannot be written is no reason to fail.
    pub(crate) fn note(&mut self, line: &str) {
        let _ = writeln!(self.err, "{line}");
    }
}

/// What an output can do, by <https://no-color.org> and the usual meaning of `TERM=dumb`.
fn capabilities(terminal: bool, term: Option<&str>, no_color: Option<&str>) -> (Display, Colour) {
    if !terminal || term == Some("dumb") {
        return (Display::Lines, Colour::Off);
    }
    let colour = match no_color {
        None | Some("") => Colour::On,
        Some(_) => Colour::Off,
    };
    (Display::Live, colour)
}

#[expect(clippy::disallowed_methods, reason = "the clock that the commands are given")]
fn system_time() -> Timestamp {
    Timestamp::now()
}

#[expect(clippy::disallowed_methods, reason = "the id source that the commands are given")]
fn random_id() -> String {
    Uuid::now_v7().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_capable_terminal_is_redrawn_and_coloured() {
        let table = [
            (true, Some("xterm"), None, (Display::Live, Colour::On)),
            (true, Some("xterm"), Some(""), (Display::Live, Colour::On)),
            (true, Some("xterm"), Some("1"), (Display::Live, Colour::Off)),
            (true, Some("dumb"), None, (Display::Lines, Colour::Off)),
            (false, Some("xterm"), None, (Display::Lines, Colour::Off)),
            (true, None, None, (Display::Live, Colour::On)),
        ];
        for (terminal, term, no_color, expected) in table {
            assert_eq!(capabilities(terminal, term, no_color), expected, "{term:?}");
        }
    }
}
