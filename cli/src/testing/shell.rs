//! Runs command lines like a shell, and keeps what they write.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
    time::Duration,
};

use clap::Parser as _;
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

use super::messages;
use crate::{Cli, Colour, Context, Display, Exit};

/// Longer than any wait of a test.
const DEADLINE: Duration = Duration::from_secs(20);

/// What a command wrote to one stream.
#[derive(Clone)]
pub(crate) struct Written(Arc<Mutex<watch::Sender<String>>>);

impl Written {
    pub(crate) fn nothing() -> Written {
        Written(Arc::new(Mutex::new(watch::Sender::new(String::new()))))
    }

    pub(crate) fn text(&self) -> String {
        self.0.lock().unwrap().borrow().clone()
    }

    /// Returns when `text` was written.
    pub(crate) async fn until(&self, text: &str) {
        let mut receiver = self.0.lock().unwrap().subscribe();
        let seen = timeout(DEADLINE, receiver.wait_for(|all| all.contains(text))).await;
        assert!(matches!(seen, Ok(Ok(_))), "{text:?} was never written");
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes).into_owned();
        self.0.lock().unwrap().send_modify(|all| all.push_str(&text));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A reader that went away.
pub(crate) struct Gone;

impl Write for Gone {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A shell without a terminal.
pub(crate) struct Shell {
    server: String,
    pub(crate) out: Written,
    pub(crate) err: Written,
    pub(crate) interrupt: CancellationToken,
}

impl Shell {
    /// A shell whose commands call `server`.
    pub(crate) fn at(server: &str) -> Shell {
        Shell {
            server: server.to_owned(),
            out: Written::nothing(),
            err: Written::nothing(),
            interrupt: CancellationToken::new(),
        }
    }

    pub(crate) fn context(&self) -> Context {
        Context {
            input: Box::new(io::empty()),
            out: Box::new(self.out.clone()),
            err: Box::new(self.err.clone()),
            display: Display::Lines,
            colour: Colour::Off,
            now: messages::now,
            new_request_id: || "new-id".to_owned(),
            interrupt: self.interrupt.clone(),
        }
    }

    /// Runs `wfe` and these words to the end.
    pub(crate) async fn run(&self, words: &str) -> Exit {
        self.run_in(&mut self.context(), words).await
    }

    pub(crate) async fn run_in(&self, context: &mut Context, words: &str) -> Exit {
        let line = format!("wfe {words} --server {}", self.server);
        let cli = Cli::try_parse_from(shlex::split(&line).unwrap()).unwrap();
        timeout(DEADLINE, Box::pin(crate::run(cli, context)))
            .await
            .expect("the command does not end")
    }

    /// What was written, with the server's address named.
    pub(crate) fn stderr(&self) -> String {
        self.err.text().replace(&self.server, "SERVER")
    }

    pub(crate) fn stdout(&self) -> String {
        self.out.text().replace(&self.server, "SERVER")
    }
}
