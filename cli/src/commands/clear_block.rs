//! `wfe clear-block`: opens the block of a target, and tells who runs next.

use wfe_proto::v1::ClearBlockRequest;

use super::{answer, answered};
use crate::{
    args::{ClearBlockArgs, Global},
    client::{connect, request},
    context::Context,
    error::Error,
    exit::Exit,
    render,
};

pub(super) async fn run(
    context: &mut Context,
    global: &Global,
    args: ClearBlockArgs,
) -> Result<Exit, Error> {
    let ClearBlockArgs { target, cluster, reason, ticket, execution } = args;
    let mut client = connect(&global.server, &global.access, global.timeout.0)?;
    let message = ClearBlockRequest {
        target,
        cluster_id: cluster.unwrap_or_default(),
        reason,
        ticket: ticket.unwrap_or_default(),
        expected_execution_id: execution.unwrap_or_default(),
        on_behalf_of: None,
    };
    let call = client.clear_block(request(message, global.timeout.0));
    let response = answered(context, call).await?;
    answer(context, global, &response, |response, context| {
        render::clearance::cleared(response, (context.now)())
    })?;
    Ok(Exit::Ok)
}
