//! One module per command. A command calls the service, shows the answer, and ends with an exit code.

mod audit;
mod cancel;
mod clear_block;
mod demo;
mod dev;
mod events;
mod get;
mod list;
mod start;
mod target;
mod watch;

use std::future::Future;

use tonic::{Response, Status, TimeoutExpired};

use crate::{
    args::{Cli, Command, Global, Output},
    context::Context,
    error::{Error, causes},
    exit::Exit,
    json::{self, Document},
};

/// Runs the command of a command line.
pub(crate) async fn dispatch(cli: Cli, context: &mut Context) -> Result<Exit, Error> {
    let Cli { global, command } = cli;
    let global = &global;
    match command {
        Command::Dev(args) => Box::pin(dev::run(context, global, args)).await,
        Command::Demo(args) => demo::run(context, global, args).await,
        Command::Start(args) => Box::pin(start::run(context, global, *args)).await,
        Command::Watch(args) => watch::run(context, global, args).await,
        Command::Get(args) => get::run(context, global, args).await,
        Command::List(args) => list::run(context, global, args).await,
        Command::Cancel(args) => cancel::run(context, global, args).await,
        Command::ClearBlock(args) => clear_block::run(context, global, args).await,
        Command::Target(args) => target::run(context, global, args).await,
        Command::Audit(args) => audit::run(context, global, args.command).await,
        Command::Events(args) => events::run(context, global, args).await,
    }
}

/// The answer to a call, unless the person stops waiting for it.
async fn answered<T>(
    context: &Context,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, Error> {
    tokio::select! {
        biased;
        answer = call => match answer {
            Ok(response) => Ok(response.into_inner()),
            Err(status) => Err(Error::from(in_time(status))),
        },
        () = context.interrupt.cancelled() => Err(Error::Interrupted),
    }
}

/// The client reports its own time limit as CANCELLED; people look for `DEADLINE_EXCEEDED`.
fn in_time(status: Status) -> Status {
    if causes(&status).any(<dyn std::error::Error + 'static>::is::<TimeoutExpired>) {
        return Status::deadline_exceeded("no answer in time; --timeout allows more");
    }
    status
}

/// Writes an answer: the whole message for programs, what `text` makes of it for people.
fn answer<M: Document>(
    context: &mut Context,
    global: &Global,
    message: &M,
    text: impl FnOnce(&M, &Context) -> String,
) -> Result<(), Error> {
    match global.output {
        Output::Json => {
            let value = json::to_value(message)?;
            context.say(&json::lines(&value))
        }
        Output::Text => {
            let text = text(message, context);
            context.say(&text)
        }
    }
}

#[cfg(test)]
mod tests;
