//! `wfe cancel`: asks an execution to stop.

use wfe_proto::v1::{CancelMode, CancelRequest};

use super::{answer, answered};
use crate::{
    args::{CancelArgs, CancelModeArg, Global},
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
    let mut client = connect(&global.server, global.timeout.0)?;
    let message = CancelRequest {
        execution_id: args.id,
        reason: args.reason,
        mode: to_mode(args.mode).into(),
        ..CancelRequest::default()
    };
    let call = client.cancel(request(message, global.timeout.0));
    let response = answered(context, call).await?;
    answer(context, global, &response, |response, context| {
        let execution = response.execution.clone().unwrap_or_default();
        render::execution::headline(&execution, (context.now)(), context.colour)
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
