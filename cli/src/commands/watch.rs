//! `wfe watch`: follows an execution to its end, or all of a target, of a correlation id, or of
//! everything.

use crate::{
    args::{Global, Output, WatchArgs},
    client::{Client, connect},
    context::{Context, Display},
    error::Error,
    exit::Exit,
    watch::{Contact, End, Follow, Patience, Shown, Subject, follow, show, show_log},
};

pub(super) async fn run(
    context: &mut Context,
    global: &Global,
    args: WatchArgs,
) -> Result<Exit, Error> {
    let client = connect(&global.server, &global.access, global.timeout.0)?;
    let WatchArgs { id, target, cluster, correlation_id, all: _, after, retry } = args;
    let subject = match (id, target, correlation_id) {
        (Some(id), _, _) => Subject::Execution(id),
        (None, Some(target), _) => Subject::Target { target, cluster: cluster.unwrap_or_default() },
        (None, None, Some(id)) => Subject::Correlation(id),
        // The parser asks for one of them.
        (None, None, None) => Subject::Everything,
    };
    let wish = Follow {
        subject,
        after,
        open_within: global.timeout.0,
        patience: Patience::usual(retry.retry_for.0, Contact::NotYet),
    };
    match wish.subject {
        Subject::Execution(_) => to_end(context, global, client, wish).await,
        Subject::Target { .. } | Subject::Correlation(_) | Subject::Everything => {
            Box::pin(log(context, global, client, wish)).await
        }
    }
}

/// Follows the log until Ctrl-C.
async fn log(
    context: &mut Context,
    global: &Global,
    client: Client,
    wish: Follow,
) -> Result<Exit, Error> {
    let (subject, begun_after) = (wish.subject.words(), wish.after);
    let updates = follow(client.clone(), wish);
    let after = Box::pin(show_log(context, global.output, client, updates)).await?.or(begun_after);
    let after = after.map_or_else(String::new, |entry| format!(" --after {entry}"));
    let server = global.server.as_option();
    context.note(&format!("interrupted. Resume: wfe watch {subject}{after}{server}"));
    Err(Error::Interrupted)
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
    let execution_id = wish.subject.words();
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
