//! `wfe events`: lists the whole history of an execution.

use wfe_proto::v1::{ListEventsRequest, ListEventsResponse};

use super::{answer, answered};
use crate::{
    args::{EventsArgs, Global},
    client::{connect, request},
    context::Context,
    error::Error,
    exit::Exit,
    render,
};

/// As many as the service gives at once.
const PAGE_SIZE: i32 = 1000;

pub(super) async fn run(
    context: &mut Context,
    global: &Global,
    args: EventsArgs,
) -> Result<Exit, Error> {
    let mut client = connect(&global.server, &global.access, global.timeout.0)?;
    let mut all = ListEventsResponse::default();
    loop {
        let message = ListEventsRequest {
            execution_id: args.id.clone(),
            page_size: PAGE_SIZE,
            page_token: all.next_page_token,
        };
        let call = client.list_events(request(message, global.timeout.0));
        let page = answered(context, call).await?;
        all.events.extend(page.events);
        all.next_page_token = page.next_page_token;
        if all.next_page_token.is_empty() {
            break;
        }
    }
    answer(context, global, &all, |all, context| {
        let lines = all.events.iter();
        let lines: Vec<String> =
            lines.map(|event| render::event::line(event, context.colour)).collect();
        lines.join("\n")
    })?;
    Ok(Exit::Ok)
}
