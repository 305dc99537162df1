//! `wfe list`: lists executions.

use wfe_proto::v1::{ListRequest, State};

use super::{answer, answered};
use crate::{
    args::{Global, ListArgs, StateArg},
    client::{connect, request},
    context::Context,
    error::Error,
    exit::Exit,
    render,
};

pub(super) async fn run(
    context: &mut Context,
    global: &Global,
    args: ListArgs,
) -> Result<Exit, Error> {
    let mut client = connect(&global.server, &global.access, global.timeout.0)?;
    let call = client.list(request(to_request(args), global.timeout.0));
    let response = answered(context, call).await?;
    answer(context, global, &response, |response, context| {
        render::list::table(&response.executions, (context.now)(), context.colour)
    })?;
    if !response.next_page_token.is_empty() {
        let token = render::plain(&response.next_page_token);
        context.note(&format!("there are more: add --page-token {token}"));
    }
    Ok(Exit::Ok)
}

fn to_request(args: ListArgs) -> ListRequest {
    let ListArgs { state, target, cluster, correlation_id, limit, page_token } = args;
    ListRequest {
        page_size: limit,
        page_token: page_token.unwrap_or_default(),
        states: state.into_iter().map(|arg| to_state(arg).into()).collect(),
        target: target.unwrap_or_default(),
        cluster_id: cluster.unwrap_or_default(),
        correlation_id: correlation_id.unwrap_or_default(),
    }
}

fn to_state(arg: StateArg) -> State {
    match arg {
        StateArg::Waiting => State::Waiting,
        StateArg::Starting => State::Starting,
        StateArg::Running => State::Running,
        StateArg::Cancelling => State::Cancelling,
        StateArg::Succeeded => State::Succeeded,
        StateArg::Failed => State::Failed,
        StateArg::Cancelled => State::Cancelled,
    }
}
