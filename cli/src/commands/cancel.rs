//! `wfe cancel`: asks an execution to stop, or makes sure that nothing of a request runs.

use wfe_proto::v1::{CancelMode, CancelRequest};

use super::{answer, answered};
use crate::{
    args::{CancelArgs, CancelModeArg, Global, Span},
    client::{connect, request},
    context::Context,
    error::Error,
    exit::Exit,
    render,
};

pub(super) async fn run(
    context: &mut Context,
    global: &Global,
    args: CancelArgs,
) -> Result<Exit, Error> {
    let CancelArgs { which, reason, mode, escalate_after } = args;
    let request_id = which.request_id.unwrap_or_default();
    let mut client = connect(&global.server, &global.access, global.timeout.0)?;
    let message = CancelRequest {
        // The parser asks for one of the two.
        execution_id: which.id.unwrap_or_default(),
        request_id: request_id.clone(),
        reason,
        mode: to_mode(mode).into(),
        on_behalf_of: None,
        escalate_after: escalate_after
            .map(|Span(time)| prost_types::Duration::try_from(time).unwrap_or_default()),
    };
    let call = client.cancel(request(message, global.timeout.0));
    let response = answered(context, call).await?;
    answer(context, global, &response, |response, context| match &response.execution {
        Some(execution) => render::execution::headline(execution, (context.now)(), context.colour),
        None => render::execution::withdrawn(&request_id),
    })?;
    Ok(Exit::Ok)
}

fn to_mode(arg: CancelModeArg) -> CancelMode {
    match arg {
        CancelModeArg::Immediate => CancelMode::Immediate,
        CancelModeArg::RunFinally => CancelMode::RunFinally,
        CancelModeArg::StopAndFinally => CancelMode::StopAndFinally,
    }
}
