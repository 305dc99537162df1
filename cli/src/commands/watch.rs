//! `wfe watch`: follows an execution to its end.

use crate::{
    args::{Global, Output, WatchArgs},
    client::{Client, connect},
    context::{Context, Display},
    error::Error,
    exit::Exit,
    watch::{Contact, End, Follow, Patience, Shown, follow, show},
};

pub(super) async fn run(
    context: &mut Context,
    global: &Global,
    args: WatchArgs,
) -> Result<Exit, Error> {
    let client = connect(&global.server, &global.access, global.timeout.0)?;
    let wish = Follow {
        execution_id: args.id,
        after: args.after,
        open_within: global.timeout.0,
        patience: Patience::usual(args.retry.retry_for.0, Contact::NotYet),
    };
    to_end(context, global, client, wish).await
}

/// Follows an execution to its end, for `wfe watch` and `wfe start --wait`.
pub(super) async fn to_end(
    context: &mut Context,
    global: &Global,
    client: Client,
    wish: Follow,
) -> Result<Exit, Error> {
    let shown = match (global.output, wish.after) {
        (Output::Json, _) => Shown::Json,
        // Without a snapshot there is nothing to draw.
        (Output::Text, Some(_)) => Shown::Text(Display::Lines),
        (Output::Text, None) => Shown::Text(context.display),
    };
    let execution_id = wish.execution_id.clone();
    let begun_after = wish.after;
    match show(context, shown, follow(client, wish), |_| false).await? {
        End::Terminal(execution) => Ok(Exit::of_state(execution.state())),
        End::Enough => Ok(Exit::Unavailable),
        End::Interrupted { after } => {
            let after = match shown {
                // A live display begins with a snapshot again.
                Shown::Text(Display::Live) => None,
                Shown::Text(Display::Lines) | Shown::Json => after.or(begun_after),
            };
            let after = after.map_or_else(String::new, |revision| format!(" --after {revision}"));
            let server = global.server.as_option();
            context.note(&format!(
                "interrupted; the execution goes on. Resume: wfe watch {execution_id}{after}{server}"
            ));
            Err(Error::Interrupted)
        }
    }
}
