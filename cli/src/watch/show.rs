//! Shows a watch as it comes in: live, as lines, or as JSON. Ends with how the execution ended.

use std::{pin::pin, time::Duration};

use futures::{Stream, StreamExt as _};
use indicatif::ProgressDrawTarget;
use tokio::time::{MissedTickBehavior, interval};
use wfe_proto::v1::{Execution, WatchResponse, watch_response};

use super::{follow::Update, live::Live, position::Place};
use crate::{
    context::{Context, Display},
    error::Error,
    json, render,
};

/// How often a live display is drawn anew, for the running times in it.
const FRAME: Duration = Duration::from_millis(200);

/// How a watch is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shown {
    /// For people, with this display.
    Text(Display),
    /// Each message as one line of JSON.
    Json,
}

/// How a watch ended that did not break.
#[derive(Debug)]
pub(crate) enum End {
    /// The execution is over.
    Terminal(Box<Execution>),
    /// The caller saw enough.
    Enough,
    /// Ctrl-C.
    Interrupted {
        /// The last revision that was shown.
        after: Option<i64>,
    },
}

/// Shows `updates` until the terminal message, until `enough` says so of a message, or until Ctrl-C.
pub(crate) async fn show(
    context: &mut Context,
    shown: Shown,
    updates: impl Stream<Item = Result<Update, Error>>,
    mut enough: impl FnMut(&WatchResponse) -> bool,
) -> Result<End, Error> {
    let mut updates = pin!(updates);
    let mut screen = Screen::new(context, shown);
    let mut frames = interval(FRAME);
    frames.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let interrupt = context.interrupt.clone();
    let mut after = None;
    loop {
        tokio::select! {
            () = interrupt.cancelled() => {
                screen.close();
                return Ok(End::Interrupted { after });
            }
            _ = frames.tick() => screen.draw(context),
            update = updates.next() => match update {
                Some(Ok(Update::Message(message))) => {
                    after = Some(message.cursor);
                    screen.message(context, &message)?;
                    if let Some(watch_response::Update::Terminal(execution)) = message.update {
                        return Ok(End::Terminal(Box::new(execution)));
                    }
                    if enough(&message) {
                        screen.close();
                        return Ok(End::Enough);
                    }
                }
                Some(Ok(Update::Lost { status, after, pause })) => {
                    screen.lost(context, status.message(), after, pause);
                }
                Some(Err(error)) => {
                    screen.close();
                    return Err(error);
                }
                // The stream ends only after a terminal message or an error.
                None => return Ok(End::Enough),
            },
        }
    }
}

/// Where the messages go.
enum Screen {
    Live(Box<Live>),
    Lines(Connection),
    Json(Connection),
}

/// What was last said about the connection, so that one loss is told once.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Connection {
    Up,
    Lost,
}

impl Screen {
    fn new(context: &Context, shown: Shown) -> Screen {
        match shown {
            Shown::Json => Screen::Json(Connection::Up),
            Shown::Text(Display::Lines) => Screen::Lines(Connection::Up),
            Shown::Text(Display::Live) => {
                Screen::Live(Box::new(Live::on(ProgressDrawTarget::stdout(), context.colour)))
            }
        }
    }

    fn message(&mut self, context: &mut Context, message: &WatchResponse) -> Result<(), Error> {
        match self {
            Screen::Json(connection) => {
                *connection = Connection::Up;
                context.say(&json::line(&json::to_value(message)?))
            }
            Screen::Lines(connection) => {
                *connection = Connection::Up;
                match line(context, message) {
                    Some(line) => context.say(&line),
                    None => Ok(()),
                }
            }
            Screen::Live(live) => {
                live.take(message);
                let now = (context.now)();
                if let Some(watch_response::Update::Terminal(execution)) = &message.update {
                    live.clear();
                    let last = super::live::block(execution, now, context.colour);
                    context.say(&last.join("\n"))
                } else {
                    live.draw(now);
                    Ok(())
                }
            }
        }
    }

    fn lost(&mut self, context: &mut Context, why: &str, after: Option<Place>, pause: Duration) {
        let resumes = match after {
            Some(place) => format!("resuming after {place}"),
            None => "beginning again".to_owned(),
        };
        let text = format!(
            "connection lost ({}); {resumes} in {}",
            render::plain(why),
            render::time::span(pause)
        );
        match self {
            Screen::Live(live) => {
                live.notice(text);
                live.draw((context.now)());
            }
            Screen::Lines(connection) | Screen::Json(connection) => {
                if *connection == Connection::Up {
                    *connection = Connection::Lost;
                    context.note(&text);
                }
            }
        }
    }

    fn draw(&mut self, context: &Context) {
        if let Screen::Live(live) = self {
            live.draw((context.now)());
        }
    }

    /// Leaves the last picture on the screen and goes below it.
    fn close(&mut self) {
        if let Screen::Live(live) = self {
            live.leave();
        }
    }
}

/// A message as a line. None for what is not worth one.
fn line(context: &Context, message: &WatchResponse) -> Option<String> {
    let now = (context.now)();
    match message.update.as_ref()? {
        watch_response::Update::Snapshot(execution) => {
            Some(render::event::snapshot_line(execution, now, context.colour))
        }
        watch_response::Update::Event(event) => Some(render::event::line(event, context.colour)),
        watch_response::Update::Terminal(execution) => {
            Some(render::execution::headline(execution, now, context.colour))
        }
        watch_response::Update::Heartbeat(_)
        | watch_response::Update::Synced(_)
        | watch_response::Update::Decision(_) => None,
    }
}
