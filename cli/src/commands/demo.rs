//! `wfe demo`: shows what the service does, in one process and a temporary directory.
//!
//! Owns the server of the demo; what is shown, and what must come out of it, is the story's.

mod story;

use std::time::Duration;

use wfe_server::config::Gates;

use self::story::Story;
use super::dev;
use crate::{
    args::{AccessArgs, DemoArgs, Global, Output},
    client::connect,
    context::Context,
    error::Error,
    exit::Exit,
    local::{Addresses, Backend, LocalError, LocalServer, Pace},
};

/// Short enough to be waited for, long enough to be met by a start that comes right after a success.
const COOLDOWN: Duration = Duration::from_millis(2_500);

pub(super) async fn run(
    context: &mut Context,
    global: &Global,
    args: DemoArgs,
) -> Result<Exit, Error> {
    if global.output == Output::Json {
        let why = "the demo is for people; `wfe dev` serves what -o json can be tried on";
        return Err(Error::Usage(why.to_owned()));
    }
    dev::log("off");
    let directory = tempfile::tempdir().map_err(LocalError::Directory)?;
    let pace = if args.fast { Pace::Fast } else { Pace::Readable };
    let gates = Gates { cooldown_period: COOLDOWN, ..Gates::default() };
    let backend = Backend::Simulated(pace);
    let server = LocalServer::start(directory.path(), Addresses::free(), backend, gates).await?;
    let address = server.addresses().grpc.to_string();
    let address = address.parse().map_err(Error::Usage)?;
    let told = match connect(&address, &AccessArgs::default(), global.timeout.0) {
        Ok(client) => Box::pin(Story::new(context, client, global.timeout.0).tell()).await,
        Err(error) => Err(error),
    };
    // The server ends in order also when the story broke off; the story's error says more.
    let stopped = server.stop().await;
    told?;
    stopped?;
    Ok(Exit::Ok)
}
